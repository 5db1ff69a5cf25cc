//! What a file is, by its first octets: programs are told apart by the header that the kernel goes by, not by their names.
//!
//! The layout is that of the ELF-64 object file format; numbers of processors are from the registry of `e_machine`.

use kmh_doc::inventory::Arch;

/// So much of a file's beginning is looked at: the header and, of every usual program, the table of its segments.
pub(crate) const HEAD: usize = 4096;

/// Size of the header of a 64-bit file.
const HEADER: usize = 64;

/// Processors that somebody may have a program for by mistake, with `e_machine`.
const PROCESSORS: [(u16, &str); 7] = [
    (3, "32-bit x86"),
    (21, "ppc64"),
    (22, "s390"),
    (40, "32-bit ARM"),
    (62, "amd64"),
    (183, "arm64"),
    (243, "RISC-V"),
];

/// Whether a file that begins so can run on machines of that architecture; else what it is, and what it must be.
pub(crate) fn runs_on(head: &[u8], size: u64, arch: Arch) -> Result<(), String> {
    let arch = arch.as_str();
    let must = |is: &str| Err(format!("{is}, and must be a program for {arch}"));
    if !head.starts_with(b"\x7fELF") {
        return must(&kind(head));
    }
    // EI_CLASS, EI_DATA, e_machine: all within the first 20 octets, also of a 32-bit file.
    let (Some(class), Some(order), Some(machine)) = (head.get(4), head.get(5), head.get(18..20)) else {
        return must("is cut off");
    };
    let little = *order == 1;
    let machine = [machine[0], machine[1]];
    let machine = if little { u16::from_le_bytes(machine) } else { u16::from_be_bytes(machine) };
    let name = PROCESSORS.iter().find(|(number, _)| *number == machine).map(|(_, name)| *name);
    match name {
        Some(name) if name == arch && *class == 2 && little => {}
        Some(name) if name == arch && *class != 2 => return must("is a 32-bit program"),
        Some(name) if name == arch => return must("is a big-endian program"),
        Some(name) => return must(&format!("is a program for {name}")),
        None => return must(&format!("is a program for another processor (ELF machine {machine})")),
    }
    // e_type: 2 is a program, 3 one that can lie anywhere, or a library; 1 is an object file, 4 a core.
    match number(head, 16, 2) {
        Some(2 | 3) => {}
        Some(other) => return must(&format!("is no program that can be started (ELF type {other})")),
        None => return must("is cut off"),
    }
    match end(head) {
        Some(end) if end > size => {
            Err(format!("is cut off: it has {size} octets, and its header speaks of {end}"))
        }
        Some(_) => Ok(()),
        None => must("is cut off"),
    }
}

/// What a file is that is no program; for people.
pub(crate) fn kind(head: &[u8]) -> String {
    let text = head.trim_ascii_start();
    let is = match text {
        [] => "is empty",
        [0x1f, 0x8b, ..] => "is a gzip archive",
        [b'P', b'K', 3, 4, ..] => "is a zip archive",
        [0x7f, b'E', b'L', b'F', ..] => "is a program",
        [b'#', b'!', ..] => "is a script",
        [b'<', ..] => "is a web page",
        _ => "is no ELF file",
    };
    is.to_owned()
}

