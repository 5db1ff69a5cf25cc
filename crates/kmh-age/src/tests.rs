#![allow(clippy::disallowed_methods, reason = "tests")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use age::secrecy::ExposeSecret as _;

use super::*;

/// A recipient and its identity.
fn generated() -> (String, Zeroizing<String>) {
    let identity = age::x25519::Identity::generate();
    (identity.to_public().to_string(), Zeroizing::new(identity.to_string().expose_secret().to_owned()))
}

fn identity(dir: &Path, name: &str, text: &str, mode: u32) -> Keyring {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    Keyring::new(Some(path))
}

#[track_caller]
fn says(keyring: &Keyring, sealed: &[u8], exit: kmh_cli::Exit, texts: &[&str]) {
    let why = keyring.open(sealed).map(|_| ()).unwrap_err();
    let failure = keyring.failure(Path::new("x.key.age"), why);
    let all = format!("{:?}", failure.notes);
    assert_eq!(failure.exit, exit, "{all}");
    for text in texts {
        assert!(all.contains(text), "{all} lacks {text}");
    }
}

#[test]
fn what_is_encrypted_to_two_opens_with_either_and_with_nobody_elses() {
    let dir = tempfile::tempdir().unwrap();
    let keys = [(); 3].map(|()| generated());
    let to = Recipients::parse([keys[0].0.as_str(), &keys[1].0, &keys[0].0]).unwrap();
    assert_eq!(to.names().len(), 2);
    let sealed = to.seal(b"secret").unwrap();
    assert_eq!(length(&sealed), Ok(6));
    for (number, (_, secret)) in keys.iter().enumerate() {
        let keyring = identity(dir.path(), "id", &format!("# mine\n\n{}\n", secret.as_str()), 0o600);
        if number < 2 {
            assert_eq!(keyring.open(&sealed).unwrap().as_slice(), b"secret");
        } else {
            says(
                &keyring,
                &sealed,
                kmh_cli::Exit::Wrong,
                &["no identity in `", "opens `x.key.age`", "to others"],
            );
        }
    }
    says(&Keyring::default(), &sealed, kmh_cli::Exit::Wrong, &["is encrypted, and no identity was named"]);
}

#[test]
fn every_file_that_is_not_whole_is_damaged() {
    let (recipient, secret) = generated();
    let dir = tempfile::tempdir().unwrap();
    let keyring = identity(dir.path(), "id", &secret, 0o600);
    let sealed = Recipients::parse([recipient.as_str()]).unwrap().seal(&[7; 32]).unwrap();
    for cut in 0..sealed.len() {
        // A payload that is cut and still has a tag's length shows by its length, and opens for nobody.
        assert_ne!(length(&sealed[..cut]), Ok(32), "{cut}");
        let opened = keyring.open(&sealed[..cut]).map(|_| ()).unwrap_err();
        assert!(matches!(opened, Unopened::Damaged(_)), "{cut}: {opened:?}");
    }
    for at in 0..sealed.len() {
        let mut bent = sealed.clone();
        bent[at] ^= 1;
        let opened = keyring.open(&bent).map(|_| ()).unwrap_err();
        assert!(matches!(opened, Unopened::Damaged(_) | Unopened::NotOurs), "{at}: {opened:?}");
    }
    let longer = [sealed.as_slice(), b"x"].concat();
    says(&keyring, &longer, kmh_cli::Exit::World, &["`x.key.age` is damaged", "was changed"]);
}

#[test]
fn files_of_identities_that_cannot_be_used_say_why_and_nothing_of_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let (recipient, secret) = generated();
    let sealed = Recipients::parse([recipient.as_str()]).unwrap().seal(b"x").unwrap();
    let short = &secret[..40];
    let wrong = kmh_cli::Exit::Wrong;
    for mode in [0o644, 0o640, 0o604] {
        let open = identity(dir.path(), "open", &secret, mode);
        says(
            &open,
            &sealed,
            wrong,
            &["can be read by others", &format!("its mode is {mode:04o}"), "chmod 600"],
        );
    }
    for (text, cause) in [
        (short, "line 1 is none"),
        ("# only this\n", "it holds none"),
        ("AGE-PLUGIN-YUBIKEY-1QQ", "line 1 is of a plugin"),
        (recipient.as_str(), "line 1 is a recipient"),
    ] {
        let keyring = identity(dir.path(), "bad", text, 0o600);
        says(&keyring, &sealed, wrong, &["is no file of identities", cause]);
        let why = keyring.open(&sealed).map(|_| ()).unwrap_err();
        assert!(!format!("{:?}", keyring.failure(Path::new("x"), why).notes).contains(short));
    }
    says(
        &Keyring::new(Some(dir.path().join("none"))),
        &sealed,
        wrong,
        &["cannot read identity", "no such file"],
    );
    says(&Keyring::new(Some(dir.path().to_owned())), &sealed, wrong, &["is a directory"]);
}

#[test]
fn recipients_that_are_none_are_told_all_at_once_and_an_identity_is_never_repeated() {
    let (recipient, secret) = generated();
    let ssh = "ssh-ed25519 AAAA";
    let failure = Recipients::parse([recipient.as_str(), "age1x", ssh, secret.as_str()]).unwrap_err();
    let all = format!("{:?}", failure.notes);
    for text in ["`age1x` is no recipient", "it is an SSH key", "an identity was named as a recipient"] {
        assert!(all.contains(text), "{all}");
    }
    assert!(failure.notes.len() == 3 && !all.contains(&secret[20..40]), "{all}");
    assert!(format!("{:?}", Recipients::parse([]).unwrap_err()).contains("there is no recipient"));
}

#[test]
fn what_age_writes_opens_here_and_what_is_written_here_age_opens() {
    let dir = tempfile::tempdir().unwrap();
    let (recipient, secret) = generated();
    let keyring = identity(dir.path(), "id", &secret, 0o600);
    std::fs::write(dir.path().join("plain"), b"a secret\n").unwrap();
    let age = |args: &[&str]| {
        let ran = Command::new("age").args(args).current_dir(dir.path()).output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
        ran.stdout
    };
    let theirs = age(&["-r", &recipient, "plain"]);
    assert_eq!(keyring.open(&theirs).unwrap().as_slice(), b"a secret\n");
    let ours = Recipients::parse([recipient.as_str()]).unwrap().seal(b"another\n").unwrap();
    std::fs::write(dir.path().join("ours.age"), ours).unwrap();
    assert_eq!(age(&["-d", "-i", "id", "ours.age"]), b"another\n");
}
