//! pfSense's packet filter: the network document's rules as rules of pf's, and aliases for lists of networks.
//!
//! Without aliases, each source would stand in a rule of its own with each destination: the square of the sites on every
//! router, and nothing that a person could read.

use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::Cidr;
use kmh_doc::network::{FirewallRule, Zone};
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::safe::remark;
use crate::shared::{RouterTarget, commas};
use crate::view::links::line_interfaces;

/// pf's words for the two families.
const FAMILIES: [(&str, bool); 2] = [("inet", false), ("inet6", true)];

/// What goes under `filter` and `aliases`.
#[derive(Default)]
pub(crate) struct Filter {
    /// The rules in order.
    pub(crate) rules: Vec<Value>,
    /// The aliases that they name.
    pub(crate) aliases: Vec<Value>,
    /// Name and networks of each alias.
    known: Vec<(String, Vec<Cidr>)>,
}

/// pf takes the first rule that matches. What is open without exception comes first, then what stays closed, then
/// what is open but for that; before all of them, what passes without a state.
pub(crate) fn filter(t: &RouterTarget<'_>, segment: &str) -> Result<Filter, Fault> {
    let wan: Vec<&str> = line_interfaces(t.router)?;
    let mut filter = Filter::default();
    let (stateless, stateful): (Vec<_>, Vec<_>) =
        t.plan.firewall.iter().partition(|rule| rule.stateless && !rule.to.is_empty());
    filter.stateless(t, &stateless, segment)?;
    let (plain, with): (Vec<_>, Vec<_>) = stateful.into_iter().partition(|rule| rule.except.is_empty());
    for rule in plain {
        filter.place("pass", rule, ("to", &rule.to), &wan, segment);
    }
    for rule in &with {
        filter.place("block", rule, ("except", &rule.except), &wan, segment);
        // Whoever may go anywhere else may not go to the firewall itself by an address that no rule names.
        filter.place("block", rule, ("self", &[]), &wan, segment);
    }
    for rule in with {
        filter.place("pass", rule, ("to", &rule.to), &wan, segment);
    }
    Ok(filter)
}

/// Tunnels' packets are filtered on the IPsec tab, whose name in the configuration this is.
const TUNNELS: &str = "enc0";

/// How a floating rule of pfSense applies. They stand before those of interfaces; without `quick` the last one that
/// matches decides, and any rule of an interface that matches decides before it.
#[derive(Clone, Copy)]
struct Floating {
    action: &'static str,
    direction: &'static str,
    quick: bool,
    state: bool,
}

/// A packet that goes on, and one that comes in for somewhere else than the node network here.
const PASS_OUT: Floating = Floating { action: "pass", direction: "out", quick: true, state: false };
const PASS_IN: Floating = Floating { action: "pass", direction: "in", quick: true, state: false };
/// One that comes in for the node network here, unless something that follows says otherwise.
const PASS_IN_UNLESS: Floating = Floating { action: "pass", direction: "in", quick: false, state: false };
const BLOCK_IN: Floating = Floating { action: "block", direction: "in", quick: false, state: true };

fn any() -> Value {
    json!({"any": ""})
}

fn of_family(nets: &[Cidr], v6: bool) -> Vec<Cidr> {
    nets.iter().copied().filter(|net| net.is_v6() == v6).collect()
}

