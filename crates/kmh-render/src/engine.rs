//! Templates: embedded, strict, and filled from views only.
//!
//! A secret is never a template's variable. A template writes a mark that names a slot of its view, and the finished
//! text is cut at the marks into segments, of which kmh-push fills those that name a secret of the store.

use kmh_doc::bundle::{Encoding, Segment};
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};

use crate::fault::Fault;

macro_rules! templates {
    ($($name:literal,)*) => {
        /// Every template: its path below `templates/` and its text.
        pub(crate) const TEMPLATES: &[(&str, &str)] = &[$(($name, include_str!(concat!("../templates/", $name))),)*];
    };
}

templates! {
    "apiserver/audit-policy.yaml.j2",
    "apiserver/authentication.yaml.j2",
    "apiserver/encryption.yaml.j2",
    "apiserver/kube-apiserver.service.j2",
    "bird/bird.conf.j2",
    "bird/kmh-bird.service.j2",
    "cluster/apply.sh.j2",
    "cluster/bgp-passwords.yaml.j2",
    "cluster/calico-resources.yaml.j2",
    "cluster/calico.yaml.j2",
    "cluster/coredns.yaml.j2",
    "cluster/kmh-cluster.service.j2",
    "cluster/rbac.yaml.j2",
    "containerd/config.toml.j2",
    "containerd/containerd.service.j2",
    "controller-manager/kube-controller-manager.service.j2",
    "etcd/etcd.service.j2",
    "etcd/etcd.yaml.j2",
    "frr/daemons.j2",
    "frr/frr.conf.j2",
    "frr/vtysh.conf.j2",
    "haproxy/ca.crt.j2",
    "haproxy/haproxy.cfg.j2",
    "kube-proxy/config.yaml.j2",
    "kube-proxy/kube-proxy.service.j2",
    "kubeconfig/kubeconfig.yaml.j2",
    "kubelet/config.yaml.j2",
    "kubelet/kubelet.service.j2",
    "links/frr.conf.j2",
    "links/kmh-netns.service.j2",
    "links/kmh-tunnels.service.j2",
    "links/netns.sh.j2",
    "links/sysctl.conf.j2",
    "links/tunnels.sh.j2",
    "nftables/host.nft.j2",
    "nftables/kmh-nftables.service.j2",
    "nftables/router.nft.j2",
    "node/as-number.sh.j2",
    "node/kmh-as-number.service.j2",
    "node/modules.conf.j2",
    "node/resolv.conf.j2",
    "node/sysctl.conf.j2",
    "pfsense/settings.json.j2",
    "scheduler/kube-scheduler.service.j2",
    "scheduler/scheduler.yaml.j2",
    "strongswan/strongswan.conf.j2",
    "strongswan/swanctl.conf.j2",
}

/// Begin and end of a mark: private-use characters, which no configuration language knows and no escaping touches.
const MARK: (char, char) = ('\u{e000}', '\u{e001}');

/// A secret that a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Reference into the store.
    pub(crate) secret: String,
    /// How it is written.
    pub(crate) encoding: Encoding,
}

/// What a view writes where the slot's secret goes.
pub(crate) fn mark(slot: usize) -> String {
    format!("{}{slot}{}", MARK.0, MARK.1)
}

/// The templates, compiled.
pub(crate) struct Engine(Environment<'static>);

impl Engine {
    /// Compiles every template.
    pub(crate) fn new() -> Result<Self, Fault> {
        let mut env = Environment::new();
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        env.set_debug(true);
        env.set_auto_escape_callback(|name| {
            if name.ends_with(".yaml.j2") || name.ends_with(".json.j2") {
                AutoEscape::Json
            } else {
                AutoEscape::None
            }
        });
        let syntax =
            SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
        env.set_syntax(syntax.map_err(|error| Fault::new(format!("{error}")))?);
        for (name, text) in TEMPLATES {
            env.add_template(name, text)
                .map_err(|error| Fault::new(format!("template `{name}`: {error}")))?;
        }
        Ok(Self(env))
    }

    /// Fills a template. The error says what is missing and where, but never a value: `{}`, not `{:#}` or `{:?}`,
    /// whose debug output would print the view.
    pub(crate) fn fill(&self, template: &str, view: Value) -> Result<String, Fault> {
        self.0
            .get_template(template)
            .and_then(|found| found.render(view))
            .map_err(|error| Fault::new(format!("template `{template}`: {error}")))
    }
}

/// Text without secrets as a file's content.
pub(crate) fn plain(text: String) -> Vec<Segment> {
    if text.is_empty() { Vec::new() } else { vec![Segment::Text { text }] }
}

/// Cuts text at its marks.
pub(crate) fn cut(text: &str, slots: &[Slot]) -> Result<Vec<Segment>, Fault> {
    let mut pieces = text.split(MARK.0);
    let mut segments = plain(pieces.next().unwrap_or_default().to_owned());
    for piece in pieces {
        let (slot, rest) = piece
            .split_once(MARK.1)
            .and_then(|(number, rest)| Some((slots.get(number.parse::<usize>().ok()?)?, rest)))
            .ok_or_else(|| Fault::new("a secret's mark is broken: a value holds a private-use character"))?;
        segments.push(Segment::Secret { secret: slot.secret.clone(), encoding: slot.encoding });
        segments.extend(plain(rest.to_owned()));
    }
    Ok(segments)
}

#[cfg(test)]
mod tests {
    use minijinja::context;

    use super::*;

    #[test]
    fn every_template_compiles_and_says_what_it_lacks() {
        let engine = Engine::new().unwrap();
        let fault = engine.fill("node/resolv.conf.j2", context!(domain => "SENTINEL")).unwrap_err();
        assert!(
            fault.message.contains("undefined value") && fault.message.contains("node/resolv.conf.j2"),
            "{}",
            fault.message
        );
        assert!(!fault.message.contains("SENTINEL"), "the view is in the message: {}", fault.message);
    }

    #[test]
    fn secrets_become_segments() {
        let slots = [Slot { secret: "keys/encryption".into(), encoding: Encoding::Base64 }];
        let segments = cut(&format!("a{}b", mark(0)), &slots).unwrap();
        assert_eq!(segments.len(), 3);
        assert_eq!(
            segments[1],
            Segment::Secret { secret: "keys/encryption".into(), encoding: Encoding::Base64 }
        );
        assert!(cut(&format!("a{}b", mark(1)), &slots).unwrap_err().message.contains("mark is broken"));
        assert!(cut("a\u{e000}b", &slots).unwrap_err().message.contains("mark is broken"));
    }
}
