//! One change a row, and what must be said about it. Every check has at least one row.

use kmh_doc::check::State;
use kmh_doc::network::{Finding, FindingLevel};
use kmh_doc::pki::{Class, Rotating, Rotation, Stage};
use kmh_doc::push::Outcome;
use kmh_doc::{Asn, inventory::Role};
use rcgen::{BasicConstraints, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};
use serde_json::json;
use time::macros::datetime;

use super::{Fixture, bundle::OTHER};

/// A change and what is found.
pub(crate) struct Case {
    pub(crate) id: &'static str,
    pub(crate) state: State,
    pub(crate) subject: &'static str,
    pub(crate) message: &'static str,
    pub(crate) change: fn(&mut Fixture),
}

pub(super) const fn no(
    id: &'static str,
    subject: &'static str,
    message: &'static str,
    change: fn(&mut Fixture),
) -> Case {
    Case { id, state: State::Critical, subject, message, change }
}

pub(super) const fn warn(
    id: &'static str,
    subject: &'static str,
    message: &'static str,
    change: fn(&mut Fixture),
) -> Case {
    Case { id, state: State::Warning, subject, message, change }
}

const fn unknown(
    id: &'static str,
    subject: &'static str,
    message: &'static str,
    change: fn(&mut Fixture),
) -> Case {
    Case { id, state: State::Unknown, subject, message, change }
}

/// The public half of a key that is in nobody's hands.
const ED25519: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEADn5mvqROV9c6mw+YfUeXzqhChO8rE/msZbeFL8WVmrI=\n-----END PUBLIC KEY-----\n";
const API_UNIT: &str = "/etc/systemd/system/kube-apiserver.service";
const AT_API: &str = "cp:/etc/systemd/system/kube-apiserver.service";

