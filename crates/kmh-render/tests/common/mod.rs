//! Bundles to try on real programs: inventories from the article's, through the real tools.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "shared by several tests, of which none uses all"
)]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// What stands in for a secret in a file: as long as one, and no secret.
pub(crate) const STUB: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// A stream up to the bundle, and the store that it refers to.
pub(crate) struct Rendered {
    /// Everything that the pipe printed.
    pub(crate) stream: String,
    /// The bundle's spec.
    pub(crate) bundle: Value,
    /// The store is in here, as `pki`.
    pub(crate) dir: TempDir,
}

/// The article's inventory as JSON.
pub(crate) fn article() -> Value {
    let yaml = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/article/cluster.yaml");
    let stream = tool("kmh-bgpcfg", &["-o", "json"], &std::fs::read(yaml).unwrap());
    let line = stream.lines().find(|line| {
        line.contains(r#""kmh.inventory/v1","#) || line.starts_with(r#"{"kind":"kmh.inventory/v1""#)
    });
    serde_json::from_str(line.expect("the inventory")).unwrap()
}

/// The other half of what there is: both families, Linux routers on machines of their own, older versions.
pub(crate) fn other() -> Value {
    let mut inventory = article();
    let spec = &mut inventory["spec"];
    spec["cluster"]["versions"] =
        json!({"kubernetes": "1.33.4", "etcd": "3.5.26", "containerd": "1.7.28", "calico": "3.30.3"});
    spec["cluster"]["pod_cidrs"] = json!(["10.200.0.0/16", "fd00:200::/48"]);
    spec["cluster"]["service_cidrs"] = json!(["10.201.0.0/16", "fd00:201::/112"]);
    spec["cluster"]["load_balancer_cidrs"] = json!(["10.202.0.0/24", "fd00:202::/112"]);
    spec["tunnels"]["network"] = json!(["10.255.0.0/22", "fd00:255::/48"]);
    for (number, site) in spec["sites"].as_array_mut().unwrap().iter_mut().enumerate() {
        let with = |value: &Value, more: String| {
            let first = if value.is_array() { value[0].clone() } else { value.clone() };
            json!([first, more])
        };
        site["network"] = with(&site["network"], format!("fd00:{}::/64", number + 1));
        site["pod_cidrs"] = with(&site["pod_cidrs"], format!("fd00:200:0:{number}::/64"));
        let router = &mut site["routers"][0];
        router["address"] = with(&router["address"], format!("fd00:{}::1", number + 1));
        if router["name"] == "fw-attic" {
            let changed = json!({"kind": "linux", "bgp": "frr", "interface": "eth1"});
            router.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
            router["uplinks"][0]["interface"] = json!("ppp0");
        }
    }
    for (number, node) in spec["nodes"].as_array_mut().unwrap().iter_mut().enumerate() {
        let site = match node["site"].as_str().unwrap() {
            "attic" => 1,
            "flat" => 2,
            _ => 3,
        };
        node["address"] = json!([node["address"], format!("fd00:{site}::{:x}", number + 16)]);
    }
    inventory
}

/// The whole pipe for an inventory.
pub(crate) fn render(inventory: &Value) -> Rendered {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("pki");
    let pki =
        tool("kmh-pki", &["--init", "--store", store.to_str().unwrap()], inventory.to_string().as_bytes());
    let network = tool("kmh-bgpcfg", &[], pki.as_bytes());
    let stream = tool("kmh-render", &[], network.as_bytes());
    let bundle = bundle_of(&stream);
    Rendered { stream, bundle, dir }
}

/// The bundle's spec in a stream.
pub(crate) fn bundle_of(stream: &str) -> Value {
    let documents = serde_json::Deserializer::from_str(stream).into_iter::<Value>().map(Result::unwrap);
    documents.into_iter().find(|document| document["kind"] == "kmh.bundle/v1").expect("a bundle")["spec"]
        .take()
}

/// Runs one of the tools, which must succeed.
pub(crate) fn tool(name: &str, arguments: &[&str], stdin: &[u8]) -> String {
    let (code, stdout, stderr) = try_tool(name, arguments, stdin);
    assert_eq!(code, 0, "{name}: {stderr}");
    stdout
}

/// Runs one of the tools.
pub(crate) fn try_tool(name: &str, arguments: &[&str], stdin: &[u8]) -> (i32, String, String) {
    let path = Path::new(env!("CARGO_BIN_EXE_kmh-render")).with_file_name(name);
    assert!(path.exists(), "{name} is not built: run `make test` (cargo test --workspace)");
    let mut command = Command::new(path);
    command.args(arguments).env_remove("KMH_STORE");
    let output = feed(&mut command, stdin);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Runs a command with that on its standard input.
pub(crate) fn feed(command: &mut Command, stdin: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a program that starts");
    let mut pipe = child.stdin.take().unwrap();
    let bytes = stdin.to_vec();
    let writer = std::thread::spawn(move || pipe.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join();
    output
}

impl Rendered {
    /// The files of a machine, by path, with stubs for secrets.
    pub(crate) fn files(&self, machine: &str) -> BTreeMap<String, String> {
        files_of(self.machine(machine))
    }

    /// A file of a machine.
    #[track_caller]
    pub(crate) fn file(&self, machine: &str, path: &str) -> String {
        self.files(machine).remove(path).unwrap_or_else(|| panic!("{machine} has no {path}"))
    }

    /// A machine.
    #[track_caller]
    pub(crate) fn machine(&self, name: &str) -> &Value {
        let mut machines = self.bundle["machines"].as_array().unwrap().iter();
        machines.find(|machine| machine["name"] == name).unwrap_or_else(|| panic!("no {name}"))
    }

    /// Every machine.
    pub(crate) fn machines(&self) -> impl Iterator<Item = &Value> {
        self.bundle["machines"].as_array().unwrap().iter()
    }

    /// Writes the files of a machine below a folder, with the keys of the store in place.
    pub(crate) fn deploy(&self, machine: &str, root: &Path) {
        for file in self.machine(machine)["files"].as_array().unwrap() {
            let path = root.join(file["path"].as_str().unwrap().trim_start_matches('/'));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut bytes = Vec::new();
            for segment in file["content"].as_array().unwrap() {
                match segment["secret"].as_str() {
                    Some(secret) => {
                        let secret = std::fs::read(self.dir.path().join("pki").join(secret)).unwrap();
                        match segment["encoding"].as_str() {
                            Some("base64") => bytes.extend(STANDARD.encode(secret).as_bytes()),
                            _ => bytes.extend(secret),
                        }
                    }
                    None => bytes.extend(segment["text"].as_str().unwrap().as_bytes()),
                }
            }
            std::fs::write(&path, bytes).unwrap();
        }
    }
}

/// The files of a machine, by path.
pub(crate) fn files_of(machine: &Value) -> BTreeMap<String, String> {
    let files = machine["files"].as_array().unwrap().iter();
    files
        .map(|file| {
            let segments = file["content"].as_array().unwrap().iter();
            let text = segments.map(|segment| segment["text"].as_str().unwrap_or(STUB)).collect();
            (file["path"].as_str().unwrap().to_owned(), text)
        })
        .collect()
}

/// A program that must be there.
pub(crate) fn program(name: &str, package: &str) -> PathBuf {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/lib/frr"])
        .map(|dir| Path::new(dir).join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{name} is missing: apt-get install {package}"))
}

/// Standard output and standard error of a command that must succeed and write nothing to the latter.
#[track_caller]
pub(crate) fn silent(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success() && stderr.trim().is_empty(),
        "{command:?}: {}\n{stdout}\n{stderr}",
        output.status
    );
    stdout
}

/// Readies a router's folder for charon and gives its swanctl.conf. Paths in that are those of the router; here they lie
/// below the folder, and so does the socket. charon's own drop-in is read by it; `more` settings are only of this place.
pub(crate) fn prepare_charon(root: &Path, socket: &str, more: &str) -> String {
    let at = |path: &str| root.join(path);
    let settings = format!(
        "charon-systemd {{\n  {more}plugins {{\n    include /etc/strongswan.d/charon/*.conf\n    vici {{\n      socket = unix://{}\n    }}\n  }}\n}}\ninclude {}\n",
        at(socket).display(),
        at("etc/strongswan.d/kmh.conf").display()
    );
    std::fs::write(at("strongswan.conf"), settings).unwrap();
    let conf = at("etc/swanctl/conf.d/kmh.conf");
    let text = std::fs::read_to_string(&conf).unwrap();
    let moved = text.replace("/etc/swanctl/", &format!("{}/", at("etc/swanctl").display()));
    std::fs::write(&conf, &moved).unwrap();
    std::fs::write(at("etc/swanctl/swanctl.conf"), "include conf.d/*.conf\n").unwrap();
    moved
}
