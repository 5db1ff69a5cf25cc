//! Problems: everything that is wrong with an input, each with its place, cause and hint, reported together.

use crate::tree::Place;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// What kind of defect a [`Problem`] is. Each has a fixture of its name in `tests/invalid/`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Stable name, also the stem of its fixture.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

codes! {
    /// Text that is neither valid JSON nor valid YAML.
    Syntax => "syntax",
    /// Bytes that are not UTF-8.
    Encoding => "encoding",
    /// A line, a nesting, a number of nodes or an alias expansion beyond the limit.
    TooLarge => "too-large",
    /// A key that the type does not have.
    UnknownKey => "unknown-key",
    /// A key written twice in one mapping.
    DuplicateKey => "duplicate-key",
    /// A key that must be there and is not.
    MissingKey => "missing-key",
    /// A value of the wrong type: a number where text belongs.
    WrongType => "wrong-type",
    /// A version written as a number (1.30 is 1.3 to YAML).
    UnquotedVersion => "unquoted-version",
    /// A word that is none of the permitted ones.
    UnknownWord => "unknown-word",
    /// A number outside its range.
    OutOfRange => "out-of-range",
    /// No RFC 1123 label.
    BadLabel => "bad-label",
    /// No host name and no address.
    BadHost => "bad-host",
    /// No IP address.
    BadAddress => "bad-address",
    /// No network in CIDR notation.
    BadNetwork => "bad-network",
    /// A network whose address has bits beyond its prefix.
    HostBits => "host-bits",
    /// No version of the form MAJOR.MINOR.PATCH.
    BadVersion => "bad-version",
    /// A version of a component that kmh does not know.
    UnknownVersion => "unknown-version",
    /// Text of the wrong form for its field.
    BadText => "bad-text",
    /// Text that could break out of a shell or a configuration file.
    UnsafeText => "unsafe-text",
    /// A name used twice among sites, routers and nodes.
    DuplicateName => "duplicate-name",
    /// A router id used twice.
    DuplicateId => "duplicate-id",
    /// An AS number used by two sites, by two nodes, or by a site and the nodes.
    DuplicateAsn => "duplicate-asn",
    /// An AS number that is not written as a plain number.
    BadAsn => "bad-asn",
    /// An AS number that is reserved.
    ReservedAsn => "reserved-asn",
    /// A name that refers to nothing.
    UnknownReference => "unknown-reference",
    /// An address outside its site's network.
    OutsideNetwork => "outside-network",
    /// An address given to two machines.
    DuplicateAddress => "duplicate-address",
    /// The network or broadcast address of its network.
    UnusableAddress => "unusable-address",
    /// Two ranges that share addresses.
    Overlap => "overlap",
    /// A site's pool outside the cluster's pod range.
    OutsidePods => "outside-pods",
    /// Loopback, link-local, multicast or otherwise reserved.
    ReservedRange => "reserved-range",
    /// Two values of one address family where one is allowed.
    FamilyTwice => "family-twice",
    /// A machine or range without an address of a family that the cluster uses.
    FamilyMissing => "family-missing",
    /// A pool that cannot hold one block for each node.
    PoolTooSmall => "pool-too-small",
    /// A service range smaller than the cluster's own services or larger than Kubernetes takes.
    ServiceRange => "service-range",
    /// A tunnel network with too few numbers for the highest pair of router ids.
    TunnelRange => "tunnel-range",
    /// Two tunnels that would have one number.
    TunnelNumber => "tunnel-number",
    /// Sites that no tunnels join to the others.
    Partitioned => "partitioned",
    /// A router or a node without an AS number.
    NoAsn => "no-asn",
    /// Two statements that cannot both hold.
    Contradiction => "contradiction",
    /// A site without a router.
    NoRouter => "no-router",
    /// Two ends of a tunnel that cannot reach each other.
    UnreachableTunnel => "unreachable-tunnel",
    /// An even number of etcd members: one more would tolerate as many failures (a warning).
    EvenEtcd => "even-etcd",
    /// No node has the control-plane role.
    NoControlPlane => "no-control-plane",
    /// No node has the etcd role.
    NoEtcd => "no-etcd",
    /// A field that this tool needs and the inventory lacks.
    Needed => "needed",
    /// A setting that the component does not have in that version.
    UnknownSetting => "unknown-setting",
    /// A setting that kmh derives and nobody may set.
    DerivedSetting => "derived-setting",
    /// A setting overridden nearer to the machine (a warning).
    Overridden => "overridden",
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Text of an input in backticks, with control characters escaped, and not more of it than a message bears.
pub fn quoted(text: &str) -> String {
    const MOST: usize = 80;
    let mut shown = String::from("`");
    for c in text.chars().take(MOST) {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown.push('`');
    shown
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The input is refused.
    Error,
    /// Said, and refused only with `--strict`.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind of defect.
    pub code: Code,
    /// Error or warning.
    pub level: Level,
    /// Where in the document, such as `spec.sites[1].routers[0]`; empty for the whole.
    pub path: String,
    /// Line and column, when the input has lines.
    pub place: Option<Place>,
    /// Lower case, no final stop, values in backticks.
    pub message: String,
    /// Why, when the message alone does not say.
    pub cause: Option<String>,
    /// How to go on.
    pub hint: Option<String>,
}

impl Problem {
    /// An error at `path`.
    pub fn error(code: Code, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code,
            level: Level::Error,
            path: path.into(),
            place: None,
            message: message.into(),
            cause: None,
            hint: None,
        }
    }

    /// A warning at `path`.
    pub fn warning(code: Code, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::error(code, path, message) }
    }

    /// With the cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// With a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// At a line and column.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }
}

/// All problems of one input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// All of another set.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Whether any of them refuses the input.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|p| p.level == Level::Error)
    }

    /// Whether there is none, warnings included.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sorted by place, then path, then code; without repetitions.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.0.sort_by(|a, b| {
            (a.place, &a.path, a.code, &a.message).cmp(&(b.place, &b.path, b.code, &b.message))
        });
        self.0.dedup();
        self
    }

    /// All, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
