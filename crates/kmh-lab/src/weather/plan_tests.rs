use super::*;
use crate::memory::testing::{memory, state};
use crate::weather::names::remembered;

fn broken(texts: &[&str]) -> Vec<Broken> {
    remembered(&texts.iter().map(|text| (*text).to_owned()).collect())
}

fn steps(before: &[&str], then: &[&str]) -> Vec<Step> {
    let (memory, state) = (memory(), state());
    let of = |texts: &[&str]| Weather::of(&memory, &state, &broken(texts));
    of(before).steps_to(&of(then), &memory, &state)
}

fn of(machine: &str, unit: &str) -> Of {
    (machine.to_owned(), unit.to_owned())
}

#[test]
fn nothing_to_do_is_nothing_done() {
    for same in [&[][..], &["tunnel/ra1--rb"], &["router/ra1 --clean", "uplink/rb/eth0"]] {
        assert_eq!(steps(same, same), [], "{same:?}");
    }
}

#[test]
fn a_silent_tunnel_loses_packets_at_one_end_and_a_clean_one_has_no_interfaces() {
    let [Step::Filter(space, text)] = &steps(&[], &["tunnel/ra1--rb"])[..] else { panic!("one filter") };
    assert_eq!(space, "ra1");
    assert!(
        text.contains("iifname { \"ipsec4\" } drop") && text.contains("oifname { \"ipsec4\" } drop"),
        "{text}"
    );
    let [Step::Filter(space, text)] = &steps(&["tunnel/ra1--rb"], &[])[..] else { panic!("one filter") };
    assert_eq!((space.as_str(), text.contains("drop")), ("ra1", false));
    assert_eq!(
        steps(&["tunnel/ra1--rb"], &["tunnel/ra1--rb --clean"])[1..],
        [
            Step::Link(End::new("hb/k8s", "kmh4"), false, vec![]),
            Step::Link(End::new("ra1", "ipsec4"), false, vec![])
        ]
    );
}

#[test]
fn a_line_takes_its_tunnels_along_where_they_are_only_links() {
    let all = |carrier| {
        let state = State { tunnels: Some(carrier), ..state() };
        let weather = Weather::of(&memory(), &state, &broken(&["uplink/ra1/dsl"]));
        weather.filters.into_iter().map(|(space, text)| (space, text.contains("ipsec4"))).collect::<Vec<_>>()
    };
    assert_eq!(all(Carrier::Plain), [("ra1".to_owned(), true)]);
    assert_eq!(all(Carrier::Esp), [("ra1".to_owned(), false)]);
    assert_eq!(all(Carrier::Userspace), all(Carrier::Esp));
    // The cable is pulled at the other end, so that the router sees it; routes come back with it.
    let cut = steps(&["uplink/ra1/dsl --clean"], &[]);
    assert!(
        cut.contains(&Step::Link(End::new("internet", "w1"), true, vec!["198.18.9.0/24 dev w1".to_owned()])),
        "{cut:?}"
    );
}

#[test]
fn a_router_without_power_is_silent_and_its_sibling_gets_the_gateway() {
    let dark = steps(&[], &["router/ra1"]);
    let Some(Step::Filter(space, text)) = dark.first() else { panic!("{dark:?}") };
    assert!(
        space == "ra1" && text.contains("iifname != \"lo\" drop") && text.contains("table arp"),
        "{text}"
    );
    let gateway =
        |router: &str, here| Step::Address(End::new(router, "opt1"), "10.1.0.254/32".to_owned(), here);
    assert_eq!(
        dark[1..],
        [
            gateway("ra1", false),
            gateway("ra2", true),
            Step::Forget(End::new("na1", "eth0")),
            Step::Forget(End::new("na2", "eth0"))
        ]
    );
    let back = steps(&["router/ra1"], &[]);
    assert_eq!(back[1..3], [gateway("ra2", false), gateway("ra1", true)]);
    // With the site nobody has it, and nobody needs to forget anything.
    let site = steps(&[], &["site/a"]);
    let spaces: Vec<&str> = site
        .iter()
        .filter_map(|step| match step {
            Step::Filter(space, _) => Some(space.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(spaces, ["na1", "na2", "ra1", "ra2"]);
    assert_eq!(site[4..], [gateway("ra1", false)]);
}

#[test]
fn what_goes_in_order_says_goodbye_first_and_comes_back_last() {
    let off = steps(&[], &["router/rb --clean"]);
    assert_eq!(
        off[..2],
        [Step::Stop(of("hb", "frr@k8s.service")), Step::Stop(of("hb", "strongswan.service"))]
    );
    assert!(matches!(&off[2], Step::Filter(space, _) if space == "hb/k8s"), "{off:?}");
    let on = steps(&["router/rb --clean"], &[]);
    assert_eq!(
        on[1..],
        [Step::Start(of("hb", "strongswan.service")), Step::Start(of("hb", "frr@k8s.service"))]
    );
}

#[test]
fn daemons_hang_stop_and_are_started_again() {
    assert_eq!(steps(&[], &["daemon/rb:bgpd"]), [Step::Freeze(of("rb", "bgpd"), true)]);
    assert_eq!(steps(&["daemon/rb:bgpd"], &[]), [Step::Freeze(of("rb", "bgpd"), false)]);
    assert_eq!(steps(&[], &["daemon/rb:bgpd --clean"]), [Step::Stop(of("hb", "frr@k8s.service"))]);
    assert_eq!(steps(&[], &["daemon/na1:bird --killed"]), [], "it is dead already");
    assert_eq!(steps(&["daemon/na1:bird --killed"], &[]), [Step::Start(of("na1", "kmh-lab-bird.service"))]);
    let names = daemons(&state());
    assert!(
        names.contains("rb:bgpd") && names.contains("rb:charon") && names.contains("na1:bird"),
        "{names:?}"
    );
    assert!(!names.contains("na1:bgpd") && !names.contains("rb:sshd"), "{names:?}");
}

#[test]
fn of_a_part_only_what_is_up_breaks() {
    let (memory, mut state) = (memory(), state());
    state.machines.remove("ra2");
    state.machines.remove("na2");
    let all = memory.everything(&state).names();
    let expected = [
        "tunnel/ra1--rb",
        "uplink/ra1/dsl",
        "uplink/rb/eth0",
        "router/ra1",
        "router/rb",
        "site/a",
        "site/b",
        "node/na1",
        "node/nb",
    ];
    assert_eq!(all, expected);
    assert_eq!(memory.absent(&state).names(), ["router/ra2", "node/na2"]);
    let weather = Weather::of(&memory, &state, &broken(&["site/a", "tunnel/ra2--rb"]));
    assert_eq!(weather.filters.keys().collect::<Vec<_>>(), ["na1", "ra1"]);
    assert!(weather.gateways.keys().all(|(end, _)| end.space == "ra1"), "{weather:?}");
}
