//! What each source says, as it said it last.

use std::collections::{BTreeMap, BTreeSet};

use super::SourceStatus;
use crate::source::{Change, Event, SourceIndex, State, Subject};

/// Every source's view, in the order of the configuration.
#[derive(Debug)]
pub(super) struct Views {
    views: Vec<View>,
}

#[derive(Debug, Default)]
struct View {
    status: SourceStatus,
    subjects: BTreeMap<String, Subject>,
    /// Name to keys.
    names: BTreeMap<String, BTreeSet<String>>,
    /// Key to `(name, problem)`.
    failures: BTreeMap<String, (String, String)>,
}

impl Views {
    pub(super) fn new(sources: Vec<String>) -> Self {
        let view = |name| View {
            status: SourceStatus {
                name,
                away: Some("not heard from yet".to_owned()),
                subjects: 0,
            },
            ..View::default()
        };
        Self {
            views: sources.into_iter().map(view).collect(),
        }
    }

    /// Takes in a change and lists the names of the machines that it may concern.
    pub(super) fn apply(&mut self, change: Change) -> BTreeSet<String> {
        let mut touched = BTreeSet::new();
        let Some(view) = self.views.get_mut(change.source) else {
            return touched;
        };
        match change.event {
            Event::Put(subject) => {
                view.failures.remove(&subject.key);
                touched.extend(view.remove(&subject.key));
                touched.insert(subject.name.clone());
                view.insert(*subject);
            }
            Event::Gone { key } => {
                view.failures.remove(&key);
                touched.extend(view.remove(&key));
            }
            Event::Failed { key, name, problem } => {
                view.failures.insert(key, (name, problem));
            }
            Event::Synced { keys } => {
                let keys: BTreeSet<String> = keys.into_iter().collect();
                view.failures.retain(|key, _| keys.contains(key));
                let gone: Vec<_> = view
                    .subjects
                    .keys()
                    .filter(|key| !keys.contains(*key))
                    .cloned()
                    .collect();
                touched.extend(gone.iter().filter_map(|key| view.remove(key)));
            }
            Event::State(State::Connected) => view.status.away = None,
            Event::State(State::Away { why } | State::Late { why }) => {
                view.status.away = Some(why);
            }
        }
        view.status.subjects = view.subjects.len();
        touched
    }

    /// The machine called `name`, as the last source that has one describes it, and the additions to it in order.
    pub(super) fn machine(&self, name: &str) -> Option<(SourceIndex, &Subject, Vec<&Subject>)> {
        let mut machine = None;
        let mut additions = Vec::new();
        for (source, view) in self.views.iter().enumerate() {
            for subject in view.named(name) {
                if subject.nics.is_some() {
                    machine = Some((source, subject));
                } else {
                    additions.push(subject);
                }
            }
        }
        machine.map(|(source, subject)| (source, subject, additions))
    }

    pub(super) fn statuses(&self) -> Vec<SourceStatus> {
        self.views.iter().map(|view| view.status.clone()).collect()
    }

    /// Everything that is wrong with what was said, and additions to machines that `exists` does not know.
    pub(super) fn problems(&self, exists: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        for view in &self.views {
            problems.extend(view.failures.values().cloned());
            for subject in view.subjects.values() {
                if let Some(problem) = &subject.problem {
                    problems.push((subject.name.clone(), problem.clone()));
                }
                if subject.nics.is_none() && !exists(&subject.name) {
                    let problem = format!(
                        "a record without `nics` waits for a machine called {}, and there is none",
                        subject.name
                    );
                    problems.push((subject.name.clone(), problem));
                }
            }
        }
        problems
    }
}

impl View {
    fn insert(&mut self, subject: Subject) {
        self.names
            .entry(subject.name.clone())
            .or_default()
            .insert(subject.key.clone());
        self.subjects.insert(subject.key.clone(), subject);
    }

    /// Forgets a subject and returns its name.
    fn remove(&mut self, key: &str) -> Option<String> {
        let subject = self.subjects.remove(key)?;
        if let Some(keys) = self.names.get_mut(&subject.name) {
            keys.remove(key);
            if keys.is_empty() {
                self.names.remove(&subject.name);
            }
        }
        Some(subject.name)
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &Subject> {
        let keys = self.names.get(name).into_iter().flatten();
        keys.filter_map(|key| self.subjects.get(key))
    }
}
