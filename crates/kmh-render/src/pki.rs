//! Where certificates and keys lie on each machine, as the PKI document says.

use std::collections::BTreeMap;

use kmh_doc::bundle::{Encoding, File, OnChange, Segment};
use kmh_doc::pki::{Certificate, Class, Deploy, Generation, Key, KeyClass, PkiSpec};
use kmh_model::reload::{self, Held};

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
                if certificate.generation() == Generation::Current {
                    pki.certificates.insert((&deploy.machine, certificate.class), (certificate, deploy));
                }
                pki.files.entry(&deploy.machine).or_default().push(Placed::Certificate(certificate, deploy));
            }
        }
        for key in &spec.keys {
            for deploy in &key.deploy {
                if key.generation() == Generation::Current {
                    pki.keys.insert((&deploy.machine, key.class), (key, deploy));
                }
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

    /// The root above the CAs, where there is one.
    pub(crate) fn root(&self) -> Option<&'a Certificate> {
        self.spec.current(Class::RootCa)
    }

    /// All trusted certificates of a CA, and the root above it.
    pub(crate) fn chain(&self, class: Class) -> String {
        self.spec.bundle(class) + &self.spec.bundle(Class::RootCa)
    }

    /// Paths of the trusted certificates of a CA on a machine: one that all share, or one for each.
    pub(crate) fn authorities(&self, class: Class, machine: &str) -> Result<Vec<&'a str>, Fault> {
        let mut paths = vec![self.authority(class, machine)?];
        for deploy in self.spec.trusted(class).into_iter().flat_map(|one| &one.deploy) {
            match deploy.certificate.as_deref().filter(|_| deploy.machine == machine) {
                Some(path) if !paths.contains(&path) => paths.push(safe::path(path)?),
                _ => {}
            }
        }
        Ok(paths)
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
        self.spec.current(class).ok_or_else(|| missing(&word(class), "the cluster"))
    }

    /// The keys of a class that the cluster shares, the one in use first.
    pub(crate) fn shared_keys(&self, class: KeyClass) -> Result<Vec<&'a Key>, Fault> {
        let keys = self.spec.keys_of(class);
        match keys.first() {
            Some(first) if first.generation() == Generation::Current => Ok(keys),
            _ => Err(missing(&word(class), "the cluster")),
        }
    }

    /// Reference to the secret of the key of that name.
    pub(crate) fn secret(&self, name: &str) -> Result<&'a str, Fault> {
        self.secrets.get(name).copied().ok_or_else(|| {
            Fault::new(format!("the PKI has no key `{}`", name.escape_debug()))
                .hint("run `kmh-pki ensure --store DIR` with this inventory again")
        })
    }

    /// The files of a machine: certificates and public keys as text, private keys as references. What several
    /// generations share is one file, the oldest first: see [`PkiSpec::bundle`].
    pub(crate) fn files(
        &self,
        machine: &str,
        on_change: impl Fn(Held) -> Vec<OnChange>,
    ) -> Result<Vec<File>, Fault> {
        let mut placed: Vec<_> = self.files.get(machine).into_iter().flatten().collect();
        placed.sort_by_key(|one| Generation::of(one.name()));
        let mut files: Vec<File> = Vec::new();
        for one in placed {
            let (name, deploy) = (one.name(), one.deploy());
            let origin = format!("pki:{}", name.strip_suffix(Generation::of(name).ending()).unwrap_or(name));
            let mut add = |path: &str, mode: &str, held: Held, segment: Segment| -> Result<(), Fault> {
                let shared = files.iter_mut().find(|file| file.path == path && file.origin == origin);
                match (shared.map(|file| &mut file.content[..]), &segment) {
                    (Some([Segment::Text { text }]), Segment::Text { text: more }) => text.push_str(more),
                    _ => files.push(File {
                        path: safe::path(path)?.to_owned(),
                        owner: "root:root".to_owned(),
                        mode: mode.to_owned(),
                        content: vec![segment],
                        origin: origin.clone(),
                        on_change: on_change(held),
                    }),
                }
                Ok(())
            };
            let (public, private) = one.held();
            if let Some(path) = &deploy.certificate {
                add(path, "0644", public, Segment::Text { text: one.text().to_owned() })?;
            }
            if let Some(path) = &deploy.key {
                // Without a reference the key was made on its machine and lies there: only its path is known.
                let Some(secret) = one.secret() else { continue };
                let segment = Segment::Secret { secret: secret.to_owned(), encoding: Encoding::Raw };
                add(path, "0600", private, segment)?;
            }
        }
        Ok(files)
    }
}

impl<'a> Placed<'a> {
    fn name(&self) -> &'a str {
        match self {
            Self::Certificate(one, _) => &one.name,
            Self::Key(one, _) => &one.name,
        }
    }

    fn deploy(&self) -> &'a Deploy {
        match self {
            Self::Certificate(_, deploy) | Self::Key(_, deploy) => deploy,
        }
    }

    /// The certificate or public key.
    fn text(&self) -> &'a str {
        match self {
            Self::Certificate(one, _) => &one.pem,
            Self::Key(one, _) => one.public.as_deref().unwrap_or_default(),
        }
    }

    /// Reference to its secret.
    fn secret(&self) -> Option<&'a str> {
        match self {
            Self::Certificate(one, _) => one.key.as_deref(),
            Self::Key(one, _) => Some(&one.secret),
        }
    }

    /// What readers find in the file that all may read, and in the secret one.
    fn held(&self) -> (Held, Held) {
        match self {
            Self::Certificate(one, _) => (Held::Certificate(one.class), Held::Certificate(one.class)),
            Self::Key(one, _) => (Held::Public(one.class), Held::Private(one.class)),
        }
    }
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

/// What must be told when a certificate or key changes: `units` are the machine's, `kubernetes` is the minor version.
pub(crate) fn on_change(held: Held, units: &[&str], kubernetes: u16) -> Vec<OnChange> {
    let told = reload::told(&[held], kubernetes).into_iter().filter(|(unit, _)| units.contains(unit));
    told.map(|(unit, action)| OnChange { unit: unit.to_owned(), action }).collect()
}
