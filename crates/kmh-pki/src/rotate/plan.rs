//! Whether a rotation may go one stage on. Pure.
//!
//! The stage is not written down anywhere: it follows from which generations the store holds. So whatever interrupts a
//! rotation, the next call finds it where it is.

use kmh_doc::Label;
use kmh_doc::inventory::{RouterKind, TunnelAuth};
use kmh_doc::pki::{Generation, Rotating, Stage};
use kmh_model::Model;
use time::OffsetDateTime;

use super::asked;
use crate::observed::{Half, Observed};
use crate::plan::{Make, Plan, Refusal, Step, is_next_asked};
use crate::reason::Reason;
use crate::want::Wants;

/// What a call does to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The next generation is made.
    Begin,
    /// It takes the place of the current one, which becomes the old one.
    Switch,
    /// The old one goes to the archive.
    End,
    /// The next one goes to the archive.
    Abort,
}

/// A step that may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What is rotated.
    pub name: Rotating,
    /// What is done.
    pub act: Act,
    /// The stage before; none: no rotation was under way.
    pub was: Option<Stage>,
    /// The stage after.
    pub stage: Option<Stage>,
}

/// Why a step may not be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// Why.
    pub what: String,
    /// How to go on.
    pub hint: String,
}

/// What is known of the stage's deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A person says so.
    Said,
    /// A report shows it.
    Shown,
    /// Nothing shows it, and why not.
    None(String),
}

/// What is decided on.
pub struct Situation<'a> {
    /// The cluster.
    pub model: &'a Model,
    /// What must exist, generations included.
    pub wants: &'a Wants,
    /// What the store holds.
    pub observed: &'a Observed,
    /// What `ensure` would do now.
    pub plan: &'a Plan,
    /// Whether what the store gives now is deployed.
    pub proof: &'a Proof,
}

/// The stage of a rotation, by the generations that are there.
pub fn stage(name: Rotating, wants: &Wants) -> Option<Stage> {
    wants.rotations().into_iter().find(|one| one.name == name).map(|one| one.stage)
}

/// The name of a generation.
pub fn generation(name: Rotating, generation: Generation) -> String {
    name.subject() + generation.ending()
}

/// Decides; everything that stands against it at once.
pub fn decide(s: &Situation<'_>, name: Rotating, abort: bool) -> Result<Decision, Vec<Objection>> {
    let subject = name.subject();
    let was = stage(name, s.wants);
    let [first, second] = name.stages();
    let no = |what: String, hint: &str| Err(vec![Objection { what, hint: hint.to_owned() }]);
    if !s.wants.has(&subject) {
        return no(
            format!("this cluster has no `{subject}`: there is nothing to rotate"),
            "`kmh-pki rotate` without a name shows what can be rotated",
        );
    }
    let [next, old] = [Generation::Next, Generation::Old].map(|one| generation(name, one));
    if s.wants.has(&next) && s.wants.has(&old) {
        return no(
            format!("the store holds both `{next}` and `{old}`, which no rotation makes"),
            "restore the store from a backup",
        );
    }
    if abort {
        return match was {
            Some(stage) if stage == first => Ok(Decision { name, act: Act::Abort, was, stage: None }),
            Some(_) => no(
                format!(
                    "the rotation of `{name}` has gone too far to be taken back: the new generation is in use",
                    name = name.as_str()
                ),
                "go on with it; another rotation then replaces the new generation",
            ),
            None if is_next_asked(&subject, s.observed) => {
                Ok(Decision { name, act: Act::Abort, was, stage: None })
            }
            None => no(
                format!("no rotation of `{}` is under way", name.as_str()),
                "there is nothing to take back",
            ),
        };
    }
    let (act, stage) = match was {
        None => (Act::Begin, Some(first)),
        Some(stage) if stage == first => (Act::Switch, Some(second)),
        Some(_) => (Act::End, None),
    };
    let mut objections: Vec<Objection> = match act {
        Act::Begin => root(s, name).into_iter().collect(),
        // The inventory may be another than when it began.
        Act::Switch => {
            let objections = [due(s, &subject), switch(s, name, &next), one_name(s, name, [&subject, &next])];
            objections.into_iter().flatten().collect()
        }
        // With the key at hand they are due; without it they stay as they are.
        Act::End => due(s, &subject).or_else(|| signed_by_others(s, name)).into_iter().collect(),
        Act::Abort => vec![],
    };
    if act != Act::Begin {
        objections.extend(deployed(s, name, act, was));
    }
    if objections.is_empty() { Ok(Decision { name, act, was, stage }) } else { Err(objections) }
}

