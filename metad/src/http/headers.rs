//! The headers of a reply: few, short, and known but for a number, a date or a tag. Written when the reply is, and kept
//! as what they say until then.

use std::cell::Cell;
use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::render::ETag;

/// No reply has more.
const ROOM: usize = 8;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldValue {
    Text(&'static str),
    Number(u64),
    Date(SystemTime),
    Tag(ETag),
}

/// Headers in the order in which they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headers(Vec<(HeaderName, FieldValue)>);

impl Headers {
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(ROOM))
    }

    /// Puts a header in the place of the one that has its name, or behind all others.
    pub(super) fn insert(&mut self, name: HeaderName, value: FieldValue) {
        match self.0.iter_mut().find(|(one, _)| *one == name) {
            Some((_, before)) => *before = value,
            None => self.0.push((name, value)),
        }
    }

    pub(super) fn get(&self, name: &HeaderName) -> Option<FieldValue> {
        let found = self.0.iter().find(|(one, _)| one == name);
        found.map(|(_, value)| *value)
    }

    /// Writes a line for each of them.
    pub(super) fn write(&self, into: &mut Vec<u8>) {
        for (name, value) in &self.0 {
            write_name(into, name.as_str());
            value.write(into);
            into.extend_from_slice(b"\r\n");
        }
    }

    /// The same as the router's machinery wants them.
    pub fn to_map(&self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.0.len());
        for (name, value) in &self.0 {
            if let Some(value) = value.to_header() {
                map.insert(name, value);
            }
        }
        map
    }
}

impl FieldValue {
    fn write(self, into: &mut Vec<u8>) {
        match self {
            Self::Text(text) => into.extend_from_slice(text.as_bytes()),
            Self::Number(number) => {
                into.extend_from_slice(itoa::Buffer::new().format(number).as_bytes())
            }
            Self::Date(date) => into.extend_from_slice(&spell_date(date)),
            Self::Tag(tag) => into.extend_from_slice(&tag.digits()),
        }
    }

    fn to_header(self) -> Option<HeaderValue> {
        match self {
            Self::Text(text) => Some(HeaderValue::from_static(text)),
            Self::Number(number) => Some(number.into()),
            Self::Date(_) | Self::Tag(_) => {
                let mut octets = Vec::new();
                self.write(&mut octets);
                // All of it is ASCII.
                octets.try_into().ok()
            }
        }
    }
}

/// Writes a header's name as most servers spell it: `Content-Type`. Some clients are picky.
fn write_name(into: &mut Vec<u8>, name: &str) {
    let from = into.len();
    into.extend_from_slice(name.as_bytes());
    let mut before = b'-';
    for octet in into.iter_mut().skip(from) {
        if before == b'-' {
            octet.make_ascii_uppercase();
        }
        before = *octet;
    }
    into.extend_from_slice(b": ");
}

/// Spells a time as headers do (RFC 9110, section 5.6.7). The last two are remembered: replies say when they are made, and
/// when what they tell was.
pub(super) fn spell_date(time: SystemTime) -> [u8; 29] {
    type Spelt = (u64, [u8; 29]);
    thread_local! {
        static LAST: Cell<[Spelt; 2]> = const { Cell::new([(u64::MAX, [0; 29]); 2]) };
    }
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let second = since.map_or(0, |since| since.as_secs());
    let [last, before] = LAST.get();
    for (of, spelt) in [last, before] {
        if of == second {
            return spelt;
        }
    }
    let mut spelt = [b' '; 29];
    let text = httpdate::fmt_http_date(time);
    for (to, from) in spelt.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    LAST.set([(second, spelt), last]);
    spelt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_spelt_as_it_is_whatever_was_spelt_before() {
        let at = |seconds| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        let (first, second, third) = (
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784_111_778, "Sun, 06 Nov 1994 08:49:38 GMT"),
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        );
        for (seconds, expected) in [first, first, second, first, third, second, first, third] {
            let spelt = spell_date(at(seconds));
            assert_eq!(spelt, expected.as_bytes(), "{seconds}");
        }
    }
}
