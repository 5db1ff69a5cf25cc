//! What a running filter has at hand: the time, variables, and a voice on standard error.
#![allow(clippy::disallowed_methods, reason = "progress is paced by the clock; no result depends on it")]

use std::io::Write as _;
use std::time::{Duration, Instant};

use kmh_doc::Problems;

use crate::args::{Common, Format};
use crate::env::Env;
use crate::exit::Exit;
use crate::failure::{Failure, Note, render};
use crate::filter::format;
use crate::stream::Source;
use crate::text::printable;

/// How long a run stays silent about its progress.
const SILENCE: Duration = Duration::from_secs(1);
/// How often it then speaks at most.
const PACE: Duration = Duration::from_millis(100);

/// What a running filter has at hand: the time, variables, and a voice on stderr.
pub struct Context<'a> {
    /// The environment; its stdin has been read already.
    pub env: &'a mut Env,
    /// The common options.
    pub common: &'a Common,
    /// The tool's name.
    pub tool: &'static str,
    warnings: usize,
    /// When progress may be shown next.
    next_progress: Instant,
    progress_is_shown: bool,
}

impl<'a> Context<'a> {
    pub(crate) fn new(env: &'a mut Env, common: &'a Common, tool: &'static str) -> Self {
        let next_progress = Instant::now() + SILENCE;
        Self { env, common, tool, warnings: 0, next_progress, progress_is_shown: false }
    }

    /// Whether what happened is told in full: to Ansible, or by `-v`. A tool need not put together what nobody reads.
    pub fn tells_changes(&self) -> bool {
        self.common.verbose > 0 || format(self.env, self.common) == Format::Ansible
    }

    /// Whether the result is printed for people.
    pub fn prints_text(&self) -> bool {
        format(self.env, self.common) == Format::Text
    }

    /// Says a warning on stderr; with `--strict` it makes the run fail in the end (the frame sees to it).
    pub fn warn(&mut self, message: &str) {
        let note =
            Note { warning: true, message: message.to_owned(), at: vec![], causes: vec![], hints: vec![] };
        self.warn_notes(&[note]);
    }

    /// Says all problems of an input that were only warnings.
    pub fn warn_all(&mut self, source: &Source, problems: &Problems) {
        let notes: Vec<Note> =
            problems.iter().map(|problem| Note { warning: true, ..Note::of(source, problem) }).collect();
        self.warn_notes(&notes);
    }

    pub(crate) fn warn_notes(&mut self, notes: &[Note]) {
        self.warnings += notes.len();
        // With --strict they are the reason of a failure, which -q does not hide.
        if !notes.is_empty() && (self.common.strict || !self.common.quiet) {
            self.put(&render(self.tool, self.common.colored(self.env), notes));
        }
    }

    /// With `--strict`, refuses to go on after a warning. The frame asks before a document is written; a tool that changes
    /// the world asks before it does.
    pub fn refuse_if_strict(&self) -> Result<(), Failure> {
        if self.common.strict && self.warnings > 0 {
            let count = if self.warnings == 1 {
                "a warning".to_owned()
            } else {
                format!("{} warnings", self.warnings)
            };
            return Err(Failure::new(Exit::No, format!("{count} with --strict")));
        }
        Ok(())
    }

    /// Says something on stderr unless `-q`.
    pub fn say(&mut self, message: &str) {
        if !self.common.quiet && !message.is_empty() {
            let text = printable(message).replace('\n', "\n    ");
            self.put(&format!("{}: {text}\n", self.tool));
        }
    }

    /// Shows a text for people on stderr unless `-q`, as it would stand on stdout.
    pub(crate) fn show(&mut self, text: &str) {
        if !self.common.quiet {
            self.put(&format!("{}\n", printable(text.trim_end())));
        }
    }

    /// Whether the run ends with a text for people. It tells everything then; what is said on the way need not.
    pub fn ends_in_text(&self) -> bool {
        format(self.env, self.common) == Format::Text
    }

    /// Says something on stderr with `-v`.
    pub fn detail(&mut self, message: &str) {
        if self.common.verbose > 0 {
            self.say(message);
        }
    }

    /// Shows on a terminal how far the work is, once it has taken more than a second. The next message takes its place.
    pub fn progress(&mut self, message: &str) {
        if !self.env.stderr_is_terminal || self.common.quiet {
            return;
        }
        let now = Instant::now();
        if now >= self.next_progress {
            self.next_progress = now + PACE;
            self.quiet_progress();
            let line: String = printable(message).chars().filter(|c| !c.is_control()).take(60).collect();
            let _ = self.env.stderr.write_all(format!("{}: {line}", self.tool).as_bytes());
            let _ = self.env.stderr.flush();
            self.progress_is_shown = true;
        }
    }

    /// Takes the line of progress away.
    pub(crate) fn quiet_progress(&mut self) {
        if std::mem::take(&mut self.progress_is_shown) {
            // Back to the first column; erase to the end of the line (ECMA-48, EL).
            let _ = self.env.stderr.write_all(b"\r\x1b[K");
        }
    }

    pub(crate) fn fail(&mut self, failure: &Failure) {
        let text = failure.render(self.tool, self.common.colored(self.env));
        self.put(&text);
    }

    /// One write, so that the lines of a pipe's tools do not mix.
    fn put(&mut self, text: &str) {
        self.quiet_progress();
        let _ = self.env.stderr.write_all(text.as_bytes());
    }

    /// Whether a machine is chosen by `--limit`; without it every one is. `roles` by their names in the inventory.
    pub fn chosen(&self, name: &str, site: Option<&str>, roles: &[&str]) -> bool {
        let limit = &self.common.limit;
        limit.is_empty() || limit.iter().any(|selector| selects(selector, name, site, roles))
    }

    /// Refuses a `--limit` that selects none of these machines (name, site, roles): a mistyped name must not pass for
    /// "nothing to do".
    pub fn check_limit<'m>(
        &self,
        machines: impl IntoIterator<Item = (&'m str, Option<&'m str>, Vec<&'m str>)>,
    ) -> Result<(), Failure> {
        let machines: Vec<_> = machines.into_iter().collect();
        let idle = self.common.limit.iter().filter(|selector| {
            !machines.iter().any(|(name, site, roles)| selects(selector, name, *site, roles))
        });
        let names: Vec<&str> = machines.iter().map(|(name, ..)| *name).collect();
        let failures = idle.map(|selector| {
            Failure::wrong(format!("`--limit {selector}` selects no machine"))
                .hint(format!("the machines are {}", names.join(", ")))
        });
        Failure::all(failures).map_or(Ok(()), Err)
    }

    /// Refuses a selector that can select nothing.
    pub(crate) fn check_selectors(&self) -> Result<(), Failure> {
        let odd = self.common.limit.iter().filter(|selector| {
            selector.is_empty()
                || selector.split_once('=').is_some_and(|(key, _)| !matches!(key, "site" | "role"))
        });
        let failures = odd.map(|selector| {
            Failure::wrong(format!("`--limit {selector}` selects nothing"))
                .hint("write names, `site=NAME` or `role=NAME`, separated by commas")
        });
        Failure::all(failures).map_or(Ok(()), Err)
    }
}

fn selects(selector: &str, name: &str, site: Option<&str>, roles: &[&str]) -> bool {
    match selector.split_once('=') {
        Some(("site", wanted)) => site == Some(wanted),
        Some(("role", wanted)) => roles.contains(&wanted),
        Some(_) => false,
        None => selector == name,
    }
}
