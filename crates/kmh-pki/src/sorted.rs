//! Small sets: the names of a certificate are one or three, and a store has thousands of certificates.

use std::ops::Deref;

/// What is in it is sorted, each once, and takes no more room than it needs: a `BTreeSet` of one name reserves eleven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sorted<T>(Box<[T]>);

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self(Box::default())
    }
}

impl<T: Ord> FromIterator<T> for Sorted<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut all: Vec<T> = items.into_iter().collect();
        all.sort_unstable();
        all.dedup();
        Self(all.into())
    }
}

impl<T> Deref for Sorted<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> From<Sorted<T>> for Vec<T> {
    fn from(set: Sorted<T>) -> Self {
        set.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::Sorted;

    #[test]
    fn it_is_sorted_and_holds_each_once() {
        let set: Sorted<_> = ["b", "a", "b", "c", "a"].into_iter().collect();
        assert_eq!(Vec::from(set.clone()), ["a", "b", "c"]);
        assert_eq!(set, ["c", "b", "a"].into_iter().collect());
        assert_eq!(Sorted::<u8>::default(), [].into_iter().collect());
    }
}
