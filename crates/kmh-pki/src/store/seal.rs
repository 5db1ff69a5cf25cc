//! Keys that are encrypted at rest: how they are written, looked at without opening them, opened, and encrypted anew.

use std::collections::{BTreeMap, BTreeSet};

use kmh_age::{Recipients, Unopened};
use kmh_cli::Failure;
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use super::batch::Batch;
use super::journal::{Gone, Journal};
use super::write::mode_of;
use super::{ARCHIVE, FOLDERS, FORMATS, IDENTITY, Identity, Store, failed};
use crate::observed::{Bare, Half, PublicKey};
use crate::secret::{Secret, hex};
use crate::table::{RANDOM, TEXT, TEXT_LENGTHS};

/// Keys that are to be encrypted, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealing {
    /// Their names.
    pub names: BTreeSet<String>,
    /// The recipients of the store.
    pub is: Vec<String>,
    /// Those that it is to have.
    pub wanted: Vec<String>,
}

impl Sealing {
    /// Why.
    pub fn why(&self) -> String {
        if self.is.is_empty() || self.is == self.wanted {
            return "not encrypted".to_owned();
        }
        let added = self.wanted.iter().filter(|name| !self.is.contains(name)).map(|name| format!("+ {name}"));
        let removed =
            self.is.iter().filter(|name| !self.wanted.contains(name)).map(|name| format!("- {name}"));
        format!("recipients differ: {}", added.chain(removed).collect::<Vec<_>>().join(", "))
    }
}

/// Octets of a random key.
const RANDOM_LENGTH: usize = 32;
/// Nothing that is known without an identity says that the key is what it was.
const UNKNOWN: &str =
    "its public half is missing, or of another file: with an identity it would be looked at";

/// Files and their octets.
type Files = Vec<(String, Vec<u8>)>;

/// The public half of an encrypted key, as `NAME.pub` holds it.
pub(super) struct PublicHalf {
    /// `SubjectPublicKeyInfo` in DER.
    pub(super) der: PublicKey,
    pem: String,
}

/// `NAME.pub`: a line for people, in which the digest of the encrypted key stands, and the public half as PEM, which
/// openssl reads as it is.
fn public_file(name: &str, sealed: &[u8], pem: &str) -> Vec<u8> {
    let stem = name.rsplit('/').next().unwrap_or(name);
    format!("public half of {stem}.key.age, SHA-256 {}\n{pem}", hex(&Sha256::digest(sealed))).into_bytes()
}

/// The digest and the public half of such a file.
fn parse_public(file: &[u8]) -> Option<(String, PublicHalf)> {
    let text = std::str::from_utf8(file).ok()?;
    let (line, pem) = text.split_once('\n')?;
    let (_, read) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).ok()?;
    let digest = line.rsplit(' ').next()?.to_owned();
    Some((digest, PublicHalf { der: read.contents, pem: pem.to_owned() }))
}

/// The digest and the name of a random key in such a file.
fn parse_id(file: &[u8]) -> Option<(String, String)> {
    let (line, id) = std::str::from_utf8(file).ok()?.split_once('\n')?;
    let digits = id.trim_end().strip_prefix("key-")?;
    let good = digits.len() == 8 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    good.then(|| Some((line.rsplit(' ').next()?.to_owned(), id.trim_end().to_owned())))?
}

/// The files of an encrypted key, under the name that it has.
fn files_of(name: &str, secret: &Secret, to: &Recipients) -> Result<Files, Failure> {
    let sealed = to
        .seal(secret.octets())
        .map_err(|why| Failure::world(format!("cannot encrypt `{name}.key`")).because(why))?;
    let public = secret.key_pair().ok().map(|key| key.public_pem());
    // Of a random key, what it is called: that is all that must be known of it without an identity.
    let random = secret.octets().len() == RANDOM_LENGTH && !secret.is_text(TEXT_LENGTHS);
    let public = public.or_else(|| random.then(|| secret.id() + "\n"));
    let public = public.map(|text| public_file(name, &sealed, &text));
    let public = public.map(|bytes| (format!("{name}.pub"), bytes));
    Ok([(format!("{name}.key.age"), sealed)].into_iter().chain(public).collect())
}

