//! The article's cluster, as every tool sees it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use kmh_doc::tree;
use kmh_model::{Model, Need, load};

fn article() -> Model {
    let text = include_str!("../../../examples/article/cluster.yaml");
    let (model, warnings) = load(&tree::parse_yaml(text).unwrap(), &Need::ALL).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    model
}

#[test]
fn tunnels_have_the_numbers_of_their_ids() {
    let tunnels: Vec<String> = article()
        .tunnels
        .iter()
        .map(|t| {
            let [a, b] = &t.ends;
            format!(
                "{} {:?} {} {:?} {}{} - {} {:?} {}{}",
                t.index,
                t.networks,
                a.router,
                a.addresses,
                u8::from(a.initiates),
                u8::from(a.reachable),
                b.router,
                b.addresses,
                u8::from(b.initiates),
                u8::from(b.reachable)
            )
        })
        .collect();
    assert_eq!(
        tunnels,
        [
            "1 [10.255.0.4/30] fw-attic [10.255.0.5] 11 - fw-flat [10.255.0.6] 11",
            "2 [10.255.0.8/30] fw-attic [10.255.0.9] 11 - gw-vps [10.255.0.10] 01",
            "3 [10.255.0.12/30] fw-flat [10.255.0.13] 11 - gw-vps [10.255.0.14] 01",
        ]
    );
}

#[test]
fn nodes_have_their_logins_taints_and_settings() {
    let model = article();
    let said: Vec<String> = model
        .nodes
        .values()
        .map(|n| {
            format!(
                "{} {} {:?} {}",
                n.name,
                n.ssh.host.as_ref().unwrap(),
                n.taints.iter().map(|t| t.key.as_str()).collect::<Vec<_>>(),
                n.settings.len()
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            "attic-1 10.10.0.11 [] 1",
            "flat-1 10.20.0.11 [] 1",
            "pi-1 10.20.0.21 [] 1",
            "vps-1 10.30.0.11 [\"node-role.kubernetes.io/control-plane\"] 1",
        ]
    );
    let hosts: Vec<String> = model.routers.iter().map(|r| r.ssh.host.as_ref().unwrap().to_string()).collect();
    assert_eq!(hosts, ["192.168.10.1", "10.20.0.1", "vps-host"]);
    assert_eq!(model.sites["attic"].gateways, ["10.10.0.1".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(model.api_service_addresses(), ["10.201.0.1".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(model.dns_service_addresses(), ["10.201.0.10".parse::<std::net::IpAddr>().unwrap()]);
}

/// Text, tunnels, and routers that meet through the hub.
type Example = (&'static str, &'static [&'static str], &'static [[&'static str; 2]]);

/// The other examples work too, without a warning, and have the tunnels that their comments speak of.
#[test]
fn other_examples() {
    let rows: [Example; 2] = [
        (
            include_str!("../../../examples/two-routers/cluster.yaml"),
            &["0 2 gw-a--gw-vps", "1 3 gw-b--gw-vps", "2 4002 gw-a--gw-vps--2-1"],
            &[],
        ),
        (
            include_str!("../../../examples/ipv6-only/cluster.yaml"),
            &["0 2 gw-house--gw-colo", "0 3 gw-barn--gw-colo"],
            &[["gw-house", "gw-barn"]],
        ),
    ];
    for (text, tunnels, apart) in rows {
        let (model, warnings) = load(&tree::parse_yaml(text).unwrap(), &Need::ALL).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let said: Vec<String> =
            model.tunnels.iter().map(|t| format!("{} {} {}", t.rank, t.index, t.name())).collect();
        assert_eq!(said, tunnels);
        let through: Vec<[&str; 2]> =
            model.through_hub.iter().map(|[a, b]| [a.as_str(), b.as_str()]).collect();
        assert_eq!(through, apart);
    }
}
