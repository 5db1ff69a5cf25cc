//! The nodes' side, out of Calico's resources: what calico-node would tell its BIRD.
//!
//! Names of fields and what they do: projectcalico/calico, `api/pkg/apis/projectcalico/v3`; the order of the export rules:
//! `node/filesystem/etc/calico/confd/templates/bird{,_aggr,_ipam}.cfg.template` there.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::Asn;
use kmh_doc::network::NodePlan;
use serde_json::Value;

use super::sound;
use crate::fault::Fault;
use crate::prefixes::NetMap;
use crate::selector::{Labels, Selector};

/// Nodes with this label announce no service ranges.
const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// Seconds for which BIRD asks its peers to keep its routes, when nothing says another time.
const BIRD_RESTART: u32 = 120;
/// The annotation that gives a node an AS number of its own.
const ASN_ANNOTATION: &str = "projectcalico.org/ASNumber";
/// Calico's own AS number when nothing says another.
const DEFAULT_ASN: u32 = 64512;

/// A pool.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) name: String,
    pub(crate) net: IpNet,
    pub(crate) block: u8,
    /// Whether it gives addresses to pods.
    pub(crate) for_pods: bool,
    pub(crate) selector: Selector,
}

/// What a rule of a filter does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Accept,
    Reject,
}

/// A rule of a `BGPFilter`.
#[derive(Clone, Debug)]
struct FilterRule {
    learned_only: bool,
    external: Option<bool>,
    net: Option<(IpNet, Operator)>,
    lengths: Option<(u8, u8)>,
    /// It asks for something that this program does not know: taken to match nothing.
    never: bool,
    action: Action,
}

#[derive(Clone, Copy, Debug)]
enum Operator {
    Equal,
    NotEqual,
    In,
    NotIn,
}

/// The rules of one filter: export and import, IPv4 and IPv6.
#[derive(Clone, Debug, Default)]
struct Filter {
    export: [Vec<FilterRule>; 2],
    import: [Vec<FilterRule>; 2],
}

/// A `BGPPeer`, for the nodes that it selects.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    pub(crate) asn: u32,
    pub(crate) local_asn: Option<u32>,
    pub(crate) allow_local: u32,
    pub(crate) keep_next_hop: bool,
    pub(crate) password: Option<String>,
    /// Seconds for which it asks the router to keep its routes.
    pub(crate) restart: u32,
    /// Numbers of its filters, in order.
    filters: Vec<u32>,
    pub(crate) nodes: Vec<usize>,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Calico {
    pub(crate) pools: Vec<Pool>,
    pub(crate) peers: Vec<Peer>,
    /// Ranges that every node announces, but the excluded ones.
    pub(crate) services: Vec<IpNet>,
    /// AS number of each node.
    pub(crate) asns: Vec<u32>,
    /// Nodes that announce no service ranges.
    pub(crate) excluded: Vec<bool>,
    /// Whether nodes peer with each other as well.
    pub(crate) mesh: bool,
    filters: Vec<Filter>,
    unexported: NetMap<()>,
    exported: NetMap<()>,
    service_nets: NetMap<()>,
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn flag(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// A number, or text of one: also `x.y` (RFC 5396).
fn asn(value: &Value) -> Option<u32> {
    match value {
        Value::Number(number) => u32::try_from(number.as_u64()?).ok(),
        Value::String(text) => match text.split_once('.') {
            None => text.parse().ok(),
            Some((high, low)) => {
                Some((u32::from(high.parse::<u16>().ok()?) << 16) | u32::from(low.parse::<u16>().ok()?))
            }
        },
        _ => None,
    }
}

/// `10.0.0.1`, `10.0.0.1:179`, `[fd00::1]:179`.
fn peer_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(address, _)| address);
    bare.unwrap_or(text).parse().ok().or_else(|| text.split_once(':')?.0.parse().ok())
}

/// The seconds of `30s`, `1m30s`.
fn seconds(text: &str) -> Option<u32> {
    let mut sum = 0_u32;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        let scale = match unit {
            "h" => 3600,
            "m" => 60,
            "s" => 1,
            _ => return None,
        };
        sum = sum.checked_add(number.parse::<u32>().ok()?.checked_mul(scale)?)?;
        rest = after;
    }
    Some(sum)
}

/// The address of `10.0.0.1/24`.
fn bare(text: &str) -> Option<IpAddr> {
    text.split_once('/').map_or(text, |(address, _)| address).parse().ok()
}

/// Collects what is wrong.
struct Faults(Vec<Fault>);

