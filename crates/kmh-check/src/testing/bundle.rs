//! The files of the small cluster: as few lines as a cluster can do with.

use base64::Engine as _;
use kmh_doc::bundle::{
    Artifact, BundleSpec, Encoding, File, Machine, MachineKind, OnChange, Segment, Unit, UnitAction,
};
use kmh_doc::inventory::{Arch, Role};
use kmh_doc::network::RouterPlan;
use kmh_doc::pki::PkiSpec;
use kmh_model::Model;

use super::Fixture;

const APISERVER: &str = "/usr/local/bin/kube-apiserver --secure-port=6443 --service-cluster-ip-range=10.201.0.0/16 \\\n  \
    --etcd-servers=https://127.0.0.1:2379 --client-ca-file=/etc/kubernetes/pki/cluster-ca.crt \\\n  \
    --tls-cert-file=/etc/kubernetes/pki/apiserver.crt --tls-private-key-file=/etc/kubernetes/pki/apiserver.key \\\n  \
    --etcd-cafile=/etc/kubernetes/pki/etcd-ca.crt --etcd-certfile=/etc/kubernetes/pki/apiserver-etcd-client.crt \\\n  \
    --etcd-keyfile=/etc/kubernetes/pki/apiserver-etcd-client.key --kubelet-certificate-authority=/etc/kubernetes/pki/cluster-ca.crt \\\n  \
    --kubelet-client-certificate=/etc/kubernetes/pki/apiserver-kubelet-client.crt --kubelet-client-key=/etc/kubernetes/pki/apiserver-kubelet-client.key \\\n  \
    --requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.crt --requestheader-allowed-names=front-proxy-client \\\n  \
    --audit-log-path=/var/log/audit.log --audit-policy-file=/etc/kubernetes/audit.yaml \\\n  \
    --encryption-provider-config=/etc/kubernetes/encryption.yaml --service-account-issuer=https://kubernetes.default.svc \\\n  \
    --service-account-signing-key-file=/etc/kubernetes/pki/sa.key --service-account-key-file=/etc/kubernetes/pki/sa.pub";
const CONTROLLERS: &str = "/usr/local/bin/kube-controller-manager --kubeconfig=/etc/kubernetes/controller-manager.conf \
    --service-account-private-key-file=/etc/kubernetes/pki/sa.key --service-cluster-ip-range=10.201.0.0/16 --cluster-cidr=10.200.0.0/16";
const SCHEDULER: &str = "/usr/local/bin/kube-scheduler --kubeconfig=/etc/kubernetes/scheduler.conf";
const ETCD: &str = "/usr/local/bin/etcd --config-file=/etc/etcd/etcd.yaml";
const KUBELET: &str =
    "/usr/local/bin/kubelet --config=/var/lib/kubelet/config.yaml --kubeconfig=/etc/kubernetes/kubelet.conf";
const PROXY: &str = "/usr/local/bin/kube-proxy --config=/var/lib/kube-proxy/config.yaml";

const ETCD_YAML: &str = "name: cp\ninitial-cluster: cp=https://10.10.0.11:2380\ninitial-cluster-token: lab\ndata-dir: /var/lib/etcd\n\
    client-transport-security:\n  cert-file: /etc/kubernetes/pki/etcd-server.crt\n  key-file: /etc/kubernetes/pki/etcd-server.key\n  \
    trusted-ca-file: /etc/kubernetes/pki/etcd-ca.crt\n  client-cert-auth: true\npeer-transport-security:\n  cert-file: /etc/kubernetes/pki/etcd-peer.crt\n  \
    key-file: /etc/kubernetes/pki/etcd-peer.key\n  trusted-ca-file: /etc/kubernetes/pki/etcd-ca.crt\n  client-cert-auth: true\n";
const HAPROXY: &str = "global\ndefaults\n  mode tcp\nfrontend k\n  bind 127.0.0.1:7443\nbackend b\n  option httpchk\n  \
    http-check send meth GET uri /readyz\n  default-server check verify required ca-file /etc/kubernetes/pki/cluster-ca.crt\n  server cp 10.10.0.11:6443\n";
const SWANCTL: &str = "connections {\n  ra--rb {\n    remote_addrs = 198.51.100.7\n    local {\n      certs = ra.crt\n      id = ra.lab.ipsec.internal\n    }\n    \
    remote {\n      cacerts = ca.crt\n      id = rb.lab.ipsec.internal\n    }\n    children {\n      ra--rb {\n        if_id_in = 2\n        if_id_out = 2\n      }\n    }\n  }\n}\n";
