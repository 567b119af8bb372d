//! The fields that change the flavour of an answer, and those without a type in the engine: wire to engine, by OpenAI's
//! names.

use prost_types::{Struct, Value as WireValue, value::Kind};
use serde_json::{Map, Value, json};

use super::{
    checks::Judged,
    proto::{self, CreateChatCompletionRequest, content_part::Part},
    request::Reading,
};
use crate::engine::request::Hints;

/// A number from 0 to `most`. One beyond it is left out where nobody `judges` it; else it is refused later.
pub(super) fn within(number: Option<f64>, most: f64, judges: bool) -> Option<f64> {
    number.filter(|number| judges || (0.0..=most).contains(number))
}

/// Reads the hints; the provider decides what it does with them.
pub(super) fn read(wire: CreateChatCompletionRequest, reading: &Reading) -> Hints {
    let (effort, verbosity) = (wire.reasoning_effort(), wire.verbosity());
    let tier = wire.service_tier();
    let other = read_other(&wire, reading);
    let logit_bias = wire.logit_bias.into_iter();
    Hints {
        presence_penalty: wire.presence_penalty,
        frequency_penalty: wire.frequency_penalty,
        logit_bias: logit_bias
            .map(|(token, bias)| (token.to_string(), bias))
            .collect(),
        seed: wire.seed,
        parallel_tool_calls: wire.parallel_tool_calls,
        reasoning_effort: said(effort, "REASONING_EFFORT_"),
        verbosity: said(verbosity, "VERBOSITY_"),
        service_tier: said(tier, "SERVICE_TIER_"),
        user: wire.user,
        safety_identifier: wire.safety_identifier,
        prompt_cache_key: wire.prompt_cache_key,
        store: wire.store,
        metadata: wire.metadata.into_iter().collect(),
        other,
    }
}

/// The fields without a type in the engine; those that not every model offers only where this one does.
fn read_other(wire: &CreateChatCompletionRequest, reading: &Reading) -> Map<String, Value> {
    let offers = |judged| judged == Judged::Fully;
    let mut other = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            other.insert(name.to_owned(), value);
        }
    };
    if offers(reading.judged(|can| can.logprobs)) {
        set("logprobs", wire.logprobs.map(Value::from));
        set("top_logprobs", wire.top_logprobs.map(Value::from));
    }
    if offers(reading.judged(|can| can.audio)) {
        let modalities = wire.modalities().map(|modality| word(modality, "MODALITY_"));
        let modalities: Vec<String> = modalities.collect();
        set("modalities", (!modalities.is_empty()).then(|| modalities.into()));
        let audio = wire.audio.as_ref();
        let audio = audio
            .map(|audio| json!({ "voice": audio.voice, "format": said(audio.format(), "AUDIO_FORMAT_") }));
        set("audio", audio);
    }
    if offers(reading.judged(|can| can.web_search)) {
        set(
            "web_search_options",
            wire.web_search_options.as_ref().map(web_search),
        );
    }
    if offers(reading.judged(|can| can.moderation)) {
        set("moderation", wire.moderation.as_ref().map(moderation));
    }
    set("prediction", wire.prediction.as_ref().map(prediction));
    let cache = wire.prompt_cache_options.as_ref();
    let cache = cache.map(|cache| without_nulls(json!({ "mode": cache.mode, "ttl": cache.ttl })));
    set("prompt_cache_options", cache);
    let retention = said(wire.prompt_cache_retention(), "PROMPT_CACHE_RETENTION_");
    set("prompt_cache_retention", retention.map(Value::from));
    if let Some(extra) = &wire.extra {
        other.extend(object(extra));
    }
    other
}

fn web_search(options: &proto::WebSearchOptions) -> Value {
    let place = options.user_location.as_ref().map(|place| {
        let approximate = json!({
            "city": place.city,
            "country": place.country,
            "region": place.region,
            "timezone": place.timezone,
        });
        json!({ "type": "approximate", "approximate": without_nulls(approximate) })
    });
    without_nulls(json!({
        "search_context_size": said(options.search_context_size(), "SEARCH_CONTEXT_SIZE_"),
        "user_location": place,
    }))
}

fn moderation(options: &proto::ModerationOptions) -> Value {
    let mode = |mode| said(mode, "MODERATION_MODE_").map(|mode| json!({ "mode": mode }));
    let policy = json!({ "input": mode(options.input()), "output": mode(options.output()) });
    json!({ "model": options.model, "policy": without_nulls(policy) })
}

fn prediction(prediction: &proto::Prediction) -> Value {
    let texts = prediction.content.iter().filter_map(|part| match &part.part {
        Some(Part::Text(text)) => Some(text.as_str()),
        Some(Part::Image(_) | Part::Audio(_) | Part::File(_) | Part::Refusal(_)) | None => None,
    });
    json!({ "type": "content", "content": texts.collect::<String>() })
}

fn without_nulls(mut object: Value) -> Value {
    if let Value::Object(members) = &mut object {
        members.retain(|_, value| !value.is_null());
    }
    object
}

/// A JSON object in protobuf's form. Decoding has bounded its depth.
fn object(wire: &Struct) -> Map<String, Value> {
    let fields = wire.fields.iter();
    fields.map(|(name, value)| (name.clone(), plain(value))).collect()
}

fn plain(wire: &WireValue) -> Value {
    match &wire.kind {
        Some(Kind::NullValue(_)) | None => Value::Null,
        Some(Kind::NumberValue(number)) => (*number).into(),
        Some(Kind::StringValue(text)) => text.as_str().into(),
        Some(Kind::BoolValue(truth)) => (*truth).into(),
        Some(Kind::StructValue(members)) => Value::Object(object(members)),
        Some(Kind::ListValue(list)) => list.values.iter().map(plain).collect(),
    }
}

/// An enum's value as OpenAI's word; `None` where nothing is said.
fn said<E: ProtoName + Copy>(value: E, prefix: &str) -> Option<String> {
    let word = word(value, prefix);
    (word != "unspecified").then_some(word)
}

/// An enum's value as OpenAI's word: its name without the prefix, in lower case.
pub(super) fn word<E: ProtoName + Copy>(value: E, prefix: &str) -> String {
    let name = value.proto_name();
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
}

/// An enum of the schema, which knows the names of its values.
pub(super) trait ProtoName {
    fn proto_name(&self) -> &'static str;
}

macro_rules! proto_names {
    ($($name:ident),*) => {
        $(impl ProtoName for proto::$name {
            fn proto_name(&self) -> &'static str {
                self.as_str_name()
            }
        })*
    };
}

proto_names!(
    AudioFormat,
    ImageDetail,
    ReasoningEffort,
    Verbosity,
    ServiceTier,
    GrammarSyntax,
    Modality,
    SearchContextSize,
    ModerationMode,
    PromptCacheRetention
);
