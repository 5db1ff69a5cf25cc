//! Absolute paths in any text: what a file refers to.

use std::collections::BTreeSet;

/// The absolute paths that stand in a text, comments (`#`, `!`, `;` at the start of a line) left out.
///
/// A path begins where a word, a value or a quoted text begins, so that neither `10.0.0.0/8` nor `https://host/x`
/// nor `registry/name` is one.
pub(crate) fn paths(text: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for line in text.lines() {
        if line.trim_start().starts_with(['#', '!', ';']) {
            continue;
        }
        let mut from = 0;
        while let Some(start) = line[from..].find('/').map(|at| from + at) {
            let rest = &line[start..];
            let length = rest.find(|c: char| !is_path(c)).unwrap_or(rest.len());
            let path = rest[..length].trim_end_matches('.');
            let before = line[..start].chars().next_back();
            let prefix_length = path[1..].bytes().all(|b| b.is_ascii_digit()); // `::/0`
            if before.is_none_or(begins) && !prefix_length && !path.starts_with("//") {
                found.insert(path);
            }
            from = start + length.max(1);
        }
    }
    found
}

fn is_path(c: char) -> bool {
    c.is_ascii_alphanumeric() || "/._-+@%".contains(c)
}

fn begins(c: char) -> bool {
    c.is_whitespace() || "\"'=,:([{<>|&-+!".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_nothing_that_only_looks_like_one() {
        let text = "# /no/comment\nExecStart=/usr/bin/x --a=/etc/b.conf,/etc/c \"/d e\" https://h:1/p 10.0.0.0/8 reg.io/n:1\n\
                    unix:///run/s.sock ::/0 PATH=/a/b:/c/d cert: /etc/k/tls.crt.\n- /\n";
        assert_eq!(
            paths(text).into_iter().collect::<Vec<_>>(),
            ["/a/b", "/c/d", "/d", "/etc/b.conf", "/etc/c", "/etc/k/tls.crt", "/usr/bin/x"]
        );
    }
}
