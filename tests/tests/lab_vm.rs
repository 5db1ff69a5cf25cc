//! A lab's guest: that it boots, takes commands, is an island, and has what the machine's own kernel may lack. In software
//! it boots in some ten seconds. `make test-vm` runs this alone.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_macros,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod standin;

use std::io::Cursor;

use kmh_lab::vm::client::Streams;
use kmh_lab::vm::qemu::{self, Accel, Guest, Size};
use kmh_lab::vm::{kernel, wire::Request};
use kmh_tests::sandbox::{Ran, Sandbox, is_root, tool_dir};
use serde_json::Value;

/// A guest, ended when it is dropped.
struct Vm {
    dir: tempfile::TempDir,
}

impl Vm {
    fn boot() -> Self {
        assert!(is_root(), "a guest reads the whole root file system: run this as root (`make test-vm`)");
        let dir = tempfile::Builder::new().prefix("kmh-vm-").tempdir().unwrap();
        let kernel = kernel::find().unwrap_or_else(|failure| panic!("{}", failure.render("kmh-lab", false)));
        let guest = Guest {
            hostname: "test".into(),
            program: tool_dir().join("kmh-lab"),
            kernel,
            accel: Accel::here(),
            size: Size { cpus: 2, memory: 1536 },
        };
        match qemu::boot(dir.path(), &guest) {
            Ok(_) => Self { dir },
            Err(failure) => panic!("{}", failure.render("kmh-lab", false)),
        }
    }

    fn run(&self, argv: &[&str], input: &str) -> Ran {
        let request = Request { argv: argv.iter().map(|word| (*word).to_owned()).collect(), cwd: "/".into() };
        let (mut output, mut error) = (Vec::new(), Vec::new());
        let input = Cursor::new(input.as_bytes().to_vec());
        let streams = Streams { input: Some(Box::new(input)), output: &mut output, error: &mut error };
        let code = qemu::run(self.dir.path(), &request, streams)
            .unwrap_or_else(|failure| panic!("{}", failure.render("kmh-lab", false)));
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ran { code: code.into(), stdout: text(output), stderr: text(error) }
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        let _ = qemu::kill(self.dir.path());
    }
}

#[test]
fn a_guest_takes_commands_and_keeps_to_itself() {
    let vm = Vm::boot();
    // Output, errors, codes and input travel, whole.
    let ran = vm.run(&["/bin/sh", "-c", "echo out; echo err >&2; exit 7"], "");
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (7, "out\n", "err\n"));
    let text = "0123456789abcdef".repeat(100_000);
    assert!(vm.run(&["cat"], &text).stdout == text, "a megabyte and a half there and back");
    assert_eq!(vm.run(&["sh", "-c", "kill -9 $$"], "").code, 128 + 9);
    // Several at a time, more than there are ports.
    std::thread::scope(|scope| {
        for number in 0..12 {
            let vm = &vm;
            scope.spawn(move || {
                let ran = vm.run(&["sh", "-c", &format!("sleep 0.3; echo {number}")], "");
                assert_eq!(ran.stdout, format!("{number}\n"));
            });
        }
    });
    // The same files, which it cannot change; no network but its own loopback.
    let place = vm.dir.path().join("x");
    std::fs::write(&place, "machine").unwrap();
    let line =
        format!("cat /run/machine{0}; echo guest >{0}; cat {0}; echo x >/run/machine{0}", place.display());
    let ran = vm.run(&["sh", "-c", &line], "");
    assert!(ran.stdout == "machineguest\n" && ran.stderr.contains("Read-only file system"), "{ran:?}");
    assert_eq!(std::fs::read_to_string(&place).unwrap(), "machine");
    let links = vm.run(&["sh", "-c", "ls /sys/class/net"], "").stdout;
    assert_eq!(links, "lo\n");
    // Whoever ends it leaves nothing.
    assert_eq!((qemu::kill(vm.dir.path()), qemu::pid(vm.dir.path())), (Ok(true), None));
    assert_eq!(qemu::kill(vm.dir.path()), Ok(false));
}

