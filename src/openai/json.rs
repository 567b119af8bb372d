//! A body's JSON as it comes. What is odd in it, half a surrogate or a name that stands twice, is no fault by itself: it
//! is noted with its place, and matters to whoever uses what stands there. Only what is no JSON ends the reading.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Number, Value, value::RawValue};

use super::{
    fields::{Field, Fields},
    schema::child,
};
use crate::engine::error::{ChatError, ErrorKind};

/// Deeper than this nothing of a request is used, and what is odd there is not kept.
const DEEPEST: usize = 16;
/// More oddities are no accident, and would take more memory than the body.
const MOST: usize = 1000;

/// A body that was read: the fields that are known, and what is odd in them.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) fields: Fields,
    pub(super) oddities: Oddities,
}

impl Body {
    /// The model that the request names; empty where it names none.
    pub(super) fn model(&self) -> &str {
        let model = self.fields.get("model");
        model.and_then(Value::as_str).unwrap_or_default()
    }
}

#[derive(Debug, Clone, Copy)]
enum Oddity {
    /// A text with half a surrogate, which is no character.
    Half,
    /// A name that stands twice in its object: nobody can know which value is meant.
    Twice,
}

/// What is odd in a body, by its place.
#[derive(Debug, Default)]
pub(super) struct Oddities(BTreeMap<String, Oddity>);

impl Oddities {
    fn note(&mut self, place: String, oddity: Oddity) {
        if self.0.len() > MOST {
            return;
        }
        // A name that stands twice is worse than what stands there.
        if matches!(oddity, Oddity::Twice) || !self.0.contains_key(&place) {
            self.0.insert(place, oddity);
        }
    }

    /// Whether there are more than anybody could mean.
    ///
    /// # Errors
    /// `invalid_request`.
    pub(super) fn check_many(&self) -> Result<(), ChatError> {
        if self.0.len() <= MOST {
            return Ok(());
        }
        let message = format!(
            "Invalid request: more than {MOST} texts of the body hold half a surrogate, or names stand twice."
        );
        Err(ChatError::new(ErrorKind::InvalidRequest, message))
    }

    /// Whether the text at `place` is whole.
    ///
    /// # Errors
    /// `invalid_request` with the place.
    pub(super) fn check_text(&self, place: &str) -> Result<(), ChatError> {
        match self.0.get(place) {
            Some(Oddity::Half) => {
                let message = format!(
                    "Invalid '{place}': the string holds half a surrogate pair (an escape from \\ud800 to \\udfff \
                     without its other half), which is no character."
                );
                Err(ChatError::invalid(place, message))
            }
            Some(Oddity::Twice) | None => Ok(()),
        }
    }

    /// Whether what stands at `place` stands there once.
    ///
    /// # Errors
    /// `invalid_request` with the place.
    pub(super) fn check_once(&self, place: &str) -> Result<(), ChatError> {
        match self.0.get(place) {
            Some(Oddity::Twice) => {
                let message = format!("Duplicate parameter: '{place}' was given more than once.");
                Err(ChatError::invalid(place, message))
            }
            Some(Oddity::Half) | None => Ok(()),
        }
    }
}

/// Reads a body: an object, of which only the fields of a table are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownFields(pub(super) &'static [Field]);

impl<'de> DeserializeSeed<'de> for KnownFields {
    type Value = Body;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Body, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for KnownFields {
    type Value = Body;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body, A::Error> {
        let mut body = Body::default();
        while let Some(Bytes(name)) = map.next_key()? {
            let Some(field) = self.0.iter().find(|field| field.key.name.as_bytes() == &*name) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = tree(map.next_value()?, field.key.name, 0, &mut body.oddities);
            insert(
                &mut body.fields,
                field.key.name,
                field.key.name,
                value,
                &mut body.oddities,
            );
        }
        Ok(body)
    }
}

fn insert(object: &mut Map<String, Value>, name: &str, place: &str, value: Value, oddities: &mut Oddities) {
    if object.insert(name.to_owned(), value).is_some() {
        oddities.note(place.to_owned(), Oddity::Twice);
    }
}

/// The value of a text that is known to be JSON. Where nothing is odd it is read at once; else it is taken apart, one level
/// after the other.
fn tree(raw: &RawValue, place: &str, depth: usize, oddities: &mut Oddities) -> Value {
    if let Ok(Plain(value)) = serde_json::from_str(raw.get()) {
        return value;
    }
    match raw.get().as_bytes().first() {
        Some(b'{') => Value::Object(members(raw, place, depth, oddities)),
        Some(b'[') => Value::Array(items(raw, place, depth, oddities)),
        Some(b'"') => {
            oddities.note(place.to_owned(), Oddity::Half);
            let text = serde_json::from_str(raw.get())
                .map(|Bytes(text)| String::from_utf8_lossy(&text).into_owned());
            Value::String(text.unwrap_or_default())
        }
        // Numbers beyond all bounds; the greatest that there is stands for them.
        Some(b'-') => Number::from_f64(f64::MIN).into(),
        _ => Number::from_f64(f64::MAX).into(),
    }
}

fn members(raw: &RawValue, place: &str, depth: usize, oddities: &mut Oddities) -> Map<String, Value> {
    let mut object = Map::new();
    if depth >= DEEPEST {
        return object;
    }
    let Members(members) = serde_json::from_str(raw.get()).unwrap_or_default();
    for (Bytes(name), value) in members {
        if std::str::from_utf8(&name).is_err() {
            oddities.note(place.to_owned(), Oddity::Half);
        }
        let name = String::from_utf8_lossy(&name);
        let inside = child(place, &name);
        let value = tree(value, &inside, depth + 1, oddities);
        insert(&mut object, &name, &inside, value, oddities);
    }
    object
}

fn items(raw: &RawValue, place: &str, depth: usize, oddities: &mut Oddities) -> Vec<Value> {
    if depth >= DEEPEST {
        return Vec::new();
    }
    let items: Vec<&RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
    let items = items.into_iter().enumerate();
    items
        .map(|(index, item)| tree(item, &format!("{place}[{index}]"), depth + 1, oddities))
        .collect()
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

/// An object's members, in their order.
#[derive(Default)]
struct Members<'a>(Vec<(Bytes<'a>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

/// A value with nothing odd in it.
struct Plain(Value);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlainVisitor).map(Self)
    }
}

struct PlainVisitor;

impl<'de> Visitor<'de> for PlainVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Plain(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Plain(value))) = map.next_entry::<String, Plain>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a name stands twice"));
            }
        }
        Ok(Value::Object(object))
    }
}
