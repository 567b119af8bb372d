//! The gRPC contract: it has a field for everything in OpenAI's API, and published parts do not change.

use std::{collections::BTreeMap, fs, path::Path};

use duogate::grpc::{DESCRIPTORS, DIAGNOSTICS_DESCRIPTORS};
use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FileDescriptorSet, ServiceDescriptorProto,
    field_descriptor_proto::Type,
};

const REQUEST: &str = "CreateChatCompletionRequest";

/// OpenAI's fields and their places in the contract: a path from the request message.
const FIELDS: &[(&str, &str)] = &[
    ("audio", "audio"),
    ("audio.format", "audio.format"),
    ("audio.voice", "audio.voice"),
    ("frequency_penalty", "frequency_penalty"),
    // Deprecated in OpenAI's API in favour of the fields named here.
    ("function_call", "tool_choice.function"),
    ("functions", "tools.function"),
    ("functions[].description", "tools.function.description"),
    ("functions[].name", "tools.function.name"),
    ("functions[].parameters", "tools.function.parameters"),
    ("logit_bias", "logit_bias"),
    ("logprobs", "logprobs"),
    ("max_completion_tokens", "max_tokens"),
    ("max_tokens", "max_tokens"),
    ("messages", "messages"),
    ("metadata", "metadata"),
    ("modalities", "modalities"),
    ("model", "model"),
    ("moderation", "moderation"),
    ("moderation.model", "moderation.model"),
    ("moderation.policy.input.mode", "moderation.input"),
    ("moderation.policy.output.mode", "moderation.output"),
    ("n", "n"),
    ("parallel_tool_calls", "parallel_tool_calls"),
    ("prediction", "prediction"),
    ("prediction.content", "prediction.content"),
    ("presence_penalty", "presence_penalty"),
    ("prompt_cache_key", "prompt_cache_key"),
    ("prompt_cache_options", "prompt_cache_options"),
    ("prompt_cache_options.mode", "prompt_cache_options.mode"),
    ("prompt_cache_options.ttl", "prompt_cache_options.ttl"),
    ("prompt_cache_retention", "prompt_cache_retention"),
    ("reasoning_effort", "reasoning_effort"),
    ("response_format", "response_format"),
    ("response_format: json_object", "response_format.json_object"),
    (
        "response_format: json_schema.description",
        "response_format.json_schema.description",
    ),
    (
        "response_format: json_schema.name",
        "response_format.json_schema.name",
    ),
    (
        "response_format: json_schema.schema",
        "response_format.json_schema.schema",
    ),
    (
        "response_format: json_schema.strict",
        "response_format.json_schema.strict",
    ),
    ("response_format: text", "response_format.text"),
    ("safety_identifier", "safety_identifier"),
    ("seed", "seed"),
    ("service_tier", "service_tier"),
    ("stop", "stop"),
    ("store", "store"),
    ("temperature", "temperature"),
    ("tool_choice", "tool_choice"),
    ("tool_choice: \"auto\"", "tool_choice.mode"),
    (
        "tool_choice: allowed_tools.mode",
        "tool_choice.allowed_tools.mode",
    ),
    (
        "tool_choice: allowed_tools.tools",
        "tool_choice.allowed_tools.tools",
    ),
    ("tool_choice: custom.name", "tool_choice.custom"),
    ("tool_choice: function.name", "tool_choice.function"),
    ("tools", "tools"),
    ("tools[]: custom.description", "tools.custom.description"),
    (
        "tools[]: custom.format.grammar.definition",
        "tools.custom.grammar.definition",
    ),
    (
        "tools[]: custom.format.grammar.syntax",
        "tools.custom.grammar.syntax",
    ),
    ("tools[]: custom.name", "tools.custom.name"),
    ("tools[]: function.description", "tools.function.description"),
    ("tools[]: function.name", "tools.function.name"),
    ("tools[]: function.parameters", "tools.function.parameters"),
    ("tools[]: function.strict", "tools.function.strict"),
    ("top_logprobs", "top_logprobs"),
    ("top_p", "top_p"),
    ("user", "user"),
    ("verbosity", "verbosity"),
    ("web_search_options", "web_search_options"),
    (
        "web_search_options.search_context_size",
        "web_search_options.search_context_size",
    ),
    (
        "web_search_options.user_location.approximate.city",
        "web_search_options.user_location.city",
    ),
    (
        "web_search_options.user_location.approximate.country",
        "web_search_options.user_location.country",
    ),
    (
        "web_search_options.user_location.approximate.region",
        "web_search_options.user_location.region",
    ),
    (
        "web_search_options.user_location.approximate.timezone",
        "web_search_options.user_location.timezone",
    ),
];

