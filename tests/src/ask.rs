//! Questions to FRR and BIRD over their own sockets: what `vtysh` and `birdc` do, without a process for each question.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A daemon that says nothing for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(20);

/// Reads on, whatever signal came in between.
fn more(stream: &mut UnixStream, into: &mut Vec<u8>) -> std::io::Result<()> {
    let mut buffer = vec![0; 65_536];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                into.extend_from_slice(&buffer[..count]);
                return Ok(());
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn connect(socket: &Path) -> std::io::Result<UnixStream> {
    let stream = loop {
        match UnixStream::connect(socket) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => break result?,
        }
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// One command to one daemon of FRR: it ends with a zero octet, the answer with three and the result.
pub fn frr(socket: &Path, command: &str) -> std::io::Result<String> {
    let mut stream = connect(socket)?;
    let mut answer = Vec::new();
    for line in ["enable", command] {
        stream.write_all(line.as_bytes())?;
        stream.write_all(&[0])?;
        answer = frr_answer(&mut stream)?;
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn frr_answer(stream: &mut UnixStream) -> std::io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    loop {
        more(stream, &mut answer)?;
        if let [.., 0, 0, 0, _] = answer[..] {
            answer.truncate(answer.len() - 4);
            return Ok(answer);
        }
    }
}

/// One command to BIRD. Each line of the answer begins with four digits and a dash, or with a mere space when it has the
/// same number as the one before; the last has a space behind its number.
pub fn bird(socket: &Path, command: &str) -> std::io::Result<String> {
    let mut stream = connect(socket)?;
    bird_answer(&mut stream)?;
    stream.write_all(command.as_bytes())?;
    stream.write_all(b"\n")?;
    bird_answer(&mut stream)
}

fn bird_answer(stream: &mut UnixStream) -> std::io::Result<String> {
    let mut raw = Vec::new();
    loop {
        more(stream, &mut raw)?;
        let text = String::from_utf8_lossy(&raw);
        let last = text.strip_suffix('\n').map(|text| text.rsplit('\n').next().unwrap_or_default());
        if last.is_some_and(|line| number(line).is_some_and(|rest| rest.starts_with(' '))) {
            let lines = text.lines().map(|line| number(line).unwrap_or(line));
            return Ok(lines.map(|line| line.get(1..).unwrap_or_default().to_owned() + "\n").collect());
        }
    }
}

/// What stands behind the number at the beginning of a line.
fn number(line: &str) -> Option<&str> {
    let (digits, rest) = line.split_at_checked(4)?;
    (digits.bytes().all(|octet| octet.is_ascii_digit()) && rest.starts_with([' ', '-'])).then_some(rest)
}