/// A rotation moves what is right; what is not right yet is `ensure`'s. What others sign is not its concern.
fn due(s: &Situation<'_>, subject: &str) -> Option<Objection> {
    let signed = |name: &str| {
        s.wants.certificates.get(name).is_some_and(|leaf| leaf.issuer.as_deref() == Some(subject))
    };
    let due: Vec<&Step> = s
        .plan
        .steps
        .iter()
        .filter(|step| signed(&step.name) || step.name.split('.').next() == Some(subject))
        .collect();
    let names: Vec<&str> = due.iter().map(|step| step.name.as_str()).collect();
    let shown = match names.as_slice() {
        [] => return None,
        [one] => {
            format!("`{one}` is to be made first: {}", due.first().map(|step| step.why()).unwrap_or_default())
        }
        [first, .., last] => format!("`{first}` to `{last}` are to be made first, {} in all", names.len()),
    };
    Some(Objection {
        what: shown,
        hint: "run `kmh-pki ensure`, and push what it makes; then go on".to_owned(),
    })
}

/// Whether the root, where one signs that CA, can do so now.
fn root(s: &Situation<'_>, name: Rotating) -> Option<Objection> {
    let root = s.wants.certificates.get(&name.subject())?.issuer.as_deref()?;
    if let Some(objection) = asked::waits(name, s.observed) {
        return Some(objection);
    }
    let next = generation(name, Generation::Next);
    let pair = s.observed.pairs.get(root);
    if pair.is_none_or(|pair| pair.certificate == Half::Absent) {
        return Some(Objection {
            what: format!("`{root}` is to sign `{next}`, and the store does not hold it"),
            hint: "run `kmh-pki ensure` first, which makes it".to_owned(),
        });
    }
    (!matches!(pair?.key, Half::There(_))).then(|| Objection {
        what: format!("`{root}` cannot sign `{next}`: the store does not hold its key"),
        hint: format!(
            "`kmh-pki rotate {} --requests FILE` writes what has to be signed where the key is; or bring `{root}.key` back for this step",
            name.as_str()
        ),
    })
}

/// The pfSense routers that have certificates for their tunnels: no push applies their settings, and no report shows that
/// somebody did. With pre-shared keys nobody looks at certificates.
pub fn by_hand(model: &Model, name: Rotating) -> Vec<&str> {
    if name != Rotating::Ipsec || model.tunnel_auth == TunnelAuth::Psk {
        return vec![];
    }
    let has_tunnel =
        |name: &Label| model.tunnels.iter().any(|tunnel| tunnel.ends.iter().any(|end| end.router == *name));
    let routers = model.routers.iter().filter(|router| router.kind == RouterKind::Pfsense);
    routers.filter(|router| has_tunnel(&router.name)).map(|router| router.name.as_str()).collect()
}

/// Whether a pfSense cannot hold both CAs: its files of them are called by their subjects.
fn one_name(s: &Situation<'_>, name: Rotating, both: [&str; 2]) -> Option<Objection> {
    let router = *by_hand(s.model, name).first()?;
    let certificate = |ca: &str| s.observed.pairs.get(ca)?.certificate.there();
    let [current, next] = [certificate(both[0])?, certificate(both[1])?];
    (current.subject == next.subject).then(|| Objection {
        what: format!(
            "`{}` and `{}` are both called `{}`, and pfSense router `{router}` can hold one of them",
            both[0], both[1], next.common_name
        ),
        hint: format!("take it back with `kmh-pki rotate {} --abort`, and begin again", name.as_str()),
    })
}

/// Whether the next generation can do what the current one does.
fn switch(s: &Situation<'_>, name: Rotating, next: &str) -> Option<Objection> {
    name.authority()?;
    let key = s.observed.pairs.get(next).map(|pair| &pair.key);
    if matches!(key, Some(Half::There(_))) {
        return None;
    }
    Some(Objection {
        what: format!("the store does not hold the key of `{next}`, which is to sign from now on"),
        hint: format!("put `{next}.key` back for this step and the next `ensure`"),
    })
}

