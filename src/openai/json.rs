//! A body's JSON as it comes, read once from its beginning to its end. What is odd in it, half a surrogate or a name that
//! stands twice, is no fault by itself: it is marked where it stands, and matters to whoever uses that. Only what is no JSON
//! ends the reading.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use memchr::memchr2;
use serde::de::{Deserialize, Deserializer, IgnoredAny, Visitor};
use serde_json::{Map, Number, Value};

use super::{
    apart::{GivenUp, Look},
    fields::{Field, Fields},
    place::Marks,
};

/// Deeper than this nothing of a request is kept: whoever goes through the values may go so deep on any stack.
const DEEPEST: usize = 100;

/// A body that was read: the fields that are known, and what is odd in them.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) fields: Fields,
    pub(super) marks: Marks,
}

impl Body {
    /// The model that the request names; empty where it names none.
    pub(super) fn model(&self) -> &str {
        let model = self.fields.get("model");
        model.and_then(Value::as_str).unwrap_or_default()
    }
}

/// Why a body cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It is JSON, as far as it was read, but no object.
    NoObject,
    /// It is no JSON from this byte on.
    NoJson(usize),
    /// Nobody waits for it any more.
    GivenUp,
}

impl From<GivenUp> for Flaw {
    fn from(_: GivenUp) -> Self {
        Self::GivenUp
    }
}

/// Reads a body: an object, of which the fields of `table` are kept.
pub(super) fn read(text: &[u8], table: &[Field], look: Look<'_>) -> Result<Body, Flaw> {
    let mut reader = Reader { text, at: 0, look };
    if reader.next() != Some(b'{') {
        return Err(reader.no_object());
    }
    let mut members = Members::default();
    reader.object(|reader, Text { text: name, half }| {
        let is_known = |field: &Field| !half && field.key.name == name;
        if table.iter().any(is_known) {
            members.read(reader, name, 0)
        } else {
            reader.skip()
        }
    })?;
    if reader.next().is_some() {
        return Err(reader.no_json());
    }
    let mut body = Body {
        fields: members.object,
        marks: Marks::default(),
    };
    body.marks.set_members(members.odd);
    Ok(body)
}

/// A text, and whether half a surrogate was in it, for which another character stands now.
struct Text {
    text: String,
    half: bool,
}

/// The members of an object that is under way.
#[derive(Default)]
struct Members {
    object: Map<String, Value>,
    odd: BTreeMap<String, Marks>,
}

impl Members {
    fn read(&mut self, reader: &mut Reader<'_>, name: String, depth: usize) -> Result<(), Flaw> {
        let mut marks = Marks::default();
        let value = reader.value(depth, &mut marks)?;
        marks.twice = self.object.contains_key(&name);
        if marks.is_odd() {
            self.odd.insert(name.clone(), marks);
        }
        self.object.insert(name, value);
        Ok(())
    }
}

/// A text that is read, and how far. It takes JSON apart; of what stands between its brackets, commas and colons serde_json
/// says what it means.
struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    look: Look<'a>,
}

