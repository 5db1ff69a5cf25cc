//! What is sent to a remote command, piece by piece: lines and secrets from where they lie in memory, programs from
//! their files, of which a few kilobytes at a time are held.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read};

use crate::programs::Program;

/// So much is handed out at a time.
pub(super) const CHUNK: usize = 1 << 15;

/// A part of a request.
pub(super) enum Piece<'a> {
    Bytes(&'a [u8]),
    Program(&'a Program),
}

/// A request on its way.
pub(super) struct Feed<'a> {
    pieces: VecDeque<Piece<'a>>,
    /// The program that is being read, and how much of it is still to come.
    open: Option<(BufReader<Box<dyn Read + Send>>, u64)>,
    /// How many octets were handed out, and how many there are.
    pub(super) sent: u64,
    pub(super) size: u64,
}

impl<'a> Feed<'a> {
    pub(super) fn new(pieces: impl IntoIterator<Item = Piece<'a>>) -> Self {
        let pieces: VecDeque<Piece<'a>> = pieces.into_iter().collect();
        let size = |piece: &Piece<'_>| match piece {
            Piece::Bytes(bytes) => bytes.len() as u64,
            Piece::Program(program) => program.size,
        };
        Self { size: pieces.iter().map(size).sum(), pieces, open: None, sent: 0 }
    }

    /// What comes next; empty at the end. The error is of a file of this machine.
    pub(super) fn chunk(&mut self) -> io::Result<&[u8]> {
        if self.open.is_none() {
            while matches!(self.pieces.front(), Some(Piece::Bytes([]))) {
                self.pieces.pop_front();
            }
            if let Some(Piece::Program(program)) = self.pieces.front() {
                self.open = Some((BufReader::with_capacity(CHUNK, program.open()?), program.size));
                self.pieces.pop_front();
            }
        }
        match (&mut self.open, self.pieces.front()) {
            (Some((reader, _)), _) => match reader.fill_buf()? {
                [] => Err(io::Error::new(ErrorKind::UnexpectedEof, "it is shorter than it was")),
                chunk => Ok(chunk),
            },
            (None, Some(Piece::Bytes(bytes))) => Ok(&bytes[..bytes.len().min(CHUNK)]),
            (None, _) => Ok(&[]),
        }
    }

    /// So much of the chunk was sent.
    pub(super) fn consume(&mut self, sent: usize) {
        self.sent += sent as u64;
        match (&mut self.open, self.pieces.front_mut()) {
            (Some((reader, left)), _) => {
                reader.consume(sent);
                *left = left.saturating_sub(sent as u64);
                if *left == 0 {
                    self.open = None;
                }
            }
            (None, Some(Piece::Bytes(bytes))) => *bytes = bytes.get(sent..).unwrap_or_default(),
            (None, _) => {}
        }
    }

    /// Nothing more is sent.
    pub(super) fn stop(&mut self) {
        self.open = None;
        self.pieces.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_in_order_and_whole() {
        let long = vec![7; 2 * CHUNK + 1];
        let mut feed = Feed::new([Piece::Bytes(b"ab"), Piece::Bytes(b""), Piece::Bytes(&long)]);
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
