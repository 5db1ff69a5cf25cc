//! What every tool's command line has.

use std::io::Write as _;
use std::path::PathBuf;

use clap::builder::StyledStr;
use clap::{Args, Parser, ValueEnum};

use crate::env::Env;
use crate::exit::Exit;
use crate::{output, schema, usage};

/// Options of every tool; flatten it into the tool's own parser. All are global: before or after the verb.
#[derive(Args, Clone, Debug, Default)]
pub struct Common {
    /// Read documents from FILE instead of stdin; `-` is stdin; may be repeated
    #[arg(short, long, value_name = "FILE", global = true)]
    pub input: Vec<PathBuf>,
    /// What to print: json (the stream, default in a pipe), text (default on a terminal), ansible
    #[arg(short, long, value_name = "FORMAT", global = true)]
    pub output: Option<Format>,
    /// Print the own document only, not those that were read
    #[arg(long, global = true)]
    pub only: bool,
    /// Write the result to FILE, atomically, instead of stdout; untouched when nothing changed
    #[arg(long, value_name = "FILE", global = true)]
    pub write: Option<PathBuf>,
    /// Say what would be done, and do nothing
    #[arg(long, alias = "check", global = true)]
    pub dry_run: bool,
    /// Treat warnings as errors
    #[arg(long, global = true)]
    pub strict: bool,
    /// Say nothing but errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more; twice for more still
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Colour messages: auto, always, never
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true)]
    pub color: Color,
    /// Only these machines: names, `site=NAME`, `role=NAME`, separated by commas
    #[arg(long, value_name = "WHICH", value_delimiter = ',', global = true)]
    pub limit: Vec<String>,
    /// Print the JSON Schema of a kind, such as `kmh.bundle/v1`, and exit
    #[arg(long, value_name = "KIND", global = true)]
    pub schema: Option<String>,
}

/// What is printed on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The stream of documents.
    Json,
    /// For people.
    Text,
    /// One object in the shape of an Ansible module's result.
    Ansible,
    /// A picture.
    #[value(hide = true)]
    Svg,
    /// A graph for graphviz.
    #[value(hide = true)]
    Dot,
    /// A graph for Markdown pages.
    #[value(hide = true)]
    Mermaid,
}

impl Format {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
            Self::Ansible => "ansible",
            Self::Svg => "svg",
            Self::Dot => "dot",
            Self::Mermaid => "mermaid",
        }
    }
}

/// When messages are coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Common {
    /// Whether to colour what goes to standard error.
    pub(crate) fn colored(&self, env: &Env) -> bool {
        colored(self.color, env, env.stderr_is_terminal)
    }
}

/// <https://no-color.org>, and terminals that say they cannot.
fn colored(when: Color, env: &Env, terminal: bool) -> bool {
    match when {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            terminal && env.var("NO_COLOR").is_none() && env.var("TERM").is_none_or(|term| term != "dumb")
        }
    }
}

/// Parses the command line. Help and version go to stdout (`Err(Exit::Done)`), mistakes to stderr (`Err(Exit::Wrong)`).
/// `--schema` is answered here, before anything else is asked for.
pub fn parse<P: Parser>(env: &mut Env) -> Result<P, Exit> {
    let tool = P::command().get_name().to_owned();
    if let Some(kind) = early(env, "--schema", None) {
        return Err(schema::answer(env, &tool, &kind));
    }
    let errors = match usage::parse::<P>(&env.args) {
        Ok(parsed) => return Ok(parsed),
        Err(errors) => errors,
    };
    let when =
        early(env, "--color", None).and_then(|word| Color::from_str(&word, true).ok()).unwrap_or_default();
    let plain_or = |terminal: bool, env: &Env| {
        let color = colored(when, env, terminal);
        move |styled: &StyledStr| if color { styled.ansi().to_string() } else { styled.to_string() }
    };
    if let [error] = &errors[..]
        && !error.use_stderr()
    {
        let text = plain_or(env.stdout_is_terminal, env)(&error.render());
        return Err(output::whole(env, &tool, &[text.as_bytes()], Exit::Done));
    }
    let summary = usage::summary(&errors);
    let text = usage::render(&tool, errors, plain_or(env.stderr_is_terminal, env));
    let _ = env.stderr.write_all(text.as_bytes());
    if early(env, "--output", Some("-o")).is_some_and(|format| format == "ansible") {
        let line = output::ansible_failure(&summary);
        let _ = output::whole(env, &tool, &[line.as_bytes()], Exit::Wrong);
    }
    Err(Exit::Wrong)
}

/// The value of an option on a command line that was not parsed, or cannot be.
fn early(env: &Env, long: &str, short: Option<&str>) -> Option<String> {
    let mut args = env.args.iter().skip(1).map(|arg| arg.to_string_lossy()).take_while(|arg| arg != "--");
    while let Some(arg) = args.next() {
        if arg == long || short.is_some_and(|short| arg == short) {
            return args.next().map(std::borrow::Cow::into_owned);
        }
        let rest = arg.strip_prefix(long).and_then(|rest| rest.strip_prefix('='));
        let rest = rest.or_else(|| short.and_then(|short| arg.strip_prefix(short)));
        if let Some(value) = rest {
            return Some(value.trim_start_matches('=').to_owned());
        }
    }
    None
}
