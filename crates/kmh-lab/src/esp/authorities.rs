//! Which CAs pfSense gives to strongSwan, and how their files are called.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kmh_cert::Facts;
use kmh_cert::facts::hex;
use kmh_cli::Failure;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::pfsense::File;
use super::settings::{Authority, Settings};

/// Where they lie below swanctl's folder.
const FOLDER: &str = "x509ca";

/// A CA of the settings by its reference.
pub(super) fn find<'a>(settings: &'a Settings, refid: &str) -> Result<&'a Authority, Failure> {
    let found = settings.ca.iter().find(|authority| authority.refid == refid);
    found.ok_or_else(|| Failure::wrong(format!("the settings have no CA `{}`", refid.escape_debug())))
}

/// What swanctl knows it by: pfSense takes a hash of its subject (OpenSSL's; another one will do here).
pub(super) fn file_name(authority: &Authority) -> Result<String, Failure> {
    let hash = Sha256::digest(&read(authority)?.1.subject);
    Ok(hex(&hash[..4]) + ".0")
}

/// Adds the CA of that reference and those that `caref` leads to from there, one after the other. Of several with one
/// subject the last one is left. Nobody asks who signed whom.
pub(super) fn add_chain(
    settings: &Settings,
    refid: &str,
    files: &mut BTreeMap<String, Vec<u8>>,
) -> Result<(), Failure> {
    let mut seen = BTreeSet::new();
    let mut next = Some(refid);
    while let Some(refid) = next {
        if !seen.insert(refid) {
            return Err(Failure::wrong(format!(
                "`caref` of the CA `{}` leads back to it",
                refid.escape_debug()
            )));
        }
        let authority = find(settings, refid)?;
        files.insert(file_name(authority)?, read(authority)?.0);
        next = authority.caref.as_deref().filter(|caref| !caref.is_empty());
    }
    Ok(())
}

/// The files of what was added.
pub(super) fn files(added: BTreeMap<String, Vec<u8>>) -> impl Iterator<Item = File> {
    added.into_iter().map(|(name, content)| File {
        path: format!("{FOLDER}/{name}"),
        mode: 0o644,
        content: Zeroizing::new(content),
    })
}

fn read(authority: &Authority) -> Result<(Vec<u8>, Facts), Failure> {
    let refid = authority.refid.escape_debug();
    let pem = STANDARD
        .decode(&authority.crt)
        .map_err(|_| Failure::wrong(format!("the CA `{refid}` is no base64")))?;
    match Facts::from_pem(&pem) {
        Ok(facts) => Ok((pem, facts)),
        Err(why) => Err(Failure::wrong(format!("the CA `{refid}` is no certificate")).because(why)),
    }
}
