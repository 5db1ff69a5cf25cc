//! Every stage of every rotation, and everything that stands against the next.

use kmh_doc::pki::Rotating as R;

use super::*;
use crate::issue;
use crate::observed::{Bare, Pair};
use crate::secret::Key;
use crate::want::{Wanted, wants};

const CLUSTER: &str = "\
kind: kmh.inventory/v1
spec:
  cluster:
    name: small
    versions: {kubernetes: 1.36.2}
    pod_cidrs: 10.200.0.0/16
    service_cidrs: 10.201.0.0/16
    api: {host: k8s.example.net}
  tunnels: {network: 10.255.0.0/22, auth: AUTH}
  sites:
    - name: a
      network: 10.10.0.0/24
      pod_cidrs: 10.200.0.0/18
      routers: [{name: ra, id: 1, kind: linux, asn: 65010, address: 10.10.0.1, uplinks: [{name: eth0, address: 203.0.113.7}]}]
    - name: b
      network: 10.20.0.0/24
      pod_cidrs: 10.200.64.0/18
      routers: [{name: rb, id: 3, kind: KIND, asn: 65020, address: 10.20.0.1, interface: opt1, uplinks: [{name: wan, address: 198.51.100.7}]}]
  nodes:
    - {name: cp-1, site: a, address: 10.10.0.11, roles: [control-plane, etcd]}
    - {name: w-1, site: b, address: 10.20.0.21}
";

fn cluster(kind: &str, auth: &str) -> Model {
    let text = CLUSTER.replace("KIND", kind).replace("AUTH", auth);
    let tree = kmh_doc::tree::parse_yaml(&text).unwrap();
    kmh_model::load(&tree, &[]).unwrap_or_else(|problems| panic!("{problems:#?}")).0
}

/// What a call answers when the store holds these generations of what is rotated, each with its key.
fn call(
    name: R,
    there: &[Generation],
    change: impl FnOnce(&mut Observed, &mut Plan, &mut Proof, &mut Model, &mut bool),
) -> Result<Decision, Vec<Objection>> {
    let (mut model, mut plan, mut abort) = (cluster("linux", "certificates"), Plan::default(), false);
    let (mut proof, mut observed) = (Proof::Said, Observed::default());
    for one in there.iter().chain([&Generation::Current]) {
        let full = generation(name, *one);
        if name.authority().is_some() {
            let pair = Pair { key: Half::There(vec![]), ..Pair::default() };
            observed.pairs.insert(full, Box::new(pair));
        } else {
            observed.keys.insert(full, Half::There(Bare::default()));
        }
    }
    change(&mut observed, &mut plan, &mut proof, &mut model, &mut abort);
    let mut wants = wants(&model);
    wants.add_generations(&observed);
    let s = Situation { model: &model, wants: &wants, observed: &observed, plan: &plan, proof: &proof };
    decide(&s, name, abort)
}

fn refused(found: Result<Decision, Vec<Objection>>) -> String {
    let objections = found.unwrap_err();
    assert!(objections.iter().all(|one| !one.hint.is_empty()));
    objections.into_iter().map(|one| one.what).collect::<Vec<_>>().join("; ")
}

#[test]
fn each_goes_from_stage_to_stage_and_round() {
    for name in R::ALL {
        let [first, second] = name.stages();
        let steps = [
            (&[][..], Act::Begin, None, Some(first)),
            (&[Generation::Next], Act::Switch, Some(first), Some(second)),
            (&[Generation::Old], Act::End, Some(second), None),
        ];
        for (there, act, was, stage) in steps {
            let decision = call(name, there, |_, _, _, _, _| {});
            assert_eq!(decision, Ok(Decision { name, act, was, stage }));
        }
        let decision = call(name, &[Generation::Next], |_, _, _, _, abort| *abort = true);
        assert_eq!(decision, Ok(Decision { name, act: Act::Abort, was: Some(first), stage: None }));
    }
}

