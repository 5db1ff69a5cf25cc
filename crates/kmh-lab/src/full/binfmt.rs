//! Programs of another architecture: the kernel starts qemu's user emulation for them, once it has been told how
//! (`Documentation/admin-guide/binfmt-misc.rst`).
//!
//! A machine that has such an entry already is left as it is. Otherwise one of our own name is made, and taken away with
//! the last lab; and so that nobody's mount is touched, through a mount of our own.

use std::path::{Path, PathBuf};

use kmh_cli::{Failure, file};
use kmh_doc::inventory::Arch;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, UnmountFlags};

use crate::state::{self, ROOT};

/// Beginning of the names of our entries.
const OURS: &str = "kmh-lab-";
/// Flags that an entry needs: the interpreter is opened once and for all namespaces (F), and a program with the set-user-ID
/// bit, sudo among them, gets its rights (C).
const FLAGS: [char; 2] = ['F', 'C'];

/// The architecture of this machine.
pub fn native() -> Option<Arch> {
    Arch::of_kernel(std::env::consts::ARCH)
}

/// Whether programs of that architecture need emulation here.
pub fn emulated(arch: Arch) -> bool {
    native() != Some(arch)
}

/// The kernel's name, which is qemu's too.
fn qemu(arch: Arch) -> &'static str {
    match arch {
        Arch::Amd64 => "x86_64",
        Arch::Arm64 => "aarch64",
    }
}

/// What is written to `register`: the line of the distribution with our name and flags. It is
/// `:name:type:offset:magic:mask:interpreter:flags`.
fn line(text: &str, name: &str) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| line.starts_with(':'))?;
    let mut fields: Vec<String> = line.split(':').map(str::to_owned).collect();
    let [empty, own, _, _, _, _, interpreter, flags] = fields.as_mut_slice() else { return None };
    if !empty.is_empty() || !interpreter.starts_with('/') {
        return None;
    }
    name.clone_into(own);
    flags.extend(FLAGS.iter().filter(|flag| !line.rsplit(':').next().unwrap_or_default().contains(**flag)));
    Some(fields.join(":"))
}

/// Whether an entry, as the kernel shows it, starts an emulator of that name in every namespace.
fn serves(entry: &str, qemu: &str) -> bool {
    let field = |name: &str| entry.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    entry.lines().next() == Some("enabled")
        && field("flags:").is_some_and(|flags| FLAGS.iter().all(|flag| flags.contains(*flag)))
        && field("interpreter ")
            .and_then(|path| Path::new(path).file_name()?.to_str())
            .is_some_and(|file| file.contains(qemu))
}

fn mount_point() -> PathBuf {
    Path::new(ROOT).join(".binfmt")
}

/// Entries by name.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(found) = std::fs::read_dir(folder) else { return Vec::new() };
    let own = |name: &str| name != "register" && name != "status";
    found
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(own))
        .map(|entry| entry.path())
        .collect()
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: rustix::io::Errno| {
        Failure::world(format!("cannot write to `{}`", path.display()))
            .because(file::plain(&error.into()))
            .hint("the kernel needs CONFIG_BINFMT_MISC, and a container the right to it")
    };
    let opened = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
    rustix::io::write(&opened, text.as_bytes()).map_err(failed).map(drop)
}

