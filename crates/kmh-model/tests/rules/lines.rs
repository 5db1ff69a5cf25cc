//! Several lines at a router, and which routers are joined.

use super::{ALL, BASE, changed, check, model, said, words};

/// Room for the numbers of further lines.
const ROOM: (&str, &str) = ("10.255.0.0/22", "10.255.0.0/16");
const LINE: &str = "uplinks: [{name: eth0, address: 203.0.113.7}]";
const LINES: &str = "spec.sites[1].routers[0].uplinks";

/// A second site that no line of the VPS's is known to, behind carrier NAT.
const FLAT: &str = "    - {name: flat, network: 10.20.0.0/24, pod_cidrs: 10.200.64.0/18, routers: [{name: gw-flat, id: 2, kind: linux, asn: 65020, address: 10.20.0.1, uplinks: [{name: lte, nat: carrier}]}]}\n";

fn tunnels(changes: &[(&str, &str)]) -> Vec<String> {
    let mut all: Vec<String> = model(changes)
        .tunnels
        .iter()
        .map(|t| format!("{} {} {} {:?}", t.rank, t.index, t.name(), t.networks))
        .collect();
    all.sort();
    all
}

/// The VPS with these lines.
fn with(lines: &str) -> [(&str, &str); 2] {
    [ROOM, (LINE, lines)]
}

#[test]
fn each_two_lines_have_a_tunnel() {
    assert_eq!(
        tunnels(&with("uplinks: [{name: eth0, address: 203.0.113.7}, {name: eth1, address: 198.51.100.7}]")),
        ["0 2 fw-attic--gw-vps [10.255.0.8/30]", "1 1002 fw-attic--gw-vps--1-2 [10.255.15.168/30]",]
    );
    // The order is preference; the ids are the numbers.
    let turned =
        "uplinks: [{name: eth1, id: 2, address: 198.51.100.7}, {name: eth0, id: 1, address: 203.0.113.7}]";
    assert_eq!(
        tunnels(&with(turned)),
        ["0 1002 fw-attic--gw-vps--1-2 [10.255.15.168/30]", "1 2 fw-attic--gw-vps [10.255.0.8/30]",]
    );
    // pfSense cannot have a peer that it does not know; the other line is known.
    let lte = "uplinks: [{name: lte, nat: carrier, local_address: 192.168.8.2}, {name: eth0, address: 203.0.113.7}]";
    assert_eq!(tunnels(&with(lte)), ["0 1002 fw-attic--gw-vps--1-2 [10.255.15.168/30]"]);
}

#[test]
fn ranks_count_between_sites() {
    let second = "uplinks: [{name: a, address: 203.0.113.7}, {name: b, address: 198.51.100.7}]}, \
                  {name: gw-2, id: 4, kind: linux, asn: 65030, address: 10.30.0.2, uplinks: [{name: e, address: 203.0.113.8}]}]\n      gateway: 10.30.0.3";
    let changes = [ROOM, ("uplinks: [{name: eth0, address: 203.0.113.7}]}]", second)];
    let ranks: Vec<String> =
        tunnels(&changes).iter().map(|t| t.rsplit_once(" [").unwrap().0.to_owned()).collect();
    assert_eq!(ranks, ["0 2 fw-attic--gw-vps", "1 4 fw-attic--gw-2", "2 1002 fw-attic--gw-vps--1-2"]);
}