/// The routers of the article's cluster, with IPsec and the kernel's ESP: XFRM interfaces beside the line where the router
/// is the machine, and moved into its namespace where it is one. Then: what is on the lines, and what is without tunnels.
const SCRIPT: &str = r#"
set -eu
mount --bind "$dir/hosts" /etc/hosts
ip netns add internet
ip -n internet link add wires type bridge
ip -n internet link set wires up
while read -r router line address; do
    [ $router = fw-attic ] && mtu=1492 || mtu=1500
    ip netns add $router
    ip link add $line netns $router type veth peer name $router netns internet
    ip -n internet link set $router master wires mtu $mtu up
    ip -n $router addr add $address/32 dev $line
    ip -n $router link set lo up
    ip -n $router link set $line mtu $mtu up
    ip -n $router route add default dev $line
    if [ -s $dir/$router/interfaces ]; then
        ip -n $router -batch $dir/$router/interfaces
    else
        # Where its own namespace is mounted outlives `ip netns exec`, so not by that.
        for unit in netns tunnels; do
            nsenter --net=/run/netns/$router sh -c 'umount -l /sys; mount -t sysfs sysfs /sys && exec sh "$0"' \
                $dir/out/$router/usr/local/lib/kmh/$unit.sh
        done
    fi
    STRONGSWAN_CONF=$dir/$router/strongswan.conf ip netns exec $router charon-systemd </dev/null >"$dir/$router/log" 2>&1 &
done <"$dir/routers"
ask() {
    SWANCTL_DIR=$dir/$1/etc/swanctl STRONGSWAN_CONF=$dir/$1/strongswan.conf swanctl $2 --uri unix://$dir/$1/vici 2>&1
}
ip netns exec internet tcpdump -n -i any -U -w /run/capture 2>/dev/null &
capture=$!
for router in gw-vps fw-flat fw-attic; do
    tries=0
    while [ ! -S $dir/$router/vici ]; do tries=$((tries + 1)); [ $tries -lt 300 ]; sleep 0.1; done
    ask $router '--load-all --noprompt' >"$dir/$router/load" || { cat "$dir/$router/load" >&2; exit 1; }
done
tries=0
while [ "$(for router in fw-attic fw-flat gw-vps; do ask $router --list-sas; done | grep -c INSTALLED)" -lt 6 ]; do
    tries=$((tries + 1))
    [ $tries -lt 300 ] || { for router in fw-attic fw-flat gw-vps; do ask $router --list-sas; cat $dir/$router/log; done >&2; exit 1; }
    sleep 0.2
done
# Router, where it is, the other's address in the tunnel, octets that just fit.
pings() {
    while read -r space to size; do
        ip netns exec $space ping -q -c 2 -i 0.2 -W 2 -M do -s $((size - 28)) $to >/dev/null && echo "$1 $space $to"
    done <<END
fw-attic 10.255.0.6 1410
fw-flat 10.255.0.5 1410
fw-attic 10.255.0.10 1438
k8s 10.255.0.9 1438
fw-flat 10.255.0.14 1438
k8s 10.255.0.13 1438
END
}
pings tunnel || true
ip netns exec fw-attic ping -q -c 1 -W 2 -M do -s $((1411 - 28)) 10.255.0.6 >/dev/null 2>&1 && echo "too large a packet went through"
sleep 1
outer='esp or udp port 500 or udp port 4500'
echo "outer $(tcpdump -n -r /run/capture esp or udp port 4500 2>/dev/null | wc -l)"
# A plugin of charon's that Debian has in libcharon-extra-plugins tells the line which groups it listens to (IGMP).
tcpdump -n -r /run/capture "not ($outer) and not arp and not ip6 and not igmp" 2>/dev/null | sed 's/^/other /'
kill $capture
# Without keys: what is routed into a tunnel goes nowhere, least of all out in the clear.
for router in fw-attic fw-flat gw-vps; do
    pid=$(ip netns pids $router | while read -r pid; do grep -q charon /proc/$pid/comm && echo $pid; done)
    kill -9 $pid
    ip netns exec $router ip xfrm state flush
