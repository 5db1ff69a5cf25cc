//! Where a program lies in the operator's folder, and which sum is written down beside it.

use std::path::Path;

use kmh_doc::bundle::Artifact;
use kmh_store::content::{Sum, unhex};
use kmh_store::wanted::bad_path;

/// No list of sums is longer.
const LIST: u64 = 1 << 20;

/// The names under which a program is looked for, in this order: as `wget -x` lays it down, which says version and
/// architecture, then by architecture, then plainly.
pub(crate) fn places(artifact: &Artifact) -> Vec<String> {
    let arch = artifact.arch.as_str();
    let address = artifact.url.split_once("://").map_or("", |(_, rest)| rest);
    let file = address.rsplit('/').next().unwrap_or("");
    let name = member(artifact);
    let all = [
        address.to_owned(),
        format!("{arch}/{name}"),
        format!("{arch}/{file}"),
        file.to_owned(),
        name.to_owned(),
    ];
    // An address is not trusted to stay below the folder.
    let mut places: Vec<String> = Vec::new();
    for place in all {
        if bad_path(&format!("/{place}")).is_none() && !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// The name of the installed file, which is also its name in an archive.
pub(crate) fn member(artifact: &Artifact) -> &str {
    artifact.path.rsplit('/').next().unwrap_or("")
}

/// Where it is asked for when it is nowhere: the shortest name that no other architecture's has.
pub(crate) fn advice(artifact: &Artifact) -> String {
    let file = artifact.url.rsplit('/').next().unwrap_or("");
    format!("{}/{file}", artifact.arch.as_str())
}

/// The sum that upstream's own list gives for a file, and the list: `FILE.sha256`, and `SHA256SUMS` or any `.sha256sum`
/// in the same folder that names it. The error is of a list that is meant for the file and has no sum.
pub(crate) fn sum_beside(file: &Path) -> Result<Option<(Sum, String)>, String> {
    let (Some(folder), Some(name)) = (file.parent(), file.file_name().and_then(|name| name.to_str())) else {
        return Ok(None);
    };
    let own = format!("{name}.sha256");
    let mut lists: Vec<String> = std::fs::read_dir(folder)
        .map_err(|error| error.to_string())?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|list| *list == own || list == "SHA256SUMS" || list.ends_with(".sha256sum"))
        .collect();
    // Its own lists first.
    lists.sort_by_key(|list| (!list.starts_with(name), list.clone()));
    for list in lists {
        let text = read(&folder.join(&list)).map_err(|error| format!("`{list}` beside it: {error}"))?;
        match listed(&text, name) {
            Some(sum) => return Ok(Some((sum, list))),
            None if list.starts_with(name) => return Err(format!("`{list}` beside it has no SHA-256 of it")),
            None => {}
        }
    }
    Ok(None)
}

fn read(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LIST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A list of sums has lines `SUM  NAME`, as sha256sum(1) prints them, or the sum alone.
fn listed(text: &str, name: &str) -> Option<Sum> {
    let mut lines = text.lines().map(str::split_whitespace);
    lines.find_map(|mut words| {
        let sum = unhex(words.next()?)?;
        let named = words.next().map(|word| word.trim_start_matches('*'));
        named.is_none_or(|named| named.rsplit('/').next() == Some(name)).then_some(sum)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kmh_doc::inventory::Arch;

    fn artifact(url: &str, path: &str) -> Artifact {
        Artifact {
            name: "x".into(),
            version: "1".into(),
            arch: Arch::Arm64,
            url: url.into(),
            path: path.into(),
        }
    }

    #[test]
    fn a_program_is_looked_for_where_people_put_it() {
        let kubelet = artifact("https://dl.k8s.io/v1/bin/linux/arm64/kubelet", "/usr/local/bin/kubelet");
        assert_eq!(places(&kubelet), ["dl.k8s.io/v1/bin/linux/arm64/kubelet", "arm64/kubelet", "kubelet"]);
        let etcd = artifact("https://github.com/d/etcd-v3-linux-arm64.tar.gz", "/usr/local/bin/etcdctl");
        assert_eq!(
            places(&etcd),
            [
                "github.com/d/etcd-v3-linux-arm64.tar.gz",
                "arm64/etcdctl",
                "arm64/etcd-v3-linux-arm64.tar.gz",
                "etcd-v3-linux-arm64.tar.gz",
                "etcdctl",
            ]
        );
        assert_eq!(advice(&etcd), "arm64/etcd-v3-linux-arm64.tar.gz");
        let odd = artifact("https://h/../../etc/passwd?x", "/usr/local/bin/runc");
        assert_eq!(places(&odd), ["arm64/runc", "runc"]);
    }

    #[test]
    fn lists_of_sums_are_read_as_they_are_published() {
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for (text, found) in [
            (sum.to_owned(), true),
            (format!("{sum}\n"), true),
            (format!("{sum}  other\n{sum} *./runc.arm64\n"), true),
            (format!("{sum}  other\n"), false),
            (format!("-----BEGIN\nHash: SHA512\n\n{sum}  runc.arm64\n"), true),
            ("<html>".to_owned(), false),
        ] {
            assert_eq!(listed(&text, "runc.arm64").is_some(), found, "{text}");
        }
    }
}
