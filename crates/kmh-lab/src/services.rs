//! How a light machine starts, reloads and stops what systemd would: the units of a bundle by name.

/// The node's BIRD in place of calico-node's.
pub(crate) const BIRD_OF_NODE: &str = "kmh-lab-bird.service";
/// sshd, with the lab's keys.
pub(crate) const SSHD: &str = "kmh-lab-ssh.service";
/// strongSwan as pfSense tells it.
pub(crate) const IPSEC: &str = "kmh-lab-ipsec.service";
/// Applies the cluster's manifests, which come with a push alone; no lab has an API server.
pub(crate) const CLUSTER: &str = "kmh-cluster.service";
/// Packet rules that the lab adds to a machine.
pub(crate) const RULES: &str = "/etc/nftables.d/kmh-lab.nft";

/// What the shell of a light machine runs for a unit; `@` is what stands between the unit's `*` and `.service`.
struct Row {
    unit: &'static str,
    start: &'static str,
    reload: &'static str,
    stop: &'static str,
}

/// The unit's own commands, as its file has them.
const OWN_START: &str = "sed -n 's/^ExecStart=//p' \"/etc/systemd/system/$unit\" | sh -e";
const OWN_RELOAD: &str = "sed -n 's/^ExecReload=//p' \"/etc/systemd/system/$unit\" | sh -e";

const ROWS: [Row; 12] = [
    Row {
        unit: "systemd-sysctl.service",
        // The rest belongs to the whole machine that the lab is on.
        start: "cat /etc/sysctl.d/90-kmh*.conf | sed -n 's/ *= */=/; s/^\\(net\\.[^=]*=.*\\)/\\1/p' | \
                while read -r line; do sysctl -q -w \"$line\"; done",
        reload: "",
        stop: "",
    },
    Row { unit: "kmh-netns-*.service", start: OWN_START, reload: OWN_RELOAD, stop: "" },
    Row {
        unit: "kmh-tunnels.service",
        start: "if userspace; then charons; tunnels; fit; else sed -n 's/^ExecStart=//p' \"/etc/systemd/system/$unit\" | sh -e; fi",
        reload: "if userspace; then charons; tunnels; fit; else sed -n 's/^ExecReload=//p' \"/etc/systemd/system/$unit\" | sh -e; fi",
        stop: "",
    },
    Row { unit: "kmh-nftables.service", start: OWN_START, reload: OWN_RELOAD, stop: "" },
    Row {
        unit: "kmh-lab-rules.service",
        start: "nft -f /etc/nftables.d/kmh-lab.nft",
        reload: "nft -f /etc/nftables.d/kmh-lab.nft",
        stop: "",
    },
    Row {
        unit: "strongswan.service",
        start: "if userspace; then charons; tunnels; fit; load; call_again; else keep charon /usr/sbin/charon-systemd; \
                until [ -S /run/charon.vici ]; do sleep 0.1; done; swanctl --load-all --noprompt; fi",
        reload: "if userspace; then charons; tunnels; fit; load; else swanctl --load-all --noprompt; fi",
        stop: "end keepalive; end_charons; end charon",
    },
    Row {
        unit: IPSEC,
        // What pfSense keeps alive it looks after every now and then.
        start: "! userspace || charons; /run/kmh-lab/kmh-lab stand-in; if userspace; then fit; load; else \
                keep charon /usr/sbin/charon-systemd; until [ -S /run/charon.vici ]; do sleep 0.1; done; \
                swanctl --load-all --noprompt; fi; \
                keep keepalive sh -c 'while sleep 10; do while read -r child; do at=; \
                [ ! -s /etc/kmh-lab/tunnels ] || at=\"--uri unix:///run/kmh-lab-esp/${child#con}.vici\"; \
                swanctl --list-sas --child $child $at | grep -q INSTALLED || \
                swanctl --initiate --child $child --timeout 5 $at; done </run/kmh-lab-kept; done'",
        reload: "! userspace || charons; /run/kmh-lab/kmh-lab stand-in; \
                 if userspace; then fit; load; else swanctl --load-all --noprompt; fi",
        stop: "end keepalive; end_charons; end charon",
    },
    Row {
        unit: "frr.service",
        start: "frr_folder /run/frr; /usr/lib/frr/frrinit.sh start",
        // It applies what is new twice, and bgpd refuses a line on graceful restart that it has: only the second time tells.
        reload: "if [ -x /usr/lib/frr/frr-reload.py ]; then /usr/lib/frr/frrinit.sh reload || /usr/lib/frr/frrinit.sh reload; \
                 else /usr/lib/frr/frrinit.sh restart; fi",
        stop: "/usr/lib/frr/frrinit.sh stop",
    },
    Row {
        unit: "frr@*.service",
        start: "frr_folder /run/frr; frr_folder \"/run/frr/@\"; /usr/lib/frr/frrinit.sh start \"@\"",
        reload: "reload() { /usr/lib/frr/frr-reload.py --reload --confdir \"/etc/frr/@\" --vty_socket \"/run/frr/@\" \"/etc/frr/@/frr.conf\"; }; \
                 if [ -x /usr/lib/frr/frr-reload.py ]; then reload || reload; \
                 else /usr/lib/frr/frrinit.sh restart \"@\"; fi",
        stop: "/usr/lib/frr/frrinit.sh stop \"@\"",
    },
    Row { unit: "bird.service", start: BIRD_START, reload: BIRD_RELOAD, stop: BIRD_STOP },
    Row { unit: "kmh-lab-bird.service", start: BIRD_START, reload: BIRD_RELOAD, stop: BIRD_STOP },
    Row {
        unit: "kmh-bird-*.service",
        start: "install -d -o bird -g bird \"/run/kmh-bird-@\"; bird -p -c \"/etc/bird/@/bird.conf\"; \
                keep bird-@ ip netns exec \"@\" $(sed -n 's/^ExecStart=//p' \"/etc/systemd/system/$unit\"); \
                until [ -S \"/run/kmh-bird-@/bird.ctl\" ]; do sleep 0.1; done",
        reload: OWN_RELOAD,
        stop: "end bird-@",
    },
];