const ENCRYPTION: &str = "kind: EncryptionConfiguration\nresources:\n  - resources: [secrets]\n    providers:\n      - secretbox:\n          keys:\n            - name: key-12345678\n              secret: ";
const COREDNS: &str = "kind: ConfigMap\nmetadata: {name: coredns}\n---\nkind: Service\nmetadata: {name: kube-dns}\nspec: {clusterIP: 10.201.0.10}\n";

fn file(path: &str, text: &str) -> File {
    File {
        path: path.to_owned(),
        owner: "root:root".to_owned(),
        mode: "0644".to_owned(),
        content: vec![Segment::Text { text: text.to_owned() }],
        origin: "test".to_owned(),
        on_change: Vec::new(),
    }
}

fn secret(path: &str, reference: &str) -> File {
    let content = vec![Segment::Secret { secret: reference.to_owned(), encoding: Encoding::Raw }];
    File { mode: "0600".to_owned(), content, ..file(path, "") }
}

fn service(name: &str, command: &str) -> File {
    let text = format!(
        "[Unit]\nDescription=x\n[Service]\nExecStart={command}\n[Install]\nWantedBy=multi-user.target\n"
    );
    let on_change = vec![OnChange { unit: format!("{name}.service"), action: UnitAction::Restart }];
    File { on_change, ..file(&format!("/etc/systemd/system/{name}.service"), &text) }
}

fn kubeconfig(component: &str, certificate: &str) -> File {
    let text = format!(
        "kind: Config\nclusters:\n  - name: lab\n    cluster: {{certificate-authority: /etc/kubernetes/pki/cluster-ca.crt, server: \"https://127.0.0.1:7443\"}}\n\
         users:\n  - name: u\n    user: {{client-certificate: /etc/kubernetes/pki/{certificate}.crt, client-key: /etc/kubernetes/pki/{certificate}.key}}\n\
         contexts:\n  - name: c\n    context: {{cluster: lab, user: u}}\ncurrent-context: c\n"
    );
    file(&format!("/etc/kubernetes/{component}.conf"), &text)
}

/// The plan of a router in FRR's words.
fn frr(plan: &RouterPlan) -> File {
    use std::fmt::Write as _;
    let mut text = format!(
        "! test\nbfd\n profile slow\n  detect-multiplier 3\n  receive-interval 1000\n  transmit-interval 1000\n exit\nexit\n\
         router bgp {}\n bgp bestpath compare-routerid\n bgp deterministic-med\n",
        plan.asn
    );
    for session in &plan.sessions {
        let peer = session.peer_address;
        let _ = write!(
            text,
            " neighbor {peer} remote-as {}\n neighbor {peer} timers 3 9\n address-family ipv4 unicast\n  neighbor {peer} activate\n  \
             neighbor {peer} maximum-prefix 1000\n  neighbor {peer} route-map {} in\n  neighbor {peer} route-map {} out\n",
            session.peer_asn, session.import, session.export
        );
        if session.as_override {
            let _ = writeln!(text, "  neighbor {peer} as-override");
        }
        let _ = match session.restart {
            0 => writeln!(text, " neighbor {peer} graceful-restart-disable"),
            _ => writeln!(text, " neighbor {peer} graceful-restart-helper"),
        };
        if session.password.is_some() {
            let _ = writeln!(text, " neighbor {peer} password by-setkey");
        }
        if session.bfd_ms.is_some() {
            let _ = writeln!(text, " neighbor {peer} bfd profile slow");
        }
    }
    for net in &plan.originate {
        let _ = writeln!(text, "  network {net}");
    }
    for net in &plan.unreachable {
        let _ = writeln!(text, "ip route {net} reject 254");
    }
    for list in &plan.prefix_lists {
        for (n, rule) in list.permit.iter().enumerate() {
            let _ = write!(text, "ip prefix-list {} seq {} permit {}", list.name, n + 1, rule.prefix);
            let bounds = rule.ge.map(|ge| format!(" ge {ge} le 32")).unwrap_or_default();
            let _ = writeln!(text, "{bounds}");
        }
    }
    text += "bgp as-path access-list nodes seq 5 permit ^(64512)(_64512)*$\n";
    for map in &plan.route_maps {
        for (n, rule) in map.rules.iter().enumerate() {
            let list = rule.prefix_list.as_deref().unwrap_or_default();
            let _ = writeln!(
                text,
                "route-map {} permit {}\n match ip address prefix-list {list}",
                map.name,
                10 * (n + 1)
            );
            if rule.as_path.is_some() {
                text += " match as-path nodes\n";
            }
            if let Some(med) = rule.set.med {
                let _ = writeln!(text, " set metric {med}");
            }
            text += "exit\n";
        }
    }
    file("/etc/frr/frr.conf", &text)
}

