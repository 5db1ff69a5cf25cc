//! Where key material may be, and everywhere that it must not be: documents, messages, arguments, environments,
//! temporary files, readable files. The search is for the real bytes: raw, hexadecimal, base64 at each alignment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kmh_tests::sandbox::{Sandbox, tool_dir, walk};

/// The forms in which one secret could show itself.
struct Needle {
    name: String,
    forms: Vec<Vec<u8>>,
}

impl Needle {
    fn new(name: &Path, file: &[u8]) -> Self {
        let text = String::from_utf8_lossy(file);
        let raw = if text.contains("-----BEGIN") {
            let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
            let der = STANDARD.decode(body).expect("PEM");
            // PKCS #8 around a P-256 key: the first 36 octets are the same for every key, the secret scalar follows.
            der[36..68].to_vec()
        } else {
            STANDARD.decode(text.trim()).unwrap_or_else(|_| file.to_vec())
        };
        assert!(raw.len() >= 16, "{}: too short to search for", name.display());
        let mut forms = vec![raw.clone(), file.to_vec()];
        let hex = raw.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        forms.push(hex.to_uppercase().into_bytes());
        forms.push(hex.into_bytes());
        for skip in 0..3 {
            // The part of the encoding that does not depend on what stands before or after.
            let encoded = STANDARD.encode([vec![0; skip], raw.clone()].concat());
            let first = (skip * 8).div_ceil(6);
            let last = (skip + raw.len()) * 8 / 6;
            forms.push(encoded.as_bytes()[first..last].to_vec());
        }
        // And doubly encoded, as a base64 field around the file itself.
        for skip in 0..3 {
            let encoded = STANDARD.encode([vec![0; skip], file.to_vec()].concat());
            forms.push(encoded.as_bytes()[4..encoded.len() - 4].to_vec());
        }
        Self { name: name.display().to_string(), forms }
    }

    fn is_in(&self, hay: &[u8]) -> bool {
        self.forms.iter().any(|form| memchr::memmem::find(hay, form).is_some())
    }
}

fn needles(sandbox: &Sandbox) -> Vec<Needle> {
    let mut found = Vec::new();
    walk(&sandbox.path().join("pki"), &mut |path| {
        let mode = path.metadata().unwrap().permissions().mode();
        if path.is_file() && mode & 0o777 == 0o600 {
            let file = std::fs::read(path).unwrap();
            if !file.is_empty() && path.extension().is_some_and(|ending| ending != "json" && ending != "lock")
            {
                found.push(Needle::new(path, &file));
            }
        }
    });
    found
}

