//! What is wrong with the sources and with what they say, in the log: once, when it begins.
//!
//! `metad status` shows what is wrong now; the log shows since when, and what was wrong before.

use std::collections::{BTreeMap, BTreeSet};

use crate::inventory::Snapshot;

/// What has been logged and still holds.
#[derive(Debug, Default)]
pub(super) struct Herald {
    /// Source to why it is away.
    away: BTreeMap<String, String>,
    /// Subject and problem.
    problems: BTreeSet<(String, String)>,
}

/// What has changed.
#[derive(Debug, Default, PartialEq, Eq)]
struct News {
    away: Vec<(String, String)>,
    back: Vec<String>,
    problems: Vec<(String, String)>,
}

impl Herald {
    /// Logs what is new, and forgets what is over.
    pub(super) fn tell(&mut self, snapshot: &Snapshot) {
        let news = self.news(snapshot);
        for (source, why) in news.away {
            tracing::warn!(source, why, "a source is away; what it said stays");
        }
        for source in news.back {
            tracing::info!(source, "a source is back");
        }
        for (subject, problem) in news.problems {
            tracing::warn!(subject, problem, "something is wrong");
        }
    }

    fn news(&mut self, snapshot: &Snapshot) -> News {
        let mut news = News::default();
        let mut away = BTreeMap::new();
        for source in &snapshot.sources {
            let known = self.away.get(&source.name);
            match &source.away {
                Some(why) => {
                    if known != Some(why) {
                        news.away.push((source.name.clone(), why.clone()));
                    }
                    away.insert(source.name.clone(), why.clone());
                }
                None if known.is_some() => news.back.push(source.name.clone()),
                None => {}
            }
        }
        let problems: BTreeSet<_> = snapshot.problems.iter().cloned().collect();
        news.problems
            .extend(problems.difference(&self.problems).cloned());
        self.away = away;
        self.problems = problems;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::SourceStatus;

    fn world(away: Option<&str>, problems: &[(&str, &str)]) -> Snapshot {
        let status = SourceStatus {
            name: "libvirt".to_owned(),
            away: away.map(str::to_owned),
            subjects: 0,
        };
        let owned = |(subject, problem): &(&str, &str)| ((*subject).into(), (*problem).into());
        Snapshot {
            sources: vec![status],
            problems: problems.iter().map(owned).collect(),
            ..Snapshot::default()
        }
    }

    #[test]
    fn each_thing_is_told_when_it_begins_and_not_again_while_it_lasts() {
        let broken = ("web1", "line 3: unknown key");
        let pair = |(a, b): (&str, &str)| (a.to_owned(), b.to_owned());
        let mut herald = Herald::default();
        for (step, snapshot, expected) in [
            ("all is well", world(None, &[]), News::default()),
            (
                "both begin",
                world(Some("refused"), &[broken]),
                News {
                    away: vec![pair(("libvirt", "refused"))],
                    problems: vec![pair(broken)],
                    ..News::default()
                },
            ),
            (
                "both last",
                world(Some("refused"), &[broken]),
                News::default(),
            ),
            (
                "another reason, and it is mended",
                world(Some("gone"), &[]),
                News {
                    away: vec![pair(("libvirt", "gone"))],
                    ..News::default()
                },
            ),
            (
                "back, and broken again",
                world(None, &[broken]),
                News {
                    back: vec!["libvirt".to_owned()],
                    problems: vec![pair(broken)],
                    ..News::default()
                },
            ),
        ] {
            assert_eq!(herald.news(&snapshot), expected, "{step}");
        }
    }
}