/// OpenAI's fields without an equivalent, and why.
const NOT_NEEDED: &[(&str, &str)] = &[
    ("stream", "the RPC says whether the answer streams"),
    (
        "stream_options",
        "the usage always comes, and nothing is obfuscated",
    ),
];

/// The fields of a message, in the same way.
const MESSAGE_FIELDS: &[(&str, &str)] = &[
    ("audio", "messages.audio"),
    ("content", "messages.content"),
    ("function_call", "messages.tool_calls.function"),
    ("name", "messages.name"),
    ("refusal", "messages.content.refusal"),
    ("role", "messages.role"),
    ("tool_call_id", "messages.tool_call_id"),
    ("tool_calls", "messages.tool_calls"),
    ("tool_calls[].custom.input", "messages.tool_calls.custom.input"),
    ("tool_calls[].custom.name", "messages.tool_calls.custom.name"),
    (
        "tool_calls[].function.arguments",
        "messages.tool_calls.function.arguments",
    ),
    ("tool_calls[].function.name", "messages.tool_calls.function.name"),
    ("tool_calls[].id", "messages.tool_calls.id"),
];

/// The kinds of content parts, in the same way.
const PARTS: &[(&str, &str)] = &[
    ("file", "messages.content.file"),
    ("file.file_data", "messages.content.file.data"),
    ("file.file_id", "messages.content.file.file_id"),
    ("file.filename", "messages.content.file.filename"),
    ("image_url", "messages.content.image"),
    ("image_url.detail", "messages.content.image.detail"),
    ("image_url.url", "messages.content.image.url"),
    ("input_audio", "messages.content.audio"),
    ("input_audio.data", "messages.content.audio.data"),
    ("input_audio.format", "messages.content.audio.format"),
    (
        "prompt_cache_breakpoint",
        "messages.content.prompt_cache_breakpoint",
    ),
    ("refusal", "messages.content.refusal"),
    ("text", "messages.content.text"),
];

/// A schema's messages, enums and services by name. Only map entries are nested.
struct Schema {
    messages: BTreeMap<String, DescriptorProto>,
    enums: BTreeMap<String, EnumDescriptorProto>,
    services: BTreeMap<String, ServiceDescriptorProto>,
}

impl Schema {
    /// Reads one or several descriptor sets together.
    fn read(sets: &[&[u8]]) -> Self {
        let sets = sets
            .iter()
            .map(|bytes| FileDescriptorSet::decode(*bytes).unwrap());
        let files = sets.flat_map(|set| set.file);
        let files: Vec<_> = files.filter(|file| file.package() == "duogate.v1").collect();
        assert!(!files.is_empty());
        let messages = files.iter().flat_map(|file| file.message_type.clone());
        let enums = files.iter().flat_map(|file| file.enum_type.clone());
        let services = files.iter().flat_map(|file| file.service.clone());
        Self {
            messages: messages.map(|one| (one.name().to_owned(), one)).collect(),
            enums: enums.map(|one| (one.name().to_owned(), one)).collect(),
            services: services.map(|one| (one.name().to_owned(), one)).collect(),
        }
    }

    /// Follows a path of fields from the request message.
    fn follow(&self, path: &str) -> Result<(), String> {
        let mut message = &self.messages[REQUEST];
        let mut names = path.split('.').peekable();
        while let Some(name) = names.next() {
            let field = message.field.iter().find(|field| field.name() == name);
            let field = field.ok_or_else(|| format!("{path}: {} has no field {name}", message.name()))?;
            if names.peek().is_some() {
                assert_eq!(field.r#type(), Type::Message, "{path}: {name} has no fields");
                message = &self.messages[field.type_name().rsplit('.').next().unwrap()];
            }
        }
        Ok(())
    }
}

/// The quoted texts in a part of a source, from `from` to the first `until` after it.
fn quoted<'a>(source: &'a str, from: &str, until: &str) -> Vec<&'a str> {
    let (_, rest) = source.split_once(from).expect(from);
    let (part, _) = rest.split_once(until).expect(until);
    part.split('"').skip(1).step_by(2).collect()
}

fn source(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/openai")
        .join(name);
    fs::read_to_string(path).unwrap()
}

