//! The known word that a mistaken one was probably meant to be.

/// Returns the candidate most like `word`, `None` where nothing is like it.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    // One letter resembles too much.
    word.chars().nth(1)?;
    candidates
        .into_iter()
        .map(|candidate| (likeness(&word, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= LIKE_ENOUGH)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// Below this, a suggestion confuses more than it helps.
const LIKE_ENOUGH: f64 = 0.75;

/// 1 for the same word, 0 for nothing in common. `_` counts as `-`, which people mix up most.
fn likeness(word: &str, candidate: &str) -> f64 {
    let word = word.replace('_', "-");
    if word.len() >= 3 && (candidate.starts_with(&word) || word.starts_with(candidate)) {
        return 0.95;
    }
    strsim::jaro_winkler(&word, candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised() {
        let keys = [
            "name",
            "keep-alive",
            "datapath",
            "source",
            "interfaces",
            "identity",
            "attach",
            "log-drops",
        ];
        for (word, expected) in [
            ("nmae", Some("name")),
            ("keep_alive", Some("keep-alive")),
            ("keepalive", Some("keep-alive")),
            ("sources", Some("source")),
            ("interface", Some("interfaces")),
            ("Attach", Some("attach")),
            ("log-drop", Some("log-drops")),
            ("log_drops", Some("log-drops")),
            ("port", None),
            ("zebra", None),
            ("a", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys), expected, "{word}");
        }
    }
}
