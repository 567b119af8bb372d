//! A request's fields made the engine's. Bad input ends here, with its field named.

use std::borrow::Cow;

use serde_json::Value;

use super::{
    fields::{CHAT, Field, Fields, Use},
    json::Body,
    messages, options,
    place::{Marks, Place},
    schema::{Judge, Key, Open, integer, missing},
};
use crate::engine::{
    error::{ChatError, ErrorKind},
    provider::Capabilities,
    request::ChatRequest,
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
    pub(super) ignored: Ignored,
}

/// More names of a client's own are told in one word.
const MOST_TOLD: usize = 40;

/// The names of what has no effect.
pub(super) type Ignored = Vec<Cow<'static, str>>;

/// What requests are read by, and what has been ignored so far.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    pub(super) capabilities: &'a Capabilities,
    pub(super) unsupported: Unsupported,
    pub(super) ignored: Ignored,
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
    /// before what is not offered, and nobody looks for one in what is left out. What is odd in what is looked at later is
    /// given back.
    pub(super) fn check(
        &mut self,
        table: &'static [Field],
        body: Body,
    ) -> Result<(Fields, Marks), ChatError> {
        let Body { mut fields, marks } = body;
        let place = Place::body(&marks);
        self.find_faults(table, &fields, &place)?;
        self.meet(table, &mut fields, &place)?;
        Ok((fields, marks))
    }

    /// By what an obeyed value is judged.
    pub(super) fn judge(&self) -> Judge {
        Judge { open: Open::No }
    }

    /// How a field with this meaning is judged; none where it is left out, whatever it is.
    fn openness(&self, meaning: &Use) -> Option<Open> {
        let leaves_out = self.unsupported == Unsupported::LeaveOut;
        match meaning {
            Use::Obeyed | Use::Parts(_) => Some(Open::No),
            Use::Needs(need) if (need.offered)(self.capabilities) => Some(Open::No),
            Use::Ignored if self.capabilities.hints => Some(Open::Words),
            Use::Ignored | Use::Needs(_) if leaves_out => None,
            Use::Ignored => Some(Open::Words),
            Use::Needs(_) => Some(Open::Lengths),
        }
    }

    fn find_faults(&self, table: &[Field], fields: &Fields, place: &Place<'_>) -> Result<(), ChatError> {
        for Field { key, meaning } in table {
            let Some(open) = self.openness(meaning) else {
                continue;
            };
            key.check(fields, place, Judge { open })?;
            if let (Use::Parts(parts), Some(Value::Object(inside))) = (meaning, fields.get(key.name)) {
                self.find_faults(parts, inside, &place.member(key.name))?;
            }
        }
        Ok(())
    }

    fn meet(
        &mut self,
        table: &'static [Field],
        fields: &mut Fields,
        place: &Place<'_>,
    ) -> Result<(), ChatError> {
        for Field { key, meaning } in table {
            let Some(value) = fields.get(key.name).filter(|value| !value.is_null()) else {
                continue;
            };
            let inner = place.member(key.name);
            let name = if place.path().is_empty() {
                Cow::Borrowed(key.name)
            } else {
                Cow::Owned(inner.path().to_owned())
            };
            match meaning {
                Use::Obeyed => {}
                Use::Ignored if self.capabilities.hints => {}
                Use::Ignored => self.ignore(name),
                Use::Needs(need) => {
                    if !(need.offered)(self.capabilities) && (need.asked)(value, fields) {
                        self.lack(&name.clone(), name, need.what)?;
                    }
                }
                Use::Parts(parts) => {
                    if let Some(Value::Object(inside)) = fields.get_mut(key.name) {
                        self.meet(parts, inside, &inner)?;
                    }
                }
            }
            self.drop_unfit(key, meaning, &inner, fields);
        }
        Ok(())
    }

    /// What was left out unjudged and is nonsense is not told back either.
    fn drop_unfit(&self, key: &Key, meaning: &Use, place: &Place<'_>, fields: &mut Fields) {
        let judge = Judge { open: Open::Words };
        let unfit = |value: &Value| key.shape.check(value, place, judge).is_err();
        if self.openness(meaning).is_none() && fields.get(key.name).is_some_and(unfit) {
            fields.remove(key.name);
        }
    }

    /// Asks for a kind of content parts that not every model takes.
    pub(super) fn need_part(
        &mut self,
        path: &str,
        kind: &'static str,
        offered: fn(&Capabilities) -> bool,
    ) -> Result<(), ChatError> {
        if offered(self.capabilities) {
            return Ok(());
        }
        self.lack(path, kind, &format!("content parts of type '{kind}'"))
    }

    /// What stands in a text for a content part of a kind that nobody here knows; nothing where the model sent it, whose
    /// thoughts and calls are no text. Where its kind is no name `otherwise` is noted.
    pub(super) fn left_out_unknown(
        &mut self,
        path: &str,
        kind: &str,
        by_model: bool,
        otherwise: &'static str,
    ) -> Result<String, ChatError> {
        let shown: String = kind.chars().take(64).collect();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        // A header tells them, and they are the client's own.
        let is_name = (1..=64).contains(&kind.len()) && kind.bytes().all(is_plain);
        let is_told = is_name && self.ignored.len() < MOST_TOLD;
        let name = if is_told {
            Cow::Owned(shown.clone())
        } else {
            otherwise.into()
        };
        self.lack(path, name, &format!("content parts of type '{shown}'"))?;
        Ok(match (by_model, is_name) {
            (true, _) => String::new(),
            (false, true) => format!("[{shown}]"),
            (false, false) => "[part]".to_owned(),
        })
    }

    /// Refuses what the upstream cannot do, or leaves it out.
    pub(super) fn lack(
        &mut self,
        field: &str,
        name: impl Into<Cow<'static, str>>,
        what: &str,
    ) -> Result<(), ChatError> {
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

    /// Notes a field that has no effect.
    pub(super) fn ignore(&mut self, name: impl Into<Cow<'static, str>>) {
        let name = name.into();
        if !self.ignored.contains(&name) {
            self.ignored.push(name);
        }
    }
}

