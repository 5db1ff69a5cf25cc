//! The store as one tar file (POSIX.1-1988 ustar), the same bytes for the same store: sorted, no owner, no time but the
//! start of each certificate.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use kmh_cli::{Failure, file};
use kmh_store::folder::{Entry as Found, Folder, Unread};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::Entry;
use super::entries::start;
use crate::cert::Certificate;
use crate::secret::Secret;
use crate::store::IDENTITY;

const BLOCK: usize = 512;
const MAGIC: &[u8] = b"ustar\x0000";
/// Where the magic stands.
const MAGIC_AT: usize = 257;
/// No file of a store is larger.
const LIMIT: usize = 1 << 20;
/// The mode of a store's folders.
const FOLDER: u32 = 0o700;
/// No folder of a store lies deeper.
const DEPTH: usize = 6;
/// What is no part of a store: a journal, the state of git.
const OTHERS: [&str; 2] = ["pending.json", "README.md"];

/// All files of a store.
pub(super) fn entries(root: &Path, with_ca_keys: bool) -> Result<Vec<Entry>, Failure> {
    if root.join("pending.json").exists() {
        return Err(Failure::world(format!("a killed run left store `{}` unfinished", root.display()))
            .hint("let it be finished first: `kmh-pki ensure`"));
    }
    let wanted = |path: &str| with_ca_keys || !is_ca_key(path);
    let fail = |(path, error): (String, Unread)| {
        let failure = Failure::world(format!("cannot read `{}`", root.join(path).display()));
        match error {
            Unread::System(error) => failure.because(file::plain(&error.into())),
            Unread::Large(..) => failure.because(error).hint("no file of a store is so large: take it out"),
            Unread::Grows => failure.because(error),
        }
    };
    let folder = Folder::open(root).map_err(|error| fail((String::new(), error.into())))?;
    let mut found = Vec::new();
    walk(&folder, "", 0, &wanted, &mut found).map_err(fail)?;
    Ok(found)
}

/// Whether a file of a store is the key of a CA: of any generation, waiting, or in the archive.
pub(super) fn is_ca_key(path: &str) -> bool {
    path.contains(".key") && path.split('/').any(|part| part == "ca")
}

