//! Packets that ask who is there: by `ping`, in the namespaces of those who ask.

pub(crate) mod connect;
pub(crate) mod ends;
pub(crate) mod ping;
pub(crate) mod stream;

use std::net::IpAddr;
use std::sync::Mutex;

use kmh_cli::Failure;

use crate::machine::{ended, shown};
use crate::memory::on_wires;
use crate::state::{LabName, State};

/// Octets of an echo request that are not payload: IPv4's or IPv6's header, and ICMP's (RFC 792, RFC 4443).
pub(crate) const HEADERS: [u16; 2] = [28, 48];
/// So many ask at the same time.
const AT_ONCE: usize = 48;

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// Who asks: a namespace.
    pub space: String,
    /// With this address.
    pub source: IpAddr,
    /// Whom.
    pub target: IpAddr,
    /// Octets of the packet, which nobody may take apart; `ping`'s own size otherwise.
    pub size: Option<u16>,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The answer.
    Reached,
    /// Nothing.
    Silence,
    /// Somebody says no, in `ping`'s words.
    Refused(String),
}

impl Question {
    /// The call of `ping`.
    fn words(&self, more: &[&str]) -> Vec<String> {
        let mut words = vec!["ping".to_owned(), "-n".to_owned()];
        words.extend(more.iter().map(|word| (*word).to_owned()));
        if let Some(size) = self.size {
            let [v4, v6] = HEADERS;
            let payload = size.saturating_sub(if self.target.is_ipv6() { v6 } else { v4 });
            words.extend(["-M".to_owned(), "do".to_owned(), "-s".to_owned(), payload.to_string()]);
        }
        words.extend(["-I".to_owned(), self.source.to_string(), self.target.to_string()]);
        words
    }
}

/// What `ping` printed, understood.
pub(crate) fn understood(code: Option<i32>, stdout: &str, stderr: &str) -> Reply {
    if code == Some(0) {
        return Reply::Reached;
    }
    // `From 10.20.0.1 icmp_seq=1 Destination Net Unreachable`
    let from = stdout.lines().filter_map(|line| line.strip_prefix("From ")).find_map(|line| {
        let (who, rest) = line.split_once(" icmp_seq=")?;
        Some(format!("{}: {}", who.trim_end_matches(':'), rest.split_once(' ')?.1.trim().to_lowercase()))
    });
    // `ping: sendmsg: Network is unreachable`, `ping: local error: message too long, mtu=1420`
    let own = stderr.lines().find_map(|line| line.strip_prefix("ping: "));
    match from.or_else(|| own.map(|own| own.trim().to_lowercase())) {
        Some(reason) => Reply::Refused(reason),
        None => Reply::Silence,
    }
}

/// Asks all of it, many at the same time, and again what stays silent: the first packet to somebody may be lost while
/// his address is looked up.
pub(crate) fn ask(lab: &LabName, state: &State, questions: &[Question]) -> Result<Vec<Reply>, Failure> {
    let next = Mutex::new(0..questions.len());
    let replies: Mutex<Vec<(usize, Result<Reply, Failure>)>> =
        Mutex::new(Vec::with_capacity(questions.len()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(questions.len()) {
            scope.spawn(|| {
                loop {
                    let number = lock(&next).next();
                    let Some((number, question)) = number.and_then(|n| Some((n, questions.get(n)?))) else {
                        return;
                    };
                    let reply = match once(lab, state, question) {
                        Ok(Reply::Silence) => once(lab, state, question),
                        other => other,
                    };
                    lock(&replies).push((number, reply));
                }
            });
        }
    });
    let mut replies = replies.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    replies.sort_by_key(|(number, _)| *number);
    replies.into_iter().map(|(_, reply)| reply).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn once(lab: &LabName, state: &State, question: &Question) -> Result<Reply, Failure> {
    let words = question.words(&["-c", "1", "-W", "1"]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut command = on_wires(lab, state, &question.space, &words)?;
    let line = shown(&command);
    let ran = ended(&mut command, &[])?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    // 0 answered, 1 not; 2 is another error, such as no route.
    match ran.status.code() {
        Some(0..=2) => Ok(understood(ran.status.code(), &text(&ran.stdout), &text(&ran.stderr))),
        _ => Err(crate::machine::said(&line, &ran)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ping_says() {
        let header = "PING 10.20.0.11 (10.20.0.11) from 10.10.0.11 : 56(84) bytes of data.\n";
        let end =
            "\n--- 10.20.0.11 ping statistics ---\n1 packets transmitted, 0 received, 100% packet loss\n";
        let says = |code, out: &str, err: &str| understood(Some(code), &format!("{header}{out}{end}"), err);
        assert_eq!(says(0, "64 bytes from 10.20.0.11: icmp_seq=1 ttl=62 time=0.1 ms", ""), Reply::Reached);
        assert_eq!(says(1, "", ""), Reply::Silence);
        assert_eq!(
            says(1, "From 10.10.0.1 icmp_seq=1 Destination Net Unreachable", ""),
            Reply::Refused("10.10.0.1: destination net unreachable".to_owned())
        );
        assert_eq!(
            says(1, "From fd00::1: icmp_seq=1 Packet too big: mtu=1420", ""),
            Reply::Refused("fd00::1: packet too big: mtu=1420".to_owned())
        );
        assert_eq!(
            says(1, "", "ping: local error: message too long, mtu=1420\n"),
            Reply::Refused("local error: message too long, mtu=1420".to_owned())
        );
    }

    #[test]
    fn a_size_counts_the_headers() {
        let question = |source: &str, target: &str, size| Question {
            space: "x".to_owned(),
            source: source.parse().unwrap(),
            target: target.parse().unwrap(),
            size,
        };
        assert_eq!(
            question("10.0.0.1", "10.0.0.2", Some(1400)).words(&["-c", "1"]).join(" "),
            "ping -n -c 1 -M do -s 1372 -I 10.0.0.1 10.0.0.2"
        );
        assert_eq!(
            question("fd00::1", "fd00::2", Some(1400)).words(&[]).join(" "),
            "ping -n -M do -s 1352 -I fd00::1 fd00::2"
        );
        assert_eq!(question("fd00::1", "fd00::2", None).words(&[]).join(" "), "ping -n -I fd00::1 fd00::2");
    }
}
