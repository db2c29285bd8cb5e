//! Installers' answers: templates of the site and what is known of an instance come in, the files that its installer
//! asks for go out.
//!
//! Compiled when a template changes and rendered when an instance changes, never while somebody asks. What must never
//! happen: a template reads a file, runs without an end, takes the daemon with it, or a value that an instance brings
//! turns into a line of answers of its own.

pub mod child;
mod engine;
mod facts;
mod files;
mod filters;
#[cfg(test)]
mod tests;
pub mod watch;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use serde_json::{Map, Value};

use self::engine::{Done, Job};
use crate::instance::Instance;

pub use engine::Engine;
pub use files::Files;

/// Where templates are looked for unless the configuration says otherwise.
pub const DEFAULT_TEMPLATES: &str = "/etc/metad/install.d";

/// For how many instances a template may end its process before it is tried for no other.
const STRIKES: usize = 2;

/// What the configuration says of installers' answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Install {
    /// The directory of templates.
    pub templates: PathBuf,
    /// What templates find as `install`, unless an instance says otherwise.
    pub variables: Map<String, Value>,
}

impl Default for Install {
    fn default() -> Self {
        Self {
            templates: PathBuf::from(DEFAULT_TEMPLATES),
            variables: Map::new(),
        }
    }
}

/// Templates, known to compile.
#[derive(Debug)]
pub struct Templates {
    engine: Engine,
    texts: BTreeMap<String, String>,
    /// Those that installers may ask for.
    served: Vec<String>,
    /// Those that they might, if they were no mistakes.
    broken: BTreeSet<String>,
    config: Install,
    problems: Vec<String>,
    /// Those that ended their process, and what they were told when they did.
    costly: Mutex<BTreeMap<String, Vec<Value>>>,
}

/// The files for one NIC of one instance.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Rendered {
    pub files: BTreeMap<String, Bytes>,
    /// The names of templates that gave no file.
    pub failed: BTreeSet<String>,
    /// Why others are not there.
    pub problems: Vec<String>,
}

impl Default for Templates {
    /// No templates.
    fn default() -> Self {
        Self::compile(&Files::default(), Install::default())
    }
}

impl Templates {
    /// Compiles every template that can be, in this process; the others are problems.
    pub fn compile(files: &Files, config: Install) -> Self {
        Self::compile_with(Engine::Here, files, config)
    }

    /// Compiles every template that can be; the others are problems.
    pub fn compile_with(engine: Engine, files: &Files, config: Install) -> Self {
        let mut texts = files.texts.clone();
        let names: Vec<String> = texts.keys().cloned().collect();
        let (done, _) = each(engine, &texts, &names, None);
        let mut problems = files.problems.clone();
        let mut broken = BTreeSet::new();
        for (name, problem) in done.problems {
            texts.remove(&name);
            problems.push(problem);
            if files::is_served(&name) {
                broken.insert(name);
            }
        }
        let served = texts.keys().filter(|name| files::is_served(name));
        Self {
            engine,
            served: served.cloned().collect(),
            texts,
            broken,
            config,
            problems,
            costly: Mutex::default(),
        }
    }

    /// What is wrong with templates, whatever the instance.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Renders every file for the NIC number `nic` of an instance.
    pub fn render(&self, instance: &Instance, nic: usize) -> Rendered {
        let mut rendered = Rendered {
            failed: self.broken.clone(),
            ..Rendered::default()
        };
        if self.served.is_empty() {
            let directory = self.config.templates.display();
            let problem = format!("it is to be installed, and {directory} holds no template");
            rendered.problems.push(problem);
            return rendered;
        }
        let facts = facts::of(instance, nic, &self.config.variables);
        let known = facts::of_every_nic(&facts);
        let Plan {
            together,
            alone,
            refused,
        } = self.plan(&known);
        let mut problems: BTreeMap<String, String> = refused
            .iter()
            .map(|name| (name.clone(), too_costly(name)))
            .collect();
        let alone = alone.chunks(1);
        for names in std::iter::once(together.as_slice()).chain(alone) {
            let (done, costly) = each(self.engine, &self.texts, names, Some(&facts));
            let files = done.files.into_iter();
            rendered
                .files
                .extend(files.map(|(name, text)| (name, Bytes::from(text))));
            problems.extend(done.problems);
            self.remember(&costly, &known);
        }
        rendered.failed.extend(problems.keys().cloned());
        rendered.problems = problems.into_values().collect();
        rendered
    }

    /// A template that ended its process is not run again for the same, and after some others not at all: the daemon
    /// waits for each.
    fn plan(&self, known: &Value) -> Plan {
        let costly = self.costly.lock().unwrap_or_else(PoisonError::into_inner);
        let mut plan = Plan::default();
        for name in &self.served {
            let names = match costly.get(name) {
                None => &mut plan.together,
                Some(ends) if ends.len() >= STRIKES || ends.contains(known) => &mut plan.refused,
                Some(_) => &mut plan.alone,
            };
            names.push(name.clone());
        }
        plan
    }

    fn remember(&self, names: &BTreeSet<String>, known: &Value) {
        let mut costly = self.costly.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            costly.entry(name.clone()).or_default().push(known.clone());
        }
    }
}

/// How templates are rendered for an instance.
#[derive(Default)]
struct Plan {
    together: Vec<String>,
    /// Those that ended their process for another instance.
    alone: Vec<String>,
    refused: Vec<String>,
}

/// Compiles the templates of these names, and renders them if there are facts: all at once, and where that ends the
/// process, one by one. Also says which ended it on their own.
fn each(
    engine: Engine,
    texts: &BTreeMap<String, String>,
    names: &[String],
    facts: Option<&Value>,
) -> (Done, BTreeSet<String>) {
    let mut costly = BTreeSet::new();
    if names.is_empty() {
        return (Done::default(), costly);
    }
    let run = |names: &[String]| {
        engine.run(Job {
            texts: Cow::Borrowed(texts),
            names: names.to_vec(),
            facts: facts.map(Cow::Borrowed),
        })
    };
    let mut all = Done::default();
    match run(names) {
        Ok(done) => return (done, costly),
        Err(child::Failure::Ended) => {}
        Err(failure @ child::Failure::NotRun(_)) => {
            let problem = |name: &String| (name.clone(), format!("the template {name}: {failure}"));
            all.problems = names.iter().map(problem).collect();
            return (all, costly);
        }
    }
    for name in names {
        // One that was alone already has had its chance.
        let alone = match names.len() {
            1 => Err(child::Failure::Ended),
            _ => run(std::slice::from_ref(name)),
        };
        match alone {
            Ok(done) => {
                all.files.extend(done.files);
                all.problems.extend(done.problems);
            }
            Err(child::Failure::Ended) => {
                all.problems.insert(name.clone(), too_costly(name));
                costly.insert(name.clone());
            }
            Err(failure @ child::Failure::NotRun(_)) => {
                let problem = format!("the template {name}: {failure}");
                all.problems.insert(name.clone(), problem);
            }
        }
    }
    (all, costly)
}

fn too_costly(name: &str) -> String {
    format!(
        "the template {name}: it took more time or memory than a template may; it is not tried again until a template \
         or the instance changes"
    )
}
