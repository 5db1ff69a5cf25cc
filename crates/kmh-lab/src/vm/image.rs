//! The guest's initramfs: this program itself, the libraries that it has loaded, and the modules that reach the root.

use std::collections::BTreeSet;
use std::path::Path;

use kmh_cli::{Failure, file};
use serde::{Deserialize, Serialize};

use super::cpio::Archive;
use super::kernel::Kernel;
use super::modules::EARLY;

/// Where the program lies in the initramfs.
pub const INIT: &str = "/kmh-lab";
/// Where its orders lie.
pub const ORDERS: &str = "/orders.json";

/// What the guest's first process is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Orders {
    /// Modules in the initramfs, in the order in which they are loaded.
    pub load: Vec<String>,
    /// The kernel's release, and the folder of all its modules on the running root file system.
    pub release: String,
    /// See `release`.
    pub modules: String,
    /// This program on the running root file system.
    pub program: String,
    /// The guest's name.
    pub hostname: String,
}

/// The initramfs for a kernel. `program` is kmh-lab, and needs no library that the running program has not.
pub fn build(program: &Path, kernel: &Kernel, hostname: &str) -> Result<Vec<u8>, Failure> {
    let mut archive = Archive::default();
    for folder in ["dev", "proc", "sys", "host", "cow", "new"] {
        archive.directory(folder);
    }
    let bytes = file::read(program)?;
    if let Some(interpreter) = interpreter(&bytes) {
        archive.file(&interpreter, 0o755, &file::read(Path::new(&interpreter))?);
    }
    archive.file(INIT, 0o755, &bytes);
    let maps = file::read(Path::new("/proc/self/maps"))?;
    let running = std::env::current_exe().ok();
    for library in libraries(&String::from_utf8_lossy(&maps)) {
        if Path::new(&library) != program && Some(Path::new(&library)) != running.as_deref() {
            archive.file(&library, 0o755, &file::read(Path::new(&library))?);
        }
    }
    let known = kernel.known()?.map(|modules| modules.order(&EARLY)).unwrap_or_default();
    let mut load = Vec::new();
    for module in known {
        let name = format!("/modules/{}", module.rsplit('/').next().unwrap_or(&module));
        archive.file(&name, 0o644, &file::read(&kernel.modules.join(&module))?);
        load.push(name);
    }
    let orders = Orders {
        load,
        release: kernel.release.clone(),
        modules: kernel.modules.display().to_string(),
        program: program.display().to_string(),
        hostname: hostname.to_owned(),
    };
    let orders = serde_json::to_vec(&orders).map_err(|error| Failure::world("orders").because(error))?;
    archive.file(ORDERS, 0o644, &orders);
    Ok(archive.finish())
}

/// Files that are mapped to be run (proc(5), `maps`): the program, its libraries, the one that loads them.
fn libraries(maps: &str) -> BTreeSet<String> {
    let files = maps.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let (_, rights) = (fields.next()?, fields.next()?);
        let path = fields.nth(3)?;
        (rights.contains('x') && path.starts_with('/')).then(|| path.to_owned())
    });
    files.collect()
}

/// The program that loads a program's libraries: of a 64-bit little-endian ELF file, what its segment `PT_INTERP` names
/// (elf(5)).
fn interpreter(elf: &[u8]) -> Option<String> {
    const PT_INTERP: u64 = 3;
    let number = |at: usize, octets: usize| -> Option<usize> {
        let field = elf.get(at..at.checked_add(octets)?)?;
        let value = field.iter().rev().fold(0_u64, |value, octet| value << 8 | u64::from(*octet));
        usize::try_from(value).ok()
    };
    let (table, size, count) = (number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?);
    let headers = (0..count).map(|index| table + index * size);
    let header = headers.into_iter().find(|at| number(*at, 4) == usize::try_from(PT_INTERP).ok())?;
    let (offset, length) = (number(header + 8, 8)?, number(header + 32, 8)?);
    let text = elf.get(offset..offset.checked_add(length)?)?;
    Some(String::from_utf8_lossy(text).trim_end_matches('\0').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_program_says_what_it_needs() {
        let own = file::read(&std::env::current_exe().unwrap()).unwrap();
        let interpreter = interpreter(&own).unwrap();
        assert!(Path::new(&interpreter).exists(), "{interpreter}");
        let maps = String::from_utf8(file::read(Path::new("/proc/self/maps")).unwrap()).unwrap();
        let libraries = libraries(&maps);
        assert!(libraries.iter().any(|path| path.contains("libc.so")), "{libraries:?}");
        assert!(libraries.iter().all(|path| Path::new(path).exists()), "{libraries:?}");
        assert_eq!(super::interpreter(b"#!/bin/sh\n"), None);
    }
}
