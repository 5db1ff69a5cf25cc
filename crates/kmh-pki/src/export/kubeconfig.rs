//! A kubeconfig file with everything in it, as kubeadm writes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::cert::Certificate;
use crate::secret::Secret;

/// Whose it is.
pub(super) struct User<'a> {
    /// The cluster's name.
    pub(super) cluster: &'a str,
    /// Where the API server is.
    pub(super) server: &'a str,
    /// The CA that signed the API server's certificate.
    pub(super) authority: Option<&'a Certificate>,
    /// The user's name.
    pub(super) name: &'a str,
    /// The user's certificate.
    pub(super) certificate: &'a Certificate,
    /// Its key.
    pub(super) key: &'a Secret,
}

/// Base64 in memory that is cleared.
pub(super) fn base64(octets: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(vec![0; octets.len().div_ceil(3) * 4]);
    let length = STANDARD.encode_slice(octets, &mut out[..]).unwrap_or(0);
    out.truncate(length);
    out
}

/// The file. JSON's quotes are YAML's too.
pub(super) fn write(user: &User<'_>) -> Secret {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let context = format!("{}@{}", user.name, user.cluster);
    let authority = user.authority.map(|one| STANDARD.encode(&one.pem)).unwrap_or_default();
    let head = format!(
        "apiVersion: v1\nkind: Config\n\
         clusters:\n- name: {cluster}\n  cluster:\n    server: {server}\n    certificate-authority-data: {authority}\n\
         contexts:\n- name: {context}\n  context: {{cluster: {cluster}, user: {name}}}\n\
         current-context: {context}\n\
         users:\n- name: {name}\n  user:\n    client-certificate-data: {certificate}\n    client-key-data: ",
        cluster = quoted(user.cluster),
        server = quoted(user.server),
        context = quoted(&context),
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
