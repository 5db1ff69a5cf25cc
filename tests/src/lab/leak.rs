//! What must never be seen outside a tunnel, counted where every default route ends.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use ipnet::IpNet;
use kmh_lab::plan::{INTERNET, OUTSIDE};
use serde_json::Value;

use super::Lab;

/// Packets that arrived in the Internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// From or to an address of the cluster.
    pub inner: u64,
    /// To the Internet itself.
    pub outer: u64,
}

impl Lab {
    /// Starts counting.
    pub fn watch_the_internet(&self) {
        let routers = &self.documents.network.routers;
        let inner: BTreeSet<IpNet> = routers
            .iter()
            .flat_map(|router| router.unreachable.iter().chain(&router.originate))
            .map(|net| net.net())
            .collect();
        let mut rules = String::from(
            "table inet watch {\n counter inner { }\n counter outer { }\n \
             chain c { type filter hook prerouting priority -300;\n",
        );
        for net in inner {
            let family = if net.addr().is_ipv6() { "ip6" } else { "ip" };
            let _ = writeln!(rules, "  {family} saddr {net} counter name inner");
            let _ = writeln!(rules, "  {family} daddr {net} counter name inner");
        }
        for (family, address) in ["ip", "ip6"].into_iter().zip(OUTSIDE) {
            let _ = writeln!(rules, "  {family} daddr {address} counter name outer");
        }
        rules += " }\n}\n";
        for space in self.watched() {
            self.nft(space, &rules);
        }
    }

    /// The Internet, and every box before it that translates addresses: behind one nobody sees what it was.
    fn watched(&self) -> impl Iterator<Item = &str> {
        self.spaces().filter(|space| *space == INTERNET || space.starts_with("nat-"))
    }

    /// What arrived so far.
    pub fn arrived(&self) -> Arrived {
        let of = |space| {
            let json = self.sh(space, "nft -j list counters").exits(0).stdout;
            let list: Value = serde_json::from_str(&json).expect("counters");
            list["nftables"].as_array().expect("a list").clone()
        };
        let all: Vec<Value> = self.watched().flat_map(of).collect();
        let all = all.iter().filter_map(|item| item.get("counter"));
        let count = |name: &str| {
            all.clone().filter(|one| one["name"] == name).filter_map(|one| one["packets"].as_u64()).sum()
        };
        Arrived { inner: count("inner"), outer: count("outer") }
    }
}
