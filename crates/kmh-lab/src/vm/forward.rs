//! From a command line on the machine to the same command line in a lab's guest.

use std::ffi::OsString;
use std::io::{Cursor, Read as _};
use std::path::{Path, PathBuf};

use kmh_cli::{Env, Exit, Failure, Stream, file};
use kmh_doc::inventory::Inventory;
use rustix::process::geteuid;

use super::client::Streams;
use super::qemu::{self, Accel, Guest, Size};
use super::wire::Request;
use super::{guest, kernel};
use crate::TOOL;
use crate::args::{Cli, Down, Verb};
use crate::state::{LabName, ROOT};

/// The folder of the guest in a lab's folder; where it is, the lab is in a guest.
const FOLDER: &str = "vm";

/// Memory of a guest without machines, and of each machine in it, in MiB.
const MEMORY: (u32, u32) = (1024, 96);

/// Options that mean something else in the guest, and whether a value follows.
const OWN: [(&str, bool); 7] = [
    ("--lab", true),
    ("-i", true),
    ("--input", true),
    ("--store", true),
    ("--to", true),
    ("--vm", false),
    ("--write", true),
];

/// Runs the command line in the guest of its lab. None: the lab is in no guest, or there is more to do out here.
pub(crate) fn run(env: &mut Env, cli: &Cli) -> Option<Exit> {
    // Others are told what the lab needs by whoever makes it.
    if !geteuid().is_root()
        || matches!(
            cli.verb,
            Verb::Init(_) | Verb::Receive | Verb::StandIn | Verb::VmInit | Verb::VmAgent | Verb::Doctor
        )
    {
        return None;
    }
    match attempt(env, cli) {
        Ok(exit) => exit,
        Err(failure) => {
            let text = failure.render(TOOL, false);
            let _ = env.stderr.write_all(text.as_bytes());
            Some(failure.exit)
        }
    }
}

fn attempt(env: &mut Env, cli: &Cli) -> Result<Option<Exit>, Failure> {
    match &cli.verb {
        Verb::Up(up) if up.vm => raise(env, cli).map(Some),
        Verb::Down(down) => lower(cli, down).map(|()| None),
        _ => match named(cli)? {
            Some(lab) if folder(&lab).is_dir() => forward(env, cli, &lab, None).map(Some),
            _ => Ok(None),
        },
    }
}

fn folder(lab: &LabName) -> PathBuf {
    lab.folder().join(FOLDER)
}

/// The lab that is meant, when that is clear.
fn named(cli: &Cli) -> Result<Option<LabName>, Failure> {
    if let Some(name) = &cli.lab {
        return LabName::try_from(name.clone()).map(Some).map_err(Failure::wrong);
    }
    let mut labs = labs();
    Ok(labs.pop().filter(|_| labs.is_empty()))
}

/// Every lab that has a folder.
fn labs() -> Vec<LabName> {
    let entries = std::fs::read_dir(ROOT).into_iter().flatten().flatten();
    entries.filter_map(|entry| LabName::try_from(entry.file_name().into_string().ok()?).ok()).collect()
}

/// `up --vm`: boots the guest unless it is there, and runs `up` in it.
fn raise(env: &mut Env, cli: &Cli) -> Result<Exit, Failure> {
    // What is read here is read once more inside.
    let mut documents = Vec::new();
    let stdin = cli.common.input.is_empty() || cli.common.input.iter().any(|path| path == Path::new("-"));
    if stdin && !env.stdin_is_terminal {
        env.stdin
            .read_to_end(&mut documents)
            .map_err(|error| Failure::world("cannot read standard input").because(file::plain(&error)))?;
        env.stdin = Box::new(Cursor::new(documents.clone()));
    }
    let stream = Stream::read(env, &cli.common, TOOL, None)?;
    let inventory = stream.need::<Inventory>()?.spec;
    let lab = match &cli.lab {
        Some(name) => LabName::try_from(name.clone()).map_err(Failure::wrong)?,
        None => LabName::shortened(inventory.cluster.name.as_str())?,
    };
    let folder = folder(&lab);
    if lab.folder().is_dir() && !folder.is_dir() {
        return Err(
            Failure::wrong(format!("lab `{lab}` is up, and in no guest")).hint("kmh-lab down, then up --vm")
        );
    }
    file::make_dir(&lab.folder(), 0o700)?;
    file::make_dir(&folder, 0o700)?;
    let lock = file::lock(&folder.join("lock"))?;
    if qemu::pid(&folder).is_none() {
        let kernel = kernel::find()?;
        let machines =
            inventory.sites.iter().map(|site| site.routers.len()).sum::<usize>() + inventory.nodes.len();
        let machines = u32::try_from(machines).unwrap_or(u32::MAX);
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let size = Size { cpus, memory: MEMORY.0.saturating_add(MEMORY.1.saturating_mul(machines)) };
        let accel = Accel::here();
        let release = kernel.release.clone();
        let guest = Guest { hostname: lab.to_string(), program: program()?, kernel, accel, size };
        let took = qemu::boot(&folder, &guest)?;
        if !cli.common.quiet {
            let how = match accel {
                Accel::Kvm => "with KVM",
                Accel::Software => "in software",
            };
            let text = format!(
                "{TOOL}: a guest with Linux {} runs {how}; it booted in {} seconds\n",
                release,
                took.as_secs()
            );
            let _ = env.stderr.write_all(text.as_bytes());
        }
    }
    drop(lock);
    forward(env, cli, &lab, Some(documents))
}

