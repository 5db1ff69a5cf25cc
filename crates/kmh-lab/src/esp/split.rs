//! One file for each tunnel out of a router's `swanctl.conf`, for the charon that it has to itself
//! ([`crate::args::Carrier::Userspace`]).

use std::path::{Path, PathBuf};

use kmh_cli::{Failure, file};
use zeroize::Zeroizing;

/// Where the bundle, or what stands in for pfSense, has it.
const CONF: &str = "/etc/swanctl/conf.d/kmh.conf";
/// Which tunnels there are: a line for each, the number first.
pub const TUNNELS: &str = "/etc/kmh-lab/tunnels";

/// Where the file of a tunnel lies: beside the certificates and keys, where swanctl looks for them.
fn place(number: u32) -> PathBuf {
    Path::new("/etc/swanctl").join(format!("kmh-lab-{number}.conf"))
}

/// Writes them.
pub fn run() -> Result<(), Failure> {
    let list = file::read(Path::new(TUNNELS))?;
    let conf = Zeroizing::new(file::read(Path::new(CONF))?);
    let text = std::str::from_utf8(&conf).map_err(|_| Failure::world(format!("`{CONF}` is no text")))?;
    let numbers = String::from_utf8_lossy(&list).into_owned();
    let numbers = numbers.lines().filter_map(|line| line.split(' ').next()?.parse().ok());
    for number in numbers {
        let own = only(text, number)
            .ok_or_else(|| Failure::world(format!("`{CONF}` has no connection of tunnel {number}")))?;
        file::write(&place(number), own.as_bytes(), 0o600)?;
    }
    Ok(())
}

/// The configuration with one connection of all, that which has the tunnel's number. As kmh writes it: a section opens at
/// the end of a line, and closes on one of its own.
fn only(text: &str, number: u32) -> Option<Zeroizing<String>> {
    let mark = format!("if_id_in = {number}");
    // With room for all of it: text that grows leaves copies behind.
    let mut out = Zeroizing::new(String::with_capacity(text.len()));
    let (mut depth, mut in_connections, mut found) = (0_u32, false, false);
    // Where the connection that is read begins in what is written.
    let mut begin = 0;
    let mut is_it = false;
    for line in text.lines() {
        let word = line.trim();
        if word.starts_with('#') {
            continue;
        }
        if word.ends_with('{') {
            depth += 1;
            in_connections = if depth == 1 { word == "connections {" } else { in_connections };
            if in_connections && depth == 2 {
                (begin, is_it) = (out.len(), false);
            }
        }
        is_it |= word == mark;
        out.push_str(line);
        out.push('\n');
        if word == "}" {
            depth = depth.saturating_sub(1);
            if in_connections && depth == 1 {
                found |= is_it;
                if !is_it {
                    out.truncate(begin);
                }
            }
        }
    }
    found.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tunnel_keeps_its_connection_and_all_secrets() {
        let connection = |name: &str, number: u32| {
            format!(
                "    # kmh:{name} {{\n    {name} {{\n        version = 2\n        children {{\n            {name} {{\n                \
                 if_id_in = {number}\n                if_id_out = {number}\n            }}\n        }}\n    }}\n"
            )
        };
        let secrets = "secrets {\n    ike-1 {\n        secret = 0sAA==\n    }\n}\n";
        let text = format!("# x\nconnections {{\n{}{}}}\n{secrets}", connection("a", 1), connection("b", 12));
        let bare = connection("b", 12).split_once('\n').unwrap().1.to_owned();
        assert_eq!(only(&text, 12).unwrap().as_str(), format!("connections {{\n{bare}}}\n{secrets}"));
        assert!(only(&text, 2).is_none(), "no tunnel has that number");
    }
}