#[test]
fn what_the_store_does_is_a_table() {
    let of = |act| {
        let decision = Decision { name: R::Etcd, act, was: None, stage: None };
        let made: Vec<_> =
            super::made(decision).steps.into_iter().map(|step| (step.name, step.make)).collect();
        (made, moves(decision), retired(decision))
    };
    let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    assert_eq!(of(Act::Begin), (vec![("ca/etcd.next".to_owned(), Make::Pair)], vec![], vec![]));
    let moved = vec![pair("ca/etcd", "ca/etcd.old"), pair("ca/etcd.next", "ca/etcd")];
    assert_eq!(of(Act::Switch), (vec![], moved, vec![]));
    assert_eq!(of(Act::End), (vec![], vec![], vec!["ca/etcd.old".to_owned()]));
    assert_eq!(of(Act::Abort), (vec![], vec![], vec!["ca/etcd.next".to_owned()]));
    let key = super::made(Decision { name: R::Encryption, act: Act::Begin, was: None, stage: None });
    assert_eq!((key.steps[0].name.as_str(), key.steps[0].make), ("keys/encryption.next", Make::Key));
}

#[test]
fn nothing_goes_on_before_it_is_deployed() {
    let no = || Proof::None("the stream has no report of a push".to_owned());
    for name in R::ALL {
        // The first stage needs none: whatever is deployed takes one more.
        assert!(call(name, &[], |_, _, proof, _, _| *proof = no()).is_ok());
        for there in [Generation::Next, Generation::Old] {
            let what = refused(call(name, &[there], |_, _, proof, _, _| *proof = no()));
            assert!(
                what.ends_with("is not known to be deployed: the stream has no report of a push"),
                "{what}"
            );
            let shown = call(name, &[there], |_, _, proof, _, _| *proof = Proof::Shown);
            let personal = matches!(name, R::Encryption | R::ServiceAccount) && there == Generation::Old;
            assert_eq!(shown.is_ok(), !personal, "{name:?} {there:?}");
        }
    }
    let what = refused(call(R::Encryption, &[Generation::Old], |_, _, proof, _, _| *proof = Proof::Shown));
    assert!(what.ends_with("and not that every Secret was written anew"), "{what}");
}

#[test]
fn what_is_due_comes_first() {
    let step = |name: &str| Step { name: name.to_owned(), make: Make::Pair, reasons: vec![Reason::Retired] };
    let one = refused(call(R::Etcd, &[Generation::Old], |_, plan, _, _, _| {
        plan.steps.push(step("nodes/cp-1/etcd-peer"));
    }));
    assert_eq!(one, "`nodes/cp-1/etcd-peer` is to be made first: issued by a retired CA");
    let many = refused(call(R::Etcd, &[Generation::Next], |_, plan, _, _, _| {
        let etcd = ["etcd-peer", "etcd-server", "apiserver-etcd-client"];
        plan.steps = etcd.map(|stem| step(&format!("nodes/cp-1/{stem}"))).to_vec();
    }));
    assert_eq!(
        many,
        "`nodes/cp-1/etcd-peer` to `nodes/cp-1/apiserver-etcd-client` are to be made first, 3 in all"
    );
    let half =
        refused(call(R::Etcd, &[Generation::Next], |_, plan, _, _, _| plan.steps.push(step("ca/etcd.next"))));
    assert_eq!(half, "`ca/etcd.next` is to be made first: issued by a retired CA");
    // What another CA signs is its own affair, and one CA more to trust is no harm at any time.
    let other = |plan: &mut Plan| plan.steps.push(step("nodes/cp-1/kubelet-client"));
    assert!(call(R::Etcd, &[Generation::Next], |_, plan, _, _, _| other(plan)).is_ok());
    assert!(call(R::Cluster, &[], |_, plan, _, _, _| other(plan)).is_ok());
    // To take back is always possible.
    let back = call(R::Etcd, &[Generation::Next], |_, plan, _, _, abort| {
        plan.steps.push(step("nodes/cp-1/etcd-peer"));
        *abort = true;
    });
    assert!(back.is_ok());
}

