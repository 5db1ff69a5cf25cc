//! YAML and JSON as daemons and `kubectl` take them.

use serde_json::Value;

/// The one document of a file; none when it is not well formed.
pub(crate) fn one(text: &str) -> Option<Value> {
    let tree = kmh_doc::tree::parse_yaml(text).ok()?;
    Some(tree.to_json())
}

/// All documents of a file, as `kubectl apply -f` reads it; none when one is not well formed.
pub(crate) fn all(text: &str) -> Option<Vec<Value>> {
    let mut documents = vec![String::new()];
    for line in text.lines() {
        if line == "---" || line.starts_with("--- ") {
            documents.push(String::new());
        } else if let Some(last) = documents.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    let says = |d: &&String| d.lines().any(|l| !l.trim().is_empty() && !l.trim_start().starts_with('#'));
    documents.iter().filter(says).map(|d| one(d)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_documents() {
        let found = all("# c\n---\na: 1\n---\n# nothing\n---\nb: [x]\n").unwrap();
        assert_eq!(found, [serde_json::json!({"a": 1}), serde_json::json!({"b": ["x"]})]);
        assert_eq!(all("a: [\n"), None);
    }
}
