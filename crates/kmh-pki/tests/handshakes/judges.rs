//! The same handshakes by three programs that share no code: rustls, Python's ssl at its strictest, openssl's own two.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Error, RootCertStore, ServerConfig, ServerConnection,
};
use serde_json::json;
use time::OffsetDateTime;

use crate::common::{Place, Ran};
use crate::graph::{End, Job};

/// A clock that stands.
#[derive(Debug)]
struct At(OffsetDateTime);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.unix_timestamp()).unwrap();
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
    }
}

type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn pair(end: &End) -> Pair {
    let path = |ending: &str| end.folder.join(format!("{}.{ending}", end.file));
    let chain = CertificateDer::pem_file_iter(path("crt")).unwrap().map(Result::unwrap).collect();
    (chain, PrivateKeyDer::from_pem_file(path("key")).unwrap())
}

fn roots(end: &End) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let file = end.folder.join(format!("{}.bundle", end.trusts));
    for one in CertificateDer::pem_file_iter(file).unwrap() {
        roots.add(one.unwrap()).unwrap();
    }
    Arc::new(roots)
}

fn why(error: &Error) -> String {
    use CertificateError as C;
    let error = match error {
        Error::InvalidCertificate(error) => error,
        Error::NoCertificatesPresented => return "none".to_owned(),
        other => return other.to_string(),
    };
    let word = match error {
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => "purpose",
        // Two generations of a CA have one name, so a signature is tried, and fails.
        C::UnknownIssuer | C::BadSignature => "issuer",
        C::NotValidForName | C::NotValidForNameContext { .. } => "name",
        C::Expired | C::ExpiredContext { .. } => "ended",
        C::NotValidYet | C::NotValidYetContext { .. } => "early",
        other => return other.to_string(),
    };
    word.to_owned()
}

/// By rustls, in memory, at that time.
pub(crate) fn rustls(job: &Job, now: OffsetDateTime) -> String {
    let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
    let (chain, key) = pair(&job.server);
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots(&job.server), Arc::clone(&provider)).build();
    let server = ServerConfig::builder_with_details(Arc::clone(&provider), Arc::new(At(now)))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    let verifier =
        WebPkiServerVerifier::builder_with_provider(roots(&job.client), Arc::clone(&provider)).build();
    let client = ClientConfig::builder_with_details(provider, Arc::new(At(now)))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_webpki_verifier(verifier.unwrap());
    let client = if job.client.file.is_empty() {
        client.with_no_client_auth()
    } else {
        let (chain, key) = pair(&job.client);
        client.with_client_auth_cert(chain, key).unwrap()
    };
    let name = ServerName::try_from(job.name.clone()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut unread = wire.as_slice();
        while !unread.is_empty() {
            server.read_tls(&mut unread).unwrap();
            if let Err(error) = server.process_new_packets() {
                return format!("server: {}", why(&error));
            }
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut unread = wire.as_slice();
        while !unread.is_empty() {
            client.read_tls(&mut unread).unwrap();
            if let Err(error) = client.process_new_packets() {
                return format!("client: {}", why(&error));
            }
        }
    }
    "fine".to_owned()
}

/// The words for OpenSSL's numbers (`openssl/x509_vfy.h`), and for what is no number.
const REASONS: [(&str, &str); 10] = [
    ("7", "issuer"),
    ("9", "early"),
    ("10", "ended"),
    // OpenSSL sends its own CA along, unasked.
    ("19", "issuer"),
    ("20", "issuer"),
    ("26", "purpose"),
    ("30", "issuer"),
    ("62", "name"),
    ("64", "name"),
    ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "none"),
];

fn word(reason: &str) -> String {
    let known = REASONS.iter().find(|one| one.0 == reason);
    known.map_or_else(|| format!("error {reason}"), |one| one.1.to_owned())
}

