//! Secrets at rest, encrypted to age recipients (<https://c2sp.org/age>): what may lie in a git repository, because only
//! who holds an identity can read it.
//!
//! Recipients are native ones, `age1…`. An identity comes from a file that its owner alone may read, or from one that a
//! passphrase locks; the passphrase is asked for on the terminal, when it is needed and not before. Plugins and SSH
//! keys are left out: a store must open in ten years with one small program.
//!
//! What was decrypted is cleared when it is dropped. Out of reach is one buffer of the library's writer, which holds
//! the text of a secret until its memory is used again.

pub mod keyring;
pub mod prompt;
pub mod recipients;

use std::io::{Read as _, Write as _};

pub use keyring::{Keyring, Unopened};
pub use recipients::Recipients;
use zeroize::Zeroizing;

/// Octets that authenticate the only chunk of a small file (ChaCha20-Poly1305).
const TAG: usize = 16;
/// Larger secrets there are none: one chunk of the format.
const CHUNK: usize = 64 * 1024;

/// How many octets an encrypted file holds, without opening it; or why it is no whole one.
pub fn length(sealed: &[u8]) -> Result<usize, &'static str> {
    if sealed.iter().all(u8::is_ascii_whitespace) {
        return Err("it is empty");
    }
    let mut rest = sealed;
    age::Decryptor::new(&mut rest).map_err(|error| match error {
        age::DecryptError::Io(_) => "its end is missing",
        _ => "it is no file that age encrypted",
    })?;
    match rest.len().checked_sub(TAG) {
        None => Err("its end is missing"),
        Some(length) if length > CHUNK => Err("it is larger than any secret"),
        Some(length) => Ok(length),
    }
}

impl Recipients {
    /// Encrypts to all of them.
    pub fn seal(&self, octets: &[u8]) -> Result<Vec<u8>, String> {
        let each = self.each().map(|one| one as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(each).map_err(|error| error.to_string())?;
        let mut sealed = Vec::with_capacity(octets.len() + 512);
        let written = encryptor.wrap_output(&mut sealed).and_then(|mut writer| {
            writer.write_all(octets)?;
            writer.finish()
        });
        written.map_err(|error| error.to_string())?;
        Ok(sealed)
    }
}

/// Decrypts with whichever identity fits. The buffer never grows: a grown one leaves its content behind.
fn open(sealed: &[u8], identities: &[age::x25519::Identity]) -> Result<Zeroizing<Vec<u8>>, Unopened> {
    let length = length(sealed).map_err(Unopened::Damaged)?;
    let damaged = |_| Unopened::Damaged("it was changed after it was encrypted");
    let decryptor =
        age::Decryptor::new(sealed).map_err(|_| Unopened::Damaged("it is no file that age encrypted"))?;
    let each = identities.iter().map(|one| one as &dyn age::Identity);
    let mut reader = decryptor.decrypt(each).map_err(|error| match error {
        age::DecryptError::NoMatchingKeys => Unopened::NotOurs,
        _ => Unopened::Damaged("it was changed after it was encrypted"),
    })?;
    let mut octets = Zeroizing::new(vec![0; length]);
    reader.read_exact(&mut octets).map_err(damaged)?;
    match reader.read(&mut [0]).map_err(damaged)? {
        0 => Ok(octets),
        _ => Err(Unopened::Damaged("something follows the secret")),
    }
}

#[cfg(test)]
mod tests;