const BIRD_START: &str = "mkdir -p /run/bird; bird -p -c /etc/bird/bird.conf; \
                          keep bird bird -f -c /etc/bird/bird.conf -s /run/bird/bird.ctl; \
                          until [ -S /run/bird/bird.ctl ]; do sleep 0.1; done";
const BIRD_RELOAD: &str = "bird -p -c /etc/bird/bird.conf; birdc -s /run/bird/bird.ctl configure >/dev/null";
const BIRD_STOP: &str = "end bird";

/// sshd with the lab's host key, and the admin's key for the one user.
const SSHD_ROW: Row = Row {
    unit: SSHD,
    start: "install -d -m 755 /run/sshd; keep sshd /usr/sbin/sshd -D -e -f /run/kmh-lab/ssh/sshd_config \
            $(cat /run/kmh-lab/sshd-options 2>/dev/null || :)",
    reload: "",
    stop: "end sshd",
};

/// Words that the rows use. `keep NAME COMMAND…` starts a daemon that stays in the foreground, `end NAME` stops it.
const WORDS: &str = "set -eu\n\
    log=/var/log/kmh-lab\n\
    keep() { name=$1; shift; setsid \"$@\" </dev/null >>\"$log/$name\" 2>&1 & echo $! >\"/run/kmh-lab/$name.pid\"; }\n\
    end() { [ ! -e \"/run/kmh-lab/$1.pid\" ] || kill \"$(cat \"/run/kmh-lab/$1.pid\")\" 2>/dev/null || :; rm -f \"/run/kmh-lab/$1.pid\"; }\n\
    frr_folder() { install -d -m 755 -o frr -g frr \"$1\"; }\n";

/// Words for those rows that bring tunnels about.
const USERSPACE: &str = include_str!("esp/userspace.sh");

/// What is done to a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Act {
    /// Reload it.
    Reload,
    /// Stop and start it.
    Restart,
    /// Start it.
    Start,
    /// Stop it.
    Stop,
}

fn row(unit: &str) -> Option<(&'static Row, String)> {
    if unit == SSHD {
        return Some((&SSHD_ROW, String::new()));
    }
    ROWS.iter().find_map(|row| {
        let instance = match row.unit.split_once('*') {
            None => return (row.unit == unit).then(|| (row, String::new())),
            Some((before, after)) => unit.strip_prefix(before)?.strip_suffix(after)?,
        };
        Some((row, instance.to_owned()))
    })
}

/// Whether a light machine runs a unit; tunnels and their daemon only where packets are encrypted.
pub(crate) fn is_known(unit: &str, esp: bool) -> bool {
    let encrypts = matches!(unit, "kmh-tunnels.service" | "strongswan.service");
    row(unit).is_some() && (esp || !encrypts)
}

/// What a machine's shell runs for that; none when there is nothing to do.
pub(crate) fn script(unit: &str, act: Act) -> Option<String> {
    let (row, instance) = row(unit)?;
    let restart = format!("{}\n{}", row.stop, row.start);
    let body = match act {
        Act::Start => row.start,
        Act::Stop => row.stop,
        Act::Reload if row.reload.is_empty() => &restart,
        Act::Reload => row.reload,
        Act::Restart => &restart,
    };
    if body.trim().is_empty() {
        return None;
    }
    let more =
        if matches!(row.unit, "kmh-tunnels.service" | "strongswan.service" | IPSEC) { USERSPACE } else { "" };
    Some(format!("{WORDS}{more}unit='{unit}'\n{}\n", body.replace('@', &instance)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_known_by_name_and_pattern() {
        for unit in ["frr.service", "frr@k8s.service", "kmh-netns-k8s.service", "kmh-bird-k8s.service", SSHD]
        {
            assert!(is_known(unit, false), "{unit}");
        }
        assert!(!is_known("kubelet.service", true));
        assert!(!is_known("strongswan.service", false) && is_known("strongswan.service", true));
        let script = script("frr@k8s.service", Act::Restart).unwrap();
        assert!(script.contains("frrinit.sh stop \"k8s\"") && script.contains("start \"k8s\""), "{script}");
    }
}
