//! Deliberate settings against what each component takes: the tables of `data/`, by component.
//!
//! The tables are of Kubernetes 1.36. For an older Kubernetes, a name that is not in them is only warned about; a flag
//! that is known to be gone is refused in every version.

use std::collections::BTreeMap;

use kmh_doc::inventory::{Component, Inventory, Settings};
use kmh_doc::problem::quoted;
use kmh_doc::{Code, Problem, Version, decode};
use serde_json::Value;

use crate::report::Report;

/// The minor version that the tables describe.
const TABLES: (u16, u16) = (1, 36);

const KUBELET: &str = include_str!("../data/kubelet.tsv");
const KUBE_PROXY: &str = include_str!("../data/kube_proxy.tsv");
const KUBE_APISERVER: &str = include_str!("../data/kube_apiserver.tsv");
const KUBE_CONTROLLER_MANAGER: &str = include_str!("../data/kube_controller_manager.tsv");
const KUBE_SCHEDULER: &str = include_str!("../data/kube_scheduler.tsv");
const ETCD: &str = include_str!("../data/etcd.tsv");
const REMOVED: &str = include_str!("../data/removed.tsv");
const DERIVED: &str = include_str!("../data/derived.tsv");

fn rows(table: &'static str) -> impl Iterator<Item = [&'static str; 3]> {
    table.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut cells = line.split('\t');
        std::array::from_fn(|_| cells.next().unwrap_or_default())
    })
}

/// Names and kinds of a component's settings.
type Names = BTreeMap<&'static str, &'static str>;

fn names(component: Component, versions: Versions<'_>) -> Names {
    let table = match component {
        Component::Kubelet => KUBELET,
        Component::KubeProxy => KUBE_PROXY,
        Component::KubeApiserver => KUBE_APISERVER,
        Component::KubeControllerManager => KUBE_CONTROLLER_MANAGER,
        Component::KubeScheduler => KUBE_SCHEDULER,
        Component::Etcd => ETCD,
    };
    let etcd = versions.etcd.map(Version::major_minor).map(|(major, minor)| format!("{major}.{minor}"));
    rows(table)
        .filter(|[_, _, only]| {
            component != Component::Etcd
                || etcd.as_ref().is_none_or(|etcd| only.split(' ').any(|one| one == etcd))
        })
        .map(|[name, kind, _]| (name, kind))
        .collect()
}

#[derive(Clone, Copy)]
struct Versions<'a> {
    kubernetes: Option<&'a Version>,
    etcd: Option<&'a Version>,
}

pub(crate) fn check(inventory: &Inventory, report: &mut Report<'_>) {
    let versions = Versions {
        kubernetes: inventory.cluster.versions.kubernetes.as_ref(),
        etcd: inventory.cluster.versions.etcd.as_ref(),
    };
    layer(&inventory.settings, "spec.settings", versions, report);
    for (s, site) in inventory.sites.iter().enumerate() {
        layer(&site.settings, &format!("spec.sites[{s}].settings"), versions, report);
    }
    for (n, node) in inventory.nodes.iter().enumerate() {
        layer(&node.settings, &format!("spec.nodes[{n}].settings"), versions, report);
    }
    overridden(inventory, report);
}

fn layer(settings: &Settings, path: &str, versions: Versions<'_>, report: &mut Report<'_>) {
    for (component, fields) in settings {
        let names = names(*component, versions);
        for (name, value) in fields {
            let checked = Checked { component: *component, names: &names, versions };
            let path = format!("{path}.{}.{name}", component.as_str());
            checked.setting(name, name, value, &path, report);
            if let Some(bad) = control_character(value) {
                let message =
                    format!("the value of `{name}` holds the control character U+{:04X}", u32::from(bad));
                report.error(Code::UnsafeText, &path, message);
            }
        }
    }
}

struct Checked<'a> {
    component: Component,
    names: &'a Names,
    versions: Versions<'a>,
}

