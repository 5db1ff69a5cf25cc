//! A [`Tree`] into a type, or everything that is wrong with it: the tree is held against the type's JSON Schema, the
//! one that users have too, and serde sees it only when nothing is left to say.

mod shape;
mod walk;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::problem::{Code, Problem, Problems};
use crate::tree::Tree;

/// What could be decoded, and what was wrong.
pub struct Decoded<T> {
    /// The value, without the parts that are wrong; none when so much is wrong that nothing is left.
    pub value: Option<T>,
    /// Everything that is wrong.
    pub problems: Problems,
    /// How positions in `value` relate to those in the input.
    pub kept: Kept,
}

/// Which items of each list were kept, by the list's path in the decoded value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept(BTreeMap<String, Vec<usize>>);

impl Kept {
    /// Whether no item of any list was left out.
    pub fn is_whole(&self) -> bool {
        self.0.is_empty()
    }

    /// The path in the input of what stands at `path` in the decoded value.
    pub fn original(&self, path: &str) -> String {
        if self.is_whole() {
            return path.to_owned();
        }
        let (mut seen, mut out) = (String::new(), String::new());
        for piece in path.split_inclusive([']', '[']) {
            let index = piece.strip_suffix(']').and_then(|digits| digits.parse::<usize>().ok());
            let list = seen.strip_suffix('[').unwrap_or(&seen);
            match index.and_then(|index| self.0.get(list)?.get(index)) {
                Some(original) => {
                    out.push_str(&original.to_string());
                    out.push(']');
                }
                None => out.push_str(piece),
            }
            seen.push_str(piece);
        }
        out
    }
}

/// `did you mean …?`, when one of `words` is near enough to `word` to be what was meant.
pub fn nearest(word: &str, words: &[impl AsRef<str>]) -> Option<String> {
    walk::nearest(word, words)
}

/// Decodes the value that stands at `path` of its document; refused with every problem that it has.
pub fn decode<T: DeserializeOwned + JsonSchema + 'static>(tree: &Tree, path: &str) -> Result<T, Problems> {
    let Decoded { value, problems, .. } = lenient(tree, path);
    match value {
        Some(value) if !problems.has_errors() => Ok(value),
        _ => Err(problems),
    }
}

