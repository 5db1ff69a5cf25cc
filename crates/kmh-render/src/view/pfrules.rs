//! pfSense's packet filter: the network document's rules as rules of pf's, and aliases for lists of networks.
//!
//! Without aliases, each source would stand in a rule of its own with each destination: the square of the sites on every
//! router, and nothing that a person could read.

use kmh_doc::Cidr;
use kmh_doc::network::{FirewallRule, Zone};
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::safe::remark;
use crate::shared::{RouterTarget, commas};
use crate::view::links::line_interfaces;

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
/// what is open but for that.
pub(crate) fn filter(t: &RouterTarget<'_>, segment: &str) -> Result<Filter, Fault> {
    let wan: Vec<&str> = line_interfaces(t.router)?;
    let mut filter = Filter::default();
    let (plain, with): (Vec<_>, Vec<_>) = t.plan.firewall.iter().partition(|rule| rule.except.is_empty());
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

impl Filter {
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
            // Tunnels' packets are filtered on the IPsec tab, whose name in the configuration this is.
            Zone::Tunnel => ("tunnels", vec!["enc0"]),
            // Its interface is not known: a floating rule, told apart by the source.
            Zone::Lan(_) => ("lans", vec![""]),
        };
        // Rules that name no network are for both families.
        let families = if rule.from.is_empty() && to.is_empty() {
            &[("inet46", false)][..]
        } else {
            &[("inet", false), ("inet6", true)][..]
        };
        for (ipprotocol, v6) in families {
            let of = |nets: &[Cidr]| -> Vec<Cidr> {
                nets.iter().copied().filter(|net| net.is_v6() == *v6).collect()
            };
            let (sources, targets) = (of(&rule.from), of(to));
            // Named in the other family only: nothing for this one.
            if (sources.is_empty() && !rule.from.is_empty()) || (targets.is_empty() && !to.is_empty()) {
                continue;
            }
            let source = self.side(&format!("kmh_{zone}_from"), sources, json!({"any": ""}), *v6);
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

    /// One side of a rule: everything, a network, or the alias of several.
    fn side(&mut self, alias: &str, mut nets: Vec<Cidr>, none: Value, v6: bool) -> Value {
        nets.sort();
        match nets.as_slice() {
            [] => none,
            nets if nets.iter().any(|net| net.net().prefix_len() == 0) => json!({"any": ""}),
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
