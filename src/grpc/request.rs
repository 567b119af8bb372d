//! A chat's request, read: wire to engine. Bad input ends here, with the path of its field.

use std::borrow::Cow;

use super::{
    checks::{self, Set, beyond, invalid},
    messages,
    proto::{
        CreateChatCompletionRequest, Modality, ModerationMode, ModerationOptions, Prediction,
        PromptCacheRetention, ReasoningEffort, ServiceTier, Verbosity,
    },
    tools,
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

    /// Notes that a field has no effect.
    fn ignore(&mut self, name: impl Into<Cow<'static, str>>) {
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
    Ok((request, reading.ignored))
}

/// Reads what a conversation begins with; the names are those of fields that have no effect.
pub(super) fn read_beginning(
    wire: CreateChatCompletionRequest,
    mut reading: Reading,
) -> Result<(ChatRequest, Vec<Cow<'static, str>>), ChatError> {
    let request = read_fields(wire, &mut reading)?;
    request.check_beginning()?;
    Ok((request, reading.ignored))
}

fn read_fields(wire: CreateChatCompletionRequest, reading: &mut Reading) -> Result<ChatRequest, ChatError> {
    check_hints(&wire)?;
    tools::check(&wire)?;
    note_hints(&wire, reading);
    read_extra(&wire, reading)?;
    meet_needs(&wire, reading)?;
    let messages = wire
        .messages
        .into_iter()
        .enumerate()
        .map(|(index, message)| messages::read(reading, index, message));
    Ok(ChatRequest {
        messages: messages.collect::<Result<_, _>>()?,
        model: wire.model,
        temperature: wire.temperature,
        top_p: wire.top_p,
        stop: wire.stop,
        max_tokens: wire.max_tokens.map(u64::from),
        n: wire.n.map(u64::from),
    })
}

/// The limits of fields that the engine never sees.
fn check_hints(wire: &CreateChatCompletionRequest) -> Result<(), ChatError> {
    checks::number("presence_penalty", wire.presence_penalty, -2.0, 2.0)?;
    checks::number("frequency_penalty", wire.frequency_penalty, -2.0, 2.0)?;
    for (token, bias) in &wire.logit_bias {
        checks::number(&format!("logit_bias[{token}]"), Some(*bias), -100.0, 100.0)?;
    }
    if let Some(count @ 21..) = wire.top_logprobs {
        return Err(beyond("top_logprobs", "0 to 20", count));
    }
    if wire.metadata.len() > 16 {
        return Err(beyond("metadata", "at most 16 pairs", wire.metadata.len()));
    }
    for (key, value) in &wire.metadata {
        checks::characters("metadata", Some(key), 64)?;
        checks::characters("metadata", Some(value), 512)?;
    }
    checks::characters("safety_identifier", wire.safety_identifier.as_deref(), 128)?;
    checks::known::<ReasoningEffort>("reasoning_effort", wire.reasoning_effort)?;
    checks::known::<Verbosity>("verbosity", wire.verbosity)?;
    checks::known::<ServiceTier>("service_tier", wire.service_tier)?;
    checks::known::<PromptCacheRetention>("prompt_cache_retention", wire.prompt_cache_retention)?;
    if let Some(ModerationOptions {
        model: _,
        input,
        output,
    }) = &wire.moderation
    {
        checks::known::<ModerationMode>("moderation.input", *input)?;
        checks::known::<ModerationMode>("moderation.output", *output)?;
    }
    for (index, modality) in wire.modalities.iter().enumerate() {
        let field = format!("modalities[{index}]");
        checks::known::<Modality>(&field, *modality)?;
        if *modality == i32::from(Modality::Unspecified) {
            return Err(invalid(&field, "a kind of answer must be set"));
        }
    }
    match &wire.prediction {
        Some(Prediction { content }) if content.is_empty() => {
            Err(invalid("prediction.content", "expected at least one part"))
        }
        Some(_) | None => Ok(()),
    }
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
    let audio = i32::from(Modality::Audio);
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
            wire.modalities.contains(&audio),
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
