//! The table of all checks: name, what it proves, what to do when it says no, and the function.

use crate::bundle::{
    components, credentials, encryption, etcd, files, flags, kubeconfigs, machines, ranges, references,
    secrets, units,
};
use crate::check::{Check, Run};
use crate::network::{
    bgp_files, calico, filters, firewall, ike, machines as planned_machines, peering, pfsense, policy, pools,
    sessions, tunnels,
};
use crate::pki::{chain, complete, dates, document, generations, keys, names, usages};
use crate::{inventory, push};

const fn check(id: &'static str, proves: &'static str, advice: &'static str, run: Run) -> Check {
    Check { id, proves, advice, run }
}

const ENSURE: &str = "Run `kmh-pki ensure` with this inventory, then render and push again.";
const PLAN: &str =
    "Run `kmh-bgpcfg plan` with this inventory again; a plan that was edited is the usual cause.";
const RENDER: &str = "Run `kmh-render bundle` again, with documents of one run; a template or document that was edited is the usual cause.";
const AGAIN: &str = "Run the pipe again without `--dry-run`.";

/// All checks, by name.
pub const TABLE: &[Check] = &[
    check(
        "bundle.artifacts",
        "every program is built for its machine, in the inventory's version, and comes over HTTPS",
        "Correct `arch` of the node or `versions` of the cluster, and render again.",
        Run::ModelBundle(units::artifacts),
    ),
    check(
        "bundle.audit",
        "an API server with an audit log has a policy, without which nothing is logged",
        "Set both `audit-log-path` and `audit-policy-file`, or neither.",
        Run::Bundle(components::audit),
    ),
    check(
        "bundle.certificates",
        "every certificate and key is on its machine at its place, and is the one of the PKI document",
        RENDER,
        Run::PkiBundle(secrets::certificates),
    ),
    check(
        "bundle.cgroups",
        "kubelet and the container runtime share systemd's cgroups, and none relies on cgroup v1",
        "Take the deviating setting out of the inventory; boot old machines with cgroup v2.",
        Run::ModelBundle(components::cgroups),
    ),
    check(
        "bundle.credentials",
        "every program is given its own certificate with its own key, and trusts the CA that it must",
        RENDER,
        Run::PkiBundle(credentials::credentials),
    ),
    check(
        "bundle.dns",
        "pods are told the DNS service's own address and domain",
        "Take `clusterDNS` and `clusterDomain` out of the settings: both follow from the service range.",
        Run::ModelBundle(ranges::dns),
    ),
    check(
        "bundle.encryption",
        "Secrets are encrypted in etcd with a key of the store",
        RENDER,
        Run::Bundle(components::encryption),
    ),
    check(
        "bundle.encryption-keys",
        "API servers can read with every encryption key of the store, each under its own name, and write with the one in use",
        RENDER,
        Run::PkiBundle(encryption::keys),
    ),
    check(
        "bundle.etcd",
        "etcd's members know each other and nobody else, ask for certificates, and are an odd number",
        "Compare `initial-cluster` with the nodes that have the role `etcd`.",
        Run::ModelBundle(etcd::etcd),
    ),
    check(
        "bundle.flags",
        "no component is started with a flag that its version no longer has",
        "Remove the flag from the settings, or use what replaced it.",
        Run::ModelBundle(flags::flags),
    ),
    check(
        "bundle.haproxy",
        "every node's haproxy listens on loopback only and knows every API server",
        "Correct `api` in the inventory, or render again.",
        Run::ModelBundle(kubeconfigs::haproxy),
    ),
    check(
        "bundle.kubeconfigs",
        "every kubeconfig leads to an API server that is certified for that name, with a certificate and its own key",
        "Make certificates and bundle again, from one inventory.",
        Run::PkiBundle(kubeconfigs::kubeconfigs_check),
    ),
    check(
        "bundle.machines",
        "the bundle has the machines of the inventory, as the inventory describes them",
        RENDER,
        Run::ModelBundle(machines::machines),
    ),
    check(
        "bundle.modes",
        "owners and modes are well formed, nobody else may write, secrets are readable by their owner alone",
        "Set the mode of files with secrets to 0600, or 0640 for the own group of a daemon; no other file needs more than 0755.",
        Run::Bundle(files::modes),
    ),
    check(
        "bundle.node-name",
        "kubelet, its certificate and kube-proxy call the node by the inventory's name",
        "Take `hostname-override` and `hostnameOverride` out of the settings.",
        Run::PkiBundle(components::node_name),
    ),
    check(
        "bundle.ownership",
        "a service that does not run as root owns the secrets that it is given",
        "Give the file to the user of the unit.",
        Run::Bundle(references::ownership),
    ),
    check(
        "bundle.passwords",
        "both ends of every signed session and of every tunnel with a pre-shared key have its key",
        RENDER,
        Run::NetworkBundle(secrets::passwords),
    ),
    check(
        "bundle.paths",
        "every path is absolute and normalised and belongs to one file",
        RENDER,
        Run::Bundle(files::paths),
    ),
    check(
        "bundle.plain-secrets",
        "no private key stands in the document",
        "Replace that key: whoever has read the document has it. Then find out who wrote it there.",
        Run::Bundle(files::plain_secrets),
    ),
    check(
        "bundle.planned",
        "the bundle was made from certificates that exist",
        AGAIN,
        Run::Bundle(files::planned),
    ),
    check(
        "bundle.pod-range",
        "kube-proxy and the controller manager know the inventory's pod range",
        "Take `clusterCIDR` and `cluster-cidr` out of the settings.",
        Run::ModelBundle(ranges::pods),
    ),
    check(
        "bundle.programs",
        "every node starts the programs of its roles, at boot too",
        RENDER,
        Run::Bundle(machines::programs),
    ),
    check(
        "bundle.references",
        "every path that a unit or configuration names is in the bundle or comes with the system",
        "Correct the path, or have the file rendered; the list of what the system provides is below.",
        Run::Bundle(references::references),
    ),
    check(
        "bundle.request-header",
        "only the front proxy's own CA vouches for who may speak for others",
        "Use separate CAs, and set `requestheader-allowed-names`.",
        Run::Bundle(components::request_header),
    ),
    check(
        "bundle.resolv-conf",
        "the resolver file that pods get exists and does not lead to loopback",
        "Give the site `resolvers` in the inventory.",
        Run::Bundle(components::resolv_conf),
    ),
    check(
        "bundle.secrets",
        "every secret is known to the store and only on machines that it is for",
        RENDER,
        Run::PkiBundle(secrets::secrets),
    ),
    check(
        "bundle.service-accounts",
        "API servers and controller managers sign service-account tokens with one key, under one name",
        RENDER,
        Run::Bundle(components::service_accounts),
    ),
    check(
        "bundle.service-certificate",
        "API servers are certified for the first address of the service range that they are started with",
        "Make certificates and bundle again, from one inventory.",
        Run::PkiBundle(ranges::service_certificate),
    ),
    check(
        "bundle.service-range",
        "API server and controller manager are started with the inventory's service range",
        "Take `service-cluster-ip-range` out of the settings.",
        Run::ModelBundle(ranges::services),
    ),
    check(
        "bundle.store",
        "the bundle refers to the store that the certificates are of",
        RENDER,
        Run::PkiBundle(secrets::store),
    ),
    check("bundle.units", "every unit that is started or acted on exists", RENDER, Run::Bundle(units::units)),
    check(
        "inventory.warnings",
        "nothing in the inventory is doubtful",
        "Change the inventory, or leave it if it is meant.",
        Run::Inventory(inventory::warnings),
    ),
    check(
        "network.as-numbers",
        "AS numbers are those of the inventory, and Calico is told each node's",
        PLAN,
        Run::ModelNetwork(planned_machines::as_numbers),
    ),
    check(
        "network.bgp-files",
        "each router's frr.conf or bird.conf has the plan's sessions, filters and routes, no other, and defines what it refers to",
        RENDER,
        Run::NetworkBundle(bgp_files),
    ),
    check(
        "network.calico",
        "Calico has no mesh, announces the service ranges, leads each node to its own site's routers, with their password and restart time, and hands nothing on",
        PLAN,
        Run::ModelNetwork(peering::peering),
    ),
    check(
        "network.calico-fields",
        "Calico's resources have only fields and values that the inventory's Calico knows, and none contradicts another",
        PLAN,
        Run::ModelNetwork(calico::fields),
    ),
    check(
        "network.filters",
        "every route map, prefix list and AS-path list that is used is defined, and the other way round",
        PLAN,
        Run::Network(filters::filters),
    ),
    check(
        "network.findings",
        "kmh-bgpcfg itself found nothing wrong",
        "Read the finding; it names the place in the inventory.",
        Run::Network(planned_machines::findings),
    ),
    check(
        "network.firewall",
        "every router's packet filter lets pass what its site needs, and nothing else; packets inside the cluster pass one by one",
        PLAN,
        Run::ModelNetwork(firewall::firewall),
    ),
    check(
        "network.guard",
        "on every router, pods, services, load balancers, tunnels and other sites' segments have an unreachable route behind the real one",
        PLAN,
        Run::ModelNetwork(planned_machines::guard),
    ),
    check(
        "network.leaks",
        "no session takes or gives a default route, or everything",
        PLAN,
        Run::Network(filters::leaks),
    ),
    check(
        "network.machines",
        "the plan has the routers and nodes of the inventory, with their addresses, gateways, labels and segments",
        PLAN,
        Run::ModelNetwork(planned_machines::machines),
    ),
    check(
        "network.manifests",
        "the cluster's manifests have Calico's resources as they are in the plan",
        RENDER,
        Run::NetworkBundle(calico::manifests),
    ),
    check(
        "network.masquerade",
        "what the Internet has no way back to leaves with the line's address, and keeps its own inside the cluster",
        PLAN,
        Run::ModelNetwork(planned_machines::masquerade),
    ),
    check(
        "network.mtu",
        "a pod's packet fits through every tunnel, and what a tunnel is said to hold does",
        PLAN,
        Run::ModelNetwork(tunnels::mtu),
    ),
    check(
        "network.pfsense",
        "each pfSense's settings hold the very frr.conf of the bundle, and each tunnel's identities, number and addresses",
        RENDER,
        Run::NetworkBundle(pfsense::settings),
    ),
    check(
        "network.policy",
        "every session lets pass the routes that its site needs, and no other; nodes learn each other's blocks; of two tunnels both ends prefer the same",
        PLAN,
        Run::ModelNetwork(policy::policy),
    ),
    check(
        "network.pools",
        "every site's pod range is a pool of its own nodes, inside the cluster's range, in the inventory's blocks, announced, without encapsulation",
        PLAN,
        Run::ModelNetwork(pools::pools),
    ),
    check(
        "network.prefix-lists",
        "every prefix list can match something, and only of its own family",
        PLAN,
        Run::Network(filters::prefix_lists),
    ),
    check(
        "network.sessions",
        "both ends of every BGP session agree about it",
        PLAN,
        Run::Network(sessions::sessions),
    ),
    check(
        "network.tunnel-ends",
        "both ends of every tunnel mirror each other, have an interface of their own and a BGP session over it",
        PLAN,
        Run::Network(tunnels::ends),
    ),
    check(
        "network.tunnel-files",
        "each router's files have its tunnels, with number, interface, addresses and identities",
        RENDER,
        Run::NetworkBundle(ike::tunnel_files),
    ),
    check(
        "network.tunnels",
        "there is a tunnel for each pair of lines that the inventory joins, with the number and network of its ids and the rank of its lines",
        PLAN,
        Run::ModelNetwork(tunnels::numbers),
    ),
    check("pki.chain", "every certificate was signed by the CA of its class", ENSURE, Run::Pki(chain::chain)),
    check(
        "pki.complete",
        "every machine has every certificate that its roles need, once, and there is none too many",
        ENSURE,
        Run::ModelPki(complete::complete),
    ),
    check(
        "pki.constraints",
        "CAs, and only they, may sign; keys may do what they are for",
        ENSURE,
        Run::Pki(usages::constraints),
    ),
    check(
        "pki.dates",
        "every certificate is valid now, and not longer than its CA",
        ENSURE,
        Run::PkiNow(dates::dates),
    ),
    check(
        "pki.deploy",
        "private keys go to the machine that they are for and nowhere else; CA keys go nowhere",
        ENSURE,
        Run::Pki(complete::deploy),
    ),
    check(
        "pki.document",
        "the document says of every certificate what the certificate says itself",
        "Make the document again with `kmh-pki ensure`; it was edited, or is of another run.",
        Run::Pki(document::fields),
    ),
    check(
        "pki.expiry",
        "no certificate ends within a month, no CA within half a year",
        ENSURE,
        Run::PkiNow(dates::expiry),
    ),
    check(
        "pki.generations",
        "what is being rotated has one generation besides the current one, and the document says which stage that is",
        "Run `kmh-pki ensure` again; `kmh-pki rotate` without a name shows where each rotation is.",
        Run::Pki(generations::generations),
    ),
    check(
        "pki.keys",
        "no two certificates share a key, and every program takes its algorithm",
        ENSURE,
        Run::Pki(keys::keys),
    ),
    check(
        "pki.names",
        "every certificate names exactly whom the inventory says: user, groups, DNS names, addresses",
        ENSURE,
        Run::ModelPki(names::names),
    ),
    check("pki.planned", "the certificates exist", AGAIN, Run::Pki(document::planned)),
    check("pki.readable", "every entry holds one X.509 v3 certificate", ENSURE, Run::Pki(document::readable)),
    check(
        "pki.separate-cas",
        "no two CAs share a key or a name, the front proxy's and the clients' least of all",
        "Make the store anew, or replace the CA that is a copy.",
        Run::Pki(keys::separate_cas),
    ),
    check(
        "pki.serials",
        "serial numbers are positive, short enough, and each CA's all different",
        ENSURE,
        Run::Pki(keys::serials),
    ),
    check(
        "pki.trust",
        "every machine has the CAs that its programs verify with",
        ENSURE,
        Run::ModelPki(complete::trust),
    ),
    check(
        "pki.usages",
        "every certificate may be used as client or server exactly as its class needs",
        ENSURE,
        Run::Pki(usages::usages),
    ),
    check(
        "push.dry-run",
        "the push was no dry run",
        "Push again without `--dry-run`.",
        Run::Push(push::dry_run),
    ),
    check(
        "push.machines",
        "the push reached every machine of the bundle",
        "Push again, without `--limit`.",
        Run::BundlePush(push::machines),
    ),
    check(
        "push.outcome",
        "the push was not refused and failed nowhere",
        "Put right what the report says, and push again.",
        Run::Push(push::outcome),
    ),
];

#[cfg(test)]
mod tests;
