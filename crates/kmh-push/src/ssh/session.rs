//! A way into a machine: connected, the host key judged, logged in.

use std::io::ErrorKind;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kmh_cli::text::printable;
use ssh2::{ErrorCode, MethodType, PublicKey, Session};
use zeroize::Zeroizing;

use super::known_hosts::{Key, KnownHosts, Trust, Verdict, algorithm_of, fingerprint};
use crate::target::Trouble;

const CONNECT: Duration = Duration::from_secs(10);
/// Milliseconds that one answer may take until the login is done.
const ANSWER: u32 = 20_000;
/// sshd gives up after six tries (`MaxAuthTries`), and newer ones lock the address out.
const TRIES: usize = 5;

/// Algorithms of host keys that libssh2 speaks, best first, with what is asked for in the handshake.
const ALGORITHMS: [(&str, &str); 5] = [
    ("ssh-ed25519", "ssh-ed25519"),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"),
    ("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384"),
    ("ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521"),
    ("ssh-rsa", "rsa-sha2-512,rsa-sha2-256"),
];

/// How the admin's side is set up; the same for all machines.
#[derive(Default)]
pub(crate) struct Setup {
    /// Trusted host keys.
    pub(crate) known: KnownHosts,
    /// The files that they came from, for messages.
    pub(crate) known_name: String,
    /// `--identity`.
    pub(crate) identity: Option<PathBuf>,
    /// The agent's socket.
    pub(crate) agent: Option<PathBuf>,
    /// `HOME`, for `~/` and the usual key files.
    pub(crate) home: Option<PathBuf>,
}

/// Where to go.
pub(crate) struct Address<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) user: &'a str,
    /// Keys that the inventory pins, `ALGORITHM BASE64`.
    pub(crate) pins: Vec<&'a str>,
    /// Key file that the inventory names.
    pub(crate) identity: Option<&'a str>,
}

impl Address<'_> {
    fn place(&self) -> String {
        if self.port == 22 { self.host.to_owned() } else { format!("[{}]:{}", self.host, self.port) }
    }
}

/// A session that is logged in, and its socket to wait on.
pub(crate) struct Login {
    pub(crate) session: Session,
    pub(crate) socket: TcpStream,
}

/// Connects, judges the host key, logs in.
pub(crate) fn login(setup: &Setup, address: &Address<'_>) -> Result<Login, Trouble> {
    let trust = trust(setup, address)?;
    let socket = connect(address)?;
    let failed = |error: &dyn std::fmt::Display| {
        Trouble::unreachable(format!("no SSH with `{}`: {error}", address.place()))
    };
    let mut session = Session::new().map_err(|error| failed(&error.message()))?;
    session.set_timeout(ANSWER);
    let handshake =
        |error: &ssh2::Error| failed(&words(error, "the handshake", Duration::from_millis(ANSWER.into())));
    session.set_tcp_stream(socket.try_clone().map_err(|error| failed(&error))?);
    // Only types that are known: otherwise a server that also has another key, or a certificate, shows that one.
    let asked: Vec<&str> = ALGORITHMS
        .iter()
        .filter(|(name, _)| trust.keys.is_empty() || trust.keys.iter().any(|key| key.algorithm == *name))
        .map(|(_, asked)| *asked)
        .collect();
    if asked.is_empty() {
        let known: Vec<&str> = trust.keys.iter().map(|key| key.algorithm.as_str()).collect();
        return Err(Trouble::failed(format!(
            "host keys of `{}` are known, of types only that libssh2 lacks: {}",
            address.place(),
            known.join(", ")
        ))
        .hint("make its ed25519 key known"));
    }
    session.method_pref(MethodType::HostKey, &asked.join(",")).map_err(|error| failed(&error.message()))?;
    session.handshake().map_err(|error| match error.code() {
        // LIBSSH2_ERROR_KEX_FAILURE, and the key that is not of the type that was agreed on.
        ErrorCode::Session(-5) => Trouble::failed(format!(
            "`{}` has no host key of a known type ({})",
            address.place(),
            asked.join(", ")
        ))
        .hint(format!(
            "its key was replaced, or it is another machine; what is known is in {}",
            setup.known_name
        )),
        _ => handshake(&error),
    })?;
    let (blob, _) = session.host_key().ok_or_else(|| failed(&"the server showed no host key"))?;
    judge(setup, address, &trust, blob)?;
    authenticate(setup, address, &session)?;
    Ok(Login { session, socket })
}