/// `down`: ends the guests of the labs that are meant. The folders are taken away by whoever takes labs away.
fn lower(cli: &Cli, down: &Down) -> Result<(), Failure> {
    let meant = if down.all { labs() } else { named(cli)?.into_iter().collect() };
    for lab in meant.iter().filter(|lab| folder(lab).is_dir()) {
        qemu::kill(&folder(lab))?;
        qemu::forget(&folder(lab))?;
    }
    Ok(())
}

/// Runs the command line in the guest.
fn forward(env: &mut Env, cli: &Cli, lab: &LabName, documents: Option<Vec<u8>>) -> Result<Exit, Failure> {
    let mut argv = vec![program()?.display().to_string(), "--lab".to_owned(), lab.to_string()];
    let exec = matches!(cli.verb, Verb::Exec(_));
    if cli.common.output.is_none() && env.stdout_is_terminal && !exec {
        argv.extend(["-o".to_owned(), "text".to_owned()]);
    }
    argv.extend(kept(env.args.get(1..).unwrap_or_default())?);
    let mut input: Option<Box<dyn std::io::Read + Send>> = None;
    if let Verb::Up(up) = &cli.verb {
        match cli.common.input.as_slice() {
            [] => {}
            // A single one may be no file at all, such as a shell's `<(…)`: it is read out here.
            [one] if one != Path::new("-") => input = Some(Box::new(Cursor::new(file::read(one)?))),
            several => {
                for path in several {
                    let path = if path == Path::new("-") { "-".to_owned() } else { seen(path)? };
                    argv.extend(["-i".to_owned(), path]);
                }
            }
        }
        if input.is_none() {
            input = documents.map(|documents| Box::new(Cursor::new(documents)) as Box<_>);
        }
        if let Some(store) = env.store(up.store.clone()) {
            argv.extend(["--store".to_owned(), seen(&store)?]);
        }
        if let Some(identity) = env.identity(up.identity.clone()) {
            argv.extend(["--identity".to_owned(), seen(&identity)?]);
        }
    }
    let mut record = None;
    if let Verb::Capture(capture) = &cli.verb {
        argv.extend(["--to".to_owned(), "/dev/stdout".to_owned()]);
        record = Some(open(&capture.to)?);
    }
    if exec && !env.stdin_is_terminal {
        input = Some(Box::new(std::io::stdin()));
    }
    let request = Request { argv, cwd: "/".to_owned() };
    let output: &mut dyn std::io::Write = match &mut record {
        Some(file) => file,
        None => &mut env.stdout,
    };
    let code = qemu::run(&folder(lab), &request, Streams { input, output, error: &mut env.stderr })?;
    if exec {
        leave(code);
    }
    Ok(exit(code))
}

#[allow(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "`exec` gives its command's code, which `Exit` cannot name"
)]
fn leave(code: u8) {
    std::process::exit(code.into());
}

fn program() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::world("cannot tell where this program lies").because(file::plain(&error)))
}

/// The arguments that stay as they are: all but [`OWN`], and everything after `--`.
fn kept(args: &[OsString]) -> Result<Vec<String>, Failure> {
    let mut out = Vec::new();
    let mut args = args.iter();
    while let Some(word) = args.next() {
        let word = word.to_str().ok_or_else(|| {
            Failure::wrong("an argument is no UTF-8").hint("the commands of a guest travel as text")
        })?;
        if word == "--" {
            out.push(word.to_owned());
            for word in args {
                out.push(word.to_string_lossy().into_owned());
            }
            break;
        }
        let own = OWN.iter().find(|(name, valued)| {
            word == *name
                || *valued
                    && word
                        .strip_prefix(name)
                        .is_some_and(|rest| rest.starts_with('=') || !name.starts_with("--"))
        });
        match own {
            None => out.push(word.to_owned()),
            Some((name, true)) if word == *name => {
                args.next();
            }
            Some(_) => {}
        }
    }
    Ok(out)
}

/// How the guest sees a path of this machine as it is now.
fn seen(path: &Path) -> Result<String, Failure> {
    let path = std::path::absolute(path).map_err(|error| {
        Failure::wrong(format!("cannot tell where {} is", path.display())).because(file::plain(&error))
    })?;
    Ok(format!("{}{}", guest::LIVE, path.display()))
}

#[allow(clippy::disallowed_methods, reason = "a recording grows while it is written")]
fn open(path: &Path) -> Result<std::fs::File, Failure> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(path).map_err(|error| {
        Failure::world(format!("cannot write {}", path.display())).because(file::plain(&error))
    })
}

fn exit(code: u8) -> Exit {
    match code {
        0 => Exit::Done,
        1 => Exit::No,
        2 => Exit::Wrong,
        _ => Exit::World,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> String {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        kept(&args).unwrap().join(" ")
    }

    #[test]
    fn options_of_this_machine_stay_here() {
        assert_eq!(
            words("up --vm -i a.json --input=b.json -ic.json --store pki attic-1 -q"),
            "up attic-1 -q"
        );
        assert_eq!(words("--lab x ping --size 1400"), "ping --size 1400");
        assert_eq!(words("--lab=x capture tunnel/a --to f"), "capture tunnel/a");
        assert_eq!(words("exec a -- tcpdump -i eth0 --lab y"), "exec a -- tcpdump -i eth0 --lab y");
    }
}
