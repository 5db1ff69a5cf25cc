//! Which real programs take an intermediate CA for an anchor: the answer decides what is deployed below a root.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Place, Ran, SMALL};

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(place: &Place, program: &str, args: &[&str]) -> Running {
    let mut command = Command::new(program);
    command
        .args(args)
        .current_dir(place.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Running(command.spawn().unwrap())
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Whether it comes true within half a minute.
fn soon(mut what: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(30) {
        if what() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    false
}

fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

fn rooted() -> Place {
    Place::with_store(&format!("{SMALL}  pki: {{root: true}}\n"))
}

/// etcd with that anchor, and whether a client with that certificate may write.
fn etcd(place: &Place, anchor: &str, clients: &[(&str, bool)]) {
    let (client, peer) = (free_port(), free_port());
    let (url, peers) = (format!("https://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    let data = format!("data-{client}");
    let cluster = format!("default={peers}");
    let _etcd = start(
        place,
        "etcd",
        &[
            "--data-dir",
            &data,
            "--listen-client-urls",
            &url,
            "--advertise-client-urls",
            &url,
            "--listen-peer-urls",
            &peers,
            "--initial-advertise-peer-urls",
            &peers,
            "--initial-cluster",
            &cluster,
            "--cert-file",
            "store/nodes/cp-1/etcd-server.crt",
            "--key-file",
            "store/nodes/cp-1/etcd-server.key",
            "--client-cert-auth",
            "--trusted-ca-file",
            anchor,
        ],
    );
    let put = |name: &str| {
        let (cert, key) = (format!("store/{name}.crt"), format!("store/{name}.key"));
        let mut command = Command::new("etcdctl");
        // The client's anchor is the intermediate too.
        command.env("ETCDCTL_API", "3").current_dir(place.path()).args([
            "--endpoints",
            &url,
            "--cacert",
            "store/ca/etcd.crt",
            "--cert",
            &cert,
            "--key",
            &key,
            "--dial-timeout",
            "3s",
            "--command-timeout",
            "4s",
            "put",
            "a",
            "b",
        ]);
        Ran::of(command, "")
    };
    assert!(
        soon(|| put("nodes/cp-1/apiserver-etcd-client").code == 0),
        "{}",
        put("nodes/cp-1/apiserver-etcd-client").stderr
    );
    for (name, may) in clients {
        let ran = put(name);
        assert_eq!(ran.code == 0, *may, "{anchor}, {name}: {}", ran.stderr);
    }
}

#[test]
fn etcd_takes_its_intermediate_for_an_anchor_and_refuses_clients_of_the_other() {
    let place = rooted();
    // A kubelet that brings its CA along, as TLS lets it.
    place.sh("cat store/nodes/w-1/kubelet-client.crt store/ca/cluster.crt >store/chain.crt && cp store/nodes/w-1/kubelet-client.key store/chain.key", "").exits(0);
    etcd(&place, "store/ca/etcd.crt", &[("nodes/w-1/kubelet-client", false), ("chain", false)]);
    // The trap: with the root as anchor, every client of the cluster may write.
    place.sh("cat store/ca/root.crt store/ca/etcd.crt >store/both.crt", "").exits(0);
    etcd(&place, "store/both.crt", &[("nodes/w-1/kubelet-client", false), ("chain", true)]);
}

#[test]
fn haproxy_takes_an_intermediate_for_an_anchor_only_with_its_root() {
    let place = rooted();
    place.sh("cat store/ca/cluster.crt store/ca/root.crt >store/both.crt", "").exits(0);
    place.sh("cat store/ca/etcd.crt store/ca/front-proxy.crt >store/others.crt", "").exits(0);
    let (server, front, alone, wrong) = (free_port(), free_port(), free_port(), free_port());
    let accept = format!("127.0.0.1:{server}");
    let _server = start(
        &place,
        "openssl",
        &[
            "s_server",
            "-accept",
            &accept,
            "-cert",
            "store/nodes/cp-1/apiserver.crt",
            "-key",
            "store/nodes/cp-1/apiserver.key",
            "-www",
        ],
    );
    assert!(soon(|| listens(server)));
    let backend = |name: &str, port: u16, ca: &str| {
        format!(
            "listen {name}\n  bind 127.0.0.1:{port}\n  mode tcp\n  \
             server s 127.0.0.1:{server} check check-ssl verify required ca-file {ca} verifyhost kubernetes check-sni kubernetes inter 200\n"
        )
    };
    let config = format!(
        "defaults\n  timeout connect 2s\n  timeout client 2s\n  timeout server 2s\n{}{}{}",
        backend("right", front, "store/both.crt"),
        backend("alone", alone, "store/ca/cluster.crt"),
        backend("wrong", wrong, "store/others.crt")
    );
    std::fs::write(place.path().join("haproxy.cfg"), config).unwrap();
    let _proxy = start(&place, "haproxy", &["-f", "haproxy.cfg"]);
    assert!(soon(|| listens(front)));
    // A server that is down gets no connection: the client sees an end at once.
    let through = |port: u16| {
        let target = format!("127.0.0.1:{port}");
        let args = [
            "s_client",
            "-connect",
            &target,
            "-CAfile",
            "store/ca/cluster.crt",
            "-partial_chain",
            "-verify_return_error",
        ];
        let mut command = Command::new("openssl");
        command.args(args).current_dir(place.path());
        Ran::of(command, "Q\n").code == 0
    };
    assert!(soon(|| through(front)));
    assert!(soon(|| !through(alone)));
    assert!(soon(|| !through(wrong)));
}

const PYTHON: &str = r#"
import socket, ssl, sys
c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
c.load_verify_locations(sys.argv[2])
c.verify_flags |= ssl.VERIFY_X509_STRICT
if sys.argv[3] == "3.13":
    # What create_default_context sets from Python 3.13 on.
    c.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
try:
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as raw:
        with c.wrap_socket(raw, server_hostname="kubernetes") as s:
            print("yes")
except ssl.SSLError as e:
    print(e.verify_message if hasattr(e, "verify_message") else e)
"#;

#[test]
fn python_takes_one_from_3_13_on_and_needs_the_root_before() {
    let place = rooted();
    let port = free_port();
    let accept = format!("127.0.0.1:{port}");
    let _server = start(
        &place,
        "openssl",
        &[
            "s_server",
            "-accept",
            &accept,
            "-cert",
            "store/nodes/cp-1/apiserver.crt",
            "-key",
            "store/nodes/cp-1/apiserver.key",
            "-www",
        ],
    );
    assert!(soon(|| listens(port)));
    place.sh("cat store/ca/cluster.crt store/ca/root.crt >both.crt", "").exits(0);
    let ask = |anchors: &str, version: &str| {
        let mut command = Command::new("python3");
        command.args(["-c", PYTHON, &port.to_string(), anchors, version]).current_dir(place.path());
        Ran::of(command, "").exits(0).stdout
    };
    assert_eq!(ask("store/ca/cluster.crt", "3.13"), "yes\n");
    assert_eq!(ask("store/ca/cluster.crt", "3.12"), "unable to get issuer certificate\n");
    assert_eq!(ask("both.crt", "3.12"), "yes\n");
    assert_eq!(ask("store/ca/etcd.crt", "3.13"), "unable to get local issuer certificate\n");
}
