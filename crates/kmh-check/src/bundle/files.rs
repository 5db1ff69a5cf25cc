//! Each file by itself: its path, owner and mode, and what must not stand in it.

use std::collections::BTreeSet;

use kmh_doc::bundle::{File, MachineKind, Segment};

use super::RENDER;
use super::view::Bundle;
use crate::findings::Findings;

/// `bundle.planned`: only a dry run may go on with certificates that are not issued yet.
pub(crate) fn planned(bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    out.look();
    if bundle.spec.planned {
        out.unknown(
            "kmh.bundle/v1",
            "it was made from certificates that are only planned (`--dry-run`), so it cannot be deployed",
            "run `kmh-pki ensure` without `--dry-run`, make the bundle again, then check",
        );
    }
}

/// A file for messages: `attic-1:/etc/hosts`.
pub(crate) fn place(machine: &str, path: &str) -> String {
    format!("{machine}:{path}")
}

/// `bundle.paths`: absolute, normalised, one file each, and no file where another needs a folder.
pub(crate) fn paths(bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    for view in &bundle.machines {
        if !out.look_at(view.name()) {
            continue;
        }
        let mut seen = BTreeSet::new();
        for file in &view.machine.files {
            let subject = place(view.name(), &file.path);
            if let Some(complaint) = crooked(&file.path) {
                out.critical(&subject, complaint, RENDER);
            }
            if !seen.insert(file.path.as_str()) {
                out.critical(&subject, "two files have this path; only one would be there", RENDER);
            }
        }
        for path in &seen {
            let parents = path.match_indices('/').map(|(at, _)| &path[..at]).filter(|p| !p.is_empty());
            for parent in parents.filter(|p| seen.contains(p)) {
                let message = format!("`{parent}` is a file, so it cannot be a folder too");
                out.critical(&place(view.name(), path), message, RENDER);
            }
        }
    }
}

/// What is wrong with a path.
pub(crate) fn crooked(path: &str) -> Option<&'static str> {
    if !path.starts_with('/') {
        return Some("its path is not absolute");
    }
    if path.chars().any(char::is_control) {
        return Some("its path holds control characters");
    }
    if path.len() > 1 && path[1..].split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        return Some("its path is not normalised (`//`, `/./`, `/../` or a slash at the end)");
    }
    (path == "/").then_some("its path is the root itself")
}

/// `bundle.modes`: owner and mode are well formed, nobody else may write, and secrets are their owner's alone.
pub(crate) fn modes(bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    for view in &bundle.machines {
        if !out.look_at(view.name()) {
            continue;
        }
        for file in &view.machine.files {
            for complaint in mode_complaints(file, view.machine.kind) {
                out.critical(&place(view.name(), &file.path), complaint, RENDER);
            }
        }
    }
}

fn mode_complaints(file: &File, kind: MachineKind) -> Vec<String> {
    let mut found = Vec::new();
    let well_formed = file.mode.len() == 4 && file.mode.bytes().all(|b| (b'0'..=b'7').contains(&b));
    let Some(mode) = well_formed.then(|| u32::from_str_radix(&file.mode, 8).ok()).flatten() else {
        return vec![format!("its mode `{}` is not four octal digits", file.mode)];
    };
    if mode & 0o7000 != 0 {
        found.push(format!("its mode {} has a setuid, setgid or sticky bit", file.mode));
    }
    if mode & 0o022 != 0 {
        found.push(format!("its mode {} lets others than its owner write it", file.mode));
    }
    let secret = file.content.iter().any(|s| matches!(s, Segment::Secret { .. }));
    // A daemon that gives up root reads its file again as its own user, whose group nobody else is in.
    let own_group = file.owner.split_once(':').is_some_and(|(user, group)| user == group && user != "root");
    if secret && mode & if own_group { 0o037 } else { 0o077 } != 0 {
        found.push(format!(
            "it holds a secret, and its mode {} lets others than its owner read it; it must be 0600",
            file.mode
        ));
    }
    if secret && mode & 0o100 != 0 {
        found.push(format!("it holds a secret, and its mode {} makes it a program", file.mode));
    }
    let name =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    if !file.owner.split_once(':').is_some_and(|(user, group)| name(user) && name(group)) {
        found.push(format!("its owner `{}` is not of the form user:group", file.owner));
    } else if kind == MachineKind::Cluster && secret_of_others(file) {
        found.push("a manifest of the cluster holds a secret of the store".to_owned());
    }
    found
}

/// Whether it holds a secret that is not the nodes' own: they sign their sessions with passwords.
fn secret_of_others(file: &File) -> bool {
    let mut secrets = file.content.iter().filter_map(|segment| match segment {
        Segment::Secret { secret, .. } => Some(secret),
        Segment::Text { .. } => None,
    });
    secrets.any(|secret| !secret.starts_with("keys/bgp/"))
}

/// `bundle.plain-secrets`: no private key stands in the document; secrets are references.
pub(crate) fn plain_secrets(bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    for view in &bundle.machines {
        if !out.look_at(view.name()) {
            continue;
        }
        for file in &view.machine.files {
            for segment in &file.content {
                if let Segment::Text { text } = segment
                    && text.contains("PRIVATE KEY-----")
                {
                    out.critical(
                        &place(view.name(), &file.path),
                        "a private key stands in the document itself",
                        "replace that key, for whoever has read the document has it; then find out who wrote it there",
                    );
                }
            }
        }
    }
}