fn node(model: &Model, name: &str) -> Machine {
    let node = &model.nodes[name];
    let mut files = vec![
        service("kubelet", KUBELET),
        service("kube-proxy", PROXY),
        file("/etc/haproxy/haproxy.cfg", HAPROXY),
        kubeconfig("kubelet", "kubelet-client"),
        kubeconfig("kube-proxy", "kube-proxy"),
        file("/etc/kubernetes/resolv.conf", "nameserver 10.10.0.1\n"),
        file(
            "/var/lib/kubelet/config.yaml",
            "kind: KubeletConfiguration\nclusterDNS: [10.201.0.10]\nclusterDomain: cluster.local\ncgroupDriver: systemd\n\
             tlsCertFile: /etc/kubernetes/pki/kubelet-serving.crt\ntlsPrivateKeyFile: /etc/kubernetes/pki/kubelet-serving.key\n\
             resolvConf: /etc/kubernetes/resolv.conf\nauthentication: {x509: {clientCAFile: /etc/kubernetes/pki/cluster-ca.crt}}\n",
        ),
        file(
            "/var/lib/kube-proxy/config.yaml",
            &format!(
                "clientConnection: {{kubeconfig: /etc/kubernetes/kube-proxy.conf}}\nclusterCIDR: 10.200.0.0/16\nhostnameOverride: {name}\nmode: nftables\n"
            ),
        ),
    ];
    let mut units = vec!["haproxy", "kubelet", "kube-proxy"];
    let mut programs = vec!["kube-proxy", "kubelet"];
    if node.roles.contains(&Role::ControlPlane) {
        let encryption =
            Segment::Secret { secret: "keys/encryption.key".to_owned(), encoding: Encoding::Base64 };
        let text = |t: &str| Segment::Text { text: t.to_owned() };
        files.extend([
            service("etcd", ETCD),
            service("kube-apiserver", APISERVER),
            service("kube-controller-manager", CONTROLLERS),
            service("kube-scheduler", SCHEDULER),
            file("/etc/etcd/etcd.yaml", ETCD_YAML),
            kubeconfig("controller-manager", "controller-manager"),
            kubeconfig("scheduler", "scheduler"),
            file("/etc/kubernetes/audit.yaml", "kind: Policy\nrules: []\n"),
            File {
                mode: "0600".to_owned(),
                content: vec![text(ENCRYPTION), encryption, text("\n")],
                ..file("/etc/kubernetes/encryption.yaml", "")
            },
        ]);
        units.extend(["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]);
        programs.extend(["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]);
    }
    let artifact = |program: &str| Artifact {
        name: program.to_owned(),
        version: if program == "etcd" { "3.6.8" } else { "1.36.2" }.to_owned(),
        arch: node.arch,
        url: format!("https://dl.example.net/{program}"),
        path: format!("/usr/local/bin/{program}"),
    };
    Machine {
        kind: MachineKind::Node,
        site: Some(node.site.to_string()),
        roles: node.roles.iter().copied().collect(),
        arch: Some(node.arch),
        files,
        units: units
            .into_iter()
            .map(|u| Unit { name: format!("{u}.service"), enable: true, ready: vec![] })
            .collect(),
        artifacts: programs.into_iter().map(artifact).collect(),
        ..machine(name, MachineKind::Node)
    }
}

fn machine(name: &str, kind: MachineKind) -> Machine {
    Machine {
        name: name.to_owned(),
        kind,
        site: None,
        roles: Vec::new(),
        arch: None,
        address: None,
        ssh: kmh_doc::inventory::Ssh::default(),
        files: Vec::new(),
        units: Vec::new(),
        artifacts: Vec::new(),
    }
}

/// The bundle.
pub(crate) fn bundle(model: &Model, pki: &PkiSpec) -> BundleSpec {
    let tunnels = "#!/bin/sh\nip link add xfrm2 type xfrm if_id 2\nip address add 10.255.0.9/30 dev xfrm2\n";
    let plan = super::network::network(model);
    let resources: Vec<String> = plan.calico.iter().map(ToString::to_string).collect();
    let resources = resources.join("\n---\n");
    let conf = frr(&plan.routers[1]);
    let raw = match conf.content.as_slice() {
        [Segment::Text { text }] => base64::engine::general_purpose::STANDARD.encode(text),
        _ => unreachable!(),
    };
    let settings = serde_json::json!({
        "installedpackages": {"frrglobalraw": {"config": [{"frr": raw}]}},
        "tunnels": [{"if": "ipsec2"}],
        "ipsec": {
            "phase1": [{"ikeid": 2, "iketype": "ikev2", "myid_data": "rb.lab.ipsec.internal", "peerid_data": "ra.lab.ipsec.internal"}],
            "phase2": [{"ikeid": 2, "mode": "vti", "reqid": 2, "localid": {"address": "10.255.0.10"}, "remoteid": {"address": "10.255.0.9"}}],
        },
    });
    let unit = |name: &str| Unit { name: format!("{name}.service"), enable: true, ready: vec![] };
    let mut machines = vec![
        node(model, "cp"),
        node(model, "pi"),
        Machine {
            site: Some("a".to_owned()),
            files: vec![
                frr(&plan.routers[0]),
                secret("/etc/frr/password", "keys/bgp/a.key"),
                file("/etc/swanctl/conf.d/kmh.conf", SWANCTL),
                File { mode: "0755".to_owned(), ..file("/usr/local/lib/kmh/tunnels.sh", tunnels) },
                service("kmh-tunnels", "/usr/local/lib/kmh/tunnels.sh"),
            ],
            units: vec![unit("kmh-tunnels"), unit("strongswan"), unit("frr")],
            ..machine("ra", MachineKind::LinuxRouter)
        },
        Machine {
            site: Some("b".to_owned()),
            files: vec![
                conf,
                file("/usr/local/etc/kmh/settings.json", &settings.to_string()),
                secret("/usr/local/etc/kmh/password", "keys/bgp/b.key"),
            ],
            units: vec![Unit { name: "frr".to_owned(), enable: true, ready: vec![] }],
            ..machine("rb", MachineKind::Pfsense)
        },
        Machine {
            files: vec![
                file("/etc/kubernetes/cluster/calico.yaml", &resources),
                File {
                    content: ["keys/bgp/a.key", "keys/bgp/b.key"]
                        .map(|name| Segment::Secret { secret: name.to_owned(), encoding: Encoding::Raw })
                        .to_vec(),
                    ..secret("/etc/kubernetes/cluster/bgp-passwords.yaml", "")
                },
                file("/etc/kubernetes/cluster/coredns.yaml", COREDNS),
            ],
            ..machine("cluster", MachineKind::Cluster)
        },
    ];
    let public = pki.certificates.iter().map(|c| (Some(&c.pem), c.key.as_ref(), &c.deploy));
    let keys = pki.keys.iter().map(|k| (k.public.as_ref(), Some(&k.secret), &k.deploy));
    for (pem, key, deploys) in public.chain(keys) {
        for deploy in deploys {
            let machine = machines.iter_mut().find(|m| m.name == deploy.machine).expect("the machine");
            if let (Some(path), Some(pem)) = (&deploy.certificate, pem) {
                // Generations share a file.
                match machine
                    .files
                    .iter_mut()
                    .find(|file| file.path == *path)
                    .map(|file| &mut file.content[..])
                {
                    Some([Segment::Text { text }]) => *text += pem,
                    _ => machine.files.push(file(path, pem)),
                }
            }
            if let (Some(path), Some(key)) = (&deploy.key, key) {
                machine.files.push(secret(path, key));
            }
        }
    }
    for machine in &mut machines {
        machine.files.sort_by(|a, b| a.path.cmp(&b.path));
    }
    machines.sort_by(|a, b| a.name.cmp(&b.name));
    BundleSpec { store: pki.store.clone(), planned: false, machines }
}

impl Fixture {
    /// A machine of the bundle.
    pub(crate) fn machine(&mut self, name: &str) -> &mut Machine {
        self.bundle
            .machines
            .iter_mut()
            .find(|m| m.name == name)
            .unwrap_or_else(|| panic!("no machine {name}"))
    }

    /// A file of a machine.
    pub(crate) fn file(&mut self, machine: &str, path: &str) -> &mut File {
        let files = &mut self.machine(machine).files;
        files.iter_mut().find(|f| f.path == path).unwrap_or_else(|| panic!("no file {path}"))
    }

    /// Replaces text in a file; it must be there.
    pub(crate) fn edit(&mut self, machine: &str, path: &str, from: &str, to: &str) {
        let mut found = false;
        for segment in &mut self.file(machine, path).content {
            if let Segment::Text { text } = segment {
                found |= text.contains(from);
                *text = text.replace(from, to);
            }
        }
        assert!(found, "{path} does not hold {from:?}");
    }

    /// Takes a file away.
    pub(crate) fn remove(&mut self, machine: &str, path: &str) {
        let files = &mut self.machine(machine).files;
        let before = files.len();
        files.retain(|f| f.path != path);
        assert_ne!(files.len(), before, "no file {path}");
    }

    /// Adds a file.
    pub(crate) fn add(&mut self, machine: &str, path: &str, text: &str) {
        let file = file(path, text);
        self.machine(machine).files.push(file);
    }
}

/// An architecture that is not the machine's.
pub(crate) const OTHER: Arch = Arch::Amd64;
