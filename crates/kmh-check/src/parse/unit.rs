//! systemd units (systemd.syntax(7)), and the command lines in them.

use nom::IResult;
use nom::Parser as _;
use nom::branch::alt;
use nom::bytes::complete::{is_not, take_while1};
use nom::character::complete::{anychar, char, multispace0};
use nom::combinator::map;
use nom::multi::{many0, many1};
use nom::sequence::{delimited, preceded};

/// A unit: its assignments in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unit {
    entries: Vec<(String, String, String)>,
}

impl Unit {
    /// Reads a unit.
    pub(crate) fn read(text: &str) -> Self {
        let mut unit = Self::default();
        let mut section = String::new();
        for line in joined(text) {
            let line = line.trim();
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                name.clone_into(&mut section);
            } else if let Some((key, value)) = line.split_once('=') {
                unit.entries.push((section.clone(), key.trim().to_owned(), value.trim().to_owned()));
            }
        }
        unit
    }

    /// The values of a key.
    pub(crate) fn values<'u>(&'u self, section: &'u str, key: &'u str) -> impl Iterator<Item = &'u str> {
        self.entries
            .iter()
            .filter(move |(s, k, _)| s == section && k == key)
            .map(|(_, _, value)| value.as_str())
    }

    /// The commands that it starts, before and after included.
    pub(crate) fn commands(&self) -> Vec<Command> {
        const KEYS: [&str; 5] = ["ExecStartPre", "ExecStart", "ExecStartPost", "ExecReload", "ExecStop"];
        let starts = self.entries.iter().filter(|(s, k, _)| s == "Service" && KEYS.contains(&k.as_str()));
        starts.filter_map(|(_, _, value)| Command::read(value)).collect()
    }
}

/// Lines with continuations joined and comments left out.
fn joined(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        // A comment between continued lines is left out too (systemd.syntax(7)).
        if line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        let (piece, more) = line.strip_suffix('\\').map_or((line, false), |piece| (piece, true));
        match lines.last_mut() {
            Some(last) if open => {
                last.push(' ');
                last.push_str(piece);
            }
            _ => lines.push(piece.to_owned()),
        }
        open = more;
    }
    lines
}

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    /// The program's path.
    pub(crate) program: String,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
}

impl Command {
    /// Reads an `Exec…=` value.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (_, mut words) = words(text).ok()?;
        if words.is_empty() {
            return None;
        }
        let program = words.remove(0).trim_start_matches(['-', '@', ':', '+', '!']).to_owned();
        Some(Self { program, arguments: words })
    }

    /// The program's name without its folder.
    pub(crate) fn name(&self) -> &str {
        self.program.rsplit('/').next().unwrap_or_default()
    }

    /// The flags: name without dashes, and value, `true` where none is written.
    pub(crate) fn flags(&self) -> Vec<(&str, &str)> {
        let mut found = Vec::new();
        let mut words = self.arguments.iter().map(String::as_str).peekable();
        while let Some(word) = words.next() {
            let Some(flag) =
                word.strip_prefix("--").or_else(|| word.strip_prefix('-')).filter(|f| !f.is_empty())
            else {
                continue;
            };
            match flag.split_once('=') {
                Some(pair) => found.push(pair),
                // `--flag value`, which Go's programs take for all but booleans.
                None => found.push((flag, words.next_if(|next| !next.starts_with('-')).unwrap_or("true"))),
            }
        }
        found
    }

    /// The value of a flag; the last one counts.
    pub(crate) fn flag(&self, name: &str) -> Option<&str> {
        self.flags().into_iter().rev().find(|(flag, _)| *flag == name).map(|(_, value)| value)
    }
}

fn words(text: &str) -> IResult<&str, Vec<String>> {
    many0(preceded(multispace0, word)).parse(text)
}

fn word(text: &str) -> IResult<&str, String> {
    map(many1(alt((single, double, escaped, plain))), |pieces| pieces.concat()).parse(text)
}

fn plain(text: &str) -> IResult<&str, String> {
    map(take_while1(|c: char| !c.is_whitespace() && !"\"'\\".contains(c)), str::to_owned).parse(text)
}

fn escaped(text: &str) -> IResult<&str, String> {
    map(preceded(char('\\'), anychar), String::from).parse(text)
}

fn single(text: &str) -> IResult<&str, String> {
    map(delimited(char('\''), many0(is_not("'")), char('\'')), |pieces| pieces.concat()).parse(text)
}

fn double(text: &str) -> IResult<&str, String> {
    let piece = alt((escaped, map(is_not("\"\\"), str::to_owned)));
    map(delimited(char('"'), many0(piece), char('"')), |pieces: Vec<String>| pieces.concat()).parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_read_as_systemd_reads_it() {
        let unit = Unit::read(
            "# c\n[Service]\nUser=etcd\nExecStart=/usr/local/bin/x --a=1 \\\n# in between\n  --b \\\n  --c 'd e' \"f\\\"g\"\nRestart=always\n",
        );
        let commands = unit.commands();
        assert_eq!(commands.len(), 1);
        assert_eq!((commands[0].name(), commands[0].program.as_str()), ("x", "/usr/local/bin/x"));
        assert_eq!(commands[0].flags(), [("a", "1"), ("b", "true"), ("c", "d e")]);
        assert_eq!(commands[0].arguments.last().map(String::as_str), Some("f\"g"));
        assert_eq!(unit.values("Service", "Restart").collect::<Vec<_>>(), ["always"]);
    }

    #[test]
    fn the_last_flag_counts_and_prefixes_are_no_part_of_the_program() {
        let command = Command::read("-+/bin/x --a=1 --a=2").unwrap();
        assert_eq!(
            (command.program.as_str(), command.flag("a"), command.flag("b")),
            ("/bin/x", Some("2"), None)
        );
    }
}
