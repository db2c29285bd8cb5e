//! Changes to an XML text by position: what is not changed stays octet for octet, and what is new stands as its
//! neighbours stand, on lines of its own or on theirs.

use std::ops::Range;

use crate::libvirt::xml::Element;

/// A text and the changes to it so far.
#[derive(Debug)]
pub(super) struct Splice<'a> {
    text: &'a str,
    newline: &'static str,
    edits: Vec<(Range<usize>, String)>,
}

/// New markup: one line for each tag, with its depth.
pub(super) type Lines = Vec<(usize, String)>;

impl<'a> Splice<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            newline: if text.contains("\r\n") { "\r\n" } else { "\n" },
            edits: Vec::new(),
        }
    }

    /// The element's name with its prefix, as it is written.
    pub(super) fn qualified(&self, element: &Element) -> &'a str {
        let tag = self.text.get(element.offset..element.content);
        let tag = tag.unwrap_or_default().trim_start_matches('<');
        let end = tag.find(|c: char| c.is_whitespace() || c == '/' || c == '>');
        tag.get(..end.unwrap_or(tag.len())).unwrap_or_default()
    }

    /// Puts markup before an element.
    pub(super) fn before(&mut self, element: &Element, lines: &Lines) {
        let at = element.offset;
        let mut new = match self.indent(at) {
            Some(indent) => self.on_lines(lines, indent, UNIT),
            None => in_line(lines),
        };
        if let Some(indent) = self.indent(at) {
            new.push_str(self.newline);
            new.push_str(indent);
        }
        self.edits.push((at..at, new));
    }

    /// Puts markup at the end of an element's content.
    pub(super) fn append(&mut self, parent: &Element, lines: &Lines) {
        let outer = self.indent(parent.offset);
        let Some(close) = parent.close else {
            return self.unfold(parent, lines, outer);
        };
        let Some(indent) = self.indent(close) else {
            // Between two tags of one line.
            return self.edits.push((close..close, in_line(lines)));
        };
        let inner = parent
            .children
            .iter()
            .find_map(|child| self.indent(child.offset));
        let inner = inner.map_or_else(|| format!("{indent}{UNIT}"), str::to_owned);
        let unit = inner.strip_prefix(indent).filter(|unit| !unit.is_empty());
        let mut new = self.on_lines(lines, &inner, unit.unwrap_or(UNIT));
        new.insert_str(0, &inner);
        new.push_str(self.newline);
        let line = close.saturating_sub(indent.len());
        self.edits.push((line..line, new));
    }

    /// Makes `<one/>` an element with content.
    fn unfold(&mut self, parent: &Element, lines: &Lines, outer: Option<&str>) {
        let tag = self.text.get(parent.offset..parent.end).unwrap_or_default();
        let kept = tag.strip_suffix("/>").unwrap_or(tag).trim_end();
        let name = self.qualified(parent);
        let new = match outer {
            Some(outer) => {
                let inner = format!("{outer}{UNIT}");
                let newline = self.newline;
                let lines = self.on_lines(lines, &inner, UNIT);
                format!(">{newline}{inner}{lines}{newline}{outer}</{name}>")
            }
            None => format!(">{}</{name}>", in_line(lines)),
        };
        let from = parent.offset + kept.len();
        self.edits.push((from..parent.end, new));
    }

    /// Gives an element another text, in place of all that it holds.
    pub(super) fn set_text(&mut self, element: &Element, text: &str) {
        let text = escape(text);
        let edit = match element.close {
            Some(close) => (element.content..close, text),
            None => {
                let tag = self.text.get(element.offset..element.end);
                let kept = tag.unwrap_or_default().trim_end_matches("/>").trim_end();
                let name = self.qualified(element);
                let from = element.offset + kept.len();
                (from..element.end, format!(">{text}</{name}>"))
            }
        };
        self.edits.push(edit);
    }

    /// Puts markup in an element's place.
    pub(super) fn replace(&mut self, element: &Element, markup: &str) {
        self.edits
            .push((element.offset..element.end, markup.to_owned()));
    }

    /// Takes an element out, and its line where nothing else is on it.
    pub(super) fn remove(&mut self, element: &Element) {
        let mut range = element.offset..element.end;
        let after = self.text.get(element.end..).unwrap_or_default();
        if let (Some(indent), true) = (self.indent(element.offset), after.starts_with(self.newline))
        {
            range.start -= indent.len();
            range.end += self.newline.len();
        }
        self.edits.push((range, String::new()));
    }

    /// The text with every change made; an error names what could not be.
    pub(super) fn finish(mut self) -> Result<String, String> {
        self.edits.sort_by_key(|(range, _)| range.start);
        let mut whole = String::with_capacity(self.text.len() + 256);
        let mut done = 0;
        for (range, new) in &self.edits {
            let kept = self.text.get(done..range.start);
            let kept = kept.ok_or_else(|| format!("two changes at octet {}", range.start))?;
            whole.push_str(kept);
            whole.push_str(new);
            done = range.end;
        }
        whole.push_str(self.text.get(done..).unwrap_or_default());
        Ok(whole)
    }

    /// The white space before an offset, where there is nothing else before it on its line.
    fn indent(&self, offset: usize) -> Option<&'a str> {
        let before = self.text.get(..offset)?;
        let line = before.rfind('\n')? + 1;
        let indent = before.get(line..)?;
        indent
            .chars()
            .all(|c| c == ' ' || c == '\t')
            .then_some(indent)
    }

    /// Lines with the indent between them, but not before the first one.
    fn on_lines(&self, lines: &Lines, indent: &str, unit: &str) -> String {
        let mut text = String::new();
        for (number, (depth, line)) in lines.iter().enumerate() {
            if number > 0 {
                text.push_str(self.newline);
                text.push_str(indent);
            }
            text.push_str(&unit.repeat(*depth));
            text.push_str(line);
        }
        text
    }
}

/// How libvirt indents.
const UNIT: &str = "  ";

fn in_line(lines: &Lines) -> String {
    lines.iter().map(|(_, line)| line.as_str()).collect()
}

/// Text for between two tags or two apostrophes.
pub(super) fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('\'', "&apos;")
}
