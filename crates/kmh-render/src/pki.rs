//! Where certificates and keys lie on each machine, as the PKI document says.

use std::collections::BTreeMap;

use kmh_doc::bundle::{Encoding, File, OnChange, Segment, UnitAction};
use kmh_doc::pki::{Certificate, Class, Deploy, Key, KeyClass, PkiSpec};

use crate::fault::Fault;
use crate::safe;

/// The PKI document by class and machine.
pub(crate) struct Pki<'a> {
    /// The document.
    pub(crate) spec: &'a PkiSpec,
    certificates: BTreeMap<(&'a str, Class), (&'a Certificate, &'a Deploy)>,
    keys: BTreeMap<(&'a str, KeyClass), (&'a Key, &'a Deploy)>,
    files: BTreeMap<&'a str, Vec<Placed<'a>>>,
    secrets: BTreeMap<&'a str, &'a str>,
}

/// Something that goes to a machine.
enum Placed<'a> {
    Certificate(&'a Certificate, &'a Deploy),
    Key(&'a Key, &'a Deploy),
}

/// The two paths of a certificate and its key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<'a> {
    /// Path of the certificate, or of the public key.
    pub(crate) certificate: &'a str,
    /// Path of the private key.
    pub(crate) key: &'a str,
}

impl<'a> Pki<'a> {
    /// Sorts the document by machine.
    pub(crate) fn new(spec: &'a PkiSpec) -> Self {
        let mut pki = Self {
            spec,
            certificates: BTreeMap::new(),
            keys: BTreeMap::new(),
            files: BTreeMap::new(),
            secrets: spec.keys.iter().map(|key| (key.name.as_str(), key.secret.as_str())).collect(),
        };
        for certificate in &spec.certificates {
            for deploy in &certificate.deploy {
                pki.certificates.insert((&deploy.machine, certificate.class), (certificate, deploy));
                pki.files.entry(&deploy.machine).or_default().push(Placed::Certificate(certificate, deploy));
            }
        }
        for key in &spec.keys {
            for deploy in &key.deploy {
                pki.keys.insert((&deploy.machine, key.class), (key, deploy));
                pki.files.entry(&deploy.machine).or_default().push(Placed::Key(key, deploy));
            }
        }
        pki
    }

    /// Path of a CA's certificate on a machine.
    pub(crate) fn authority(&self, class: Class, machine: &str) -> Result<&'a str, Fault> {
        let found =
            self.certificates.get(&(machine, class)).and_then(|(_, deploy)| deploy.certificate.as_deref());
        safe::path(found.ok_or_else(|| missing(&word(class), machine))?)
    }

    /// Paths of a machine's certificate and key.
    pub(crate) fn pair(&self, class: Class, machine: &str) -> Result<Pair<'a>, Fault> {
        let deploy = self.certificates.get(&(machine, class)).map(|(_, deploy)| *deploy);
        both(deploy).ok_or_else(|| missing(&word(class), machine))?
    }

    /// Paths of a key pair without certificate.
    pub(crate) fn key_pair(&self, class: KeyClass, machine: &str) -> Result<Pair<'a>, Fault> {
        let deploy = self.keys.get(&(machine, class)).map(|(_, deploy)| *deploy);
        both(deploy).ok_or_else(|| missing(&word(class), machine))?
    }

    /// A machine's certificate itself.
    pub(crate) fn certificate(&self, class: Class, machine: &str) -> Result<&'a Certificate, Fault> {
        self.certificates
            .get(&(machine, class))
            .map(|(found, _)| *found)
            .ok_or_else(|| missing(&word(class), machine))
    }

    /// The certificate of a class of which there is one.
    pub(crate) fn only(&self, class: Class) -> Result<&'a Certificate, Fault> {
        self.spec.of(class).next().ok_or_else(|| missing(&word(class), "the cluster"))
    }

    /// The key of a class that the cluster shares.
    pub(crate) fn shared_key(&self, class: KeyClass) -> Result<&'a Key, Fault> {
        self.spec
            .keys
            .iter()
            .find(|key| key.class == class)
            .ok_or_else(|| missing(&word(class), "the cluster"))
    }

    /// Reference to the secret of the key of that name.
    pub(crate) fn secret(&self, name: &str) -> Result<&'a str, Fault> {
        self.secrets.get(name).copied().ok_or_else(|| {
            Fault::new(format!("the PKI has no key `{}`", name.escape_debug()))
                .hint("run `kmh-pki ensure --store DIR` with this inventory again")
        })
    }

    /// The files of a machine: certificates and public keys as text, private keys as references.
    pub(crate) fn files(
        &self,
        machine: &str,
        on_change: impl Fn(Subject) -> Vec<OnChange>,
    ) -> Result<Vec<File>, Fault> {
        let mut files = Vec::new();
        for placed in self.files.get(machine).into_iter().flatten() {
            let (subject, name, text, secret, deploy) = match placed {
                Placed::Certificate(c, deploy) => {
                    (Subject::Certificate(c.class), &c.name, c.pem.as_str(), c.key.as_deref(), deploy)
                }
                Placed::Key(k, deploy) => (
                    Subject::Key(k.class),
                    &k.name,
                    k.public.as_deref().unwrap_or_default(),
                    Some(k.secret.as_str()),
                    deploy,
                ),
            };
            let on_change = on_change(subject);
            let file = |path: &str, mode: &str, content: Vec<Segment>| -> Result<File, Fault> {
                Ok(File {
                    path: safe::path(path)?.to_owned(),
                    owner: "root:root".to_owned(),
                    mode: mode.to_owned(),
                    content,
                    origin: format!("pki:{name}"),
                    on_change: on_change.clone(),
                })
            };
            if let Some(path) = &deploy.certificate {
                files.push(file(path, "0644", crate::engine::plain(text.to_owned()))?);
            }
            if let Some(path) = &deploy.key {
                // Without a reference the key was made on its machine and lies there: only its path is known.
                let Some(secret) = secret else { continue };
                files.push(file(
                    path,
                    "0600",
                    vec![Segment::Secret { secret: secret.to_owned(), encoding: Encoding::Raw }],
                )?);
            }
        }
        Ok(files)
    }
}