impl Filter {
    /// What passes packet by packet: between addresses of the cluster, in and out, for pf sees each packet twice.
    ///
    /// The firewall has addresses in the node network, and must not be open with it: what goes there is decided by the
    /// rules of the interface, and closed where there are none. What it says itself keeps its state, or it would not
    /// hear the answer.
    fn stateless(
        &mut self,
        t: &RouterTarget<'_>,
        rules: &[&FirewallRule],
        segment: &str,
    ) -> Result<(), Fault> {
        let Some(first) = rules.first() else { return Ok(()) };
        let own: Vec<IpAddr> =
            t.plan.addresses.iter().map(|address| own_address(address)).collect::<Result<_, _>>()?;
        let both = format!("{segment},{TUNNELS}");
        let itself = FirewallRule {
            protocol: "any".to_owned(),
            description: "what the firewall says itself".to_owned(),
            ..(*first).clone()
        };
        let say = Floating { action: "pass", direction: "out", quick: true, state: true };
        self.rules.push(floating(say, &itself, &both, "inet46", &json!({"network": "(self)"}), &any()));
        for rule in rules {
            let (zone, interface) = match &rule.zone {
                Zone::Nodes => ("nodes", segment),
                Zone::Tunnel => ("tunnels", TUNNELS),
                Zone::Wan | Zone::Lan(_) => {
                    return Err(Fault::new(format!(
                        "the rule `{}` passes without states, and is for a zone that has none of the cluster's",
                        remark(&rule.description)
                    )));
                }
            };
            for (family, v6) in FAMILIES {
                let of = |nets: &[Cidr]| of_family(nets, v6);
                let (from, to, except) = (of(&rule.from), of(&rule.to), of(&rule.except));
                if from.is_empty() || to.is_empty() {
                    continue;
                }
                let holds_own = |net: &Cidr| {
                    own.iter().any(|address| net.net().contains(address))
                        || except.iter().any(|inside| net.net().contains(&inside.net()))
                };
                let (near, far): (Vec<Cidr>, Vec<Cidr>) = to.iter().partition(|net| holds_own(net));
                let source = self.side(&format!("kmh_{zone}_from"), from, any(), v6);
                let mut sides = vec![(PASS_OUT, both.as_str(), "to", to), (PASS_IN, interface, "far", far)];
                if !near.is_empty() {
                    sides.push((PASS_IN_UNLESS, interface, "near", near));
                    // The other router of the site, and an address that they take in turn.
                    let others = |net: &Cidr| !own.iter().any(|address| net.net() == IpNet::from(*address));
                    let others: Vec<Cidr> = except.into_iter().filter(others).collect();
                    sides.push((BLOCK_IN, interface, "except", others));
                }
                let closed = sides.len() > 2;
                for (how, interface, side, nets) in sides.into_iter().filter(|(.., nets)| !nets.is_empty()) {
                    let target = self.side(&format!("kmh_{zone}_{side}"), nets, any(), v6);
                    self.rules.push(floating(how, rule, interface, family, &source, &target));
                }
                if closed {
                    let target = json!({"network": "(self)"});
                    self.rules.push(floating(BLOCK_IN, rule, interface, family, &source, &target));
                }
            }
        }
        Ok(())
    }

    fn place(
        &mut self,
        action: &str,
        rule: &FirewallRule,
        (side, to): (&str, &[Cidr]),
        wan: &[&str],
        segment: &str,
    ) {
        let (zone, interfaces) = match &rule.zone {
            Zone::Wan => ("wan", wan.to_vec()),
            Zone::Nodes => ("nodes", vec![segment]),
            Zone::Tunnel => ("tunnels", vec![TUNNELS]),
            // Its interface is not known: a floating rule, told apart by the source.
            Zone::Lan(_) => ("lans", vec![""]),
        };
        // Rules that name no network are for both families.
        let families =
            if rule.from.is_empty() && to.is_empty() { &[("inet46", false)][..] } else { &FAMILIES[..] };
        for (ipprotocol, v6) in families {
            let (sources, targets) = (of_family(&rule.from, *v6), of_family(to, *v6));
            // Named in the other family only: nothing for this one.
            if (sources.is_empty() && !rule.from.is_empty()) || (targets.is_empty() && !to.is_empty()) {
                continue;
            }
            let source = self.side(&format!("kmh_{zone}_from"), sources, any(), *v6);
            let target = self.side(&format!("kmh_{zone}_{side}"), targets, json!({"network": "(self)"}), *v6);
            for interface in &interfaces {
                if rule.ports.is_empty() {
                    self.rules.push(one(action, rule, interface, ipprotocol, &source, &target));
                }
                for port in &rule.ports {
                    let mut target = target.clone();
                    target["port"] = json!(port.to_string());
                    self.rules.push(one(action, rule, interface, ipprotocol, &source, &target));
                }
            }
        }
    }

