//! Deliberate settings laid over what kmh writes: fields of a configuration file and flags alike.

use std::collections::BTreeMap;

use kmh_doc::inventory::Component;
use kmh_model::{Node, Setting};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::fault::Fault;
use crate::yaml;

/// A field or flag with its final value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    /// Its name, as the component has it.
    pub(crate) key: String,
    /// Its value.
    pub(crate) value: Value,
    /// Where somebody decided it; none when it is kmh's.
    pub(crate) origin: Option<String>,
}

/// A flag, ready for a unit's `ExecStart`.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub(crate) struct Flag {
    /// `--name=value`, quoted for systemd.
    pub(crate) text: String,
    /// Where somebody decided it; empty when it is kmh's.
    pub(crate) origin: String,
}

/// What kmh writes for a component, with the node's deliberate settings over it.
///
/// Mappings are merged, everything else is replaced, and `null` takes a field out, back to the component's default.
/// kmh's fields keep their order, further ones follow by name.
pub(crate) fn merge(base: Vec<(&str, Value)>, node: &Node, component: Component) -> Vec<Field> {
    let none = BTreeMap::new();
    let settings: &BTreeMap<String, Setting> = node.settings.get(&component).unwrap_or(&none);
    let mut fields: Vec<Field> = Vec::with_capacity(base.len() + settings.len());
    for (key, value) in base {
        let mut field = Field { key: key.to_owned(), value, origin: None };
        if let Some(setting) = settings.get(key) {
            field.origin = Some(setting.origin.clone());
            over(&mut field.value, &setting.value);
        }
        fields.push(field);
    }
    for (key, setting) in settings {
        if !fields.iter().any(|field| &field.key == key) {
            fields.push(Field {
                key: key.clone(),
                value: setting.value.clone(),
                origin: Some(setting.origin.clone()),
            });
        }
    }
    fields.retain(|field| !field.value.is_null());
    fields
}

fn over(base: &mut Value, setting: &Value) {
    match (base, setting) {
        (Value::Object(base), Value::Object(setting)) => {
            for (key, value) in setting {
                if value.is_null() {
                    base.remove(key);
                } else {
                    over(base.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (base, setting) => *base = setting.clone(),
    }
}

/// Fields as lines of YAML; what is deliberate says where it was decided.
pub(crate) fn lines(fields: &[Field]) -> String {
    fields
        .iter()
        .map(|field| {
            let remark =
                field.origin.as_deref().map(|origin| format!("deliberate: {}", crate::safe::remark(origin)));
            yaml::entry(&field.key, &field.value, remark.as_deref(), 0)
        })
        .collect()
}

/// Fields as flags.
pub(crate) fn flags(fields: Vec<Field>) -> Result<Vec<Flag>, Fault> {
    fields
        .into_iter()
        .map(|field| {
            let Field { key, value, origin } = field;
            if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
                return Err(Fault::new(format!("`{}` is no name of a flag", key.escape_debug())));
            }
            let text = flag_value(&value).ok_or_else(|| {
                Fault::new(format!("flag `{key}` cannot have that value"))
                    .hint("text, a number, true or false, a list of these, or a mapping to these")
            })?;
            Ok(Flag {
                text: quote(&format!("--{key}={text}"))?,
                origin: origin.map(|o| crate::safe::remark(&o)).unwrap_or_default(),
            })
        })
        .collect()
}

/// As Kubernetes' flags read it: lists by commas, mappings as `key=value`.
fn flag_value(value: &Value) -> Option<String> {
    let scalar = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    };
    match value {
        Value::Array(items) => {
            items.iter().map(scalar).collect::<Option<Vec<_>>>().map(|items| items.join(","))
        }
        Value::Object(map) => {
            let pairs = |map: &Map<String, Value>| {
                map.iter()
                    .map(|(key, value)| Some(format!("{key}={}", scalar(value)?)))
                    .collect::<Option<Vec<_>>>()
            };
            pairs(map).map(|pairs| pairs.join(","))
        }
        other => scalar(other),
    }
}

/// One word of a unit's command line (systemd.service(5), "Command lines"): `%` and `$` doubled, quoted when needed.
pub(crate) fn quote(text: &str) -> Result<String, Fault> {
    if text.chars().any(char::is_control) {
        return Err(Fault::new(format!("`{}` holds a control character", text.escape_debug())));
    }
    let doubled = text.replace('%', "%%").replace('$', "$$");
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=@+%$*[]".contains(c);
    if doubled.chars().all(plain) {
        Ok(doubled)
    } else {
        Ok(format!("\"{}\"", doubled.replace('\\', "\\\\").replace('"', "\\\"")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_setting_is_laid_over_and_names_its_origin() {
        let mut base = json!({"a": {"b": 1, "c": 2}});
        over(&mut base, &json!({"a": {"b": 9, "c": null, "d": 3}}));
        assert_eq!(base, json!({"a": {"b": 9, "d": 3}}));
        let field = Field {
            key: "maxPods".into(),
            value: json!(60),
            origin: Some("spec.settings.kubelet.maxPods".into()),
        };
        assert_eq!(lines(&[field]), "maxPods: 60  # deliberate: spec.settings.kubelet.maxPods\n");
    }

    #[test]
    fn flags_are_quoted_for_systemd() {
        let flag = |value| {
            flags(vec![Field { key: "x".into(), value, origin: None }]).map(|flags| flags[0].text.clone())
        };
        assert_eq!(flag(json!(["a", 1])).unwrap(), "--x=a,1");
        assert_eq!(flag(json!({"A": true})).unwrap(), "--x=A=true");
        assert_eq!(flag(json!("a b\"%h$PATH\\")).unwrap(), r#""--x=a b\"%%h$$PATH\\""#);
        assert!(flag(json!("a\nExecStart=evil")).unwrap_err().message.contains("control character"));
        assert!(flag(json!([[1]])).unwrap_err().message.contains("cannot have that value"));
    }
}
