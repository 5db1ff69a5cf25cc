//! What is sent to a remote command: lines and secrets from memory that is cleared, programs from their files, of which
//! a few kilobytes at a time are held.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read};

use zeroize::Zeroizing;

use crate::programs::Program;

/// So much is handed out at a time.
pub(super) const CHUNK: usize = 1 << 15;

/// A part of a request.
#[derive(Clone, Copy)]
pub(super) enum Piece<'a> {
    Bytes(&'a [u8]),
    Program(&'a Program),
}

/// Pieces that are sent as one: a packet for each of many small ones would be too many.
enum Run<'a> {
    Bytes { bytes: Zeroizing<Vec<u8>>, at: usize },
    Program(&'a Program),
}

/// A request on its way.
pub(super) struct Feed<'a> {
    runs: VecDeque<Run<'a>>,
    /// The program that is being read, and how much of it is still to come.
    open: Option<(BufReader<Box<dyn Read + Send>>, u64)>,
    /// How many octets were handed out, and how many there are.
    pub(super) sent: u64,
    pub(super) size: u64,
}

impl<'a> Feed<'a> {
    pub(super) fn new(pieces: &[Piece<'a>]) -> Self {
        let bytes = |piece: &Piece<'a>| match piece {
            Piece::Bytes(bytes) => Some(*bytes),
            Piece::Program(_) => None,
        };
        let mut runs = VecDeque::new();
        for pieces in pieces.chunk_by(|one, next| bytes(one).is_some() && bytes(next).is_some()) {
            if let [Piece::Program(program)] = pieces {
                runs.push_back(Run::Program(program));
                continue;
            }
            // A buffer of the right size from the start: a grown one leaves secrets behind.
            let size = pieces.iter().filter_map(bytes).map(<[u8]>::len).sum();
            let mut all = Zeroizing::new(Vec::with_capacity(size));
            pieces.iter().filter_map(bytes).for_each(|bytes| all.extend_from_slice(bytes));
            runs.push_back(Run::Bytes { bytes: all, at: 0 });
        }
        let size = |run: &Run<'_>| match run {
            Run::Bytes { bytes, .. } => bytes.len() as u64,
            Run::Program(program) => program.size,
        };
        Self { size: runs.iter().map(size).sum(), runs, open: None, sent: 0 }
    }

    /// What comes next; empty at the end. The error is of a file of this machine.
    pub(super) fn chunk(&mut self) -> io::Result<&[u8]> {
        if self.open.is_none() {
            while matches!(self.runs.front(), Some(Run::Bytes { bytes, at }) if *at == bytes.len()) {
                self.runs.pop_front();
            }
            if let Some(Run::Program(program)) = self.runs.front() {
                self.open = Some((BufReader::with_capacity(CHUNK, program.open()?), program.size));
                self.runs.pop_front();
            }
        }
        match (&mut self.open, self.runs.front()) {
            (Some((reader, _)), _) => match reader.fill_buf()? {
                [] => Err(io::Error::new(ErrorKind::UnexpectedEof, "it is shorter than it was")),
                chunk => Ok(chunk),
            },
            (None, Some(Run::Bytes { bytes, at })) => Ok(&bytes[*at..bytes.len().min(*at + CHUNK)]),
            (None, _) => Ok(&[]),
        }
    }

    /// So much of the chunk was sent.
    pub(super) fn consume(&mut self, sent: usize) {
        self.sent += sent as u64;
        match (&mut self.open, self.runs.front_mut()) {
            (Some((reader, left)), _) => {
                reader.consume(sent);
                *left = left.saturating_sub(sent as u64);
                if *left == 0 {
                    self.open = None;
                }
            }
            (None, Some(Run::Bytes { bytes, at })) => *at = bytes.len().min(*at + sent),
            (None, _) => {}
        }
    }

    /// Nothing more is sent.
    pub(super) fn stop(&mut self) {
        self.open = None;
        self.runs.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_in_order_and_whole() {
        let long = vec![7; 2 * CHUNK + 1];
        let mut feed = Feed::new(&[Piece::Bytes(b"ab"), Piece::Bytes(b""), Piece::Bytes(&long)]);
        assert_eq!(feed.chunk().unwrap().len(), CHUNK, "small pieces go together");
        let mut all = Vec::new();
        loop {
            // Half of what is there at a time, as a full window takes it.
            let chunk = feed.chunk().unwrap();
            if chunk.is_empty() {
                break;
            }
            let some = chunk.len().div_ceil(2);
            all.extend_from_slice(&chunk[..some]);
            feed.consume(some);
        }
        assert_eq!((feed.sent, feed.size), (all.len() as u64, 2 * CHUNK as u64 + 3));
        assert!(all.starts_with(b"ab\x07") && all[2..] == long);
        feed.stop();
        assert_eq!(feed.chunk().unwrap(), b"");
    }
}
