//! The guest's kernel: a stock one of Debian's, installed here or only unpacked.

use std::path::{Path, PathBuf};

use kmh_cli::{Failure, file};

use super::modules::{EARLY, LAB, Modules};

/// Where a kernel that is only unpacked lies: `boot/` and `lib/modules/` as in its package. It is no kernel of this
/// machine's: nothing boots it but a lab.
pub const UNPACKED: &str = "/var/cache/kmh-lab/kernel";

/// A kernel with its modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// What `uname -r` will say.
    pub release: String,
    /// The kernel itself.
    pub image: PathBuf,
    /// The folder of its modules, `…/lib/modules/RELEASE`.
    pub modules: PathBuf,
}

impl Kernel {
    /// What depmod(8) knows of its modules; none when it was not run.
    pub fn known(&self) -> Result<Option<Modules>, Failure> {
        let text = |name: &str| -> Result<Option<String>, Failure> {
            let bytes = file::read_if_there(&self.modules.join(name))?;
            Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
        };
        let builtin = text("modules.builtin")?.unwrap_or_default();
        Ok(text("modules.dep")?.map(|dep| Modules::parse(&dep, &builtin)))
    }
}

/// The newest kernel below `/` or [`UNPACKED`] that can carry a lab.
pub fn find() -> Result<Kernel, Failure> {
    if cfg!(not(target_arch = "x86_64")) {
        return Err(Failure::world(
            "a guest has this machine's programs, and kmh-lab knows x86-64 guests only",
        ));
    }
    find_below(&[Path::new("/"), Path::new(UNPACKED)])
}

fn find_below(roots: &[&Path]) -> Result<Kernel, Failure> {
    let mut refused = Vec::new();
    let mut fit = Vec::new();
    for kernel in roots.iter().flat_map(|root| candidates(root)) {
        match kernel.known()? {
            None => refused.push(format!("{}: no modules.dep (run depmod)", kernel.modules.display())),
            Some(modules) => {
                let missing = modules.missing(&[EARLY.as_slice(), LAB.as_slice()].concat());
                if missing.is_empty() {
                    fit.push(kernel);
                } else {
                    refused.push(format!("{}: no {}", kernel.modules.display(), missing.join(", ")));
                }
            }
        }
    }
    fit.into_iter().max_by_key(|kernel| numbers(&kernel.release)).ok_or_else(|| {
        let failure = refused.into_iter().fold(
            Failure::world("there is no kernel here for a guest to boot"),
            Failure::because,
        );
        failure.hint(format!(
            "install linux-image-amd64, or only unpack it: `apt-get download` the linux-image-*-amd64 that it \
             depends on, `dpkg -x` it into {UNPACKED}, and run `depmod -b {UNPACKED} RELEASE`"
        ))
    })
}

/// Kernels below a folder that has `boot` and `lib/modules`.
fn candidates(root: &Path) -> Vec<Kernel> {
    let releases = ["lib/modules", "usr/lib/modules"].map(|folder| root.join(folder));
    let mut found: Vec<Kernel> = Vec::new();
    for folder in releases.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten() {
        let release = folder.file_name().to_string_lossy().into_owned();
        let image = root.join("boot").join(format!("vmlinuz-{release}"));
        // With /usr merged both folders are one.
        if image.exists() && found.iter().all(|other| other.release != release) {
            found.push(Kernel { release, image, modules: folder.path() });
        }
    }
    found
}

/// Numbers of a release, to tell the newer one: 6.1.0-56 after 6.1.0-9.
fn numbers(release: &str) -> Vec<u64> {
    release.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests")]

    use std::fs;

    use super::*;

    /// A kernel that has all modules but these.
    fn put(root: &Path, release: &str, without: &[&str]) {
        let modules = root.join("usr/lib/modules").join(release);
        fs::create_dir_all(&modules).unwrap();
        fs::create_dir_all(root.join("boot")).unwrap();
        fs::write(root.join("boot").join(format!("vmlinuz-{release}")), "").unwrap();
        let names = EARLY.iter().chain(&LAB).filter(|name| !without.contains(name));
        let lines: Vec<String> = names.map(|name| format!("kernel/{name}.ko:\n")).collect();
        fs::write(modules.join("modules.dep"), lines.concat()).unwrap();
    }

    #[test]
    fn the_newest_that_has_all_is_taken_and_the_others_are_told() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "6.1.0-60-cloud-amd64", &["9p", "9pnet_virtio"]);
        let none = find_below(&[root.path()]).unwrap_err();
        assert_eq!(none.exit, kmh_cli::Exit::World);
        assert!(none.notes[0].causes[0].ends_with("6.1.0-60-cloud-amd64: no 9pnet_virtio, 9p"), "{none:?}");
        put(root.path(), "6.1.0-9-amd64", &[]);
        put(root.path(), "6.1.0-56-amd64", &[]);
        assert_eq!(find_below(&[root.path()]).unwrap().release, "6.1.0-56-amd64");
    }
}
