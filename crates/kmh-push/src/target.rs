//! What a target can do: the same few things for a folder and for a machine behind SSH.

use std::collections::{BTreeMap, BTreeSet};

use kmh_doc::bundle::Unit;
use kmh_doc::push::Outcome;

use crate::body::Body;
use crate::plan::{Found, Rules, Seen, Step};
use crate::turns::Down;
use kmh_store::wanted::{Wanted, WantedFile};

/// Why a target failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// What becomes of the machine by it.
    pub(crate) outcome: Outcome,
    /// What happened, lower case, no final stop.
    pub(crate) message: String,
    /// How to go on.
    pub(crate) hint: Option<String>,
}

impl Trouble {
    /// It was reached, and something failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failed, message: message.into(), hint: None }
    }

    /// It was not reached.
    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self { outcome: Outcome::Unreachable, ..Self::failed(message) }
    }

    /// Nothing was done on it.
    pub(crate) fn untouched(message: impl Into<String>) -> Self {
        Self { outcome: Outcome::Untouched, ..Self::failed(message) }
    }

    /// With a way to go on.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A file to write.
pub(crate) struct Item<'a> {
    pub(crate) file: &'a WantedFile,
    pub(crate) body: &'a Body,
}

/// Everything that is written on a machine in one go: all of it is proven before any of it is put in place.
pub(crate) struct Set<'a> {
    pub(crate) items: Vec<Item<'a>>,
    /// Whether owners are set.
    pub(crate) owners: bool,
    /// What will be done to units afterwards, remembered on the machine until it is done.
    pub(crate) steps: &'a [Step],
    /// Every folder of the machine's files: where leftovers of killed pushes can be.
    pub(crate) folders: BTreeSet<&'a str>,
    /// Hears how many octets of how many are on their way.
    pub(crate) tell: &'a dyn Fn(u64, u64),
}

/// What became of a set.
#[derive(Default)]
pub(crate) struct Written {
    /// Paths that were put in place.
    pub(crate) paths: BTreeSet<String>,
    /// The written paths, as they were read back.
    pub(crate) after: BTreeMap<String, Found>,
    /// Why it stopped.
    pub(crate) trouble: Option<Trouble>,
}

/// What became of steps.
#[derive(Default)]
pub(crate) struct Acted {
    /// Whether each worked; shorter than the steps when one failed.
    pub(crate) results: Vec<bool>,
    /// Why it stopped.
    pub(crate) trouble: Option<Trouble>,
}

/// A place that takes files.
pub(crate) trait Target {
    /// What may be done there.
    fn rules(&self) -> Rules;

    /// What stands there now.
    fn observe(&mut self, machine: &Wanted) -> Result<Seen, Trouble>;

    /// The beginnings of files, for a diff.
    fn fetch(&mut self, paths: &[&str]) -> Result<BTreeMap<String, Vec<u8>>, Trouble>;

    /// Writes a set of files.
    fn write(&mut self, set: &Set<'_>) -> Written;

    /// Acts on units; then waits until each of `serving` serves again.
    fn act(&mut self, steps: &[Step], serving: &[&Unit]) -> Acted;

    /// Which of these units do not serve now, and what they said; they have some seconds each.
    fn silent(&mut self, units: &[&Unit]) -> Result<Down, Trouble>;
}

/// Not more of a file is fetched for a diff.
pub(crate) const SHOWN: usize = 1 << 16;

/// A word that nobody else can know: 128 random bits, in hexadecimal. Names of temporary files and the proof at the end
/// of a remote command are made of it.
pub(crate) fn nonce() -> Result<String, Trouble> {
    use std::io::Read as _;
    let mut bits = [0; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bits))
        .map_err(|error| Trouble::failed(format!("no random numbers from /dev/urandom: {error}")))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bits)))
}
