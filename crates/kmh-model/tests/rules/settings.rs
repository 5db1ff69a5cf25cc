//! Deliberate settings.

use kmh_doc::tree;
use kmh_model::{Model, load};

use super::{ALL, changed, said};

#[test]
fn settings() {
    let with = |settings: &str, version: &str| {
        said(&(changed(&[("1.36.2", version)]) + "  settings: " + settings + "\n"), ALL)
    };
    assert_eq!(
        with(
            "{kubelet: {maxPods: 60, evictionHard: {memory.available: 200Mi}, syncFrequency: 1m30s, failSwapOn: null}}",
            "1.36.2"
        ),
        [] as [&str; 0]
    );
    assert_eq!(with("{kubelet: {maxPods: \"60\"}}", "1.36.2"), ["wrong-type spec.settings.kubelet.maxPods"]);
    assert_eq!(with("{kubelet: {maxPods: 60.5}}", "1.36.2"), ["wrong-type spec.settings.kubelet.maxPods"]);
    assert_eq!(
        with("{kubelet: {memorySwap: {swapBehaviour: NoSwap}}}", "1.36.2"),
        ["unknown-setting spec.settings.kubelet.memorySwap.swapBehaviour"]
    );
    assert_eq!(
        with("{kube_apiserver: {audit-log-maxage: 7, feature-gates: {A: true}, api-audiences: a}}", "1.36.2"),
        [] as [&str; 0]
    );
    assert_eq!(
        with("{kube_proxy: {clusterCIDR: 10.0.0.0/8}}", "1.36.2"),
        ["derived-setting spec.settings.kube_proxy.clusterCIDR"]
    );
    // Text for a mapping is right for flags alone.
    assert_eq!(
        with("{kubelet: {evictionHard: \"memory.available=1Gi\"}}", "1.36.2"),
        ["wrong-type spec.settings.kubelet.evictionHard"]
    );
    // The tables are of 1.36; a flag that is known to be gone is refused all the same.
    assert_eq!(
        with("{kubelet: {someOldField: 1}}", "1.32.0"),
        ["unknown-setting? spec.settings.kubelet.someOldField"]
    );
    assert_eq!(
        with("{kubelet: {\"a\\nport: 1\": 1}}", "1.32.0"),
        ["unknown-setting spec.settings.kubelet.a\nport: 1"]
    );
    assert_eq!(
        with("{kubelet: {old: \"a\\nport: 1\"}}", "1.32.0"),
        ["unsafe-text spec.settings.kubelet.old", "unknown-setting? spec.settings.kubelet.old"]
    );
    assert_eq!(
        with("{kube_scheduler: {policy-config-file: /x}}", "1.32.0"),
        ["unknown-setting spec.settings.kube_scheduler.policy-config-file"]
    );
}

#[test]
fn the_nearest_setting_wins_and_the_loser_is_named() {
    let text = changed(&[
        ("site: vps, ", "site: vps, settings: {kubelet: {maxPods: 30}}, "),
        ("      lans:", "      settings: {kubelet: {maxPods: 40, podsPerCore: 4}}\n      lans:"),
    ]) + "  settings: {kubelet: {maxPods: 60}}\n";
    assert_eq!(said(&text, ALL), ["overridden? spec.settings.kubelet.maxPods"]);
    let (model, _) = load(&tree::parse_yaml(&text).unwrap(), ALL).unwrap();
    let origin = |model: &Model, node: &str| {
        let settings = &model.nodes[node].settings[&kmh_doc::inventory::Component::Kubelet];
        (settings["maxPods"].value.clone(), settings["maxPods"].origin.clone(), settings.len())
    };
    assert_eq!(origin(&model, "vps-1"), (30.into(), "spec.nodes[vps-1].settings.kubelet.maxPods".into(), 1));
    assert_eq!(
        origin(&model, "attic-1"),
        (40.into(), "spec.sites[attic].settings.kubelet.maxPods".into(), 2)
    );
}

#[test]
fn what_lies_in_lists_and_mappings() {
    let with = |settings: &str| said(&(changed(&[]) + "  settings: " + settings + "\n"), ALL);
    for wrong in [
        "kubelet: {evictionHard: {memory.available: 100}}",
        "kubelet: {featureGates: {A: \"yes\"}}",
        "kubelet: {allowedUnsafeSysctls: [1]}",
        "kube_apiserver: {enable-admission-plugins: [[a]]}",
        "kube_apiserver: {feature-gates: {A: {b: c}}}",
        "kube_proxy: {nodePortAddresses: [{a: b}]}",
    ] {
        let path = wrong.replacen(": {", ".", 1);
        let path = path.split(':').next().unwrap_or_default();
        assert_eq!(with(&format!("{{{wrong}}}")), [format!("wrong-type spec.settings.{path}")], "{wrong}");
    }
    for right in [
        "kubelet: {evictionHard: {memory.available: 5%}, featureGates: {A: true}, allowedUnsafeSysctls: [net.core.somaxconn]}",
        "kubelet: {reservedMemory: [{numaNode: 0, limits: {memory: 1Gi}}], systemReserved: {cpu: 100m}}",
        "kube_apiserver: {feature-gates: {A: true}, runtime-config: {api/all: true}, api-audiences: [a, b]}",
    ] {
        assert_eq!(with(&format!("{{{right}}}")), [] as [&str; 0], "{right}");
    }
}
