//! Programs of this machine in one of another architecture: what speaks with the kernel in ways that the emulation does not
//! carry, netfilter's netlink and TCP's MD5 signatures (RFC 2385) among them. The kernel runs them as they are; they come
//! with their libraries and the loader, by whose name they are started (`ld.so(8)`).

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use kmh_cli::{Failure, file};
use zeroize::Zeroizing;

use super::archive::File;
use crate::machine::{PATH, clean, output};
use crate::state::LabName;

/// Which.
const PROGRAMS: [&str; 3] = ["bird", "nft", "ss"];
/// Where they lie, and where they are found before the machine's own.
const FOLDER: &str = "/usr/local/lib/kmh-lab";
pub(super) const SBIN: &str = "/usr/local/sbin";

/// Libraries by name, and the loader, out of what `ldd` prints: `NAME => PATH (ADDRESS)`, and the loader as a path alone.
fn libraries(ldd: &str) -> (BTreeMap<String, String>, Option<String>) {
    let (mut found, mut loader) = (BTreeMap::new(), None);
    for line in ldd.lines().map(str::trim) {
        let path =
            |text: &str| text.split(" (").next().filter(|path| path.starts_with('/')).map(str::to_owned);
        match line.split_once(" => ") {
            Some((name, rest)) => {
                if let Some(path) = path(rest) {
                    found.insert(name.to_owned(), path);
                }
            }
            None => loader = loader.or(path(line)),
        }
    }
    (found, loader)
}

/// Their files.
pub(super) fn files(lab: &LabName) -> Result<Vec<File>, Failure> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    let mut wrappers = Vec::new();
    for name in PROGRAMS {
        let Some(path) =
            PATH.split(':').map(|folder| format!("{folder}/{name}")).find(|path| Path::new(path).exists())
        else {
            return Err(Failure::world(format!(
                "a machine of another architecture needs this machine's `{name}`"
            ))
            .hint("apt-get install --no-install-recommends bird2 nftables iproute2"));
        };
        let mut ldd = Command::new("ldd");
        clean(&mut ldd, lab);
        ldd.arg(&path);
        let (libraries, loader) = libraries(&output(ldd, b"")?);
        let Some(loader) = loader else {
            return Err(Failure::world(format!("`ldd {path}` names no loader")));
        };
        wrappers.push(File::plain(
            &format!("{SBIN}/{name}"),
            0o755,
            &format!(
                "#!/bin/sh\nexec {FOLDER}/loader/{name} --library-path {FOLDER} {FOLDER}/{name} \"$@\"\n"
            ),
        ));
        // The kernel calls a process by the file that was started (proc_pid_comm(5)), and `kill` finds it by that.
        all.insert(format!("loader/{name}"), loader);
        all.insert(name.to_owned(), path);
        all.extend(libraries);
    }
    for (name, path) in all {
        let bytes = Zeroizing::new(file::read(Path::new(&path))?);
        wrappers.push(File { bytes, ..File::plain(&format!("{FOLDER}/{name}"), 0o755, "") });
    }
    Ok(wrappers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ldd_prints_is_understood() {
        let (found, loader) = libraries(
            "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f5c)\n\
             \tlibodd.so => not found\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f5d)\n",
        );
        let libc = ("libc.so.6".to_owned(), "/lib/x86_64-linux-gnu/libc.so.6".to_owned());
        assert_eq!(found, BTreeMap::from([libc]));
        assert_eq!(loader.as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
    }
}
