use super::*;

const CONFIG: &str = "\
current-context: b
contexts:
- {name: a, context: {user: one}}
- {name: b, context: {user: two}}
users:
- {name: one, user: {client-certificate-data: b25l}}
- {name: two, user: {client-certificate-data: dHdv, client-key-data: a2V5}}
";

fn shown(file: &str) -> Result<Option<(String, Option<String>)>, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let found = embedded(file.as_bytes())?;
    Ok(found.map(|one| (text(&one.certificate), one.key.as_ref().map(|key| text(key)))))
}

#[test]
fn the_user_of_the_current_context_counts() {
    assert_eq!(shown(CONFIG), Ok(Some(("two".into(), Some("key".into())))));
    assert_eq!(shown(&CONFIG.replace("context: b", "context: a")), Ok(Some(("one".into(), None))));
    // Two users and nothing that chooses one.
    assert_eq!(shown(&CONFIG.replace("context: b", "context: c")), Ok(None));
    // JSON is YAML; one user needs no context; a token is no certificate.
    assert_eq!(
        shown(r#"{"users": [{"user": {"client-certificate-data": "b25l"}}]}"#),
        Ok(Some(("one".into(), None)))
    );
    assert_eq!(shown("users: [{name: a, user: {token: abc}}]"), Ok(None));
    for odd in ["5", "[]", "users: 5", "users: [5]", "users: [{user: 5}]", "contexts: [{context: 5}]"] {
        assert_eq!(shown(odd), Ok(None), "{odd}");
    }
    let why = shown("users: [{user: {client-certificate-data: 'secret*'}}]");
    assert_eq!(why, Err("its `client-certificate-data` is no base64".into()));
    assert!(shown("a: secret\nb: [secret").unwrap_err().starts_with("it is no YAML: line "));
    assert_eq!(embedded(&[0xff]).err(), Some("it is no text".into()));
}

#[test]
fn the_key_that_writes_is_the_first_of_the_first_provider_that_encrypts() {
    let key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    let file = |providers: &str| {
        format!(
            "kind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers: {providers}\n"
        )
    };
    let read = |text: &str| -> Result<Option<(String, String, bool)>, String> {
        let found = encryption(text.as_bytes())?;
        Ok(found.map(|one| {
            assert_eq!(one.key.octets(), b"01234567890123456789012345678901");
            (one.provider, one.name, one.others)
        }))
    };
    let first = format!("[identity: {{}}, secretbox: {{keys: [{{name: new, secret: {key}}}]}}]");
    assert_eq!(read(&file(&first)), Ok(Some(("secretbox".into(), "new".into(), false))));
    let second = format!("[aescbc: {{keys: [{{name: a, secret: {key}}}, {{name: b, secret: {key}}}]}}]");
    assert_eq!(read(&file(&second)), Ok(Some(("aescbc".into(), "a".into(), true))));
    assert_eq!(read(&file("[identity: {}]")), Ok(None));
    assert_eq!(read(&file(&first).replace("EncryptionConfiguration", "Pod")), Ok(None));
    let why = |text: &str| read(text).unwrap_err();
    assert_eq!(
        why(&file("[kms: {name: x, endpoint: 'unix:///x'}]")),
        "its provider `kms` has no key in the file"
    );
    assert_eq!(
        why(&file("[aesgcm: {keys: [{name: a, secret: c2VjcmV0}]}]")),
        "its key is not 32 octets long, as kmh's keys are"
    );
    assert_eq!(why(&file("[aesgcm: {keys: [{name: a, secret: '*'}]}]")), "its key is no base64");
}
