use std::os::unix::fs::symlink;

use super::*;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_has_exactly_its_mode_whatever_the_umask() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    for wanted in [0o600, 0o644, 0o666, 0o755, 0o400, 0o4755] {
        assert!(write(&path, b"x", wanted).unwrap());
        assert_eq!(mode(&path), wanted, "{wanted:o}");
        assert!(!write(&path, b"x", wanted).unwrap(), "written again at {wanted:o}");
    }
    assert_eq!(names(dir.path()), ["x"]);
}

#[test]
fn what_is_right_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let long = vec![7_u8; 200_000];
    assert!(write(&path, &long, 0o600).unwrap());
    let before = fs::metadata(&path).unwrap().ino();
    assert!(!write(&path, &long, 0o600).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().ino(), before);
    let mut other = long;
    other[199_999] = 8;
    assert!(write(&path, &other, 0o600).unwrap());
    assert_eq!(read(&path).unwrap(), other);
    assert!(write(&path, b"", 0o600).unwrap());
    assert!(!write(&path, b"", 0o600).unwrap());
}

#[test]
fn links_and_other_things_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real"), dir.path().join("link"));
    fs::write(&real, "old").unwrap();
    symlink(&real, &link).unwrap();
    let failure = write(&link, b"new", 0o600).unwrap_err();
    assert!(failure.summary().ends_with("it is a symbolic link, and is not written through"), "{failure:?}");
    assert_eq!(failure.exit, Exit::Wrong);
    assert_eq!(fs::read(&real).unwrap(), b"old");
    assert!(write(dir.path(), b"new", 0o600).unwrap_err().summary().ends_with("it is a directory"));

    // What the user named is written through, unless the link leads nowhere.
    assert!(write_named(&link, b"new").unwrap());
    assert_eq!(fs::read(&real).unwrap(), b"new");
    fs::remove_file(&real).unwrap();
    assert!(write_named(&link, b"new").unwrap_err().summary().contains("leads nowhere"));
}

#[test]
fn a_failure_leaves_the_old_file_and_nothing_else() {
    // A file system of a few pages is full at once; mounting one takes root, so a limit on the size of files stands in
    // for the full disk where there is none.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    fs::write(&path, "old").unwrap();
    let script = r#"ulimit -f 8; trap '' XFSZ; exec "$0" --exact file::tests::writes_more_than_fits --ignored --nocapture"#;
    let output = std::process::Command::new("/bin/sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .env("KMH_TEST_FULL", &path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("REFUSED World cannot write"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(names(dir.path()), ["x"]);
}

#[test]
#[ignore = "run by the test above, in a process that may write small files only"]
fn writes_more_than_fits() {
    let path = PathBuf::from(std::env::var_os("KMH_TEST_FULL").unwrap());
    let failure = write(&path, &vec![1; 1 << 20], 0o644).unwrap_err();
    let line = format!("REFUSED {:?} {}\n", failure.exit, failure.summary());
    io::stdout().write_all(line.as_bytes()).unwrap();
}

#[test]
fn a_file_is_created_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    create(&path, b"1", 0o600).unwrap();
    assert_eq!(mode(&path), 0o600);
    assert!(create(&path, b"2", 0o600).unwrap_err().summary().ends_with("is there already"));
    assert_eq!(read(&path).unwrap(), b"1");
    assert_eq!(names(dir.path()), ["x"]);
}

#[test]
fn reading_and_removing_what_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let failure = read(&path).unwrap_err();
    assert_eq!(failure.summary(), format!("cannot read `{}`: no such file or directory", path.display()));
    assert_eq!(failure.exit, Exit::Wrong);
    assert_eq!(read_if_there(&path).unwrap(), None);
    assert!(!remove(&path).unwrap());
    fs::write(&path, "x").unwrap();
    assert_eq!(read_if_there(&path).unwrap(), Some(b"x".to_vec()));
    assert!(remove(&path).unwrap());
    assert!(!path.exists());
}

#[test]
fn directories_get_their_mode_and_keep_it() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("a/b/c");
    make_dir(&deep, 0o700).unwrap();
    assert_eq!((mode(&deep), mode(&dir.path().join("a"))), (0o700, 0o700));
    make_dir(&dir.path().join("w"), 0o777).unwrap();
    assert_eq!(mode(&dir.path().join("w")), 0o777);
    make_dir(&dir.path().join("w"), 0o700).unwrap();
    assert_eq!(mode(&dir.path().join("w")), 0o777);
    fs::write(dir.path().join("f"), "").unwrap();
    let failure = make_dir(&dir.path().join("f/x"), 0o700).unwrap_err();
    assert!(failure.summary().starts_with("cannot make directory"), "{failure:?}");
}

#[test]
fn a_lock_is_held_by_one_and_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let held = lock(&path).unwrap();
    assert_eq!(mode(&path) & 0o077, 0);
    let other = std::thread::spawn({
        let path = path.clone();
        move || lock(&path).map(drop)
    });
    std::thread::sleep(Duration::from_millis(200));
    assert!(!other.is_finished());
    drop(held);
    other.join().unwrap().unwrap();
}

#[test]
fn causes_are_plain() {
    let plain_of = |number| plain(&io::Error::from_raw_os_error(number));
    assert_eq!(plain_of(2), "no such file or directory");
    assert_eq!(plain_of(28), "no space left on device");
    assert_eq!(plain(&io::Error::other("UTF-8 is missing")), "UTF-8 is missing");
}

#[test]
fn what_is_staged_has_its_name_at_the_end_only() {
    let dir = tempfile::tempdir().unwrap();
    let (file, link) = (dir.path().join("a"), dir.path().join("link"));
    std::os::unix::fs::symlink("a", &link).unwrap();
    fs::write(&file, "old").unwrap();
    drop(stage_named(&link, b"dropped").unwrap());
    let staged = stage_named(&link, b"new").unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"old");
    assert!(staged.put().unwrap());
    assert_eq!(fs::read(&file).unwrap(), b"new");
    assert!(!stage_named(&file, b"new").unwrap().put().unwrap(), "it holds that already");
    assert_eq!(names(dir.path()), ["a", "link"]);
}

#[test]
fn a_probe_refuses_what_cannot_be_written_and_touches_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("link");
    fs::write(dir.path().join("a"), "old").unwrap();
    std::os::unix::fs::symlink("a", &link).unwrap();
    for good in ["a", "new"] {
        probe(&dir.path().join(good)).unwrap();
        probe_named(&dir.path().join(good)).unwrap();
    }
    probe_named(&link).unwrap();
    let said = |failure: Failure| failure.summary();
    assert!(said(probe(&link).unwrap_err()).ends_with("it is a symbolic link, and is not written through"));
    for probe in [probe, probe_named] {
        assert!(said(probe(dir.path()).unwrap_err()).ends_with("it is a directory"));
        assert!(said(probe(&dir.path().join("gone/a")).unwrap_err()).contains("there is no directory"));
    }
    assert_eq!(names(dir.path()), ["a", "link"]);
}

#[test]
fn no_more_is_read_than_is_meant() {
    assert_eq!(read_up_to(Path::new("/dev/zero"), 10).unwrap(), [0; 11]);
    assert_eq!(up_to(&mut &b"abc"[..], 3).unwrap(), b"abc");
}