impl<'a> Reader<'a> {
    /// What is left behind the white space.
    fn rest(&mut self) -> &'a [u8] {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let is_white = |byte: &&u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        let white = rest.iter().take_while(is_white).count();
        self.at += white;
        rest.get(white..).unwrap_or_default()
    }

    /// The next byte that is no white space; it is not taken.
    fn next(&mut self) -> Option<u8> {
        self.rest().first().copied()
    }

    fn no_json(&self) -> Flaw {
        Flaw::NoJson(self.at)
    }

    /// What is wrong with a body that does not begin as an object.
    fn no_object(&mut self) -> Flaw {
        match self.next() {
            Some(b'[' | b'"') => Flaw::NoObject,
            _ => self.scalar().map_or_else(|flaw| flaw, |_| Flaw::NoObject),
        }
    }

    fn take(&mut self, byte: u8) -> Result<(), Flaw> {
        if self.next() != Some(byte) {
            return Err(self.no_json());
        }
        self.at += 1;
        Ok(())
    }

    /// Takes a byte if it comes next.
    fn takes(&mut self, byte: u8) -> bool {
        self.take(byte).is_ok()
    }

    /// Takes the comma before another element, which is true, or the container's end.
    fn goes_on(&mut self, end: u8) -> Result<bool, Flaw> {
        if self.takes(b',') {
            return Ok(true);
        }
        self.take(end).map(|()| false)
    }

    /// Reads the object that comes next; `member` reads each value.
    fn object(&mut self, mut member: impl FnMut(&mut Self, Text) -> Result<(), Flaw>) -> Result<(), Flaw> {
        self.take(b'{')?;
        if self.takes(b'}') {
            return Ok(());
        }
        loop {
            let name = self.text()?;
            self.take(b':')?;
            member(self, name)?;
            if !self.goes_on(b'}')? {
                return Ok(());
            }
        }
    }

    /// Reads the value that comes next.
    fn value(&mut self, depth: usize, marks: &mut Marks) -> Result<Value, Flaw> {
        (self.look)()?;
        match self.next() {
            Some(b'{') if depth < DEEPEST => self.members(depth, marks),
            Some(b'[') if depth < DEEPEST => self.items(depth, marks),
            Some(b'{') => self.skip().map(|()| Value::Object(Map::new())),
            Some(b'[') => self.skip().map(|()| Value::Array(Vec::new())),
            Some(b'"') => {
                let Text { text, half } = self.text()?;
                marks.half = half;
                Ok(Value::String(text))
            }
            _ => self.scalar(),
        }
    }

    fn members(&mut self, depth: usize, marks: &mut Marks) -> Result<Value, Flaw> {
        let mut members = Members::default();
        self.object(|reader, Text { text: name, half }| {
            // Nobody knows a name that holds no characters, and two of them are not the same for that.
            if half {
                marks.half = true;
                return reader.skip();
            }
            members.read(reader, name, depth + 1)
        })?;
        marks.set_members(members.odd);
        Ok(Value::Object(members.object))
    }

    fn items(&mut self, depth: usize, marks: &mut Marks) -> Result<Value, Flaw> {
        let (mut items, mut odd) = (Vec::new(), Vec::new());
        self.take(b'[')?;
        let mut goes_on = !self.takes(b']');
        while goes_on {
            let mut inside = Marks::default();
            let item = self.value(depth + 1, &mut inside)?;
            if inside.is_odd() {
                odd.push((items.len(), inside));
            }
            items.push(item);
            goes_on = self.goes_on(b']')?;
        }
        marks.set_items(odd);
        Ok(Value::Array(items))
    }

    /// Passes over the value that comes next, however deep it is.
    fn skip(&mut self) -> Result<(), Flaw> {
        let mut ends: Vec<u8> = Vec::new();
        loop {
            (self.look)()?;
            let end = match self.next() {
                Some(b'{') => Some(b'}'),
                Some(b'[') => Some(b']'),
                Some(b'"') => {
                    self.skip_text()?;
                    None
                }
                _ => {
                    let scalar = self.scalar_span();
                    self.check(scalar)?;
                    None
                }
            };
            if let Some(end) = end {
                self.at += 1;
                if !self.takes(end) {
                    ends.push(end);
                    self.skip_name(end)?;
                    continue;
                }
            }
            // A value is over, and with it perhaps what it stands in.
            loop {
                let Some(end) = ends.last().copied() else {
                    return Ok(());
                };
                if self.goes_on(end)? {
                    self.skip_name(end)?;
                    break;
                }
                ends.pop();
            }
        }
    }

    /// Passes over the name before a value, where it stands in an object.
    fn skip_name(&mut self, end: u8) -> Result<(), Flaw> {
        if end == b'}' {
            self.skip_text()?;
            self.take(b':')?;
        }
        Ok(())
    }

    fn skip_text(&mut self) -> Result<(), Flaw> {
        let text = self.text_span()?;
        self.check(text)
    }

    /// Whether what was taken is JSON by itself.
    fn check(&self, span: &[u8]) -> Result<(), Flaw> {
        match serde_json::from_slice(span) {
            Ok(IgnoredAny) => Ok(()),
            Err(_) => Err(self.no_json()),
        }
    }

    fn text(&mut self) -> Result<Text, Flaw> {
        let span = self.text_span()?;
        if let Ok(text) = serde_json::from_slice(span) {
            return Ok(Text { text, half: false });
        }
        // The library takes any bytes for bytes, even those that stand in no text.
        self.check(span)?;
        let text = str::from_utf8(span)
            .ok()
            .and_then(|span| serde_json::from_str(span).ok());
        let Some(Bytes(text)) = text else {
            return Err(self.no_json());
        };
        Ok(Text {
            text: String::from_utf8_lossy(&text).into_owned(),
            half: true,
        })
    }

    /// Takes a text as it is written, with its quotation marks.
    fn text_span(&mut self) -> Result<&'a [u8], Flaw> {
        let rest = self.rest();
        if rest.first() != Some(&b'"') {
            return Err(self.no_json());
        }
        let mut end = 1;
        loop {
            let found = memchr2(b'"', b'\\', rest.get(end..).unwrap_or_default());
            let Some(found) = found else {
                return Err(self.no_json());
            };
            end += found + 1;
            if rest.get(end - 1) == Some(&b'"') {
                break;
            }
            // Whatever is escaped ends nothing.
            end += 1;
        }
        self.at += end;
        Ok(rest.get(..end).unwrap_or_default())
    }

    /// A number, `true`, `false` or `null`.
    fn scalar(&mut self) -> Result<Value, Flaw> {
        let span = self.scalar_span();
        if let Ok(value) = serde_json::from_slice(span) {
            return Ok(value);
        }
        // Numbers beyond all bounds; the greatest that there is stands for them.
        self.check(span)?;
        let is_negative = span.first() == Some(&b'-');
        let number = Number::from_f64(if is_negative { f64::MIN } else { f64::MAX });
        Ok(number.into())
    }

    /// Takes what may be such a value.
    fn scalar_span(&mut self) -> &'a [u8] {
        let rest = self.rest();
        let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        let length = rest.iter().take_while(is_part).count();
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }
}

/// A text's bytes; half a surrogate has some too.
struct Bytes<'a>(Cow<'a, [u8]>);

impl<'de> Deserialize<'de> for Bytes<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(BytesVisitor)
    }
}

struct BytesVisitor;

impl<'de> Visitor<'de> for BytesVisitor {
    type Value = Bytes<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        Ok(Bytes(Cow::Borrowed(bytes)))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(Bytes(Cow::Owned(bytes.to_owned())))
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
