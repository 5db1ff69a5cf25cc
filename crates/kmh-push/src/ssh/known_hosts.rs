//! Which host keys are trusted: known-hosts files as OpenSSH reads them, sshd(8), section
//! `SSH_KNOWN_HOSTS FILE FORMAT`.
//!
//! libssh2's own check takes a key marked `@revoked` for a match, knows no patterns, and ignores other key types of the
//! same host, so it is not used.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hmac::{Hmac, Mac as _};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// A line of a known-hosts file.
struct Line {
    marker: Marker,
    hosts: String,
    key: Key,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Marker {
    None,
    Revoked,
    Authority,
}

/// A public key and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// Its algorithm, as the key itself names it.
    pub(crate) algorithm: String,
    /// Its wire form (RFC 4253, 6.6).
    pub(crate) blob: Vec<u8>,
    /// File and line.
    pub(crate) at: String,
}

impl Key {
    /// From `ALGORITHM BASE64`; none when it is no key.
    pub(crate) fn parse(algorithm: &str, base64: &str, at: String) -> Option<Self> {
        let blob = STANDARD.decode(base64).ok()?;
        let right = algorithm_of(&blob)? == algorithm;
        right.then(|| Self { algorithm: algorithm.to_owned(), blob, at })
    }

    /// As `ssh-keygen -l` prints it.
    pub(crate) fn fingerprint(&self) -> String {
        fingerprint(&self.blob)
    }
}

/// `SHA256:…` of a key.
pub(crate) fn fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(blob)))
}

/// The first field of a key's wire form: its algorithm.
pub(crate) fn algorithm_of(blob: &[u8]) -> Option<&str> {
    let (length, rest) = blob.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let name = std::str::from_utf8(rest.get(..length)?).ok()?;
    let right = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
    right.then_some(name)
}

/// The lines of known-hosts files.
#[derive(Default)]
pub(crate) struct KnownHosts {
    lines: Vec<Line>,
}

/// What is known of one host.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Trust {
    /// Keys it may have.
    pub(crate) keys: Vec<Key>,
    /// Keys nobody may have.
    pub(crate) revoked: Vec<Key>,
    /// Whether a certificate authority is named for it, which kmh-push cannot use.
    pub(crate) authority: bool,
}

/// What a presented key is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict<'a> {
    /// The host's.
    Known,
    /// Marked as stolen.
    Revoked(&'a Key),
    /// Another than the host's.
    Changed,
    /// The host has none.
    Unknown,
}

impl Trust {
    /// Judges a key that a server presented.
    pub(crate) fn judge(&self, blob: &[u8]) -> Verdict<'_> {
        if let Some(key) = self.revoked.iter().find(|key| key.blob == blob) {
            return Verdict::Revoked(key);
        }
        match self.keys.iter().any(|key| key.blob == blob) {
            true => Verdict::Known,
            false if self.keys.is_empty() => Verdict::Unknown,
            false => Verdict::Changed,
        }
    }
}

impl KnownHosts {
    /// Adds the lines of a file. Like OpenSSH, it skips what it does not understand: a skipped line trusts nobody.
    pub(crate) fn read(&mut self, text: &str, name: &str) {
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_matches([' ', '\t', '\r']);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
            let Some(mut first) = words.next() else { continue };
            let marker = match first {
                "@revoked" => Marker::Revoked,
                "@cert-authority" => Marker::Authority,
                other if other.starts_with('@') => continue,
                _ => Marker::None,
            };
            if marker != Marker::None {
                let Some(next) = words.next() else { continue };
                first = next;
            }
            let (Some(algorithm), Some(base64)) = (words.next(), words.next()) else { continue };
            if let Some(key) = Key::parse(algorithm, base64, format!("{name}:{}", number + 1)) {
                self.lines.push(Line { marker, hosts: first.to_owned(), key });
            }
        }
    }

    /// What is known of a host. With a port other than 22 its own lines count; when there are none, those of the plain
    /// name (ssh(1) does the same).
    pub(crate) fn trust(&self, host: &str, port: u16) -> Trust {
        let plain = host.to_ascii_lowercase();
        let full = if port == 22 { plain.clone() } else { format!("[{plain}]:{port}") };
        let mut trust = self.trust_name(&full);
        if trust.keys.is_empty() && full != plain {
            let other = self.trust_name(&plain);
            trust.keys = other.keys;
            trust.revoked.extend(other.revoked);
            trust.authority |= other.authority;
        }
        trust
    }

    fn trust_name(&self, name: &str) -> Trust {
        let mut trust = Trust::default();
        for line in self.lines.iter().filter(|line| matches(&line.hosts, name)) {
            match line.marker {
                Marker::None => trust.keys.push(line.key.clone()),
                Marker::Revoked => trust.revoked.push(line.key.clone()),
                Marker::Authority => trust.authority = true,
            }
        }
        trust
    }
}