/// Decodes what can be decoded: parts that are wrong are left out, and reported. So whoever looks further can still say
/// what is wrong with the rest.
pub fn lenient<T: DeserializeOwned + JsonSchema + 'static>(tree: &Tree, path: &str) -> Decoded<T> {
    let shapes = shape::of::<T>();
    let (json, mut problems, kept) = walk::walk(&shapes, tree, path);
    let value = json.and_then(|json| match serde_path_to_error::deserialize::<_, T>(json) {
        Ok(value) => Some(value),
        Err(error) => {
            // Either the schema does not say all that the type demands, or this follows from what is said already.
            if !problems.has_errors() {
                let inner = kept.original(&format!("{path}.{}", error.path()));
                let place = tree.nearest(&format!(".{}", error.path())).place;
                problems.push(Problem::error(Code::WrongType, inner, error.inner().to_string()).at(place));
            }
            None
        }
    });
    Decoded { value, problems, kept }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Inventory;
    use crate::tree::parse_yaml;

    const GOOD: &str = "cluster: {name: a, pod_cidrs: 10.0.0.0/16, service_cidrs: [10.1.0.0/16]}\nsites:\n- name: s\n  network: 10.2.0.0/24\n  pod_cidrs: 10.0.0.0/18\n";

    fn said(text: &str) -> Vec<String> {
        let problems = match decode::<Inventory>(&parse_yaml(text).unwrap(), "spec") {
            Ok(_) => return Vec::new(),
            Err(problems) => problems.sorted(),
        };
        problems
            .iter()
            .map(|p| {
                let place = p.place.unwrap();
                format!(
                    "{}:{} {} {}: {} / {}",
                    place.line,
                    place.column,
                    p.code,
                    p.path,
                    p.message,
                    p.hint.as_deref().unwrap_or("-")
                )
            })
            .collect()
    }

    #[test]
    fn the_words_of_the_kernel_pass() {
        let text = format!("{GOOD}nodes: [{{name: n, site: s, address: 10.2.0.9, arch: aarch64}}]");
        assert_eq!(said(&text), [] as [&str; 0]);
    }

    #[test]
    fn every_problem_is_said_at_its_place() {
        let text = format!(
            "{GOOD}nodes:\n- {{name: N, site: s, adress: 10.2.0.9, arch: armv7}}\n- {{name: n, name: m, site: s, address: [10.2.0.300, 5]}}\n\
             settings: {{kublet: {{}}, kubelet: {{a: {{b: 1, b: 2}}}}}}\nbgp: {{layout: a}}\nvars: [1]\nopreator: {{}}\n"
        );
        assert_eq!(
            said(&text),
            [
                "7:3 missing-key spec.nodes[0]: `address` is missing / -",
                "7:10 bad-label spec.nodes[0].name: `N` is no RFC 1123 label / use a to z, 0 to 9 and `-`, neither first nor last, such as `n`",
                "7:22 unknown-key spec.nodes[0].adress: unknown key `adress` / did you mean `address`?",
                "7:46 unknown-word spec.nodes[0].arch: `armv7` is none of the words that may stand here / write `amd64`, `arm64`, `x86_64` or `aarch64`",
                "8:13 duplicate-key spec.nodes[1].name: the key `name` stands here a second time / keep one of them",
                "8:41 bad-address spec.nodes[1].address[0]: `10.2.0.300` is no address / write an IPv4 or IPv6 address, such as `10.10.0.1`, without leading zeros",
                "8:53 wrong-type spec.nodes[1].address[1]: expected text, found the number `5` / quote it if it is meant as text",
                "9:12 unknown-key spec.settings.kublet: unknown key `kublet` / did you mean `kubelet`?",
                "9:44 duplicate-key spec.settings.kubelet.a.b: the key `b` stands here a second time / keep one of them",
                "10:15 unknown-word spec.bgp.layout: `a` is none of the words that may stand here / did you mean `A`?",
                "11:7 wrong-type spec.vars: expected a mapping, found a list / -",
                "12:1 unknown-key spec.opreator: unknown key `opreator` / did you mean `operator`?",
            ]
        );
    }

    #[test]
    fn numbers_and_versions() {
        let text = GOOD.replace("name: a,", "name: a, versions: {kubernetes: 1.30, etcd: 3.6}, node_asn: 4294967295, api: {host: k, port: 0, local_port: 70000.5},");
        assert_eq!(
            said(&text),
            [
                "1:43 unquoted-version spec.cluster.versions.kubernetes: the version `1.30` is written as a number / quote it, with the patch version: \"1.30.0\"",
                "1:55 unquoted-version spec.cluster.versions.etcd: the version `3.6` is written as a number / quote it, with the patch version: \"3.6.0\"",
                "1:71 out-of-range spec.cluster.node_asn: `4294967295` is not between 1 and 4294967294 / private AS numbers are 64512 to 65534 and 4200000000 to 4294967294 (RFC 6996)",
                "1:104 out-of-range spec.cluster.api.port: `0` is not between 1 and 65535 / -",
                "1:119 wrong-type spec.cluster.api.local_port: expected a whole number, found the number `70000.5` / -",
            ]
        );
    }

    #[test]
    fn as_numbers_are_plain_numbers() {
        for (written, plain) in
            [("65000.10", "4259840010"), ("\"65000.1\"", "4259840001"), ("AS65010", "65010")]
        {
            let text = GOOD.replace("name: a,", &format!("name: a, node_asn: {written},"));
            let bare = written.trim_matches('"');
            assert_eq!(
                said(&text),
                [format!(
                    "1:30 bad-asn spec.cluster.node_asn: `{bare}` is no AS number as a plain number / write {plain}; dots and letters mean something else to every program"
                )]
            );
        }
        let text = GOOD.replace("name: a,", "name: a, node_asn: \"65010\",");
        assert_eq!(
            said(&text),
            [
                "1:30 wrong-type spec.cluster.node_asn: expected a whole number, found the text `65010` / remove the quotes"
            ]
        );
    }

    #[test]
    fn a_list_of_fixed_length() {
        let with = |pairs: &str| said(&format!("{GOOD}tunnels: {{network: 10.9.0.0/16, pairs: {pairs}}}"));
        assert_eq!(with("[[a, b], [c, d]]"), [] as [&str; 0]);
        assert_eq!(
            with("[[a, b, c], [a]]"),
            [
                "6:41 wrong-type spec.tunnels.pairs[0]: expected a list of 2, found one of 3 / -",
                "6:52 wrong-type spec.tunnels.pairs[1]: expected a list of 2, found one of 1 / -",
            ]
        );
        assert_eq!(
            with("[[a, B]]"),
            [
                "6:45 bad-label spec.tunnels.pairs[0][1]: `B` is no RFC 1123 label / use a to z, 0 to 9 and `-`, neither first nor last, such as `b`"
            ]
        );
    }

    #[test]
    fn what_is_right_survives_with_its_position() {
        let text = format!(
            "{GOOD}nodes:\n- {{name: N, site: s, address: 10.2.0.9}}\n- {{name: n, site: s, address: 10.2.0.9}}\n"
        );
        let decoded = lenient::<Inventory>(&parse_yaml(&text).unwrap(), "spec");
        let inventory = decoded.value.unwrap();
        assert_eq!(inventory.nodes.len(), 1);
        assert_eq!(decoded.kept.original("spec.nodes[0].name"), "spec.nodes[1].name");
        assert_eq!(decoded.kept.original("spec.sites[0].name"), "spec.sites[0].name");
    }
}
