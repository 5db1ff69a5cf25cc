//! YAML of others: kubeconfig files, and the API server's encryption configuration.
#![no_main]

use kmh_pki::import::config::{embedded, encryption};

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    if let Ok(Some(found)) = embedded(file) {
        let key = found.key.as_ref().map_or(0, |key| key.len());
        assert!(found.certificate.len().max(key) <= file.len());
    }
    if let Ok(Some(found)) = encryption(file) {
        assert_eq!(found.key.octets().len(), 32);
    }
});
