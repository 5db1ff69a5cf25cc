//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use kmh_cli::Common;

// At most 79 columns: a wrapped command cannot be pasted.
const EXAMPLES: &str = "\
EXAMPLES
  The whole cluster on this machine, with the real daemons:
    kmh-pki --store pki <cluster.yaml | kmh-bgpcfg | kmh-render >stream.json
    kmh-lab up -i stream.json --store pki

  After a change of the inventory: the same again applies the difference.

  Look around in a machine; be the admin's laptop:
    kmh-lab exec fw-attic -- vtysh -c 'show ip bgp'
    kmh-lab exec operator -- ping -c 1 10.20.0.11

  Who reaches whom, and with which packets; the way of one:
    kmh-lab ping --size 1400
    kmh-lab trace attic-1 pi-1

  Cut a tunnel, look, mend it; or measure how long it hurts:
    kmh-lab cut tunnel/fw-attic--gw-vps --silent
    kmh-lab heal tunnel/fw-attic--gw-vps
    kmh-lab measure tunnel/fw-attic--gw-vps

  What this machine can do; take everything away again:
    kmh-lab doctor
    kmh-lab down

EXIT CODES
  0  done, or the answer is yes
  1  the answer is no: something is not reached
  2  the call or a document is wrong, or the caller is not root
  3  the world failed; `down` takes away what is there
  exec gives the code of its command.";

/// The bundle rehearsed on one Linux machine: namespaces, the real FRR, BIRD and strongSwan
///
/// `up` builds the network of a stream with a bundle: a machine in a namespace for every router and node, links for
/// segments and lines, and in them the daemons with the rendered files, unchanged. The other verbs work on a lab that is
/// up and read no documents. Nothing joins a lab to this machine's own network. It needs root.
#[derive(Parser, Clone, Debug)]
#[command(name = "kmh-lab", version, after_long_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
    /// The lab's name [default: the cluster's name for `up`, else the only lab that is up]
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) lab: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What to do.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum Verb {
    /// Build the lab, or apply the difference to one that is up
    Up(Up),
    /// Run a command in a machine, and give its exit code
    Exec(Exec),
    /// Who reaches whom: every machine and pod, or those named
    Ping(Ping),
    /// The way of a packet as the kernels route it
    Trace(Trace),
    /// Record packets into a file that tcpdump and wireshark read
    Capture(Capture),
    /// Break something: `tunnel/NAME`, `uplink/ROUTER/LINE`, `router/NAME`, `site/NAME`, `node/NAME`, `daemon/MACHINE:DAEMON`
    Cut(Cut),
    /// Mend what `cut` or `slow` did; everything when nothing is named
    Heal(Heal),
    /// Give a line delay, loss and rate
    Slow(Slow),
    /// Kill a daemon without a word to it: `MACHINE:DAEMON`
    Kill(Kill),
    /// Break something under a steady stream of probes, and tell how long which traffic was lost
    Measure(Measure),
    /// What this machine can do, and which package brings the rest
    Doctor,
    /// Take the lab away: processes, namespaces, links, mounts, files
    Down(Down),
    /// The first process of a machine
    #[command(hide = true)]
    Init(Init),
    /// Write files into the machine that it runs in
    #[command(hide = true)]
    Receive,
    /// Ask for TCP connections all the time
    #[command(hide = true)]
    Probe(Probe),
    /// A pod: tells whoever calls by HTTP its node, and the caller's address
    #[command(hide = true)]
    Answer(AnswerAs),
    /// What systemd would do, in a light machine
    #[command(hide = true)]
    Systemctl(Systemctl),
    /// Make pfSense's tunnels in the machine that stands in for one
    #[command(hide = true)]
    StandIn,
    /// The first process of a guest
    #[command(hide = true)]
    VmInit,
    /// What takes commands in a guest
    #[command(hide = true)]
    VmAgent,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Up {
    /// Only these machines, and what joins them; all when none is named
    #[arg(value_name = "MACHINE")]
    pub(crate) machines: Vec<String>,
    // By hand and not by clap: the environment of a run is `Env`.
    #[arg(
        long,
        value_name = "DIR",
        help = "The store that secrets are read from; needed when the bundle refers to any [env: KMH_STORE]"
    )]
    pub(crate) store: Option<PathBuf>,
    #[arg(
        long,
        alias = "store-identity",
        value_name = "FILE",
        help = "Opens an encrypted store: an age identity [env: KMH_IDENTITY]"
    )]
    pub(crate) identity: Option<PathBuf>,
    /// How tunnels are carried [default: esp where the kernel can, else plain]
    #[arg(long, value_name = "HOW")]
    pub(crate) tunnels: Option<Carrier>,
    /// A service with `externalTrafficPolicy: Local`: its address, and the nodes that have a pod of it
    #[arg(long, value_name = "ADDRESS=NODE,NODE")]
    pub(crate) service: Vec<String>,
    /// Services, as `kubectl get services,endpointslices -A -o json` prints them
    #[arg(long, value_name = "FILE")]
    pub(crate) services: Option<PathBuf>,
    /// Do not wait until all sessions are up and all routes are there
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Boot this machine as a complete system; `all` for every one
    #[arg(long, value_name = "MACHINE")]
    pub(crate) full: Vec<String>,
    /// Where roots of complete machines are kept
    #[arg(long, value_name = "DIR", default_value = crate::full::root::CACHE)]
    pub(crate) cache: PathBuf,
    /// In a guest with a stock Debian kernel
    #[arg(long)]
    pub(crate) vm: bool,
}

