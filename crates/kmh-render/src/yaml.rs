//! Values as block YAML, the way people write it: what cannot stand plainly is a JSON string, which YAML 1.2 reads.

use std::fmt::Write as _;

use serde_json::Value;

/// The value, each line indented by `indent` spaces; ends with a newline.
pub(crate) fn block(value: &Value, indent: usize) -> String {
    let mut out = String::new();
    write(&mut out, value, indent);
    out
}

/// One `key: value` of a mapping, with a remark behind the key's line.
pub(crate) fn entry(key: &str, value: &Value, remark: Option<&str>, indent: usize) -> String {
    let mut out = String::new();
    let _ = write!(out, "{:indent$}{}:", "", scalar_text(key));
    let remark = remark.map(|text| format!("  # {text}")).unwrap_or_default();
    if is_leaf(value) {
        let _ = writeln!(out, " {}{remark}", leaf(value));
    } else {
        let _ = writeln!(out, "{remark}");
        // A list may stand at its key's own depth; two deeper reads better.
        write(&mut out, value, indent + 2);
    }
    out
}

fn write(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                out.push_str(&entry(key, value, None, indent));
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                if is_leaf(item) {
                    let _ = writeln!(out, "{:indent$}- {}", "", leaf(item));
                } else {
                    let mut inner = String::new();
                    write(&mut inner, item, indent + 2);
                    // The first line of the item stands beside its dash.
                    let _ = write!(out, "{:indent$}- {}", "", inner.trim_start());
                }
            }
        }
        leaf_value => {
            let _ = writeln!(out, "{:indent$}{}", "", leaf(leaf_value));
        }
    }
}

fn is_leaf(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    }
}

fn leaf(value: &Value) -> String {
    match value {
        Value::String(text) => scalar_text(text),
        other => other.to_string(),
    }
}

/// Text that no reader of YAML 1.1 or 1.2 could take for anything else stands without quotes.
fn scalar_text(text: &str) -> String {
    const TAKEN: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
        && !TAKEN.contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_as_people_write_it() {
        let value = json!({"a": [1, {"b": "x", "c": []}], "d": {"e": "yes", "f": null}, "g": "10.0.0.0/8", "h": "a: b\n#"});
        assert_eq!(
            block(&value, 0),
            "a:\n  - 1\n  - b: x\n    c: []\nd:\n  e: \"yes\"\n  f: null\ng: \"10.0.0.0/8\"\nh: \"a: b\\n#\"\n"
        );
        assert_eq!(entry("maxPods", &json!(60), Some("deliberate"), 0), "maxPods: 60  # deliberate\n");
        assert_eq!(
            entry("x", &json!([[1, 2], []]), Some("r"), 2),
            "  x:  # r\n    - - 1\n      - 2\n    - []\n"
        );
    }
}