impl Store {
    /// Secrets as they are written into this store, file by file; none: it is not encrypted.
    pub(super) fn seal_all<'a>(
        &self,
        secrets: impl Iterator<Item = (&'a str, &'a Secret)>,
    ) -> Result<Option<Files>, Failure> {
        let Some(to) = self.sealer()? else { return Ok(None) };
        let secrets: Vec<_> = secrets.collect();
        let sealed: Result<Vec<_>, Failure> =
            secrets.into_par_iter().map(|(name, secret)| files_of(name, secret, &to)).collect();
        Ok(Some(sealed?.into_iter().flatten().collect()))
    }

    fn sealer(&self) -> Result<Option<Recipients>, Failure> {
        if self.identity.recipients.is_empty() {
            return Ok(None);
        }
        let names = self.identity.recipients.iter().map(String::as_str);
        Recipients::parse(names).map(Some).map_err(|mut failure| {
            let path = self.root.join(IDENTITY).display().to_string();
            failure.exit = kmh_cli::Exit::World;
            failure.notes.iter_mut().for_each(|note| note.at.push(path.clone()));
            failure
        })
    }

    /// A secret of the store, opened if it must be.
    pub fn secret(&self, name: &str) -> Result<Option<Secret>, Failure> {
        match self.file(name, "key.age")? {
            Some((sealed, _)) => self.open_sealed(&format!("{name}.key.age"), &sealed).map(Some),
            None => Ok(self.file(name, "key")?.map(|(bytes, _)| Secret::new(bytes))),
        }
    }

    /// A secret of the store that must be there.
    pub fn secret_of(&self, name: &str) -> Result<Secret, Failure> {
        let gone =
            || Failure::world(format!("`{}` is gone", self.root.join(format!("{name}.key")).display()));
        self.secret(name)?.ok_or_else(gone)
    }

    fn open_sealed(&self, file: &str, sealed: &[u8]) -> Result<Secret, Failure> {
        self.keyring
            .open(sealed)
            .map(Secret::of)
            .map_err(|why| self.keyring.failure(&self.root.join(file), why))
    }

    /// The public half of an encrypted key; none: there is no such key.
    pub(super) fn look_at_sealed(&self, name: &str) -> Result<Option<Half<PublicHalf>>, Failure> {
        let Some((sealed, _)) = self.file(name, "key.age")? else { return Ok(None) };
        if let Err(why) = kmh_age::length(&sealed) {
            return Ok(Some(Half::Damaged(why)));
        }
        let kept = self.file(name, "pub")?.and_then(|(file, _)| parse_public(&file));
        let digest = hex(&Sha256::digest(&sealed));
        let public = match kept {
            Some((of, public)) if of == digest => Half::There(public),
            // Somebody encrypted it by other means.
            _ if self.keyring.is_named() => match self.keyring.open(&sealed) {
                Ok(octets) => Secret::of(octets).key_pair().map_or_else(Half::Damaged, |key| {
                    Half::There(PublicHalf { der: key.public(), pem: key.public_pem() })
                }),
                Err(Unopened::Damaged(why)) => Half::Damaged(why),
                Err(why) => {
                    return Err(self.keyring.failure(&self.root.join(format!("{name}.key.age")), why));
                }
            },
            _ => Half::Damaged(UNKNOWN),
        };
        Ok(Some(public))
    }

    /// The same of a key without certificate. Of what has no public half, the length is all that is seen.
    pub(super) fn see_sealed_key(&self, name: &str, algorithm: &str) -> Result<Option<Half<Bare>>, Failure> {
        if !matches!(algorithm, RANDOM | TEXT) {
            let seen = self.look_at_sealed(name)?;
            return Ok(
                seen.map(|half| half.map(|public| Bare { public: Some(public.pem), ..Bare::default() }))
            );
        }
        let Some((sealed, _)) = self.file(name, "key.age")? else { return Ok(None) };
        Ok(Some(match kmh_age::length(&sealed) {
            Err(why) => Half::Damaged(why),
            Ok(RANDOM_LENGTH) if algorithm == RANDOM => self.sealed_id(name, &sealed)?,
            Ok(length) if algorithm == TEXT && TEXT_LENGTHS.contains(&length) => Half::There(Bare::default()),
            Ok(_) if algorithm == RANDOM => Half::Damaged("it is not 32 octets long"),
            Ok(_) => Half::Damaged("it is not 22 to 80 letters and digits, a letter first"),
        }))
    }

    /// What a random key is called: its name stands in etcd, so it is never guessed.
    fn sealed_id(&self, name: &str, sealed: &[u8]) -> Result<Half<Bare>, Failure> {
        let kept = self.file(name, "pub")?.and_then(|(file, _)| parse_id(&file));
        let id = match kept {
            Some((of, id)) if of == hex(&Sha256::digest(sealed)) => id,
            _ if self.keyring.is_named() => self.open_sealed(&format!("{name}.key.age"), sealed)?.id(),
            _ => return Ok(Half::Damaged(UNKNOWN)),
        };
        Ok(Half::There(Bare { id: Some(id), ..Bare::default() }))
    }

    /// What has to be encrypted so that the store is as these recipients ask, or, without them, as it says itself: every
    /// key, those in the archive included, when they are others; otherwise those that are plain. None: nothing.
    pub fn sealing(&self, to: Option<&Recipients>) -> Result<Option<Sealing>, Failure> {
        let is = self.identity.recipients.clone();
        let wanted = to.map_or_else(|| is.clone(), Recipients::names);
        let others = is != wanted;
        let mut names = BTreeSet::new();
        if wanted.is_empty() {
            return Ok(None);
        }
        let folders: Vec<&str> = FOLDERS.into_iter().chain([ARCHIVE]).collect();
        self.walk_in(&folders, &mut |path| {
            let name = match path.strip_suffix(".key") {
                None if others => path.strip_suffix(".key.age"),
                name => name,
            };
            names.extend(name.filter(|name| !name.contains("/.")).map(ToOwned::to_owned));
        })?;
        Ok((others || !names.is_empty()).then_some(Sealing { names, is, wanted }))
    }

    /// Encrypts these keys to the recipients, all of them or none, and keeps nothing of what they were encrypted to
    /// before, or of a plain one.
    pub fn seal(&mut self, sealing: &Sealing) -> Result<(), Failure> {
        let to = &Recipients::parse(sealing.wanted.iter().map(String::as_str))?;
        let names = &sealing.names;
        let opened: Vec<Result<_, Failure>> = names
            .par_iter()
            .map(|name| {
                let gone = || Failure::world(format!("`{}.key` is gone", self.root.join(name).display()));
                files_of(name, &self.secret(name)?.ok_or_else(gone)?, to)
            })
            .collect();
        let mut files = BTreeMap::new();
        for one in opened {
            files.extend(one?);
        }
        let mut batch = Batch::new(self)?;
        let new: Vec<_> =
            files.iter().map(|(file, octets)| (file.as_str(), &octets[..], mode_of(file))).collect();
        batch.stage_all(&new)?;
        let recipients = sealing.wanted.clone();
        let identity = Identity { format: FORMATS[1], recipients, ..self.identity.clone() };
        batch.stage_json(IDENTITY, &identity)?;
        let plain = names.iter().map(|name| (format!("{name}.key"), format!("{name}.key.age")));
        let plain = plain.filter(|(file, _)| self.is_there(file));
        let journal = Journal {
            names: BTreeSet::new(),
            files: vec![files.into_keys().collect(), vec![IDENTITY.to_owned()]],
            gone: plain.map(|(file, kept)| Gone { file, kept, sealed: true }).collect(),
        };
        self.carry_out(batch, &journal)?;
        self.identity = identity;
        Ok(())
    }

    /// Takes from keys what lets others than their owner read them.
    pub fn protect(&self, keys: &[String]) -> Result<(), Failure> {
        for key in keys {
            let path = self.root.join(key);
            rustix::fs::chmod(&path, rustix::fs::Mode::from_raw_mode(0o600))
                .map_err(|error| failed("cannot protect", &path, error))?;
        }
        if keys.is_empty() { Ok(()) } else { self.sync() }
    }
}
