//! The same done with each of many, on all cores.

use rayon::prelude::*;

/// How many results wait at once for whoever takes them. A block of more than 128 KiB would make the C library keep
/// larger ones for later from then on (mallopt(3), `M_MMAP_THRESHOLD`): a thousand nodes then cost a fifth more memory.
const AT_ONCE: usize = 200;

/// What comes of each, in their order.
pub(crate) fn map<I: Send, R: Send>(
    items: impl IntoIterator<Item = I>,
    work: impl Fn(I) -> R + Send + Sync,
) -> impl Iterator<Item = R> {
    let mut items = items.into_iter();
    let next = move || {
        let some: Vec<I> = items.by_ref().take(AT_ONCE).collect();
        (!some.is_empty()).then(|| some.into_par_iter().map(&work).collect::<Vec<R>>())
    };
    std::iter::from_fn(next).flatten()
}

#[cfg(test)]
mod tests {
    #[test]
    fn everything_is_done_once_and_in_order() {
        for count in [0, 1, super::AT_ONCE, super::AT_ONCE + 1, 3 * super::AT_ONCE] {
            let done: Vec<usize> = super::map(0..count, |number| number * 2).collect();
            assert_eq!(done, (0..count).map(|number| number * 2).collect::<Vec<_>>());
        }
    }
}
