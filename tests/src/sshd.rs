//! A real sshd on a loopback port, with its own host key, configuration and user.
//!
//! As root it runs in a mount namespace of its own, in which `/etc/passwd` names an ordinary user; as an ordinary user
//! it runs as that user. sshd gives its absolute path to itself when it starts again for a connection, so `-f` is too.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::sandbox::{chmod, is_root};

/// The user that logs in when the tests run as root; no system has it.
const UID: u32 = 54321;

/// How an sshd differs from a plain one.
#[derive(Default, Clone)]
pub struct Options {
    /// More lines of its configuration.
    pub config: String,
    /// A wrapper around every command: text of a shell script; `$SSH_ORIGINAL_COMMAND` is the command.
    pub wrapper: Option<String>,
    /// As root: commands that are run in its mount namespace before it starts.
    pub prepare: String,
    /// Whether root logs in, with a systemctl that writes down what it is asked.
    pub root: bool,
}

/// A running sshd.
pub struct Sshd {
    child: Child,
    /// Its address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who logs in.
    pub user: String,
    /// Where its configuration lies.
    dir: PathBuf,
    /// The folder that files are pushed below.
    pub root: PathBuf,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(program: &str, args: &[&str]) {
    let output =
        Command::new(program).args(args).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Makes a key pair.
pub fn keygen(file: &Path, kind: &str, passphrase: &str) {
    run("ssh-keygen", &["-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", file.to_str().unwrap()]);
}

impl Sshd {
    /// Starts one on 127.0.0.`last`. Its files lie below `world`, and so does the admin's key, `id`.
    pub fn start(world: &impl AsRef<Path>, last: u8, options: &Options) -> Self {
        let world = world.as_ref();
        let key = world.join("id");
        if !key.exists() {
            keygen(&key, "ed25519", "");
        }
        let host = format!("127.0.0.{last}");
        let dir = world.join(format!("sshd-{last}"));
        let root = dir.join("root");
        std::fs::create_dir_all(&root).unwrap();
        keygen(&dir.join("host"), "ed25519", "");
        if options.config.contains("host-rsa") {
            keygen(&dir.join("host-rsa"), "rsa", "");
        }
        std::fs::copy(world.join("id.pub"), dir.join("authorized")).unwrap();
        let port = TcpListener::bind((host.as_str(), 0)).unwrap().local_addr().unwrap().port();
        let mut config = format!(
            "ListenAddress {host}\nPort {port}\nPidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPermitRootLogin yes\nAuthorizedKeysFile {0}/authorized\nLogLevel VERBOSE\n\
             MaxStartups 100\n",
            dir.display()
        );
        if !options.config.contains("HostKey") {
            let _ = writeln!(config, "HostKey {}/host", dir.display());
        }
        config.push_str(&options.config.replace("DIR", dir.to_str().unwrap()));
        if let Some(wrapper) = &options.wrapper {
            std::fs::write(dir.join("wrapper"), format!("#!/bin/sh\n{wrapper}\n")).unwrap();
            chmod(&dir.join("wrapper"), 0o755);
            let _ = writeln!(config, "ForceCommand {}/wrapper", dir.display());
        }
        std::fs::write(dir.join("config"), config).unwrap();
        let log = std::fs::File::create(dir.join("log")).unwrap();
        let (program, args, user) = Self::command(&dir, options);
        let child =
            Command::new(program).args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let sshd = Self { child: child.unwrap(), host, port, user, dir, root };
        sshd.wait();
        sshd
    }

    /// Program, arguments and the user that logs in.
    fn command(dir: &Path, options: &Options) -> (&'static str, Vec<String>, String) {
        let sshd = [
            "/usr/sbin/sshd".to_owned(),
            "-D".into(),
            "-e".into(),
            "-f".into(),
            dir.join("config").display().to_string(),
        ];
        if !is_root() {
            assert!(!options.root && options.prepare.is_empty(), "this test needs root");
            let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
            return ("/usr/bin/env", sshd.to_vec(), user.trim().to_owned());
        }
        let (name, uid) = if options.root { ("root", 0) } else { ("kmhtest", UID) };
        chown(dir, Some(uid), Some(uid)).unwrap();
        for entry in std::fs::read_dir(dir).unwrap() {
            chown(entry.unwrap().path(), Some(uid), Some(uid)).unwrap();
        }
        let home = dir.display();
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
        let kept: String =
            passwd.lines().filter(|line| !line.starts_with("root:")).flat_map(|line| [line, "\n"]).collect();
        let root_home = if options.root { home.to_string() } else { "/root".into() };
        let passwd =
            format!("root:*:0:0:root:{root_home}:/bin/sh\nkmhtest:*:{UID}:{UID}::{home}:/bin/sh\n{kept}");
        std::fs::write(dir.join("passwd"), passwd).unwrap();
        std::fs::write(
            dir.join("group"),
            std::fs::read_to_string("/etc/group").unwrap() + &format!("kmhtest:x:{UID}:\n"),
        )
        .unwrap();
        let mut script =
            format!("set -e\nmount --bind {home}/passwd /etc/passwd\nmount --bind {home}/group /etc/group\n");
        if options.root {
            script.push_str(&systemd(dir));
        }
        script.push_str(&options.prepare.replace("DIR", dir.to_str().unwrap()));
        let login = if options.root {
            String::new()
        } else {
            format!("setpriv --reuid {UID} --regid {UID} --clear-groups ")
        };
        let _ = writeln!(script, "exec {login}{}", sshd.join(" "));
        ("/usr/bin/unshare", vec!["--mount".into(), "/bin/sh".into(), "-c".into(), script], name.to_owned())
    }

    fn wait(&self) {
        let address: SocketAddr = format!("{}:{}", self.host, self.port).parse().unwrap();
        for _ in 0..200 {
            if TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("sshd did not start:\n{}", self.log());
    }

    /// What it wrote down.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A file beside its configuration.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Its public key as known-hosts files have it: `ssh-ed25519 AAAA…`.
    pub fn public(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.dir.join(name)).unwrap();
        text.split(' ').take(2).collect::<Vec<_>>().join(" ")
    }

    /// Its line in a known-hosts file.
    pub fn known(&self) -> String {
        format!("[{}]:{} {}\n", self.host, self.port, self.public("host.pub"))
    }

    /// How to log in, for a machine of a bundle.
    pub fn ssh(&self) -> Value {
        json!({"host": self.host, "port": self.port, "user": self.user})
    }
}

/// A systemd that is none: the folder by which it is known, and a systemctl that writes its arguments down. A unit
/// called `bad.service` fails, `slow.service` takes its time; what was started runs.
fn systemd(dir: &Path) -> String {
    let home = dir.display();
    let systemctl = format!(
        "#!/bin/sh\n\
         for last; do :; done\n\
         case $1 in\n\
         show) for one; do case $one in *.service) echo \"Id=$one\"; \
           if grep -qx \"$one\" {home}/enabled 2>/dev/null; then echo UnitFileState=enabled; else echo UnitFileState=disabled; fi; \
           if grep -qx \"$one\" {home}/running 2>/dev/null; then echo ActiveState=active; else echo ActiveState=inactive; fi; echo;; esac; done; exit 0;;\n\
         esac\n\
         echo \"$*\" >>{home}/systemctl.log\n\
         case \"$*\" in *enable*) echo \"$last\" >>{home}/enabled;; esac\n\
         case \"$*\" in *restart*bad.service) [ -e {home}/healed ] || {{ echo 'Job for bad.service failed.' >&2; exit 1; }};; *restart*slow.service) sleep 2;; esac\n\
         case \"$*\" in *restart*) echo \"$last\" >>{home}/running;; esac\n\
         exit 0\n"
    );
    std::fs::write(dir.join("systemctl"), systemctl).unwrap();
    chmod(&dir.join("systemctl"), 0o755);
    let journalctl = "#!/bin/sh\n[ \"$*\" = '-u bad.service -n 5 --no-pager -o cat' ] || exit 1\n\
                      printf 'first\\n\\033[2Jcannot open /etc/bad: no such file\\nlast'\n";
    std::fs::write(dir.join("journalctl"), journalctl).unwrap();
    chmod(&dir.join("journalctl"), 0o755);
    format!(
        "mount -t tmpfs none /run\nmkdir -p /run/sshd /run/systemd/system\nchmod 755 /run/sshd\n\
         mount -t tmpfs none /var/lib\nmount --bind {home}/systemctl /usr/bin/systemctl\n\
         mount --bind {home}/journalctl /usr/bin/journalctl\n"
    )
}
