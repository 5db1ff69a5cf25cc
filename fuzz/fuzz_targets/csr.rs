//! Requests of machines: PEM or DER, from whoever has a file.
#![no_main]

use kmh_pki::csr::Request;

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    if let Ok(request) = Request::from_file(file) {
        // What was read once reads the same from its own PEM form.
        assert_eq!(Request::from_file(request.pem.as_bytes()).as_ref(), Ok(&request));
    }
});
