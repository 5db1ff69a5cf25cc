//! The first stage where the key of the root is away: the next CA is asked for, as `ensure --requests` asks for others,
//! and the rotation begins when `import --signed` takes in what the root signed. Until then its key waits, and nothing
//! else of the store says that anything was asked for.

use std::path::Path;

use kmh_cli::{Failure, file};
use kmh_doc::pki::{Generation, Rotating};
use time::OffsetDateTime;

use super::commands::Commands;
use super::guide::{Kind, Todo};
use super::plan::{Act, Decision, Objection, Situation, generation, stage};
use super::{Changes, Opened};
use crate::ask;
use crate::observed::Observed;
use crate::plan::{Make, Plan, Step, forbids, is_next_asked, issuer};
use crate::reason::Reason;
use crate::requests::RequestSet;
use crate::store::Change;

/// Whether a decision asks for the next generation, or takes such a request back.
pub(super) fn concerns(decision: Decision) -> bool {
    decision.was.is_none() && decision.stage.is_none()
}

/// Whether the next generation may be asked for; everything that stands against it.
pub(super) fn decide(
    s: &Situation<'_>,
    name: Rotating,
    now: OffsetDateTime,
) -> Result<Decision, Vec<Objection>> {
    let subject = name.subject();
    let word = name.as_str();
    let no = |what: String, hint: String| Err(vec![Objection { what, hint }]);
    let Some(root) = s.wants.certificates.get(&subject).and_then(|ca| ca.issuer.as_deref()) else {
        return no(
            format!("no other CA signs `{subject}`, so nobody is asked"),
            "leave out `--requests`".to_owned(),
        );
    };
    if let Some(stage) = stage(name, s.wants) {
        return no(
            format!("the rotation of `{word}` is in stage `{}`: its next CA is there", stage.as_str()),
            format!("go on with `kmh-pki rotate {word}`"),
        );
    }
    let there =
        |name: &str| s.observed.pairs.get(name).is_some_and(|pair| pair.certificate.there().is_some());
    if !there(&subject) {
        return no(
            format!("the store does not hold `{subject}`, which is to be rotated"),
            "run `kmh-pki ensure` first, which makes it or asks for it".to_owned(),
        );
    }
    let cannot =
        |why: String| format!("`{root}` cannot sign `{}`: {why}", generation(name, Generation::Next));
    match issuer(root, s.wants, s.observed, now) {
        Err(why) => return no(cannot(why), "`kmh-pki ensure` says more".to_owned()),
        Ok(ca) => {
            if let Some(why) = forbids(ca) {
                return no(cannot(why), "put a root in its place that permits one".to_owned());
            }
        }
    }
    let waits = is_next_asked(&subject, s.observed);
    if !waits && s.observed.pairs.get(root).is_some_and(|pair| pair.key.there().is_some()) {
        return no(
            format!("the store holds the key of `{root}`, so nobody need be asked"),
            "leave out `--requests`".to_owned(),
        );
    }
    Ok(Decision { name, act: Act::Begin, was: None, stage: None })
}

/// What stands against the first stage while the next generation is asked for: what was signed may be on its way.
pub(super) fn waits(name: Rotating, observed: &Observed) -> Option<Objection> {
    let word = name.as_str();
    is_next_asked(&name.subject(), observed).then(|| Objection {
        what: format!("`{}` is asked for, and what was signed has not come", generation(name, Generation::Next)),
        hint: format!(
            "`kmh-pki import --signed FILE` takes it in; `kmh-pki rotate {word} --requests FILE` asks again, `--abort` takes the request back"
        ),
    })
}

/// Makes the key that waits, where none does, and writes the request for it; or takes both back.
pub(super) fn carry_out(
    decision: Decision,
    opened: &Opened,
    to: Option<&Path>,
    dry_run: bool,
) -> Result<(), Failure> {
    let Opened { model, store, wants, observed } = opened;
    if dry_run {
        return Ok(());
    }
    let name = generation(decision.name, Generation::Next);
    let mut change = Change::default();
    let mut set = RequestSet::of(model.name.as_str(), store.id());
    if decision.act == Act::Begin {
        let step = Step { name, make: Make::Pair, reasons: vec![Reason::Rotation] };
        change.made = ask::ask(&Plan { asked: vec![step], ..Plan::default() }, wants, observed, &mut set)?;
    } else {
        change.retired = vec![ask::waiting(&name)];
    }
    // The key must wait before its request is out, and must not where that cannot be written.
    let staged = match to {
        Some(to) => Some(file::stage_named(to, set.to_json()?.as_bytes())?),
        None => None,
    };
    store.tidy()?;
    if !change.made.is_empty() || !change.retired.is_empty() {
        store.commit(&change)?;
    }
    staged.map_or(Ok(()), |staged| staged.put().map(|_| ()))
}

/// What the store makes and retires.
pub(super) fn changes(decision: Decision) -> Changes {
    let waiting = vec![ask::waiting(&generation(decision.name, Generation::Next))];
    match decision.act {
        Act::Begin => Changes { made: waiting, ..Changes::default() },
        _ => Changes { archived: waiting, ..Changes::default() },
    }
}

/// What has to follow: `first` is what the first stage asks for when the next CA is there.
pub(super) fn todo(to: Option<&Path>, commands: &Commands, first: Vec<Todo>) -> Vec<Todo> {
    let of = |kind, say: &str, command: Option<String>| Todo {
        kind,
        say: say.to_owned(),
        command,
        machines: vec![],
        units: vec![],
        by_themselves: vec![],
    };
    let Some(to) = to else {
        return vec![of(Kind::Next, "nothing: what was only asked for is nowhere deployed", None)];
    };
    let asked = [
        of(
            Kind::Sign,
            "have the request signed where the key of the root is, by its own tools or with",
            Some(commands.sign(to)),
        ),
        of(
            Kind::Sign,
            "take in what was signed: then the next CA is there, and trusted beside this one",
            Some(commands.import()),
        ),
    ];
    asked.into_iter().chain(first).collect()
}
