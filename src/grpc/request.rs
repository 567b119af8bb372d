//! A chat's request, read: wire to engine. Bad input ends here, with the path of its field.

use std::{borrow::Cow, mem};

use super::{
    checks::{self, Judged, Set, beyond, invalid},
    hints, messages,
    proto::{CreateChatCompletionRequest, Modality, ModerationMode, ModerationOptions, Prediction},
    tools,
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
    /// It is answered all the same, and the metadata name what was left out.
    LeaveOut,
}

/// What requests are read by, and what has been left out of account so far.
#[derive(Debug)]
pub(super) struct Reading {
    capabilities: Capabilities,
    unsupported: Unsupported,
    ignored: Vec<Cow<'static, str>>,
}

/// Fields of the schema's own, which `extra` must not repeat.
const OWN: [&str; 33] = [
    "model",
    "messages",
    "temperature",
    "top_p",
    "max_tokens",
    "stop",
    "n",
    "seed",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "presence_penalty",
    "frequency_penalty",
    "user",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "verbosity",
    "metadata",
    "safety_identifier",
    "service_tier",
    "store",
    "prediction",
    "modalities",
    "audio",
    "web_search_options",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "moderation",
    "extra",
];

impl Reading {
    pub(super) fn new(capabilities: Capabilities, unsupported: Unsupported) -> Self {
        Self {
            capabilities,
            unsupported,
            ignored: Vec::new(),
        }
    }

    /// How something is judged that the upstream may not offer.
    pub(super) fn judged(&self, offered: fn(&Capabilities) -> bool) -> Judged {
        if offered(&self.capabilities) {
            return Judged::Fully;
        }
        match self.unsupported {
            Unsupported::Refuse => Judged::Openly,
            Unsupported::LeaveOut => Judged::NotAtAll,
        }
    }

    /// Whether what has no effect is left out without a look at it.
    pub(super) fn leaves_out(&self) -> bool {
        self.unsupported == Unsupported::LeaveOut
    }

    /// Notes that a field has no effect.
    pub(super) fn ignore(&mut self, name: impl Into<Cow<'static, str>>) {
        let name = name.into();
        if !self.ignored.contains(&name) {
            self.ignored.push(name);
        }
    }

