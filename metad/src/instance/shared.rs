//! What many have alike, held once: copies share it, and who changes his gets one of his own.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// Reads as what it holds; a write to one of several copies leaves the others as they are.
#[derive(Debug, Default)]
pub struct Shared<T>(Arc<T>);

impl<T: Clone> Shared<T> {
    /// What it holds, taken out.
    pub fn into_inner(self) -> T {
        Arc::unwrap_or_clone(self.0)
    }

    /// Whether the two are one in memory, which is less than being equal.
    pub fn is_one_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

impl<T: PartialEq> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || *self.0 == *other.0
    }
}

impl<T> From<T> for Shared<T> {
    fn from(held: T) -> Self {
        Self(Arc::new(held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_to_one_copy_leaves_the_others_as_they_are() {
        let one = Shared::from(vec![1]);
        let mut other = one.clone();
        assert!(one.is_one_with(&other) && one == other);
        other.push(2);
        assert_eq!((&*one, &*other), (&vec![1], &vec![1, 2]));
        assert!(!one.is_one_with(&other) && one != other);
        other.pop();
        assert!(one == other, "equal again, though not one");
        assert_eq!(other.into_inner(), [1]);
    }
}
