//! `kmh-lab doctor`: what this machine can do, and which Debian package brings the rest.
//!
//! Two tables say what is asked: `PROBES`, each tried in namespaces of its own that end with the attempt, and
//! `PROGRAMS`, each looked for. Nothing is left behind but a module that the kernel loaded by itself to answer.

mod probe;

use std::path::{Path, PathBuf};

use kmh_cli::{Answer, Exit, Failure, Format};
use serde::Serialize;

use crate::vm::{kernel, qemu};

/// What something is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// Without it there is no lab.
    Up,
    /// Tunnels that are IPsec; without it they are plain links.
    Ipsec,
    /// Tunnels that are IPsec where the kernel has no ESP; without it they are plain links.
    Userspace,
    /// Delay and loss of lines; without it they have their rate alone.
    Weather,
    /// A lab in a guest, which has all of this.
    Vm,
    /// A verb or an option of its own.
    More,
}

/// Needs, and how a reader is told of them.
const NEEDS: [(Need, &str); 6] = [
    (Need::Up, "up"),
    (Need::Ipsec, "IPsec"),
    (Need::Userspace, "IPsec without the kernel's ESP"),
    (Need::Weather, "delay and loss"),
    (Need::Vm, "--vm"),
    (Need::More, "more"),
];

/// What the kernel is asked: a name, what for, and a line for `sh` in new namespaces.
struct Probe {
    what: &'static str,
    need: Need,
    /// It succeeds when the kernel can.
    line: &'static str,
    /// What to do where it cannot.
    hint: &'static str,
}

/// In the order in which they are shown. Each has a mount namespace with an empty `/mnt` in memory.
const PROBES: [Probe; 12] = [
    Probe {
        what: "namespaces",
        need: Need::Up,
        line: "ip link set lo up",
        hint: "a container must be privileged; a kernel needs NET_NS, PID_NS, UTS_NS and IPC_NS",
    },
    Probe {
        what: "overlay on tmpfs",
        need: Need::Up,
        line: "mkdir /mnt/u /mnt/w /mnt/r && \
               mount --no-mtab -t overlay kmh -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w /mnt/r && test -d /mnt/r/usr",
        hint: "a kernel needs OVERLAY_FS, and a root that overlays may lie on",
    },
    Probe {
        what: "veth and bridges",
        need: Need::Up,
        line: "ip link add kmh0 type veth peer name kmh1 && ip link add kmh2 type bridge && ip link set kmh0 master kmh2",
        hint: "a kernel needs VETH and BRIDGE",
    },
    Probe {
        what: "nftables",
        need: Need::Up,
        line: "nft add table inet kmh && nft 'add chain inet kmh c { type nat hook postrouting priority 100; }' && \
               nft add rule inet kmh c masquerade",
        hint: "a kernel needs NF_TABLES, NFT_NAT and NFT_MASQ",
    },
    Probe {
        what: "TCP-MD5",
        need: Need::Up,
        // The option can be set by a program only; the kernel that has it has this function.
        line: "grep -qw tcp_md5_do_add /proc/kallsyms",
        hint: "a kernel needs TCP_MD5SIG; without it set `bgp.passwords: false`",
    },
    Probe {
        what: "rate of lines (tbf)",
        need: Need::Up,
        line: "ip link add kmh0 type veth && tc qdisc add dev kmh0 root tbf rate 1mbit burst 10kb latency 50ms",
        hint: "a kernel needs NET_SCH_TBF",
    },
    Probe {
        what: "ESP",
        need: Need::Ipsec,
        // A key of nothing, in a namespace that ends here.
        line: "ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x100 mode tunnel \
               aead 'rfc4106(gcm(aes))' 0x0000000000000000000000000000000000000000 128",
        hint: "a kernel needs INET_ESP and CRYPTO_GCM; --vm has them",
    },
    Probe {
        what: "ESP in IPv6",
        need: Need::Ipsec,
        line: "ip xfrm state add src 2001:db8::1 dst 2001:db8::2 proto esp spi 0x100 mode tunnel \
               aead 'rfc4106(gcm(aes))' 0x0000000000000000000000000000000000000000 128",
        hint: "a kernel needs INET6_ESP; --vm has it",
    },
    Probe {
        what: "XFRM interfaces",
        need: Need::Ipsec,
        line: "ip link add kmh0 type xfrm dev lo if_id 1",
        hint: "a kernel needs XFRM_INTERFACE; --vm has it",
    },
    Probe {
        what: "TUN devices",
        need: Need::Userspace,
        line: "ip tuntap add mode tun name kmh0",
        hint: "a kernel needs TUN, and a container /dev/net/tun",
    },
    Probe {
        what: "delay and loss (netem)",
        need: Need::Weather,
        line: "ip link add kmh0 type veth && tc qdisc add dev kmh0 root netem delay 1ms loss 1%",
        hint: "a kernel needs NET_SCH_NETEM; --vm has it",
    },
    Probe {
        what: "processors of its own (KVM)",
        need: Need::Vm,
        line: "test -c /dev/kvm && grep -Eqw 'vmx|svm' /proc/cpuinfo",
        hint: "not needed: without it a guest runs in software, and boots in some ten seconds",
    },
];

