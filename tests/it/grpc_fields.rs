//! Options in the gRPC contract: hints, and features that the upstream lacks.

use duogate::{
    app::client::{
        Annotation, Audio, AudioFormat, AudioOptions, ContentPart, CreateChatCompletionRequest, CustomTool,
        File, FunctionTool, Image, JsonObjectFormat, JsonSchemaFormat, Modality, ModerationOptions,
        Prediction, PromptCacheOptions, PromptCacheRetention, ReasoningEffort, ResponseFormat, Role,
        ServiceTier, TextFormat, Tool, ToolCall, ToolChoice, ToolChoiceMode, Verbosity, WebSearchOptions,
        content_part::Part, file, image, response_format::Format, tool, tool_choice::Choice,
    },
    config::UnsupportedParams,
};
use prost::Message;
use prost_types::{Struct, Value, value::Kind};

use crate::support::{Ask, Gateway, RawAnswer, Setup, failure_of, frame, raw_call};

const CREATE: &str = "/duogate.v1.ChatService/CreateChatCompletion";
const METHODS: [&str; 2] = [CREATE, "/duogate.v1.ChatService/StreamChatCompletion"];

type Request = CreateChatCompletionRequest;

/// A valid request, changed.
fn with(change: impl FnOnce(&mut Request)) -> Request {
    let mut request = Ask::new("hi").proto();
    change(&mut request);
    request
}

fn part(part: Part) -> ContentPart {
    ContentPart {
        part: Some(part),
        ..ContentPart::default()
    }
}

/// A valid request whose message has one more part.
fn with_part(more: Part) -> Request {
    with(|request| request.messages[0].content.push(part(more)))
}

fn with_choice(choice: Choice) -> Request {
    with(|request| request.tool_choice = Some(ToolChoice { choice: Some(choice) }))
}

fn with_format(format: Format) -> Request {
    with(|request| request.response_format = Some(ResponseFormat { format: Some(format) }))
}

fn function(name: &str, parameters: Option<&str>) -> Tool {
    Tool {
        tool: Some(tool::Tool::Function(FunctionTool {
            name: name.to_owned(),
            parameters: parameters.map(str::to_owned),
            ..FunctionTool::default()
        })),
    }
}

fn audio(format: AudioFormat) -> Part {
    Part::Audio(Audio {
        data: vec![1, 2, 3],
        format: format.into(),
    })
}

fn schema(schema: &str) -> Format {
    Format::JsonSchema(JsonSchemaFormat {
        name: "answer".to_owned(),
        schema: Some(schema.to_owned()),
        ..JsonSchemaFormat::default()
    })
}

async fn send(gateway: &Gateway, path: &str, request: &Request) -> RawAnswer {
    raw_call(gateway, path, &[], frame(&request.encode_to_vec())).await
}

fn ignored(answer: &RawAnswer) -> Vec<String> {
    let named = answer
        .headers
        .get("x-duogate-ignored")
        .map(|names| names.to_str().unwrap());
    let names = named.into_iter().flat_map(|names| names.split(", "));
    names.map(str::to_owned).collect()
}

