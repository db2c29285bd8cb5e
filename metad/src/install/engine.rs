//! The template engine: texts, names and facts come in, files and problems go out. Pure.
//!
//! Steps and the length of a file are limited here. What they do not cover, memory, the stack and the time of one step,
//! is limited by the process that runs this (`child.rs`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{child, filters};

/// The largest file that an installer gets, in octets.
const OUTPUT_MAX: usize = 1024 * 1024;
/// Steps of the template engine for one file; a long answer takes some thousands.
const FUEL: u64 = 500_000;

/// Where templates are compiled and rendered.
#[derive(Debug, Default, Clone, Copy)]
pub enum Engine {
    /// In this process, for templates that nobody doubts.
    #[default]
    Here,
    /// In a process of its own each time, by the `metad` that runs.
    Child,
    /// As a child whom every template with `BOMB` ends, and at once those with `EARLY BOMB`; counts children.
    #[cfg(test)]
    Mortal(&'static std::sync::atomic::AtomicUsize),
}

impl Engine {
    pub(super) fn run(self, job: Job<'_>) -> Result<Done, child::Failure> {
        match self {
            Self::Here => Ok(job.run()),
            Self::Child => child::run(&job),
            #[cfg(test)]
            Self::Mortal(children) => {
                children.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let bomb = job.facts.as_ref().map_or("EARLY BOMB", |_| "BOMB");
                if job.names.iter().any(|name| job.texts[name].contains(bomb)) {
                    return Err(child::Failure::Ended);
                }
                Ok(job.run())
            }
        }
    }
}

/// What is to be done with templates.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Job<'a> {
    /// Every template, by name; those that nobody names may be included.
    pub(super) texts: Cow<'a, BTreeMap<String, String>>,
    /// Those that are meant.
    pub(super) names: Vec<String>,
    /// What they are rendered with; without it they are only compiled.
    pub(super) facts: Option<Cow<'a, Value>>,
}

/// What has come of it, by template.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) files: BTreeMap<String, String>,
    pub(super) problems: BTreeMap<String, String>,
}

impl Job<'_> {
    pub(super) fn run(self) -> Done {
        let environment = environment(self.texts.into_owned());
        let facts = self
            .facts
            .map(|facts| minijinja::Value::from(Serde(facts.as_ref())));
        let mut done = Done::default();
        for name in self.names {
            match file(&environment, &name, facts.as_ref()) {
                Ok(Some(text)) => {
                    done.files.insert(name, text);
                }
                Ok(None) => {}
                Err(error) => {
                    let problem = say(&name, &error);
                    done.problems.insert(name, problem);
                }
            }
        }
        done
    }
}

fn environment(texts: BTreeMap<String, String>) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_name| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(syntax());
    environment.set_debug(true);
    environment.set_fuel(Some(FUEL));
    filters::add(&mut environment);
    environment.set_loader(move |name| Ok(texts.get(name).cloned()));
    environment
}

fn file(
    environment: &Environment<'_>,
    name: &str,
    facts: Option<&minijinja::Value>,
) -> Result<Option<String>, minijinja::Error> {
    let template = environment.get_template(name)?;
    let Some(facts) = facts else {
        return Ok(None);
    };
    let mut page = Page::default();
    match template.render_captured_to(facts.clone(), &mut page) {
        // A template writes nothing but text.
        Ok(_) => Ok(Some(String::from_utf8_lossy(&page.0).into_owned())),
        Err(_) if page.is_full() => Err(minijinja::Error::new(
            ErrorKind::WriteFailure,
            format!("it is larger than {OUTPUT_MAX} octets"),
        )),
        Err(error) => Err(error),
    }
}

/// Lines with nothing but a tag leave nothing behind.
fn syntax() -> SyntaxConfig {
    let mut syntax = SyntaxConfig::builder();
    syntax
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true);
    // Only delimiters that contradict each other are refused, and these are the usual ones.
    syntax.build().unwrap_or_default()
}

/// What a template writes, as far as it may.
#[derive(Default)]
struct Page(Vec<u8>);

impl Page {
    fn is_full(&self) -> bool {
        self.0.len() > OUTPUT_MAX
    }
}

impl Write for Page {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(octets);
        if self.is_full() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Which template, where, and why. Quotes the template, and never a value.
fn say(name: &str, error: &minijinja::Error) -> String {
    // A template that another one includes is where the mistake is.
    let mut innermost = error;
    while let Some(inner) = std::error::Error::source(innermost)
        .and_then(|source| source.downcast_ref::<minijinja::Error>())
    {
        innermost = inner;
    }
    let place = innermost.name().unwrap_or(name);
    let line = innermost.line().map(|line| format!(", line {line}"));
    let source = innermost.template_source();
    let expression = innermost
        .range()
        .and_then(|range| source?.get(range))
        .filter(|text| !text.contains('\n'))
        .map(|text| format!(" at `{}`", text.trim().chars().take(80).collect::<String>()));
    let reason = match (innermost.kind(), innermost.detail()) {
        (ErrorKind::OutOfFuel, _) => "it takes too many steps".to_owned(),
        (ErrorKind::UndefinedError, _) => "nobody says this variable".to_owned(),
        (_, Some(detail)) => detail.to_owned(),
        (kind, None) => kind.to_string(),
    };
    format!(
        "the template {place}{}: {reason}{}",
        line.unwrap_or_default(),
        expression.unwrap_or_default()
    )
}
