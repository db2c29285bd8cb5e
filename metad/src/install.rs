//! Installers' answers: templates of the site and what is known of an instance come in, the files that its installer
//! asks for go out.
//!
//! Compiled when a template changes and rendered when an instance changes, never while somebody asks. What must never
//! happen: a template reads a file, runs without an end, or a value that an instance brings turns into a line of
//! answers of its own.

mod facts;
mod files;
mod filters;
#[cfg(test)]
mod tests;
pub mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::PathBuf;

use bytes::Bytes;
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};
use serde_json::{Map, Value};

use crate::instance::Instance;

pub use files::Files;

/// Where templates are looked for unless the configuration says otherwise.
pub const DEFAULT_TEMPLATES: &str = "/etc/metad/install.d";

/// The largest file that an installer gets, in octets.
const OUTPUT_MAX: usize = 1024 * 1024;
/// Steps of the template engine for one file; a long answer takes some thousands.
const FUEL: u64 = 500_000;

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

/// Templates, compiled.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
    /// Those that installers may ask for.
    served: Vec<String>,
    /// Those that they might, if they were no mistakes.
    broken: BTreeSet<String>,
    config: Install,
    problems: Vec<String>,
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
    /// Compiles every template that can be; the others are problems.
    pub fn compile(files: &Files, config: Install) -> Self {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_name| AutoEscape::None);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_syntax(syntax());
        environment.set_debug(true);
        environment.set_fuel(Some(FUEL));
        filters::add(&mut environment);
        let mut served = Vec::new();
        let mut broken = BTreeSet::new();
        let mut problems = files.problems.clone();
        for (name, text) in &files.texts {
            match environment.add_template_owned(name.clone(), text.clone()) {
                Ok(()) if files::is_served(name) => served.push(name.clone()),
                Ok(()) => {}
                Err(error) => {
                    problems.push(say(name, &error));
                    if files::is_served(name) {
                        broken.insert(name.clone());
                    }
                }
            }
        }
        Self {
            environment,
            served,
            broken,
            config,
            problems,
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
        }
        let facts = facts::of(instance, nic, &self.config.variables);
        for name in &self.served {
            match self.file(name, &facts) {
                Ok(octets) => {
                    rendered.files.insert(name.clone(), octets.into());
                }
                Err(error) => {
                    rendered.problems.push(say(name, &error));
                    rendered.failed.insert(name.clone());
                }
            }
        }
        rendered
    }

    fn file(&self, name: &str, facts: &minijinja::Value) -> Result<Vec<u8>, minijinja::Error> {
        let mut page = Page::default();
        let template = self.environment.get_template(name)?;
        match template.render_captured_to(facts.clone(), &mut page) {
            Ok(_) => Ok(page.0),
            Err(_) if page.is_full() => Err(minijinja::Error::new(
                ErrorKind::WriteFailure,
                format!("it is larger than {OUTPUT_MAX} octets"),
            )),
            Err(error) => Err(error),
        }
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