done
ip netns exec internet tcpdump -n -i any -U -w /run/cut 2>/dev/null &
capture=$!
sleep 1
pings cut || true
sleep 1
kill $capture
tcpdump -n -r /run/cut 'not arp and not ip6 and not igmp' 2>/dev/null | sed 's/^/clear /'
echo end
"#;

#[test]
fn esp_and_xfrm_interfaces_carry_the_articles_tunnels_and_nothing_else_is_on_the_lines() {
    let sandbox: Sandbox = standin::routers("certificates");
    let vm = Vm::boot();
    let line = format!("dir={} unshare -m sh -s", sandbox.path().display());
    let ran = vm.run(&["sh", "-c", &line], SCRIPT).exits(0);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let tunnels = [
        "tunnel fw-attic 10.255.0.6",
        "tunnel fw-flat 10.255.0.5",
        "tunnel fw-attic 10.255.0.10",
        "tunnel k8s 10.255.0.9",
        "tunnel fw-flat 10.255.0.14",
        "tunnel k8s 10.255.0.13",
    ];
    assert_eq!(lines[..lines.len().min(6)], tunnels, "{ran:?}");
    let outer = lines.get(6).and_then(|line| line.strip_prefix("outer ")).expect("a count");
    assert!(
        outer.parse::<u32>().unwrap() >= 24,
        "two pings and their answers in each of six directions: {outer}"
    );
    assert_eq!(lines[7..], ["end"], "{ran:?}");
}

/// A lab of the article's cluster in a guest, by the command line; taken down when it is dropped.
struct Lab {
    sandbox: Sandbox,
    name: String,
}

impl Lab {
    fn up() -> Self {
        let lab = Self { sandbox: Sandbox::new(), name: format!("vm{}", std::process::id()) };
        lab.sandbox
            .sh("kmh-pki --init --store pki <cluster.yaml | kmh-bgpcfg | kmh-render >stream.json")
            .exits(0);
        let up = lab.sandbox.sh(&format!(
            "kmh-lab --lab {} up --vm --store pki --service web@10.202.0.9=pi-1 -o text <stream.json",
            lab.name
        ));
        up.says("a guest with Linux").exits(0);
        lab
    }

    /// A line for the shell of a machine.
    fn exec(&self, machine: &str, line: &str) -> Ran {
        self.sandbox.sh(&format!("kmh-lab --lab {} exec {machine} -- sh -c '{line}'", self.name))
    }

    /// Pods, and their addresses.
    fn pods(&self) -> Vec<(String, String)> {
        let nodes = ["attic-1", "flat-1", "pi-1", "vps-1"];
        let address = |pod: &str| {
            let ran = self.exec(pod, "ip -4 -o address show dev eth0").exits(0);
            let cidr = ran.stdout.split_whitespace().nth(3).expect("an address").to_owned();
            cidr.split('/').next().unwrap().to_owned()
        };
        nodes.iter().map(|node| format!("pod-{node}")).map(|pod| (pod.clone(), address(&pod))).collect()
    }

    /// What a pod does not reach, of these addresses.
    fn misses(&self, pod: &str, all: &[(String, String)]) -> Vec<String> {
        let list: Vec<&str> = all.iter().map(|(_, address)| address.as_str()).collect();
        let line =
            format!("for to in {}; do ping -n -q -c 1 -W 2 $to >/dev/null || echo $to; done", list.join(" "));
        self.exec(pod, &line).stdout.lines().map(str::to_owned).collect()
    }

    /// Begins to record what is on all lines.
    fn record(&self, name: &str) {
        let line = format!(
            "setsid tcpdump -n -i any -U -w /run/{name} </dev/null >/run/{name}.log 2>&1 & \
             until grep -q listening /run/{name}.log; do sleep 0.1; done"
        );
        self.exec("internet", &line).exits(0);
    }