#[test]
fn what_cannot_be_is_refused() {
    let late = refused(call(R::Cluster, &[Generation::Old], |_, _, _, _, abort| *abort = true));
    assert_eq!(
        late,
        "the rotation of `cluster` has gone too far to be taken back: the new generation is in use"
    );
    let none = refused(call(R::Cluster, &[], |_, _, _, _, abort| *abort = true));
    assert_eq!(none, "no rotation of `cluster` is under way");
    let both = refused(call(R::Etcd, &[Generation::Next, Generation::Old], |_, _, _, _, _| {}));
    assert_eq!(both, "the store holds both `ca/etcd.next` and `ca/etcd.old`, which no rotation makes");
    let key = refused(call(R::Etcd, &[Generation::Next], |observed, _, _, _, _| {
        observed.pairs.get_mut("ca/etcd.next").unwrap().key = Half::Absent;
    }));
    assert_eq!(key, "the store does not hold the key of `ca/etcd.next`, which is to sign from now on");
    let routers = refused(call(R::Ipsec, &[], |_, _, _, model, _| model.routers.clear()));
    assert_eq!(routers, "this cluster has no `ca/ipsec`: there is nothing to rotate");
}

#[test]
fn no_report_shows_that_a_pfsense_has_its_settings() {
    let at = |name, there: &[Generation], auth: &str, said: Proof| {
        call(name, there, |_, _, proof, model, _| {
            (*model, *proof) = (cluster("pfsense", auth), said);
        })
    };
    // Nothing need be known when it begins.
    assert!(at(R::Ipsec, &[], "certificates", Proof::Shown).is_ok());
    for there in [Generation::Next, Generation::Old] {
        let shown = at(R::Ipsec, &[there], "certificates", Proof::Shown);
        let why = "a report shows what is deployed, and not that pfSense has its settings on rb";
        let hint =
            "`kmh-pki rotate ipsec --deployed` says that it is, and that pfSense has its settings on rb";
        let objection = Objection { what: why.to_owned(), hint: hint.to_owned() };
        assert_eq!(shown, Err(vec![objection]), "{there:?}");
        assert!(at(R::Ipsec, &[there], "certificates", Proof::Said).is_ok());
        // With shared keys nobody looks at certificates, and other CAs are no concern of a pfSense.
        assert!(at(R::Ipsec, &[there], "psk", Proof::Shown).is_ok());
        assert!(at(R::Etcd, &[there], "certificates", Proof::Shown).is_ok());
    }
}

#[test]
fn a_pfsense_cannot_go_on_with_two_cas_of_one_name() {
    let go_on = |kind: &str, next: &str| {
        call(R::Ipsec, &[Generation::Next], |observed, _, _, model, _| {
            *model = cluster(kind, "certificates");
            let wanted = wants(model).certificates["ca/ipsec"].clone();
            let now = time::OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000);
            for (ca, name) in [("ca/ipsec", "kmh-ipsec-ca"), ("ca/ipsec.next", next)] {
                let wanted = Wanted { common_name: name.to_owned(), ..Wanted::clone(&wanted) };
                let made = issue::authority(&wanted, &Key::generate(wanted.algorithm).unwrap(), now).unwrap();
                observed.pairs.get_mut(ca).unwrap().certificate = Half::There(made);
            }
        })
    };
    let objection = Objection {
        what: "`ca/ipsec` and `ca/ipsec.next` are both called `kmh-ipsec-ca`, and pfSense router `rb` can hold one of them"
            .to_owned(),
        hint: "take it back with `kmh-pki rotate ipsec --abort`, and begin again".to_owned(),
    };
    assert_eq!(go_on("pfsense", "kmh-ipsec-ca"), Err(vec![objection]));
    assert!(go_on("pfsense", "kmh-ipsec-ca 2").is_ok());
    assert!(go_on("linux", "kmh-ipsec-ca").is_ok());
}
