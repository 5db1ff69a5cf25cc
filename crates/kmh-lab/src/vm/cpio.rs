//! An initramfs as the kernel unpacks it: a cpio archive in the "newc" format
//! (Documentation/driver-api/early-userspace/buffer-format.rst).

/// Kinds of a file, as `st_mode` has them.
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;

/// An archive that is being written.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    files: u32,
    directories: std::collections::BTreeSet<String>,
}

impl Archive {
    /// A directory and those above it; one that is there already is left alone.
    pub fn directory(&mut self, path: &str) {
        let path = path.trim_matches('/');
        for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
            let part = &path[..end];
            if !part.is_empty() && self.directories.insert(part.to_owned()) {
                self.entry(part, DIRECTORY | 0o755, &[]);
            }
        }
    }

    /// A file, with the directories above it.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        let path = path.trim_start_matches('/');
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent);
        }
        self.entry(path, REGULAR | mode, content);
    }

    /// The archive, with its last entry.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.files += 1;
        // Sizes have eight hexadecimal digits; a file of 4 GiB has no place here.
        let (size, length) = (content.len() as u64, name.len() as u64 + 1);
        let fields = [u64::from(self.files), u64::from(mode), 0, 0, 1, 0, size, 0, 0, 0, 0, length, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_directories_come_first() {
        let mut archive = Archive::default();
        archive.file("/a/b/c", 0o755, b"hello");
        archive.file("a/b/d", 0o644, b"");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8(bytes).unwrap();
        let names: Vec<&str> =
            text.split("070701").skip(1).map(|entry| entry[104..].split('\0').next().unwrap()).collect();
        assert_eq!(names, ["a", "a/b", "a/b/c", "a/b/d", "TRAILER!!!"]);
        // inode 3, a regular file that may be run, five octets, a name of six with its end.
        let head = "07070100000003000081ed0000000000000000000000010000000000000005";
        assert!(text.contains(head), "{text:?}");
        assert!(text.contains("00000006000000"), "{text:?}");
        assert!(text.contains("a/b/c\0hello\0\0\u{0}070701"), "{text:?}");
    }
}
