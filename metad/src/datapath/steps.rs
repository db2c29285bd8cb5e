//! From what the kernel's table holds to what it must hold.

use std::collections::BTreeMap;

/// Lists the keys of `have` that `want` has not, or has with another value.
pub(super) fn to_forget<K: Ord + Copy, V: PartialEq>(
    have: &BTreeMap<K, V>,
    want: &BTreeMap<K, V>,
) -> Vec<K> {
    have.iter()
        .filter(|(key, value)| want.get(key) != Some(value))
        .map(|(key, _)| *key)
        .collect()
}

/// Lists the entries of `want` that `have` has not, once [`to_forget`] is done.
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
        /// Forgetting, then learning, leads from any table to any other, and no key has two values on the way.
        #[test]
        fn steps_lead_from_any_table_to_any_other(
            have: BTreeMap<u8, u8>,
            want: BTreeMap<u8, u8>,
        ) {
            let mut table = have.clone();
            for key in to_forget(&have, &want) {
                prop_assert!(table.remove(&key).is_some());
            }
            prop_assert!(table.iter().all(|(key, value)| want.get(key) == Some(value)));
            for (key, value) in to_learn(&table, &want) {
                prop_assert_eq!(table.insert(key, value), None);
            }
            prop_assert_eq!(table, want);
        }
    }
}
