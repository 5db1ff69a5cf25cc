//! Files from outside, damaged at random: nothing panics, and what is read is read the same again. `make fuzz` does it for
//! longer, and with an eye on what the code does.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use std::path::Path;

use kmh_pki::cert::Certificate;
use kmh_pki::csr::Request;
use kmh_pki::import_signed;
use kmh_pki::requests::{RequestSet, SignedSet};

/// Numbers that are the same at every run: xorshift.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }
}

/// A few octets changed, removed, doubled or cut off.
fn damaged(seed: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=numbers.below(3) {
        let at = numbers.below(bytes.len());
        match numbers.below(5) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..(at + 1 + numbers.below(8)).min(bytes.len()))),
            2 => bytes.insert(at, u8::try_from(numbers.below(256)).unwrap()),
            3 => {
                let end = (at + 1 + numbers.below(40)).min(bytes.len());
                let piece = bytes.get(at..end).unwrap_or_default().to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                let octet = u8::try_from(numbers.below(256)).unwrap();
                bytes.get_mut(at).into_iter().for_each(|place| *place = octet);
            }
        }
    }
    bytes
}

fn each_damaged(seeds: &str, mut read: impl FnMut(&[u8]) -> bool) {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(seeds);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut good, mut bad) = (0, 0);
    for file in files {
        let seed = std::fs::read(&file).unwrap();
        assert!(read(&seed), "{} is no seed", file.display());
        for _ in 0..1000 {
            let count = if read(&damaged(&seed, &mut numbers)) { &mut good } else { &mut bad };
            *count += 1;
        }
    }
    assert!(good > 10 && bad > 1000, "{good} were read, {bad} were not");
}

#[test]
fn requests() {
    each_damaged("csr", |file| {
        let Ok(request) = Request::from_file(file) else { return false };
        assert_eq!(Request::from_file(request.pem.as_bytes()).as_ref(), Ok(&request));
        true
    });
}

#[test]
fn sets() {
    each_damaged("sets", |file| {
        if import_signed::pem(file).is_ok_and(|found| !found.is_empty()) {
            return true;
        }
        if let Ok(set) = RequestSet::from_json(file) {
            for asked in &set.requests {
                let _ = Request::from_file(asked.csr.as_bytes());
            }
            let again = set.to_json().map(|text| RequestSet::from_json(text.as_bytes()));
            assert_eq!(again, Ok(Ok(set)));
            return true;
        }
        let Ok(set) = SignedSet::from_json(file) else { return false };
        for answered in &set.certificates {
            let _ = Certificate::from_pem(answered.pem.as_bytes());
        }
        let again = set.to_json().map(|text| SignedSet::from_json(text.as_bytes()));
        assert_eq!(again, Ok(Ok(set)));
        true
    });
}