#[rustfmt::skip]
pub(crate) const CASES: &[Case] = &[
    // Certificates.
    no("pki.readable", "cp/admin", "instead of one", |f| f.entry("cp/admin").pem.clear()),
    no("pki.readable", "cp/admin", "instead of one", |f| { let pem = f.entry("ca/cluster").pem.clone(); f.entry("cp/admin").pem += &pem; }),
    no("pki.readable", "cp/admin", "cannot be read", |f| { let pem = f.entry("cp/admin").pem.replace("MII", "MIJ"); f.entry("cp/admin").pem = pem; }),
    unknown("pki.planned", "kmh.pki/v1", "planned", |f| f.pki.planned = true),
    no("pki.document", "cp/admin", "`common_name: nobody`", |f| f.entry("cp/admin").common_name = "nobody".into()),
    no("pki.document", "cp/admin", "`not_after: 2099", |f| f.entry("cp/admin").not_after = "2099-01-01T00:00:00Z".into()),
    no("pki.document", "pi/kubelet-serving", "`fingerprint: 00`", |f| f.entry("pi/kubelet-serving").fingerprint = "00".into()),
    no("pki.document", "cp/apiserver", "`addresses: ", |f| { f.entry("cp/apiserver").addresses.pop(); }),
    no("pki.complete", "pi", "`kubelet-serving`", |f| f.pki.certificates.retain(|c| c.name != "pi/kubelet-serving")),
    no("pki.complete", "cluster", "`front-proxy-ca`", |f| f.pki.certificates.retain(|c| c.class != Class::FrontProxyCa)),
    no("pki.complete", "rb", "`ipsec-router`", |f| f.pki.certificates.retain(|c| c.name != "rb/ipsec-router")),
    no("pki.complete", "cp", "2 certificates", |f| { let mut more = f.entry("cp/admin").clone(); more.name += "-2"; f.pki.certificates.push(more); }),
    no("pki.complete", "cluster", "0 keys of class `service-account`", |f| { f.pki.keys.remove(1); }),
    no("pki.complete", "keys/bgp/b", "0 keys of class `bgp-password`", |f| f.pki.keys.retain(|key| key.name != "keys/bgp/b")),
    warn("pki.complete", "keys/bgp/gone", "asks for no such key", |f| { let mut more = f.pki.keys.iter().find(|key| key.name == "keys/bgp/b").unwrap().clone(); more.secret = "keys/bgp/gone.key".into(); more.name = "keys/bgp/gone".into(); f.pki.keys.push(more); }),
    warn("pki.complete", "pi/kube-proxy", "asks for no such", |f| f.entry("pi/kube-proxy").machine = Some("gone".into())),
    no("pki.chain", "cp/apiserver", "must be a `cluster-ca`", |f| { f.entry("cp/apiserver").issuer = Some("ca/etcd".into()); f.reissue("cp/apiserver", |_| {}); }),
    no("pki.chain", "cp/apiserver", "did not sign it", |f| f.reissue_by("cp/apiserver", Some("ca/etcd"), |_| {})),
    no("pki.chain", "pi/kubelet-client", "did not sign it", |f| {
        // The same name, another key: what a second store with the same cluster name makes.
        let old = f.entry("ca/cluster").clone();
        f.reissue_by("ca/cluster", None, |_| {});
        assert_ne!(f.entry("ca/cluster").pem, old.pem);
    }),
    no("pki.chain", "cp/admin", "no authority key identifier", |f| f.reissue("cp/admin", |p| p.use_authority_key_identifier_extension = false)),
    no("pki.chain", "cp/apiserver", "the name constraints of `ca/cluster` do not permit ", |f| {
        let permitted_subtrees = vec![rcgen::GeneralSubtree::DnsName("example.net".into())];
        f.reissue_by("ca/cluster", None, |p| p.name_constraints = Some(rcgen::NameConstraints { permitted_subtrees, excluded_subtrees: vec![] }));
    }),
    no("pki.chain", "cp/admin", "signed itself", |f| f.entry("cp/admin").issuer = None),
    no("pki.chain", "cp/admin", "not in the document", |f| f.entry("cp/admin").issuer = Some("ca/none".into())),
    no("pki.dates", "cp/admin", "expired at 2026-05-01T00:00:00Z", |f| f.reissue("cp/admin", |p| p.not_after = datetime!(2026-05-01 00:00 UTC))),
    no("pki.dates", "cp/admin", "not valid before 2026-07-01T00:00:00Z", |f| f.reissue("cp/admin", |p| p.not_before = datetime!(2026-07-01 00:00 UTC))),
    no("pki.dates", "cp/admin", "after its CA `ca/cluster`", |f| f.reissue("cp/admin", |p| p.not_after = datetime!(2040-01-01 00:00 UTC))),
    warn("pki.dates", "cp/admin", "valid only since", |f| f.reissue("cp/admin", |p| p.not_before = datetime!(2026-06-01 11:59 UTC))),
    warn("pki.expiry", "cp/admin", "ends on 2026-06-20", |f| f.reissue("cp/admin", |p| p.not_after = datetime!(2026-06-20 00:00 UTC))),
    warn("pki.expiry", "ca/etcd", "ends on 2026-09-01", |f| f.reissue_by("ca/etcd", None, |p| {
        p.not_before = datetime!(2016-01-01 00:00 UTC);
        p.not_after = datetime!(2026-09-01 00:00 UTC);
    })),
    no("pki.names", "cp/apiserver", "not valid for `10.201.0.1`", |f| f.reissue("cp/apiserver", |p| p.subject_alt_names.retain(|n| *n != SanType::IpAddress("10.201.0.1".parse().unwrap())))),
    no("pki.names", "cp/apiserver", "not valid for `127.0.0.1`", |f| f.reissue("cp/apiserver", |p| p.subject_alt_names.retain(|n| *n != SanType::IpAddress("127.0.0.1".parse().unwrap())))),
    no("pki.names", "cp/apiserver", "not valid for `k8s.example.net`", |f| f.reissue("cp/apiserver", |p| p.subject_alt_names.retain(|n| !matches!(n, SanType::DnsName(n) if n.as_str().starts_with("k8s"))))),
    no("pki.names", "pi/kubelet-serving", "not valid for `100.64.0.5`", |f| f.reissue("pi/kubelet-serving", |p| p.subject_alt_names.retain(|n| *n != SanType::IpAddress("100.64.0.5".parse().unwrap())))),
    no("pki.names", "pi/kubelet-serving", "not valid for `pi.vpn.example.net`", |f| f.reissue("pi/kubelet-serving", |p| p.subject_alt_names.retain(|n| !matches!(n, SanType::DnsName(n) if n.as_str().starts_with("pi."))))),
    no("pki.names", "cp/admin", "also valid for `evil.example`", |f| f.reissue("cp/admin", |p| p.subject_alt_names.push(SanType::DnsName("evil.example".try_into().unwrap())))),
    no("pki.names", "pi/kubelet-client", "`system:node:cp`", |f| f.reissue("pi/kubelet-client", |p| p.distinguished_name.push(DnType::CommonName, "system:node:cp"))),
    no("pki.names", "cp/admin", "must be `kubeadm:cluster-admins`", |f| f.reissue("cp/admin", |p| p.distinguished_name.push(DnType::OrganizationName, "system:masters"))),
    no("pki.names", "ra/ipsec-router", "ra.lab.ipsec.internal", |f| f.reissue("ra/ipsec-router", |p| p.subject_alt_names.clear())),
    no("pki.usages", "cp/apiserver-kubelet-client", "client and server, it must be client", |f| f.reissue("cp/apiserver-kubelet-client", |p| p.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth))),
    no("pki.usages", "cp/etcd-server", "it must be client and server", |f| f.reissue("cp/etcd-server", |p| p.extended_key_usages.retain(|u| *u == ExtendedKeyUsagePurpose::ServerAuth))),
    no("pki.usages", "cp/admin", "besides client and server", |f| f.reissue("cp/admin", |p| p.extended_key_usages.push(ExtendedKeyUsagePurpose::CodeSigning))),
    no("pki.usages", "cp/admin", "neither client nor server", |f| f.reissue("cp/admin", |p| p.extended_key_usages.clear())),
    no("pki.constraints", "pi/kube-proxy", "it is a CA", |f| f.reissue("pi/kube-proxy", |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
    no("pki.constraints", "ca/ipsec", "no CA", |f| f.reissue_by("ca/ipsec", None, |p| p.is_ca = IsCa::ExplicitNoCa)),
    no("pki.constraints", "ca/ipsec", "does not permit signing", |f| f.reissue_by("ca/ipsec", None, |p| p.key_usages = vec![KeyUsagePurpose::CrlSign])),
    no("pki.constraints", "cp/admin", "more than its key", |f| f.reissue("cp/admin", |p| p.key_usages.push(KeyUsagePurpose::KeyEncipherment))),
    no("pki.constraints", "cp/admin", "no key usage", |f| f.reissue("cp/admin", |p| p.key_usages.clear())),
    no("pki.serials", "cp/admin", "same issuer and serial", |f| {
        for name in ["cp/admin", "cluster/break-glass-admin"] {
            f.reissue(name, |p| p.serial_number = Some(7_u64.into()));
        }
    }),
    no("pki.serials", "cp/admin", "not positive", |f| f.reissue("cp/admin", |p| p.serial_number = Some(0_u64.into()))),
    no("pki.keys", "ca/front-proxy", "same key as `ca/cluster`", |f| f.share_key("ca/front-proxy", "ca/cluster")),
    no("pki.keys", "pi/kube-proxy", "does not hold its key", |f| { let entry = f.entry("pi/kube-proxy"); entry.key = None; entry.deploy.iter_mut().for_each(|place| place.key = None); }),
    no("bundle.certificates", "pi:/etc/kubernetes/pki/kube-proxy.key", "on its machine, and the bundle would replace it", |f| f.entry("pi/kube-proxy").key = None),
    no("pki.keys", "keys/service-account", "no public half", |f| f.pki.keys[1].public = None),
    no("pki.keys", "keys/service-account", "which no token can be signed with", |f| f.pki.keys[1].public = Some(ED25519.to_owned())),
    no("pki.keys", "keys/service-account", "also that of", |f| f.pki.keys[1].secret = "ca/cluster.key".into()),
    no("pki.separate-cas", "ca/front-proxy", "X-Remote-User", |f| f.share_key("ca/front-proxy", "ca/cluster")),
    no("pki.separate-cas", "ca/ipsec", "its key or its name", |f| f.reissue_by("ca/ipsec", None, |p| p.distinguished_name.push(DnType::CommonName, "etcd-ca"))),
    no("pki.deploy", "ca/cluster", "private key would be put on `pi`", |f| f.entry("ca/cluster").deploy[1].key = Some("/etc/kubernetes/pki/ca.key".into())),
    no("pki.deploy", "pi/kube-proxy", "which it is not for", |f| f.entry("pi/kube-proxy").deploy[0].machine = "cp".into()),
    no("pki.deploy", "cp/scheduler", "goes to no machine", |f| f.entry("cp/scheduler").deploy.clear()),
    no("pki.deploy", "cp/scheduler", "is also the place of", |f| { let deploy = f.entry("cp/admin").deploy.clone(); f.entry("cp/scheduler").deploy = deploy; }),
    no("pki.trust", "pi", "`cluster-ca`", |f| { f.entry("ca/cluster").deploy.pop(); }),
    no("pki.generations", "ca/cluster", "stage `trust`, the document says none", |f| { *f = Fixture::rotated(Stage::Trust); f.pki.rotations.clear(); }),
    no("pki.generations", "ca/cluster", "stage `issue`, the document says trust", |f| { *f = Fixture::rotated(Stage::Issue); f.pki.rotations[0].stage = Stage::Trust; }),
    no("pki.generations", "ca/etcd", "stage `none`, the document says trust", |f| f.pki.rotations = vec![Rotation { name: Rotating::Etcd, stage: Stage::Trust }]),
    no("pki.generations", "ca/cluster", "both a next and an old", |f| { *f = Fixture::rotated(Stage::Trust); let mut more = f.entry("ca/cluster.next").clone(); more.name = "ca/cluster.old".into(); f.pki.certificates.push(more); }),
    no("pki.generations", "ca/cluster", "no current one", |f| { *f = Fixture::rotated(Stage::Trust); f.pki.certificates.retain(|c| c.name != "ca/cluster"); }),
    no("pki.generations", "keys/bgp/a.old", "of nothing that can be rotated", |f| f.pki.keys[2].name += ".old"),
    no("pki.chain", "cp/admin", "not yet the one that signs", |f| { *f = Fixture::rotated(Stage::Trust); f.entry("cp/admin").issuer = Some("ca/cluster.next".into()); f.reissue("cp/admin", |_| {}); }),
    no("pki.chain", "cp/admin", "did not sign it", |f| { *f = Fixture::rotated(Stage::Issue); f.reissue_by("cp/admin", Some("ca/etcd"), |_| {}); }),
    no("pki.complete", "cluster", "no certificate of class `cluster-ca`", |f| { *f = Fixture::rotated(Stage::Trust); f.pki.certificates.retain(|c| c.name != "ca/cluster"); }),
    no("pki.deploy", "ca/cluster.next", "private key would be put on `pi`", |f| { *f = Fixture::rotated(Stage::Trust); f.entry("ca/cluster.next").deploy[1].key = Some("/etc/kubernetes/pki/ca.key".into()); }),
    no("pki.keys", "ca/cluster.next", "same key as `ca/cluster`", |f| { *f = Fixture::rotated(Stage::Trust); f.share_key("ca/cluster", "ca/cluster.next"); }),
    no("pki.separate-cas", "ca/cluster.next", "its key or its name", |f| { *f = Fixture::rotated(Stage::Trust); f.share_key("ca/cluster", "ca/cluster.next"); }),
    no("pki.trust", "pi", "`ca/cluster.next`", |f| { *f = Fixture::rotated(Stage::Trust); f.entry("ca/cluster.next").deploy.pop(); }),
    warn("pki.dates", "ca/cluster.old", "expired at 2026-05-01", |f| { *f = Fixture::rotated(Stage::Issue); f.reissue_by("ca/cluster.old", None, |p| p.not_after = datetime!(2026-05-01 00:00 UTC)); }),
    no("bundle.certificates", "pi:/etc/kubernetes/pki/cluster-ca.crt", "not the certificate `ca/cluster.next`", |f| { *f = Fixture::rotated(Stage::Trust); let pem = f.entry("ca/cluster.next").pem.clone(); f.edit("pi", "/etc/kubernetes/pki/cluster-ca.crt", &pem, ""); }),
    no("bundle.certificates", "pi:/etc/kubernetes/pki/cluster-ca.crt", "has not there", |f| { let pem = f.entry("ca/cluster").pem.clone(); let more = f.entry("ca/etcd").pem.clone(); f.edit("pi", "/etc/kubernetes/pki/cluster-ca.crt", &pem, &(pem.clone() + &more)); }),
    no("bundle.credentials", AT_API, "a `etcd-ca`", |f| { *f = Fixture::rotated(Stage::Issue); let old = f.entry("ca/cluster.old").pem.clone(); let more = f.entry("ca/etcd").pem.clone(); f.edit("cp", "/etc/kubernetes/pki/cluster-ca.crt", &old, &more); }),
    no("bundle.request-header", AT_API, "every client could act", |f| { *f = Fixture::rotated(Stage::Issue); let old = f.entry("ca/cluster.old").pem.clone(); let proxy = f.entry("ca/front-proxy").pem.clone(); f.edit("cp", "/etc/kubernetes/pki/front-proxy-ca.crt", &proxy, &(proxy.clone() + &old)); }),
    no("bundle.encryption-keys", "cp:/etc/kubernetes/encryption.yaml", "must be `key-87654321`", |f| f.pki.keys[0].id = Some("key-87654321".into())),
    no("bundle.encryption-keys", "cp:/etc/kubernetes/encryption.yaml", "is called", |f| f.pki.keys[0].id = None),
    no("bundle.encryption-keys", "cp:/etc/kubernetes/encryption.yaml", "in this order", |f| { let mut more = f.pki.keys[0].clone(); more.name += ".next"; more.secret = "keys/encryption.next.key".into(); f.pki.keys.push(more); f.pki.rotations = vec![Rotation { name: Rotating::Encryption, stage: Stage::Add }]; }),
    no("network.tunnel-files", "ra--rb on ra", "holds more", |f| { let pem = f.entry("ca/ipsec").pem.clone(); f.edit("ra", "/etc/swanctl/x509ca/ca.crt", &pem, &(pem.clone() + &pem)); }),
    no("pki.trust", "ra", "`ipsec-ca`", |f| { f.entry("ca/ipsec").deploy.remove(0); }),

    // Inventory.
    warn("inventory.warnings", "spec.nodes", "even", |f| f.inventory = f.inventory.replace("roles: [worker]", "roles: [worker, etcd]")),

    // Network.
    no("network.findings", "ra--rb", "too-small: bad", |f| f.network.findings.push(finding(FindingLevel::Error))),
    warn("network.findings", "ra--rb", "too-small: bad", |f| f.network.findings.push(finding(FindingLevel::Warning))),
    no("network.machines", "pi", "does not have this node", |f| { f.network.nodes.pop(); }),
    no("network.machines", "rb", "does not have this router", |f| { f.network.routers.pop(); }),
    no("network.machines", "pi", "addresses", |f| f.network.nodes[1].addresses = vec!["10.20.0.22/24".into()]),
    no("network.machines", "pi", "gateways", |f| f.network.nodes[1].gateways.clear()),
    no("network.machines", "px", "inventory does not have", |f| f.network.nodes[1].name = "px".into()),
    no("network.as-numbers", "ra", "65999, the inventory says 65010", |f| f.network.routers[0].asn = Asn::new(65999)),
    no("network.as-numbers", "pi", "64513", |f| f.network.nodes[1].asn = Asn::new(64513)),
    no("network.sessions", "ra -> cp", "the node is AS 64512", |f| f.network.routers[0].sessions[0].peer_asn = Asn::new(1)),
    no("network.sessions", "cp -> ra", "does not know this node", |f| { f.network.routers[0].sessions.remove(0); }),
    no("network.sessions", "ra -> cp", "does not peer with the router", |f| f.network.nodes[0].peers.clear()),
    no("network.sessions", "cp", "peers with no router", |f| f.network.nodes[0].peers.clear()),
    no("network.sessions", "ra -> rb", "the other end has no session", |f| { f.network.routers[1].sessions.pop(); }),
    no("network.sessions", "ra -> rb", "BFD", |f| f.network.routers[1].sessions[1].bfd_ms = None),
    no("network.sessions", "ra -> rb", "AS 64999", |f| f.network.routers[0].sessions[1].peer_asn = Asn::new(64999)),
    no("network.sessions", "ra -> cp", "hold time", |f| f.network.routers[0].sessions[0].keepalive = 60),
    no("network.filters", "ra", "`NOWHERE` is used but not defined", |f| f.network.routers[0].sessions[0].import = "NOWHERE".into()),
    no("network.filters", "rb", "prefix list `NOWHERE`", |f| f.network.routers[1].route_maps[0].rules[0].prefix_list = Some("NOWHERE".into())),
    no("network.filters", "rb", "AS-path list `nodes` is used", |f| f.network.routers[1].as_paths.clear()),
    no("network.filters", "rb", "defined twice", |f| { let map = f.network.routers[1].route_maps[0].clone(); f.network.routers[1].route_maps.push(map); }),
    warn("network.filters", "rb", "`nodes` is defined but not used", |f| f.network.routers[1].route_maps[0].rules.iter_mut().for_each(|rule| rule.as_path = None)),
    no("network.leaks", "ra -> cp", "sends to the node the default route", |f| permit_default(f, 0)),
    no("network.leaks", "ra -> cp", "sends to the node every prefix", |f| f.network.routers[0].route_maps[1].rules[0].prefix_list = None),
    no("network.leaks", "rb", "originates", |f| f.network.routers[1].originate.push("0.0.0.0/0".parse().unwrap())),
    no("network.prefix-lists", "ra", "matches nothing", |f| f.network.routers[0].prefix_lists[0].permit[0].le = Some(20)),
    no("network.prefix-lists", "ra", "mixes families", |f| f.network.routers[0].prefix_lists[0].v6 = true),
    no("network.prefix-lists", "ra", "is empty", |f| f.network.routers[0].prefix_lists[0].permit.clear()),
    no("network.guard", "rb", "10.201.0.0/16", |f| { f.network.routers[1].unreachable.remove(1); }),
    no("network.tunnels", "ra--rb", "it must be 2", |f| f.network.tunnels[0].index = 1),
    no("network.tunnels", "ra--rb", "must be 10.255.0.8/30", |f| f.network.tunnels[0].networks[0] = "10.255.0.4/30".parse().unwrap()),
    no("network.tunnels", "ra--rb", "does not have this tunnel", |f| f.network.tunnels.clear()),
    no("network.tunnels", "ra--rb", "lower router id", |f| f.network.tunnels[0].ends.reverse()),
    no("network.tunnel-ends", "ra--rb", "it must be `xfrm2`", |f| f.network.tunnels[0].ends[0].interface = "xfrm9".into()),
    no("network.tunnel-ends", "ra--rb", "same inner address", |f| f.network.tunnels[0].ends[1].addresses = f.network.tunnels[0].ends[0].addresses.clone()),
    no("network.tunnel-ends", "ra--rb", "is outside", |f| f.network.tunnels[0].ends[1].addresses[0] = "10.255.0.99".parse().unwrap()),
    no("network.tunnel-ends", "ra--rb", "neither end initiates", |f| f.network.tunnels[0].ends.iter_mut().for_each(|e| e.initiates = false)),
    no("network.tunnel-ends", "ra--rb", "has no address to be found at", |f| f.network.tunnels[0].ends[1].remote_address = None),
    no("network.tunnel-ends", "ra--rb", "no BGP session over it", |f| f.network.routers[0].sessions[1].tunnel = None),
    no("network.tunnel-ends", "ra--rb", "IKE identity", |f| f.network.tunnels[0].ends[0].identity.clear()),
    no("network.mtu", "ra--rb", "1500 octets", |f| f.network.pod_mtu = 1500),
    no("network.pools", "b", "10.200.64.0/18", |f| { f.network.calico.remove(1); }),
    no("network.pools", "pods.b", "outside the cluster's pod range", |f| f.network.calico[1]["spec"]["cidr"] = json!("10.99.0.0/18")),
    no("network.pools", "pods.b", "overlaps", |f| f.network.calico[1]["spec"]["cidr"] = json!("10.200.0.0/17")),
    no("network.pools", "pods.b", "`ipipMode`", |f| f.network.calico[1]["spec"]["ipipMode"] = json!("Always")),
    no("network.pools", "pods.b", "does not name its site", |f| f.network.calico[1]["spec"]["nodeSelector"] = json!("all()")),
    no("network.pools", "pods.b", "block size is /16, and routers let blocks of /26 pass", |f| f.network.calico[1]["spec"]["blockSize"] = json!(16)),
    no("network.calico", "BGPConfiguration default", "mesh", |f| f.network.calico[5]["spec"]["nodeToNodeMeshEnabled"] = json!(true)),
    no("network.calico", "BGPConfiguration default", "is missing", |f| { f.network.calico.remove(5); }),
    no("network.calico", "BGPConfiguration default", "serviceClusterIPs", |f| f.network.calico[5]["spec"]["serviceClusterIPs"] = json!([])),
    no("network.calico", "10.20.0.1", "no BGPPeer", |f| { f.network.calico.remove(4); }),
    no("network.calico", "rb", "no router of the plan is 10.20.0.1 AS 1", |f| f.network.calico[4]["spec"]["asNumber"] = json!(1)),
    no("network.calico", "rb", "does not choose the nodes", |f| f.network.calico[4]["spec"]["nodeSelector"] = json!("all()")),
    no("network.machines", "ra", "router id 10.20.0.1 is that of `rb`", |f| f.network.routers[0].router_id = f.network.routers[1].router_id),
    no("network.machines", "ra", "does not announce 10.10.0.0/24", |f| f.network.routers[0].originate.clear()),
    no("network.machines", "ra", "announces 10.20.0.0/24", |f| f.network.routers[0].originate.push("10.20.0.0/24".parse().unwrap())),
    no("network.machines", "pi", "lacks the label", |f| f.network.nodes[1].labels[0].1 = "a".into()),
    no("network.machines", "pi", "annotations for Calico", |f| f.network.nodes[1].annotations.clear()),
    no("network.guard", "ra", "10.202.0.0/24", |f| f.network.routers[0].unreachable.retain(|net| net.to_string() != "10.202.0.0/24")),
    no("network.policy", "ra", "`nodes-in`, from nodes, stops a block of `a`", |f| { f.network.routers[0].route_maps[0].rules.remove(0); }),
    no("network.policy", "ra", "`nodes-in`, from nodes, lets pass what a node handed on", |f| f.network.routers[0].route_maps[0].rules.iter_mut().for_each(|rule| rule.as_path = None)),
    no("network.policy", "ra", "`nodes-in`, from nodes, lets pass a block of `b`, 10.200.64.0/26", |f| f.network.routers[0].prefix_lists[0].permit[0].prefix = "10.200.0.0/16".parse().unwrap()),
    no("network.policy", "ra", "stops a block of `a`", |f| f.network.routers[0].prefix_lists[0].permit[0].ge = Some(27)),
    no("network.policy", "ra", "lets pass the whole pool of `a`", |f| f.network.routers[0].prefix_lists[0].permit[0].ge = None),
    no("network.policy", "ra", "`nodes-out`, to nodes, lets pass a service range", |f| { let rule = f.network.routers[0].route_maps[2].rules[1].clone(); f.network.routers[0].route_maps[1].rules.push(rule); }),
    no("network.policy", "ra", "`routers-in`, from routers, lets pass a block of `a`", |f| f.network.routers[0].prefix_lists[1].permit.push(kmh_doc::network::PrefixRule { prefix: "0.0.0.0/0".parse().unwrap(), ge: Some(1), le: Some(32) })),
    no("network.policy", "rb", "`routers-out`, to routers, stops the node network of `b`", |f| { f.network.routers[1].route_maps[3].rules.remove(0); }),
    no("network.policy", "ra -> cp", "`as_override`", |f| f.network.routers[0].sessions[0].as_override = false),
    no("network.pools", "pods.b", "does not name its site", |f| f.network.calico[1]["spec"]["nodeSelector"] = json!("topology.kubernetes.io/zone == 'bb'")),
    no("network.pools", "pods.b", "`natOutgoing`", |f| f.network.calico[1]["spec"]["natOutgoing"] = json!(false)),
    no("network.pools", "pods.b", "nobody learns", |f| f.network.calico[1]["spec"]["disableBGPExport"] = json!(true)),
    no("network.pools", "nodes.a", "announce their own segment", |f| f.network.calico[2]["spec"]["disableBGPExport"] = json!(false)),
    no("network.pools", "a", "masqueraded", |f| { f.network.calico.remove(2); }),
    no("network.calico", "rb", "does not choose the nodes", |f| f.network.calico[4]["spec"]["nodeSelector"] = json!("topology.kubernetes.io/zone == 'a'")),
    no("network.calico", "rb", "handing on", |f| f.network.calico[4]["spec"]["filters"] = json!([])),
    no("network.calico", "ra", "handing on", |f| { f.network.calico.remove(7); }),
    no("network.calico", "ra", "handing on", |f| f.network.calico[7]["spec"]["exportV4"] = json!([{"action": "Accept"}, {"source": "RemotePeers", "action": "Reject"}])),
    no("network.manifests", "IPPool pods.b", "no manifest", |f| f.edit("cluster", "/etc/kubernetes/cluster/calico.yaml", "pods.b", "pods.c")),
    no("network.manifests", "BGPConfiguration default", "otherwise", |f| f.edit("cluster", "/etc/kubernetes/cluster/calico.yaml", "\"nodeToNodeMeshEnabled\":false", "\"nodeToNodeMeshEnabled\":true")),
    no("network.bgp-files", "ra:/etc/frr/frr.conf", "lacks `neighbor 10.10.0.11 as-override`", |f| f.edit("ra", "/etc/frr/frr.conf", "neighbor 10.10.0.11 as-override", "!")),
    no("network.bgp-files", "ra:/etc/frr/frr.conf", "lacks `ip route 10.255.0.0/22 reject 254`", |f| f.edit("ra", "/etc/frr/frr.conf", "ip route 10.255", "! 10.255")),
    no("network.bgp-files", "ra:/etc/frr/frr.conf", "says `ip prefix-list pods permit 0.0.0.0/0 ge 26 le 32`", |f| f.edit("ra", "/etc/frr/frr.conf", "pods seq 1 permit 10.200.0.0/18", "pods seq 1 permit 0.0.0.0/0")),
    no("network.bgp-files", "ra:/etc/frr/frr.conf", "says `redistribute connected`", |f| f.edit("ra", "/etc/frr/frr.conf", "  network 10.10.0.0/24", "  network 10.10.0.0/24\n  redistribute connected")),
    no("network.bgp-files", "ra:/etc/frr/frr.conf", "`nodes-in` has other rules", |f| f.edit("ra", "/etc/frr/frr.conf", " match as-path nodes", "!")),
    no("network.bgp-files", "ra:/etc/frr/frr.conf", "`nodes-out` has other rules", |f| f.edit("ra", "/etc/frr/frr.conf", "route-map nodes-out permit", "route-map nodes-out deny")),
    no("network.bgp-files", "ra:/etc/frr/frr.conf", "no neighbour 10.10.0.11", |f| f.edit("ra", "/etc/frr/frr.conf", "10.10.0.11", "10.10.0.12")),
    no("network.bgp-files", "ra:/etc/frr/frr.conf", "10.10.0.12 is not in the plan", |f| f.edit("ra", "/etc/frr/frr.conf", "10.10.0.11", "10.10.0.12")),
    no("network.bgp-files", "ra:/etc/frr/frr.conf", "AS 1, the plan says 64512", |f| f.edit("ra", "/etc/frr/frr.conf", "remote-as 64512", "remote-as 1")),
    no("network.bgp-files", "ra:/etc/frr/frr.conf", "lacks the route map `nodes-in`", |f| f.edit("ra", "/etc/frr/frr.conf", "nodes-in in", "nodes-out in")),
    no("network.bgp-files", "ra:/etc/frr/frr.conf", "refers to the ip prefix-list `pods`", |f| f.edit("ra", "/etc/frr/frr.conf", "prefix-list pods seq", "prefix-list pod seq")),
    no("network.bgp-files", "ra:/etc/frr/frr.conf", "no address family activates", |f| f.edit("ra", "/etc/frr/frr.conf", " activate", " shutdown")),
    no("network.bgp-files", "ra:/etc/frr/frr.conf", "lacks `neighbor 10.10.0.11 password`", |f| f.edit("ra", "/etc/frr/frr.conf", "neighbor 10.10.0.11 password", "! ")),
    no("network.bgp-files", "ra:/etc/frr/frr.conf", "lacks `neighbor 10.10.0.11 graceful-restart-helper`", |f| f.edit("ra", "/etc/frr/frr.conf", "10.10.0.11 graceful-restart-helper", "10.10.0.11 graceful-restart")),
    no("network.bgp-files", "ra:/etc/frr/frr.conf", "lacks `bgp bestpath compare-routerid`", |f| f.edit("ra", "/etc/frr/frr.conf", " bgp bestpath", " ! bestpath")),
    no("network.bgp-files", "ra:/etc/frr/frr.conf", "10.255.0.10 has another BFD than the plan: every 1000 ms", |f| f.edit("ra", "/etc/frr/frr.conf", "transmit-interval 1000", "transmit-interval 300")),
    no("network.bgp-files", "ra:/etc/frr/frr.conf", "`routers-in` has other rules", |f| f.edit("ra", "/etc/frr/frr.conf", " set metric 0", " set metric 10")),
    no("network.bgp-files", "ra:/etc/frr/frr.conf", "says `neighbor 10.10.0.11 next-hop-self`", |f| f.edit("ra", "/etc/frr/frr.conf", "  neighbor 10.10.0.11 as-override", "  neighbor 10.10.0.11 as-override\n  neighbor 10.10.0.11 next-hop-self")),
    no("network.bgp-files", "ra:/etc/frr/frr.conf", "it does not listen on 10.10.0.0/24", |f| { let like = f.network.routers[0].sessions[0].clone(); f.network.routers[0].listen.push(kmh_doc::network::Listen { range: "10.10.0.0/24".parse().unwrap(), peer_asn: None, like }); }),
    no("network.bgp-files", "ra:/etc/frr/frr.conf", "it listens on 10.0.0.0/8, and the plan does not", |f| f.edit("ra", "/etc/frr/frr.conf", " bgp deterministic-med", " bgp deterministic-med\n bgp listen range 10.0.0.0/8 peer-group x")),
    no("network.bgp-files", "ra", "0 files named bird.conf", |f| f.network.routers[0].daemon = kmh_doc::inventory::BgpDaemon::Bird),
    no("network.tunnel-files", "ra--rb on ra", "`local` section has `auth = none`, the plan says `psk`", |f| f.network.tunnels[0].psk = Some("keys/psk/ra--rb".into())),
    no("network.tunnel-files", "ra--rb on ra", "no pre-shared key of swanctl.conf", |f| f.network.tunnels[0].psk = Some("keys/psk/ra--rb".into())),
    no("network.bgp-files", "rb", "0 files named frr.conf", |f| f.remove("rb", "/etc/frr/frr.conf")),
    no("network.tunnel-files", "ra--rb on ra", "interface `xfrm2`", |f| f.edit("ra", "/usr/local/lib/kmh/tunnels.sh", "xfrm2", "xfrm22")),
    no("network.tunnel-files", "ra--rb on ra", "`if_id_in` is 3, it must be 2", |f| f.edit("ra", "/etc/swanctl/conf.d/kmh.conf", "if_id_in = 2", "if_id_in = 3")),
    no("network.tunnel-files", "ra--rb on ra", "two identities", |f| f.edit("ra", "/etc/swanctl/conf.d/kmh.conf", "id = rb.", "id = rx.")),
    no("network.tunnel-files", "ra--rb on ra", "`/etc/swanctl/x509/rx.crt` is not in the bundle", |f| f.edit("ra", "/etc/swanctl/conf.d/kmh.conf", "certs = ra.crt", "certs = rx.crt")),
    no("network.tunnel-files", "ra--rb on rb", "inner address", |f| f.edit("rb", "/usr/local/etc/kmh/settings.json", "10.255.0.10", "10.255.0.11")),

    no("network.pfsense", "rb:/usr/local/etc/kmh/settings.json", "is not the frr.conf", |f| f.edit("rb", "/etc/frr/frr.conf", "! test", "! changed")),
    no("network.pfsense", "ra--rb on rb", "`reqid` is 3, it must be 2", |f| f.edit("rb", "/usr/local/etc/kmh/settings.json", "\"reqid\":2", "\"reqid\":3")),
    no("network.pfsense", "ra--rb on rb", "no phase 1", |f| f.edit("rb", "/usr/local/etc/kmh/settings.json", "\"myid_data\":\"rb", "\"myid_data\":\"rx")),
    no("network.pfsense", "ra--rb on rb", "10.255.0.9", |f| f.edit("rb", "/usr/local/etc/kmh/settings.json", "{\"address\":\"10.255.0.9\"}", "{\"address\":\"10.255.0.1\"}")),
    no("network.pfsense", "rb", "no settings", |f| f.remove("rb", "/usr/local/etc/kmh/settings.json")),

    // Bundle: files.
    unknown("bundle.planned", "kmh.bundle/v1", "planned", |f| f.bundle.planned = true),
    no("bundle.paths", "pi:etc/x", "not absolute", |f| f.add("pi", "etc/x", "")),
    no("bundle.paths", "pi:/etc/../root/x", "not normalised", |f| f.add("pi", "/etc/../root/x", "")),
    no("bundle.paths", "pi:/etc/kubernetes/kubelet.conf", "two files", |f| f.add("pi", "/etc/kubernetes/kubelet.conf", "")),
    no("bundle.paths", "pi:/etc/kubernetes/kubelet.conf/x", "cannot be a folder", |f| f.add("pi", "/etc/kubernetes/kubelet.conf/x", "")),
    no("bundle.modes", "cp:/etc/kubernetes/encryption.yaml", "must be 0600", |f| f.file("cp", "/etc/kubernetes/encryption.yaml").mode = "0644".into()),
    no("bundle.modes", "pi:/etc/haproxy/haproxy.cfg", "lets others", |f| f.file("pi", "/etc/haproxy/haproxy.cfg").mode = "0666".into()),
    no("bundle.modes", "pi:/etc/haproxy/haproxy.cfg", "setuid", |f| f.file("pi", "/etc/haproxy/haproxy.cfg").mode = "4755".into()),
    no("bundle.modes", "pi:/etc/haproxy/haproxy.cfg", "four octal digits", |f| f.file("pi", "/etc/haproxy/haproxy.cfg").mode = "rw-r".into()),
    no("bundle.modes", "pi:/etc/haproxy/haproxy.cfg", "user:group", |f| f.file("pi", "/etc/haproxy/haproxy.cfg").owner = "root".into()),
    no("bundle.plain-secrets", "pi:/root/key", "private key stands", |f| f.add("pi", "/root/key", "-----BEGIN EC PRIVATE KEY-----\n")),
    no("bundle.units", "pi:/etc/systemd/system/kubelet.service", "`kubelet.service`, which is not among", |f| f.machine("pi").units.retain(|u| u.name != "kubelet.service")),
    no("bundle.units", "pi:kubelt.service", "no file of the machine", |f| f.machine("pi").units[1].name = "kubelt.service".into()),
    warn("bundle.units", "pi:/etc/systemd/system/kubelet.service", "never started", |f| f.machine("pi").units.retain(|u| u.name != "kubelet.service")),
    no("bundle.artifacts", "pi:/usr/local/bin/kubelet", "built for amd64, the machine is arm64", |f| f.machine("pi").artifacts[1].arch = OTHER),
    no("bundle.artifacts", "cp:/usr/local/bin/etcd", "the inventory says 3.6.8", |f| f.machine("cp").artifacts.iter_mut().find(|a| a.name == "etcd").unwrap().version = "3.5.0".into()),
    no("bundle.artifacts", "pi:/usr/local/bin/kubelet", "HTTPS", |f| f.machine("pi").artifacts[1].url = "http://x".into()),
    no("bundle.references", "pi:/var/lib/kube-proxy/config.yaml", "`/etc/kubernetes/kube-proxy.conf`", |f| f.remove("pi", "/etc/kubernetes/kube-proxy.conf")),
    no("bundle.references", "pi:/etc/systemd/system/kubelet.service", "`/usr/local/bin/kubelet`", |f| f.machine("pi").artifacts.retain(|a| a.name != "kubelet")),
    no("bundle.references", "pi:/etc/haproxy/haproxy.cfg", "`/etc/kubernetes/pki/cluster-ca.crt`", |f| f.remove("pi", "/etc/kubernetes/pki/cluster-ca.crt")),
    no("bundle.ownership", "cp:/etc/kubernetes/pki/apiserver.key", "runs as `kube`", |f| f.edit("cp", API_UNIT, "[Service]", "[Service]\nUser=kube")),

    // Bundle: against the certificates.
    no("bundle.secrets", "rb:/usr/local/etc/kmh/password", "`keys/bgp/a.key` is not for this machine", |f| { let other = f.file("ra", "/etc/frr/password").content.clone(); f.file("rb", "/usr/local/etc/kmh/password").content = other; }),
    no("bundle.secrets", "pi:/etc/kubernetes/pki/kube-proxy.key", "`keys/bgp/b.key` is not for this machine", |f| { let other = f.file("rb", "/usr/local/etc/kmh/password").content.clone(); f.file("pi", "/etc/kubernetes/pki/kube-proxy.key").content = other; }),
    no("bundle.modes", "cluster:/etc/kubernetes/cluster/bgp-passwords.yaml", "holds a secret of the store", |f| { let other = f.file("pi", "/etc/kubernetes/pki/kube-proxy.key").content.clone(); f.file("cluster", "/etc/kubernetes/cluster/bgp-passwords.yaml").content.extend(other); }),
    no("bundle.passwords", "ra", "no file of it holds `keys/bgp/a`", |f| f.remove("ra", "/etc/frr/password")),
    no("bundle.passwords", "cluster", "nodes of `b` sign their sessions", |f| { f.file("cluster", "/etc/kubernetes/cluster/bgp-passwords.yaml").content.remove(1); }),
    no("bundle.store", "kmh.bundle/v1", "`other`", |f| f.bundle.store = "other".into()),
    no("bundle.secrets", "pi:/etc/kubernetes/pki/kube-proxy.key", "no secret `pi/kube-proxy.key`", |f| f.entry("pi/kube-proxy").key = Some("x".into())),
    no("bundle.secrets", "pi:/etc/kubernetes/pki/kube-proxy.key", "not for this machine", |f| { let key = f.file("cp", "/etc/kubernetes/pki/kube-proxy.key").content.clone(); f.file("pi", "/etc/kubernetes/pki/kube-proxy.key").content = key; }),
    no("bundle.certificates", "pi:/etc/kubernetes/pki/kube-proxy.crt", "not the certificate `pi/kube-proxy`", |f| f.reissue("pi/kube-proxy", |_| {})),
    no("bundle.certificates", "pi:/etc/kubernetes/pki/kube-proxy.crt", "is not there", |f| f.remove("pi", "/etc/kubernetes/pki/kube-proxy.crt")),
    no("bundle.certificates", "pi:/etc/kubernetes/pki/kube-proxy.key", "must be 0600", |f| f.file("pi", "/etc/kubernetes/pki/kube-proxy.key").mode = "0640".into()),
    no("bundle.kubeconfigs", "pi:/etc/kubernetes/kubelet.conf", "nothing on this machine listens on 127.0.0.1:7444", |f| f.edit("pi", "/etc/kubernetes/kubelet.conf", "7443", "7444")),
    no("bundle.kubeconfigs", "pi:/etc/kubernetes/kubelet.conf", "no API server has a certificate for 10.9.9.9", |f| f.edit("pi", "/etc/kubernetes/kubelet.conf", "127.0.0.1:7443", "10.9.9.9:6443")),
    no("bundle.kubeconfigs", "pi:/etc/kubernetes/kubelet.conf", "has no certificate", |f| f.reissue("cp/apiserver", |p| p.subject_alt_names.retain(|n| *n != SanType::IpAddress("127.0.0.1".parse().unwrap())))),
    no("bundle.kubeconfigs", "pi:/etc/kubernetes/kubelet.conf", "is not the key of", |f| f.edit("pi", "/etc/kubernetes/kubelet.conf", "client-key: /etc/kubernetes/pki/kubelet-client.key", "client-key: /etc/kubernetes/pki/kube-proxy.key")),
    no("bundle.kubeconfigs", "cp:/etc/kubernetes/scheduler.conf", "is not that of the API server", |f| f.edit("cp", "/etc/kubernetes/scheduler.conf", "cluster-ca.crt", "etcd-ca.crt")),
    no("bundle.credentials", AT_API, "a `etcd-ca`; it must be a `cluster-ca`", |f| f.edit("cp", API_UNIT, "client-ca-file=/etc/kubernetes/pki/cluster-ca.crt", "client-ca-file=/etc/kubernetes/pki/etcd-ca.crt")),
    no("bundle.credentials", AT_API, "`tls-private-key-file` is not the key of `cp/apiserver`", |f| f.edit("cp", API_UNIT, "pki/apiserver.key", "pki/admin.key")),
    no("bundle.credentials", AT_API, "is not told its `kubelet-certificate-authority`", |f| f.edit("cp", API_UNIT, "--kubelet-certificate-authority", "--x")),
    no("bundle.credentials", "pi:/etc/systemd/system/kubelet.service", "no certificate of the PKI document", |f| f.reissue("pi/kubelet-serving", |_| {})),
    no("bundle.credentials", "cp:/etc/systemd/system/etcd.service", "it must be a `etcd-peer`", |f| f.edit("cp", "/etc/etcd/etcd.yaml", "etcd-peer.crt", "etcd-server.crt")),
    no("bundle.service-certificate", "cp/apiserver", "10.99.0.1", |f| f.edit("cp", API_UNIT, "10.201.0.0/16", "10.99.0.0/16")),
    no("bundle.node-name", "pi", "kube-proxy calls the node `px`", |f| f.edit("pi", "/var/lib/kube-proxy/config.yaml", "hostnameOverride: pi", "hostnameOverride: px")),
    no("bundle.node-name", "pi", "registers the node as `px`", |f| f.edit("pi", "/etc/systemd/system/kubelet.service", "--config", "--hostname-override=px --config")),
    no("bundle.node-name", "pi", "must be for `system:node:pi`", |f| f.edit("pi", "/etc/kubernetes/kubelet.conf", "kubelet-client.crt", "kube-proxy.crt")),

    // Bundle: across files.
    no("bundle.machines", "pi", "does not have this machine", |f| f.bundle.machines.retain(|m| m.name != "pi")),
    no("bundle.machines", "cluster", "does not have this machine", |f| f.bundle.machines.retain(|m| m.name != "cluster")),
    no("bundle.machines", "pi", "architecture is amd64", |f| f.machine("pi").arch = Some(OTHER)),
    no("bundle.machines", "pi", "roles", |f| f.machine("pi").roles.push(Role::Etcd)),
    no("bundle.programs", "pi", "no unit starts `kube-proxy`", |f| f.remove("pi", "/etc/systemd/system/kube-proxy.service")),
    no("bundle.programs", "pi", "is not enabled", |f| f.machine("pi").units[2].enable = false),
    no("bundle.service-range", AT_API, "10.99.0.0/16, the inventory says 10.201.0.0/16", |f| f.edit("cp", API_UNIT, "10.201.0.0/16", "10.99.0.0/16")),
    no("bundle.service-range", AT_API, "is not told", |f| f.edit("cp", API_UNIT, "--service-cluster-ip-range=10.201.0.0/16", "")),
    no("bundle.pod-range", "pi:/etc/systemd/system/kube-proxy.service", "10.99.0.0/16", |f| f.edit("pi", "/var/lib/kube-proxy/config.yaml", "10.200.0.0/16", "10.99.0.0/16")),
    no("bundle.dns", "pi", "10.99.0.10", |f| f.edit("pi", "/var/lib/kubelet/config.yaml", "10.201.0.10", "10.99.0.10")),
    no("bundle.dns", "cluster", "10.99.0.10", |f| f.edit("cluster", "/etc/kubernetes/cluster/coredns.yaml", "10.201.0.10", "10.99.0.10")),
    no("bundle.dns", "cluster", "0 services", |f| f.edit("cluster", "/etc/kubernetes/cluster/coredns.yaml", "kube-dns", "dns")),
    no("bundle.dns", "pi", "clusterDomain", |f| f.edit("pi", "/var/lib/kubelet/config.yaml", "cluster.local", "example.net")),
    no("bundle.etcd", "cp:/etc/systemd/system/etcd.service", "looks for the member `cp` at 10.10.0.12", |f| f.edit("cp", "/etc/etcd/etcd.yaml", "10.10.0.11", "10.10.0.12")),
    no("bundle.etcd", "cp:/etc/systemd/system/etcd.service", "expects the member `cx`", |f| f.edit("cp", "/etc/etcd/etcd.yaml", "cp=https", "cx=https")),
    no("bundle.etcd", "cp:/etc/systemd/system/etcd.service", "does not ask clients", |f| f.edit("cp", "/etc/etcd/etcd.yaml", "client-cert-auth: true\npeer", "client-cert-auth: false\npeer")),
    no("bundle.etcd", AT_API, "10.9.9.9, which is no member", |f| f.edit("cp", API_UNIT, "https://127.0.0.1:2379", "https://10.9.9.9:2379")),
    warn("bundle.etcd", "etcd", "2 members", |f| f.inventory = f.inventory.replace("roles: [worker]", "roles: [worker, etcd]")),
    no("bundle.flags", "pi:/etc/systemd/system/kubelet.service", "`--pod-infra-container-image` since 1.35", |f| f.edit("pi", "/etc/systemd/system/kubelet.service", "--config", "--pod-infra-container-image=x --config")),
    no("bundle.flags", "cp:/etc/systemd/system/etcd.service", "`--enable-v2` since 3.6", |f| f.edit("cp", "/etc/systemd/system/etcd.service", "--config", "--enable-v2 --config")),
    warn("bundle.flags", AT_API, "`--apiserver-count` is deprecated", |f| f.edit("cp", API_UNIT, "--secure-port", "--apiserver-count=2 --secure-port")),
    warn("bundle.flags", "pi:kube-proxy", "ipvs", |f| f.edit("pi", "/var/lib/kube-proxy/config.yaml", "nftables", "ipvs")),
    no("bundle.haproxy", "pi", "does not listen on loopback port 7443", |f| f.edit("pi", "/etc/haproxy/haproxy.cfg", "127.0.0.1:7443", "127.0.0.1:7444")),
    no("bundle.haproxy", "pi", "where others reach it", |f| f.edit("pi", "/etc/haproxy/haproxy.cfg", "127.0.0.1:7443", "0.0.0.0:7443")),
    no("bundle.haproxy", "pi", "does not know the API server of `cp`", |f| f.edit("pi", "/etc/haproxy/haproxy.cfg", "10.10.0.11", "10.10.0.12")),
    no("bundle.haproxy", "pi", "no API server of the inventory", |f| f.edit("pi", "/etc/haproxy/haproxy.cfg", "10.10.0.11", "10.10.0.12")),
    no("bundle.haproxy", "cp", "listens on port 6444", |f| f.edit("cp", API_UNIT, "secure-port=6443", "secure-port=6444")),
    no("bundle.audit", AT_API, "nothing is ever logged", |f| f.edit("cp", API_UNIT, "--audit-policy-file=/etc/kubernetes/audit.yaml", "")),
    no("bundle.audit", AT_API, "is not in the bundle, or is none", |f| f.remove("cp", "/etc/kubernetes/audit.yaml")),
    no("bundle.request-header", AT_API, "could act as any user", |f| f.edit("cp", API_UNIT, "front-proxy-ca.crt", "cluster-ca.crt")),
    no("bundle.request-header", AT_API, "may set request headers", |f| f.edit("cp", API_UNIT, "--requestheader-allowed-names=front-proxy-client", "")),
    no("bundle.service-accounts", AT_API, "different keys", |f| f.edit("cp", "/etc/systemd/system/kube-controller-manager.service", "sa.key", "admin.key")),
    no("bundle.service-accounts", AT_API, "no issuer", |f| f.edit("cp", API_UNIT, "--service-account-issuer=https://kubernetes.default.svc", "")),
    no("bundle.resolv-conf", "pi", "is not in the bundle", |f| f.remove("pi", "/etc/kubernetes/resolv.conf")),
    no("bundle.resolv-conf", "pi", "127.0.0.53", |f| f.edit("pi", "/etc/kubernetes/resolv.conf", "10.10.0.1", "127.0.0.53")),
    no("bundle.resolv-conf", "pi", "names no server", |f| f.edit("pi", "/etc/kubernetes/resolv.conf", "nameserver", "search")),
    no("bundle.encryption", "cp:/etc/kubernetes/encryption.yaml", "`identity` is the first", |f| f.edit("cp", "/etc/kubernetes/encryption.yaml", "- secretbox", "- identity: {}\n      - secretbox")),
    no("bundle.encryption", "cp:/etc/kubernetes/encryption.yaml", "no key of the store", |f| { f.file("cp", "/etc/kubernetes/encryption.yaml").content.remove(1); }),
    no("bundle.cgroups", "pi", "cgroupDriver", |f| f.edit("pi", "/var/lib/kubelet/config.yaml", "systemd", "cgroupfs")),
    warn("bundle.cgroups", "pi", "cgroup v1", |f| f.edit("pi", "/var/lib/kubelet/config.yaml", "cgroupDriver", "failCgroupV1: false\ncgroupDriver")),

    // Push.
    no("push.outcome", "kmh.push/v1", "refused: check said no", |f| { f.push.failed = true; f.push.refused = Some("check said no".into()); }),
    no("push.outcome", "cp", "disk full", |f| { f.push.machines[1].outcome = Outcome::Failed; f.push.machines[1].error = Some("disk full".into()); }),
    no("push.outcome", "cp", "not touched: ", |f| { f.push.machines[1].outcome = Outcome::Untouched; f.push.machines[1].error = Some("not touched: `x` failed".into()); }),
    no("push.outcome", "cp", "could not be reached", |f| f.push.machines[1].outcome = Outcome::Unreachable),
    no("push.outcome", "kmh.push/v1", "says that it failed", |f| f.push.failed = true),
    no("push.outcome", "cp", "did not start", |f| f.push.machines[1].units = vec![kmh_doc::push::UnitReport { name: "etcd.service".into(), action: kmh_doc::push::UnitStep::Restart, ok: Some(false) }]),
    warn("push.dry-run", "kmh.push/v1", "dry run", |f| f.push.dry_run = true),
    warn("push.machines", "cp", "left this machine out", |f| { f.push.machines.remove(1); }),
];

fn finding(level: FindingLevel) -> Finding {
    Finding {
        id: "too-small".into(),
        level,
        subject: "ra--rb".into(),
        message: "bad".into(),
        hint: Some("mend it".into()),
    }
}

fn permit_default(f: &mut Fixture, router: usize) {
    let rule = &mut f.network.routers[router].prefix_lists[0].permit[0];
    rule.prefix = "0.0.0.0/0".parse().unwrap();
    rule.ge = None;
}
