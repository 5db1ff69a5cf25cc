//! `down`: a lab's processes, namespaces, mounts and files, by its name alone.
#![allow(clippy::disallowed_methods, reason = "removes a whole folder of the lab's own, on a tmpfs or not")]

use kmh_cli::{Answer, Exit, Failure, Format, file};

use crate::args::Down;
use crate::state::{LabName, ROOT, chosen, labs};
use crate::system;

/// Takes labs away.
pub(crate) fn run(down: &Down, named: Option<&str>, format: Format) -> Result<Answer, Failure> {
    let names = match (down.all, named) {
        (true, None) => labs(),
        (true, Some(_)) => return Err(Failure::wrong("`--all` and `--lab` exclude each other")),
        // A state that cannot be read is no reason to leave a lab there.
        (false, Some(named)) => {
            let name = LabName::try_from(named.to_owned()).map_err(Failure::wrong)?;
            if !labs().contains(&name) && system::spaces(&name).is_empty() {
                chosen(Some(named))?;
            }
            vec![name]
        }
        (false, None) => match labs().as_slice() {
            [only] => vec![only.clone()],
            _ => vec![chosen(None)?.0],
        },
    };
    for name in &names {
        one(name)?;
    }
    let text = match names.as_slice() {
        [] => "no lab is up".to_owned(),
        names => names.iter().map(|name| format!("lab {name} is gone")).collect::<Vec<_>>().join("\n"),
    };
    let text = if format == Format::Json { serde_json::json!({ "gone": names }).to_string() } else { text };
    Ok(Answer { text, exit: Exit::Done })
}

fn one(name: &LabName) -> Result<(), Failure> {
    let folder = name.folder();
    // Nobody builds meanwhile; an `up` that was killed holds no lock.
    let lock = if folder.is_dir() { Some(file::lock(&folder.join("lock"))?) } else { None };
    system::clear(name, true)?;
    let mut mounts: Vec<_> =
        system::mounts()?.into_iter().filter(|at| at.starts_with(&folder) && *at != folder).collect();
    mounts.sort();
    for at in mounts.iter().rev() {
        let _ = rustix::mount::unmount(at, rustix::mount::UnmountFlags::DETACH);
    }
    if folder.is_dir() {
        std::fs::remove_dir_all(&folder).map_err(|error| {
            Failure::world(format!("cannot remove `{}`", folder.display())).because(file::plain(&error))
        })?;
    }
    drop(lock);
    crate::full::remove(name)?;
    if labs().is_empty() {
        system::restore_netns()?;
        // Whoever else put something there keeps it.
        let _ = std::fs::remove_dir(ROOT);
    }
    Ok(())
}
