//! One question to the kernel, in namespaces that end with it.

use std::process::{Command, Stdio};

/// Tries a line for `sh`; where it fails, says why in the words of what failed.
pub(super) fn attempt(line: &str) -> Result<(), String> {
    // mount(8) would leave a folder of its own in /run.
    let line = format!("mount --no-mtab -t tmpfs kmh /mnt && {{ {line}; }}");
    let ran = Command::new("unshare")
        .args(["--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child=KILL", "--"])
        .args(["/bin/sh", "-c", &line])
        .env_clear()
        .env("PATH", super::PATH.join(":"))
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("unshare: {}", kmh_cli::file::plain(&error)))?;
    if ran.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&ran.stderr).into_owned();
    let last = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    Err(last.map_or_else(|| "not there".to_owned(), str::to_owned))
}
