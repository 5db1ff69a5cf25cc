//! Why something is made, in words.

use std::collections::BTreeSet;
use std::fmt;

use kmh_doc::inventory::Algorithm;
use kmh_doc::pki::Usage;

/// Why something is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is none.
    Missing,
    /// A run was interrupted while it wrote it.
    Interrupted,
    /// It ends soon: less than a third of its life is left, or than the settings say.
    Expires {
        /// Days left.
        days: i64,
        /// Its last day.
        on: String,
    },
    /// It has not begun.
    Future {
        /// Its first day.
        on: String,
    },
    /// It has ended.
    Expired {
        /// Its last day.
        on: String,
    },
    /// Its names are not those of the inventory.
    Names {
        /// Names that it lacks.
        added: BTreeSet<String>,
        /// Names that it should not have.
        removed: BTreeSet<String>,
    },
    /// Its subject is another.
    Subject {
        /// What it is.
        is: String,
        /// What it should be.
        wanted: String,
    },
    /// Its key is of another algorithm.
    Algorithm {
        /// What it is.
        is: String,
        /// What it should be.
        wanted: Algorithm,
    },
    /// Its usages are others.
    Usages {
        /// What they are.
        is: BTreeSet<Usage>,
        /// What they should be.
        wanted: BTreeSet<Usage>,
    },
    /// Another CA signed it than the one that is there now.
    Issuer(String),
    /// The CA's last generation signed it.
    Retired,
    /// A rotation begins with it.
    Rotation,
    /// It is not as RFC 5280 wants it.
    Profile(&'static str),
}

impl Reason {
    /// Its word for programs: it stays when the sentence changes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Interrupted => "interrupted",
            Self::Expires { .. } => "expires",
            Self::Future { .. } => "begins-later",
            Self::Expired { .. } => "expired",
            Self::Names { .. } => "names-differ",
            Self::Subject { .. } => "subject-differs",
            Self::Algorithm { .. } => "key-algorithm",
            Self::Usages { .. } => "usage-differs",
            Self::Issuer(_) => "issuer-differs",
            Self::Retired => "issuer-retired",
            Self::Rotation => "rotation",
            Self::Profile(_) => "profile",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("missing"),
            Self::Interrupted => f.write_str("a run was interrupted while it wrote it"),
            Self::Expires { days: 1, on } => write!(f, "expires in 1 day, on {on}"),
            Self::Expires { days, on } => write!(f, "expires in {days} days, on {on}"),
            Self::Future { on } => write!(f, "begins on {on}, which is still to come"),
            Self::Expired { on } => write!(f, "expired on {on}"),
            Self::Names { added, removed } => {
                f.write_str("names differ:")?;
                let signed =
                    added.iter().map(|name| ('+', name)).chain(removed.iter().map(|name| ('-', name)));
                for (index, (sign, name)) in signed.enumerate() {
                    write!(f, "{} {sign} {name}", if index == 0 { "" } else { "," })?;
                }
                Ok(())
            }
            Self::Subject { is, wanted } => write!(f, "subject differs: `{is}` should be `{wanted}`"),
            Self::Algorithm { is, wanted } => {
                write!(f, "key algorithm changed by settings: {is} should be {wanted}")
            }
            Self::Usages { is, wanted } => {
                write!(f, "usage differs: {} should be {}", usages(is), usages(wanted))
            }
            Self::Issuer(name) => write!(f, "signed by another CA than {name}"),
            Self::Retired => f.write_str("issued by a retired CA"),
            Self::Rotation => f.write_str("the next generation of a rotation"),
            Self::Profile(words) => f.write_str(words),
        }
    }
}

/// Usages in words.
pub fn usages<'a>(usages: impl IntoIterator<Item = &'a Usage>) -> String {
    let words: Vec<_> = usages
        .into_iter()
        .map(|usage| match usage {
            Usage::Client => "client",
            Usage::Server => "server",
        })
        .collect();
    if words.is_empty() { "none".to_owned() } else { words.join(" and ") }
}