impl Checked<'_> {
    /// `name` is the whole name from the component's root, `last` its last part.
    fn setting(&self, name: &str, last: &str, value: &Value, path: &str, report: &mut Report<'_>) {
        let component = self.component.as_str();
        if let Some([_, _, from]) =
            rows(DERIVED).find(|[owner, derived, _]| *owner == component && *derived == name)
        {
            report.add(
                Problem::error(
                    Code::DerivedSetting,
                    path,
                    format!("`{name}` of {component} is derived, and nobody may set it"),
                )
                .because(format!("it follows from {from}"))
                .hint(if from.starts_with('`') {
                    format!("change {from} instead")
                } else {
                    "remove it".to_owned()
                }),
            );
            return;
        }
        let Some(kind) = self.names.get(name) else {
            self.unknown(name, last, path, report);
            return;
        };
        if let ("object", Value::Object(fields)) = (*kind, value) {
            for (field, value) in fields {
                self.setting(&format!("{name}.{field}"), field, value, &format!("{path}.{field}"), report);
            }
            return;
        }
        // Null takes a setting out, back to the component's default.
        if !value.is_null() && !fits(kind, value, self.is_flags()) {
            let problem = Problem::error(
                Code::WrongType,
                path,
                format!("`{name}` of {component} cannot have the value {}", shown(value)),
            );
            report.add(problem.hint(format!("it takes {}", expected(kind, self.is_flags()))));
        }
    }

    fn is_flags(&self) -> bool {
        matches!(
            self.component,
            Component::KubeApiserver | Component::KubeControllerManager | Component::KubeScheduler
        )
    }

    fn unknown(&self, name: &str, last: &str, path: &str, report: &mut Report<'_>) {
        let component = self.component.as_str();
        if let Some([_, _, gone]) =
            rows(REMOVED).find(|[owner, removed, _]| *owner == component && *removed == name)
        {
            report.add(
                Problem::error(Code::UnknownSetting, path, format!("{component} has no `{name}`"))
                    .because(format!("{component} {gone} no longer has it"))
                    .hint("remove it"),
            );
            return;
        }
        let prefix = name.strip_suffix(last).unwrap_or_default();
        let siblings: Vec<&str> = self
            .names
            .keys()
            .filter_map(|known| known.strip_prefix(prefix))
            .filter(|known| !known.contains('.'))
            .collect();
        let bare = last.trim_start_matches('-');
        let hint = if siblings.contains(&bare) {
            Some(format!("write `{bare}`, without dashes in front"))
        } else {
            decode::nearest(last, &siblings)
        };
        let version =
            if self.component == Component::Etcd { self.versions.etcd } else { self.versions.kubernetes };
        let shown = version.map(|version| format!(" {version}")).unwrap_or_default();
        // What is no name in any version could break out of the file that it is written to.
        let is_name = last.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        let older = is_name
            && self.component != Component::Etcd
            && version.is_some_and(|version| version.major_minor() < TABLES);
        let problem = if older {
            Problem::warning(Code::UnknownSetting, path, format!("{component} may have no `{name}`")).because(
                format!("Kubernetes {}.{} has none, and kmh has no table of{shown}", TABLES.0, TABLES.1),
            )
        } else {
            Problem::error(Code::UnknownSetting, path, format!("{component}{shown} has no {}", quoted(name)))
        };
        report.add(match hint {
            Some(hint) => problem.hint(hint),
            None => problem,
        });
    }
}

/// Whether a value can be that kind of setting. Flags are text in the end: a list may be written with commas.
fn fits(kind: &str, value: &Value, flags: bool) -> bool {
    match (kind, value) {
        ("any", _)
        | ("bool", Value::Bool(_))
        | ("float", Value::Number(_))
        | ("quantity", Value::Number(_) | Value::String(_))
        | ("text", Value::String(_)) => true,
        ("list", Value::Array(items)) => !flags || items.iter().all(is_scalar),
        ("map", Value::Object(fields)) => !flags || fields.values().all(is_scalar),
        ("list of text", Value::Array(items)) => items.iter().all(Value::is_string),
        ("map of text", Value::Object(fields)) => fields.values().all(Value::is_string),
        ("map of bool", Value::Object(fields)) => fields.values().all(Value::is_boolean),
        ("int", Value::Number(number)) => number.is_i64() || number.is_u64(),
        ("duration", Value::String(text)) => is_duration(text),
        ("list" | "map", Value::String(_)) => flags,
        _ => false,
    }
}

fn is_scalar(value: &Value) -> bool {
    value.is_string() || value.is_number() || value.is_boolean()
}

fn expected(kind: &str, flags: bool) -> &'static str {
    match kind {
        "list of text" => "a list of texts",
        "map of text" => "a mapping of names to texts; quote numbers",
        "map of bool" => "a mapping of names to `true` or `false`",
        "bool" => "`true` or `false`",
        "int" => "a whole number",
        "float" => "a number",
        "duration" => "a duration such as `30s` or `1h30m`",
        "quantity" => "an amount such as `10Mi`",
        "list" if flags => "a list of single values",
        "map" if flags => "a mapping of names to single values",
        "list" => "a list",
        "map" | "object" => "a mapping",
        _ => "text",
    }
}

