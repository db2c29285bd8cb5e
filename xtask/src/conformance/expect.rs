//! What the checks say: it holds, or what was expected and what came instead.

use super::answer::Answer;
use super::row::{Miss, Verdict};

/// Fails with these words.
pub(super) fn fail(expected: impl Into<String>, got: impl Into<String>) -> Miss {
    Miss::Failed {
        expected: expected.into(),
        got: got.into(),
    }
}

/// Cannot be looked at, since …
pub(super) fn no(why: impl Into<String>) -> Miss {
    Miss::NotApplicable(why.into())
}

/// Holds if `true`.
pub(super) fn holds(good: bool, expected: impl Into<String>, got: impl Into<String>) -> Verdict {
    if good {
        Ok(())
    } else {
        Err(fail(expected, got))
    }
}

/// The answer has this status.
pub(super) fn status(what: &str, answer: &Answer, wanted: u16) -> Verdict {
    holds(
        answer.status == wanted,
        format!("{what}: {wanted}"),
        format!("{}{}", answer.status, hint(answer)),
    )
}

/// Both are the same octets.
pub(super) fn same(what: &str, expected: &[u8], got: &[u8]) -> Verdict {
    holds(
        expected == got,
        format!("{what}: {}", shown(expected)),
        shown(got),
    )
}

/// Where a redirect leads, which tells most about a mistake.
fn hint(answer: &Answer) -> String {
    let to = answer.header("location");
    to.map(|to| format!(" to {to}")).unwrap_or_default()
}

/// The beginning of a body, on one line.
pub(super) fn shown(octets: &[u8]) -> String {
    const MOST: usize = 60;
    let text: String = String::from_utf8_lossy(octets).chars().take(MOST).collect();
    let more = if text.len() < octets.len() {
        " …"
    } else {
        ""
    };
    format!("{text:?}{more} ({} octets)", octets.len())
}
