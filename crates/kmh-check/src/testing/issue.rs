//! Test certificates, issued by rcgen after the checker's own table.

use std::collections::BTreeMap;

use kmh_cert::Facts;
use kmh_cert::facts::rfc3339;
use kmh_doc::pki::{Certificate, Class, Deploy, Key, KeyClass, PkiSpec, Rotating, Rotation, Stage, Usage};
use kmh_model::Model;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType,
};
use time::macros::datetime;

use super::Fixture;
use crate::pki::{class_name, expect};

/// The name of a CA's certificate.
pub(crate) fn ca_name(class: Class) -> &'static str {
    match class {
        Class::EtcdCa => "ca/etcd",
        Class::FrontProxyCa => "ca/front-proxy",
        Class::IpsecCa => "ca/ipsec",
        _ => "ca/cluster",
    }
}

/// What a certificate of that class and machine is made from.
pub(crate) fn params(model: &Model, row: &expect::Row, machine: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = datetime!(2026-01-01 00:00 UTC);
    params.not_after =
        if row.is_ca() { datetime!(2036-01-01 00:00 UTC) } else { datetime!(2027-01-01 00:00 UTC) };
    let mut name = DistinguishedName::new();
    for organization in row.organizations {
        name.push(DnType::OrganizationName, *organization);
    }
    name.push(
        DnType::CommonName,
        row.common_name_of(model, machine).unwrap_or_else(|| class_name(row.class)),
    );
    params.distinguished_name = name;
    if row.is_ca() {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        return params;
    }
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let purpose = |usage: &Usage| match usage {
        Usage::Client => ExtendedKeyUsagePurpose::ClientAuth,
        Usage::Server => ExtendedKeyUsagePurpose::ServerAuth,
    };
    params.extended_key_usages = row.usages.iter().map(purpose).collect();
    let names = expect::alternatives(model, row.names, machine);
    let dns = names.dns.iter().map(|n| SanType::DnsName(n.as_str().try_into().expect("a DNS name")));
    params.subject_alt_names = dns.chain(names.addresses.iter().map(|a| SanType::IpAddress(*a))).collect();
    params
}

/// Sets the fields of an entry to what its certificate says.
fn describe(entry: &mut Certificate) {
    let facts = Facts::from_pem(entry.pem.as_bytes()).expect("a certificate");
    entry.common_name = facts.common_names.join(", ");
    entry.fingerprint = facts.fingerprint();
    entry.serial = facts.serial_hex();
    entry.not_before = rfc3339(facts.not_before);
    entry.not_after = rfc3339(facts.not_after);
    entry.algorithm.clone_from(&facts.algorithm);
    entry.organizations = facts.organizations;
    entry.dns_names = facts.dns_names;
    entry.addresses = facts.addresses;
    entry.usages = facts.usages;
}

fn entry(name: String, class: Class, machine: Option<&str>, pem: String) -> Certificate {
    let mut entry = Certificate {
        issuer: (!expect::row(class).is_ca()).then(|| ca_name(expect::row(class).issuer).to_owned()),
        key: Some(format!("{name}.key")),
        machine: machine.map(str::to_owned),
        name,
        class,
        pem,
        common_name: String::new(),
        organizations: Vec::new(),
        dns_names: Vec::new(),
        addresses: Vec::new(),
        usages: Vec::new(),
        algorithm: String::new(),
        not_before: String::new(),
        not_after: String::new(),
        serial: String::new(),
        fingerprint: String::new(),
        deploy: Vec::new(),
    };
    describe(&mut entry);
    entry.deploy = deploy(&entry);
    entry
}