/// Programs: name, its Debian package, what for. In the order in which they are shown.
const PROGRAMS: [(&str, &str, Need); 20] = [
    ("ip", "iproute2", Need::Up),
    ("tc", "iproute2", Need::Up),
    ("nsenter", "util-linux", Need::Up),
    ("unshare", "util-linux", Need::Up),
    ("sysctl", "procps", Need::Up),
    ("nft", "nftables", Need::Up),
    ("ping", "iputils-ping", Need::Up),
    ("/usr/lib/frr/bgpd", "frr", Need::Up),
    ("vtysh", "frr", Need::Up),
    ("bird", "bird2", Need::Up),
    ("dnsmasq", "dnsmasq-base", Need::Up),
    ("sshd", "openssh-server", Need::Up),
    ("ssh-keygen", "openssh-client", Need::Up),
    ("charon-systemd", "charon-systemd", Need::Ipsec),
    ("swanctl", "strongswan-swanctl", Need::Ipsec),
    (LIBIPSEC, "libcharon-extra-plugins", Need::Userspace),
    (qemu::PROGRAM, "qemu-system-x86", Need::Vm),
    ("modprobe", "kmod", Need::Vm),
    ("tcpdump", "tcpdump", Need::More),
    ("debootstrap", "debootstrap", Need::More),
];

/// strongSwan's own ESP.
const LIBIPSEC: &str = "/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so";

/// Where programs lie, for root.
const PATH: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// One line of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was asked.
    pub what: String,
    /// What it is needed for.
    pub need: Need,
    /// Whether it is there.
    pub there: bool,
    /// Where it lies, or why it is not there.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The Debian package that brings it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<&'static str>,
}

/// Answers.
pub fn answer(form: Format) -> Result<Answer, Failure> {
    let findings = examine(rustix::process::geteuid().is_root());
    let exit = if has(&findings, Need::Up) { Exit::Done } else { Exit::No };
    let text = match form {
        Format::Json => serde_json::to_string_pretty(&findings)
            .map_err(|error| Failure::world("the answer").because(error))?,
        _ => table(&findings),
    };
    Ok(Answer { text, exit })
}

/// Asks everything.
pub fn examine(root: bool) -> Vec<Finding> {
    let mut out = vec![Finding {
        what: "root".into(),
        need: Need::Up,
        there: root,
        detail: if root { String::new() } else { "namespaces and their links are root's to make".into() },
        package: None,
    }];
    for probe in &PROBES {
        let tried = if root { probe::attempt(probe.line) } else { Err("only root can ask".to_owned()) };
        let detail = match &tried {
            Ok(()) => String::new(),
            Err(cause) if root => format!("{} ({cause})", probe.hint),
            Err(cause) => cause.clone(),
        };
        out.push(Finding {
            what: probe.what.into(),
            need: probe.need,
            there: tried.is_ok(),
            detail,
            package: None,
        });
    }
    for (program, package, need) in PROGRAMS {
        let path = find(program);
        out.push(Finding {
            what: program.rsplit('/').next().unwrap_or(program).into(),
            need,
            there: path.is_some(),
            detail: path.map(|path| path.display().to_string()).unwrap_or_default(),
            package: Some(package),
        });
    }
    let kernel = kernel::find();
    out.push(Finding {
        what: "a kernel for a guest".into(),
        need: Need::Vm,
        there: kernel.is_ok(),
        detail: match &kernel {
            Ok(kernel) => kernel.image.display().to_string(),
            Err(failure) => failure.notes.iter().flat_map(|note| &note.hints).cloned().collect(),
        },
        package: Some("linux-image-amd64"),
    });
    out
}

/// A program where root would find it.
fn find(program: &str) -> Option<PathBuf> {
    PATH.iter().map(|folder| Path::new(folder).join(program)).find(|path| path.is_file())
}

/// Whether all of a need is there. Processors are not counted: a guest does without.
fn has(findings: &[Finding], need: Need) -> bool {
    let kvm = PROBES.last().map_or("", |probe| probe.what);
    findings.iter().filter(|finding| finding.need == need && finding.what != kvm).all(|finding| finding.there)
}

/// What strongSwan's own ESP lacks here; none when tunnels can be carried by it.
pub(crate) fn userspace() -> Option<String> {
    let mut missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _, need)| matches!(need, Need::Ipsec | Need::Userspace) && find(program).is_none())
        .map(|(_, package, _)| *package)
        .collect();
    missing.dedup();
    if !missing.is_empty() {
        return Some(format!("apt-get install {} brings it", missing.join(" ")));
    }
    let mut asked = PROBES.iter().filter(|probe| probe.need == Need::Userspace);
    asked.find(|probe| probe::attempt(probe.line).is_err()).map(|probe| probe.hint.to_owned())
}

