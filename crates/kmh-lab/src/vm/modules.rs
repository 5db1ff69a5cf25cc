//! Which modules a kernel needs before it can reach its root, in the order in which they are loaded.

use std::collections::{BTreeMap, BTreeSet};

/// What reaches the root file system and the host: virtio over PCI, 9p, an overlay, and serial ports for commands. The
/// rest is found by `modprobe` once the root is there.
pub const EARLY: [&str; 5] = ["virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_console"];

/// What the lab itself is made of. `modprobe` finds it by itself; a kernel without one of them is none for a lab.
pub const LAB: [&str; 8] =
    ["veth", "bridge", "xfrm_user", "xfrm_interface", "esp4", "esp6", "sch_netem", "nf_tables"];

/// `modules.dep` of depmod(8), and what is built in.
#[derive(Debug)]
pub struct Modules {
    /// A module's file and the files that it needs, in the order of `modules.dep`.
    by_name: BTreeMap<String, (String, Vec<String>)>,
    builtin: BTreeSet<String>,
}

/// A module's name: of its file, with `_` for `-`, as the kernel spells it.
fn name(file: &str) -> String {
    let file = file.rsplit('/').next().unwrap_or(file);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

impl Modules {
    /// Reads the texts of `modules.dep` and `modules.builtin`.
    pub fn parse(dep: &str, builtin: &str) -> Self {
        let lines = dep.lines().filter_map(|line| line.split_once(':'));
        let by_name = lines
            .map(|(file, needs)| {
                let needs = needs.split_whitespace().map(str::to_owned).collect();
                (name(file), (file.to_owned(), needs))
            })
            .collect();
        Self { by_name, builtin: builtin.lines().map(name).collect() }
    }

    /// Which of these the kernel has not, as a module or built in.
    pub fn missing<'n>(&self, names: &[&'n str]) -> Vec<&'n str> {
        let has = |name: &str| self.by_name.contains_key(name) || self.builtin.contains(name);
        names.iter().copied().filter(|name| !has(name)).collect()
    }

    /// Files of these modules and of all that they need, each once, needed ones first. What is built in has none.
    pub fn order(&self, names: &[&str]) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        for (file, needs) in names.iter().filter_map(|name| self.by_name.get(*name)) {
            // modules.dep lists all that is needed, the innermost last.
            for file in needs.iter().rev().chain([file]) {
                if !out.contains(file) {
                    out.push(file.clone());
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "kernel/fs/9p/9p.ko: kernel/net/9p/9pnet.ko kernel/fs/fscache/fscache.ko kernel/fs/netfs/netfs.ko\n\
        kernel/net/9p/9pnet.ko:\n\
        kernel/net/9p/9pnet_virtio.ko.xz: kernel/net/9p/9pnet.ko kernel/drivers/virtio/virtio.ko\n\
        kernel/crypto/sha256-generic.ko:\n";

    #[test]
    fn needed_ones_come_first_and_once() {
        let modules = Modules::parse(DEP, "kernel/fs/overlayfs/overlay.ko\n");
        assert_eq!(
            modules.order(&["overlay", "9p", "9pnet_virtio", "sha256_generic"]),
            [
                "kernel/fs/netfs/netfs.ko",
                "kernel/fs/fscache/fscache.ko",
                "kernel/net/9p/9pnet.ko",
                "kernel/fs/9p/9p.ko",
                "kernel/drivers/virtio/virtio.ko",
                "kernel/net/9p/9pnet_virtio.ko.xz",
                "kernel/crypto/sha256-generic.ko",
            ]
        );
    }

    #[test]
    fn a_kernel_without_a_module_is_told_from_one_that_has_it_built_in() {
        let modules = Modules::parse(DEP, "kernel/fs/overlayfs/overlay.ko\n");
        assert_eq!(modules.missing(&["overlay", "9p", "sha256_generic", "esp4"]), ["esp4"]);
    }
}