#[test]
fn numbers_of_lines() {
    let id = |n: usize| vec![format!("duplicate-id {LINES}[{n}].id")];
    let three = |ids: [&str; 3]| {
        let lines: Vec<String> = ids
            .iter()
            .enumerate()
            .map(|(n, id)| format!("{{name: e{n}, address: 203.0.113.{}{id}}}", n + 7))
            .collect();
        said(&changed(&with(&format!("uplinks: [{}]", lines.join(", ")))), ALL)
    };
    assert_eq!(three(["", "", ""]), [] as [&str; 0]);
    assert_eq!(three([", id: 3", ", id: 1", ", id: 2"]), [] as [&str; 0]);
    assert_eq!(three([", id: 2", ", id: 2", ""]), id(1));
    // By its id the first is the second.
    assert_eq!(three([", id: 2", "", ""]), id(0));
    assert_eq!(three(["", ", id: 1", ""]), id(1));
    assert_eq!(three([", id: 5", "", ""]), [format!("out-of-range {LINES}[0].id")]);
    let five: Vec<String> = (0..5).map(|n| format!("{{name: e{n}, address: 203.0.113.{}}}", n + 7)).collect();
    check(&with(&format!("uplinks: [{}]", five.join(", "))), &[&format!("out-of-range {LINES}[4]")]);
}

#[test]
fn numbers_that_meet_are_refused() {
    // Ids 1 and 2 with their second lines: 1001, 4001, 5001. Ids 11 and 46: 990 + 11.
    let site = |n: u8, id: u8| {
        FLAT.replace("flat", &format!("s{n}"))
            .replace("10.20.0", &format!("10.4{n}.0"))
            .replace("10.200.64.0/18", &format!("10.200.{}.0/20", 64 + 16 * n))
            .replace("id: 2", &format!("id: {id}"))
            .replace("65020", &format!("6504{n}"))
            .replace("lte, nat: carrier", &format!("e, address: 203.0.113.4{n}"))
    };
    let text = changed(&[
        ("10.255.0.0/22", "10.252.0.0/14"),
        ("id: 3", "id: 2"),
        (LINE, "uplinks: [{name: eth0, address: 203.0.113.7}, {name: eth1, address: 198.51.100.7}]"),
        ("  nodes:\n", &format!("{}{}  nodes:\n", site(1, 11), site(2, 46))),
    ]);
    assert_eq!(said(&text, ALL), ["tunnel-number spec.sites[3].routers[0].id"]);
    assert_eq!(said(&text.replace("id: 46", "id: 45"), ALL), [] as [&str; 0]);
    // Beyond pfSense's highest reqid by its lines.
    let far = [
        ("10.255.0.0/22", "10.252.0.0/14"),
        ("id: 3", "id: 170"),
        (LINE, "uplinks: [{name: eth0, address: 203.0.113.7}, {name: eth1, id: 4, address: 198.51.100.7}]"),
    ];
    check(&far, &["out-of-range spec.sites[1].routers[0].id"]);
    assert_eq!(
        words(&far),
        "the id 170 of `gw-vps` is too high for a tunnel with pfSense / pfSense takes tunnel numbers up to 15999, and the one with `fw-attic` is 17197 / use ids up to 45"
    );
}

#[test]
fn the_range_must_hold_the_numbers_of_lines() {
    let two = (LINE, "uplinks: [{name: eth0, address: 203.0.113.7}, {name: eth1, address: 198.51.100.7}]");
    check(&[two], &["tunnel-range spec.tunnels.network"]);
    assert_eq!(
        words(&[two]),
        "the tunnel range `10.255.0.0/22` is too small / the tunnel `fw-attic--gw-vps--1-2` has number 1002, and takes the /30 of that number / give it a /20 or a larger one"
    );
    check(&[two, ("10.255.0.0/22", "10.255.0.0/20")], &[]);
}