/// What is trusted: the inventory's pins alone when there are any, the known-hosts file otherwise. Revoked stays revoked.
fn trust(setup: &Setup, address: &Address<'_>) -> Result<Trust, Trouble> {
    let mut trust = setup.known.trust(address.host, address.port);
    if !address.pins.is_empty() {
        trust.keys.clear();
        for pin in &address.pins {
            let mut words = pin.split(' ');
            let (algorithm, base64) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
            let key = Key::parse(algorithm, base64, "ssh.host_keys in the inventory".to_owned()).ok_or_else(
                || Trouble::failed(format!("`{}` in ssh.host_keys is no host key", printable(pin))),
            )?;
            trust.keys.push(key);
        }
    }
    Ok(trust)
}

fn judge(setup: &Setup, address: &Address<'_>, trust: &Trust, blob: &[u8]) -> Result<(), Trouble> {
    let place = address.place();
    let shown = format!("{} {}", algorithm_of(blob).unwrap_or("?"), fingerprint(blob));
    let line = || format!("{place} {} {}", algorithm_of(blob).unwrap_or("?"), STANDARD.encode(blob));
    match trust.judge(blob) {
        Verdict::Known => Ok(()),
        Verdict::Revoked(key) => {
            Err(Trouble::failed(format!("host key of `{place}` is revoked: {shown}, by {}", key.at))
                .hint("give the machine a new host key"))
        }
        Verdict::Changed => {
            let known: Vec<String> = trust
                .keys
                .iter()
                .map(|key| format!("{} {} ({})", key.algorithm, key.fingerprint(), key.at))
                .collect();
            Err(Trouble::failed(format!("host key of `{place}` is {shown}, known is {}", known.join(", ")))
                .hint("somebody may be in between; when the machine was set up anew, replace its known key"))
        }
        Verdict::Unknown => {
            let also = if trust.authority { "; `@cert-authority` lines are not supported" } else { "" };
            let hint = format!(
                "compare the fingerprint with the machine's own, then add `{}` to {}, or pin it in ssh.host_keys",
                line(),
                setup.known_name
            );
            Err(Trouble::failed(format!("host key of `{place}` is not known: {shown}{also}")).hint(hint))
        }
    }
}

fn connect(address: &Address<'_>) -> Result<TcpStream, Trouble> {
    let host = address.host.trim_start_matches('[').trim_end_matches(']');
    let found = (host, address.port)
        .to_socket_addrs()
        .map_err(|error| Trouble::unreachable(format!("`{}` has no address: {error}", address.host)))?;
    let mut last = None;
    for one in found {
        match TcpStream::connect_timeout(&one, CONNECT) {
            Ok(socket) => {
                // Requests are small and waited for.
                let _ = socket.set_nodelay(true);
                return Ok(socket);
            }
            Err(error) => last = Some(error),
        }
    }
    let why = last.map_or_else(|| "it has no address".to_owned(), |error| error.to_string());
    Err(Trouble::unreachable(format!("no connection to `{}`: {why}", address.place())))
}

/// Logs in: with the named key file and nothing else, or else with the agent's keys, then the usual files.
fn authenticate(setup: &Setup, address: &Address<'_>, session: &Session) -> Result<(), Trouble> {
    let named = setup.identity.clone().or_else(|| address.identity.map(|path| expand(setup, path)));
    let mut tried = Vec::new();
    let agent_keys = agent(setup, session);
    if let Some(file) = &named {
        let public = public_half(file);
        if let Some((agent, keys)) = &agent_keys
            && let Some(key) = keys.iter().find(|key| public.as_deref() == Some(key.blob()))
            && agent.userauth(address.user, key).is_ok()
        {
            return Ok(());
        }
        return with_file(session, address, file);
    }
    if let Some((agent, keys)) = &agent_keys {
        for key in keys.iter().take(TRIES) {
            if agent.userauth(address.user, key).is_ok() {
                return Ok(());
            }
            tried.push(format!("the agent's `{}`", printable(key.comment())));
        }
    }
    for name in ["id_ed25519", "id_ecdsa", "id_rsa"] {
        let Some(file) = setup.home.as_ref().map(|home| home.join(".ssh").join(name)) else { break };
        if tried.len() < TRIES && file.exists() {
            match with_file(session, address, &file) {
                Ok(()) => return Ok(()),
                Err(trouble) => tried.push(trouble.message),
            }
        }
    }
    let what = if tried.is_empty() { "there is no key to try".to_owned() } else { tried.join("; ") };
    Err(Trouble::failed(format!("no login as `{}` on `{}`: {what}", address.user, address.place()))
        .hint("name a key with --identity FILE or ssh.identity, or add it to an agent with ssh-add"))
}

fn expand(setup: &Setup, path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), &setup.home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

