//! The engine against itself: every shorter way leads where the long one does.

use super::*;

/// Nothing that classes share may be seen from outside: with each node by itself the tables are the same.
#[test]
fn shared_or_not() {
    for plan in PLANS {
        let spec = plan.spec();
        let network = Network::new(&spec).expect("a network");
        let ground = ground(&network);
        for scenario in ["", "node/n00", "router/r0a", "site/s1"] {
            let shared = predict(&network, &ground, &down(scenario));
            let alone = predict_with(&network, &ground, &down(scenario), &(0..spec.nodes.len()).collect());
            assert!(
                shared.classes.list.len() < alone.classes.list.len() || !plan.guarded,
                "{plan:?} shares nothing"
            );
            for (a, b) in shared.tables().iter().zip(&alone.tables()) {
                assert_eq!(a, b, "{plan:?} {scenario}");
            }
        }
    }
}

/// An AS number that means something elsewhere does not stand for another.
#[test]
fn shared_or_not_with_odd_numbers() {
    let mut spec = Plan::new('D', 3, 1, 3).spec();
    spec.routers[0].sessions[1].peer_asn = kmh_doc::Asn::new(65002);
    spec.nodes[1].annotations[0].1 = "65002".to_owned();
    let network = Network::new(&spec).expect("a network");
    let ground = ground(&network);
    let shared = predict(&network, &ground, &Down::default());
    assert_eq!(
        from(&route(&shared, "r1a", "10.200.1.128/26"), "r0a").rule.as_deref(),
        Some("loop: own AS in the path")
    );
    let alone = predict_with(&network, &ground, &Down::default(), &(0..spec.nodes.len()).collect());
    assert_eq!(shared.tables(), alone.tables());
}

/// What a scenario keeps of another must be what it would compute itself.
#[test]
fn from_another_scenario_or_from_nothing() {
    for plan in PLANS {
        let spec = plan.spec();
        let network = Network::new(&spec).expect("a network");
        let ground = ground(&network);
        let base = predict(&network, &ground, &Down::default());
        let names = names(&spec);
        for (number, name) in names.iter().enumerate() {
            let one = base.with(&down(name));
            assert_eq!(one.tables(), predict(&network, &ground, &down(name)).tables(), "{plan:?} {name}");
            let other = &names[(number * 7 + 3) % names.len()];
            let both = down(&format!("{name} {other}"));
            assert_eq!(
                one.with(&both).tables(),
                predict(&network, &ground, &both).tables(),
                "{plan:?} {name} {other}"
            );
            assert_eq!(one.with(&Down::default()).tables(), base.tables(), "{plan:?} {name} mended");
        }
    }
}

/// `installed` and `lookup` take a shorter way than tables.
#[test]
fn lookups_agree_with_tables() {
    for plan in PLANS {
        with(&plan.spec(), "", |prediction| {
            for machine in prediction.network().machines() {
                for route in prediction.table_of(machine).routes {
                    let net = route.prefix.net();
                    let number = prediction.classes.around(net).next().expect("a prefix");
                    assert_eq!(
                        prediction.installed(machine, number),
                        route.installed,
                        "{plan:?} {machine:?} {net}"
                    );
                }
            }
        });
    }
}
