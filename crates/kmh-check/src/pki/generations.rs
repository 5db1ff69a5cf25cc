//! Whether what is rotated is in one of the stages that a rotation has, and the document says so.

use kmh_doc::pki::{Class, Generation, KeyClass, Rotating};

use super::REISSUE;
use crate::documents::Pki;
use crate::findings::Findings;

const ROTATE: &str = "make the document again with `kmh-pki ensure`; `kmh-pki rotate` shows each stage";

/// `pki.generations`: at most one generation besides the current one, of what can be rotated, at the stage that it says.
pub(crate) fn generations(pki: &Pki<'_>, out: &mut Findings<'_>) {
    let certificates = pki.spec.certificates.iter().map(|c| (c.name.as_str(), Ok(c.class)));
    let keys = pki.spec.keys.iter().map(|k| (k.name.as_str(), Err(k.class)));
    let entries: Vec<(&str, Result<Class, KeyClass>)> = certificates.chain(keys).collect();
    for one in Rotating::ALL {
        out.look();
        let subject = one.subject();
        let has = |generation: Generation| {
            entries.iter().any(|(name, _)| name.strip_suffix(generation.ending()) == Some(&subject))
        };
        let [first, second] = one.stages();
        let is = match (has(Generation::Next), has(Generation::Old)) {
            (false, false) => None,
            (true, false) => Some(first),
            (false, true) => Some(second),
            (true, true) => {
                out.critical(&subject, "it has both a next and an old generation", ROTATE);
                continue;
            }
        };
        if is.is_some() && !has(Generation::Current) {
            out.critical(&subject, "it has another generation, and no current one", REISSUE);
        }
        let said: Vec<_> =
            pki.spec.rotations.iter().filter(|r| r.name == one).map(|r| Some(r.stage)).collect();
        if said != is.map(Some).into_iter().collect::<Vec<_>>() {
            let words = |stage: Option<kmh_doc::pki::Stage>| stage.map_or("none", |stage| stage.as_str());
            let told: Vec<&str> = said.iter().map(|stage| words(*stage)).collect();
            let told = if told.is_empty() { "none".to_owned() } else { told.join(", ") };
            let message = format!("its entries are those of stage `{}`, the document says {told}", words(is));
            out.critical(&subject, message, ROTATE);
        }
    }
    for (name, class) in entries {
        let generation = Generation::of(name);
        if generation == Generation::Current {
            continue;
        }
        out.look();
        let base = name.strip_suffix(generation.ending()).unwrap_or(name);
        let known = Rotating::ALL.into_iter().find(|one| one.subject() == base);
        let fits = known.is_some_and(|one| match (one, class) {
            (Rotating::Encryption, class) => class == Err(KeyClass::Encryption),
            (Rotating::ServiceAccount, class) => class == Err(KeyClass::ServiceAccount),
            (one, class) => class.ok() == one.authority(),
        });
        if !fits {
            out.critical(name, "it is a generation of nothing that can be rotated", ROTATE);
        }
    }
}
