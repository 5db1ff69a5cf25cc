//! Commands for the guest, from outside.
#![allow(clippy::disallowed_methods, reason = "whoever waits for another machine waits by the clock")]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use kmh_cli::{Failure, file};
use rustix::fs::{FlockOperation, flock};

use super::wire::{self, Kind, NONCE, Request};

/// How many commands can run at the same time.
pub const PORTS: usize = 8;
/// After so long without an answer a request begins once more: its beginning was lost in what somebody left.
const AGAIN: Duration = Duration::from_secs(2);
/// How long to wait for a port while all are in use.
const BUSY: Duration = Duration::from_secs(10);

/// Where a command's output goes.
pub struct Streams<'s> {
    /// Its standard input; none: empty.
    pub input: Option<Box<dyn Read + Send>>,
    /// Its standard output.
    pub output: &'s mut dyn Write,
    /// Its standard error.
    pub error: &'s mut dyn Write,
}

/// The socket of a port.
pub fn socket(folder: &Path, port: usize) -> std::path::PathBuf {
    folder.join(format!("port{port}"))
}

/// Runs a command in the guest and gives its code. `alive` is asked while the guest is silent: it says why to wait no
/// longer.
pub fn run(
    folder: &Path,
    request: &Request,
    streams: Streams<'_>,
    alive: &dyn Fn() -> Result<(), Failure>,
) -> Result<u8, Failure> {
    let failed = |error: io::Error| Failure::world("the guest does not answer").because(file::plain(&error));
    let (_lock, mut stream) = take(folder)?;
    let mut nonce = [0; NONCE];
    File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut nonce)).map_err(failed)?;
    greet(&mut stream, &nonce, alive)?;
    stream.set_read_timeout(None).map_err(failed)?;
    let text = serde_json::to_vec(request).map_err(|error| Failure::world("request").because(error))?;
    wire::send(&mut stream, Kind::Request, &text).map_err(failed)?;
    match streams.input {
        None => wire::send(&mut stream, Kind::Input, &[]).map_err(failed)?,
        Some(mut input) => {
            let mut to = stream.try_clone().map_err(failed)?;
            thread::spawn(move || -> io::Result<()> {
                let mut buffer = vec![0; wire::CHUNK];
                loop {
                    let octets = input.read(&mut buffer)?;
                    wire::send(&mut to, Kind::Input, buffer.get(..octets).unwrap_or_default())?;
                    if octets == 0 {
                        return Ok(());
                    }
                }
            });
        }
    }
    let shown = |done: io::Result<()>| {
        done.map_err(|error| Failure::world("cannot show what the guest says").because(file::plain(&error)))
    };
    loop {
        let (kind, payload) =
            wire::receive(&mut stream).map_err(|error| alive().err().unwrap_or_else(|| failed(error)))?;
        match kind {
            Kind::Output => shown(streams.output.write_all(&payload).and_then(|()| streams.output.flush()))?,
            Kind::Error => shown(streams.error.write_all(&payload).and_then(|()| streams.error.flush()))?,
            Kind::Exit => return Ok(payload.first().copied().unwrap_or(u8::MAX)),
            Kind::Refused => {
                let program = request.argv.first().map_or("", String::as_str);
                return Err(Failure::world(format!("the guest cannot run {program}"))
                    .because(String::from_utf8_lossy(&payload)));
            }
            // The answer to a beginning that was sent twice.
            Kind::Hello | Kind::Request | Kind::Input => {}
        }
    }
}

/// A port that nobody uses; it is ours while the lock is held.
fn take(folder: &Path) -> Result<(File, UnixStream), Failure> {
    let start = Instant::now();
    loop {
        for port in 0..PORTS {
            let path = folder.join(format!("port{port}.lock"));
            let lock = File::open(&path).map_err(|error| {
                Failure::world(format!("cannot open {}", path.display())).because(file::plain(&error))
            })?;
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
                let stream = UnixStream::connect(socket(folder, port)).map_err(|error| {
                    Failure::world("the guest is not there")
                        .because(file::plain(&error))
                        .hint("kmh-lab down, then up")
                })?;
                return Ok((lock, stream));
            }
        }
        if start.elapsed() > BUSY {
            return Err(Failure::world(format!("{PORTS} commands run in the guest already")));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Begins a request and waits until the guest says that it has begun.
fn greet(
    stream: &mut UnixStream,
    nonce: &[u8; NONCE],
    alive: &dyn Fn() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        alive()
            .err()
            .unwrap_or_else(|| Failure::world("the guest does not answer").because(file::plain(&error)))
    };
    stream.set_read_timeout(Some(AGAIN)).map_err(failed)?;
    loop {
        wire::hello(stream, nonce).map_err(failed)?;
        loop {
            match wire::await_hello(stream) {
                Ok(answer) if answer == *nonce => return Ok(()),
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    alive()?;
                    break;
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }
}