/// Whether the host field of a line is for that name: one hash, or patterns of which a negated one excludes.
fn matches(hosts: &str, name: &str) -> bool {
    if let Some(hashed) = hosts.strip_prefix("|1|") {
        return hash_matches(hashed, name).unwrap_or(false);
    }
    let mut found = false;
    for pattern in hosts.split(',') {
        let (negated, pattern) = pattern.strip_prefix('!').map_or((false, pattern), |rest| (true, rest));
        if glob(pattern.to_ascii_lowercase().as_bytes(), name.as_bytes()) {
            if negated {
                return false;
            }
            found = true;
        }
    }
    found
}

/// `SALT|HASH`, both in base64: HMAC-SHA1 of the name with the salt as key.
fn hash_matches(hashed: &str, name: &str) -> Option<bool> {
    let (salt, hash) = hashed.split_once('|')?;
    let (salt, hash) = (STANDARD.decode(salt).ok()?, STANDARD.decode(hash).ok()?);
    let mut mac = Hmac::<Sha1>::new_from_slice(&salt).ok()?;
    mac.update(name.as_bytes());
    Some(mac.verify_slice(&hash).is_ok())
}

/// `*` and `?`, with one step back: no pattern takes more than length times length.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == b'?' || pattern[p] == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            p = at + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    // A key's wire form: the algorithm, then anything.
    fn blob(n: u8) -> Vec<u8> {
        [&[0, 0, 0, 11][..], b"ssh-ed25519", &[0, 0, 0, 1, n]].concat()
    }

    fn line(n: u8) -> String {
        format!("ssh-ed25519 {}", STANDARD.encode(blob(n)))
    }

    fn known(text: &str) -> KnownHosts {
        let mut known = KnownHosts::default();
        known.read(text, "known_hosts");
        known
    }

    #[test]
    fn names_ports_patterns_and_negation() {
        let text = format!(
            "# comment\n\na.example,b.example {}\n[a.example]:2222 {}\n*.net,!bad.net {} comment\n10.0.0.? {}\n",
            line(1),
            line(2),
            line(3),
            line(4)
        );
        let known = known(&text);
        let judge = |host, port, n| format!("{:?}", known.trust(host, port).judge(&blob(n)));
        for (host, port, n, verdict) in [
            ("a.example", 22, 1, "Known"),
            ("A.Example", 22, 1, "Known"),
            ("b.example", 22, 2, "Changed"),
            ("a.example", 2222, 2, "Known"),
            ("a.example", 2222, 1, "Changed"),
            // No line for the port: that of the name holds.
            ("b.example", 2222, 1, "Known"),
            ("x.net", 22, 3, "Known"),
            ("bad.net", 22, 3, "Unknown"),
            ("10.0.0.7", 22, 4, "Known"),
            ("10.0.0.77", 22, 4, "Unknown"),
            ("c.example", 22, 1, "Unknown"),
        ] {
            assert_eq!(judge(host, port, n), verdict, "{host}:{port}");
        }
    }

    #[test]
    fn hashed_names() {
        // Made with `ssh-keygen -H` from `[127.0.0.1]:2222`.
        let mut mac = Hmac::<Sha1>::new_from_slice(b"salt of twenty bytes").unwrap();
        mac.update(b"[h.example]:2222");
        let hash = STANDARD.encode(mac.finalize().into_bytes());
        let text = format!("|1|{}|{hash} {}\n", STANDARD.encode(b"salt of twenty bytes"), line(1));
        let known = known(&text);
        assert_eq!(known.trust("h.example", 2222).judge(&blob(1)), Verdict::Known);
        assert_eq!(known.trust("h.example", 22).judge(&blob(1)), Verdict::Unknown);
    }

    #[test]
    fn a_revoked_key_is_refused_although_another_line_has_it() {
        let text = format!("h {0}\n@revoked * {0}\n@cert-authority h {1}\n", line(1), line(2));
        let known = known(&text);
        let trust = known.trust("h", 22);
        assert!(matches!(trust.judge(&blob(1)), Verdict::Revoked(key) if key.at == "known_hosts:2"));
        assert!(trust.authority);
        assert_eq!(trust.keys.len(), 1);
    }

    #[test]
    fn lines_that_are_no_keys_trust_nobody() {
        for text in [
            "h",
            "h ssh-ed25519",
            "h ssh-ed25519 !!!",
            "h ssh-rsa AAAAC3NzaC1lZDI1NTE5",
            "@new h x y",
            "@revoked",
        ] {
            assert_eq!(known(text).trust("h", 22), Trust::default(), "{text}");
        }
    }

    #[test]
    fn globs_end() {
        assert!(
            glob(b"a*b*c", b"aXbYbZc") && !glob(b"a*b*c", b"aXbYbZ") && glob(b"*", b"") && !glob(b"?", b"")
        );
        assert!(!glob(&[b'*'; 500].map(|c| c), &[]) || glob(b"**", b""));
    }
}
