//! From what the kernel's table holds to what it must hold.

use std::collections::BTreeMap;

/// Lists the keys of `have` that `want` has not, or has for another owner. What only changes keeps its place, and is
/// among what is learnt.
pub(super) fn to_forget<K: Ord + Copy, V>(
    have: &BTreeMap<K, V>,
    want: &BTreeMap<K, V>,
    same_owner: impl Fn(&V, &V) -> bool,
) -> Vec<K> {
    have.iter()
        .filter(|(key, had)| !want.get(key).is_some_and(|has| same_owner(had, has)))
        .map(|(key, _)| *key)
        .collect()
}

/// Lists the entries of `want` that `have` has not, or has otherwise, once [`to_forget`] is done.
pub(super) fn to_learn<K: Ord + Copy, V: PartialEq + Copy>(
    have: &BTreeMap<K, V>,
    want: &BTreeMap<K, V>,
) -> Vec<(K, V)> {
    let missing = want
        .iter()
        .filter(|(key, value)| have.get(key) != Some(value));
    missing.map(|(key, value)| (*key, *value)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Forgetting, then learning, leads from any table to any other, and no key has two owners on the way. Values
        /// are `(owner, how)`.
        #[test]
        fn steps_lead_from_any_table_to_any_other(
            have: BTreeMap<u8, (u8, bool)>,
            want: BTreeMap<u8, (u8, bool)>,
        ) {
            let mut table = have.clone();
            for key in to_forget(&have, &want, |had, has| had.0 == has.0) {
                prop_assert!(table.remove(&key).is_some());
            }
            for (key, value) in &table {
                prop_assert_eq!(want.get(key).map(|wanted| wanted.0), Some(value.0));
            }
            for (key, value) in to_learn(&table, &want) {
                let before = table.insert(key, value);
                prop_assert!(before.is_none_or(|before| before.0 == value.0 && before != value));
            }
            prop_assert_eq!(table, want);
        }
    }
}