#[test]
fn what_cannot_meet_goes_through_the_hub() {
    let flat = ("  nodes:\n", &*format!("{FLAT}  nodes:\n"));
    // pfSense and carrier NAT.
    check(&[flat], &["unreachable-tunnel spec.sites[2].routers[0].uplinks[0]"]);
    assert_eq!(
        words(&[flat]),
        "router `gw-flat` cannot accept a tunnel from `fw-attic` / pfSense takes a routed tunnel only from an address or name that it knows, and the other end has none / \
         give one end a public address, or let `vps` carry what cannot meet: `tunnels: {shape: mesh, hub: vps}`"
    );
    let fallback = ("/22}", "/22, shape: mesh, hub: vps}");
    let through = model(&[flat, fallback]);
    let pairs = |model: &kmh_model::Model| {
        model.through_hub.iter().map(|[a, b]| format!("{a} {b}")).collect::<Vec<_>>()
    };
    assert_eq!(pairs(&through), ["fw-attic gw-flat"]);
    let names: Vec<String> = through.tunnels.iter().map(kmh_model::Tunnel::name).collect();
    assert_eq!(names, ["fw-attic--gw-vps", "gw-flat--gw-vps"]);
    // A hub alone joins everybody to itself only, and nobody misses a tunnel.
    assert!(model(&[flat, ("/22}", "/22, hub: vps}")]).through_hub.is_empty());
    // The hub must be within reach of both.
    check(
        &[flat, ("/22}", "/22, shape: mesh, hub: attic}")],
        &["unreachable-tunnel spec.sites[2].routers[0].uplinks[0]"],
    );
    check(
        &[flat, fallback, ("address: 203.0.113.7", "nat: carrier")],
        &[
            "unreachable-tunnel spec.sites[1].routers[0].uplinks[0]",
            "unreachable-tunnel spec.sites[1].routers[0].uplinks[0]",
            "unreachable-tunnel spec.sites[2].routers[0].uplinks[0]",
        ],
    );
}

#[test]
fn lists_of_pairs() {
    let flat = ("  nodes:\n", &*format!("{FLAT}  nodes:\n"));
    let asked = |words: &str| said(&changed(&[flat, ("/22}", &format!("/22, {words}}}"))]), ALL);
    assert_eq!(asked("pairs: [[attic, vps], [vps, flat]]"), [] as [&str; 0]);
    assert_eq!(asked("shape: list, pairs: [[vps, attic], [flat, vps]]"), [] as [&str; 0]);
    assert_eq!(asked("pairs: [[attic, vps]]"), ["partitioned spec.tunnels.pairs"]);
    assert_eq!(
        asked("pairs: [[attic, vps], [vps, flat], [vps, attic]]"),
        ["duplicate-name spec.tunnels.pairs[2]"]
    );
    assert_eq!(
        asked("pairs: [[attic, vps], [vps, flat], [vps, vps]]"),
        ["contradiction spec.tunnels.pairs[2]"]
    );
    assert_eq!(
        asked("pairs: [[attic, vps], [vps, flat], [flat, vpn]]"),
        ["unknown-reference spec.tunnels.pairs[2][1]"]
    );
    assert_eq!(asked("pairs: [[attic, vps], [vps, flat, attic]]"), ["wrong-type spec.tunnels.pairs[1]"]);
    let all = "pairs: [[attic, vps], [vps, flat]]";
    assert_eq!(asked(&format!("hub: vps, {all}")), ["contradiction spec.tunnels.pairs"]);
    assert_eq!(asked(&format!("shape: hub, hub: vps, {all}")), ["contradiction spec.tunnels.pairs"]);
    assert_eq!(asked(&format!("shape: mesh, hub: vps, {all}")), ["contradiction spec.tunnels.pairs"]);
    assert_eq!(asked(&format!("shape: list, hub: vps, {all}")), ["contradiction spec.tunnels.hub"]);
    assert_eq!(
        asked("shape: list"),
        ["missing-key spec.tunnels", "partitioned spec.tunnels.pairs", "partitioned spec.tunnels.pairs"]
    );
    // What is asked for by name must be possible.
    assert_eq!(
        asked("pairs: [[attic, vps], [vps, flat], [flat, attic]]"),
        ["unreachable-tunnel spec.sites[2].routers[0].uplinks[0]"]
    );
}

