//! A request's fields made the engine's. Bad input ends here, with its field named.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::{
    fields::{CHAT, Field, Fields, Need, Use},
    messages,
    schema::{Key, integer, missing},
};
use crate::engine::{
    chat::ChatRequest,
    error::{ChatError, ErrorKind},
    upstream::Capabilities,
};

/// What becomes of a request that asks for something which the upstream cannot do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsupported {
    /// It is refused.
    Refuse,
    /// It is answered all the same, and a header names what was left out.
    LeaveOut,
}

/// A request, and how its answer should come.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: ChatRequest,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    /// The fields that were understood and have no effect.
    pub(super) ignored: Vec<&'static str>,
}

/// What requests are read by, and what has been ignored so far.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    pub(super) capabilities: &'a Capabilities,
    pub(super) unsupported: Unsupported,
    pub(super) ignored: Vec<&'static str>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(capabilities: &'a Capabilities, unsupported: Unsupported) -> Self {
        Self {
            capabilities,
            unsupported,
            ignored: Vec::new(),
        }
    }

    /// Checks all fields of a table, and notes or refuses those that have no effect here. A fault in any field comes
    /// before what is not offered.
    pub(super) fn check(&mut self, table: &'static [Field], fields: &Fields) -> Result<(), ChatError> {
        table.iter().try_for_each(|field| field.key.check(fields, ""))?;
        for Field { key, meaning } in table {
            let Some(value) = fields.get(key.name).filter(|value| !value.is_null()) else {
                continue;
            };
            match meaning {
                Use::Obeyed => {}
                Use::Ignored => self.ignore(key.name),
                Use::Needs(need) => self.meet(key, need, value, fields)?,
            }
        }
        Ok(())
    }

    fn meet(&mut self, key: &Key, need: &Need, value: &Value, fields: &Fields) -> Result<(), ChatError> {
        if (need.offered)(self.capabilities) || !(need.asked)(value, fields) {
            return Ok(());
        }
        self.lack(key.name, key.name, need.what)
    }

    /// What stands in a text for a content part that the upstream cannot take.
    pub(super) fn left_out(
        &mut self,
        path: &str,
        kind: &'static str,
        offered: fn(&Capabilities) -> bool,
    ) -> Result<&'static str, ChatError> {
        if !offered(self.capabilities) {
            self.lack(path, kind, &format!("content parts of type '{kind}'"))?;
        }
        Ok(match kind {
            "image_url" => "[image]",
            "input_audio" => "[audio]",
            _ => "[file]",
        })
    }

    fn lack(&mut self, field: &str, name: &'static str, what: &str) -> Result<(), ChatError> {
        match self.unsupported {
            Unsupported::LeaveOut => {
                self.ignore(name);
                Ok(())
            }
            Unsupported::Refuse => {
                let message =
                    format!("Unsupported parameter: '{field}'. This gateway does not offer {what}.");
                Err(ChatError::new(ErrorKind::UnsupportedParameter, message).with_field(field))
            }
        }
    }

    fn ignore(&mut self, name: &'static str) {
        if !self.ignored.contains(&name) {
            self.ignored.push(name);
        }
    }
}

/// Reads a chat's fields.
pub(super) fn read(mut fields: Fields, mut reading: Reading<'_>) -> Result<Asked, ChatError> {
    reading.check(CHAT, &fields)?;
    let stream = truth(fields.get("stream"));
    let options = fields.get("stream_options").filter(|options| !options.is_null());
    if options.is_some() && !stream {
        let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
        return Err(ChatError::invalid("stream_options", message));
    }
    let include_usage = truth(options.and_then(|options| options.get("include_usage")));
    let Some(Value::Array(messages)) = fields.remove("messages") else {
        return Err(missing("messages"));
    };
    let messages = messages
        .into_iter()
        .enumerate()
        .map(|(index, message)| messages::read(&mut reading, index, message));
    let messages = messages.collect::<Result<_, _>>()?;
    let number = |name: &str| fields.get(name).and_then(Value::as_f64);
    let count = |name: &str| {
        let integer = fields.get(name).and_then(integer)?;
        Some(u64::try_from(integer).unwrap_or(u64::MAX))
    };
    let request = ChatRequest {
        messages,
        temperature: number("temperature"),
        top_p: number("top_p"),
        // Both are upper bounds, so whoever sends both gets what both allow.
        max_tokens: [count("max_completion_tokens"), count("max_tokens")]
            .into_iter()
            .flatten()
            .min(),
        n: count("n"),
        stop: texts(fields.remove("stop")),
        model: texts(fields.remove("model")).pop().unwrap_or_default(),
    };
    request.check()?;
    Ok(Asked {
        request,
        stream,
        include_usage,
        ignored: reading.ignored,
    })
}

fn truth(value: Option<&Value>) -> bool {
    value.and_then(Value::as_bool).unwrap_or(false)
}

/// One text, or a list of them.
fn texts(value: Option<Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => items.into_iter().flat_map(|item| texts(Some(item))).collect(),
        _ => Vec::new(),
    }
}

/// Reads a request's body: an object, of which only the fields of a table are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownFields(pub(super) &'static [Field]);

/// What a body holds of the fields of a table.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) fields: Fields,
    /// A field that stands there twice: nobody can know which is meant.
    pub(super) twice: Option<String>,
}

impl<'de> DeserializeSeed<'de> for KnownFields {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for KnownFields {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let mut found = Found::default();
        while let Some(name) = map.next_key::<String>()? {
            if !self.0.iter().any(|field| field.key.name == name) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if found.fields.insert(name.clone(), map.next_value()?).is_some() {
                found.twice = Some(name);
            }
        }
        Ok(found)
    }
}
