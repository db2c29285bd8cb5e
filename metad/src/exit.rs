//! The exit codes of the command line. Scripts rely on them: a number, once given out, keeps its meaning.

/// Done, and the answer was yes.
pub const SUCCESS: u8 = 0;
/// Something failed that has no number of its own.
pub const FAILURE: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 2;
/// The configuration cannot be read or used.
pub const CONFIGURATION: u8 = 3;
/// `metad check` found that this host lacks something metad cannot do without.
pub const LACKING: u8 = 4;
/// No daemon answers on the admin socket.
pub const NOT_RUNNING: u8 = 5;
/// This user may not do that.
pub const DENIED: u8 = 6;
/// A command named an instance or a NIC that metad does not know.
pub const UNKNOWN: u8 = 7;
/// `metad query`: the guest would be told 404.
pub const NOT_FOUND: u8 = 8;
/// `metad query`: the guest would be refused, with another 4xx or a 3xx.
pub const REFUSED: u8 = 9;
/// `metad query`: the guest would be told 5xx.
pub const UNAVAILABLE: u8 = 10;
/// `metad serve`: a daemon of this name runs already.
pub const ALREADY_RUNNING: u8 = 11;
/// `metad down` could not remove everything.
pub const LEFTOVERS: u8 = 12;

/// Every code and its meaning, as `--help` and the documentation list them.
pub const ALL: [(u8, &str); 13] = [
    (SUCCESS, "done"),
    (FAILURE, "something failed that has no number of its own"),
    (USAGE, "the command line is wrong"),
    (CONFIGURATION, "the configuration cannot be read or used"),
    (LACKING, "check: this host lacks something that metad needs"),
    (NOT_RUNNING, "no daemon answers on the admin socket"),
    (DENIED, "this user may not do that"),
    (UNKNOWN, "no such instance or NIC"),
    (NOT_FOUND, "query: the guest would be told 404"),
    (
        REFUSED,
        "query: the guest would be refused (other 3xx or 4xx)",
    ),
    (UNAVAILABLE, "query: the guest would be told 5xx"),
    (ALREADY_RUNNING, "serve: a daemon of this name runs already"),
    (LEFTOVERS, "down: not everything could be removed"),
];

/// The code of `metad query` for the status that the guest would get.
pub fn of_status(status: u16) -> u8 {
    match status {
        0..=299 => SUCCESS,
        404 => NOT_FOUND,
        300..=499 => REFUSED,
        500.. => UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_ordered() {
        for (place, (code, meaning)) in ALL.iter().enumerate() {
            assert_eq!(usize::from(*code), place, "{meaning}");
        }
        // From 126 on, shells speak for themselves.
        assert!(ALL.iter().all(|(code, _)| *code < 126));
    }

    #[test]
    fn statuses_have_codes() {
        for (status, code) in [
            (200, SUCCESS),
            (204, SUCCESS),
            (301, REFUSED),
            (401, REFUSED),
            (403, REFUSED),
            (404, NOT_FOUND),
            (405, REFUSED),
            (503, UNAVAILABLE),
        ] {
            assert_eq!(of_status(status), code, "{status}");
        }
    }
}