#[tokio::test]
async fn hints_are_taken_and_named() {
    let gateway = Gateway::start().await;
    let all = with(|request| {
        request.temperature = Some(2.0);
        request.top_p = Some(1.0);
        request.seed = Some(-1);
        request.parallel_tool_calls = Some(false);
        request.reasoning_effort = ReasoningEffort::Xhigh.into();
        request.presence_penalty = Some(-2.0);
        request.frequency_penalty = Some(2.0);
        request.user = Some("u".to_owned());
        request.logit_bias = [(50256, -100.0)].into();
        request.verbosity = Verbosity::Low.into();
        request.metadata = [("k".repeat(64), "v".repeat(512))].into();
        request.safety_identifier = Some("ü".repeat(128));
        request.service_tier = ServiceTier::Flex.into();
        request.store = Some(true);
        request.prediction = Some(Prediction {
            content: vec![part(Part::Text("so".to_owned()))],
        });
        request.prompt_cache_key = Some("key".to_owned());
        request.prompt_cache_options = Some(PromptCacheOptions::default());
        request.prompt_cache_retention = PromptCacheRetention::PromptCacheRetention24h.into();
    });
    let extra = with(|request| {
        let value = Value {
            kind: Some(Kind::StringValue("soon".to_owned())),
        };
        let fields = [("from_tomorrow", value.clone()), ("odd\nname", value)];
        let fields = fields.map(|(name, value)| (name.to_owned(), value));
        request.extra = Some(Struct {
            fields: fields.into(),
        });
    });
    // These ask for nothing special: the upstream gives text, calls no tools, and reports no probabilities.
    let harmless = with(|request| {
        request.tools = vec![function("look_up", Some("{}"))];
        request.tool_choice = Some(ToolChoice {
            choice: Some(Choice::Mode(ToolChoiceMode::None.into())),
        });
        request.response_format = Some(ResponseFormat {
            format: Some(Format::Text(TextFormat {})),
        });
        request.modalities = vec![Modality::Text.into()];
        request.logprobs = Some(false);
        request.top_logprobs = Some(0);
        request.n = Some(1);
        request.messages[0].annotations = vec![Annotation::default()];
    });
    for path in METHODS {
        let answer = send(&gateway, path, &all).await;
        assert_eq!(answer.status.code(), tonic::Code::Ok, "{:?}", answer.status);
        assert_eq!(
            ignored(&answer),
            [
                "temperature",
                "top_p",
                "seed",
                "parallel_tool_calls",
                "reasoning_effort",
                "presence_penalty",
                "frequency_penalty",
                "user",
                "logit_bias",
                "verbosity",
                "metadata",
                "safety_identifier",
                "service_tier",
                "store",
                "prediction",
                "prompt_cache_key",
                "prompt_cache_options",
                "prompt_cache_retention",
            ]
        );
        let mut named = ignored(&send(&gateway, path, &extra).await);
        named.sort();
        assert_eq!(named, ["extra", "extra.from_tomorrow"]);
        let answer = send(&gateway, path, &harmless).await;
        assert_eq!(answer.status.code(), tonic::Code::Ok, "{:?}", answer.status);
        assert_eq!(ignored(&answer), [""; 0]);
    }
    gateway.settled().await;
    gateway.stop().await;
}

/// Requests for features that an upstream of text lacks, the reported field, and its name.
fn beyond_text() -> Vec<(Request, &'static str, &'static str)> {
    let custom = Tool {
        tool: Some(tool::Tool::Custom(CustomTool {
            name: "shell".to_owned(),
            ..CustomTool::default()
        })),
    };
    let file = Part::File(File {
        source: Some(file::Source::FileId("file-1".to_owned())),
        ..File::default()
    });
    let sound = AudioOptions {
        voice: "alloy".to_owned(),
        format: AudioFormat::Wav.into(),
    };
    let image = Part::Image(Image {
        source: Some(image::Source::Url("https://example.com/cat.png".to_owned())),
        ..Image::default()
    });
    vec![
        (
            with(|request| request.tools = vec![function("f", None)]),
            "tools",
            "tools",
        ),
        (with(|request| request.tools = vec![custom]), "tools", "tools"),
        (
            with_choice(Choice::Mode(ToolChoiceMode::Required.into())),
            "tool_choice",
            "tool_choice",
        ),
        (
            with_choice(Choice::Function("f".to_owned())),
            "tool_choice",
            "tool_choice",
        ),
        (
            with_format(Format::JsonObject(JsonObjectFormat {})),
            "response_format",
            "response_format",
        ),
        (with_format(schema("{}")), "response_format", "response_format"),
        (
            with(|request| request.logprobs = Some(true)),
            "logprobs",
            "logprobs",
        ),
        (
            with(|request| request.top_logprobs = Some(20)),
            "top_logprobs",
            "top_logprobs",
        ),
        (with(|request| request.audio = Some(sound)), "audio", "audio"),
        (
            with(|request| request.modalities = vec![Modality::Text.into(), Modality::Audio.into()]),
            "modalities",
            "modalities",
        ),
        (
            with(|request| request.web_search_options = Some(WebSearchOptions::default())),
            "web_search_options",
            "web_search_options",
        ),
        (
            with(|request| request.moderation = Some(ModerationOptions::default())),
            "moderation",
            "moderation",
        ),
        (with_part(image), "messages[0].content[1]", "image"),
        (with_part(file), "messages[0].content[1]", "file"),
        (
            with_part(audio(AudioFormat::Mp3)),
            "messages[0].content[1]",
            "audio",
        ),
    ]
}

#[tokio::test]
async fn what_the_upstream_cannot_do_is_refused_by_its_field() {
    let gateway = Gateway::start().await;
    for (request, field, _) in beyond_text() {
        for path in METHODS {
            let failure = failure_of(&send(&gateway, path, &request).await.status, false);
            assert_eq!(failure.kind, "unsupported_parameter", "{field}");
            assert_eq!(failure.field.as_deref(), Some(field), "{}", failure.message);
        }
    }
    assert!(gateway.sim.counts().calls.is_empty());
    gateway.stop().await;
}