    /// How many packets of a kind were recorded.
    fn recorded(&self, name: &str, filter: &str) -> Vec<String> {
        let ran =
            self.exec("internet", &format!("tcpdump -n -r /run/{name} \"{filter}\" 2>/dev/null")).exits(0);
        ran.stdout.lines().map(str::to_owned).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.sandbox.sh(&format!("kmh-lab --lab {} down", self.name));
    }
}

impl Lab {
    /// A verb of the lab.
    fn lab(&self, line: &str) -> Ran {
        self.sandbox.sh(&format!("kmh-lab --lab {} {line}", self.name))
    }

    /// Until every pod reaches every other.
    fn whole(&self, pods: &[(String, String)]) {
        let start = std::time::Instant::now();
        loop {
            let missing: Vec<(&str, Vec<String>)> = pods
                .iter()
                .map(|(pod, _)| (pod.as_str(), self.misses(pod, pods)))
                .filter(|(_, missing)| !missing.is_empty())
                .collect();
            if missing.is_empty() {
                return;
            }
            assert!(start.elapsed().as_secs() < 240, "not reached after four minutes: {missing:?}");
        }
    }

    /// The machines between two.
    fn way(&self, from: &str, to: &str) -> Vec<String> {
        let ran = self.lab(&format!("trace {from} {to} -o json"));
        let said: Value =
            serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
        let hops = said["there"]["hops"].as_array().expect("hops").iter();
        hops.map(|hop| hop["machine"].as_str().expect("a name").to_owned()).collect()
    }

    fn until_way(&self, from: &str, to: &str, wanted: &[&str]) {
        let start = std::time::Instant::now();
        loop {
            let way = self.way(from, to);
            if way == wanted {
                return;
            }
            assert!(start.elapsed().as_secs() < 240, "from {from} to {to} by {way:?}, not by {wanted:?}");
        }
    }
}

/// A Service with the Local policy is answered on the node that has its pod, which sees who asks.
fn services(lab: &Lab) {
    for (from, seen) in
        [("operator", "10.10.0.254"), ("lan-attic-home", "192.168.10.254"), ("vps-1", "10.30.0.11")]
    {
        let ran = lab.exec(from, "curl -s -m 20 http://10.202.0.9/").exits(0);
        assert_eq!(ran.stdout, format!("pi-1 sees {seen}\n"), "from {from}");
    }
}

const TUNNEL: &str = "tunnel/fw-attic--gw-vps";

/// A tunnel that is cut moves its traffic to the long way, in the predicted time, and back when it is mended.
fn a_cut_tunnel(lab: &Lab) {
    let direct = ["attic-1", "fw-attic", "gw-vps", "vps-1"];
    let around = ["attic-1", "fw-attic", "fw-flat", "gw-vps", "vps-1"];
    assert_eq!(lab.way("attic-1", "vps-1"), direct);
    // The predicted seconds hold on a machine that has its processors to itself (crates/kmh-lab/tests/weather.rs measures
    // them). One that emulates another stands still for moments, the more the busier it is: of three times one must be quick
    // enough to say that BFD moved the traffic (3 s), and not the hold time (9 s).
    let mut all = Vec::new();
    let quick = (0..3).any(|_| {
        let ran = lab.lab(&format!("measure {TUNNEL} -o json"));
        let report: Value =
            serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
        let rows = report["streams"].as_array().expect("streams").iter();
        let moved: Vec<&Value> = rows.filter(|row| row["from"] == "attic" && row["to"] == "vps").collect();
        assert!(!moved.is_empty() && moved.iter().all(|row| row["predicted"] == "moved"), "{report}");
        let lost: Vec<u64> = moved.iter().map(|row| row["lost_ms"].as_u64().expect("ms")).collect();
        assert!(lost.iter().all(|ms| *ms > 1000), "cut and nothing lost: {report}");
        eprintln!("lost {lost:?} ms, predicted {} ms", moved[0]["predicted_ms"]);
        lab.until_way("attic-1", "vps-1", &direct);
        let quick = lost.iter().all(|ms| *ms < 8000);
        all.push(lost);
        quick
    });
    assert!(quick, "{all:?} ms");
    lab.lab(&format!("cut {TUNNEL}")).exits(0);
    lab.until_way("attic-1", "vps-1", &around);
    lab.lab(&format!("heal {TUNNEL}")).exits(0);
    lab.until_way("attic-1", "vps-1", &direct);
}

