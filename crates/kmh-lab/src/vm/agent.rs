//! What takes commands in the guest: one thread a serial port, one command at a time on each.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use kmh_cli::Failure;
use rustix::process::{Pid, Signal, kill_process_group};

use super::wire::{self, Kind, NONCE, Request};

/// What the names of our ports begin with.
pub const PORTS: &str = "kmh.";
/// How often a port that nobody uses is looked at: it cannot be waited for.
const PAUSE: Duration = Duration::from_millis(50);
/// How long output is awaited after a command's end: what it left running may keep its output open for ever.
const LINGER: Duration = Duration::from_secs(1);

/// Serves every port until the guest ends. It returns only to say why it cannot.
pub fn serve() -> Failure {
    let failed = |error: io::Error| {
        Failure::world("the guest has no serial ports of ours").because(kmh_cli::file::plain(&error))
    };
    match work() {
        Ok(()) => Failure::world("the guest's ports have ended"),
        Err(error) => failed(error),
    }
}

fn work() -> io::Result<()> {
    let ports = ports()?;
    if ports.is_empty() {
        return Err(io::Error::from(io::ErrorKind::NotFound));
    }
    #[allow(clippy::disallowed_methods, reason = "a device, not a file to be written whole")]
    let open = |path: PathBuf| File::options().read(true).write(true).open(path);
    let files = ports.into_iter().map(open).collect::<io::Result<Vec<_>>>()?;
    let threads: Vec<_> = files.into_iter().map(|port| thread::spawn(move || sessions(&port))).collect();
    for thread in threads {
        let _ = thread.join();
    }
    Ok(())
}

/// Our ports among the guest's: sysfs has their names.
fn ports() -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/sys/class/virtio-ports")? {
        let entry = entry?;
        let name = std::fs::read_to_string(entry.path().join("name")).unwrap_or_default();
        if name.starts_with(PORTS) {
            found.push(Path::new("/dev").join(entry.file_name()));
        }
    }
    Ok(found)
}

/// A port that is read until somebody comes: it gives nothing while nobody is at the other end.
struct Patient<'p>(&'p File);

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer)? {
                0 if !buffer.is_empty() => thread::sleep(PAUSE),
                octets => return Ok(octets),
            }
        }
    }
}

fn sessions(port: &File) {
    let mut next = None;
    loop {
        let nonce = match next.take() {
            Some(nonce) => nonce,
            None => match wire::await_hello(&mut Patient(port)) {
                Ok(nonce) => nonce,
                Err(_) => continue,
            },
        };
        next = wire::hello(&mut &*port, &nonce).ok().and_then(|()| session(port, nonce));
    }
}

/// The port as long as its session lasts: what a command says later is for nobody.
type Line = Arc<Mutex<Option<File>>>;

/// What a command in work has for others to use.
struct Running {
    group: Option<Pid>,
    over: Arc<AtomicBool>,
    input: Option<Sender<Vec<u8>>>,
    line: Line,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(mut line) = self.line.lock() {
            *line = None;
        }
        if let (Some(group), false) = (self.group, self.over.load(Ordering::SeqCst)) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// One request, until whoever sent it leaves. Gives the nonce of the next one when that has begun already.
fn session(port: &File, nonce: [u8; NONCE]) -> Option<[u8; NONCE]> {
    let mut running: Option<Running> = None;
    loop {
        let (kind, payload) = wire::receive(&mut &*port).ok()?;
        match (kind, running.as_mut()) {
            (Kind::Hello, _) => match <[u8; NONCE]>::try_from(payload) {
                Ok(again) if again == nonce => {}
                Ok(other) => return Some(other),
                Err(_) => return None,
            },
            (Kind::Request, None) => {
                let started = serde_json::from_slice(&payload)
                    .map_err(io::Error::other)
                    .and_then(|request| port.try_clone().and_then(|port| start(&request, port)));
                match started {
                    Ok(now) => running = Some(now),
                    Err(error) => {
                        wire::send(&mut &*port, Kind::Refused, kmh_cli::file::plain(&error).as_bytes())
                            .ok()?;
                    }
                }
            }
            (Kind::Input, Some(running)) if payload.is_empty() => running.input = None,
            (Kind::Input, Some(running)) => {
                // A command that closed its input does not want more.
                let _ = running.input.as_ref().map(|input| input.send(payload));
            }
            // Whoever speaks so is none of ours.
            _ => return None,
        }
    }
}

fn start(request: &Request, port: File) -> io::Result<Running> {
    let [program, arguments @ ..] = request.argv.as_slice() else {
        return Err(io::Error::other("an empty command"));
    };
    let mut command = Command::new(program);
    command.args(arguments).current_dir(&request.cwd).process_group(0);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let over = Arc::new(AtomicBool::new(false));
    let (input, chunks) = mpsc::channel::<Vec<u8>>();
    if let Some(mut stdin) = child.stdin.take() {
        thread::spawn(move || {
            for chunk in chunks {
                if stdin.write_all(&chunk).is_err() {
                    break;
                }
            }
        });
    }
    let line = Arc::new(Mutex::new(Some(port)));
    let (ended, to) = (over.clone(), line.clone());
    thread::spawn(move || attend(child, &to, &ended));
    Ok(Running { group, over, input: Some(input), line })
}

/// Sends what a command says, and its code in the end.
fn attend(mut child: Child, line: &Line, over: &AtomicBool) {
    let (done, pumps) = mpsc::channel();
    let stdout = child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>);
    let stderr = child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>);
    let mut open = 0;
    for (kind, pipe) in [(Kind::Output, stdout), (Kind::Error, stderr)] {
        let Some(mut pipe) = pipe else { continue };
        let (line, done) = (line.clone(), done.clone());
        open += 1;
        thread::spawn(move || {
            let mut buffer = vec![0; wire::CHUNK];
            while let Ok(octets @ 1..) = pipe.read(&mut buffer) {
                let chunk = buffer.get(..octets).unwrap_or_default();
                if !say(&line, kind, chunk) {
                    break;
                }
            }
            let _ = done.send(());
        });
    }
    let code = child.wait().map_or(u8::MAX, code);
    over.store(true, Ordering::SeqCst);
    for _ in 0..open {
        if pumps.recv_timeout(LINGER).is_err() {
            break;
        }
    }
    say(line, Kind::Exit, &[code]);
}

/// Says something, if somebody is still there to listen.
fn say(line: &Line, kind: Kind, chunk: &[u8]) -> bool {
    let Ok(mut line) = line.lock() else { return false };
    line.as_mut().is_some_and(|port| wire::send(port, kind, chunk).is_ok())
}

/// As the shell counts: a signal's number behind 128.
fn code(status: std::process::ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
