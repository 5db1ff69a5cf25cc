//! Identities, read from their file when the first secret asks for one.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use age::secrecy::SecretString;
use kmh_cli::{Failure, file};
use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

use crate::prompt;

/// No file of identities is larger.
const LIMIT: usize = 1 << 20;
/// The work that a locked file may ask for: 2^22, minutes and four gigabytes on a small machine. What `age` writes
/// asks for 2^18.
const WORK: u8 = 22;
const ARMOR: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";
const MAGIC: &[u8] = b"age-encryption.org/";
const IDENTITY: &str = "AGE-SECRET-KEY-1";

/// The identities of a run: a file that is read, and perhaps unlocked, once, when it is needed.
#[derive(Default)]
pub struct Keyring {
    file: Option<PathBuf>,
    identities: OnceLock<Result<Vec<age::x25519::Identity>, Failure>>,
}

/// Why a secret was not opened.
#[derive(Clone, Debug)]
pub enum Unopened {
    /// No identity was named.
    NoIdentity,
    /// The file of identities cannot be used.
    Identity(Failure),
    /// It is encrypted to others.
    NotOurs,
    /// It is no whole file that age encrypted.
    Damaged(&'static str),
}

impl Keyring {
    /// With the file that the caller named.
    pub fn new(file: Option<PathBuf>) -> Self {
        Self { file, identities: OnceLock::new() }
    }

    /// Whether a file of identities was named.
    pub fn is_named(&self) -> bool {
        self.file.is_some()
    }

    /// Decrypts a secret.
    pub fn open(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unopened> {
        let Some(file) = &self.file else { return Err(Unopened::NoIdentity) };
        let identities = self.identities.get_or_init(|| read(file));
        match identities {
            Ok(identities) => crate::open(sealed, identities),
            Err(failure) => Err(Unopened::Identity(failure.clone())),
        }
    }

    /// What is said of a secret that was not opened.
    pub fn failure(&self, secret: &Path, why: Unopened) -> Failure {
        let secret = secret.display();
        match why {
            Unopened::Identity(failure) => failure,
            Unopened::NoIdentity => {
                Failure::wrong(format!("`{secret}` is encrypted, and no identity was named that opens it"))
                    .hint("name its file with `--identity FILE` or KMH_IDENTITY")
            }
            Unopened::NotOurs => {
                let file = self.file.as_deref().unwrap_or(Path::new("")).display();
                Failure::wrong(format!("no identity in `{file}` opens `{secret}`"))
                    .because("it is encrypted to others")
                    .hint("`store.json` names the recipients; `age-keygen -y FILE` prints those of a file")
            }
            Unopened::Damaged(cause) => Failure::world(format!("`{secret}` is damaged"))
                .because(cause)
                .hint("restore it from a backup"),
        }
    }
}

fn read(path: &Path) -> Result<Vec<age::x25519::Identity>, Failure> {
    let shown = path.display();
    let cannot = |error: std::io::Error| {
        Failure::wrong(format!("cannot read identity `{shown}`")).because(file::plain(&error))
    };
    let opened = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let opened = std::fs::File::from(opened.map_err(|error| cannot(error.into()))?);
    let meta = opened.metadata().map_err(cannot)?;
    if meta.is_dir() {
        return Err(Failure::wrong(format!("identity `{shown}` is a directory")));
    }
    // The buffer never grows: a grown one leaves its content behind.
    let mut bytes = Zeroizing::new(vec![0; LIMIT]);
    let mut filled = 0;
    loop {
        match (&opened).read(&mut bytes[filled..]).map_err(cannot)? {
            0 => break,
            count => filled += count,
        }
    }
    let bytes = &bytes[..filled];
    let start = bytes.trim_ascii_start();
    if start.starts_with(ARMOR) || start.starts_with(MAGIC) {
        let text = unlock(path, bytes)?;
        return identities(path, &text);
    }
    if meta.is_file() && meta.mode() & 0o077 != 0 {
        return Err(Failure::wrong(format!("identity `{shown}` can be read by others"))
            .because(format!(
                "its mode is {:04o}, and whoever reads it reads the store",
                meta.mode() & 0o7777
            ))
            .hint(format!("`chmod 600 {shown}`, or lock it with a passphrase: `age -p`")));
    }
    identities(path, bytes)
}

/// The text of a file that a passphrase locks.
fn unlock(path: &Path, locked: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let shown = path.display();
    let wrong = |cause: &str| Failure::wrong(format!("identity `{shown}` cannot be unlocked")).because(cause);
    let decryptor = age::Decryptor::new(age::armor::ArmoredReader::new(locked))
        .map_err(|_| wrong("it is no whole file that age encrypted"))?;
    if !decryptor.is_scrypt() {
        return Err(wrong("it is encrypted to a recipient, not with a passphrase")
            .hint("decrypt it with `age -d`, or lock it with `age -p`"));
    }
    let typed = prompt::passphrase(&format!("passphrase of identity `{shown}`"))
        .map_err(|error| wrong(&error).hint("a passphrase is asked for on a terminal, and nowhere else"))?;
    let text = std::str::from_utf8(&typed).map_err(|_| wrong("the passphrase is no text"))?;
    let mut key = age::scrypt::Identity::new(SecretString::from(text.to_owned()));
    key.set_max_work_factor(WORK);
    let mut reader =
        decryptor.decrypt(std::iter::once(&key as &dyn age::Identity)).map_err(|error| match error {
            age::DecryptError::ExcessiveWork { .. } => wrong("it asks for more work than any honest file"),
            age::DecryptError::InvalidHeader | age::DecryptError::InvalidMac => {
                wrong("it was changed after it was encrypted")
            }
            _ => wrong("the passphrase is wrong"),
        })?;
    let mut out = Zeroizing::new(vec![0; locked.len()]);
    let mut filled = 0;
    loop {
        match reader.read(&mut out[filled..]).map_err(|_| wrong("its end is missing"))? {
            0 => break,
            count => filled += count,
        }
    }
    out.truncate(filled);
    Ok(out)
}

/// The identities in a text: one a line, `#` begins a comment. What is wrong is told by its line, without a word of it.
fn identities(path: &Path, text: &[u8]) -> Result<Vec<age::x25519::Identity>, Failure> {
    let shown = path.display();
    let wrong = |cause: String| Failure::wrong(format!("`{shown}` is no file of identities")).because(cause);
    let text = std::str::from_utf8(text).map_err(|_| wrong("it is no text".to_owned()))?;
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = number + 1;
        match line.parse::<age::x25519::Identity>() {
            Ok(identity) => found.push(identity),
            Err(_) if line.starts_with("AGE-PLUGIN-") => {
                return Err(wrong(format!("line {at} is of a plugin"))
                    .hint("a store opens with native identities: `age-keygen -o FILE`"));
            }
            Err(_) if line.starts_with("age1") => {
                return Err(
                    wrong(format!("line {at} is a recipient")).hint("name the file that holds the identity")
                );
            }
            Err(_) => {
                return Err(wrong(format!("line {at} is none"))
                    .hint(format!("an identity begins with {IDENTITY}, as `age-keygen` writes it")));
            }
        }
    }
    if found.is_empty() {
        return Err(wrong("it holds none".to_owned()));
    }
    Ok(found)
}