/// A number of the header.
fn number(head: &[u8], at: usize, octets: usize) -> Option<u64> {
    let bytes = head.get(at..at.checked_add(octets)?)?;
    Some(bytes.iter().rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
}

/// Where the file ends at the earliest, as its own tables have it; none when not even the header is there.
fn end(head: &[u8]) -> Option<u64> {
    if head.len() < HEADER {
        return None;
    }
    let (phoff, shoff) = (number(head, 32, 8)?, number(head, 40, 8)?);
    let [phentsize, phnum, shentsize, shnum] = [54, 56, 58, 60].map(|at| number(head, at, 2).unwrap_or(0));
    // Sizes are of 16 bits each, so a product cannot overflow; a sum of 64 bits can.
    let table = |at: u64, size: u64, count: u64| if count == 0 { 0 } else { at.saturating_add(size * count) };
    let mut end = table(phoff, phentsize, phnum).max(table(shoff, shentsize, shnum));
    for index in 0..phnum {
        let at = usize::try_from(phoff.saturating_add(index * phentsize)).ok()?;
        // p_offset and p_filesz; segments beyond what was read are not looked at.
        let (Some(offset), Some(size)) =
            (number(head, at.saturating_add(8), 8), number(head, at.saturating_add(32), 8))
        else {
            break;
        };
        end = end.max(offset.saturating_add(size));
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program of one segment, 200 octets long.
    fn program(machine: u16) -> Vec<u8> {
        let mut file = vec![0; 200];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[16] = 2;
        file[18..20].copy_from_slice(&machine.to_le_bytes());
        file[32] = 64; // e_phoff
        (file[54], file[56]) = (56, 1); // e_phentsize, e_phnum
        (file[64 + 8], file[64 + 32]) = (120, 80); // p_offset, p_filesz
        file
    }

    fn said(file: &[u8], arch: Arch) -> String {
        runs_on(&file[..file.len().min(HEAD)], file.len() as u64, arch).err().unwrap_or_default()
    }

    #[test]
    fn a_program_of_this_machine_is_one_and_of_no_other_kind() {
        let file = std::fs::read("/proc/self/exe").unwrap();
        let own = Arch::of_kernel(std::env::consts::ARCH).unwrap();
        let other = if own == Arch::Arm64 { Arch::Amd64 } else { Arch::Arm64 };
        assert_eq!(said(&file, own), "");
        let (is, must) = (own.as_str(), other.as_str());
        assert_eq!(said(&file, other), format!("is a program for {is}, and must be a program for {must}"));
        for part in [3, 5, 18, 19, 63] {
            assert!(said(&file[..part], own).contains("must be a program for"), "{part}");
        }
        let part = &file[..file.len() - 1];
        assert!(said(part, own).contains(&format!("is cut off: it has {} octets", part.len())));
    }

    #[test]
    fn what_it_is_instead_is_said() {
        assert_eq!(said(&program(183), Arch::Arm64), "");
        let changed = |at: usize, value: u8| {
            let mut file = program(183);
            file[at] = value;
            file
        };
        let big = {
            let mut file = program(0);
            file[5] = 2;
            file[18..20].copy_from_slice(&183_u16.to_be_bytes());
            file
        };
        for (file, is) in [
            (program(62), "is a program for amd64"),
            (program(40), "is a program for 32-bit ARM"),
            (program(9), "is a program for another processor (ELF machine 9)"),
            (changed(4, 1), "is a 32-bit program"),
            (big, "is a big-endian program"),
            (changed(16, 1), "is no program that can be started (ELF type 1)"),
            (program(183)[..100].to_vec(), "is cut off: it has 100 octets, and its header speaks of 120"),
            (program(183)[..199].to_vec(), "is cut off: it has 199 octets, and its header speaks of 200"),
            (program(183)[..60].to_vec(), "is cut off"),
            (vec![], "is empty"),
            (b"#!/bin/sh\n".to_vec(), "is a script"),
            (b"\n<!DOCTYPE html>".to_vec(), "is a web page"),
            (b"\x1f\x8b\x08".to_vec(), "is a gzip archive"),
            (b"Not Found".to_vec(), "is no ELF file"),
        ] {
            let said = said(&file, Arch::Arm64);
            assert!(said.starts_with(is), "{said:?} is not {is:?}");
        }
        // Numbers that no file has do no harm.
        let mut odd = program(183);
        odd[32..48].fill(0xff);
        odd[54..62].fill(0xff);
        assert!(said(&odd, Arch::Arm64).starts_with("is cut off"));
    }
}