/// Sees to it that programs of that architecture run here; `say` is told what was changed.
pub fn provide(arch: Arch, say: &mut dyn FnMut(&str)) -> Result<(), Failure> {
    if !emulated(arch) {
        return Ok(());
    }
    let qemu = qemu(arch);
    let folder = mount_point();
    if !folder.join("register").exists() {
        file::make_dir(&folder, 0o700)?;
        rustix::mount::mount("binfmt_misc", &folder, "binfmt_misc", MountFlags::empty(), None).map_err(
            |error| {
                Failure::world("cannot mount binfmt_misc, by which programs of another architecture run")
                    .because(file::plain(&error.into()))
                    .hint("modprobe binfmt_misc")
            },
        )?;
    }
    for entry in entries(&folder) {
        if file::read(&entry).is_ok_and(|text| serves(&String::from_utf8_lossy(&text), qemu)) {
            return Ok(());
        }
    }
    let path = PathBuf::from(format!("/usr/lib/binfmt.d/qemu-{qemu}.conf"));
    let name = format!("{OURS}{qemu}");
    let text = file::read_if_there(&path)?.unwrap_or_default();
    let Some(line) = line(&String::from_utf8_lossy(&text), &name) else {
        return Err(Failure::world(format!("no emulator for {} is here", arch.as_str()))
            .because(format!("`{}` does not say how it is started", path.display()))
            .hint("apt-get install qemu-user-static"));
    };
    // One of that name that does not serve is a broken one of ours.
    if folder.join(&name).exists() {
        write(&folder.join(&name), "-1")?;
    }
    write(&folder.join("register"), &line)?;
    say(&format!("{} programs run by qemu's user emulation until the last lab is taken down", arch.as_str()));
    Ok(())
}

/// Whether a program runs by an emulator of qemu's: the kernel's list is one for all, and a lab with another `/run`, as in a
/// container, is not seen.
fn is_used() -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let programs = processes.filter_map(|entry| std::fs::read_link(entry.path().join("exe")).ok());
    let mut names = programs.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
    let all = [Arch::Amd64, Arch::Arm64].map(|arch| format!("qemu-{}", qemu(arch)));
    names.any(|name| all.iter().any(|emulator| name.trim_end_matches("-static") == emulator))
}

/// Takes away what [`provide`] made, when no lab is left and nobody uses it.
pub fn give_back() -> Result<(), Failure> {
    let folder = mount_point();
    if !state::labs().is_empty() || !folder.join("register").exists() || is_used() {
        return Ok(());
    }
    for entry in entries(&folder) {
        if entry.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(OURS)) {
            write(&entry, "-1")?;
        }
    }
    rustix::mount::unmount(&folder, UnmountFlags::DETACH).and_then(|()| rustix::fs::rmdir(&folder)).map_err(
        |error| {
            Failure::world(format!("cannot take away `{}`", folder.display()))
                .because(file::plain(&error.into()))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONF: &str =
        ":qemu-aarch64:M::\\x7fELF\\x02:\\xff\\xff:/usr/libexec/qemu-binfmt/aarch64-binfmt-P:OPF\n";

    #[test]
    fn the_distributions_line_gets_our_name_and_flags() {
        assert_eq!(
            line(CONF, "kmh-lab-aarch64").as_deref(),
            Some(
                ":kmh-lab-aarch64:M::\\x7fELF\\x02:\\xff\\xff:/usr/libexec/qemu-binfmt/aarch64-binfmt-P:OPFC"
            )
        );
        for text in ["", "# nothing\n", ":a:M::x:y:qemu:F", ":a:M::x:/q:F"] {
            assert_eq!(line(text, "a"), None, "{text:?}");
        }
    }

    #[test]
    fn an_entry_serves_with_the_right_flags_only() {
        let entry = |state: &str, path: &str, flags: &str| {
            format!("{state}\ninterpreter {path}\nflags: {flags}\noffset 0\nmagic 7f45\n")
        };
        let qemu = "/usr/libexec/qemu-binfmt/aarch64-binfmt-P";
        assert!(serves(&entry("enabled", qemu, "POCF"), "aarch64"));
        assert!(serves(&entry("enabled", "/usr/bin/qemu-aarch64-static", "OCF"), "aarch64"));
        for (state, path, flags) in
            [("disabled", qemu, "POCF"), ("enabled", qemu, "POF"), ("enabled", "/usr/bin/python3", "CF")]
        {
            assert!(!serves(&entry(state, path, flags), "aarch64"), "{state} {path} {flags}");
        }
    }
}
