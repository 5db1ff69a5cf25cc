//! Files into a machine: sent on standard input of a process inside it, and never by a path from outside, where a link
//! of the machine's would lead to this one.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use kmh_cli::{Env, Failure, file};
use kmh_store::content::Content;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What stands before a file's octets, on a line of its own.
#[derive(Serialize, Deserialize)]
struct Head {
    path: String,
    /// Owner, mode and length; none when the file is to go.
    file: Option<(String, u32, usize)>,
}

/// Digits of the length of everything, which comes first: memory that grows leaves secrets behind.
const LENGTH: usize = 20;

/// A file to send.
pub(crate) struct Parcel<'a> {
    pub(crate) path: &'a str,
    pub(crate) owner: &'a str,
    pub(crate) mode: u32,
    pub(crate) content: &'a Content,
}

/// All files in one piece.
pub(crate) fn packed(files: &[Parcel<'_>], gone: &[&str]) -> Zeroizing<Vec<u8>> {
    let heads: Vec<String> = files
        .iter()
        .map(|one| head(one.path, Some((one.owner.to_owned(), one.mode, one.content.bytes.len()))))
        .collect();
    let farewells: Vec<String> = gone.iter().map(|path| head(path, None)).collect();
    let size = heads.iter().chain(&farewells).map(String::len).sum::<usize>()
        + files.iter().map(|one| one.content.bytes.len()).sum::<usize>();
    let length = format!("{size:0LENGTH$}");
    let mut out = Zeroizing::new(Vec::with_capacity(LENGTH + size));
    out.extend_from_slice(length.as_bytes());
    for (head, one) in heads.iter().zip(files) {
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(&one.content.bytes);
    }
    for head in &farewells {
        out.extend_from_slice(head.as_bytes());
    }
    out
}

fn head(path: &str, file: Option<(String, u32, usize)>) -> String {
    serde_json::to_string(&Head { path: path.to_owned(), file }).unwrap_or_default() + "\n"
}

/// Takes files in, and prints the paths of those that were not so before, one a line.
pub(crate) fn run(env: &mut Env) -> Result<(), Failure> {
    let broken = || Failure::world("what came in ends in the middle of a file");
    let unread = |error: std::io::Error| Failure::world("cannot read stdin").because(file::plain(&error));
    let mut length = [0; LENGTH];
    env.stdin.read_exact(&mut length).map_err(unread)?;
    let length = std::str::from_utf8(&length).ok().and_then(|text| text.parse().ok()).ok_or_else(broken)?;
    let mut bytes = Zeroizing::new(vec![0; length]);
    env.stdin.read_exact(&mut bytes).map_err(unread)?;
    let users = numbers("/etc/passwd")?;
    let groups = numbers("/etc/group")?;
    let mut rest = bytes.as_slice();
    let mut changed = String::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(broken)?;
        let (line, behind) = rest.split_at(end);
        let head: Head = serde_json::from_slice(line).map_err(|error| broken().because(error))?;
        rest = behind.get(1..).unwrap_or_default();
        let path = Path::new(&head.path);
        let Some((owner, mode, length)) = head.file else {
            if file::remove(path)? {
                changed.extend([head.path.as_str(), "\n"]);
            }
            continue;
        };
        let (content, behind) = rest.split_at_checked(length).ok_or_else(broken)?;
        rest = behind;
        if one(path, content, mode, owner_of(&owner, &users, &groups)?)? {
            changed.extend([head.path.as_str(), "\n"]);
        }
    }
    let _ = env.stdout.write_all(changed.as_bytes());
    let _ = env.stdout.flush();
    Ok(())
}

fn one(path: &Path, content: &[u8], mode: u32, (uid, gid): (u32, u32)) -> Result<bool, Failure> {
    if path.is_symlink() {
        file::remove(path)?;
    }
    if let Some(above) = path.parent() {
        file::make_dir(above, 0o755)?;
    }
    let mut changed = file::write(path, content, mode)?;
    let failed = |error: std::io::Error| {
        Failure::world(format!("cannot give `{}` to its owner", path.display())).because(file::plain(&error))
    };
    let meta = std::fs::symlink_metadata(path).map_err(failed)?;
    if (meta.uid(), meta.gid()) != (uid, gid) {
        std::os::unix::fs::lchown(path, Some(uid), Some(gid)).map_err(failed)?;
        changed = true;
    }
    Ok(changed)
}

/// Names and numbers in a file like `/etc/passwd`.
fn numbers(path: &str) -> Result<BTreeMap<String, u32>, Failure> {
    let bytes = file::read(Path::new(path))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let rows = text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        Some((fields.next()?.to_owned(), fields.nth(1)?.parse().ok()?))
    });
    Ok(rows.collect())
}

fn owner_of(
    owner: &str,
    users: &BTreeMap<String, u32>,
    groups: &BTreeMap<String, u32>,
) -> Result<(u32, u32), Failure> {
    let (user, group) = owner.split_once(':').unwrap_or((owner, owner));
    let number = |names: &BTreeMap<String, u32>, name: &str, what: &str| {
        names.get(name).copied().ok_or_else(|| {
            Failure::world(format!("this machine has no {what} `{name}`"))
                .hint("install the program that brings it: kmh-lab doctor")
        })
    };
    Ok((number(users, user, "user")?, number(groups, group, "group")?))
}
