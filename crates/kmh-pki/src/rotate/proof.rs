//! Whether the documents of the stream show that what the store gives now is deployed.
//!
//! What counts is a report of kmh-push: over SSH to the machines themselves, of a bundle that was made from exactly this
//! `kmh.pki/v1`, to every machine of the inventory, without a failure, and with every unit told that had to be. A report
//! of kmh-check looks at documents: that it says yes shows that files are right, not where they are. It counts against:
//! with one in the stream that says no, nothing is shown.

use std::collections::BTreeSet;

use kmh_cli::{Failure, Stream};
use kmh_doc::check::CheckSpec;
use kmh_doc::push::{Outcome, PushSpec};
use kmh_doc::{Digest, Kind};

use super::plan::Proof;

/// What the stream shows of the deployment of the `kmh.pki/v1` of that digest on these machines.
pub fn shown(stream: &Stream, pki: &Digest, machines: &BTreeSet<&str>) -> Result<Proof, Failure> {
    let check = stream.find::<CheckSpec>()?;
    let push = stream.find::<PushSpec>()?;
    let bundle = stream.digest(Kind::Bundle)?;
    let why = (|| {
        if check.as_ref().is_some_and(|check| !check.spec.ok) {
            return Some("the check in the stream says no".to_owned());
        }
        let Some(push) = &push else {
            return Some(match check {
                Some(_) => "a check shows that files are right, not where they are".to_owned(),
                None => "the stream has no report of a push".to_owned(),
            });
        };
        let Some(bundle) = &bundle else {
            return Some("the bundle that was pushed is not in the stream".to_owned());
        };
        let is_from = |document: Kind, origin: Kind, digest: &Digest| {
            stream.origins(document).iter().any(|(kind, of)| *kind == origin && of == digest)
        };
        if !is_from(Kind::Push, Kind::Bundle, bundle) {
            return Some("the push was of another bundle".to_owned());
        }
        if !is_from(Kind::Bundle, Kind::Pki, pki) {
            return Some("the bundle was made from other certificates than the store has now".to_owned());
        }
        pushed(&push.spec, machines)
    })();
    Ok(why.map_or(Proof::Shown, Proof::None))
}

/// Why a push did not reach everything; none when it did.
fn pushed(push: &PushSpec, machines: &BTreeSet<&str>) -> Option<String> {
    if let Some(why) = &push.refused {
        return Some(format!("the push was refused: {why}"));
    }
    if push.dry_run {
        return Some("the push was a dry run".to_owned());
    }
    if !push.live {
        return Some("the push was into folders, not to the machines".to_owned());
    }
    let reached: BTreeSet<&str> = push.machines.iter().map(|machine| machine.name.as_str()).collect();
    if let Some(machine) = machines.difference(&reached).next() {
        return Some(format!("the push left out `{machine}`"));
    }
    let failed = push.machines.iter().find(|machine| {
        let done = matches!(machine.outcome, Outcome::Unchanged | Outcome::Changed);
        !done || machine.units.iter().any(|unit| unit.ok != Some(true))
    });
    match failed {
        Some(machine) => Some(format!("the push did not do all on `{}`", machine.name)),
        None if push.failed => Some("the push says that it failed".to_owned()),
        None => None,
    }
}
