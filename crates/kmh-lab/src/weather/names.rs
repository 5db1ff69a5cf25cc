//! What can break in a lab, as the command line and `lab.json` name it: `tunnel/a--b`, `node/pi-1 --clean`,
//! `uplink/gw/dsl --rtt 80`.

use std::collections::BTreeSet;
use std::fmt;

use kmh_cli::Failure;
use kmh_cli::text::printable;
use kmh_route::Down;

/// Kinds of things that break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A tunnel.
    Tunnel,
    /// A router's line to the Internet: `ROUTER/LINE`.
    Uplink,
    /// A router.
    Router,
    /// A site: its routers and nodes.
    Site,
    /// A node.
    Node,
    /// A daemon: `MACHINE:DAEMON`.
    Daemon,
}

/// Kinds by the command line's words.
const KINDS: [(&str, Kind); 6] = [
    ("tunnel", Kind::Tunnel),
    ("uplink", Kind::Uplink),
    ("router", Kind::Router),
    ("site", Kind::Site),
    ("node", Kind::Node),
    ("daemon", Kind::Daemon),
];

/// How something is broken.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(crate) enum How {
    /// Packets vanish and interfaces stay up; a daemon hangs.
    Silent,
    /// Interfaces go down and daemons are stopped in order.
    Clean,
    /// A daemon was killed without a word to it.
    Killed,
    /// A line is slow.
    Slow(Slowness),
}

/// What a slow line is like. What is not said stays as the inventory has it.
#[derive(Clone, Debug, Default, PartialEq, PartialOrd)]
pub(crate) struct Slowness {
    /// Round trip in milliseconds.
    pub rtt: Option<u16>,
    /// Lost packets in each direction, percent.
    pub loss: Option<u8>,
    /// Rate, as `tc` takes it.
    pub rate: Option<String>,
}

/// Something that is broken.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(crate) struct Broken {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// How.
    pub how: How,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(KINDS.iter().find(|(_, kind)| kind == self).map_or("", |(word, _)| word))
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => Ok(()),
            Self::Clean => f.write_str(" --clean"),
            Self::Killed => f.write_str(" --killed"),
            Self::Slow(Slowness { rtt, loss, rate }) => {
                rtt.iter().try_for_each(|rtt| write!(f, " --rtt {rtt}"))?;
                loss.iter().try_for_each(|loss| write!(f, " --loss {loss}"))?;
                rate.iter().try_for_each(|rate| write!(f, " --rate {rate}"))
            }
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.kind, self.name, self.how)
    }
}

impl Broken {
    /// Without how.
    pub(crate) fn what(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }

    /// From `KIND/NAME`, broken in that way.
    pub(crate) fn named(text: &str, how: How) -> Option<Self> {
        let (word, name) = text.split_once('/').filter(|(_, name)| !name.is_empty())?;
        let (_, kind) = KINDS.iter().find(|(own, _)| *own == word)?;
        Some(Self { kind: *kind, name: name.to_owned(), how })
    }

    /// Whether a line is only slow.
    pub(crate) fn is_slow(&self) -> bool {
        matches!(self.how, How::Slow(_))
    }
}

/// What a lab remembers, in order.
pub(crate) fn remembered(cut: &BTreeSet<String>) -> Vec<Broken> {
    cut.iter().filter_map(|text| one(text)).collect()
}

fn one(text: &str) -> Option<Broken> {
    let mut words = text.split(' ');
    let what = words.next()?;
    let mut slowness = Slowness::default();
    let mut how = How::Silent;
    while let Some(word) = words.next() {
        match word {
            "--clean" => how = How::Clean,
            "--killed" => how = How::Killed,
            "--rtt" => slowness.rtt = words.next()?.parse().ok(),
            "--loss" => slowness.loss = words.next()?.parse().ok(),
            "--rate" => slowness.rate = words.next().map(str::to_owned),
            _ => return None,
        }
    }
    if slowness != Slowness::default() {
        how = How::Slow(slowness);
    }
    Broken::named(what, how)
}

/// Names of everything that can break, as the command line writes them.
pub(crate) fn known(everything: &Down, daemons: &BTreeSet<String>) -> Vec<String> {
    let mut names = everything.names();
    names.extend(daemons.iter().map(|daemon| format!("{}/{daemon}", Kind::Daemon)));
    names
}

/// What these words name, all of them broken in that way; every word that names nothing is refused, with the nearest
/// name.
pub(crate) fn wanted(words: &[String], how: &How, known: &[String]) -> Result<Vec<Broken>, Failure> {
    let mut found = Vec::new();
    let mut failures = Vec::new();
    for word in words {
        match Broken::named(word, how.clone()) {
            Some(broken) if known.contains(word) => found.push(broken),
            Some(broken) => failures.push(unknown(&broken, known)),
            None => failures.push(no_name(word, known)),
        }
    }
    Failure::all(failures).map_or(Ok(found), Err)
}