/// Python's flag is what Python 3.13 sets by default.
const PYTHON: &str = r#"
import json, ssl, sys
contexts = {}
def context(side, folder, file, trusts):
    key = (side, folder, file, trusts)
    if key not in contexts:
        c = contexts[key] = ssl.SSLContext(side)
        if file:
            c.load_cert_chain(f"{folder}/{file}.crt", f"{folder}/{file}.key")
        c.load_verify_locations(f"{folder}/{trusts}.bundle")
        c.verify_mode = ssl.CERT_REQUIRED
        c.verify_flags |= ssl.VERIFY_X509_STRICT
    return contexts[key]
def shake(server, client, name):
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = {
        "client": context(ssl.PROTOCOL_TLS_CLIENT, *client).wrap_bio(down, up, server_hostname=name),
        "server": context(ssl.PROTOCOL_TLS_SERVER, *server).wrap_bio(up, down, server_side=True),
    }
    for _ in range(9):
        for who, end in list(ends.items()):
            try:
                end.do_handshake()
                del ends[who]
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLCertVerificationError as e:
                return f"{who} {e.verify_code}"
            except ssl.SSLError as e:
                return f"{who} {e.reason}"
        if not ends:
            return "fine"
    return "no end"
for job in json.load(sys.stdin):
    print(shake(*job))
"#;

/// By Python, in memory, all in one process.
pub(crate) fn python(jobs: &[Job]) -> Vec<String> {
    let end = |end: &End| json!([end.folder, end.file, end.trusts]);
    let all: Vec<_> = jobs.iter().map(|job| json!([end(&job.server), end(&job.client), job.name])).collect();
    let mut command = Command::new("python3");
    command.args(["-c", PYTHON]);
    let ran = Ran::of(command, &json!(all).to_string()).exits(0);
    ran.stdout
        .lines()
        .map(|line| match line.split_once(' ') {
            Some((who, number)) => format!("{who}: {}", word(number)),
            None => line.to_owned(),
        })
        .collect()
}

/// By `openssl s_server` and `openssl s_client`, through a socket: the client asks for a page, and has it or not.
pub(crate) fn openssl(place: &Place, job: &Job) -> String {
    let credentials = |command: &mut Command, end: &End| {
        let path = |file: &str, ending: &str| end.folder.join(format!("{file}.{ending}"));
        if !end.file.is_empty() {
            command.arg("-cert").arg(path(&end.file, "crt")).arg("-key").arg(path(&end.file, "key"));
        }
        command.arg("-CAfile").arg(path(end.trusts, "bundle"));
        command.args(["-no-CApath", "-no-CAstore", "-x509_strict", "-verify_return_error"]);
        command.current_dir(place.path());
    };
    let mut server = Command::new("openssl");
    server.args(["s_server", "-accept", "127.0.0.1:0", "-naccept", "1", "-www", "-Verify", "1"]);
    credentials(&mut server, &job.server);
    let mut server =
        server.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap());
    let mut line = String::new();
    let address = loop {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "the server did not start");
        if let Some(address) = line.trim().strip_prefix("ACCEPT ") {
            break address.to_owned();
        }
    };
    let mut client = Command::new("openssl");
    client.args(["s_client", "-connect", &address, "-quiet"]);
    let by = if job.name.parse::<std::net::IpAddr>().is_ok() { "-verify_ip" } else { "-verify_hostname" };
    client.args([by, &job.name]);
    credentials(&mut client, &job.client);
    let ran = Ran::of(client, "GET / HTTP/1.0\r\n\r\n");
    let mut said = String::new();
    lines.read_to_string(&mut said).unwrap();
    server.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    server.wait().unwrap();
    let number = |text: &str| match text.split_once("verify error:num=") {
        Some((_, rest)) => Some(word(rest.split(':').next()?)),
        None => text.contains("peer did not return a certificate").then(|| "none".to_owned()),
    };
    match (ran.stdout.contains("200 ok"), number(&ran.stderr), number(&said)) {
        (true, None, None) => "fine".to_owned(),
        (false, Some(why), _) => format!("client: {why}"),
        (false, None, Some(why)) => format!("server: {why}"),
        _ => format!("{}\n{}\n{said}", ran.stdout, ran.stderr),
    }
}
