//! Whether each certificate names exactly whom the inventory says.

use std::collections::BTreeSet;
use std::net::IpAddr;

use kmh_cert::Facts;
use kmh_cert::rules::Topic;
use kmh_doc::pki::Certificate;
use kmh_model::Model;

use super::usages::broken_rules;
use super::{REISSUE, expect};
use crate::documents::Pki;
use crate::findings::Findings;

/// `pki.names`: common name, organizations (groups to Kubernetes), DNS names and addresses.
pub(crate) fn names(model: &Model, pki: &Pki<'_>, out: &mut Findings<'_>) {
    for (entry, facts) in pki.certificates() {
        let known =
            entry.machine.as_deref().is_none_or(|m| model.nodes.contains_key(m) || model.router(m).is_some());
        // What the inventory does not know is a matter of `pki.complete`.
        if known && out.look_at_any(entry.machine.as_deref()) {
            subject(model, entry, facts, out);
            alternatives(model, entry, facts, out);
        }
    }
}

fn subject(model: &Model, entry: &Certificate, facts: &Facts, out: &mut Findings<'_>) {
    let row = expect::row(entry.class);
    let is = facts.common_names.join(", ");
    match row.common_name_of(model, entry.machine.as_deref()) {
        Some(must) if is != must => {
            out.critical(&entry.name, format!("its common name is `{is}`, it must be `{must}`"), REISSUE);
        }
        None if is.is_empty() => out.critical(&entry.name, "it has no common name", REISSUE),
        // A server's name that reads like a user's would be one, were it ever given the client's use.
        None if is.starts_with("system:") && !row.is_ca() => {
            out.critical(&entry.name, format!("its common name `{is}` is a user of Kubernetes"), REISSUE);
        }
        _ => {}
    }
    let must: Vec<String> = row.organizations.iter().map(|&o| o.to_owned()).collect();
    // Of a CA the organization means nothing; of all others it is the groups.
    if facts.organizations != must && !row.is_ca() {
        let (is, must) = (list(&facts.organizations), list(&must));
        out.critical(
            &entry.name,
            format!("its organizations (groups) are {is}, they must be {must}"),
            REISSUE,
        );
    }
}

fn alternatives(model: &Model, entry: &Certificate, facts: &Facts, out: &mut Findings<'_>) {
    let row = expect::row(entry.class);
    if row.is_ca() {
        return; // kubeadm's CAs carry their own name; nobody looks at it
    }
    let must = expect::alternatives(model, row.names, entry.machine.as_deref());
    let dns: BTreeSet<String> = facts.dns_names.iter().cloned().collect();
    let addresses: BTreeSet<IpAddr> = facts.addresses.iter().copied().collect();
    let missing: Vec<String> =
        texts(must.dns.difference(&dns)).chain(texts(must.addresses.difference(&addresses))).collect();
    if !missing.is_empty() {
        out.critical(&entry.name, format!("it is not valid for {}", list(&missing)), REISSUE);
    }
    let more_dns = dns.iter().filter(|n| !must.dns.contains(*n) && !must.may_dns.contains(*n));
    let more_addresses =
        addresses.iter().filter(|a| !must.addresses.contains(a) && !must.may_addresses.contains(a));
    let surplus: Vec<String> = texts(more_dns).chain(texts(more_addresses)).collect();
    if !surplus.is_empty() {
        out.critical(
            &entry.name,
            format!("it is also valid for {}, which the inventory does not ask for", list(&surplus)),
            REISSUE,
        );
    }
    for complaint in broken_rules(entry, facts, Topic::Names) {
        out.critical(&entry.name, complaint, REISSUE);
    }
}

fn texts<'i, T: ToString + 'i>(items: impl Iterator<Item = &'i T>) -> impl Iterator<Item = String> {
    items.map(ToString::to_string)
}

fn list(items: &[String]) -> String {
    if items.is_empty() { "none".to_owned() } else { format!("`{}`", items.join("`, `")) }
}