impl Faults {
    fn need<T>(&mut self, place: &str, value: Option<T>, what: &str, hint: &str) -> Option<T> {
        if value.is_none() {
            self.0.push(Fault::new(place, format!("no {what}")).hint(hint));
        }
        value
    }

    /// An AS number that is there: one that nobody may have is as wrong as none.
    fn asn(&mut self, place: &str, value: &Value) -> Option<u32> {
        let number = self.need(place, asn(value), "AS number", Asn::PRIVATE)?;
        sound::reserved(Asn::new(number), place, &mut self.0);
        Some(number)
    }

    fn selector(&mut self, place: &str, text: &str) -> Selector {
        Selector::parse(text).unwrap_or_else(|why| {
            self.0.push(Fault::new(place, format!("`{text}` is no selector: {why}")).hint(
                "write it as Calico's documentation does, such as `topology.kubernetes.io/zone == 'attic'`",
            ));
            Selector::none()
        })
    }
}

impl Calico {
    /// Reads the resources for these nodes.
    pub(crate) fn read(resources: &[Value], nodes: &[NodePlan]) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults(Vec::new());
        let mut all = Self::default();
        let (at, settings) = of_kind(resources, "BGPConfiguration")
            .find(|(_, name, _)| name == "default")
            .map_or((String::new(), None), |(place, _, spec)| (place, Some(spec)));
        let written = settings.and_then(|spec| spec.get("asNumber"));
        let default = written.and_then(|number| faults.asn(&format!("{at}.spec.asNumber"), number));
        let default = default.unwrap_or(DEFAULT_ASN);
        all.mesh = settings
            .and_then(|spec| spec.get("nodeToNodeMeshEnabled"))
            .and_then(Value::as_bool)
            .unwrap_or(true);
        for key in ["serviceClusterIPs", "serviceExternalIPs", "serviceLoadBalancerIPs"] {
            for range in settings.map_or(&[][..], |spec| list(spec, key)) {
                let net = text(range, "cidr").and_then(|cidr| cidr.parse::<IpNet>().ok());
                let place = format!("{at}.spec.{key}");
                if let Some(net) = faults.need(&place, net, "network in `cidr`", "write it as `10.96.0.0/16`")
                {
                    all.services.push(net.trunc());
                    *all.service_nets.entry(net) = ();
                }
            }
        }
        all.services.sort_unstable();
        all.services.dedup();
        let annotation = |node: &NodePlan, key: &str| {
            node.annotations.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
        };
        all.asns = nodes
            .iter()
            .enumerate()
            .map(|(number, node)| {
                let own = annotation(node, ASN_ANNOTATION).map(Value::String);
                let place = || format!("nodes[{number}].annotations `{ASN_ANNOTATION}`");
                own.and_then(|text| faults.asn(&place(), &text)).unwrap_or(default)
            })
            .collect();
        all.excluded = nodes
            .iter()
            .map(|node| node.labels.iter().any(|(key, value)| key == EXCLUDE && value == "true"))
            .collect();
        all.read_pools(resources, &mut faults);
        let names = all.read_filters(resources);
        all.read_peers(resources, nodes, &names, &mut faults);
        if faults.0.is_empty() { Ok(all) } else { Err(faults.0) }
    }

    fn read_pools(&mut self, resources: &[Value], faults: &mut Faults) {
        for (place, name, spec) in of_kind(resources, "IPPool") {
            let net = text(spec, "cidr").and_then(|cidr| cidr.parse::<IpNet>().ok());
            let Some(net) = faults.need(&place, net, "network in `spec.cidr`", "write it as `10.200.0.0/18`")
            else {
                continue;
            };
            let usual = if matches!(net, IpNet::V6(_)) { 122 } else { 26 };
            let block =
                spec.get("blockSize").and_then(Value::as_u64).and_then(|size| u8::try_from(size).ok());
            let uses = list(spec, "allowedUses");
            let exported = !flag(spec, "disableBGPExport");
            *(if exported { &mut self.exported } else { &mut self.unexported }).entry(net) = ();
            self.pools.push(Pool {
                name,
                net: net.trunc(),
                block: block.unwrap_or(usual),
                for_pods: !flag(spec, "disabled")
                    && (uses.is_empty() || uses.iter().any(|one| one == "Workload")),
                selector: faults.selector(&place, text(spec, "nodeSelector").unwrap_or_default()),
            });
        }
        self.pools.sort_by(|a, b| (a.net, &a.name).cmp(&(b.net, &b.name)));
    }

    fn read_filters(&mut self, resources: &[Value]) -> HashMap<String, u32> {
        let mut names = HashMap::new();
        for (_, name, spec) in of_kind(resources, "BGPFilter") {
            let rules = |key: &str| list(spec, key).iter().map(filter_rule).collect::<Vec<_>>();
            names.insert(name, u32::try_from(self.filters.len()).unwrap_or(u32::MAX));
            self.filters.push(Filter {
                export: [rules("exportV4"), rules("exportV6")],
                import: [rules("importV4"), rules("importV6")],
            });
        }
        names
    }

    fn read_peers(
        &mut self,
        resources: &[Value],
        nodes: &[NodePlan],
        names: &HashMap<String, u32>,
        faults: &mut Faults,
    ) {
        let labels: Vec<Labels> = nodes
            .iter()
            .map(|node| {
                let own = node.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
                own.chain([("kubernetes.io/hostname", node.name.as_str())]).collect()
            })
            .collect();
        let mut index: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
        for (number, labels) in labels.iter().enumerate() {
            for (key, value) in labels {
                index.entry((key, value)).or_default().push(number);
            }
        }
        let by_name: HashMap<&str, usize> =
            nodes.iter().enumerate().map(|(number, node)| (node.name.as_str(), number)).collect();
        for (place, _, spec) in of_kind(resources, "BGPPeer") {
            // Peers by selector are other nodes or pods; no router is among them.
            if text(spec, "peerSelector").is_some() || text(spec, "localWorkloadSelector").is_some() {
                continue;
            }
            let address = text(spec, "peerIP").and_then(peer_address);
            let number = spec.get("asNumber").unwrap_or(&Value::Null);
            let local_asn = spec
                .get("localASNumber")
                .and_then(|number| faults.asn(&format!("{place}.spec.localASNumber"), number));
            let (Some(address), Some(asn)) = (
                faults.need(
                    &place,
                    address,
                    "address in `spec.peerIP`",
                    "write the router's, such as `10.10.0.1`",
                ),
                faults.asn(&format!("{place}.spec.asNumber"), number),
            ) else {
                continue;
            };
            let selected = match (text(spec, "node"), text(spec, "nodeSelector")) {
                (Some(name), _) => by_name.get(name).copied().into_iter().collect(),
                (None, None) => (0..nodes.len()).collect(),
                (None, Some(written)) => {
                    let selector = faults.selector(&format!("{place}.spec.nodeSelector"), written);
                    let all = || (0..nodes.len()).collect();
                    let some = selector.required().map(|key| index.get(&key).cloned().unwrap_or_default());
                    let mut some: Vec<usize> = some.unwrap_or_else(all);
                    some.retain(|number| labels.get(*number).is_some_and(|labels| selector.selects(labels)));
                    some
                }
            };
            // Of many nodes that one is left out by Calico; a peer of it alone is no peer.
            if let [only] = selected.as_slice()
                && let Some(node) = nodes.get(*only)
                && node.addresses.iter().any(|own| bare(own) == Some(address))
            {
                let message = format!("`{}` is its own peer: {address} is its own address", node.name);
                let place = format!("{place}.spec.peerIP");
                faults.0.push(Fault::new(place, message).hint("write the router's address"));
            }
            self.peers.push(Peer {
                address,
                asn,
                local_asn,
                allow_local: spec
                    .get("numAllowedLocalASNumbers")
                    .and_then(Value::as_u64)
                    .and_then(|count| u32::try_from(count).ok())
                    .unwrap_or(0),
                keep_next_hop: flag(spec, "keepOriginalNextHop") || text(spec, "nextHopMode") == Some("Keep"),
                password: spec
                    .get("password")
                    .and_then(|password| password.get("secretKeyRef"))
                    .map(|key| text(key, "key").unwrap_or_default().to_owned()),
                restart: text(spec, "maxRestartTime").and_then(seconds).unwrap_or(BIRD_RESTART),
                filters: list(spec, "filters")
                    .iter()
                    .filter_map(Value::as_str)
                    .filter_map(|name| names.get(name).copied())
                    .collect(),
                nodes: selected,
            });
        }
    }

    /// Whether the filters of a peer let nothing out that was learned.
    pub(crate) fn is_guarded(&self, peer: &Peer, v6: bool) -> bool {
        let rules = peer.filters.iter().filter_map(|number| self.filters.get(*number as usize));
        let mut rules = rules.flat_map(|filter| &filter.export[usize::from(v6)]);
        let first = rules.find(|rule| rule.learned_only || rule.action == Action::Accept);
        first.is_some_and(|rule| {
            rule.action == Action::Reject
                && !rule.never
                && rule.net.is_none()
                && rule.lengths.is_none()
                && rule.external.is_none()
        })
    }

    /// Whether a node announces a network to a peer: the first rule that decides.
    pub(crate) fn exports(
        &self,
        peer: &Peer,
        own_blocks: &[IpNet],
        net: IpNet,
        learned: bool,
        external: bool,
    ) -> bool {
        let v6 = usize::from(matches!(net, IpNet::V6(_)));
        let rules = peer.filters.iter().filter_map(|number| self.filters.get(*number as usize));
        let mut rules = rules.flat_map(|filter| &filter.export[v6]);
        if let Some(rule) = rules.find(|rule| rule.matches(net, learned, external)) {
            return rule.action == Action::Accept;
        }
        let inside = |nets: &NetMap<()>| nets.around(net).next().is_some();
        if inside(&self.unexported) {
            return false;
        }
        if let Some(block) = own_blocks.iter().find(|block| block.contains(&net)) {
            return *block == net;
        }
        inside(&self.service_nets) || inside(&self.exported)
    }

    /// Whether a node takes a network from a peer.
    pub(crate) fn imports(&self, peer: &Peer, net: IpNet, external: bool) -> bool {
        let v6 = usize::from(matches!(net, IpNet::V6(_)));
        let rules = peer.filters.iter().filter_map(|number| self.filters.get(*number as usize));
        let mut rules = rules.flat_map(|filter| &filter.import[v6]);
        rules.find(|rule| rule.matches(net, true, external)).is_none_or(|rule| rule.action == Action::Accept)
    }

    /// Whether a node's kernel gets no learned route for a network, because it lies in a service range.
    pub(crate) fn is_service(&self, net: IpNet) -> bool {
        self.service_nets.around(net).next().is_some()
    }

    /// The pools around a network.
    pub(crate) fn pools_around(&self, net: IpNet) -> impl Iterator<Item = &Pool> {
        self.pools.iter().filter(move |pool| pool.net.contains(&net))
    }
}

