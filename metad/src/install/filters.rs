//! Filters that keep a value where a template puts it: within its line, its word or its quotes. A value that cannot be
//! kept there is refused, and with it the file.

use minijinja::{Environment, Error, ErrorKind, Value};

/// Adds the filters to an environment, and `refuse` for templates that cannot do without something.
pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("line", line);
    environment.add_filter("preseed", preseed);
    environment.add_filter("shellquote", shellquote);
    environment.add_filter("word", word);
    environment.add_filter("yaml", yaml);
    environment.add_function("refuse", |reason: String| -> Result<String, Error> {
        Err(refused(reason))
    });
}

/// One line of text: no control character, no end of a line in anybody's eyes.
fn line(value: &Value) -> Result<String, Error> {
    let text = scalar(value)?;
    match text.chars().find(|letter| ends_a_line(*letter)) {
        Some(letter) => Err(refused(format!(
            "a value holds {letter:?}, which no line may"
        ))),
        None => Ok(text),
    }
}

/// The value of a preseed line: debconf joins a line that ends in a backslash with the next one.
fn preseed(value: &Value) -> Result<String, Error> {
    let text = line(value)?;
    if text.trim_end().ends_with('\\') {
        return Err(refused(
            "a value ends in a backslash, which joins lines of preseed",
        ));
    }
    Ok(text)
}

/// One argument of a shell or of a kickstart command, in single quotes.
fn shellquote(value: &Value) -> Result<String, Error> {
    let text = line(value)?;
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

/// A word that needs no quotes anywhere: a user's, a device's, a package's or a group's name, an option of the kernel.
fn word(value: &Value) -> Result<String, Error> {
    let text = scalar(value)?;
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "._+:@/,=-".contains(letter);
    match text.chars().find(|letter| !allowed(*letter)) {
        Some(letter) => Err(refused(format!(
            "a value holds {letter:?}, which no word may"
        ))),
        None if text.is_empty() => Err(refused("a value is empty, which no word may be")),
        None if text.starts_with('-') => Err(refused("a value starts like an option")),
        None => Ok(text),
    }
}

/// Any value as JSON on one line, which is YAML too.
fn yaml(value: &Value) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let json = serde_json::to_string(value)
        .map_err(|error| refused("a value cannot be written as YAML").with_source(error))?;
    Ok(json.chars().map(escape).collect())
}

/// Letters that JSON allows as they are and YAML does not, or takes for the end of a line.
fn escape(letter: char) -> String {
    let code = u32::from(letter);
    match code {
        0x7f..=0x9f | 0x2028 | 0x2029 | 0xfeff | 0xfffe | 0xffff => format!("\\u{code:04x}"),
        _ => letter.into(),
    }
}

fn ends_a_line(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}')
}

/// A text, a number or a truth value; a list in their place would be its notation.
fn scalar(value: &Value) -> Result<String, Error> {
    use minijinja::value::ValueKind;
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let kind = value.kind();
    if matches!(
        kind,
        ValueKind::String | ValueKind::Number | ValueKind::Bool
    ) {
        Ok(value.to_string())
    } else {
        Err(refused(format!("a text belongs here, not a {kind}")))
    }
}

fn refused(reason: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason)
}
