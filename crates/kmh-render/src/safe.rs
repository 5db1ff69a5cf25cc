//! Text from documents that goes into configuration languages without escaping: checked here, word by word.
//!
//! The inventory's own newtypes cannot hold anything dangerous. The network and PKI documents carry plain strings,
//! and a document may have been edited by hand or made by somebody else's program.

use crate::fault::Fault;

/// One word: a name, a path, an address.
pub(crate) fn word(text: &str) -> Result<&str, Fault> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._:/@+-".contains(c);
    check(text, fits, "a word of letters, digits and `._:/@+-`")
}

/// A name that stands as a section, a list or an interface: a letter or digit, then also `-` and `_`.
pub(crate) fn name(text: &str) -> Result<&str, Fault> {
    let text = check(
        text,
        |c| c.is_ascii_alphanumeric() || "-_".contains(c),
        "a name of letters, digits, `-` and `_`",
    )?;
    if text.starts_with(['-', '_']) {
        Err(Fault::new(format!("`{text}` does not begin with a letter or digit")))
    } else {
        Ok(text)
    }
}

/// The name of an interface: what Linux and pfSense have in common, at most 15 characters.
pub(crate) fn interface(text: &str) -> Result<&str, Fault> {
    let text = check(text, |c| c.is_ascii_alphanumeric() || "._-".contains(c), "the name of an interface")?;
    if text.len() > 15 {
        Err(Fault::new(format!("`{text}` is longer than an interface's name may be")))
    } else {
        Ok(text)
    }
}

/// An absolute path without `..`, `.` or empty steps.
pub(crate) fn path(text: &str) -> Result<&str, Fault> {
    let text = word(text)?;
    let normal = text
        .strip_prefix('/')
        .is_some_and(|rest| rest.split('/').all(|step| !matches!(step, "" | "." | "..")));
    if normal { Ok(text) } else { Err(Fault::new(format!("`{text}` is no absolute, normalised path"))) }
}

/// A remark: one line of printable ASCII that ends no quotation and begins no comment, expansion or block.
pub(crate) fn remark(text: &str) -> String {
    text.chars()
        .map(|c| if (c.is_ascii_graphic() || c == ' ') && !"\"\\$`!#{}".contains(c) { c } else { '.' })
        .collect()
}

fn check<'a>(text: &'a str, fits: impl Fn(char) -> bool, what: &str) -> Result<&'a str, Fault> {
    if !text.is_empty() && text.chars().all(fits) {
        Ok(text)
    } else {
        Err(Fault::new(format!("`{}` is not {what}", text.escape_debug())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out_of_a_line() {
        for bad in ["", "a b", "a\nb", "a;b", "a\"b", "a$b", "a#b", "ä", "a{b"] {
            let fault = word(bad).unwrap_err();
            assert!(fault.message.contains("is not a word"), "{}", fault.message);
        }
        assert_eq!(word("fw-attic--gw-vps"), Ok("fw-attic--gw-vps"));
        assert_eq!(remark("peer\n!\nno router bgp"), "peer...no router bgp");
    }

    #[test]
    fn a_path_stays_where_it_is() {
        assert_eq!(path("/etc/kubernetes/pki/ca.crt"), Ok("/etc/kubernetes/pki/ca.crt"));
        for bad in ["etc", "/etc/../x", "/etc//x", "/etc/./x", "/"] {
            assert!(path(bad).unwrap_err().message.contains("normalised path"), "{bad}");
        }
    }
}
