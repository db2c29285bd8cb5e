//! What the allocator does with memory that nobody needs any more: it gives it back to the host, where it is worth it.
//!
//! glibc raises the size from which memory is mapped, and given back whole, to that of the largest that was ever freed;
//! reading the kernel object would raise it to some 17 MB, and a reading of ten thousand instances leaves as much behind.

/// Octets from which memory is mapped by itself. What glibc begins with (mallopt(3)).
const MAPPED_FROM: i32 = 128 * 1024;

/// Keeps the allocator from holding on to what a start and a large reading leave behind. To be called before any threads.
pub fn restrain() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: glibc's own setting, a number; nobody allocates beside this.
        let set = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM) };
        if set == 0 {
            tracing::debug!("the allocator takes no limit for what it keeps");
        }
    }
}

/// Gives back what is free now, in whole pages. Takes a moment, in which whoever allocates may wait.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: it takes no pointer and touches nothing that is in use.
        let _released = unsafe { libc::malloc_trim(0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_stays_as_it_is() {
        restrain();
        let mut held: Vec<Vec<u8>> = (0..=255_u8).map(|it| vec![it; 10_000]).collect();
        held.retain(|it| it.first().is_some_and(|first| first.is_multiple_of(2)));
        give_back();
        for it in held {
            let first = it.first().copied();
            assert!(it.iter().all(|octet| Some(*octet) == first));
        }
    }
}