/// Paths as kubeadm has them, simplified.
fn deploy(entry: &Certificate) -> Vec<Deploy> {
    let at = |machine: &str, stem: &str, key: bool| Deploy {
        machine: machine.to_owned(),
        certificate: Some(format!("{stem}.crt")),
        key: key.then(|| format!("{stem}.key")),
    };
    let stem = format!("/etc/kubernetes/pki/{}", class_name(entry.class));
    match (entry.class, &entry.machine) {
        (Class::ClusterCa, _) => vec![at("cp", &stem, false), at("pi", &stem, false)],
        (Class::EtcdCa | Class::FrontProxyCa, _) => vec![at("cp", &stem, false)],
        (Class::IpsecCa, _) => {
            vec![at("ra", "/etc/swanctl/x509ca/ca", false), at("rb", "/usr/local/etc/kmh/ipsec/ca", false)]
        }
        (Class::IpsecRouter, Some(machine)) if machine == "ra" => vec![Deploy {
            machine: machine.clone(),
            certificate: Some("/etc/swanctl/x509/ra.crt".to_owned()),
            key: Some("/etc/swanctl/private/ra.key".to_owned()),
        }],
        (Class::IpsecRouter, Some(machine)) => vec![at(machine, "/usr/local/etc/kmh/ipsec/router", true)],
        (_, Some(machine)) => vec![at(machine, &stem, true)],
        (_, None) => Vec::new(),
    }
}

/// All certificates of a cluster, and the keys of its CAs.
pub(crate) fn pki(model: &Model) -> (PkiSpec, BTreeMap<String, String>) {
    let mut authorities = BTreeMap::new();
    let mut certificates = Vec::new();
    for row in expect::TABLE.iter().filter(|r| r.is_ca() && r.class != Class::RootCa) {
        let key = KeyPair::generate().expect("a key");
        let pem = params(model, row, None).self_signed(&key).expect("a certificate").pem();
        authorities.insert(ca_name(row.class).to_owned(), key.serialize_pem());
        certificates.push(entry(ca_name(row.class).to_owned(), row.class, None, pem));
    }
    for row in expect::TABLE.iter().filter(|r| !r.is_ca()) {
        let ca = certificates.iter().find(|c| c.name == ca_name(row.issuer)).expect("its CA").pem.clone();
        for machine in row.machines(model) {
            let key = KeyPair::generate().expect("a key");
            let pem = sign(&params(model, row, machine), &key, &ca, &authorities[ca_name(row.issuer)]);
            let name = format!("{}/{}", machine.unwrap_or("cluster"), class_name(row.class));
            certificates.push(entry(name, row.class, machine, pem));
        }
    }
    certificates.sort_by(|a, b| a.name.cmp(&b.name));
    let signer = KeyPair::generate().expect("a key");
    let public = signer.subject_public_key_info();
    let password = |site: &str| Key {
        name: format!("keys/bgp/{site}"),
        class: KeyClass::BgpPassword,
        algorithm: "random-256".to_owned(),
        secret: format!("keys/bgp/{site}.key"),
        public: None,
        id: None,
        deploy: Vec::new(),
    };
    let keys = vec![
        Key {
            name: "keys/encryption".to_owned(),
            class: KeyClass::Encryption,
            algorithm: "random-256".to_owned(),
            secret: "keys/encryption.key".to_owned(),
            public: None,
            id: Some("key-12345678".to_owned()),
            deploy: Vec::new(),
        },
        Key {
            name: "keys/service-account".to_owned(),
            class: KeyClass::ServiceAccount,
            algorithm: "ecdsa-p256".to_owned(),
            secret: "keys/service-account.key".to_owned(),
            public: Some(pem("PUBLIC KEY", &public)),
            id: None,
            deploy: vec![Deploy {
                machine: "cp".to_owned(),
                certificate: Some("/etc/kubernetes/pki/sa.pub".to_owned()),
                key: Some("/etc/kubernetes/pki/sa.key".to_owned()),
            }],
        },
        password("a"),
        password("b"),
    ];
    (
        PkiSpec {
            store: "store-1".to_owned(),
            planned: false,
            certificates,
            keys,
            rotations: vec![],
            steps: vec![],
        },
        authorities,
    )
}

