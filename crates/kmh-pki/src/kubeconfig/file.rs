//! A kubeconfig file with everything in it: for people, who carry it about, and as kubeadm writes them. Services of our own
//! refer to files instead.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::cert::Certificate;
use crate::secret::Secret;

/// Whose it is.
pub struct User<'a> {
    /// The cluster's name.
    pub cluster: &'a str,
    /// Where the API server is.
    pub server: &'a str,
    /// The trusted CAs that may have signed the API server's certificate, PEM.
    pub authorities: &'a str,
    /// The user's name.
    pub name: &'a str,
    /// The user's certificate.
    pub certificate: &'a Certificate,
    /// Its key.
    pub key: &'a Secret,
}

/// Base64 in memory that is cleared.
pub fn base64(octets: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(vec![0; octets.len().div_ceil(3) * 4]);
    let length = STANDARD.encode_slice(octets, &mut out[..]).unwrap_or(0);
    out.truncate(length);
    out
}

/// The file. JSON's quotes are YAML's too.
pub fn write(user: &User<'_>) -> Secret {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let head = format!(
        "apiVersion: v1\nkind: Config\n\
         clusters:\n- name: {cluster}\n  cluster:\n    server: {server}\n    certificate-authority-data: {authorities}\n\
         contexts:\n- name: {context}\n  context: {{cluster: {cluster}, user: {name}}}\n\
         current-context: {context}\n\
         users:\n- name: {name}\n  user:\n    client-certificate-data: {certificate}\n    client-key-data: ",
        cluster = quoted(user.cluster),
        server = quoted(user.server),
        authorities = STANDARD.encode(user.authorities),
        context = quoted(&format!("{}@{}", user.name, user.cluster)),
        name = quoted(user.name),
        certificate = STANDARD.encode(&user.certificate.pem),
    );
    let key = base64(user.key.octets());
    // The exact size at once: a growing vector would leave copies behind.
    let mut out = Zeroizing::new(Vec::with_capacity(head.len() + key.len() + 1));
    for part in [head.as_bytes(), &key, b"\n"] {
        out.extend_from_slice(part);
    }
    Secret::new(out)
}
