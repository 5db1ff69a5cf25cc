//! What stands in for a pfSense with tunnels that encrypt: a real charon takes what the plan makes of its settings.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

#[path = "support/plan.rs"]
mod by_tools;
mod support;

use kmh_doc::bundle::Segment;
use kmh_lab::Carrier;
use support::World;

#[test]
fn charon_loads_every_cipher_with_certificates_and_with_keys() {
    let article = std::fs::read_to_string(kmh_tests::sandbox::article()).unwrap();
    for settings in
        ["", ", auth: psk", ", cipher: aes128gcm", ", cipher: chacha20poly1305", ", cipher: aes256cbc"]
    {
        let world = World::new(Some(&article.replace("shape: mesh}", &format!("shape: mesh{settings}}}"))));
        let plan = by_tools::of_stream(&world.sandbox.read("stream.json"), Carrier::Esp);
        let router = &plan.machines["fw-flat"];
        assert!(router.services.contains(&"strongswan.service".to_owned()), "{router:?}");
        world
            .sh("for d in conf.d x509 x509ca private; do mount -t tmpfs none /etc/swanctl/$d; done")
            .exits(0);
        for file in router.files.iter().filter(|file| file.path.starts_with("/etc/swanctl/")) {
            let text: String = file
                .content
                .iter()
                .map(|segment| match segment {
                    Segment::Text { text } => text.clone(),
                    Segment::Secret { secret, .. } => world.sandbox.read(&format!("pki/{secret}")),
                })
                .collect();
            world.sandbox.write("file", &text);
            world.sh(&format!("cp file {}", file.path)).exits(0);
        }
        let line = "charon-systemd >charon.log 2>&1 & for i in $(seq 100); do [ -S /run/charon.vici ] && break; sleep 0.1; done; \
                    swanctl --load-all --noprompt; code=$?; swanctl --list-conns; kill $!; wait $!; exit $code";
        let ran = world.sh(line).exits(0);
        for name in ["con1", "con3"] {
            assert!(ran.stdout.contains(&format!("{name}: IKEv2")), "{settings}: {ran:?}");
        }
        assert!(!ran.stdout.contains("failed") && !ran.stderr.contains("failed"), "{settings}: {ran:?}");
    }
}
