//! One remote command, proven to have ended.
//!
//! libssh2 gives exit status 0 also when none arrived: the shell was killed, sshd closed the channel on a timeout. So the
//! status is not read. The script ends its output with a line of a random nonce and its code; without that line the
//! command has failed, whatever else was said.
//!
//! The command is constant. It reads the size of the script, the nonce and the script itself from stdin, so that no
//! login shell (csh on pfSense) ever parses anything variable, and no argument list or environment holds anything.

use std::io::{ErrorKind, Read as _, Write as _};
use std::time::Duration;

use kmh_doc::inventory::Become;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ssh2::{BlockDirections, ErrorCode};

use super::feed::{CHUNK, Feed};
use super::session::{Login, words};
use crate::target::Trouble;

/// The whole of what runs remotely; see its own head.
const SCRIPT: &str = include_str!("remote.sh");

/// Not more output than this is taken from a machine.
const OUTPUT: usize = 16 << 20;

/// So many last lines of a unit's journal are told when it fails.
const JOURNAL: usize = 5;

/// How long the socket is waited for at a time.
const PATIENCE: Duration = Duration::from_millis(50);

/// After so many octets it is told how many were sent.
const STEP: u64 = 1 << 20;

/// So often the socket may be ready for nothing, one time after the other.
const ROUNDS: u32 = 1 << 20;

/// One command a way to become root. `read` takes single octets, and `dd` with blocks of one, so that what follows the
/// script is still there for it.
fn command(r#become: Option<Become>) -> &'static str {
    macro_rules! command {
        ($prefix:literal) => {
            concat!(
                "exec ",
                $prefix,
                "/bin/sh -c 'read -r size nonce && eval \"$(dd bs=1 count=$size 2>/dev/null)\"'"
            )
        };
    }
    match r#become {
        None => command!(""),
        Some(Become::Sudo) => command!("sudo -n "),
        Some(Become::Doas) => command!("doas -n "),
    }
}

/// What a command said.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// Lines of the protocol, without the nonce.
    pub(crate) lines: Vec<String>,
    /// Why it failed; none when it proved its end with code 0.
    pub(crate) trouble: Option<Trouble>,
}

/// What came back.
#[derive(Default)]
struct Said {
    /// From the script, which speaks on stdout alone.
    out: Vec<u8>,
    /// From whatever stands before it: a login shell, sudo.
    err: Vec<u8>,
}

/// What stands before a request: the script, and what its command reads to find its end.
pub(super) fn head(nonce: &str) -> String {
    let script: String = SCRIPT
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| [line.trim_start(), "\n"])
        .collect();
    format!("{} {nonce}\n{script}", script.len())
}

