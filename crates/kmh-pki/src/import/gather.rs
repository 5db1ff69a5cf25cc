//! What the files hold of what is wanted: certificates with their keys, the key of service accounts, the encryption key.

use std::collections::{BTreeMap, BTreeSet};

use kmh_cli::Failure;

use super::config;
use super::finding::{Finding, Level};
use super::rotation::{self, Rotating, rotates};
use super::view::{View, certificates};
use crate::cert::Certificate;
use crate::layout::{Layout, Spot};
use crate::pem::{self, Form, Label};
use crate::secret::Secret;
use crate::table::Life;
use crate::want::{Wanted, Wants};

/// A private key that was found.
pub(super) struct FoundKey {
    pub(super) secret: Secret,
    /// Its public half, DER.
    pub(super) public: Vec<u8>,
    /// Its public half, PEM.
    pub(super) public_pem: String,
    pub(super) form: Form,
}

/// A certificate that was found, and its key, or why there is none.
pub(super) struct Candidate {
    pub(super) file: String,
    pub(super) certificate: Certificate,
    pub(super) key: Result<FoundKey, &'static str>,
    /// Other generations of a CA, which stand in the same file.
    pub(super) others: Vec<Certificate>,
}

/// A key without certificate that was found.
pub(super) struct Bare {
    pub(super) file: String,
    pub(super) key: FoundKey,
}

/// An encryption key that was found.
pub(super) struct Encryption {
    pub(super) file: String,
    pub(super) found: config::Encryption,
}

/// Everything that was found.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) pairs: BTreeMap<String, Candidate>,
    pub(super) service_account: Option<Bare>,
    pub(super) encryption: Option<Encryption>,
    /// Files that hold several generations of a CA, by its name.
    pub(super) rotating: BTreeMap<String, Rotating>,
    pub(super) findings: Vec<Finding>,
}

impl Gathered {
    /// Says it on stderr too; the same of several files once.
    pub(super) fn loud(&mut self, file: &str, finding: String, hint: &str) {
        let loud = !self.findings.iter().any(|one| one.loud && one.text == finding);
        let one = Finding { loud, ..Finding::new(Level::Warning, file, finding, hint) };
        if !self.findings.contains(&one) {
            self.findings.push(one);
        }
    }
}

/// Why a pair has no key.
pub(super) const NO_KEY: &str = "its key is not among the files";
const FOREIGN_KEY: &str = "the key beside it does not belong to it";

/// Where bytes were found.
type Bytes<'a> = (std::borrow::Cow<'a, [u8]>, String);

struct Gather<'a> {
    views: &'a [View<'a>],
    layout: Layout,
    used: BTreeSet<String>,
    done: Gathered,
    failures: Vec<Failure>,
}