#[test]
fn a_linux_router_knows_its_address_on_each_of_several_lines() {
    let needed = |n: usize| vec![format!("needed {LINES}[{n}]")];
    let with = |second: &str| {
        said(
            &changed(&with(&format!(
                "uplinks: [{{name: eth0, address: 203.0.113.7}}, {{name: eth1, {second}}}]"
            ))),
            ALL,
        )
    };
    assert_eq!(with("address: 198.51.100.7"), [] as [&str; 0]);
    assert_eq!(with("address: vps.example.net, dynamic: true"), needed(1));
    assert_eq!(with("address: vps.example.net"), needed(1));
    assert_eq!(with("address: vps.example.net, local_address: 198.51.100.7"), [] as [&str; 0]);
    assert_eq!(with("address: 198.51.100.7, nat: forwarded"), needed(1));
    assert_eq!(with("nat: carrier"), needed(1));
    assert_eq!(with("nat: carrier, local_address: 192.168.8.2"), [] as [&str; 0]);
    // One line needs none, and pfSense chooses by interface.
    check(&[("address: 203.0.113.7", "address: vps.example.net, dynamic: true")], &[]);
    let pfsense = "uplinks: [{name: dsl, address: attic.example.net, dynamic: true}";
    check(&[ROOM, (pfsense, &format!("{pfsense}, {{name: lte, nat: carrier}}"))], &[]);
}

#[test]
fn own_addresses() {
    let local = |n: usize, code: &str| vec![format!("{code} {LINES}[{n}].local_address")];
    let with = |words: &str| said(&changed(&[("address: 203.0.113.7", words)]), ALL);
    assert_eq!(with("address: 203.0.113.7, local_address: 203.0.113.7"), [] as [&str; 0]);
    assert_eq!(with("address: 203.0.113.7, nat: forwarded, local_address: 192.168.1.2"), [] as [&str; 0]);
    assert_eq!(with("address: 203.0.113.7, local_address: 192.168.1.2"), local(0, "contradiction"));
    assert_eq!(
        with("address: 203.0.113.7, nat: forwarded, local_address: \"fd00::2\""),
        local(0, "contradiction")
    );
    assert_eq!(
        with("address: vps.example.net, dynamic: true, local_address: 192.0.2.2"),
        local(0, "contradiction")
    );
    assert_eq!(
        with("address: vps.example.net, dynamic: true, nat: forwarded, local_address: 192.168.1.2"),
        [] as [&str; 0]
    );
    assert_eq!(with("address: vps.example.net, local_address: 127.0.0.1"), local(0, "reserved-range"));
    assert_eq!(with("address: vps.example.net, local_address: 10.30.0.1"), local(0, "overlap"));
    let twice = "uplinks: [{name: a, address: a.example.net, local_address: 192.0.2.2}, {name: b, address: b.example.net, local_address: 192.0.2.2}]";
    check(&self::with(twice), &[&format!("duplicate-address {LINES}[1].local_address")]);
}

#[test]
fn lines_are_told_apart() {
    let interface = |lines: &str| said(&changed(&with(&format!("uplinks: [{lines}]"))), ALL);
    assert_eq!(
        interface(
            "{name: a, interface: eth0, address: 203.0.113.7}, {name: b, interface: eth0, address: 203.0.113.8}"
        ),
        [format!("contradiction {LINES}[1].interface")]
    );
    assert_eq!(
        interface("{name: a, interface: b, address: 203.0.113.7}, {name: b, address: 203.0.113.8}"),
        [format!("contradiction {LINES}[1].name")]
    );
    assert_eq!(
        interface(
            "{name: a, address: vps.example.net, local_address: 192.0.2.1}, {name: b, address: vps.example.net, local_address: 192.0.2.2}"
        ),
        [format!("duplicate-address {LINES}[1].address")]
    );
    // Without tunnels nobody calls them.
    let alone = BASE.replacen("  tunnels: {network: 10.255.0.0/22}\n", "", 1).replacen(
        "uplinks: [{name: eth0, address: 203.0.113.7}]",
        "uplinks: [{name: a, address: vps.example.net}, {name: b, address: vps.example.net}]",
        1,
    );
    assert_eq!(said(&alone, &[]), [] as [&str; 0]);
}
