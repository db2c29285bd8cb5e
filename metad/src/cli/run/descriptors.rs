//! How many file descriptors the process may have: connections are what they go to.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one, and says what holds then. Processes that are started later inherit it.
pub(super) fn most() -> usize {
    let allowed = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: allowed.maximum,
        ..allowed
    };
    let may = match setrlimit(Resource::Nofile, all) {
        Ok(()) => allowed.maximum,
        Err(_kept) => allowed.current,
    };
    may.map_or(usize::MAX, |may| may.try_into().unwrap_or(usize::MAX))
}