/// How tunnels are carried.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Carrier {
    /// By the kernel's ESP and XFRM interfaces, with strongSwan.
    Esp,
    /// By a link that encrypts nothing.
    Plain,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Exec {
    /// The machine: a router, a node, `pod-NODE`, `lan-SITE-NAME`, `operator` or `internet`
    pub(crate) machine: String,
    /// The command, after `--`
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<std::ffi::OsString>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Ping {
    /// Only these machines and pods
    #[arg(value_name = "MACHINE")]
    pub(crate) machines: Vec<String>,
    /// Octets of the IP packet, which no router may take apart
    #[arg(long, value_name = "OCTETS")]
    pub(crate) size: Option<u16>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Trace {
    /// From where: a machine
    pub(crate) from: String,
    /// To where: a machine or an address
    pub(crate) to: String,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Capture {
    /// Where: a machine, `tunnel/NAME` or `uplink/ROUTER/LINE`
    pub(crate) place: String,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    pub(crate) to: PathBuf,
    /// End after so many seconds
    #[arg(long = "for", value_name = "SECONDS")]
    pub(crate) seconds: Option<u32>,
    /// End after so many packets
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: Option<u32>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Cut {
    /// What
    #[arg(required = true)]
    pub(crate) what: Vec<String>,
    /// Packets vanish and interfaces stay up, as when a line dies somewhere; a daemon hangs (the default)
    #[arg(long, conflicts_with = "clean")]
    pub(crate) silent: bool,
    /// Interfaces go down and daemons are stopped in order
    #[arg(long)]
    pub(crate) clean: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Heal {
    /// What
    pub(crate) what: Vec<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Slow {
    /// The line: `uplink/ROUTER/LINE`
    pub(crate) what: String,
    /// Round trip in milliseconds
    #[arg(long, value_name = "MS")]
    pub(crate) rtt: Option<u16>,
    /// Lost packets, percent
    #[arg(long, value_name = "PERCENT")]
    pub(crate) loss: Option<u8>,
    /// Rate, such as 10mbit
    #[arg(long, value_name = "RATE")]
    pub(crate) rate: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Kill {
    /// The daemon: `MACHINE:DAEMON`
    pub(crate) what: String,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Measure {
    /// What is broken meanwhile
    pub(crate) what: String,
    /// How: silently (the default) or cleanly
    #[arg(long)]
    pub(crate) clean: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Down {
    /// Every lab on this machine, also what is left of one that was killed
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Init {
    /// The machine's name, which becomes the host name
    pub(crate) name: String,
    /// The lab's folder
    #[arg(long)]
    pub(crate) state: PathBuf,
    /// Use the files of this machine as they are, instead of a copy of its own
    #[arg(long)]
    pub(crate) shared: bool,
    /// Folders that the machine must not see
    #[arg(long)]
    pub(crate) hide: Vec<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Probe {
    /// The source address
    pub(crate) source: std::net::IpAddr,
    /// Address and port of the target
    pub(crate) target: std::net::SocketAddr,
    /// Ask by datagrams, which only somebody who refuses answers
    #[arg(long)]
    pub(crate) datagram: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct AnswerAs {
    /// The pod's node
    pub(crate) node: String,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Systemctl {
    /// As systemctl takes them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<String>,
}