fn unknown(broken: &Broken, known: &[String]) -> Failure {
    let failure = Failure::wrong(format!("the lab has no {} `{}`", broken.kind, printable(&broken.name)));
    let what = broken.what();
    let prefix = format!("{}/", broken.kind);
    let same: Vec<&str> = known.iter().map(String::as_str).filter(|name| name.starts_with(&prefix)).collect();
    if let Some(hint) = kmh_doc::decode::nearest(&what, &same).or_else(|| elsewhere(&broken.name, known)) {
        return failure.hint(hint);
    }
    if same.is_empty() { failure } else { failure.hint(format!("it has {}", some_of(&same))) }
}

/// The same name under another kind.
fn elsewhere(name: &str, known: &[String]) -> Option<String> {
    let named = known.iter().find(|known| known.split_once('/').is_some_and(|(_, own)| own == name))?;
    Some(format!("did you mean `{named}`?"))
}

fn no_name(word: &str, known: &[String]) -> Failure {
    let failure = Failure::wrong(format!("`{}` names nothing that can break", printable(word)));
    let near = elsewhere(word, known).or_else(|| kmh_doc::decode::nearest(word, known));
    failure.hint(near.unwrap_or_else(|| {
        "write `tunnel/NAME`, `uplink/ROUTER/LINE`, `router/NAME`, `site/NAME`, `node/NAME` or \
         `daemon/MACHINE:DAEMON`"
            .to_owned()
    }))
}

/// The first of many names.
pub(crate) fn some_of(names: &[&str]) -> String {
    const SHOWN: usize = 12;
    let mut text = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(", …");
    }
    text
}

/// What a prediction is asked with: lines that are only slow, and daemons, are not down.
pub(crate) fn down(broken: &[Broken]) -> Down {
    let mut down = Down::default();
    for one in broken.iter().filter(|one| !one.is_slow() && one.kind != Kind::Daemon) {
        // The kinds are those of `Down`.
        let _ = down.add(&one.what());
    }
    down
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        let mut down = Down::default();
        for name in [
            "tunnel/fw-attic--gw-vps",
            "tunnel/fw-attic--fw-flat",
            "uplink/fw-attic/dsl",
            "router/fw-attic",
            "site/attic",
            "node/pi-1",
        ] {
            down.add(name).unwrap();
        }
        known(&down, &BTreeSet::from(["pi-1:bird".to_owned()]))
    }

    #[test]
    fn what_is_remembered_is_what_was_broken() {
        let texts = [
            "daemon/pi-1:bird --killed",
            "node/pi-1",
            "tunnel/a--b --clean",
            "uplink/gw/dsl",
            "uplink/gw/dsl --rtt 80 --loss 2 --rate 10mbit",
        ];
        let cut: BTreeSet<String> = texts.map(str::to_owned).into();
        let broken = remembered(&cut);
        assert_eq!(broken.iter().map(ToString::to_string).collect::<Vec<_>>(), texts);
        assert_eq!(
            broken[4].how,
            How::Slow(Slowness { rtt: Some(80), loss: Some(2), rate: Some("10mbit".into()) })
        );
        assert_eq!(down(&broken).names(), ["tunnel/a--b", "uplink/gw/dsl", "node/pi-1"]);
    }

    #[test]
    fn wrong_names_are_refused_all_at_once_each_with_the_nearest() {
        let words = ["tunnel/fw-atic--gw-vps", "node/zebra", "pi-1", "router/pi-1", "wire", "node/pi-1"];
        let failure = wanted(&words.map(str::to_owned), &How::Silent, &names()).unwrap_err();
        assert_eq!(failure.exit, kmh_cli::Exit::Wrong);
        let said: Vec<(String, String)> =
            failure.notes.into_iter().map(|note| (note.message, note.hints.join(""))).collect();
        let expected = [
            ("the lab has no tunnel `fw-atic--gw-vps`", "did you mean `tunnel/fw-attic--gw-vps`?"),
            ("the lab has no node `zebra`", "it has `node/pi-1`"),
            ("`pi-1` names nothing that can break", "did you mean `node/pi-1`?"),
            ("the lab has no router `pi-1`", "did you mean `node/pi-1`?"),
            (
                "`wire` names nothing that can break",
                "write `tunnel/NAME`, `uplink/ROUTER/LINE`, `router/NAME`, `site/NAME`, `node/NAME` or `daemon/MACHINE:DAEMON`",
            ),
        ];
        assert_eq!(said, expected.map(|(what, hint)| (what.to_owned(), hint.to_owned())));
        let found = wanted(&["daemon/pi-1:bird".to_owned()], &How::Clean, &names()).unwrap();
        assert_eq!(found[0].to_string(), "daemon/pi-1:bird --clean");
    }
}
