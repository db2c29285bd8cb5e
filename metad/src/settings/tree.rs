//! What is set, as a tree below EC2's `meta-data/`: a path and a value come in, and the tree changes or stays.
//!
//! A value that no guest could be told, or that the path's clients would trip over, is refused with what to do instead.

use serde_json::{Map, Value};

use super::{Refusal, shape};
use crate::nearest::nearest;
use crate::record::field;
use crate::render::{is_segment, is_tag_key};

/// Values of one instance.
pub(super) const COUNT_MAX: usize = 1024;
/// Octets of one value as text.
pub(super) const VALUE_MAX: usize = 64 * 1024;
/// Octets of all values of one instance together, as JSON.
pub(super) const TREE_MAX: usize = 1024 * 1024;

/// Sets `path` of the instance called `instance` to `value`; what was set there before goes.
pub(super) fn set(
    instance: &str,
    settings: &mut Map<String, Value>,
    path: &str,
    mut value: Value,
    force: bool,
) -> Result<(), Refusal> {
    let segments = segments(path)?;
    shape::fit(path, &segments, &mut value, force)?;
    let mut whole = value;
    for segment in segments.iter().rev() {
        whole = Value::Object(Map::from_iter([((*segment).to_owned(), whole)]));
    }
    if let Some(tree) = whole.as_object() {
        check(path, tree)?;
    }
    let value = take(whole, &segments);
    let mut changed = settings.clone();
    put(&mut changed, path, &segments, value)?;
    bounded(instance, &changed)?;
    *settings = changed;
    Ok(())
}

/// Takes back what was set at `path` and below it.
pub(super) fn unset(
    instance: &str,
    settings: &mut Map<String, Value>,
    path: &str,
) -> Result<(), Refusal> {
    let path = path.trim_matches('/');
    let segments: Vec<&str> = path.split('/').collect();
    if cut(settings, &segments) {
        return Ok(());
    }
    let leaves = leaves(settings);
    let paths = leaves.iter().map(|(path, _)| path.as_str());
    let help = match nearest(path, paths) {
        Some(known) => format!("did you mean `{known}`?"),
        None if leaves.is_empty() => format!("`metad settings {instance}` shows what is set"),
        None => format!(
            "`metad settings {instance}` shows what is set, `metad unset {instance} --all` takes back all of it"
        ),
    };
    let help = Some(help);
    Err(Refusal::NotSet {
        instance: instance.to_owned(),
        path: path.to_owned(),
        help,
    })
}

/// Every value and its path, in the tree's order.
pub fn leaves(settings: &Map<String, Value>) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    let mut open: Vec<(String, &Value)> = members("", settings).collect();
    open.reverse();
    while let Some((path, value)) = open.pop() {
        match value.as_object().filter(|below| !below.is_empty()) {
            Some(below) => {
                let mut below: Vec<_> = members(&path, below).collect();
                below.reverse();
                open.extend(below);
            }
            None => found.push((path, value)),
        }
    }
    found
}

fn members<'a>(
    path: &str,
    below: &'a Map<String, Value>,
) -> impl Iterator<Item = (String, &'a Value)> {
    let prefix = match path {
        "" => String::new(),
        path => format!("{path}/"),
    };
    below
        .iter()
        .map(move |(name, value)| (format!("{prefix}{name}"), value))
}

/// Takes a path apart, and refuses what is no path below `meta-data/`.
fn segments(path: &str) -> Result<Vec<&str>, Refusal> {
    let refuse = |problem: &str, help: Option<String>| Refusal::BadPath {
        path: path.to_owned(),
        problem: problem.to_owned(),
        help,
    };
    let bare = path.trim_matches('/');
    for prefix in ["latest/meta-data/", "meta-data/"] {
        if let Some(below) = bare.strip_prefix(prefix) {
            let help = format!("write `{below}`");
            return Err(refuse("paths are below `meta-data/`", Some(help)));
        }
    }
    if bare != path {
        let help = (!bare.is_empty()).then(|| format!("write `{bare}`"));
        return Err(refuse("a path has no `/` at its ends", help));
    }
    if matches!(path, "user-data" | "vendor-data" | "network-config") {
        let help = "set it in the domain's XML or in the instance's record".to_owned();
        return Err(refuse("it is not below `meta-data/`", Some(help)));
    }
    Ok(path.split('/').collect())
}