/// What a file of the PKI holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A certificate or its key.
    Certificate(Class),
    /// A key without certificate.
    Key(KeyClass),
}

fn both(deploy: Option<&Deploy>) -> Option<Result<Pair<'_>, Fault>> {
    let deploy = deploy?;
    let (certificate, key) = (deploy.certificate.as_deref()?, deploy.key.as_deref()?);
    Some(safe::path(certificate).and_then(|certificate| Ok(Pair { certificate, key: safe::path(key)? })))
}

fn word(class: impl serde::Serialize) -> String {
    serde_json::to_value(class).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn missing(what: &str, machine: &str) -> Fault {
    Fault::new(format!("the PKI has no `{what}` for `{machine}`"))
        .hint("run `kmh-pki ensure --store DIR` with this inventory again")
}

/// What must be told when a certificate or key changes: Kubernetes' components and etcd read most of them anew by
/// themselves (client-go re-reads files that a kubeconfig refers to; etcd reads its pair at each handshake), and what
/// they do not is a row here. `kubernetes` is the minor version.
pub(crate) fn on_change(subject: Subject, units: &[&str], kubernetes: u16) -> Vec<OnChange> {
    use Class as C;
    use UnitAction::{Reload, Restart};
    let rows: &[(&str, UnitAction)] = match subject {
        Subject::Certificate(C::ClusterCa) => &[
            ("haproxy.service", Reload),
            ("kube-apiserver.service", Restart),
            ("kube-controller-manager.service", Restart),
            ("kube-scheduler.service", Restart),
            ("kubelet.service", Restart),
            ("kube-proxy.service", Restart),
        ],
        Subject::Certificate(C::EtcdCa) => &[("etcd.service", Restart), ("kube-apiserver.service", Restart)],
        Subject::Certificate(C::ApiserverKubeletClient) => &[("kube-apiserver.service", Restart)],
        // ReloadKubeletServerCertificateFile: on by default from 1.31.
        Subject::Certificate(C::KubeletServing) if kubernetes < 31 => &[("kubelet.service", Restart)],
        Subject::Certificate(C::IpsecCa | C::IpsecRouter) => &[("strongswan.service", Reload)],
        Subject::Key(KeyClass::ServiceAccount) => {
            &[("kube-apiserver.service", Restart), ("kube-controller-manager.service", Restart)]
        }
        _ => &[],
    };
    rows.iter()
        .filter(|(unit, _)| units.contains(unit))
        .map(|(unit, action)| OnChange { unit: (*unit).to_owned(), action: *action })
        .collect()
}