/// As Go's `time.ParseDuration` reads it.
fn is_duration(text: &str) -> bool {
    const UNITS: &[&str] = &["ns", "us", "µs", "ms", "s", "m", "h"];
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let number = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (digits, after) = rest.split_at(number);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        if digits.parse::<f64>().is_err() || !UNITS.contains(&unit) {
            return false;
        }
        rest = after;
    }
    true
}

fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "of a list".to_owned(),
        Value::Object(_) => "of a mapping".to_owned(),
        Value::String(text) => quoted(text),
        other => format!("`{other}`"),
    }
}

fn control_character(value: &Value) -> Option<char> {
    match value {
        Value::String(text) => text.chars().find(|c| c.is_control()),
        Value::Array(items) => items.iter().find_map(control_character),
        Value::Object(map) => map.iter().find_map(|(key, value)| {
            key.chars().find(|c| c.is_control()).or_else(|| control_character(value))
        }),
        _ => None,
    }
}

/// The nearest setting wins, and what lost is reported at its place.
fn overridden(inventory: &Inventory, report: &mut Report<'_>) {
    let mut lost: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (component, name) in each(&inventory.settings) {
        let path = format!("spec.settings.{}.{name}", component.as_str());
        for site in inventory.sites.iter().filter(|site| holds(&site.settings, component, name)) {
            lost.entry(path.clone()).or_default().push(format!("site `{}`", site.name));
        }
        for node in inventory.nodes.iter().filter(|node| holds(&node.settings, component, name)) {
            lost.entry(path.clone()).or_default().push(format!("node `{}`", node.name));
        }
    }
    for (s, site) in inventory.sites.iter().enumerate() {
        for (component, name) in each(&site.settings) {
            let path = format!("spec.sites[{s}].settings.{}.{name}", component.as_str());
            for node in inventory
                .nodes
                .iter()
                .filter(|node| node.site == site.name && holds(&node.settings, component, name))
            {
                lost.entry(path.clone()).or_default().push(format!("node `{}`", node.name));
            }
        }
    }
    for (path, mut winners) in lost {
        winners.sort();
        let name = path.rsplit_once(".settings.").map_or(path.as_str(), |(_, name)| name).to_owned();
        report.add(
            Problem::warning(Code::Overridden, path, format!("`{name}` does not hold everywhere"))
                .because(format!("{} sets it nearer", winners.join(", "))),
        );
    }
}

fn each(settings: &Settings) -> impl Iterator<Item = (Component, &String)> {
    settings.iter().flat_map(|(component, fields)| fields.keys().map(|name| (*component, name)))
}

fn holds(settings: &Settings, component: Component, name: &str) -> bool {
    settings.get(&component).is_some_and(|fields| fields.contains_key(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_sound() {
        let none = Versions { kubernetes: None, etcd: None };
        for component in Component::ALL {
            let names = names(component, none);
            assert!(names.len() > 50, "{component:?}");
            for [owner, name, from] in rows(DERIVED).filter(|[owner, _, _]| *owner == component.as_str()) {
                assert!(names.contains_key(name) || ["kind", "apiVersion"].contains(&name), "{owner} {name}");
                assert!(!from.is_empty());
            }
            for [_, name, gone] in rows(REMOVED).filter(|[owner, _, _]| *owner == component.as_str()) {
                let major = if component == Component::Etcd { "3." } else { "1." };
                assert!(
                    (component == Component::Etcd || !names.contains_key(name)) && gone.starts_with(major),
                    "{name}"
                );
            }
            for (name, kind) in names {
                let kinds = [
                    "any",
                    "bool",
                    "int",
                    "float",
                    "quantity",
                    "text",
                    "duration",
                    "list",
                    "list of text",
                    "map",
                    "map of text",
                    "map of bool",
                    "object",
                ];
                assert!(kinds.contains(&kind), "{name} {kind}");
            }
        }
    }

    #[test]
    fn durations_are_gos() {
        for good in ["30s", "1h30m", "1.5h", "0", "-1s", "100ms"] {
            assert!(is_duration(good), "{good}");
        }
        for bad in ["", "30", "s", "1 h", "1d", "1h30"] {
            assert!(!is_duration(bad), "{bad}");
        }
    }

    #[test]
    fn etcds_keys_depend_on_its_version() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        let (old, new) = (version("3.5.21"), version("3.6.8"));
        let has = |version: &Version, name: &str| {
            names(Component::Etcd, Versions { kubernetes: None, etcd: Some(version) }).contains_key(name)
        };
        assert!(has(&new, "feature-gates") && !has(&old, "feature-gates"));
        assert!(has(&old, "enable-v2") && !has(&new, "enable-v2"));
        assert!(has(&old, "snapshot-count") && has(&new, "snapshot-count"));
    }
}