/// The agent and its keys, when there is one that answers.
fn agent(setup: &Setup, session: &Session) -> Option<(ssh2::Agent, Vec<PublicKey>)> {
    let socket = setup.agent.as_ref()?;
    let mut agent = session.agent().ok()?;
    agent.set_identity_path(socket).ok()?;
    agent.connect().ok()?;
    agent.list_identities().ok()?;
    let keys = agent.identities().ok()?;
    Some((agent, keys))
}

/// The key in `FILE.pub`.
fn public_half(file: &Path) -> Option<Vec<u8>> {
    let mut name = file.as_os_str().to_owned();
    name.push(".pub");
    let text = std::fs::read_to_string(PathBuf::from(name)).ok()?;
    STANDARD.decode(text.split_whitespace().nth(1)?).ok()
}

fn with_file(session: &Session, address: &Address<'_>, file: &Path) -> Result<(), Trouble> {
    let shown = printable(&file.display().to_string());
    usable(file).map_err(|(why, hint)| {
        Trouble::failed(format!("key file `{shown}` {why}"))
            .hint(format!("{hint} --identity or ssh.identity"))
    })?;
    session.userauth_pubkey_file(address.user, None, file, None).map_err(|error| {
        let message = format!(
            "`{}` does not let `{}` in with key file `{shown}`: {}",
            address.place(),
            address.user,
            words(&error, "the login", Duration::from_millis(ANSWER.into()))
        );
        Trouble::failed(message).hint("is its public half in that user's authorized_keys?")
    })
}

/// Whether a key file can be used: there, its owner's alone, and not encrypted, for nobody is asked for a passphrase.
/// Else why not, and how to go on, but for the options that name another.
fn usable(file: &Path) -> Result<(), (String, &'static str)> {
    use std::os::unix::fs::PermissionsExt as _;
    let unreadable = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => ("is not there".to_owned(), "name one that is, with"),
        _ => (format!("cannot be read: {error}"), "name one that you may read, with"),
    };
    let meta = std::fs::metadata(file).map_err(unreadable)?;
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let why = format!("has mode {mode:04o}: others may use it");
        return Err((why, "give it mode 0600, or name another with"));
    }
    let text = Zeroizing::new(std::fs::read(file).map_err(unreadable)?);
    if is_encrypted(&text) {
        let why = "is encrypted, and kmh-push asks for no passphrase".to_owned();
        return Err((why, "unlock it with `ssh-add`, or name another with"));
    }
    Ok(())
}

/// What libssh2 says, in words: what was waited for, and how long.
pub(super) fn words(error: &ssh2::Error, during: &str, waited: Duration) -> String {
    match error.code() {
        // LIBSSH2_ERROR_TIMEOUT, LIBSSH2_ERROR_SOCKET_TIMEOUT
        ErrorCode::Session(-9 | -30) => {
            format!("{during} had no answer for {} s", waited.as_secs())
        }
        // LIBSSH2_ERROR_SOCKET_SEND, _SOCKET_DISCONNECT, _SOCKET_RECV
        ErrorCode::Session(-7 | -13 | -43) => format!("the connection was cut off during {during}"),
        _ => error.message().to_owned(),
    }
}

/// PKCS #8 and old PEM say so in their text; OpenSSH's own form names the cipher behind its magic words.
fn is_encrypted(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    if text.contains("ENCRYPTED") {
        return true;
    }
    let body: Zeroizing<String> = Zeroizing::new(
        text.lines().filter(|line| !line.starts_with("-----")).take(2).map(str::trim).collect(),
    );
    // Enough for the beginning: "openssh-key-v1", a zero, the length of the cipher's name, the name.
    let head = body.get(..32).unwrap_or("");
    match STANDARD.decode(head) {
        Ok(head) if head.starts_with(b"openssh-key-v1\0") => head.get(15..23) != Some(b"\0\0\0\x04none"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_waited_for_is_said_in_words() {
        let said = |code| {
            let error = ssh2::Error::new(ErrorCode::Session(code), "Timed out waiting on socket");
            words(&error, "the handshake", Duration::from_secs(20))
        };
        assert_eq!(said(-9), "the handshake had no answer for 20 s");
        assert_eq!(said(-13), "the connection was cut off during the handshake");
        assert_eq!(said(-2), "Timed out waiting on socket");
    }

    #[test]
    fn a_key_file_that_is_not_there_is_not_called_locked() {
        let (why, hint) = usable(Path::new("/nowhere/nofile")).unwrap_err();
        assert_eq!((why.as_str(), hint), ("is not there", "name one that is, with"));
        let (why, _) = usable(Path::new("/proc/self/cmdline/x")).unwrap_err();
        assert!(why.starts_with("cannot be read: "), "{why}");
    }
}