fn of_kind<'v>(resources: &'v [Value], kind: &str) -> impl Iterator<Item = (String, String, &'v Value)> {
    resources.iter().enumerate().filter(move |(_, one)| text(one, "kind") == Some(kind)).filter_map(
        |(number, one)| {
            let name = one.get("metadata").and_then(|meta| text(meta, "name")).unwrap_or_default();
            Some((format!("calico[{number}]"), name.to_owned(), one.get("spec")?))
        },
    )
}

fn filter_rule(rule: &Value) -> FilterRule {
    const UNKNOWN: [&str; 4] = ["interface", "communities", "asPathPrefix", "priority"];
    let net = text(rule, "cidr").and_then(|cidr| cidr.parse::<IpNet>().ok());
    let operator = match text(rule, "matchOperator") {
        Some("Equal") => Operator::Equal,
        Some("NotEqual") => Operator::NotEqual,
        Some("NotIn") => Operator::NotIn,
        _ => Operator::In,
    };
    let bound = |key: &str| {
        let lengths = rule.get("prefixLength")?;
        lengths.get(key)?.as_u64().and_then(|length| u8::try_from(length).ok())
    };
    FilterRule {
        learned_only: text(rule, "source") == Some("RemotePeers"),
        external: match text(rule, "peerType") {
            Some("eBGP") => Some(true),
            Some("iBGP") => Some(false),
            _ => None,
        },
        net: net.map(|net| (net.trunc(), operator)),
        lengths: rule
            .get("prefixLength")
            .map(|_| (bound("min").unwrap_or(0), bound("max").unwrap_or(u8::MAX))),
        never: UNKNOWN.iter().any(|key| rule.get(key).is_some()),
        action: if text(rule, "action") == Some("Accept") { Action::Accept } else { Action::Reject },
    }
}

impl FilterRule {
    fn matches(&self, net: IpNet, learned: bool, external: bool) -> bool {
        let in_net = self.net.is_none_or(|(own, operator)| match operator {
            Operator::Equal => own == net,
            Operator::NotEqual => own != net,
            Operator::In => own.contains(&net),
            Operator::NotIn => !own.contains(&net),
        });
        let length = net.prefix_len();
        !self.never
            && (learned || !self.learned_only)
            && self.external.is_none_or(|wanted| wanted == external)
            && in_net
            && self.lengths.is_none_or(|(low, high)| (low..=high).contains(&length))
    }
}
