//! Several CAs of one name in a file: the middle of a rotation, which the store goes on with where it can.
//!
//! The CA that the key belongs to is the current one. Another that signed what is in the folder is what was current before
//! it, and machines trust it still: it becomes the old generation, which needs no key. One that signed nothing may be next,
//! but without its key it never could be.

use std::collections::BTreeSet;

use kmh_doc::pki::Generation;

use super::finding::{Finding, Level};
use super::gather::{Candidate, Gathered, NO_KEY};
use crate::cert::Certificate;
use crate::numbered::number;
use crate::table;
use crate::want::Wants;

/// How to end a rotation of others.
const FINISH: &str =
    "finish the rotation where it was begun, then import; a tar of that store, unpacked, goes on with it";

/// Whether these are several generations of one CA, and not a chain.
pub(super) fn rotates(all: &[Certificate]) -> bool {
    let numbered =
        |one: &Certificate| one.attributes == 1 && number(table::IPSEC_CA, &one.common_name).is_some();
    let one_name = all.iter().all(|one| one.subject == all[0].subject) || all.iter().all(numbered);
    // Of one key they are one CA and what it was renewed from.
    let keys = all.iter().any(|one| one.public != all[0].public);
    keys && one_name && all.iter().all(|one| one.is_ca)
}

/// The generations of a CA besides the one that is taken.
pub(super) struct Rotating {
    /// The first file that holds several.
    file: String,
    others: Vec<Certificate>,
}

impl Rotating {
    /// Of what was found of a CA; none when that is one generation.
    pub(super) fn of(found: &[Candidate], current: &Certificate) -> Option<Self> {
        let file = found.iter().find(|one| !one.others.is_empty())?.file.clone();
        let mut known = BTreeSet::new();
        let all = found.iter().flat_map(|one| one.others.iter().chain([&one.certificate]));
        let others =
            all.filter(|one| one.public != current.public && known.insert(one.digest)).cloned().collect();
        Some(Self { file, others })
    }
}

/// Takes old generations along, and says what nobody trusts after the next push.
pub(super) fn settle(gathered: &mut Gathered, wants: &Wants) {
    for (name, Rotating { file, others }) in std::mem::take(&mut gathered.rotating) {
        let Some(current) = gathered.pairs.get(&name) else { continue };
        let below =
            |leaf: &str| wants.certificates.get(leaf).is_some_and(|one| one.issuer.as_ref() == Some(&name));
        let signed = |ca: &Certificate| {
            gathered.pairs.iter().any(|(leaf, one)| below(leaf) && one.certificate.is_signed_by(ca))
        };
        let (mut old, mut left): (Vec<_>, Vec<_>) = others.into_iter().partition(signed);
        // Without a key nobody knows which is the current one, and there is one place for an old one.
        if current.key.is_err() || old.len() > 1 {
            left.append(&mut old);
        }
        let named = |one: &Certificate| format!("serial {}…", one.serial.get(..8).unwrap_or(&one.serial));
        let its = named(&current.certificate);
        let holds =
            format!("it holds {} generations of one CA: a rotation goes on", 1 + old.len() + left.len());
        if !left.is_empty() {
            let only = if old.is_empty() { format!(". Only one is taken ({its})") } else { String::new() };
            let left = left.iter().map(named).collect::<Vec<_>>().join(", ");
            let text = format!("{holds}{only}; after the next push no machine trusts the other ({left})");
            gathered.loud(&file, text, FINISH);
        }
        let Some(old) = old.pop() else { continue };
        let place = format!("{name}{}", Generation::Old.ending());
        let text = format!(
            "{holds}. That of its key is taken ({its}), and as `{place}`, which is still trusted, one that signed what is here ({})",
            named(&old)
        );
        let short = name.rsplit('/').next().unwrap_or(&name);
        let hint = format!(
            "the next `ensure` makes anew what that one signed; when it is deployed, `kmh-pki rotate {short}` ends the rotation"
        );
        gathered.findings.push(Finding::new(Level::Note, &file, text, &hint));
        let old = Candidate { file, certificate: old, key: Err(NO_KEY), others: Vec::new() };
        gathered.pairs.insert(place, old);
    }
}
