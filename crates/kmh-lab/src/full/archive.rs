//! Files for a machine as one archive: `tar` inside the machine unpacks it, so no path is ever followed from outside, and
//! owners are names of the machine's own.
//!
//! The form is POSIX ustar (IEEE Std 1003.1, pax, "ustar Interchange Format").

use kmh_cli::Failure;
use zeroize::Zeroizing;

/// A file of a machine.
pub struct File {
    /// Absolute and normalised.
    pub path: String,
    /// Mode.
    pub mode: u32,
    /// `user:group`, both known in the machine.
    pub owner: String,
    /// Its content, which may be a secret.
    pub bytes: Zeroizing<Vec<u8>>,
}

impl File {
    /// A file of root's that holds no secret.
    pub fn plain(path: &str, mode: u32, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            mode,
            owner: "root:root".to_owned(),
            bytes: Zeroizing::new(text.as_bytes().to_vec()),
        }
    }
}

/// What unpacks it, in the machine.
pub const UNPACK: [&str; 7] =
    ["tar", "--extract", "--preserve-permissions", "--directory", "/", "--file", "-"];

const BLOCK: usize = 512;

/// The archive of some files.
pub fn pack(files: &[File]) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let padded = |size: usize| size.div_ceil(BLOCK) * BLOCK;
    let size: usize = files.iter().map(|file| BLOCK + padded(file.bytes.len())).sum();
    // One buffer of the right size from the start: a grown one leaves secrets behind.
    let mut all = Zeroizing::new(Vec::with_capacity(size + 2 * BLOCK));
    for file in files {
        all.extend_from_slice(&header(file)?);
        all.extend_from_slice(&file.bytes);
        let whole = padded(all.len());
        all.resize(whole, 0);
    }
    all.resize(size + 2 * BLOCK, 0);
    Ok(all)
}

fn header(file: &File) -> Result<[u8; BLOCK], Failure> {
    let refused = |why: &str| Failure::wrong(format!("`{}` {why}", kmh_cli::text::printable(&file.path)));
    let path = file.path.strip_prefix('/').unwrap_or(&file.path);
    let (prefix, name) = split(path).ok_or_else(|| refused("is too long a path for an archive"))?;
    let (user, group) = file.owner.split_once(':').ok_or_else(|| refused("has no owner `user:group`"))?;
    if user.len() > 31 || group.len() > 31 {
        return Err(refused("has an owner of more than 31 characters"));
    }
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(place) = block.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    put(0, name.as_bytes());
    put(100, format!("{:07o}", file.mode & 0o7777).as_bytes());
    put(108, b"0000000"); // the names below count
    put(116, b"0000000");
    put(124, format!("{:011o}", file.bytes.len()).as_bytes());
    put(136, b"00000000000");
    put(148, b"        "); // its own sum, taken with blanks in its place
    put(156, b"0"); // a regular file
    put(257, b"ustar\x0000");
    put(265, user.as_bytes());
    put(297, group.as_bytes());
    put(345, prefix.as_bytes());
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    if let Some(place) = block.get_mut(148..156) {
        place.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    Ok(block)
}

/// A path as prefix and name, at most 155 and 100 octets, parted at a slash.
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
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn tar_unpacks_what_was_packed() {
        let deep = format!("/{}/{}", "a/".repeat(60), "b".repeat(90));
        let long = vec![7; 70_001];
        let mut files = [
            File::plain("/etc/one", 0o640, "one\n"),
            File::plain(&deep.replace("//", "/"), 0o755, ""),
            File::plain("/long", 0o600, ""),
        ];
        files[2].bytes = Zeroizing::new(long.clone());
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("archive");
        std::fs::write(&archive, pack(&files).unwrap().as_slice()).unwrap();
        let mut command = std::process::Command::new("tar");
        command.args(["--extract", "--preserve-permissions", "--directory"]).arg(dir.path());
        assert!(command.arg("--file").arg(&archive).status().unwrap().success());
        for file in &files {
            let path = dir.path().join(file.path.trim_start_matches('/'));
            assert_eq!(std::fs::read(&path).unwrap(), *file.bytes, "{}", file.path);
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, file.mode);
        }
    }

    #[test]
    fn what_the_form_cannot_hold_is_refused() {
        let said = |path: &str, owner: &str| {
            let file = File { owner: owner.into(), ..File::plain(path, 0o644, "") };
            pack(&[file]).err().map(|failure| failure.summary()).unwrap_or_default()
        };
        assert!(said(&format!("/{}", "x".repeat(101)), "root:root").contains("too long a path"));
        assert!(said("/x", "root").contains("no owner"));
        assert!(said("/x", &format!("{}:root", "u".repeat(32))).contains("31 characters"));
    }
}