/// The table, and what follows from it.
fn table(findings: &[Finding]) -> String {
    use std::fmt::Write as _;
    let width = findings.iter().map(|finding| finding.what.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for (need, name) in NEEDS {
        let verdict = if has(findings, need) { "yes" } else { "no" };
        let _ = writeln!(out, "{name}: {verdict}");
        for finding in findings.iter().filter(|finding| finding.need == need) {
            let mark = if finding.there { "yes" } else { "no " };
            let package = finding.package.filter(|_| !finding.there);
            let package = package.map(|package| format!("apt-get install {package}"));
            let detail = [Some(finding.detail.clone()).filter(|text| !text.is_empty()), package];
            let detail = detail.into_iter().flatten().collect::<Vec<_>>().join("; ");
            let line = format!("  {mark}  {:width$}  {detail}", finding.what);
            let _ = writeln!(out, "{}", line.trim_end());
        }
    }
    out.push('\n');
    // The programs of IPsec are needed either way, the kernel's part is not.
    let programs = findings.iter().filter(|finding| finding.need == Need::Ipsec && finding.package.is_some());
    let userspace = has(findings, Need::Userspace) && programs.clone().all(|finding| finding.there);
    let said = match (has(findings, Need::Up), has(findings, Need::Ipsec), has(findings, Need::Vm)) {
        (false, _, _) => "`kmh-lab up` does not work here",
        (true, true, _) => "`kmh-lab up` works here, with IPsec",
        (true, false, true) if userspace => {
            "`kmh-lab up` works here, with IPsec by strongSwan's own ESP; `up --vm` has the kernel's"
        }
        (true, false, false) if userspace => "`kmh-lab up` works here, with IPsec by strongSwan's own ESP",
        (true, false, true) => "`kmh-lab up` works here, with plain links for tunnels; `up --vm` has IPsec",
        (true, false, false) => "`kmh-lab up` works here, with plain links for tunnels",
    };
    let _ = writeln!(out, "{said}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(what: &str, need: Need, there: bool) -> Finding {
        Finding { what: what.into(), need, there, detail: String::new(), package: None }
    }

    #[test]
    fn what_is_missing_decides_by_what_it_is_needed_for() {
        let mut findings = vec![
            finding("root", Need::Up, true),
            finding("ESP", Need::Ipsec, false),
            finding("TUN devices", Need::Userspace, false),
            finding("processors of its own (KVM)", Need::Vm, false),
            finding("qemu", Need::Vm, true),
        ];
        assert!(table(&findings).ends_with("with plain links for tunnels; `up --vm` has IPsec\n"));
        findings[4].there = false;
        findings[4].package = Some("qemu-system-x86");
        let text = table(&findings);
        assert!(text.contains("--vm: no\n") && text.contains("  no   qemu"), "{text}");
        assert!(text.contains("apt-get install qemu-system-x86\n"), "{text}");
        assert!(text.ends_with("`kmh-lab up` works here, with plain links for tunnels\n"), "{text}");
        findings[2].there = true;
        assert!(table(&findings).ends_with("with IPsec by strongSwan's own ESP\n"), "{}", table(&findings));
        findings[1].there = true;
        assert!(table(&findings).ends_with("`kmh-lab up` works here, with IPsec\n"));
        findings[0].there = false;
        assert!(table(&findings).ends_with("`kmh-lab up` does not work here\n"));
    }

    #[test]
    fn an_ordinary_user_learns_that_only_root_can_ask() {
        let findings = examine(false);
        let esp = findings.iter().find(|finding| finding.what == "ESP").unwrap();
        assert_eq!((esp.there, esp.detail.as_str()), (false, "only root can ask"));
        assert!(!has(&findings, Need::Up));
    }

    #[test]
    fn a_probe_says_what_the_kernel_said_and_leaves_nothing() {
        use kmh_tests::sandbox::is_root;
        assert!(is_root(), "this test makes namespaces: run it as root (`make test` says so)");
        let before = links();
        assert_eq!(probe::attempt("ip link add kmh0 type dummy || ip link add kmh0 type veth"), Ok(()));
        assert_eq!(probe::attempt("mkdir /mnt/kmh && test -d /mnt/kmh"), Ok(()));
        assert_eq!(probe::attempt("echo no such thing >&2; exit 3"), Err("no such thing".to_owned()));
        assert_eq!(links(), before);
        assert!(!Path::new("/mnt/kmh").exists());
    }

    /// This machine's own links: those of other tests are no lab's.
    fn links() -> bool {
        Path::new("/sys/class/net/kmh0").exists()
    }
}
