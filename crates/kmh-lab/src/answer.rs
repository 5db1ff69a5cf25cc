//! Pods that answer: one program in every pod's namespace tells whoever calls which node it is on, and whom it sees.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use kmh_cli::{Env, Failure, file};

use crate::args::AnswerAs;
use crate::machine::{clean, started};
use crate::plan::LabPlan;
use crate::plan::services::PORT;
use crate::state::LabName;

/// How long a caller may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(1);

/// Answers for ever.
pub(crate) fn run(answer: &AnswerAs, _env: &mut Env) -> Result<(), Failure> {
    // Both families at once, unless the kernel has no IPv6.
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, PORT))
        .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)))
        .map_err(|error| Failure::world("the pod cannot listen").because(file::plain(&error)))?;
    std::thread::scope(|scope| {
        for stream in listener.incoming().flatten() {
            scope.spawn(|| one(stream, &answer.node));
        }
    });
    Ok(())
}

fn one(mut stream: TcpStream, node: &str) {
    let Ok(peer) = stream.peer_addr() else { return };
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let _ = stream.read(&mut [0; 1024]);
    let body = format!("{node} sees {}\n", peer.ip().to_canonical());
    let head = format!(
        "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all((head + &body).as_bytes());
}

/// Starts it in every pod's namespace where it does not run.
pub(crate) fn everywhere(lab: &LabName, planned: &LabPlan) -> Result<(), Failure> {
    let tool = std::env::current_exe()
        .map_err(|error| Failure::world("cannot find the program itself").because(file::plain(&error)))?;
    let folder = lab.folder().join("pods");
    file::make_dir(&folder, 0o700)?;
    let mut nodes: Vec<&str> = planned.pods.iter().map(|pod| pod.node.as_str()).collect();
    nodes.dedup();
    for node in nodes {
        let at = folder.join(node);
        let known = file::read_if_there(&at)?.and_then(|bytes| String::from_utf8(bytes).ok());
        let runs = known.is_some_and(|text| {
            let (pid, began) = text.split_once(' ').unwrap_or_default();
            let (pid, began) = (pid.parse().ok(), began.parse::<u64>().ok());
            pid.is_some_and(|pid| started(pid).is_some() && started(pid) == began)
        });
        if runs {
            continue;
        }
        let mut command = Command::new("setsid");
        clean(&mut command, lab);
        let space = lab.space(&format!("pod-{node}"));
        command.arg("nsenter").arg(format!("--net=/run/netns/{space}")).arg("--");
        command.arg(&tool).args(["answer", node]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| {
            Failure::world(format!("cannot start the pod on `{node}`")).because(file::plain(&error))
        })?;
        let text = format!("{} {}", child.id(), started(child.id()).unwrap_or_default());
        file::write(&at, text.as_bytes(), 0o600)?;
    }
    Ok(())
}
