//! The prober of Services, a verb of its own that runs in a machine's namespace: a TCP connection each tenth of a second.
//! Whoever says yes or no is there; only silence is loss. It writes a line for each answer, as `ping -D` does.
#![allow(clippy::disallowed_methods, reason = "it tells when an answer came")]

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kmh_cli::{Env, Exit};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::socket_error;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use super::stream::PACE_MS;

/// How long an answer is waited for.
const PATIENCE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Asks until nobody listens or a signal comes.
pub(crate) fn run(env: &mut Env, source: IpAddr, target: SocketAddr) -> Exit {
    let (answers, heard) = channel();
    std::thread::spawn(move || {
        for seq in 1_u64.. {
            let answers = answers.clone();
            std::thread::spawn(move || once(seq, source, target, &answers));
            std::thread::sleep(Duration::from_millis(PACE_MS));
        }
    });
    for seq in heard {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let line = format!("[{}.{:06}] answer icmp_seq={seq}\n", now.as_secs(), now.subsec_micros());
        if env.stdout.write_all(line.as_bytes()).is_err() {
            break;
        }
    }
    Exit::Done
}

fn once(seq: u64, source: IpAddr, target: SocketAddr, answers: &Sender<u64>) {
    if answers_at_all(source, target).unwrap_or(false) {
        // Nobody hears it when the run is over.
        let _ = answers.send(seq);
    }
}

/// Whether anybody says yes or no.
fn answers_at_all(source: IpAddr, target: SocketAddr) -> rustix::io::Result<bool> {
    let family = if target.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    bind(&socket, &SocketAddr::new(source, 0))?;
    match connect(&socket, &target) {
        Ok(()) | Err(Errno::CONNREFUSED) => return Ok(true),
        Err(Errno::INPROGRESS) => {}
        Err(_) => return Ok(false),
    }
    let mut waited = [PollFd::new(&socket, PollFlags::OUT)];
    if poll(&mut waited, Some(&PATIENCE))? == 0 {
        return Ok(false);
    }
    Ok(matches!(socket_error(&socket)?, Ok(()) | Err(Errno::CONNREFUSED)))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn yes_and_no_are_answers() {
        let own: IpAddr = "127.0.0.1".parse().unwrap();
        let listener = TcpListener::bind((own, 0)).unwrap();
        let open = listener.local_addr().unwrap();
        assert_eq!(answers_at_all(own, open), Ok(true));
        drop(listener);
        assert_eq!(answers_at_all(own, open), Ok(true), "refused");
        // A listener whose queue is full answers nobody.
        let listener =
            socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        bind(&listener, &SocketAddr::new(own, 0)).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let full: SocketAddr = rustix::net::getsockname(&listener).unwrap().try_into().unwrap();
        let _first = std::net::TcpStream::connect(full).unwrap();
        let _second = std::net::TcpStream::connect_timeout(&full, Duration::from_millis(200));
        assert_eq!(answers_at_all(own, full), Ok(false));
    }
}
