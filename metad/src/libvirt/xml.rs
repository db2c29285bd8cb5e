//! XML text in, a tree of elements out, namespaces resolved. Total and bounded: no entity beyond XML's own five is
//! expanded, no document type is read, and a document that is too large or too deep is refused before it is kept.

use quick_xml::NsReader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::ResolveResult;

/// The largest document, in octets: user-data, vendor-data and network-config of a mebibyte each, in base64.
pub(crate) const SIZE_MAX: usize = 8 * 1024 * 1024;
const DEPTH_MAX: usize = 64;
const BOM: char = '\u{feff}';

/// An element and everything in it.
#[derive(Debug, Default)]
pub(crate) struct Element {
    /// The namespace's URI; empty for none.
    pub(crate) namespace: String,
    /// Without its prefix.
    pub(crate) name: String,
    /// Attributes without namespace or in the element's own, by local name.
    attributes: Vec<(String, String)>,
    pub(crate) children: Vec<Element>,
    text: Text,
    /// Where it starts, in octets from the start of the document.
    pub(crate) offset: usize,
    /// Where its start tag ends.
    pub(crate) content: usize,
    /// Where its end tag starts; `None` for `<one/>`.
    pub(crate) close: Option<usize>,
    /// Where it ends.
    pub(crate) end: usize,
}

/// The text that stands directly in an element.
#[derive(Debug, Default)]
struct Text {
    content: String,
    /// Where the first CDATA section starts and the last one ends, in octets of `content`.
    literal: Option<(usize, usize)>,
}

/// What is wrong with an element; [`XmlError::at`] makes a place of the offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) offset: usize,
    pub(crate) reason: String,
}

/// Why a document cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub(crate) struct XmlError {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) reason: String,
}

impl XmlError {
    /// Says what is wrong at an offset of a document.
    pub(crate) fn at(document: &str, offset: usize, reason: impl Into<String>) -> Self {
        let before = document.get(..offset).unwrap_or(document);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            reason: reason.into(),
        }
    }
}

impl Element {
    /// Says what is wrong with this element: "`<name>` is empty".
    pub(crate) fn fault(&self, predicate: impl std::fmt::Display) -> Fault {
        Fault {
            offset: self.offset,
            reason: format!("<{}> {predicate}", self.name),
        }
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn attribute_names(&self) -> impl Iterator<Item = &str> {
        self.attributes.iter().map(|(name, _)| name.as_str())
    }

    /// The first child of that name in this element's own namespace.
    pub(crate) fn child<'a>(&'a self, name: &'a str) -> Option<&'a Element> {
        self.children_named(name).next()
    }

    pub(crate) fn children_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children
            .iter()
            .filter(move |child| child.name == name && child.namespace == self.namespace)
    }

    /// The first child of that name that holds more than white space.
    pub(crate) fn child_text<'a>(&'a self, name: &'a str) -> Option<&'a Element> {
        self.child(name)
            .filter(|child| !child.text().trim().is_empty())
    }

    /// The text as it stands, text of child elements left out.
    pub(crate) fn text(&self) -> &str {
        &self.text.content
    }

    /// The text without the white space that merely surrounds CDATA sections.
    pub(crate) fn literal(&self) -> &str {
        let content = &self.text.content;
        let inner = self.text.literal.and_then(|(start, end)| {
            let around = [content.get(..start)?, content.get(end..)?];
            around
                .iter()
                .all(|text| text.trim().is_empty())
                .then(|| content.get(start..end))?
        });
        inner.unwrap_or(content)
    }
}