#[test]
fn the_articles_cluster_is_whole_over_ipsec_and_nothing_inner_is_ever_on_a_line() {
    assert!(is_root(), "a guest reads the whole root file system: run this as root (`make test-vm`)");
    let lab = Lab::up();
    let pods = lab.pods();
    lab.whole(&pods);
    // Every pod from every pod, and all that is outside is encrypted. Names are asked of the lab's resolver.
    lab.record("whole");
    for (pod, _) in &pods {
        assert_eq!(lab.misses(pod, &pods), Vec::<String>::new(), "from {pod}");
    }
    let esp = lab.recorded("whole", "esp or udp port 4500");
    assert!(esp.len() >= 20, "ten ways between sites, there and back, on two lines each: {}", esp.len());
    let outer = "esp or udp port 500 or udp port 4500 or arp or icmp6 or igmp or port 53";
    assert_eq!(lab.recorded("whole", &format!("not ({outer})")), Vec::<String>::new());
    services(&lab);
    a_cut_tunnel(&lab);
    a_redial(&lab, &pods);
    no_tunnels(&lab, &pods);
    // Nothing of it is left.
    lab.lab("down").exits(0);
    assert!(!std::path::Path::new("/run/kmh-lab").join(&lab.name).exists());
}

/// Once a day a provider gives a line another address, and its name follows: the tunnels find each other by themselves.
fn a_redial(lab: &Lab, pods: &[(String, String)]) {
    // The line of a router, and the one of the box before another.
    for line in ["fw-attic/dsl", "fw-flat/cable"] {
        let ran = lab.lab(&format!("redial uplink/{line} -o json")).exits(0);
        let said: Value =
            serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
        let address = |when: &str| said[when][0].as_str().expect("an address").to_owned();
        lab.whole(pods);
        let record = format!("redial-{}", line.replace('/', "-"));
        lab.record(&record);
        for (pod, _) in pods {
            assert_eq!(lab.misses(pod, pods), Vec::<String>::new(), "from {pod} after {said}");
        }
        let esp =
            |address: &str| lab.recorded(&record, &format!("host {address} and (esp or udp port 4500)"));
        assert!(!esp(&address("now")).is_empty(), "{said}");
        let inner = "net 10.0.0.0/8";
        assert_eq!(lab.recorded(&record, inner), Vec::<String>::new(), "{said}");
    }
}

/// The keys are lost: what was routed into tunnels goes nowhere, least of all out in the clear.
fn no_tunnels(lab: &Lab, pods: &[(String, String)]) {
    for router in ["fw-attic", "fw-flat", "vps-host"] {
        // What keeps a stand-in's tunnels alive would bring them back.
        let line = "for name in keepalive charon; do [ ! -e /run/kmh-lab/$name.pid ] || \
                    kill -9 $(cat /run/kmh-lab/$name.pid); done; ip xfrm state flush";
        lab.exec(router, line).exits(0);
    }
    lab.record("cut");
    let sites = [("pod-attic-1", 3), ("pod-flat-1", 2), ("pod-pi-1", 2), ("pod-vps-1", 3)];
    for (pod, others) in sites {
        assert_eq!(lab.misses(pod, pods).len(), others, "{pod} reaches its own site alone");
    }
    assert_eq!(lab.recorded("cut", "net 10.0.0.0/8"), Vec::<String>::new());
    assert_eq!(lab.recorded("cut", "esp or udp port 4500"), Vec::<String>::new());
}
