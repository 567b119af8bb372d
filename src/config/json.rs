//! JSON lists and objects written into one variable, with numbers kept digit by digit.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// The text of an element, or `None` if it is neither a string nor a whole number.
pub(super) type Element = Option<String>;

/// Parses a JSON array. The error is the column at which the text is invalid, counted from 1.
pub(super) fn list(text: &str) -> Result<Vec<Element>, usize> {
    let raw: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| column(&error))?;
    Ok(raw.into_iter().map(element).collect())
}

/// Parses a JSON object in its order, including repeated names. The error is a column, as in [`list`].
pub(super) fn object(text: &str) -> Result<Vec<(String, Element)>, usize> {
    let Pairs(pairs) = serde_json::from_str(text).map_err(|error| column(&error))?;
    Ok(pairs)
}

fn column(error: &serde_json::Error) -> usize {
    error.column().max(1)
}

fn element(raw: &RawValue) -> Element {
    let text = raw.get();
    if text.starts_with('"') {
        return serde_json::from_str(text).ok();
    }
    // Keeps the raw text: a key of forty digits fits no number type.
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.to_owned())
}

struct Pairs(Vec<(String, Element)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Pairs;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    pairs.push((name, element(value)));
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}
