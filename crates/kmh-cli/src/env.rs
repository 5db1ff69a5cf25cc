//! The environment of a run. A program is a function of it, so whole runs are tested in process.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use time::macros::datetime;

use crate::exit::Exit;

/// Everything that a program gets from outside, files and network aside.
pub struct Env {
    /// The arguments, the program's name first.
    pub args: Vec<OsString>,
    /// Environment variables.
    pub vars: BTreeMap<OsString, OsString>,
    /// Standard input.
    pub stdin: Box<dyn Read + Send>,
    /// Whether it is a terminal.
    pub stdin_is_terminal: bool,
    /// Standard output.
    pub stdout: Box<dyn Write + Send>,
    /// Whether it is a terminal.
    pub stdout_is_terminal: bool,
    /// Standard error.
    pub stderr: Box<dyn Write + Send>,
    /// Whether it is a terminal.
    pub stderr_is_terminal: bool,
    /// The time at the start of the run, UTC.
    pub now: time::OffsetDateTime,
}

/// What a run in a fake environment wrote.
#[derive(Clone, Default)]
pub struct Captured {
    /// To standard output.
    pub stdout: Arc<Mutex<Vec<u8>>>,
    /// To standard error.
    pub stderr: Arc<Mutex<Vec<u8>>>,
}

impl Captured {
    /// What was written to standard output.
    pub fn stdout_text(&self) -> String {
        text(&self.stdout)
    }

    /// What was written to standard error.
    pub fn stderr_text(&self) -> String {
        text(&self.stderr)
    }
}

fn text(bytes: &Mutex<Vec<u8>>) -> String {
    String::from_utf8_lossy(&bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}

/// A writer whose bytes the test reads afterwards.
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Env {
    /// The real one.
    #[allow(clippy::disallowed_methods, reason = "this is where the time comes in")]
    pub fn real() -> Self {
        Self {
            args: std::env::args_os().collect(),
            vars: std::env::vars_os().collect(),
            stdin: unbuffered(&io::stdin())
                .map_or_else(|| Box::new(io::stdin()) as _, |file| Box::new(file) as _),
            stdin_is_terminal: io::stdin().is_terminal(),
            stdout: unbuffered(&io::stdout())
                .map_or_else(|| Box::new(io::stdout()) as _, |file| Box::new(file) as _),
            stdout_is_terminal: io::stdout().is_terminal(),
            stderr: Box::new(io::stderr()),
            stderr_is_terminal: io::stderr().is_terminal(),
            now: time::OffsetDateTime::now_utc(),
        }
    }

    /// A fake one: these arguments (the program's name first), this standard input, no variables, no terminal, and
    /// a clock that stands at noon of 2026-11-22.
    pub fn fake<A: Into<OsString>>(
        args: impl IntoIterator<Item = A>,
        stdin: impl Into<Vec<u8>>,
    ) -> (Self, Captured) {
        let captured = Captured::default();
        let env = Self {
            args: args.into_iter().map(Into::into).collect(),
            vars: BTreeMap::new(),
            stdin: Box::new(io::Cursor::new(stdin.into())),
            stdin_is_terminal: false,
            stdout: Box::new(Shared(Arc::clone(&captured.stdout))),
            stdout_is_terminal: false,
            stderr: Box::new(Shared(Arc::clone(&captured.stderr))),
            stderr_is_terminal: false,
            now: datetime!(2026-11-22 12:00 UTC),
        };
        (env, captured)
    }

    /// The store: what the command line names, or else `KMH_STORE`.
    ///
    /// Not by clap's `env`, which reads the variables of the process: a run knows its own alone.
    pub fn store(&self, named: Option<PathBuf>) -> Option<PathBuf> {
        named.or_else(|| self.var("KMH_STORE").map(PathBuf::from))
    }

    /// The file of age identities: what the command line names, or else `KMH_IDENTITY`.
    pub fn identity(&self, named: Option<PathBuf>) -> Option<PathBuf> {
        named.or_else(|| self.var("KMH_IDENTITY").map(PathBuf::from))
    }

    /// An environment variable, when it is set and not empty.
    pub fn var(&self, name: &str) -> Option<&std::ffi::OsStr> {
        self.vars.get(std::ffi::OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }
}

/// The same stream without a buffer: streams are read and written whole, and an error shows at once.
fn unbuffered(stream: &impl AsFd) -> Option<File> {
    stream.as_fd().try_clone_to_owned().ok().map(File::from)
}

/// Runs a program in the real environment: what each `main.rs` calls.
pub fn main(run: fn(&mut Env) -> Exit) -> ExitCode {
    ExitCode::from(run(&mut Env::real()) as u8)
}