/// What another than the current CA signed would be refused everywhere.
fn signed_by_others(s: &Situation<'_>, name: Rotating) -> Option<Objection> {
    name.authority()?;
    let subject = name.subject();
    let certificate = |name: &str| s.observed.pairs.get(name)?.certificate.there();
    let current = certificate(&subject)?;
    let leaves = s.wants.certificates.values().filter(|leaf| leaf.issuer.as_deref() == Some(&subject));
    let others: Vec<&str> = leaves
        .filter(|leaf| certificate(&leaf.name).is_some_and(|leaf| !leaf.is_signed_by(current)))
        .map(|leaf| leaf.name.as_str())
        .collect();
    let first = others.first()?;
    Some(Objection {
        what: format!("{} of what the store holds is of the old CA: `{first}`", others.len()),
        hint: "run `kmh-pki ensure` with the key of the new CA at hand, and push what it makes".to_owned(),
    })
}

fn deployed(s: &Situation<'_>, name: Rotating, act: Act, was: Option<Stage>) -> Option<Objection> {
    let word = name.as_str();
    let stage = was.map_or("", Stage::as_str);
    let by_hand = by_hand(s.model, name);
    // What no report can show.
    let more = match (name, act) {
        (Rotating::Encryption, Act::End) => Some("that every Secret was written anew".to_owned()),
        (Rotating::ServiceAccount, Act::End) => Some("that every token of the old key has ended".to_owned()),
        (Rotating::Ipsec, _) if !by_hand.is_empty() => {
            Some(format!("that pfSense has its settings on {}", by_hand.join(", ")))
        }
        _ => None,
    };
    let what = match (s.proof, &more) {
        (Proof::Said, _) | (Proof::Shown, None) => return None,
        (Proof::Shown, Some(more)) => format!("a report shows what is deployed, and not {more}"),
        (Proof::None(why), _) => format!("stage `{stage}` of `{word}` is not known to be deployed: {why}"),
    };
    let say = format!("`kmh-pki rotate {word} --deployed` says that it is");
    let hint = match more {
        Some(more) => format!("{say}, and {more}"),
        None => format!("push, and give this command what kmh-push passes on; {say}"),
    };
    Some(Objection { what, hint })
}

/// What stands against anything, without what rotations themselves cure: the certificates of CAs that have expired, which
/// may have been made on one day.
pub fn refusals<'a>(
    plan: &'a Plan,
    wants: &Wants,
    observed: &Observed,
    now: OffsetDateTime,
) -> Vec<&'a Refusal> {
    let cured = |refusal: &&Refusal| {
        let issuer = wants.certificates.get(&refusal.name).and_then(|leaf| leaf.issuer.as_ref());
        let ca = issuer.and_then(|issuer| observed.pairs.get(issuer)?.certificate.there());
        ca.is_some_and(|ca| ca.not_after <= now)
    };
    plan.refusals.iter().filter(|refusal| !cured(refusal)).collect()
}

/// What a decision makes: the next generation, which `wants` must have.
pub fn made(decision: Decision) -> Plan {
    let name = generation(decision.name, Generation::Next);
    let make = if decision.name.authority().is_some() { Make::Pair } else { Make::Key };
    let step = Step { name, make, reasons: vec![Reason::Rotation] };
    Plan { steps: if decision.act == Act::Begin { vec![step] } else { vec![] }, ..Plan::default() }
}

/// What a decision moves, from and to.
pub fn moves(decision: Decision) -> Vec<(String, String)> {
    let of = |one| generation(decision.name, one);
    match decision.act {
        Act::Switch => vec![
            (of(Generation::Current), of(Generation::Old)),
            (of(Generation::Next), of(Generation::Current)),
        ],
        Act::Begin | Act::End | Act::Abort => vec![],
    }
}

/// What a decision retires.
pub fn retired(decision: Decision) -> Vec<String> {
    match decision.act {
        Act::End => vec![generation(decision.name, Generation::Old)],
        Act::Abort => vec![generation(decision.name, Generation::Next)],
        Act::Begin | Act::Switch => vec![],
    }
}

#[cfg(test)]
mod tests;
