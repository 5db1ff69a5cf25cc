//! Every AS layout, way of peering and daemon, a site with two routers and routers with two lines: taken by FRR, BIRD,
//! nftables and the kernel, and saying what was meant.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod common;
#[path = "common/sites.rs"]
mod sites;

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use common::{Rendered, files_of, program, render, silent};
use serde_json::Value;
use sites::{FORMS, Form, ROUTERS, SOME, sites};

const EACH: Form = Form { layout: "A", listen: false, birds: SOME, restart: 30 };

/// The BGP file of a router.
fn bgp(rendered: &Rendered, router: &str) -> String {
    let files = rendered.files(router);
    let mut found =
        files.into_iter().filter(|(path, _)| path.ends_with("frr.conf") || path.ends_with("bird.conf"));
    let (_, text) = found.next().unwrap();
    assert_eq!(found.next(), None, "{router} has two");
    text
}

/// What is between a line and the next one that begins with `end`.
#[track_caller]
fn block<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(begin).unwrap_or_else(|| panic!("no `{begin}` in\n{text}"));
    rest.split_once(end).map_or(rest, |(inside, _)| inside)
}

#[test]
fn every_form_is_taken_by_the_programs_that_read_it() {
    let (vtysh, bird) = (program("vtysh", "frr"), program("bird", "bird2"));
    let (unshare, nft) = (program("unshare", "util-linux"), program("nft", "nftables"));
    let mut seen = [0; 3];
    for form in FORMS {
        let rendered = render(&sites(form));
        let file = rendered.dir.path().join("file");
        for router in ROUTERS {
            let machine = rendered.machine(router);
            let is_bird = form.birds.contains(router);
            let units = machine["units"].to_string();
            assert_eq!(units.contains("bird"), is_bird, "{units}");
            assert_eq!(units.contains("frr"), !is_bird, "{units}");
            for (path, text) in files_of(machine) {
                std::fs::write(&file, &text).unwrap();
                if path.ends_with("/frr.conf") {
                    let output = Command::new(&vtysh).args(["-C", "-f"]).arg(&file).output().unwrap();
                    let said = String::from_utf8_lossy(&output.stdout).into_owned()
                        + &String::from_utf8_lossy(&output.stderr);
                    assert!(output.status.success() && !said.contains('%'), "{router}: {said}\n{text}");
                    seen[0] += 1;
                } else if path.ends_with("/bird.conf") {
                    silent(Command::new(&bird).args(["-p", "-c"]).arg(&file));
                    seen[1] += 1;
                } else if path.starts_with("/etc/nftables.d/") {
                    let load = "\"$0\" -f \"$1\" && \"$0\" list ruleset";
                    silent(Command::new(&unshare).args(["-r", "-n", "sh", "-c", load]).arg(&nft).arg(&file));
                    seen[2] += 1;
                }
            }
        }
    }
    assert_eq!(seen, [10, 14, 30]);
}

#[test]
fn passwords_are_references_and_for_the_daemon_alone() {
    let rendered = render(&sites(&EACH));
    let key = std::fs::read_to_string(rendered.dir.path().join("pki/keys/bgp/a.key")).unwrap();
    let key = key.trim();
    assert!(key.len() > 20 && !rendered.stream.contains(key), "a key is in a document");
    for (router, path, owner, line) in [
        ("gw-a1", "/etc/frr/frr.conf", "frr:frr", " neighbor 10.10.0.11 password "),
        ("gw-a2", "/etc/bird/bird.conf", "bird:bird", "  password \""),
    ] {
        let files = rendered.machine(router)["files"].as_array().unwrap();
        let file = files.iter().find(|file| file["path"] == path).unwrap();
        assert_eq!((&file["owner"], &file["mode"]), (&Value::from(owner), &Value::from("0640")));
        let segments = file["content"].as_array().unwrap();
        let secrets: Vec<&Value> =
            segments.iter().filter(|segment| segment.get("secret").is_some()).collect();
        // Two nodes and the other router, in two families; nothing between sites.
        assert_eq!(secrets.len(), 6, "{router}");
        assert!(secrets.iter().all(|segment| segment["secret"] == "keys/bgp/a.key"), "{secrets:?}");
        assert!(segments[0]["text"].as_str().unwrap().ends_with(line), "{}", segments[0]);
    }
    // Without passwords, without secrets.
    let mut inventory = sites(&EACH);
    inventory["spec"]["bgp"]["passwords"] = Value::from(false);
    let rendered = render(&inventory);
    for router in ROUTERS {
        let text = bgp(&rendered, router);
        assert!(!text.contains("password") && !text.contains(common::STUB), "{text}");
    }
}