    /// Something was asked for that the upstream may not offer: refused then, or left out, as the settings say.
    pub(super) fn need(
        &mut self,
        field: &str,
        name: &'static str,
        what: &str,
        offered: fn(&Capabilities) -> bool,
    ) -> Result<(), ChatError> {
        if offered(&self.capabilities) {
            return Ok(());
        }
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
}

/// Reads a request; the names are those of fields that have no effect.
pub(super) fn read(
    wire: CreateChatCompletionRequest,
    mut reading: Reading,
) -> Result<(ChatRequest, Vec<Cow<'static, str>>), ChatError> {
    let request = read_fields(wire, &mut reading)?;
    request.check()?;
    check_limit(&request)?;
    Ok((request, reading.ignored))
}

/// Reads what a conversation begins with; the names are those of fields that have no effect.
pub(super) fn read_beginning(
    wire: CreateChatCompletionRequest,
    mut reading: Reading,
) -> Result<(ChatRequest, Vec<Cow<'static, str>>), ChatError> {
    let request = read_fields(wire, &mut reading)?;
    request.check_beginning()?;
    check_limit(&request)?;
    Ok((request, reading.ignored))
}

/// An answer of a chat has room for something.
fn check_limit(request: &ChatRequest) -> Result<(), ChatError> {
    match request.max_tokens {
        Some(0) => {
            let message = "Invalid 'max_tokens': integer below minimum value. Expected a value >= 1, but got 0 \
                           instead.";
            Err(ChatError::invalid("max_tokens", message))
        }
        Some(_) | None => Ok(()),
    }
}

fn read_fields(
    mut wire: CreateChatCompletionRequest,
    reading: &mut Reading,
) -> Result<ChatRequest, ChatError> {
    let has_hints = reading.judged(|can| can.hints) == Judged::Fully;
    let judges_hints = has_hints || !reading.leaves_out();
    if judges_hints {
        check_hints(&wire)?;
    }
    check_needs(&wire, reading)?;
    tools::check(&wire, reading)?;
    if !has_hints {
        note_hints(&wire, reading);
    }
    read_extra(&wire, reading)?;
    meet_needs(&wire, reading)?;
    let messages = mem::take(&mut wire.messages)
        .into_iter()
        .enumerate()
        .map(|(index, message)| messages::read(reading, index, message));
    let messages = messages.collect::<Result<_, _>>()?;
    let (tools, tool_choice) = tools::read(&mut wire, reading);
    Ok(ChatRequest {
        messages,
        tools,
        tool_choice,
        response_format: tools::read_format(wire.response_format.take(), reading),
        temperature: hints::within(wire.temperature, 2.0, judges_hints),
        top_p: hints::within(wire.top_p, 1.0, judges_hints),
        stop: mem::take(&mut wire.stop),
        max_tokens: wire.max_tokens.map(u64::from),
        n: wire.n.map(u64::from),
        model: mem::take(&mut wire.model),
        hints: hints::read(wire, reading),
    })
}

/// The limits of hints. Their words are somebody else's, and grow.
fn check_hints(wire: &CreateChatCompletionRequest) -> Result<(), ChatError> {
    checks::number("presence_penalty", wire.presence_penalty, -2.0, 2.0)?;
    checks::number("frequency_penalty", wire.frequency_penalty, -2.0, 2.0)?;
    for (token, bias) in &wire.logit_bias {
        checks::number(&format!("logit_bias[{token}]"), Some(*bias), -100.0, 100.0)?;
    }
    if wire.metadata.len() > 16 {
        return Err(beyond("metadata", "at most 16 pairs", wire.metadata.len()));
    }
    for (key, value) in &wire.metadata {
        checks::characters("metadata", Some(key), 64)?;
        checks::characters("metadata", Some(value), 512)?;
    }
    checks::characters("safety_identifier", wire.safety_identifier.as_deref(), 128)?;
    match &wire.prediction {
        Some(Prediction { content }) if content.is_empty() => {
            Err(invalid("prediction.content", "expected at least one part"))
        }
        Some(_) | None => Ok(()),
    }
}

/// The limits of what the upstream may not offer, besides tools and formats.
fn check_needs(wire: &CreateChatCompletionRequest, reading: &Reading) -> Result<(), ChatError> {
    if let Some(count @ 21..) = wire.top_logprobs
        && reading.judged(|can| can.logprobs) != Judged::NotAtAll
    {
        return Err(beyond("top_logprobs", "0 to 20", count));
    }
    if let Some(ModerationOptions {
        model: _,
        input,
        output,
    }) = &wire.moderation
    {
        let judged = reading.judged(|can| can.moderation);
        checks::known::<ModerationMode>("moderation.input", *input, judged)?;
        checks::known::<ModerationMode>("moderation.output", *output, judged)?;
    }
    let judged = reading.judged(|can| can.audio);
    for (index, modality) in wire.modalities.iter().enumerate() {
        let field = format!("modalities[{index}]");
        let known = checks::known(&field, *modality, judged)?;
        if known == Some(Modality::Unspecified) && judged != Judged::NotAtAll {
            return Err(invalid(&field, "a kind of answer must be set"));
        }
    }
    Ok(())
}

/// Fields that give an answer another flavour, which a conversation has no setting for.
fn note_hints(wire: &CreateChatCompletionRequest, reading: &mut Reading) {
    let hints = [
        ("temperature", wire.temperature.is_some()),
        ("top_p", wire.top_p.is_some()),
        ("seed", wire.seed.is_some()),
        ("parallel_tool_calls", wire.parallel_tool_calls.is_some()),
        ("reasoning_effort", wire.reasoning_effort.is_set()),
        ("presence_penalty", wire.presence_penalty.is_some()),
        ("frequency_penalty", wire.frequency_penalty.is_some()),
        ("user", wire.user.is_some()),
        ("logit_bias", !wire.logit_bias.is_empty()),
        ("verbosity", wire.verbosity.is_set()),
        ("metadata", !wire.metadata.is_empty()),
        ("safety_identifier", wire.safety_identifier.is_some()),
        ("service_tier", wire.service_tier.is_set()),
        ("store", wire.store.is_some()),
        ("prediction", wire.prediction.is_some()),
        ("prompt_cache_key", wire.prompt_cache_key.is_some()),
        ("prompt_cache_options", wire.prompt_cache_options.is_some()),
        ("prompt_cache_retention", wire.prompt_cache_retention.is_set()),
    ];
    for (name, _) in hints.into_iter().filter(|(_, is_set)| *is_set) {
        reading.ignore(name);
    }
}

/// What came after this schema, and nobody knows yet.
fn read_extra(wire: &CreateChatCompletionRequest, reading: &mut Reading) -> Result<(), ChatError> {
    /// Longer names, and more of them, are told in one word.
    const LONGEST: usize = 64;
    const MOST: usize = 16;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let fields = wire.extra.iter().flat_map(|extra| &extra.fields);
    for (count, (name, _)) in fields.enumerate() {
        if OWN.contains(&name.as_str()) {
            let field = format!("extra.{name}");
            return Err(invalid(&field, &format!("'{name}' has a field of its own")));
        }
        if count < MOST && (1..=LONGEST).contains(&name.len()) && name.bytes().all(is_plain) {
            reading.ignore(format!("extra.{name}"));
        } else {
            reading.ignore("extra");
        }
    }
    Ok(())
}

/// Fields without which the answer would be another.
fn meet_needs(wire: &CreateChatCompletionRequest, reading: &mut Reading) -> Result<(), ChatError> {
    tools::meet_needs(wire, reading)?;
    let text = i32::from(Modality::Text);
    type Offered = fn(&Capabilities) -> bool;
    let needs: [(&'static str, bool, &str, Offered); 6] = [
        (
            "logprobs",
            wire.logprobs == Some(true),
            "log probabilities",
            |can| can.logprobs,
        ),
        (
            "top_logprobs",
            wire.top_logprobs.is_some_and(|count| count > 0),
            "log probabilities",
            |can| can.logprobs,
        ),
        ("audio", wire.audio.is_some(), "audio", |can| can.audio),
        (
            "modalities",
            wire.modalities.iter().any(|modality| *modality != text),
            "modalities other than text",
            |can| can.audio,
        ),
        (
            "web_search_options",
            wire.web_search_options.is_some(),
            "web search",
            |can| can.web_search,
        ),
        ("moderation", wire.moderation.is_some(), "moderation", |can| {
            can.moderation
        }),
    ];
    let mut asked = needs.into_iter().filter(|(_, asked, ..)| *asked);
    asked.try_for_each(|(name, _, what, offered)| reading.need(name, name, what, offered))
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn the_fields_that_extra_must_not_repeat_are_those_of_the_schema() {
        let set = prost_types::FileDescriptorSet::decode(super::super::DESCRIPTORS).unwrap();
        let mut messages = set.file.iter().flat_map(|file| &file.message_type);
        let request = messages
            .find(|message| message.name() == "CreateChatCompletionRequest")
            .unwrap();
        let names: Vec<&str> = request.field.iter().map(|field| field.name()).collect();
        assert_eq!(names, OWN);
    }
}
