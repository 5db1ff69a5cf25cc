use super::*;
use crate::memory::testing::{memory, state};

fn out(interface: &str, gateway: Option<&str>) -> Route {
    Route::Out { interface: interface.to_owned(), gateway: gateway.map(|ip| ip.parse().unwrap()) }
}

#[test]
fn what_a_kernel_says() {
    let said = |text: &str| understood(true, text, "");
    let json = r#"[{"dst":"10.2.0.11","from":"10.1.0.11","gateway":"10.1.0.254","dev":"eth0","flags":[]}]"#;
    assert_eq!(said(json), out("eth0", Some("10.1.0.254")));
    let json = r#"[{"dst":"10.2.0.11","via":{"family":"inet6","host":"fe80::1"},"dev":"eth0","flags":[]}]"#;
    assert_eq!(said(json), out("eth0", Some("fe80::1")));
    assert_eq!(said(r#"[{"type":"local","dst":"10.2.0.11","dev":"lo","flags":[]}]"#), Route::Local);
    assert_eq!(
        said(r#"[{"type":"unreachable","dst":"10.2.0.11","dev":"lo","flags":[]}]"#),
        Route::None("unreachable".to_owned())
    );
    assert_eq!(
        understood(false, "", "RTNETLINK answers: Network is unreachable\n"),
        Route::None("network is unreachable".to_owned())
    );
}

/// Where the addresses of the small cluster are.
fn owners() -> BTreeMap<IpAddr, Vec<End>> {
    let list = [
        ("10.1.0.11", "na1", "eth0"),
        ("10.1.0.254", "ra1", "opt1"),
        ("10.1.0.1", "ra1", "opt1"),
        ("10.255.0.1", "ra1", "ipsec4"),
        ("10.255.0.2", "hb/k8s", "kmh4"),
        ("10.2.0.1", "hb/k8s", "nodes"),
        ("10.2.0.11", "nb", "eth0"),
        ("10.200.1.2", "pod-nb", "eth0"),
    ];
    list.map(|(ip, space, interface)| (ip.parse().unwrap(), vec![End::new(space, interface)])).into()
}

/// The way of a packet, by what each kernel says.
fn walk(from: &str, to: &str, routes: &[(&str, Route)], filters: &[(&str, &str)]) -> (Vec<String>, Fate) {
    let (memory, state) = (memory(), state());
    let filters = filters.iter().map(|(space, text)| ((*space).to_owned(), (*text).to_owned())).collect();
    let ground = Ground { state: &state, memory: &memory, owners: owners(), filters };
    let routes: BTreeMap<&str, Route> = routes.iter().cloned().collect();
    let (hops, fate) =
        ground.walk(from, to.parse().unwrap(), |space, _| Ok::<_, ()>(routes[space].clone())).unwrap();
    let shown =
        hops.into_iter().map(|hop| format!("{}<{}", hop.space, hop.enters.unwrap_or_default())).collect();
    (shown, fate)
}

#[test]
fn through_bridges_tunnels_a_namespace_inside_a_machine_and_to_a_pod() {
    let routes = [
        ("na1", out("eth0", Some("10.1.0.254"))),
        ("ra1", out("ipsec4", Some("10.255.0.2"))),
        ("hb/k8s", out("nodes", Some("10.2.0.11"))),
        ("nb", out("cali0", None)),
        ("pod-nb", Route::Local),
    ];
    let way = ["na1<", "ra1<opt1", "hb/k8s<kmh4", "nb<eth0", "pod-nb<eth0"].map(str::to_owned);
    assert_eq!(walk("na1", "10.200.1.2", &routes, &[]), (way.into(), Fate::Delivered));
    let back = [
        ("pod-nb", out("eth0", Some("169.254.1.1"))),
        ("nb", out("eth0", Some("10.2.0.1"))),
        ("hb/k8s", out("kmh4", Some("10.255.0.1"))),
        ("ra1", out("opt1", None)),
        ("na1", Route::Local),
    ];
    let way = ["pod-nb<", "nb<cali0", "hb/k8s<nodes", "ra1<ipsec4", "na1<eth0"].map(str::to_owned);
    assert_eq!(walk("pod-nb", "10.1.0.11", &back, &[]), (way.into(), Fate::Delivered));
}

#[test]
fn ways_that_do_not_arrive() {
    let to_router = ("na1", out("eth0", Some("10.1.0.254")));
    let fate =
        |routes: &[(&str, Route)], filters: &[(&str, &str)]| walk("na1", "10.2.0.11", routes, filters).1;
    let none = Route::None("network is unreachable".to_owned());
    assert_eq!(fate(&[to_router.clone(), ("ra1", none)], &[]), Fate::NoRoute);
    assert_eq!(fate(&[("na1", out("eth0", Some("10.1.0.99")))], &[]), Fate::Nobody);
    assert_eq!(fate(&[to_router.clone(), ("ra1", out("opt1", Some("10.1.0.11")))], &[]), Fate::Loop);
    let tunnel = [to_router, ("ra1", out("ipsec4", Some("10.255.0.2")))];
    assert_eq!(fate(&tunnel, &[("ra1", "iifname { \"ipsec4\" } drop")]), Fate::Cut);
    assert_eq!(fate(&tunnel, &[("ra1", "iifname != \"lo\" drop")]), Fate::Cut);
    // A node sends on what is for a Service, whatever its own routes say.
    assert_eq!(walk("na1", "10.201.0.80", &[("na1", out("eth0", None))], &[]).1, Fate::Service);
}