#[test]
fn each_layout_says_what_it_needs() {
    // The nodes' part of a session in each layout: (FRR's lines, BIRD's).
    for (form, frr, bird) in [
        (&FORMS[0], &["as-override"][..], &["export filter 'nodes-out-v4-not-64512';"][..]),
        (&FORMS[2], &["route-reflector-client", "next-hop-self"], &["rr client;", "next hop self ebgp;"]),
        (&FORMS[4], &[], &["export filter 'nodes-out-v4';"]),
    ] {
        let rendered = render(&sites(form));
        for router in ["gw-a1", "gw-a2"] {
            let text = bgp(&rendered, router);
            if form.birds.contains(&router) {
                let session = block(&text, "protocol bgp node_10_10_0_11 {", "\n}\n");
                for words in ["rr client;", "next hop self ebgp;", "rs client;"] {
                    assert_eq!(
                        session.contains(words),
                        bird.contains(&words),
                        "{router}, {words}: {session}"
                    );
                }
                assert!(bird.iter().all(|words| session.contains(words)), "{bird:?}: {session}");
            } else {
                for words in ["as-override", "route-reflector-client", "next-hop-self", "route-server-client"]
                {
                    let line = format!("  neighbor 10.10.0.11 {words}\n");
                    assert_eq!(text.contains(&line), frr.contains(&words), "{router}: {line}");
                }
            }
        }
    }
    // Layout B: nodes of Calico 3.32 send a preference above everybody's.
    let rendered = render(&sites(&FORMS[2]));
    let map = block(&bgp(&rendered, "gw-a2"), "route-map nodes-in-v4 permit 10\n", "exit\n").to_owned();
    assert!(map.contains(" match as-path nodes\n set local-preference 100\n"), "{map}");
    let filter = block(&bgp(&rendered, "gw-a1"), "filter 'nodes-in-v4' {", "\n}\n").to_owned();
    assert!(filter.contains("bgp_path.len = 0 then {\n    bgp_local_pref = 100;\n    accept;"), "{filter}");
}

#[test]
fn the_two_routers_of_a_site_hand_on_to_each_other() {
    let rendered = render(&sites(&EACH));
    let frr = bgp(&rendered, "gw-a1");
    for line in [
        " neighbor 10.10.0.3 remote-as 65010\n",
        " neighbor 10.10.0.3 bfd profile kmh-1000\n",
        "  neighbor 10.10.0.3 next-hop-self\n",
        "  neighbor 10.10.0.3 route-map siblings-in-v4 in\n",
    ] {
        assert!(frr.contains(line), "{line}");
    }
    let bird = bgp(&rendered, "gw-a2");
    let session = block(&bird, "protocol bgp sibling_10_10_0_2 {", "\n}\n");
    for words in ["as 65010;", "interval 1000 ms;", "next hop self ebgp;", "export filter 'siblings-out-v4';"]
    {
        assert!(session.contains(words), "{words}: {session}");
    }
}

#[test]
fn of_two_lines_one_is_preferred_and_sends_by_itself() {
    let rendered = render(&sites(&EACH));
    // A map for each rank, and a metric that both ends give.
    let frr = bgp(&rendered, "gw-a1");
    let ranks: BTreeSet<&str> = frr.lines().filter_map(|line| line.strip_prefix(" set metric ")).collect();
    assert!(ranks.len() > 2 && ranks.contains("0"), "{ranks:?}");
    assert!(frr.contains("\n bgp deterministic-med\n"));
    let bird = bgp(&rendered, "gw-b");
    assert!(bird.contains("bgp_med = 0;") && bird.contains("deterministic med on;"), "{bird}");
    let tunnels = rendered.file("gw-a1", "/usr/local/lib/kmh/tunnels.sh");
    assert!(tunnels.contains("leaves_by -4 '198.51.100.10' 'eth5' 1005 || missing=1\n"), "{tunnels}");
    // With one line there is nothing to choose.
    let single = rendered.file("gw-a2", "/usr/local/lib/kmh/tunnels.sh");
    assert!(!single.contains("leaves_by"), "{single}");
}

