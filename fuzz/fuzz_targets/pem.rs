//! PEM files of others: certificates, and private keys in every form.
#![no_main]

use kmh_pki::cert::Certificate;
use kmh_pki::pem::{self, Label};

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    let Ok(blocks) = pem::blocks(file) else { return };
    for block in blocks {
        assert!(block.der.len() <= file.len());
        if block.label == Label::Certificate
            && let Ok(read) = Certificate::from_der(&block.der)
        {
            // What was read once reads the same from its own PEM form.
            assert_eq!(Certificate::from_pem(read.pem.as_bytes()).as_ref(), Ok(&read));
        }
        if let Some(Ok((secret, _))) = pem::private_key(&block) {
            // What becomes of a key is what the store reads.
            assert!(secret.key_pair().is_ok());
            let again = pem::blocks(secret.octets()).ok().and_then(|all| pem::private_key(&all[0]));
            assert!(again.is_some_and(|again| again.is_ok_and(|(again, _)| again.octets() == secret.octets())));
        }
    }
});
