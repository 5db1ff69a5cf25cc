//! Request sets and signed sets: JSON that somebody carried from machine to machine, and what is in it.
#![no_main]

use kmh_pki::cert::Certificate;
use kmh_pki::csr::Request;
use kmh_pki::import_signed;
use kmh_pki::requests::{RequestSet, SignedSet};

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    let _ = import_signed::pem(file);
    if let Ok(set) = RequestSet::from_json(file) {
        for asked in &set.requests {
            let _ = Request::from_file(asked.csr.as_bytes());
        }
        let again = set.to_json().map(|text| RequestSet::from_json(text.as_bytes()));
        assert_eq!(again, Ok(Ok(set)));
    }
    if let Ok(set) = SignedSet::from_json(file) {
        for answered in &set.certificates {
            let _ = Certificate::from_pem(answered.pem.as_bytes());
        }
        let again = set.to_json().map(|text| SignedSet::from_json(text.as_bytes()));
        assert_eq!(again, Ok(Ok(set)));
    }
});
