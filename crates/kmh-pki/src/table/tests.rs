use super::*;
use std::collections::BTreeSet;

#[test]
fn the_table_is_in_order() {
    assert_eq!(TABLE.len(), Class::RootCa as usize + 1);
    for (index, row) in TABLE.iter().enumerate() {
        assert_eq!(row.class as usize, index, "{:?}", row.class);
    }
}

#[test]
fn leaves_have_an_issuer_usages_and_a_year() {
    for row in TABLE {
        let authority = row.life == Life::Authority;
        assert_eq!(row.issuer.is_none(), authority, "{:?}", row.class);
        assert_eq!(row.usages.is_empty(), authority, "{:?}", row.class);
        assert!(row.usages.is_sorted(), "{:?}", row.class);
        if let Some(issuer) = row.issuer {
            assert_eq!(super::row(issuer).life, Life::Authority);
        }
    }
}

#[test]
fn no_two_rows_share_a_name_or_a_place() {
    let mut names = BTreeSet::new();
    let mut places = BTreeSet::new();
    for row in TABLE {
        assert!(names.insert((row.life == Life::Authority, row.stem)), "{}", row.stem);
        for place in row.places {
            let fresh = places.insert((format!("{:?}", place.on), place.certificate));
            assert!(fresh, "{}", place.certificate);
        }
    }
}

#[test]
fn servers_have_names_and_pure_clients_have_none() {
    for row in TABLE.iter().filter(|row| row.life == Life::Leaf) {
        assert_eq!(row.names != Names::None, row.usages.contains(&Usage::Server), "{:?}", row.class);
    }
}