/// Reads a document into its root element.
pub(crate) fn parse(document: &str) -> Result<Element, XmlError> {
    if document.len() > SIZE_MAX {
        let reason = format!("the document is larger than {SIZE_MAX} octets");
        return Err(XmlError {
            line: 1,
            column: 1,
            reason,
        });
    }
    let mut reader = NsReader::from_str(document);
    let mut tree = Tree::default();
    // The reader does not count a byte order mark.
    let uncounted = document.strip_prefix(BOM).map_or(0, |_| BOM.len_utf8());
    let place = |position: u64| {
        let position = usize::try_from(position).unwrap_or(usize::MAX);
        position.saturating_add(uncounted)
    };
    loop {
        let offset = place(reader.buffer_position());
        let refuse = |reason: String| XmlError::at(document, offset, reason);
        let event = match reader.read_event() {
            Ok(event) => event,
            Err(error) => {
                let offset = place(reader.error_position());
                return Err(XmlError::at(document, offset, error.to_string()));
            }
        };
        let end = place(reader.buffer_position());
        match event {
            Event::Start(start) => {
                let element = open(&reader, &start, offset..end).map_err(refuse)?;
                tree.push(element).map_err(refuse)?;
            }
            Event::Empty(start) => {
                let element = open(&reader, &start, offset..end).map_err(refuse)?;
                tree.push(element).map_err(refuse)?;
                tree.pop(None, end);
            }
            Event::End(_) => tree.pop(Some(offset), end),
            Event::Text(text) => tree.text(&text.xml10_content()).map_err(refuse)?,
            Event::CData(text) => tree.literal(&text.xml10_content()),
            Event::GeneralRef(reference) => {
                let character = resolve(&reference).map_err(refuse)?;
                tree.text(&character).map_err(refuse)?;
            }
            Event::DocType(_) => return Err(refuse("a document type is not read here".to_owned())),
            Event::Comment(_) | Event::PI(_) | Event::Decl(_) => {}
            Event::Eof => return tree.finish().map_err(refuse),
        }
    }
}

#[derive(Default)]
struct Tree {
    open: Vec<Element>,
    root: Option<Element>,
}

impl Tree {
    fn push(&mut self, element: Element) -> Result<(), String> {
        if self.open.is_empty() && self.root.is_some() {
            return Err(format!(
                "<{}> stands behind the end of the document",
                element.name
            ));
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(format!(
                "elements are nested more than {DEPTH_MAX} levels deep"
            ));
        }
        self.open.push(element);
        Ok(())
    }

    fn pop(&mut self, close: Option<usize>, end: usize) {
        if let Some(mut closed) = self.open.pop() {
            (closed.close, closed.end) = (close, end);
            match self.open.last_mut() {
                Some(parent) => parent.children.push(closed),
                None => self.root = Some(closed),
            }
        }
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        match self.open.last_mut() {
            Some(element) => element.text.content.push_str(text),
            None if text.trim().is_empty() => {}
            None => return Err("there is text outside of the root element".to_owned()),
        }
        Ok(())
    }

    fn literal(&mut self, text: &str) {
        if let Some(element) = self.open.last_mut() {
            let kept = &mut element.text;
            let start = kept.literal.map_or(kept.content.len(), |(start, _)| start);
            kept.content.push_str(text);
            kept.literal = Some((start, kept.content.len()));
        }
    }

    fn finish(self) -> Result<Element, String> {
        if let Some(element) = self.open.last() {
            return Err(format!("<{}> is never closed", element.name));
        }
        self.root.ok_or_else(|| "there is no element".to_owned())
    }
}

fn open(
    reader: &NsReader<&[u8]>,
    start: &BytesStart<'_>,
    tag: std::ops::Range<usize>,
) -> Result<Element, String> {
    let (namespace, name) = reader.resolver().resolve_element(start.name());
    let namespace = bound(&namespace)?;
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        if attribute.key.as_namespace_binding().is_some() {
            continue;
        }
        let (of, local) = reader.resolver().resolve_attribute(attribute.key);
        let of = bound(&of)?;
        if of.is_empty() || of == namespace {
            let value = attribute
                .normalized_value(quick_xml::XmlVersion::Explicit1_0)
                .map_err(|error| error.to_string())?;
            attributes.push((local.as_ref().to_owned(), value.into_owned()));
        }
    }
    Ok(Element {
        namespace,
        name: name.as_ref().to_owned(),
        attributes,
        offset: tag.start,
        content: tag.end,
        ..Element::default()
    })
}

fn bound(namespace: &ResolveResult<'_>) -> Result<String, String> {
    match namespace {
        ResolveResult::Unbound => Ok(String::new()),
        ResolveResult::Bound(uri) => Ok(uri.as_ref().to_owned()),
        ResolveResult::Unknown(prefix) => {
            Err(format!("the prefix `{prefix}` is bound to no namespace"))
        }
    }
}

fn resolve(reference: &BytesRef<'_>) -> Result<String, String> {
    if let Some(character) = reference
        .resolve_char_ref()
        .map_err(|error| error.to_string())?
    {
        return Ok(character.to_string());
    }
    let known = resolve_predefined_entity(reference);
    known
        .map(str::to_owned)
        .ok_or_else(|| "an entity that XML does not define is not expanded".to_owned())
}