/// The kernel's rules and routes, in a namespace of the test's own. Bridges stand in for lines and for XFRM interfaces,
/// which not every kernel has.
#[test]
fn each_tunnels_packets_leave_by_their_own_line() {
    let unshare = program("unshare", "util-linux");
    let ip = program("ip", "iproute2");
    let rendered = render(&sites(&EACH));
    let dir = rendered.dir.path();
    std::fs::write(dir.join("tunnels.sh"), rendered.file("gw-a1", "/usr/local/lib/kmh/tunnels.sh")).unwrap();
    std::fs::create_dir(dir.join("bin")).unwrap();
    let stand_in = format!(
        "#!/bin/sh\ncase \"$*\" in\n*'link show type xfrm') exit 0 ;;\n'link add '*' type xfrm '*) exec {ip} link add \"$3\" type bridge ;;\nesac\nexec {ip} \"$@\"\n",
        ip = ip.display()
    );
    std::fs::write(dir.join("bin/ip"), stand_in).unwrap();
    silent(Command::new("chmod").arg("755").arg(dir.join("bin/ip")));
    let script = "set -e; mount -t sysfs none /sys; export PATH=\"$0/bin:$PATH\"
        ip link set lo up
        for line in '0 203.0.113.10/24 203.0.113.1 100' '5 198.51.100.10/24 198.51.100.1 200'; do
            set -- $line
            ip link add \"eth$1\" type bridge; ip link set \"eth$1\" up; ip address add \"$2\" dev \"eth$1\"
            [ \"$1\" = 5 ] && [ -n \"$LATE\" ] || ip route add default via \"$3\" dev \"eth$1\" metric \"$4\"
        done
        sh \"$DIR/tunnels.sh\" || echo 'it failed'
        sh \"$DIR/tunnels.sh\" || echo 'it failed'
        ip rule show
        ip -o -4 address show
        ip route get 192.0.2.1 from 198.51.100.10; ip route get 192.0.2.1 from 203.0.113.10; ip route get 192.0.2.1
        ip route get 203.0.113.77 from 198.51.100.10";
    let run = |late: &str| {
        let mut command = Command::new(&unshare);
        command.args(["-r", "-n", "-m", "sh", "-c", script]).arg(dir).env("DIR", dir).env("LATE", late);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
        said
    };
    let said = run("");
    assert!(!said.contains("it failed"), "{said}");
    for expected in [
        "192.0.2.1 from 198.51.100.10 via 198.51.100.1 dev eth5",
        "192.0.2.1 from 203.0.113.10 via 203.0.113.1 dev eth0",
        "192.0.2.1 via 203.0.113.1 dev eth0",
        // What is near stays near.
        "203.0.113.77 from 198.51.100.10 dev eth0",
        "10.255.0.9/30",
    ] {
        assert!(said.contains(expected), "no {expected}:\n{said}");
    }
    // Twice is as good as once.
    assert_eq!(said.matches("from 198.51.100.10 lookup 1005").count(), 1, "{said}");
    // A line that is not there yet: the rest works, and the unit will try again.
    let said = run("late");
    assert!(said.contains("it failed") && said.contains("10.255.0.9/30"), "{said}");
    assert!(said.contains("192.0.2.1 from 203.0.113.10 via 203.0.113.1 dev eth0"), "{said}");
}

#[test]
fn whoever_calls_out_of_a_range_is_held_like_the_others() {
    let rendered = render(&sites(&FORMS[1]));
    let frr = bgp(&rendered, "gw-a2");
    for line in [
        "\n bgp listen limit 5000\n",
        "\n neighbor nodes-v4 peer-group\n neighbor nodes-v4 remote-as 64512\n",
        "\n bgp listen range 10.10.0.0/24 peer-group nodes-v4\n",
        "\n neighbor nodes-v6 password ",
        // Callers out of a range inherit none of their group's (FRR 8.4).
        "\n bgp graceful-restart-disable\n",
        "\n  neighbor nodes-v4 as-override\n",
        "\n  neighbor nodes-v4 maximum-prefix ",
    ] {
        assert!(frr.contains(line), "no `{line}`:\n{frr}");
    }
    assert!(!frr.contains("neighbor 10.10.0.11 "), "{frr}");
    let bird = bgp(&rendered, "gw-a1");
    let template = block(&bird, "protocol bgp nodes_v4 {", "\n}\n");
    for words in
        ["neighbor range 10.10.0.0/24 as 64512;", "graceful restart off;", "password \"", "import limit "]
    {
        assert!(template.contains(words), "{words}: {template}");
    }
    assert!(!bird.contains("protocol bgp node_"), "{bird}");
    // Each with an AS of its own: any but the router's.
    let bird = bgp(&render(&sites(&FORMS[5])), "gw-a1");
    assert!(bird.contains("  neighbor range 10.10.0.0/24 external;\n"), "{bird}");
}

#[test]
fn packets_of_the_cluster_pass_one_by_one_and_never_by_a_line() {
    let rendered = render(&sites(&EACH));
    for (router, line) in [("gw-a1", "{ \"eth0\", \"eth5\" }"), ("gw-b", "{ \"uplink\" }")] {
        let text = rendered.file(router, "/etc/nftables.d/kmh.nft");
        let untracked = block(&text, "hook prerouting priority raw;", "\n    }\n");
        assert!(untracked.contains(" notrack ") && !untracked.contains(line), "{untracked}");
        // BGP is the router's own, and needs its connection.
        assert!(
            untracked.lines().all(|rule| !rule.contains("notrack") || rule.contains(" daddr != ")),
            "{untracked}"
        );
        let sealed = block(&text, "chain sealed {", "\n    }\n");
        let wanted = format!("oifname {line} ip daddr {{ ");
        assert!(sealed.contains(&wanted) && sealed.contains("10.200.0.0/15"), "{sealed}");
        let forward = block(&text, "chain forward {", "ct state established");
        assert!(forward.contains(&wanted), "before what is established: {forward}");
    }
}

/// The script with a `curl` of the test's own, which fails once, as the API does that is not there yet.
#[test]
fn a_node_tells_calico_its_as_number_until_it_is_heard() {
    const SCRIPT: &str = "/usr/local/lib/kmh/as-number.sh";
    for (form, number) in [(&FORMS[2], "65010"), (&FORMS[4], "4200000102")] {
        let rendered = render(&sites(form));
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("as-number.sh"), rendered.file("a-2", SCRIPT)).unwrap();
        std::fs::write(at("sleep"), "#!/bin/sh\n").unwrap();
        let curl = "#!/bin/sh\n[ -e \"$0.called\" ] || { : >\"$0.called\"; exit 7; }\nfor word; do echo \"$word\"; done\n";
        std::fs::write(at("curl"), curl).unwrap();
        silent(Command::new("chmod").arg("755").args([at("sleep"), at("curl")]));
        let mut command = Command::new(program("dash", "dash"));
        command.arg(at("as-number.sh")).env("PATH", format!("{}:/usr/bin:/bin", dir.path().display()));
        let words = silent(&mut command);
        let words: Vec<&str> = words.lines().collect();
        let data = words.iter().position(|word| *word == "--data").map(|at| words[at + 1]).unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["metadata"]["annotations"]["projectcalico.org/ASNumber"], number);
        assert_eq!(words.last(), Some(&"https://127.0.0.1:7443/api/v1/nodes/a-2"));
        let files = rendered.files("a-2");
        let paths: Vec<&&str> =
            words.iter().filter(|word| word.starts_with("/var/lib/") || word.starts_with("/etc/")).collect();
        assert!(paths.len() == 3 && paths.iter().all(|path| files.contains_key(**path)), "{paths:?}");
        let apply = rendered.file("cluster", "/usr/local/lib/kmh/apply-cluster.sh");
        assert!(!apply.contains("ASNumber"), "{apply}");
    }
    // In layout A all have the cluster's, and one of before would outlive it.
    let rendered = render(&sites(&EACH));
    assert!(!rendered.files("a-2").contains_key(SCRIPT));
    let apply = rendered.file("cluster", "/usr/local/lib/kmh/apply-cluster.sh");
    assert!(apply.contains("kubectl annotate nodes --all 'projectcalico.org/ASNumber-'"), "{apply}");
}

#[test]
fn what_the_filter_lacks_is_said() {
    let rendered = render(&sites(&EACH));
    let stream: String = rendered
        .stream
        .lines()
        .filter(|line| !line.contains(r#""kind":"kmh.bundle/v1""#))
        .map(|line| line.replace(r#""prefix_list":"own-pods-v4""#, r#""prefix_list":"nowhere""#) + "\n")
        .collect();
    let (code, _, stderr) = common::try_tool("kmh-render", &[], stream.as_bytes());
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("prefix list `nowhere`, which there is not"), "{stderr}");
}
