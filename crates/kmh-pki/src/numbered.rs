//! Names of the generations of a CA, where each has one of its own: `NAME`, `NAME 2`, `NAME 3`. Pure.
//!
//! Nearly everybody finds a CA by its key. pfSense writes those of its tunnels to files that are called by a hash of the
//! subject: of two with one subject, strongSwan there gets one. So the CA of the tunnels has a number from its second
//! generation on, and no two of its generations are called the same.

/// Which generation of the CA `base` has that name, from 1 on; none: it is another CA's name.
pub fn number(base: &str, name: &str) -> Option<u32> {
    let rest = name.strip_prefix(base)?;
    if rest.is_empty() {
        return Some(1);
    }
    let digits = rest.strip_prefix(' ')?;
    let number: u32 = digits.parse().ok()?;
    // As it is written here, and in no other way.
    (number > 1 && number.to_string() == digits).then_some(number)
}

/// The name of the generation after the one that is called `current`: `base` itself after a CA of another name.
pub fn following(base: &str, current: &str) -> String {
    match number(base, current).and_then(|number| number.checked_add(1)) {
        Some(number) => format!("{base} {number}"),
        None => base.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_generation_has_a_name_that_the_one_before_has_not() {
        let mut name = "a-ca".to_owned();
        for wanted in ["a-ca 2", "a-ca 3", "a-ca 4"] {
            name = following("a-ca", &name);
            assert_eq!(name, wanted);
        }
        assert_eq!(following("a-ca", "a-ca 9"), "a-ca 10");
        for other in ["another", "a-ca 1", "a-ca 02", "a-ca +2", "a-ca2", "a-ca  2", "a-ca 4294967295", ""] {
            assert_eq!(following("a-ca", other), "a-ca", "{other}");
        }
    }

    #[test]
    fn a_name_is_of_the_series_or_anothers() {
        assert_eq!(number("a-ca", "a-ca"), Some(1));
        assert_eq!(number("a-ca", "a-ca 12"), Some(12));
        for other in ["a-ca 1", "a-ca 0", "a-ca 012", "a-ca 2 ", "a-cat", "a-ca two", "a-ca 4294967296"] {
            assert_eq!(number("a-ca", other), None, "{other}");
        }
    }
}
