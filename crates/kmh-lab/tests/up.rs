//! Labs for real: the article's cluster up, used, changed, taken away, killed in the middle.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use kmh_tests::topologies;
use support::World;

#[test]
fn the_articles_cluster_comes_up_and_goes_without_a_trace() {
    let world = World::new(None);
    let before = world.traces();
    let up = world.up();
    assert_eq!((&up["changed"], &up["tunnels"]), (&true.into(), &"plain".into()), "{up}");
    world.pods_reach_pods(&up);

    // The command's own code, streams and place.
    let ran = world.lab("exec pi-1 -- sh -c 'cat; hostname; exit 7' <cluster.yaml").exits(7);
    assert!(
        ran.stdout.starts_with("# One Kubernetes cluster") && ran.stdout.ends_with("\npi-1\n"),
        "{ran:?}"
    );
    assert!(world.inside("gw-vps", "ip -br address").contains("10.30.0.1/24"), "the router's namespace");
    assert!(!world.inside("vps-host", "ip -br address").contains("10.30.0.1/24"), "and not its host's");
    world.lab("exec nobody -- true").exits(2).says("no machine `nobody`").says("fw-attic");

    // Lines are as slow as the inventory says.
    let queue = world.inside("fw-attic", "tc qdisc show dev wan");
    assert!(queue.contains("rate 40Mbit"), "{queue}");

    // The same again, all the same.
    let again = world.lab("up -i stream.json --store pki -o text").exits(0);
    assert!(again.stdout.contains("nothing changed"), "{again:?}");

    // What a lab started goes with it wherever it is by then; a lab of that name in another `/run` is not this one.
    let mark = world.inside("operator", "printf %s \"$KMH_LAB\"");
    let stranger = format!("{}x@0-0", world.lab);
    let start = |mark: &str| {
        world.sh(&format!("KMH_LAB={mark} setsid sleep 600 >/dev/null 2>&1 & echo $!")).exits(0).stdout
    };
    let (own, other) = (start(&mark), start(&stranger));
    world.lab("down").exits(0);
    assert_eq!(world.traces(), before);
    // One that ended and whose parent has not heard of it yet does not live.
    let lives = |pid: &str| {
        world.sh(&format!("grep -q '^State:[[:space:]]*[^Z[:space:]]' /proc/{pid}/status")).code == 0
    };
    assert!(!lives(own.trim()) && lives(other.trim()), "{mark}, {stranger}");
    world.sh(&format!("kill {other}")).exits(0);
    world.lab("down").exits(2).says("no lab");
}

#[test]
fn every_kind_of_cluster_comes_up() {
    let wanted = ["dual", "six-bird", "a-mixed", "two-routers", "two-lines-bird"];
    for topology in topologies::named().iter().filter(|one| wanted.contains(&one.name.as_str())) {
        let world = World::new(Some(&topology.inventory()));
        let up = world.up();
        world.pods_reach_pods(&up);
    }
}

#[test]
fn killed_at_any_moment_it_leaves_nothing_that_down_does_not_find() {
    let world = World::new(None);
    let before = world.traces();
    let mut killed = 0;
    for tenths in [1, 2, 3, 5, 7, 10, 15, 20] {
        let line = format!(
            "timeout -s KILL {}.{:02} kmh-lab --lab {} up -i stream.json --store pki --tunnels plain -q",
            tenths / 20,
            tenths % 20 * 5,
            world.lab
        );
        let ran = world.sh(&line);
        killed += usize::from(ran.code == 137);
        // Nothing to take away when it was killed before it began.
        let down = world.lab("down");
        assert!(matches!(down.code, 0 | 2), "{down:?}");
        assert_eq!(world.traces(), before, "after {line}");
    }
    assert!(killed >= 3, "it was killed {killed} times only");

    // And the next `up` goes on over whatever is there.
    world.sh(&format!(
        "timeout -s KILL 0.4 kmh-lab --lab {} up -i stream.json --store pki --tunnels plain -q",
        world.lab
    ));
    let up = world.up();
    world.pods_reach_pods(&up);
    world.sh("kmh-lab down --all").exits(0);
    assert_eq!(world.traces(), before);
}

#[test]
fn two_labs_side_by_side() {
    let mut world = World::new(None);
    let before = world.traces();
    let first = world.lab.clone();
    let up = world.up();
    world.lab = format!("{first}b");
    let other = world.up();
    world.sh("kmh-lab exec pi-1 -- true").exits(2).says("several labs are up").says(&first);
    world.pods_reach_pods(&other);
    world.lab("down").exits(0);
    world.lab.clone_from(&first);
    world.pods_reach_pods(&up);
    // The only one needs no name.
    world.sh("kmh-lab exec pi-1 -- hostname").exits(0);
    world.sh("kmh-lab down").exits(0);
    assert_eq!(world.traces(), before);
}

#[test]
fn a_lab_is_an_island() {
    let world = World::new(None);
    // A way out of this world, which nothing of a lab may take: everything that is sent there is counted.
    world
        .sh("ip link add out type veth peer name end && sysctl -q -w net.ipv6.conf.out.disable_ipv6=1 net.ipv6.conf.end.disable_ipv6=1 && \
             ip address add 10.10.0.77/8 dev out && ip link set out up && ip link set end up && ip route add default dev out")
        .exits(0);
    let sent = || world.sh("cat /sys/class/net/out/statistics/tx_packets").exits(0).stdout;
    // sysfs is that of the network namespace in which it was mounted.
    world.sh("mount -t sysfs none /sys").exits(0);
    let (links, count) = (world.sh("ip -o link | cut -d: -f2").stdout, sent());
    let up = world.up();
    world.pods_reach_pods(&up);
    for from in ["operator", "attic-1", "pod-pi-1", "gw-vps", "vps-host", "internet", "lan-attic-home"] {
        for to in ["8.8.8.8", "203.0.113.200", "10.10.0.77", "172.31.7.7"] {
            let ran = world.lab(&format!("exec {from} -- ping -n -c 1 -W 1 {to}"));
            let dies = ran.stdout.contains("100% packet loss") || ran.stderr.contains("unreachable");
            assert!(ran.code != 0 && dies, "{from} reaches {to}: {ran:?}");
        }
    }
    assert_eq!(sent(), count, "packets left the lab");
    world.sh("ping -n -c 1 -W 1 8.8.8.8");
    assert_ne!(sent(), count, "what leaves this world is counted");
    assert_eq!(world.sh("ip -o link | cut -d: -f2").stdout, links, "a lab has no link to its outside");
}

#[test]
fn who_is_not_root_hears_what_it_needs() {
    let world = World::new(None);
    world.sh("chmod 755 . && cp $(command -v kmh-lab) lab && chmod 755 lab").exits(0);
    let nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups ./lab";
    for line in [
        "up --store pki <stream.json",
        "up --vm --store pki <stream.json",
        "exec fw-attic -- true",
        "down",
        "down --all",
    ] {
        let ran = world.sh(&format!("{nobody} {line}")).exits(2).says("kmh-lab needs root").says("sudo");
        assert_eq!(ran.stdout, "");
    }
    // To look at what would be built needs nothing.
    let ran = world.sh(&format!("{nobody} up --dry-run -o text <stream.json")).exits(0);
    assert!(ran.stdout.contains("fw-attic") && ran.stdout.contains("would have"), "{ran:?}");
}