/// Looks for everything that is wanted.
pub(super) fn gather(views: &[View<'_>], layout: Layout, wants: &Wants) -> Result<Gathered, Failure> {
    let mut gather =
        Gather { views, layout, used: BTreeSet::new(), done: Gathered::default(), failures: Vec::new() };
    for wanted in wants.certificates.values() {
        gather.certificate(wanted);
    }
    rotation::settle(&mut gather.done, wants);
    gather.service_account();
    gather.encryption();
    gather.rest();
    Failure::all(gather.failures).map_or(Ok(gather.done), Err)
}

impl Gather<'_> {
    fn warn(&mut self, file: &str, finding: impl Into<String>, hint: &str) {
        let one = Finding::new(Level::Warning, file, finding, hint);
        if !self.done.findings.contains(&one) {
            self.done.findings.push(one);
        }
    }

    fn certificate(&mut self, wanted: &Wanted) {
        let row = self.layout.row(wanted.class);
        let mut found: Vec<Candidate> = Vec::new();
        let told = self.done.findings.len();
        for view in self.views {
            // What is for one machine is looked for in its folder, what all share in every one.
            if wanted.machine.is_some() && view.machine.is_some() && wanted.machine != view.machine {
                continue;
            }
            for spot in std::iter::once(&row.spot).chain(row.also) {
                found.extend(self.at(view, wanted, *spot));
            }
        }
        let authority = wanted.life == Life::Authority;
        // Files of it are there: this is no CA that a guide does not know.
        if let Some(last) = self.done.findings.get(told..).and_then(<[_]>::last)
            && authority
            && found.is_empty()
        {
            let file = last.file.clone();
            let text = format!(
                "CA `{}` cannot be taken: the next `ensure` makes another one, which nothing that runs trusts",
                wanted.name
            );
            self.loud(&file, text, "put its files right, and import again");
        }
        if authority && let Some(first) = found.iter().find(|one| one.key.is_ok()).or(found.first()) {
            let digest = first.certificate.digest;
            // In the middle of a rotation a file without a key may have another one first; and a renewal is no other CA.
            let knows = |one: &Candidate| {
                one.certificate.digest == digest
                    || first.certificate.is_renewal_of(&one.certificate)
                    || first.key.is_ok()
                        && one.key.is_err()
                        && one.others.iter().any(|one| one.digest == digest)
            };
            if let Some(other) = found.iter().find(|one| !knows(one)) {
                self.failures.push(
                    Failure::wrong(format!(
                        "two different CAs are among the files, and each would be `{}`",
                        wanted.name
                    ))
                    .at(first.file.clone())
                    .at(other.file.clone())
                    .hint("name the folders of one cluster"),
                );
                return;
            }
            let rotating = Rotating::of(&found, &first.certificate);
            self.done.rotating.extend(rotating.map(|one| (wanted.name.clone(), one)));
        }
        // Where there are several, such as before and after a renewal: the one that is meant, has a key and ends last.
        let fits = |one: &Candidate| {
            wanted.is_called(&one.certificate.common_name) && one.certificate.usages[..] == *wanted.usages
        };
        let best =
            found.into_iter().rev().max_by_key(|one| (fits(one), one.key.is_ok(), one.certificate.not_after));
        self.done.pairs.extend(best.map(|one| (wanted.name.clone(), one)));
    }

    /// What is at one place of a folder.
    fn at(&mut self, view: &View<'_>, wanted: &Wanted, spot: Spot) -> Vec<Candidate> {
        let machine = wanted.machine.as_deref().or(view.machine.as_deref()).unwrap_or_default();
        let of = |path: &str| view.file(path).map(|(bytes, file)| (std::borrow::Cow::Borrowed(bytes), file));
        let places: Vec<(Option<Bytes<'_>>, Option<Bytes<'_>>)> = match spot {
            Spot::Pair(path) => {
                let path = path.replace("{}", machine);
                vec![(of(&format!("{path}.crt")), of(&format!("{path}.key")))]
            }
            Spot::One(path) => vec![(of(path), of(path))],
            Spot::Config(path) => {
                let path = path.replace("{}", machine);
                let Some((bytes, file)) = view.file(&path) else { return Vec::new() };
                self.used.insert(file.clone());
                match config::embedded(bytes) {
                    Ok(Some(found)) => {
                        let held = |bytes: &[u8]| (std::borrow::Cow::Owned(bytes.to_vec()), file.clone());
                        vec![(Some(held(&found.certificate)), found.key.as_ref().map(|key| held(key)))]
                    }
                    Ok(None) => Vec::new(),
                    Err(why) => {
                        self.warn(&file, why, "it was not read");
                        Vec::new()
                    }
                }
            }
            Spot::Deployed => {
                let here = wanted.deploy.iter().filter(|place| view.machine.as_ref() == Some(&place.machine));
                let paths = here.filter_map(|place| {
                    let path = place.certificate.as_deref()?.trim_start_matches('/');
                    let beside = || path.trim_end_matches(".crt").to_owned() + ".key";
                    let key = place.key.as_deref().map(|key| key.trim_start_matches('/').to_owned());
                    Some((path, key.unwrap_or_else(beside)))
                });
                paths.map(|(path, key)| (of(path), of(&key))).collect()
            }
        };
        places.into_iter().filter_map(|(certificate, key)| self.candidate(certificate, key)).collect()
    }

    fn candidate(&mut self, certificate: Option<Bytes<'_>>, key: Option<Bytes<'_>>) -> Option<Candidate> {
        self.used.extend(key.as_ref().map(|(_, file)| file.clone()));
        let (bytes, file) = match (certificate, &key) {
            (Some(found), _) => found,
            (None, Some((_, file))) => {
                self.warn(file, "it is a key whose certificate is not among the files", "both are made anew");
                return None;
            }
            (None, None) => return None,
        };
        self.used.insert(file.clone());
        let mut all = match certificates(&bytes) {
            Ok(all) if all.is_empty() => {
                self.warn(&file, "it holds no certificate", "it is made anew");
                return None;
            }
            Ok(all) => all,
            Err(why) => {
                self.warn(&file, why, "it is made anew");
                return None;
            }
        };
        let key = key.map(|(bytes, _)| private_key(&bytes));
        // In a file with several the first counts, or the one that the key belongs to; of several of one key, such as a CA and
        // what it was renewed from, the one that ends last.
        let own = match &key {
            Some(Ok(key)) => {
                let own = all.iter().enumerate().filter(|(_, one)| one.public == key.public);
                own.max_by_key(|(_, one)| one.not_after).map(|(at, _)| at)
            }
            _ => Some(0),
        };
        if all.len() > 1 && !rotates(&all) {
            let which = if own == Some(0) { "first" } else { "one that its key belongs to" };
            self.warn(
                &file,
                format!("it holds {} certificates, and the {which} is taken", all.len()),
                "a store has one in a file; name another folder if it should be another one",
            );
        }
        let key = match (key, own) {
            (None, _) => Err(NO_KEY),
            (Some(Ok(_)), None) => Err(FOREIGN_KEY),
            (Some(key), _) => key,
        };
        let others = if rotates(&all) { all.clone() } else { Vec::new() };
        let certificate = all.swap_remove(own.unwrap_or(0));
        let others = others.into_iter().filter(|one| one.public != certificate.public).collect();
        Some(Candidate { file, certificate, key, others })
    }

    fn loud(&mut self, file: &str, finding: String, hint: &str) {
        self.done.loud(file, finding, hint);
    }

    fn service_account(&mut self) {
        let mut found: Vec<Bare> = Vec::new();
        for view in self.views {
            for path in self.layout.service_account() {
                let public = path.replace(".key", ".pub");
                self.used.extend(view.file(&public).map(|(_, file)| file));
                let Some((bytes, file)) = view.file(path) else { continue };
                self.used.insert(file.clone());
                match private_key(bytes) {
                    Ok(key) => {
                        let publics = view.file(&public).and_then(|(bytes, file)| {
                            let all = pem::blocks(bytes).ok()?;
                            Some((all.iter().filter(|one| one.label == Label::Public).count(), file))
                        });
                        if let Some((count @ 2.., file)) = publics {
                            self.loud(
                                &file,
                                format!(
                                    "it holds {count} keys: a rotation goes on. Only that of `{path}` is taken; tokens that another one signed are refused from the next push on"
                                ),
                                "finish the rotation where it was begun, then import; a tar of that store, unpacked, goes on with it",
                            );
                        }
                        if let Some((bytes, file)) = view.file(&public)
                            && !pem::blocks(bytes)
                                .is_ok_and(|all| all.iter().any(|one| *one.der == key.public))
                        {
                            self.warn(
                                &file,
                                format!("it is not the public half of `{path}`"),
                                "tokens that another key signed are refused from the next push on",
                            );
                        }
                        found.push(Bare { file, key });
                    }
                    Err(why) => self.failures.push(
                        Failure::wrong("the key of service accounts cannot be used").at(file).because(why),
                    ),
                }
            }
        }
        if let Some(other) = found.iter().find(|one| one.key.public != found[0].key.public) {
            self.failures.push(
                Failure::wrong("two different keys of service accounts are among the files")
                    .at(found[0].file.clone())
                    .at(other.file.clone())
                    .hint("one key signs the tokens of a cluster: name the folders of one, with its current key"),
            );
        }
        self.done.service_account = found.into_iter().next();
    }

    fn encryption(&mut self) {
        let mut found: Vec<Encryption> = Vec::new();
        for view in self.views {
            for own in view.files.values() {
                let Some(bytes) = view.source.files.get(*own).filter(|_| is_yaml(own)) else { continue };
                // Manifests of static pods lie here too.
                if !bytes.windows(10).any(|part| part == b"Encryption") {
                    continue;
                }
                let file = view.source.path.join(own).display().to_string();
                match config::encryption(bytes) {
                    Ok(one) => found.extend(one.map(|found| Encryption { file, found })),
                    Err(why) => self.warn(&file, why, "its key was not taken"),
                }
            }
        }
        if let Some(other) = found.iter().find(|one| one.found.key.octets() != found[0].found.key.octets()) {
            self.failures.push(
                Failure::wrong("two different encryption keys are among the files")
                    .at(found[0].file.clone())
                    .at(other.file.clone())
                    .hint("name the folders of one cluster"),
            );
        }
        self.done.encryption = found.into_iter().next();
    }

    /// What nothing asked for, and what was not read.
    fn rest(&mut self) {
        let mut seen = BTreeSet::new();
        for view in self.views {
            let path = |own: &str| view.source.path.join(own).display().to_string();
            if seen.insert(view.source.path.clone()) {
                for (own, why) in &view.source.skipped {
                    let hint = "put the file itself in its place if it is of the PKI";
                    self.done.findings.push(Finding::new(Level::Note, &path(own), *why, hint));
                }
            }
            for own in view.files.values().filter(|own| !is_yaml(own)) {
                let Some(bytes) = view.source.files.get(*own).filter(|_| !self.used.contains(&path(own)))
                else {
                    continue;
                };
                let Ok(blocks) = pem::blocks(bytes) else { continue };
                if !blocks.iter().any(|one| !matches!(one.label, Label::Public | Label::Other)) {
                    continue;
                }
                let subject = certificates(bytes).ok().and_then(|all| all.first().map(subject));
                let finding = Finding::new(
                    Level::Note,
                    &path(own),
                    "nothing that the inventory asks for has this name",
                    "it was left out",
                );
                self.done.findings.push(Finding { subject: subject.unwrap_or_default(), ..finding });
            }
        }
    }
}

fn is_yaml(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, ending)| matches!(ending, "yaml" | "yml"))
}

/// The first private key of a PEM file.
fn private_key(file: &[u8]) -> Result<FoundKey, &'static str> {
    let blocks = pem::blocks(file)?;
    let (secret, form) = blocks.iter().find_map(pem::private_key).ok_or("it holds no private key")??;
    let key = secret.key_pair()?;
    Ok(FoundKey { public: key.public(), public_pem: key.public_pem(), secret, form })
}

/// The subject of a certificate in words.
pub(super) fn subject(certificate: &Certificate) -> String {
    let parts = certificate.organizations.iter().map(|o| format!("O={o}"));
    parts.chain([format!("CN={}", certificate.common_name)]).collect::<Vec<_>>().join(", ")
}