/// The names in the HTTP door's table of fields: the first text of each row.
fn fields_of_the_http_door() -> Vec<String> {
    let source = source("fields.rs");
    let (_, table) = source.split_once("static CHAT: &[Field] = &[").unwrap();
    let (table, _) = table.split_once("\n];").unwrap();
    let heads = ["\n    obeyed(", "\n    ignored(", "\n    needs("];
    let rows = heads.into_iter().flat_map(|head| table.split(head).skip(1));
    rows.map(|row| row.split('"').nth(1).unwrap().to_owned())
        .collect()
}

#[test]
fn every_field_that_openais_api_can_be_asked_for_has_one_in_the_grpc_contract() {
    let schema = Schema::read(&[DESCRIPTORS]);
    for (name, path) in [FIELDS, MESSAGE_FIELDS, PARTS].concat() {
        schema
            .follow(path)
            .unwrap_or_else(|problem| panic!("{name}: {problem}"));
    }
    let known = |table: &[(&str, &str)], name: &str| table.iter().any(|(known, _)| *known == name);
    let fields = fields_of_the_http_door();
    assert!(
        fields.len() > 35 && fields.contains(&"stop".to_owned()),
        "{fields:?}"
    );
    for name in &fields {
        assert!(
            known(FIELDS, name) || known(NOT_NEEDED, name),
            "'{name}' is read by the HTTP door and has no counterpart in proto/: add one, and a row here"
        );
    }
    let messages = source("messages.rs");
    let in_messages = quoted(&messages, "static MESSAGE: &[Key] = &[", "];");
    assert!(in_messages.contains(&"tool_call_id"), "{in_messages:?}");
    for name in in_messages {
        assert!(
            known(MESSAGE_FIELDS, name),
            "a message's '{name}' has no counterpart in proto/"
        );
    }
    let parts = quoted(&messages, "const PARTS: &[(&str, &[Key])] = &[", "\n];");
    assert!(parts.len() >= 5, "{parts:?}");
    for name in parts {
        assert!(
            known(PARTS, name),
            "content of the type '{name}' has no counterpart in proto/"
        );
    }
    // In reverse: each field of the contract is in OpenAI's API, or its comment explains it.
    for field in &schema.messages[REQUEST].field {
        let has_name = |(_, path): &(&str, &str)| path.split('.').next() == Some(field.name());
        assert!(
            FIELDS.iter().any(has_name) || field.name() == "extra",
            "{}",
            field.name()
        );
    }
}

#[test]
fn what_was_published_of_the_contract_stays() {
    let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/duogate.binpb");
    let published = Schema::read(&[&fs::read(image).unwrap()]);
    let now = Schema::read(&[DESCRIPTORS, DIAGNOSTICS_DESCRIPTORS]);
    assert_eq!(
        published.services.keys().collect::<Vec<_>>(),
        now.services.keys().collect::<Vec<_>>(),
        "every service is in the image"
    );
    for (name, old) in &published.messages {
        let new = now
            .messages
            .get(name)
            .unwrap_or_else(|| panic!("the message {name} is gone"));
        for field in &old.field {
            let kept = new.field.iter().find(|other| other.number == field.number);
            let kept = kept.unwrap_or_else(|| panic!("{name}.{} is gone", field.name()));
            let form = |field: &prost_types::FieldDescriptorProto| {
                let group = field.oneof_index.and_then(|index| {
                    let groups = if std::ptr::eq(field, kept) {
                        &new.oneof_decl
                    } else {
                        &old.oneof_decl
                    };
                    groups
                        .get(usize::try_from(index).ok()?)
                        .map(|group| group.name().to_owned())
                });
                (
                    field.name().to_owned(),
                    field.r#type(),
                    field.label(),
                    field.type_name().to_owned(),
                    field.proto3_optional(),
                    group,
                )
            };
            assert_eq!(form(field), form(kept), "{name}");
        }
    }
    for (name, old) in &published.enums {
        for value in &old.value {
            let same = |other: &&prost_types::EnumValueDescriptorProto| {
                (other.name(), other.number()) == (value.name(), value.number())
            };
            assert!(
                now.enums[name].value.iter().any(|other| same(&other)),
                "{}",
                value.name()
            );
        }
    }
    for (name, old) in &published.services {
        for method in &old.method {
            assert!(
                now.services[name].method.contains(method),
                "{name}.{}",
                method.name()
            );
        }
    }
}
