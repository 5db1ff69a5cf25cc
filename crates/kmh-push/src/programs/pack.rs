//! Files of the operator's folder, read once from end to end, and members of archives found in them.
//!
//! Nothing is unpacked on the disk: of a member its place in the unpacked stream is kept, and it is read from there as
//! often as it is sent.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use kmh_store::content::Sum;
use sha2::{Digest as _, Sha256};

use super::elf::HEAD;

/// What gzip files begin with, RFC 1952.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A file, or a member of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Where it begins in the unpacked archive; none for a file that is none.
    pub(crate) packed: Option<u64>,
    pub(crate) size: u64,
    pub(crate) sum: Sum,
    pub(crate) head: Vec<u8>,
}

/// What was read of a file.
pub(crate) struct Inspected {
    /// Its own sum, packed as it is.
    pub(crate) sum: Sum,
    /// The pieces that were asked for, by name; all of that name in an archive.
    pub(crate) pieces: BTreeMap<String, Vec<Piece>>,
}

/// Reads a file: as the piece of every name, or, where it is an archive, for members of these names.
pub(crate) fn inspect(path: &Path, names: &BTreeSet<&str>) -> io::Result<Inspected> {
    let mut file =
        BufReader::with_capacity(1 << 16, Summed { inner: File::open(path)?, hash: Sha256::new() });
    let mut pieces: BTreeMap<String, Vec<Piece>> = BTreeMap::new();
    if file.fill_buf()?.starts_with(&GZIP) {
        let mut archive = tar::Archive::new(MultiGzDecoder::new(&mut file));
        for entry in archive.entries()? {
            let mut entry = entry?;
            let name = entry.path()?.file_name().and_then(|name| name.to_str()).map(str::to_owned);
            if let Some(name) = name.filter(|name| names.contains(name.as_str()))
                && entry.header().entry_type().is_file()
            {
                let at = entry.raw_file_position();
                pieces.entry(name).or_default().push(piece(&mut entry, Some(at))?);
            }
        }
        // To its end, where its own sum stands.
        io::copy(&mut archive.into_inner(), &mut io::sink())?;
    } else {
        let piece = piece(&mut file, None)?;
        pieces.extend(names.iter().map(|name| ((*name).to_owned(), vec![piece.clone()])));
    }
    io::copy(&mut file, &mut io::sink())?;
    Ok(Inspected { sum: file.into_inner().hash.finalize().into(), pieces })
}

/// Opens a piece for reading.
pub(crate) fn open(path: &Path, packed: Option<u64>, size: u64) -> io::Result<Box<dyn Read + Send>> {
    let file = File::open(path)?;
    let Some(at) = packed else { return Ok(Box::new(file.take(size))) };
    let mut unpacked = MultiGzDecoder::new(BufReader::with_capacity(1 << 16, file));
    io::copy(&mut (&mut unpacked).take(at), &mut io::sink())?;
    Ok(Box::new(unpacked.take(size)))
}

fn piece(from: &mut dyn Read, packed: Option<u64>) -> io::Result<Piece> {
    let mut reader = Summed { inner: from, hash: Sha256::new() };
    let mut head = Vec::with_capacity(HEAD);
    (&mut reader).take(HEAD as u64).read_to_end(&mut head)?;
    let size = head.len() as u64 + io::copy(&mut reader, &mut io::sink())?;
    Ok(Piece { packed, size, sum: reader.hash.finalize().into(), head })
}

/// Adds up what is read.
struct Summed<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}
