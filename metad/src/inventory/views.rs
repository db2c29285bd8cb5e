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
    subjects: BTreeMap<String, Box<Subject>>,
    /// Name to keys, of which there is one mostly; a key that is the name itself is not here.
    names: BTreeMap<String, Vec<String>>,
    /// Key to `(name, problem)`.
    failures: BTreeMap<String, (String, String)>,
    /// Key to name of what could not be read when this source first told everything: there is no last good state to go
    /// on with, and what it says may be a restriction.
    unread: BTreeMap<String, String>,
    /// It has told everything once.
    synced: bool,
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
                touched.extend(view.unread.remove(&subject.key));
                touched.extend(view.remove(&subject.key));
                touched.insert(subject.name.clone());
                view.insert(subject);
            }
            Event::Gone { key } => {
                view.failures.remove(&key);
                touched.extend(view.unread.remove(&key));
                touched.extend(view.remove(&key));
            }
            Event::Failed { key, name, problem } => {
                if !view.synced && !view.subjects.contains_key(&key) {
                    view.unread.insert(key.clone(), name.clone());
                    touched.insert(name.clone());
                }
                view.failures.insert(key, (name, problem));
            }
            Event::Synced { keys } => {
                let keys: BTreeSet<String> = keys.into_iter().collect();
                view.synced = true;
                view.failures.retain(|key, _| keys.contains(key));
                let unread = view.unread.extract_if(.., |key, _| !keys.contains(key));
                touched.extend(unread.map(|(_, name)| name));
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

    /// The machine called `name`, as the last source that has one describes it, and the additions to it in order. `None`
    /// too where a part of it could never be read: what is left might say more than the whole.
    pub(super) fn machine(&self, name: &str) -> Option<(SourceIndex, &Subject, Vec<&Subject>)> {
        if self.unread().any(|unread| unread == name) {
            return None;
        }
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

    /// The machines of which a part could never be read.
    pub(super) fn unread(&self) -> impl Iterator<Item = &str> {
        let names = self.views.iter().flat_map(|view| view.unread.values());
        names.map(String::as_str)
    }

    pub(super) fn compact(&mut self) {
        for view in &mut self.views {
            view.subjects = std::mem::take(&mut view.subjects).into_iter().collect();
            view.names = std::mem::take(&mut view.names).into_iter().collect();
        }
    }

    pub(super) fn statuses(&self) -> Vec<SourceStatus> {
        self.views.iter().map(|view| view.status.clone()).collect()
    }

    /// Everything that is wrong with what was said, and additions to machines that `exists` does not know.
    pub(super) fn problems(&self, exists: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        for view in &self.views {
            problems.extend(view.failures.iter().map(|(key, (name, problem))| {
                let problem = match view.unread.contains_key(key) {
                    true => {
                        format!("{problem}; no guest of this name is answered until it can be read")
                    }
                    false => problem.clone(),
                };
                (name.clone(), problem)
            }));
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
    fn insert(&mut self, subject: Box<Subject>) {
        if subject.key != subject.name {
            let keys = self.names.entry(subject.name.clone()).or_default();
            keys.push(subject.key.clone());
            keys.sort_unstable();
            keys.dedup();
        }
        self.subjects.insert(subject.key.clone(), subject);
    }

    /// Forgets a subject and returns its name.
    fn remove(&mut self, key: &str) -> Option<String> {
        let subject = self.subjects.remove(key)?;
        if let Some(keys) = self.names.get_mut(&subject.name) {
            keys.retain(|known| known != key);
            if keys.is_empty() {
                self.names.remove(&subject.name);
            }
        }
        Some(subject.name)
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &Subject> {
        let own = self.subjects.get(name).filter(|it| it.name == name);
        let keys = self.names.get(name).into_iter().flatten();
        let others = keys.filter_map(|key| self.subjects.get(key));
        own.into_iter().chain(others).map(|subject| &**subject)
    }
}
