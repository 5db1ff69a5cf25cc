//! How a command travels over a serial port: octets by which both ends know where it begins, then frames.
//!
//! A port has no notion of a connection: when somebody leaves in the middle, the next one finds octets of before. So each
//! request begins with octets that nothing else holds, and a nonce that its answer repeats; whoever waits for them drops all
//! that comes earlier.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

/// What every request begins with: no text, whatever the character set, and no frame's head.
const HELLO: &[u8; 8] = b"\xffkmh\0\xfe\r\n";
/// Octets of chance behind it.
pub const NONCE: usize = 16;
/// More than this is no frame.
const LONGEST: usize = 1 << 20;
/// What is read and sent at once.
pub const CHUNK: usize = 32 << 10;

/// The first octet of a request's beginning, where a frame has its letter.
const BEGINS: u8 = HELLO[0];

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No frame: a request begins, or begins once more; its nonce.
    Hello,
    /// The command, as JSON: [`Request`].
    Request,
    /// Octets of its standard input; none: its end.
    Input,
    /// Octets of its standard output.
    Output,
    /// Octets of its standard error.
    Error,
    /// It ended: the code, one octet.
    Exit,
    /// It did not even start: why.
    Refused,
}

/// Kinds and their letters on the wire.
const LETTERS: [(Kind, u8); 7] = [
    (Kind::Hello, BEGINS),
    (Kind::Request, b'q'),
    (Kind::Input, b'i'),
    (Kind::Output, b'o'),
    (Kind::Error, b'e'),
    (Kind::Exit, b'x'),
    (Kind::Refused, b'n'),
];

/// A command to run in the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Where it runs.
    pub cwd: String,
}

/// Begins a request.
pub fn hello(to: &mut impl Write, nonce: &[u8; NONCE]) -> io::Result<()> {
    to.write_all(&[HELLO.as_slice(), nonce].concat())?;
    to.flush()
}

/// Reads on until a request begins, and gives its nonce.
pub fn await_hello(from: &mut impl Read) -> io::Result<[u8; NONCE]> {
    let mut last = [0; HELLO.len()];
    while last != *HELLO {
        last.rotate_left(1);
        let mut octet = [0];
        from.read_exact(&mut octet)?;
        last[HELLO.len() - 1] = octet[0];
    }
    let mut nonce = [0; NONCE];
    from.read_exact(&mut nonce)?;
    Ok(nonce)
}

/// Sends a frame by one write.
pub fn send(to: &mut impl Write, kind: Kind, payload: &[u8]) -> io::Result<()> {
    let letter = LETTERS.iter().find(|(known, _)| *known == kind).map_or(0, |(_, letter)| *letter);
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
    to.write_all(&[&[letter], length.to_be_bytes().as_slice(), payload].concat())?;
    to.flush()
}

/// Receives a frame, or the beginning of a request.
pub fn receive(from: &mut impl Read) -> io::Result<(Kind, Vec<u8>)> {
    let strange = || io::Error::new(io::ErrorKind::InvalidData, "this is no frame");
    let mut letter = [0];
    from.read_exact(&mut letter)?;
    let kind = LETTERS.iter().find(|(_, known)| [*known] == letter).map(|(kind, _)| *kind);
    let length = match kind {
        None => return Err(strange()),
        Some(Kind::Hello) => {
            let mut rest = [0; HELLO.len() - 1];
            from.read_exact(&mut rest)?;
            if [letter.as_slice(), &rest].concat() != HELLO {
                return Err(strange());
            }
            NONCE
        }
        Some(_) => {
            let mut length = [0; 4];
            from.read_exact(&mut length)?;
            usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?
        }
    };
    let (Some(kind), true) = (kind, length <= LONGEST) else {
        return Err(strange());
    };
    let mut payload = vec![0; length];
    from.read_exact(&mut payload)?;
    Ok((kind, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_on_the_line_is_dropped() {
        let mut line = Vec::new();
        hello(&mut line, &[6; NONCE]).unwrap();
        send(&mut line, Kind::Output, b"of somebody who left").unwrap();
        line.truncate(line.len() - 2); // in the middle of a frame
        line.extend(b"\xffkmh");
        hello(&mut line, &[7; NONCE]).unwrap();
        send(&mut line, Kind::Exit, &[3]).unwrap();
        let mut from = line.as_slice();
        assert_eq!(await_hello(&mut from).unwrap(), [6; NONCE]);
        assert_eq!(await_hello(&mut from).unwrap(), [7; NONCE]);
        assert_eq!(receive(&mut from).unwrap(), (Kind::Exit, vec![3]));
        assert_eq!(receive(&mut from).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_request_that_begins_once_more_is_told_from_a_frame() {
        let mut line = Vec::new();
        hello(&mut line, &[7; NONCE]).unwrap();
        send(&mut line, Kind::Input, b"").unwrap();
        let mut from = line.as_slice();
        assert_eq!(receive(&mut from).unwrap(), (Kind::Hello, vec![7; NONCE]));
        assert_eq!(receive(&mut from).unwrap(), (Kind::Input, vec![]));
    }

    #[test]
    fn what_is_no_frame_is_refused_before_it_is_read() {
        for bytes in [b"z\0\0\0\0".as_slice(), b"o\xff\xff\xff\xff", b"\xffkmh\0\0\r\n"] {
            assert_eq!(receive(&mut &*bytes).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }
}
