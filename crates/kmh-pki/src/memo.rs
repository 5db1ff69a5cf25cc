//! The answer of the last run, for one that finds everything as that left it.
//!
//! To read and verify the certificates of a thousand nodes takes as long as to make them. What was verified is kept
//! beside the user's other caches, and holds as long as nothing that it follows from has changed: the inventory, this
//! program, every file of the store as far as the kernel tells, and what the date decides. After a day everything is
//! read anew all the same: a disk that forgets does not say so. Whoever can write there can write the store, so nothing is
//! signed; what is cut off or rotten is found by its digest. Nothing in it is secret: it is what the document says.

use std::path::PathBuf;

use kmh_cli::{Env, Written, file};
use kmh_doc::Digest;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::io::Write as _;
use time::{Duration, OffsetDateTime};

use crate::observed::Observed;
use crate::secret::hex;
use crate::store::{Moment, State, changed, inode};
use crate::want::Wants;

/// Fewer certificates are verified quicker than they are looked up.
const MANY: usize = 200;
/// For how long an answer holds at most.
const HOLDS: Duration = Duration::days(1);
/// The clock of a file system moves in steps of up to 10 ms: what was changed within one looks the same twice.
const GRAIN: Duration = Duration::milliseconds(20);

/// Where the answer for a store is kept, and what it must follow from.
pub struct Memo {
    path: PathBuf,
    program: String,
    inventory: String,
}

/// What stands before the document.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    program: String,
    inventory: String,
    /// The store's state.
    state: String,
    /// From when to when it holds, in seconds since 1970.
    holds: [i64; 2],
    /// What happened, in one line.
    message: String,
    /// The digest of the document.
    document: String,
    /// That of the octets which follow.
    octets: String,
}

impl Memo {
    /// The place for the answer about a store and an inventory. None: the user has no folder for such things.
    pub fn of(env: &Env, store: &str, inventory: &Digest) -> Option<Self> {
        // XDG Base Directory Specification: the first must be absolute to count.
        let named = env.var("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let caches = named.or_else(|| Some(PathBuf::from(env.var("HOME")?).join(".cache")))?;
        let program =
            rustix::fs::open("/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let program = inode(program, b"").ok()?;
        Some(Self {
            path: caches.join("kmh").join(format!("pki-{store}")),
            program: format!("{} {:?} {}", env!("CARGO_PKG_VERSION"), changed(&program), program.stx_ino),
            inventory: inventory.to_string(),
        })
    }

    /// The document and the message of the last run, where they still hold. The store is asked how it is when all else is
    /// as it was.
    pub fn recall(
        &self,
        now: OffsetDateTime,
        state: impl FnOnce() -> Option<State> + Send,
    ) -> Option<(Written, String)> {
        let mut text = String::from_utf8(file::read_if_there(&self.path).ok()??).ok()?;
        let (head, _) = text.split_once('\n')?;
        let begin = head.len() + 1;
        let head: Head = serde_json::from_str(head).ok()?;
        let [from, until] = head.holds;
        let holds = head.program == self.program
            && head.inventory == self.inventory
            && (from..until).contains(&now.unix_timestamp());
        if !holds {
            return None;
        }
        // Nothing of four megabytes is held twice.
        text.drain(..begin);
        let (octets, state) = rayon::join(|| hex(&Sha256::digest(&text)), state);
        let holds = head.octets == octets && head.state == hex(&state?.digest);
        let digest = Digest::parse(&head.document).filter(|_| holds)?;
        Some((Written { text, digest }, head.message))
    }

    /// Keeps an answer. That it cannot is nobody's concern.
    pub fn keep(&self, state: &State, holds: [OffsetDateTime; 2], message: String, document: &Written) {
        let head = Head {
            program: self.program.clone(),
            inventory: self.inventory.clone(),
            state: hex(&state.digest),
            holds: holds.map(OffsetDateTime::unix_timestamp),
            message,
            document: document.digest.to_string(),
            octets: hex(&Sha256::digest(&document.text)),
        };
        if let Ok(head) = serde_json::to_string(&head)
            && let Some(folder) = self.path.parent()
            && file::make_dir(folder, 0o700).is_ok()
        {
            let _ = self.write(&[head.as_bytes(), b"\n", document.text.as_bytes()], state.youngest);
        }
    }

    /// Whole or not at all; not synced, for its digest tells.
    fn write(&self, pieces: &[&[u8]], youngest: Moment) -> Result<(), Errno> {
        let new = self.path.with_extension(format!("{}", std::process::id()));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::open(&new, flags, Mode::from_raw_mode(0o600))?;
        let mut file = std::fs::File::from(file);
        let written = pieces.iter().try_for_each(|piece| file.write_all(piece)).is_ok();
        let (now, last) = (since(changed(&inode(&file, b"")?)), since(youngest));
        if written && now - last >= GRAIN {
            rustix::fs::rename(&new, &self.path)
        } else {
            rustix::fs::unlink(&new)
        }
    }
}

fn since((seconds, nanoseconds): Moment) -> Duration {
    Duration::seconds(seconds) + Duration::nanoseconds(nanoseconds.into())
}

/// Until when the date decides nothing else than now: the next end, begin or time to renew. None: there is too little to
/// remember.
pub fn until(wants: &Wants, observed: &Observed, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let mut next = now + HOLDS;
    let mut count = 0;
    for (name, pair) in &observed.pairs {
        let Some(is) = pair.certificate.there() else { continue };
        count += 1;
        let life = is.not_after - is.not_before;
        let renew = wants.certificates.get(name).and_then(|wanted| wanted.renew).unwrap_or(life / 3);
        // `wants.leaf`: a CA warns when what it signs would end with it.
        for moment in [is.not_before, is.not_after - renew, is.not_after - wants.leaf, is.not_after] {
            if moment > now {
                next = next.min(moment);
            }
        }
    }
    (count >= MANY).then_some(next)
}