#[tokio::test]
async fn what_the_upstream_cannot_do_is_left_out_where_the_settings_say_so() {
    let setup = Setup::new().settings(|settings| settings.unsupported_params = UnsupportedParams::Ignore);
    let gateway = setup.start().await;
    for (request, _, name) in beyond_text() {
        for path in METHODS {
            let answer = send(&gateway, path, &request).await;
            assert_eq!(
                answer.status.code(),
                tonic::Code::Ok,
                "{name}: {:?}",
                answer.status
            );
            assert_eq!(ignored(&answer), [name]);
        }
    }
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_value_beyond_its_limits_is_told_by_its_field_where_nothing_is_left_out() {
    let gateway = Gateway::start().await;
    let call = |call| {
        with(|request| {
            request.messages[0].role = Role::Assistant.into();
            request.messages[0].tool_calls = vec![ToolCall {
                id: String::new(),
                call,
            }];
        })
    };
    let stops = |count: usize| with(|request| request.stop = vec!["x".to_owned(); count]);
    let many = |count: usize| {
        (0..count)
            .map(|index| (index.to_string(), String::new()))
            .collect()
    };
    let extra = |name: &str| {
        let fields = [(name.to_owned(), Value::default())].into();
        with(|request| request.extra = Some(Struct { fields }))
    };
    let table = [
        (with(|request| request.max_tokens = Some(0)), "max_tokens"),
        (with(|request| request.n = Some(0)), "n"),
        (stops(5), "stop"),
        (with(|request| request.stop = vec![String::new()]), "stop[0]"),
        (
            with(|request| request.presence_penalty = Some(2.1)),
            "presence_penalty",
        ),
        (
            with(|request| request.frequency_penalty = Some(f64::NAN)),
            "frequency_penalty",
        ),
        (
            with(|request| request.logit_bias = [(7, 100.5)].into()),
            "logit_bias[7]",
        ),
        (with(|request| request.top_logprobs = Some(21)), "top_logprobs"),
        (with(|request| request.metadata = many(17)), "metadata"),
        (
            with(|request| request.safety_identifier = Some("x".repeat(129))),
            "safety_identifier",
        ),
        (with(|request| request.modalities = vec![1, 0]), "modalities[1]"),
        (
            with(|request| request.prediction = Some(Prediction::default())),
            "prediction.content",
        ),
        (
            with(|request| request.tools = vec![function("", None)]),
            "tools[0].function.name",
        ),
        (
            with(|request| request.tools = vec![function("f", Some("[]"))]),
            "tools[0].function.parameters",
        ),
        (with_format(schema("{")), "response_format.json_schema.schema"),
        (
            with_part(Part::Image(Image::default())),
            "messages[0].content[1].image.source",
        ),
        (
            with_part(Part::File(File::default())),
            "messages[0].content[1].file.source",
        ),
        (
            with_part(audio(AudioFormat::Flac)),
            "messages[0].content[1].audio.format",
        ),
        (
            with(|request| request.messages[0].name = Some("x".repeat(65))),
            "messages[0].name",
        ),
        (call(None), "messages[0].tool_calls[0].call"),
        (extra("stop"), "extra.stop"),
    ];
    for (request, field) in table {
        let failure = failure_of(&send(&gateway, CREATE, &request).await.status, false);
        assert_eq!(failure.kind, "invalid_request", "{field}");
        assert_eq!(failure.field.as_deref(), Some(field), "{}", failure.message);
    }
    assert!(gateway.sim.counts().calls.is_empty());
    gateway.stop().await;
}

#[tokio::test]
async fn what_came_after_this_schema_is_left_out_with_what_the_upstream_cannot_do() {
    let setup = Setup::new().settings(|settings| settings.unsupported_params = UnsupportedParams::Ignore);
    let gateway = setup.start().await;
    let later = with(|request| request.messages[0].content.push(ContentPart::default()));
    let called = with(|request| {
        let mut message = request.messages[0].clone();
        message.role = Role::Assistant.into();
        message.phase = 99;
        message.tool_calls = vec![ToolCall::default()];
        request.messages.push(message);
    });
    for (request, name) in [(later, "part"), (called, "tool_calls")] {
        for path in METHODS {
            let answer = send(&gateway, path, &request).await;
            assert_eq!(
                answer.status.code(),
                tonic::Code::Ok,
                "{name}: {:?}",
                answer.status
            );
            assert_eq!(ignored(&answer), [name]);
        }
    }
    let empty = with(|request| request.messages[0].content = vec![ContentPart::default()]);
    let failure = failure_of(&send(&gateway, CREATE, &empty).await.status, false);
    assert_eq!(failure.field.as_deref(), Some("messages[0].content"));
    gateway.settled().await;
    gateway.stop().await;
}