fn pem(label: &str, der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut body = String::new();
    for chunk in der.chunks(3) {
        let bits =
            chunk.iter().chain([0, 0].iter()).take(3).fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        for place in 0..4 {
            let digit = char::from(DIGITS[(bits >> (18 - 6 * place)) as usize & 63]);
            body.push(if place > chunk.len() { '=' } else { digit });
        }
    }
    let lines: Vec<&str> = (0..body.len()).step_by(64).map(|at| &body[at..body.len().min(at + 64)]).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn sign(params: &CertificateParams, key: &KeyPair, ca_pem: &str, ca_key: &str) -> String {
    let ca_key = KeyPair::from_pem(ca_key).expect("the CA's key");
    let issuer = Issuer::from_ca_cert_pem(ca_pem, ca_key).expect("the CA");
    params.signed_by(key, &issuer).expect("a certificate").pem()
}

impl Fixture {
    /// The entry of that name.
    pub(crate) fn entry(&mut self, name: &str) -> &mut Certificate {
        self.pki
            .certificates
            .iter_mut()
            .find(|c| c.name == name)
            .unwrap_or_else(|| panic!("no certificate {name}"))
    }

    /// Issues a certificate again with something changed, with all else as it should be.
    pub(crate) fn reissue(&mut self, name: &str, change: impl FnOnce(&mut CertificateParams)) {
        let authority = self.entry(name).issuer.clone();
        self.reissue_by(name, authority.as_deref(), change);
    }

    /// [`Self::reissue`] by another CA; by itself without one.
    pub(crate) fn reissue_by(
        &mut self,
        name: &str,
        ca: Option<&str>,
        change: impl FnOnce(&mut CertificateParams),
    ) {
        let (model, _) = super::model(&self.inventory);
        let old = self.entry(name).clone();
        let mut params = params(&model, expect::row(old.class), old.machine.as_deref());
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let pem = match ca {
            Some(ca) => {
                let ca_pem = self.entry(ca).pem.clone();
                sign(&params, &key, &ca_pem, &self.authorities[ca])
            }
            None => params.self_signed(&key).expect("a certificate").pem(),
        };
        let entry = self.entry(name);
        entry.pem = pem;
        describe(entry);
    }

    /// Gives a certificate the key of another, with all else as it should be.
    pub(crate) fn share_key(&mut self, name: &str, with: &str) {
        let (model, _) = super::model(&self.inventory);
        let (old, ca) = (self.entry(name).clone(), self.entry(with).clone());
        let key = KeyPair::from_pem(&self.authorities[with]).expect("a key");
        assert!(old.issuer.is_none() && ca.issuer.is_none(), "only keys of CAs are kept");
        let pem =
            params(&model, expect::row(old.class), None).self_signed(&key).expect("a certificate").pem();
        let entry = self.entry(name);
        entry.pem = pem;
        describe(entry);
    }
    /// In a stage of the rotation of the cluster's CA, with files and leaves as they are then.
    pub(crate) fn rotated(stage: Stage) -> Self {
        let mut fixture = Self::good();
        let (model, _) = super::model(&fixture.inventory);
        let key = KeyPair::generate().expect("a key");
        let row = expect::row(Class::ClusterCa);
        let pem = params(&model, row, None).self_signed(&key).expect("a certificate").pem();
        let mut other = fixture.entry("ca/cluster").clone();
        if stage == Stage::Issue {
            other.name = "ca/cluster.old".to_owned();
            let entry = fixture.entry("ca/cluster");
            entry.pem = pem;
            describe(entry);
            fixture.authorities.insert("ca/cluster".to_owned(), key.serialize_pem());
            let leaves =
                fixture.pki.certificates.iter().filter(|c| c.issuer.as_deref() == Some("ca/cluster"));
            for name in leaves.map(|leaf| leaf.name.clone()).collect::<Vec<_>>() {
                fixture.reissue(&name, |_| {});
            }
        } else {
            other.name = "ca/cluster.next".to_owned();
            other.pem = pem;
            describe(&mut other);
            fixture.authorities.insert(other.name.clone(), key.serialize_pem());
        }
        other.key = Some(format!("{}.key", other.name));
        fixture.pki.certificates.push(other);
        fixture.pki.certificates.sort_by(|a, b| a.name.cmp(&b.name));
        fixture.pki.rotations = vec![Rotation { name: Rotating::Cluster, stage }];
        fixture.bundle = super::bundle::bundle(&model, &fixture.pki);
        fixture
    }
}
