//! Whether what files refer to is there: every absolute path in a unit or configuration leads to a file of the
//! machine, to a program that is installed, or to something that the system provides.

use kmh_doc::bundle::MachineKind;

use super::files::place;
use super::view::{Body, Bundle, View, ending};
use crate::findings::Findings;
use crate::parse::paths::paths;

/// Files and folders that the system, a package or the program itself makes, each with the reason. A folder stands
/// for everything below it. Documented in docs/checks.md.
pub(crate) const PROVIDED: &[(&str, &str)] = &[
    ("/bin", "programs of the distribution"),
    ("/dev", "devices"),
    ("/etc/cni/net.d", "written by Calico's installer"),
    ("/etc/containerd/certs.d", "mirrors of registries, read where there are any"),
    ("/etc/haproxy/errors", "from the package haproxy"),
    ("/etc/hosts", "of the distribution"),
    ("/etc/netns", "per-namespace files, made with the namespace"),
    ("/etc/resolv.conf", "of the distribution; `bundle.resolv-conf` looks at it"),
    ("/etc/ssl/certs", "from the package ca-certificates"),
    ("/lib/modules", "modules of the kernel"),
    ("/opt/cni/bin", "network plugins: installed, and by Calico's installer"),
    ("/proc", "the kernel"),
    ("/run", "made at run time"),
    ("/sbin", "programs of the distribution"),
    ("/sys", "the kernel"),
    ("/tmp", "of the distribution"),
    ("/usr/bin", "programs of the distribution"),
    ("/usr/lib", "from packages"),
    ("/usr/libexec", "from packages, and kubelet's volume plugins"),
    ("/usr/sbin", "programs of the distribution"),
    ("/usr/share", "from packages"),
    ("/var/etc", "pfSense writes its daemons' files there"),
    ("/var/lib/calico", "made by Calico"),
    ("/var/lib/cni", "made by network plugins"),
    ("/var/lib/containerd", "made by containerd"),
    ("/var/lib/etcd", "made by etcd"),
    ("/var/lib/haproxy", "from the package haproxy"),
    ("/var/lib/kubelet", "made by kubelet; files of the bundle in it are looked for by name"),
    ("/var/log", "of the distribution"),
    ("/var/run", "made at run time"),
];

/// What docs/checks.md says about the list.
#[cfg(test)]
pub(crate) const ABOUT: &str = "
`bundle.references` takes a path for good when it is a file of the machine, a program that is installed, a folder that
one of these lies in, or lies below one of the following. Files below `/etc/kubernetes`, `/etc/swanctl`,
`/var/lib/kubelet/pki` and kubelet's and haproxy's configuration must be in the bundle in any case. Lines that begin
with `#`, `!` or `;` are not looked at, nor are manifests (their paths are inside containers) and pfSense's settings.
";

/// Folders that are searched, whatever lies in them. What is started from them by its path must be there.
const SEARCHED: &[&str] = &["/usr/local/bin", "/usr/local/sbin"];

/// Paths of HTTP requests, which look like paths of files.
const REQUESTS: &[&str] =
    &["/api", "/apis", "/healthz", "/livez", "/metrics", "/openapi", "/readyz", "/swagger", "/version"];

/// Files below these folders must be in the bundle even where the folder itself is provided: they are kmh's own.
const OWN: &[&str] = &[
    "/etc/kubernetes",
    "/etc/swanctl",
    "/var/lib/kubelet/pki",
    "/var/lib/kubelet/config",
    "/etc/haproxy/haproxy.cfg",
];

/// `bundle.references`: nothing refers to a file that will not be there.
pub(crate) fn references(bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    for view in &bundle.machines {
        // Manifests name paths inside containers, pfSense's settings paths of pfSense.
        if matches!(view.machine.kind, MachineKind::Cluster | MachineKind::Pfsense)
            || !out.look_at(view.name())
        {
            continue;
        }
        let folders = folders(view);
        for (path, text) in &view.files {
            if !is_configuration(path, text) {
                continue;
            }
            for reference in paths(&text.text) {
                let plain = reference.trim_end_matches('/').split(['@', '%']).next().unwrap_or_default();
                let plain = plain.trim_end_matches('/');
                if !is_there(view, &folders, plain) && !is_key_of_pki(view, plain) {
                    out.critical(
                        &place(view.name(), path),
                        format!("it refers to `{plain}`, which is neither in the bundle nor from the system"),
                        "correct the path, or have that file rendered",
                    );
                }
            }
        }
    }
}

/// Whether it is the key beside a certificate of the PKI. Some are made on their machines; that all others are in the
/// bundle is a matter of `bundle.certificates`.
fn is_key_of_pki(view: &View<'_>, path: &str) -> bool {
    let certificate =
        path.strip_suffix(".key").and_then(|stem| view.files.get(format!("{stem}.crt").as_str()));
    certificate.is_some_and(|body| body.file.origin.starts_with("pki:"))
}

/// The folders that the files of a machine lie in.
fn folders<'v>(view: &'v View<'_>) -> std::collections::BTreeSet<&'v str> {
    let files = view.files.keys().copied().chain(view.machine.artifacts.iter().map(|a| a.path.as_str()));
    files
        .flat_map(|path| path.match_indices('/').map(move |(at, _)| &path[..at]))
        .filter(|f| !f.is_empty())
        .collect()
}

/// Whether a file is one whose paths are looked at: no certificate, and no secret alone.
fn is_configuration(path: &str, text: &Body<'_>) -> bool {
    !["crt", "key", "pub", "pem"].contains(&ending(path)) && !text.text.starts_with("-----BEGIN ")
}

fn below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_there(view: &View<'_>, folders: &std::collections::BTreeSet<&str>, path: &str) -> bool {
    if path.is_empty()
        || view.files.contains_key(path)
        || view.machine.artifacts.iter().any(|a| a.path == path)
    {
        return true;
    }
    if REQUESTS.iter().any(|request| below(path, request)) {
        return true;
    }
    let own = OWN.iter().any(|own| path.starts_with(own));
    // A folder counts when something lies in it; `/` before a component's name alone never does.
    folders.contains(path)
        || SEARCHED.contains(&path)
        || (!own && PROVIDED.iter().any(|(folder, _)| below(path, folder)))
}

/// `bundle.ownership`: a program that runs as another user can read the secrets that it is given.
pub(crate) fn ownership(bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    for view in &bundle.machines {
        if !out.look_at(view.name()) {
            continue;
        }
        for (path, unit) in &view.units {
            let user = unit.values("Service", "User").last().unwrap_or("root");
            if user.is_empty() || user == "root" {
                continue;
            }
            let Some(text) = view.files.get(path) else { continue };
            for reference in paths(&text.text) {
                let Some(target) = view.files.get(reference) else { continue };
                let owner = target.file.owner.split(':').next().unwrap_or_default();
                if !target.secrets.is_empty() && owner != user {
                    out.critical(
                        &place(view.name(), reference),
                        format!("it belongs to `{owner}`, but `{path}` runs as `{user}` and cannot read it"),
                        "give the file to that user, or run the unit as the file's owner",
                    );
                }
            }
        }
    }
}