/// Reads a chat's fields.
pub(super) fn read(body: Body, mut reading: Reading<'_>) -> Result<Asked, ChatError> {
    let (mut fields, marks) = reading.check(CHAT, body)?;
    let (stream, include_usage) = read_stream(&fields)?;
    let Some(Value::Array(messages)) = fields.remove("messages") else {
        return Err(missing("messages"));
    };
    let place = Place::body(&marks).member("messages");
    let messages = messages
        .into_iter()
        .enumerate()
        .map(|(index, message)| messages::read(&mut reading, &place.item(index), message));
    let messages = messages.collect::<Result<_, _>>()?;
    let number = |name: &str| fields.get(name).and_then(Value::as_f64);
    let count = |name: &str| count(&fields, name);
    let (tools, tool_choice) = options::read_tools(&reading, &fields);
    let request = ChatRequest {
        messages,
        tools,
        tool_choice,
        response_format: options::read_format(&reading, fields.get("response_format")),
        hints: options::read_hints(&reading, &fields, CHAT),
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

/// Whether a stream is asked for, and whether its last chunk tells the usage.
pub(super) fn read_stream(fields: &Fields) -> Result<(bool, bool), ChatError> {
    let stream = truth(fields.get("stream"));
    let options = fields.get("stream_options").filter(|options| !options.is_null());
    if options.is_some() && !stream {
        let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
        return Err(ChatError::invalid("stream_options", message));
    }
    let include_usage = truth(options.and_then(|options| options.get("include_usage")));
    Ok((stream, include_usage))
}

pub(super) fn truth(value: Option<&Value>) -> bool {
    value.and_then(Value::as_bool).unwrap_or(false)
}

/// A number that is no less than 0.
pub(super) fn count(fields: &Fields, name: &str) -> Option<u64> {
    let integer = fields.get(name).and_then(integer)?;
    Some(u64::try_from(integer).unwrap_or(u64::MAX))
}

/// One text, or a list of them.
pub(super) fn texts(value: Option<Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => items.into_iter().flat_map(|item| texts(Some(item))).collect(),
        _ => Vec::new(),
    }
}