/// Refuses what could not be asked for or must not change.
fn check(path: &str, tree: &Map<String, Value>) -> Result<(), Refusal> {
    let refuse = |problem: String, help: Option<&str>| Refusal::BadPath {
        path: path.to_owned(),
        problem,
        help: help.map(str::to_owned),
    };
    if tree.contains_key("instance-id") {
        let help = "a guest with another instance-id takes itself for a new machine; set it in the domain's XML or in the instance's record";
        return Err(refuse(
            "instance-id is not living data".to_owned(),
            Some(help),
        ));
    }
    let mut rest = tree.clone();
    if let Some(tags) = rest.remove("tags") {
        tags_are_good(path, &tags)?;
    }
    field::tree(&rest).map_err(|error| refuse(format!("a name on it {error}"), None))?;
    let mut open: Vec<(&str, &Value)> = rest
        .iter()
        .map(|(name, value)| (name.as_str(), value))
        .collect();
    while let Some((name, value)) = open.pop() {
        if !is_segment(name) {
            let problem = format!("`{name}` cannot be asked for");
            let help = "letters, digits and -._~!$&'()*+,;:@ make a name";
            return Err(refuse(problem, Some(help)));
        }
        match value {
            Value::Object(below) => {
                open.extend(below.iter().map(|(name, value)| (name.as_str(), value)));
            }
            Value::Array(items) => open.extend(items.iter().map(|item| ("0", item))),
            Value::String(text) if text.len() > VALUE_MAX => {
                return Err(Refusal::BadValue {
                    path: path.to_owned(),
                    problem: format!("has {} octets, {VALUE_MAX} is the limit", text.len()),
                    help: None,
                });
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    Ok(())
}

/// Tags are a table of texts, by EC2's rules: every dialect shows them in its own way.
fn tags_are_good(path: &str, tags: &Value) -> Result<(), Refusal> {
    let refuse = |problem: String| Refusal::BadPath {
        path: path.to_owned(),
        problem,
        help: Some("tags are at `tags/instance/KEY`".to_owned()),
    };
    let instance = match tags.as_object() {
        Some(tags) if tags.keys().all(|key| key == "instance") => tags.get("instance"),
        Some(_) | None => None,
    };
    let Some(Value::Object(table)) = instance else {
        return Err(refuse("there is nothing else below `tags/`".to_owned()));
    };
    for (key, value) in table {
        if let Err(error) = field::tag_key(key) {
            return Err(refuse(format!("the tag's key {error}")));
        }
        if !is_tag_key(key) {
            let problem = format!("`{key}` would be read as the name of a public key");
            return Err(refuse(problem));
        }
        let bad = |problem: String| Refusal::BadValue {
            path: path.to_owned(),
            problem,
            help: None,
        };
        match value {
            Value::String(text) => {
                field::tag_value(text).map_err(|error| bad(error.to_string()))?;
            }
            Value::Bool(_) | Value::Number(_) | Value::Null => {}
            Value::Array(_) | Value::Object(_) => {
                return Err(bad("of a tag is one text".to_owned()));
            }
        }
    }
    Ok(())
}

/// Finds again what was wrapped.
fn take(mut whole: Value, segments: &[&str]) -> Value {
    for segment in segments {
        let below = whole.as_object_mut();
        whole = below
            .and_then(|below| below.remove(*segment))
            .unwrap_or_default();
    }
    whole
}

fn put(
    tree: &mut Map<String, Value>,
    path: &str,
    segments: &[&str],
    value: Value,
) -> Result<(), Refusal> {
    let Some((name, rest)) = segments.split_first() else {
        return Ok(());
    };
    if rest.is_empty() {
        tree.insert((*name).to_owned(), value);
        return Ok(());
    }
    let below = tree
        .entry(*name)
        .or_insert_with(|| Value::Object(Map::new()));
    match below {
        Value::Object(below) => put(below, path, rest, value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            let depth = path.split('/').count() - rest.len();
            let above: Vec<&str> = path.split('/').take(depth).collect();
            let above = above.join("/");
            Err(Refusal::BadPath {
                path: path.to_owned(),
                problem: format!("a value is set at `{above}`, and nothing can be below it"),
                help: Some(format!("unset `{above}` first")),
            })
        }
    }
}

/// Removes what is at the path, and directories that are empty without it. `false`: nothing is there.
fn cut(tree: &mut Map<String, Value>, segments: &[&str]) -> bool {
    let Some((name, rest)) = segments.split_first() else {
        return false;
    };
    if rest.is_empty() {
        return tree.remove(*name).is_some();
    }
    let Some(Value::Object(below)) = tree.get_mut(*name) else {
        return false;
    };
    let found = cut(below, rest);
    if found && below.is_empty() {
        tree.remove(*name);
    }
    found
}

fn bounded(instance: &str, settings: &Map<String, Value>) -> Result<(), Refusal> {
    let full = |problem: String| Refusal::Full {
        instance: instance.to_owned(),
        problem,
    };
    let count = leaves(settings).len();
    if count > COUNT_MAX {
        return Err(full(format!(
            "`{instance}` would have {count} settings, {COUNT_MAX} is the limit"
        )));
    }
    let octets = serde_json::to_string(settings).map_or(usize::MAX, |text| text.len());
    if octets > TREE_MAX {
        return Err(full(format!(
            "the settings of `{instance}` would have {octets} octets, {TREE_MAX} is the limit"
        )));
    }
    Ok(())
}
