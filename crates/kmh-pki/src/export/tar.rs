//! The store as one tar file (POSIX.1-1988 ustar), the same bytes for the same store: sorted, no owner, no time but the
//! start of each certificate.

use std::path::Path;

use kmh_cli::{Failure, file};
use kmh_store::folder::{Entry as Found, Folder};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::Entry;
use super::entries::start;
use crate::cert::Certificate;
use crate::observed::Observed;
use crate::secret::Secret;

const BLOCK: usize = 512;
const MAGIC: &[u8] = b"ustar\x0000";
/// Where the magic stands, and what is before it.
const MAGIC_AT: usize = 257;
/// No file of a store is larger.
const LIMIT: usize = 1 << 20;
/// No folder of a store lies deeper.
const DEPTH: usize = 6;
/// What is no part of a store: a journal, the state of git.
const OTHERS: [&str; 2] = ["pending.json", "README.md"];

/// All files of a store; with `--limit` those of the machines and what all share.
pub(super) fn entries(
    root: &Path,
    observed: &Observed,
    chosen: &dyn Fn(&str) -> bool,
    with_ca_keys: bool,
) -> Result<Vec<Entry>, Failure> {
    if root.join("pending.json").exists() {
        return Err(Failure::world(format!("a killed run left store `{}` unfinished", root.display()))
            .hint("let it be finished first: `kmh-pki ensure`"));
    }
    let left: std::collections::BTreeSet<&str> =
        observed.leftover.iter().filter_map(|name| name.split('/').nth(1)).collect();
    let wanted = |path: &str| {
        let parts: Vec<&str> = path.split('/').collect();
        let signs = parts.contains(&"ca") && path.contains(".key");
        match parts[..] {
            ["nodes" | "routers", machine, ..] => chosen(machine) || left.contains(machine),
            _ => with_ca_keys || !signs,
        }
    };
    let fail = |(path, error): (String, Errno)| {
        Failure::world(format!("cannot read `{}`", root.join(path).display()))
            .because(file::plain(&error.into()))
    };
    let folder = Folder::open(root).map_err(|error| fail((String::new(), error)))?;
    let mut found = Vec::new();
    walk(&folder, "", 0, &wanted, &mut found).map_err(fail)?;
    Ok(found)
}

fn walk(
    folder: &Folder,
    above: &str,
    depth: usize,
    wanted: &dyn Fn(&str) -> bool,
    found: &mut Vec<Entry>,
) -> Result<(), (String, Errno)> {
    let names = folder.names("").map_err(|error| (above.to_owned(), error))?;
    for name in names.iter().filter(|name| !name.starts_with('.') && !OTHERS.contains(&name.as_str())) {
        let path = if above.is_empty() { name.clone() } else { format!("{above}/{name}") };
        let fail = |error| (path.clone(), error);
        match folder.entry(name).map_err(fail)? {
            Found::Folder if depth < DEPTH => {
                if let Some(inner) = folder.enter(name).map_err(fail)? {
                    walk(&inner, &path, depth + 1, wanted, found)?;
                }
            }
            Found::File(_) if wanted(&path) => {
                let content = Secret::new(folder.read(name, LIMIT).map_err(fail)?);
                let mode = if path.contains(".key") { 0o600 } else { 0o644 };
                let time = time(folder, name, &content);
                found.push(Entry { path, mode, content, time });
            }
            _ => {}
        }
    }
    Ok(())
}

/// The start of the certificate that a file is or belongs to.
fn time(folder: &Folder, name: &str, content: &Secret) -> u64 {
    let Some((stem, ending)) = name.rsplit_once('.') else { return 0 };
    let read = match ending {
        "crt" => Certificate::from_pem(content.octets()).ok(),
        "key" => folder
            .read(&format!("{stem}.crt"), LIMIT)
            .ok()
            .and_then(|bytes| Certificate::from_pem(&bytes).ok()),
        _ => None,
    };
    read.as_ref().map_or(0, start)
}

/// Whether these are the bytes of a tar file, as far as its first header tells.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    bytes.get(MAGIC_AT..MAGIC_AT + MAGIC.len()) == Some(MAGIC)
}

/// The file.
pub(super) fn write(entries: &[Entry]) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let padded = |length: usize| length.div_ceil(BLOCK) * BLOCK;
    let size: usize = entries.iter().map(|one| BLOCK + padded(one.content.octets().len())).sum();
    // The exact size at once: a growing vector would leave copies behind.
    let mut out = Zeroizing::new(Vec::with_capacity(size + 2 * BLOCK));
    for one in entries {
        let octets = one.content.octets();
        out.extend_from_slice(&header(one, octets.len())?);
        out.extend_from_slice(octets);
        let end = padded(out.len());
        out.resize(end, 0);
    }
    let end = out.len() + 2 * BLOCK;
    out.resize(end, 0);
    Ok(out)
}

fn header(entry: &Entry, length: usize) -> Result<[u8; BLOCK], Failure> {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    let (prefix, name) = split(&entry.path)
        .ok_or_else(|| Failure::wrong(format!("`{}` is too long for a tar file", entry.path)))?;
    put(0, name.as_bytes());
    put(100, format!("{:07o}", entry.mode).as_bytes());
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{length:011o}").as_bytes());
    put(136, format!("{:011o}", entry.time).as_bytes());
    // The sum is taken over blanks in its own place.
    put(148, b"        ");
    put(156, b"0");
    put(MAGIC_AT, MAGIC);
    put(345, prefix.as_bytes());
    let sum: u32 = block.iter().map(|octet| u32::from(*octet)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(block)
}

/// A name of at most 100 octets, and of at most 155 what stands before it.
fn split(path: &str) -> Option<(&str, &str)> {
    if path.len() <= 100 {
        return Some(("", path));
    }
    path.match_indices('/')
        .map(|(at, _)| (&path[..at], &path[at + 1..]))
        .find(|(prefix, name)| prefix.len() <= 155 && name.len() <= 100)
}