/// Arguments and environments of the tools while they run.
fn watch(stop: Arc<AtomicBool>) -> std::thread::JoinHandle<BTreeMap<PathBuf, Vec<u8>>> {
    let tools = tool_dir();
    std::thread::spawn(move || {
        let mut seen = BTreeMap::new();
        while !stop.load(Ordering::Relaxed) {
            for process in std::fs::read_dir("/proc").unwrap().flatten() {
                let dir = process.path();
                if !std::fs::read_link(dir.join("exe")).is_ok_and(|exe| exe.starts_with(&tools)) {
                    continue;
                }
                for name in ["cmdline", "environ"] {
                    if let Ok(bytes) = std::fs::read(dir.join(name)) {
                        seen.insert(dir.join(name), bytes);
                    }
                }
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        seen
    })
}

#[test]
fn key_material_is_in_the_store_and_on_the_machine_that_needs_it_and_nowhere_else() {
    search("certificates", &[("keys/bgp/", 6)]);
}

/// Each password is on a router and in a manifest, each tunnel's key on two routers.
#[test]
fn passwords_and_pre_shared_keys_too() {
    search("psk", &[("keys/bgp/", 6), ("keys/psk/", 6)]);
}

/// Runs everything with tunnels of that kind, and looks for every key in everything; `places` says in how many files of
/// machines keys of which folder are.
fn search(auth: &str, places: &[(&str, usize)]) {
    let sandbox = Sandbox::new();
    sandbox
        .sh(&format!("mkdir tmp; sed -i 's/^  tunnels: {{/&auth: {auth}, /' cluster.yaml; grep -c 'auth: {auth}' cluster.yaml"))
        .exits(0);
    let stop = Arc::new(AtomicBool::new(false));
    let watched = watch(Arc::clone(&stop));
    // The loosest umask, every document kept, every message loud.
    let steps = [
        "umask 0; export TMPDIR=$PWD/tmp; kmh-pki -vv --init --store pki <cluster.yaml >1.json 2>1.err",
        "umask 0; export TMPDIR=$PWD/tmp; kmh-bgpcfg -vv <1.json >2.json 2>2.err",
        "umask 0; export TMPDIR=$PWD/tmp; kmh-render -vv <2.json >3.json 2>3.err",
        "umask 0; export TMPDIR=$PWD/tmp; kmh-push -vv --dry-run --store pki --to dir:out <3.json >4.json 2>4.err",
        "umask 0; export TMPDIR=$PWD/tmp; kmh-push -vv --store pki --to dir:out <3.json >5.json 2>5.err",
        "umask 0; export TMPDIR=$PWD/tmp; kmh-check -vv <5.json >6.json 2>6.err",
        "for f in text ansible; do kmh-pki -o $f --store pki <cluster.yaml; kmh-render -o $f <2.json; \
         kmh-push -o $f --dry-run --store pki --to dir:new <3.json; done >7.txt 2>7.err",
        // Every file there, but different: the diff shows what changes, and no secret.
        "cp -r out old; find old -mindepth 2 -type f -exec sh -c 'for f; do printf changed >$f; done' sh {} +; \
         for f in text ansible json; do kmh-push -vv -o $f --dry-run --store pki --to dir:old <3.json; done >8.txt 2>8.err",
        // A key that is broken, and one that is somebody else's: the error text.
        "cp -r pki bad; k=$(find bad/nodes -name '*.key' | sort | head -n 1); head -c 150 $k >x; cp x $k; \
         echo >>bad/keys/bgp/flat.key; kmh-pki --store bad <cluster.yaml >9.txt 2>9.err; true",
    ];
    for step in steps {
        let ran = sandbox.sh(step);
        assert_eq!(ran.code, 0, "{step}\n{}", sandbox.sh("cat *.err").stdout);
    }
    stop.store(true, Ordering::Relaxed);
    let watched = watched.join().unwrap();
    assert!(watched.len() >= 4, "the sampler saw only {} of the tools' files", watched.len());

    let needles = needles(&sandbox);
    assert!(needles.len() > 30, "only {} secrets found in the store", needles.len());
    for (path, bytes) in &watched {
        for needle in &needles {
            assert!(!needle.is_in(bytes), "{} is in {}", needle.name, path.display());
        }
    }
    let mut deployed = 0;
    let mut placed: BTreeMap<&str, usize> = BTreeMap::new();
    walk(sandbox.path(), &mut |path| {
        if !path.is_file() {
            return;
        }
        let bytes = std::fs::read(path).unwrap();
        let inside = path.strip_prefix(sandbox.path()).unwrap();
        let mode = path.metadata().unwrap().permissions().mode() & 0o777;
        for needle in needles.iter().filter(|needle| needle.is_in(&bytes)) {
            let place = inside.components().next().unwrap().as_os_str();
            assert!(
                place == "pki" || place == "out" || place == "bad" || inside.as_os_str() == "x",
                "{} is in {}",
                needle.name,
                inside.display()
            );
            // FRR reads its file as a user of its own, and the group is that user's.
            let closed = if inside.ends_with("frr.conf") { 0o640 } else { 0o600 };
            if place == "out" || place == "pki" {
                assert_eq!(mode, closed, "{} is readable in {}", needle.name, inside.display());
            }
            deployed += usize::from(place == "out");
            for (folder, _) in
                places.iter().filter(|(folder, _)| place == "out" && needle.name.contains(folder))
            {
                *placed.entry(folder).or_default() += 1;
            }
        }
    });
    assert!(deployed > 30, "only {deployed} deployed secrets: the search finds nothing");
    assert_eq!(placed.into_iter().collect::<Vec<_>>(), places, "keys of the network");
    assert_eq!(
        std::fs::read_dir(sandbox.path().join("tmp")).unwrap().count(),
        0,
        "a temporary file was left"
    );

    // Nobody else can enter where secrets are.
    for dir in ["pki", "out"] {
        assert_eq!(sandbox.path().join(dir).metadata().unwrap().permissions().mode() & 0o777, 0o700, "{dir}");
    }
}

#[test]
fn certificate_authorities_keep_their_keys_at_home() {
    let sandbox = Sandbox::new();
    sandbox
        .sh("kmh-pki --init --store pki <cluster.yaml | kmh-bgpcfg | kmh-render | kmh-push --store pki --to dir:out >/dev/null")
        .exits(0);
    let mut authorities = Vec::new();
    walk(&sandbox.path().join("pki/ca"), &mut |path| {
        if path.extension().is_some_and(|ending| ending == "key") {
            authorities.push(Needle::new(path, &std::fs::read(path).unwrap()));
        }
    });
    assert_eq!(authorities.len(), 4);
    walk(&sandbox.path().join("out"), &mut |path| {
        if path.is_file() {
            let bytes = std::fs::read(path).unwrap();
            for authority in &authorities {
                assert!(!authority.is_in(&bytes), "{} was deployed in {}", authority.name, path.display());
            }
        }
    });
}
