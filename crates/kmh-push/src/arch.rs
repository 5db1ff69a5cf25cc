//! Whether a machine is of the kind that its programs are built for.

use kmh_doc::bundle::MachineKind;
use kmh_doc::inventory::Arch;

use crate::plan::{Rules, Seen};
use crate::target::Trouble;
use kmh_store::wanted::Wanted;

/// The architecture of a machine that was looked at, where it is one that kmh knows.
pub(crate) fn found(seen: &Seen) -> Option<Arch> {
    seen.processor.as_deref().and_then(Arch::of_kernel)
}

/// Refuses a machine whose kernel does not run what the bundle has for it, before anything is written there: a kubelet
/// for another processor would replace one that works, and the unit would end with `Exec format error` (ENOEXEC,
/// execve(2)). Below a root other than `/` files are made for a system that does not run yet.
pub(crate) fn check(machine: &Wanted, seen: &Seen, rules: Rules) -> Result<(), Trouble> {
    // What goes into the cluster runs on every node, and goes through any.
    let wanted = machine.arch.filter(|_| rules.units && machine.kind != MachineKind::Cluster);
    let (Some(wanted), Some(processor)) = (wanted, &seen.processor) else { return Ok(()) };
    if found(seen) == Some(wanted) {
        return Ok(());
    }
    let is = found(seen).map_or("of a kind that kmh does not know", Arch::as_str);
    let at = machine.host().map_or_else(String::new, |host| format!(" at {host}"));
    let programs = match machine.artifacts.len() {
        0 => String::new(),
        1 => " and program".to_owned(),
        number => format!(" and {number} programs"),
    };
    Err(Trouble::failed(format!(
        "its files{programs} are for {}, and the machine{at} is {is}: its kernel says `{processor}`",
        wanted.as_str(),
    ))
    .hint(format!(
        "see whether `{}` is the machine that answers there; if it is, correct its `arch` in the inventory and render \
         again",
        machine.name
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Owners;
    use kmh_doc::bundle::Artifact;

    const REAL: Rules = Rules { owners: Owners::Needed, units: true };

    fn said(arch: Option<Arch>, kind: MachineKind, processor: Option<&str>, rules: Rules) -> Option<String> {
        let program = |name: &str| Artifact {
            name: name.to_owned(),
            version: "1".to_owned(),
            arch: Arch::Arm64,
            url: String::new(),
            path: format!("/usr/local/bin/{name}"),
        };
        let [kubelet, runc] = ["kubelet", "runc"].map(program);
        let machine = Wanted {
            name: "pi-1".into(),
            kind,
            site: None,
            roles: vec![],
            arch,
            address: Some("10.20.0.21".into()),
            ssh: kmh_doc::inventory::Ssh::default(),
            files: vec![],
            units: vec![],
            artifacts: vec![kubelet, runc],
        };
        let seen = Seen { processor: processor.map(str::to_owned), ..Seen::default() };
        check(&machine, &seen, rules).err().map(|trouble| trouble.message)
    }

    #[test]
    fn only_a_machine_of_another_kind_is_refused() {
        use MachineKind::{Cluster, LinuxRouter, Node};
        let (amd64, arm64) = (Some(Arch::Amd64), Some(Arch::Arm64));
        let folder = Rules { units: false, ..REAL };
        for (arch, kind, processor, rules) in [
            (arm64, Node, Some("aarch64"), REAL),
            (arm64, Node, Some("arm64"), REAL), // FreeBSD's name
            (amd64, Node, Some("x86_64"), REAL),
            (None, LinuxRouter, Some("riscv64"), REAL),
            (arm64, Cluster, Some("x86_64"), REAL),
            (arm64, Node, None, REAL),
            (arm64, Node, Some("x86_64"), folder),
        ] {
            assert_eq!(said(arch, kind, processor, rules), None, "{arch:?} {kind:?} {processor:?}");
        }
        assert_eq!(
            said(arm64, Node, Some("x86_64"), REAL).as_deref(),
            Some(
                "its files and 2 programs are for arm64, and the machine at 10.20.0.21 is amd64: its kernel says `x86_64`"
            )
        );
        let said = said(arm64, Node, Some("armv7l"), REAL).unwrap_or_default();
        assert!(said.contains("is of a kind that kmh does not know: its kernel says `armv7l`"), "{said}");
    }
}