fn walk(
    folder: &Folder,
    above: &str,
    depth: usize,
    wanted: &dyn Fn(&str) -> bool,
    found: &mut Vec<Entry>,
) -> Result<(), (String, Unread)> {
    let names = folder.names("").map_err(|error| (above.to_owned(), error.into()))?;
    for name in names.iter().filter(|name| !name.starts_with('.') && !OTHERS.contains(&name.as_str())) {
        let path = if above.is_empty() { name.clone() } else { format!("{above}/{name}") };
        let fail = |error: Errno| (path.clone(), Unread::from(error));
        match folder.entry(name).map_err(fail)? {
            Found::Folder if depth < DEPTH => {
                if let Some(inner) = folder.enter(name).map_err(fail)? {
                    walk(&inner, &path, depth + 1, wanted, found)?;
                }
            }
            Found::File(_) if wanted(&path) => {
                let content = Secret::new(folder.read(name, LIMIT).map_err(|why| (path.clone(), why))?);
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

/// Whether a file is a tar that this program wrote of that store: every header is one of its own, and the store's identity
/// is the one that is meant.
pub(super) fn is_of(from: &mut (impl Read + Seek), store: &str) -> std::io::Result<bool> {
    let mut block = [0; BLOCK];
    let mut own = false;
    loop {
        match from.read_exact(&mut block) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
            other => other?,
        }
        if block == [0; BLOCK] {
            return Ok(own);
        }
        let Some((path, length)) = read_header(&block) else { return Ok(false) };
        let padded = length.div_ceil(BLOCK) * BLOCK;
        if path == IDENTITY && length <= LIMIT {
            let mut bytes = vec![0; padded];
            match from.read_exact(&mut bytes) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
                other => other?,
            }
            let read: Option<serde_json::Value> = serde_json::from_slice(&bytes[..length]).ok();
            own = read.is_some_and(|read| read.get("id").and_then(serde_json::Value::as_str) == Some(store));
        } else {
            from.seek(SeekFrom::Current(i64::try_from(padded).unwrap_or(i64::MAX)))?;
        }
    }
}

/// The path and the length of what a header is of; none of a header that this program would not write.
fn read_header(block: &[u8; BLOCK]) -> Option<(String, usize)> {
    let text = |from: usize, length: usize| {
        let field = &block[from..from + length];
        std::str::from_utf8(field.split(|octet| *octet == 0).next().unwrap_or_default()).ok()
    };
    let number = |from, length| u64::from_str_radix(text(from, length)?, 8).ok();
    let (name, prefix) = (text(0, 100)?, text(345, 155)?);
    let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
    let (mode, length) = (u32::try_from(number(100, 8)?).ok()?, usize::try_from(number(124, 12)?).ok()?);
    let own = header(&path, mode, number(136, 12)?, length).ok()?;
    (own == *block).then_some((path, length))
}

/// The file. Folders have entries of their own, before what is in them: their modes are not those that the umask of
/// whoever unpacks it would give.
pub(super) fn write(entries: &[Entry]) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let padded = |length: usize| length.div_ceil(BLOCK) * BLOCK;
    let folders_of = |one: &Entry| -> Vec<String> {
        one.path.match_indices('/').map(|(at, _)| one.path[..=at].to_owned()).collect()
    };
    let folders: BTreeSet<String> = entries.iter().flat_map(folders_of).collect();
    let size: usize = entries.iter().map(|one| BLOCK + padded(one.content.octets().len())).sum();
    // The exact size at once: a growing vector would leave copies behind.
    let mut out = Zeroizing::new(Vec::with_capacity(size + (folders.len() + 2) * BLOCK));
    let mut begun = BTreeSet::new();
    for one in entries {
        for folder in folders_of(one) {
            if begun.insert(folder.clone()) {
                out.extend_from_slice(&header(&folder, FOLDER, 0, 0)?);
            }
        }
        let octets = one.content.octets();
        out.extend_from_slice(&header(&one.path, one.mode, one.time, octets.len())?);
        out.extend_from_slice(octets);
        let end = padded(out.len());
        out.resize(end, 0);
    }
    let end = out.len() + 2 * BLOCK;
    out.resize(end, 0);
    Ok(out)
}

/// The header of a file, or of a folder: its path ends with a slash.
fn header(path: &str, mode: u32, time: u64, length: usize) -> Result<[u8; BLOCK], Failure> {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    let too_long = || Failure::wrong(format!("`{path}` is too long for a tar file"));
    let (prefix, name) = split(path).ok_or_else(too_long)?;
    let (time, length) = (format!("{time:011o}"), format!("{length:011o}"));
    if time.len() > 11 || length.len() > 11 || mode > 0o7777 {
        return Err(Failure::wrong(format!("`{path}` is too large for a tar file")));
    }
    put(0, name.as_bytes());
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, length.as_bytes());
    put(136, time.as_bytes());
    // The sum is taken over blanks in its own place.
    put(148, b"        ");
    put(156, if path.ends_with('/') { b"5" } else { b"0" });
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

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests")]
mod tests {
    use super::*;

    fn entry(path: String) -> Entry {
        Entry { path, mode: 0o600, content: Secret::new(vec![b'x'; 700]), time: 1_000_000_000 }
    }

    #[test]
    fn the_real_tar_reads_long_paths_and_too_long_ones_are_refused() {
        let node = "n".repeat(63);
        let long = format!("archive/nodes/{node}/controller-manager-serving.{}.key.age", "0".repeat(40));
        let paths = ["a".to_owned(), format!("nodes/{}", "b".repeat(94)), long];
        let entries: Vec<Entry> = paths.iter().cloned().map(entry).collect();
        let bytes = write(&entries).unwrap();
        assert!(bytes.len().is_multiple_of(BLOCK));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.tar");
        std::fs::write(&file, &*bytes).unwrap();
        let run = |args: &[&str]| {
            let output = std::process::Command::new("tar").args(args).arg(&file).output().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let names = run(&["-tf"]);
        let (folders, files): (Vec<&str>, Vec<&str>) = names.lines().partition(|name| name.ends_with('/'));
        assert_eq!(files, paths);
        assert_eq!(folders, ["nodes/", "archive/", "archive/nodes/", &format!("archive/nodes/{node}/")]);
        assert_eq!(run(&["--to-stdout", "-xf"]).len(), 2100);
        assert!(!is_of(&mut std::io::Cursor::new(&*bytes), "a").unwrap(), "without an identity");
        let Err(failure) = write(&[entry("d".repeat(101))]) else { panic!("a name of 101 octets") };
        assert!(failure.summary().ends_with("is too long for a tar file"), "{}", failure.summary());
    }

    #[test]
    fn a_tar_of_ours_is_known_by_its_headers_and_by_the_store() {
        let of = |entries: &[Entry]| write(entries).unwrap().to_vec();
        let identity = |id: &str| Entry {
            path: IDENTITY.to_owned(),
            mode: 0o644,
            content: Secret::new(format!("{{\"id\":\"{id}\"}}").into_bytes()),
            time: 0,
        };
        let is = |bytes: &[u8]| is_of(&mut std::io::Cursor::new(bytes), "mine").unwrap();
        let ours = of(&[entry("ca/x.crt".to_owned()), identity("mine"), entry("users/x.crt".to_owned())]);
        assert!(is(&ours));
        assert!(!is(&of(&[entry("ca/x.crt".to_owned()), identity("theirs")])));
        assert!(!is(&ours[..ours.len() - 1024]), "without its end");
        assert!(!is(&ours[..700]) && !is(b"") && !is(b"text"));
        // The mode of the first folder, the owner of the second entry: nobody's tar but ours has these headers.
        for (at, octet) in [(105, b'5'), (BLOCK + 114, b'1')] {
            let mut other = ours.clone();
            other[at] = octet;
            assert!(!is(&other), "{at}");
        }
    }
}