/// Runs the script with a request, which begins with its [`head`]; `idle` is how long it may say nothing, and `tell`
/// hears how much was sent.
pub(super) fn run(
    login: &Login,
    r#become: Option<Become>,
    nonce: &str,
    request: &mut Feed<'_>,
    idle: Duration,
    tell: &dyn Fn(u64, u64),
) -> Output {
    let mut said = Said::default();
    let ended = converse(login, command(r#become), request, idle, tell, &mut said);
    judge(&said, nonce, ended.err())
}

/// Sends and receives until the other side has said its last. Reading goes on while writing, or a full disk on the
/// other side would end in both waiting for each other.
fn converse(
    login: &Login,
    command: &str,
    request: &mut Feed<'_>,
    idle: Duration,
    tell: &dyn Fn(u64, u64),
    said: &mut Said,
) -> Result<(), String> {
    let session = &login.session;
    session.set_blocking(true);
    session.set_timeout(u32::try_from(idle.as_millis()).unwrap_or(u32::MAX));
    let mut channel =
        session.channel_session().map_err(|error| words(&error, "the opening of a channel", idle))?;
    channel.exec(command).map_err(|error| words(&error, "the start of the command", idle))?;
    session.set_blocking(false);
    let mut ended = false;
    let mut unsent = None;
    let (mut silent, mut idle_rounds) = (0, 0);
    let mut buffer = vec![0; CHUNK];
    let mut told = 0;
    let result = loop {
        let mut moved = false;
        let chunk = match request.chunk() {
            Ok(chunk) => chunk,
            // Without the rest, the script puts nothing in place.
            Err(error) => break Err(format!("a program cannot be read here any more: {error}")),
        };
        if !chunk.is_empty() {
            match channel.write(chunk) {
                Ok(n) => {
                    moved |= n > 0;
                    request.consume(n);
                    if request.sent - told >= STEP {
                        told = request.sent;
                        tell(told, request.size);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // Its script has stopped, as on a full disk: what it said last is still to be read.
                Err(error) => {
                    unsent = Some(plain(&error));
                    ended = true;
                    request.stop();
                }
            }
        } else if !ended {
            match channel.send_eof() {
                // LIBSSH2_ERROR_EAGAIN
                Err(error) if error.code() == ErrorCode::Session(-37) => {}
                _ => ended = true,
            }
        }
        match receive(&mut channel.stream(0), &mut buffer, &mut said.out) {
            Ok(more) => moved |= more,
            Err(error) => break Err(error),
        }
        // Read as well, or a full window of it would stop the other side.
        match receive(&mut channel.stderr(), &mut buffer, &mut said.err) {
            Ok(more) => moved |= more,
            Err(error) => break Err(error),
        }
        if moved {
            (silent, idle_rounds) = (0, 0);
            continue;
        }
        if channel.eof() {
            break unsent.map_or(Ok(()), Err);
        }
        silent += u32::from(!wait(login));
        idle_rounds += 1;
        if PATIENCE * silent >= idle || idle_rounds > ROUNDS {
            break Err(format!("it said nothing for {} s", idle.as_secs()));
        }
    };
    // Politeness, bounded: the channel's number is given back.
    session.set_blocking(true);
    session.set_timeout(2000);
    let _ = channel.close();
    result
}

/// Takes what is there from one of the streams; whether it was anything.
fn receive(stream: &mut ssh2::Stream, buffer: &mut [u8], said: &mut Vec<u8>) -> Result<bool, String> {
    match stream.read(buffer) {
        Ok(n) => {
            said.extend_from_slice(&buffer[..n]);
            if said.len() > OUTPUT {
                return Err(format!("it said more than {OUTPUT} octets"));
            }
            Ok(n > 0)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(plain(&error)),
    }
}

/// An error of a channel, without libssh2's numbers.
fn plain(error: &std::io::Error) -> String {
    if error.kind() == ErrorKind::TimedOut {
        return "the remote command had no answer in time".to_owned();
    }
    let text = error.to_string();
    let words = text.strip_prefix("[Session(").and_then(|rest| rest.split_once(")] "));
    words.map_or(text.as_str(), |(_, words)| words).to_owned()
}

/// Waits for the socket, a moment at most: what it waits for can have been taken from the socket already, by a call
/// that was about something else. False when nothing came.
fn wait(login: &Login) -> bool {
    let mut flags = PollFlags::IN;
    if matches!(login.session.block_directions(), BlockDirections::Outbound | BlockDirections::Both) {
        flags |= PollFlags::OUT;
    }
    let limit = Timespec { tv_sec: 0, tv_nsec: i64::from(PATIENCE.subsec_nanos()) };
    !matches!(poll(&mut [PollFd::new(&login.socket, flags)], Some(&limit)), Ok(0))
}

/// Finds the protocol in what was said, and the proof at its end.
fn judge(said: &Said, nonce: &str, broken: Option<String>) -> Output {
    let text = String::from_utf8_lossy(&said.out);
    let noise = String::from_utf8_lossy(&said.err);
    let mut output = Output::default();
    let mut other: Vec<&str> = noise.lines().filter(|line| !line.trim().is_empty()).collect();
    let mut journal = Vec::new();
    let mut problem = None;
    let mut code = None;
    for line in text.split('\n') {
        code = code.filter(|_| line.is_empty()); // the proof is the last line
        match line.strip_prefix(nonce).and_then(|rest| rest.strip_prefix(' ')) {
            None if line.trim().is_empty() => {}
            None => other.push(line),
            Some(rest) => match rest.split_once(' ') {
                Some(("end", number)) => code = number.parse::<u8>().ok(),
                Some(("problem", why)) => problem = Some(why.to_owned()),
                Some(("journal", line)) => journal.push(line.trim()),
                _ => output.lines.push(rest.to_owned()),
            },
        }
    }
    if code == Some(0) && broken.is_none() {
        return output;
    }
    let mut message = match (problem, code, broken) {
        (Some(problem), ..) => problem,
        (None, Some(code), None) => format!("the remote script ended with code {code}"),
        (None, _, Some(broken)) => format!("the remote script did not prove its end: {broken}"),
        (None, None, None) => {
            "the remote script did not prove its end: the connection or the shell was cut off".to_owned()
        }
    };
    let tail: Vec<&str> = other.iter().rev().take(3).rev().map(|line| line.trim()).collect();
    if !tail.is_empty() {
        message.push_str(" (");
        message.extend(kmh_cli::text::printable(&tail.join("; ")).chars().take(600));
        message.push(')');
    }
    journal.retain(|line| !line.is_empty());
    let journal: Vec<String> = journal
        .iter()
        .skip(journal.len().saturating_sub(JOURNAL))
        .map(|line| kmh_cli::text::printable(line).chars().take(200).collect())
        .collect();
    if !journal.is_empty() {
        message.push_str("; its journal ends: ");
        message.push_str(&journal.join(" | "));
    }
    output.trouble = Some(Trouble::failed(message));
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(said: &str, broken: Option<&str>) -> String {
        judge(&Said { out: said.into(), err: vec![] }, "abc", broken.map(str::to_owned))
            .trouble
            .map_or_else(String::new, |trouble| trouble.message)
    }

    #[test]
    fn only_the_last_line_proves_the_end() {
        assert_eq!(trouble("abc uid 0\n\nabc end 0\n", None), "");
        for (said, why) in [
            ("", "did not prove its end"),
            ("abc uid 0\n", "did not prove its end"),
            ("abd end 0\n", "did not prove its end"),
            ("abc end 0\nKilled\n", "did not prove its end"),
            ("abc end 0\nabc uid 0\n", "did not prove its end"),
            ("abc end\n", "did not prove its end"),
            ("abc end 98\n", "code 98"),
            (
                "abc journal \nabc journal 1\nabc journal abc end 0\nabc problem it failed\nabc end 1\n",
                "it failed; its journal ends: 1 | abc end 0",
            ),
            ("abc problem no space\nmv: x\n\nabc end 1\n", "no space (mv: x)"),
        ] {
            let said = trouble(said, None);
            assert!(said.contains(why), "{said:?} lacks {why:?}");
        }
        assert!(trouble("abc end 0\n", Some("reset")).contains("reset"));
    }

    #[test]
    fn the_command_is_constant_and_plain_to_every_shell() {
        for r#become in [None, Some(Become::Sudo), Some(Become::Doas)] {
            let command = command(r#become);
            // csh expands `!` also in single quotes and ends them at a newline; fish reads backslashes in them.
            assert!(!command.contains(['!', '\n', '\\']) && command.matches('\'').count() == 2, "{command}");
        }
    }

    #[test]
    fn text_from_a_machine_cannot_steer_a_terminal() {
        assert!(!trouble("\x1b[2J\n", None).contains('\x1b'));
        let told = trouble(&format!("abc journal \x1b[2J{}\nabc end 1\n", "x".repeat(9999)), None);
        assert!(!told.contains('\x1b') && told.len() < 300, "{told}");
    }

    #[test]
    fn errors_have_no_numbers_of_a_library() {
        let said = |kind, text: &str| plain(&std::io::Error::new(kind, text.to_owned()));
        assert_eq!(said(ErrorKind::Other, "[Session(-43)] transport read"), "transport read");
        assert!(said(ErrorKind::TimedOut, "[Session(-9)] Timed out").contains("had no answer in time"));
    }
}