    /// Source translation of what pfSense does not translate by itself: its automatic rules know the IPv4 networks of
    /// its interfaces, but not pods, which are routes of BGP, and nothing of IPv6.
    pub(crate) fn outbound(&mut self, t: &RouterTarget<'_>) -> Result<Vec<Value>, Fault> {
        let wan = line_interfaces(t.router)?;
        let mut rules = Vec::new();
        for (ipprotocol, v6) in FAMILIES {
            for one in &t.plan.masquerade {
                let (from, except) = (of_family(&one.from, v6), of_family(&one.except, v6));
                // Calico gives pods their node's address before they get here, unless that is switched off.
                let nodes = t.site.networks.iter();
                let known: Vec<_> =
                    nodes.chain(t.site.pods.iter().filter(|_| t.shared.model.calico.nat_outgoing)).collect();
                let known = |net: &Cidr| !v6 && known.iter().any(|own| own.contains(&net.net()));
                if from.iter().all(known) {
                    continue;
                }
                let suffix = if v6 { "v6" } else { "v4" };
                let source = self.alias(&format!("kmh_nat_from_{suffix}"), from);
                let target = if except.is_empty() {
                    any()
                } else {
                    json!({"address": self.alias(&format!("kmh_nat_except_{suffix}"), except), "not": ""})
                };
                for interface in &wan {
                    rules.push(json!({
                        "interface": interface,
                        "ipprotocol": ipprotocol,
                        "source": {"network": source},
                        "sourceport": "",
                        "destination": target,
                        "dstport": "",
                        // The interface's own address.
                        "target": "",
                        "descr": "kmh: nodes and pods to the Internet",
                    }));
                }
            }
        }
        Ok(rules)
    }

    /// One side of a rule: everything, a network, or the alias of several.
    fn side(&mut self, alias: &str, mut nets: Vec<Cidr>, none: Value, v6: bool) -> Value {
        nets.sort();
        match nets.as_slice() {
            [] => none,
            nets if nets.iter().any(|net| net.net().prefix_len() == 0) => any(),
            [net] => json!({"address": net}),
            _ => json!({"address": self.alias(&format!("{alias}_{}", if v6 { "v6" } else { "v4" }), nets)}),
        }
    }

    /// The name of an alias for these networks: the wanted one, numbered where it is others' already. pfSense takes
    /// letters, digits and `_`, 31 at most.
    fn alias(&mut self, wanted: &str, nets: Vec<Cidr>) -> String {
        let names =
            std::iter::once(wanted.to_owned()).chain((2..).map(|number| format!("{wanted}_{number}")));
        for name in names {
            match self.known.iter().find(|(known, _)| *known == name) {
                Some((_, same)) if *same == nets => return name,
                Some(_) => {}
                None => {
                    self.aliases.push(json!({
                        "name": name,
                        "type": "network",
                        "address": commas(&nets).replace(',', " "),
                        "descr": "kmh: networks of a rule",
                    }));
                    self.known.push((name.clone(), nets));
                    return name;
                }
            }
        }
        wanted.to_owned()
    }
}

fn one(
    action: &str,
    rule: &FirewallRule,
    interface: &str,
    ipprotocol: &str,
    source: &Value,
    destination: &Value,
) -> Value {
    let mut fields = json!({
        "type": action,
        "ipprotocol": ipprotocol,
        "source": source,
        "destination": destination,
        "descr": format!("kmh: {}", remark(&rule.description)),
    });
    if interface.is_empty() {
        fields["floating"] = json!("yes");
        fields["quick"] = json!("yes");
        fields["direction"] = json!("in");
    } else {
        fields["interface"] = json!(interface);
    }
    if rule.protocol != "any" {
        fields["protocol"] = json!(rule.protocol);
    }
    fields
}

fn floating(
    how: Floating,
    rule: &FirewallRule,
    interface: &str,
    ipprotocol: &str,
    source: &Value,
    destination: &Value,
) -> Value {
    let mut fields = one(how.action, rule, interface, ipprotocol, source, destination);
    fields["floating"] = json!("yes");
    fields["direction"] = json!(how.direction);
    if how.quick {
        fields["quick"] = json!("yes");
    }
    if !how.state {
        fields["statetype"] = json!("none");
        fields["tcpflags_any"] = json!("");
    }
    fields
}

/// The address of `10.10.0.1/24`.
fn own_address(text: &str) -> Result<IpAddr, Fault> {
    let address = text.split_once('/').map_or(text, |(address, _)| address);
    address.parse().map_err(|_| Fault::new(format!("`{}` is no address", text.escape_debug())))
}
