//! Fields of a chat besides its messages, at each door: those without effect are named, those the upstream cannot serve
//! are rejected or omitted, and invalid ones are rejected by name.

mod growing;

use duogate::{
    app::client::{
        AudioFormat, AudioOptions, ContentPart, CreateChatCompletionRequest as Request, File, FunctionCall,
        FunctionTool, Image, JsonObjectFormat, JsonSchemaFormat, Modality, Prediction, PromptCacheRetention,
        ReasoningEffort, Refusal, ResponseFormat, Role, ServiceTier, TextFormat, Tool, ToolCall, ToolChoice,
        ToolChoiceMode, Verbosity, WebSearchOptions, content_part::Part, file, image,
        response_format::Format, tool, tool_call::Call, tool_choice::Choice,
    },
    config::UnsupportedParams,
    sim::answer_text,
};
use serde_json::{Value, json};

use crate::support::{Ask, Change, Gateway, ONCE, Setup, each_door, each_way};

/// A field's name, its value in JSON, and the same for the gRPC door.
#[derive(Clone)]
struct Said(&'static str, Value, Change);

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.0, self.1)
    }
}

impl Said {
    fn ask(&self) -> Ask {
        Ask::new("hi").said(self.1.clone(), self.2)
    }
}

fn part(part: Part) -> ContentPart {
    ContentPart {
        part: Some(part),
        ..ContentPart::default()
    }
}

fn function(name: &str) -> Tool {
    Tool {
        tool: Some(tool::Tool::Function(FunctionTool {
            name: name.to_owned(),
            ..FunctionTool::default()
        })),
    }
}

fn choice(choice: Choice) -> Option<ToolChoice> {
    Some(ToolChoice { choice: Some(choice) })
}

fn format(format: Format) -> Option<ResponseFormat> {
    Some(ResponseFormat { format: Some(format) })
}

/// A message of the user's with this part in it.
fn content(request: &mut Request, more: Part) {
    request.messages[0].content.push(part(more));
}

fn content_json(more: &Value) -> Value {
    json!({ "messages": [{ "role": "user", "content": [{ "type": "text", "text": "hi" }, more] }] })
}

fn hints() -> Vec<Said> {
    let prediction = json!({ "type": "content", "content": "so" });
    vec![
        Said("temperature", json!({ "temperature": 2 }), |it| {
            it.temperature = Some(2.0);
        }),
        Said("top_p", json!({ "top_p": 0 }), |it| it.top_p = Some(0.0)),
        Said("seed", json!({ "seed": -1 }), |it| it.seed = Some(-1)),
        Said(
            "parallel_tool_calls",
            json!({ "parallel_tool_calls": false }),
            |it| {
                it.parallel_tool_calls = Some(false);
            },
        ),
        Said("reasoning_effort", json!({ "reasoning_effort": "xhigh" }), |it| {
            it.reasoning_effort = ReasoningEffort::Xhigh.into();
        }),
        Said("presence_penalty", json!({ "presence_penalty": -2 }), |it| {
            it.presence_penalty = Some(-2.0);
        }),
        Said("frequency_penalty", json!({ "frequency_penalty": 2 }), |it| {
            it.frequency_penalty = Some(2.0);
        }),
        Said("user", json!({ "user": "u" }), |it| {
            it.user = Some("u".to_owned());
        }),
        Said("logit_bias", json!({ "logit_bias": { "50256": -100 } }), |it| {
            it.logit_bias = [(50256, -100.0)].into();
        }),
        Said("verbosity", json!({ "verbosity": "low" }), |it| {
            it.verbosity = Verbosity::Low.into();
        }),
        Said("metadata", json!({ "metadata": { "key": "value" } }), |it| {
            it.metadata = [("key".to_owned(), "value".to_owned())].into();
        }),
        Said("safety_identifier", json!({ "safety_identifier": "ü" }), |it| {
            it.safety_identifier = Some("ü".to_owned());
        }),
        Said("service_tier", json!({ "service_tier": "flex" }), |it| {
            it.service_tier = ServiceTier::Flex.into();
        }),
        Said("store", json!({ "store": true }), |it| it.store = Some(true)),
        Said("prediction", json!({ "prediction": prediction }), |it| {
            it.prediction = Some(Prediction {
                content: vec![part(Part::Text("so".to_owned()))],
            });
        }),
        Said("prompt_cache_key", json!({ "prompt_cache_key": "key" }), |it| {
            it.prompt_cache_key = Some("key".to_owned());
        }),
        Said(
            "prompt_cache_retention",
            json!({ "prompt_cache_retention": "24h" }),
            |it| {
                it.prompt_cache_retention = PromptCacheRetention::PromptCacheRetention24h.into();
            },
        ),
    ]
}

/// Features that an upstream of text cannot provide; the name is the rejected field's.
fn beyond_text() -> Vec<Said> {
    let tools = json!([{ "type": "function", "function": { "name": "f" } }]);
    let schema = json!({ "type": "json_schema", "json_schema": { "name": "answer", "schema": {} } });
    let image = json!({ "type": "image_url", "image_url": { "url": "data:," } });
    vec![
        Said("tools", json!({ "tools": tools }), |it| {
            it.tools = vec![function("f")];
        }),
        Said("tool_choice", json!({ "tool_choice": "required" }), |it| {
            it.tool_choice = choice(Choice::Mode(ToolChoiceMode::Required.into()));
        }),
        Said(
            "response_format",
            json!({ "response_format": { "type": "json_object" } }),
            |it| it.response_format = format(Format::JsonObject(JsonObjectFormat {})),
        ),
        Said("response_format", json!({ "response_format": schema }), |it| {
            it.response_format = format(Format::JsonSchema(JsonSchemaFormat {
                name: "answer".to_owned(),
                schema: Some("{}".to_owned()),
                ..JsonSchemaFormat::default()
            }));
        }),
        Said("logprobs", json!({ "logprobs": true }), |it| {
            it.logprobs = Some(true);
        }),
        Said(
            "audio",
            json!({ "audio": { "voice": "alloy", "format": "wav" } }),
            |it| {
                it.audio = Some(AudioOptions {
                    voice: "alloy".to_owned(),
                    format: AudioFormat::Wav.into(),
                });
            },
        ),
        Said("modalities", json!({ "modalities": ["text", "audio"] }), |it| {
            it.modalities = vec![Modality::Text.into(), Modality::Audio.into()];
        }),
        Said("web_search_options", json!({ "web_search_options": {} }), |it| {
            it.web_search_options = Some(WebSearchOptions::default());
        }),
        Said("messages[0].content[1]", content_json(&image), |it| {
            content(
                it,
                Part::Image(Image {
                    source: Some(image::Source::Url("data:,".to_owned())),
                    ..Image::default()
                }),
            );
        }),
        Said(
            "messages[0].content[1]",
            content_json(&json!({ "type": "file", "file": { "file_id": "file-1" } })),
            |it| {
                content(
                    it,
                    Part::File(File {
                        source: Some(file::Source::FileId("file-1".to_owned())),
                        ..File::default()
                    }),
                );
            },
        ),
    ]
}

/// Invalid values, by the field named in the error.
fn wrong() -> Vec<Said> {
    let long = "m".repeat(257);
    let message = |message: Value| json!({ "messages": [message] });
    vec![
        Said("model", json!({ "model": "" }), |it| it.model.clear()),
        Said("model", json!({ "model": long }), |it| it.model = "m".repeat(257)),
        Said("messages", json!({ "messages": [] }), |it| it.messages.clear()),
        Said(
            "messages[0].role",
            message(json!({ "role": "wizard", "content": "hi" })),
            |it| it.messages[0].role = 99,
        ),
        Said(
            "messages[0].content",
            message(json!({ "role": "user", "content": [] })),
            |it| it.messages[0].content.clear(),
        ),
        Said(
            "messages[0].content",
            message(json!({ "role": "user", "content": "" })),
            |it| it.messages[0].content = vec![part(Part::Text(String::new()))],
        ),
        Said("temperature", json!({ "temperature": 2.1 }), |it| {
            it.temperature = Some(2.1);
        }),
        Said("top_p", json!({ "top_p": -1 }), |it| it.top_p = Some(-1.0)),
        Said("n", json!({ "n": 0 }), |it| it.n = Some(0)),
        Said("max_tokens", json!({ "max_tokens": 0 }), |it| {
            it.max_tokens = Some(0);
        }),
        Said("stop", json!({ "stop": ["a", "b", "c", "d", "e"] }), |it| {
            it.stop = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
        }),
        Said("stop[0]", json!({ "stop": [""] }), |it| {
            it.stop = vec![String::new()];
        }),
        Said("presence_penalty", json!({ "presence_penalty": 2.1 }), |it| {
            it.presence_penalty = Some(2.1);
        }),
        Said("frequency_penalty", json!({ "frequency_penalty": -2.1 }), |it| {
            it.frequency_penalty = Some(-2.1);
        }),
        Said(
            "top_logprobs",
            json!({ "logprobs": true, "top_logprobs": 21 }),
            |it| {
                it.logprobs = Some(true);
                it.top_logprobs = Some(21);
            },
        ),
        Said(
            "safety_identifier",
            json!({ "safety_identifier": "x".repeat(129) }),
            |it| {
                it.safety_identifier = Some("x".repeat(129));
            },
        ),
        Said(
            "tools[0].function.name",
            json!({ "tools": [{ "type": "function", "function": { "name": "" } }] }),
            |it| it.tools = vec![function("")],
        ),
    ]
}

#[tokio::test]
async fn what_has_no_effect_is_taken_and_named() {
    each_way(hints(), async |said, way| {
        let gateway = Gateway::start().await;
        let outcome = way.ask(&gateway, &said.ask()).await;
        outcome.assert_whole(&answer_text("hi"));
        assert_eq!(outcome.ignored, [said.0], "{said:?} {way:?}");
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn what_asks_for_nothing_is_not_named() {
    let nothing = Said(
        "nothing",
        json!({ "tool_choice": "none", "response_format": { "type": "text" }, "modalities": ["text"],
            "logprobs": false, "n": 1, "tools": [{ "type": "function", "function": { "name": "f" } }] }),
        |it| {
            it.tool_choice = choice(Choice::Mode(ToolChoiceMode::None.into()));
            it.response_format = format(Format::Text(TextFormat {}));
            it.modalities = vec![Modality::Text.into()];
            it.logprobs = Some(false);
            it.n = Some(1);
            it.tools = vec![function("f")];
        },
    );
    each_way([nothing], async |said, way| {
        let gateway = Gateway::start().await;
        let outcome = way.ask(&gateway, &said.ask()).await;
        outcome.assert_whole(&answer_text("hi"));
        assert_eq!(outcome.ignored, [""; 0], "{way:?}");
        gateway.stop().await
    })
    .await;
}

/// Each is rejected with this kind and field, and does not go upstream.
async fn refused(cases: Vec<Said>, kind: &str) {
    each_way(cases, async |said, way| {
        let gateway = Gateway::start().await;
        let outcome = way.ask(&gateway, &said.ask()).await;
        let failure = outcome.assert_failed(kind);
        assert_eq!(failure.field.as_deref(), Some(said.0), "{said:?} {way:?}");
        assert!(gateway.sim.counts().calls.is_empty());
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn what_the_upstream_cannot_do_is_refused_by_its_field() {
    refused(beyond_text(), "unsupported_parameter").await;
}

#[tokio::test]
async fn what_the_upstream_cannot_do_is_left_out_where_the_settings_say_so() {
    each_way(beyond_text(), async |said, way| {
        let lenient = Setup::new().settings(|it| it.unsupported_params = UnsupportedParams::Ignore);
        let gateway = lenient.start().await;
        let outcome = way.ask(&gateway, &said.ask()).await;
        assert_eq!(outcome.failure, None, "{said:?} {way:?}");
        assert_eq!(
            outcome.ignored.len(),
            1,
            "{said:?} {way:?}: {:?}",
            outcome.ignored
        );
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_is_told_by_its_field_and_goes_nowhere() {
    refused(wrong(), "invalid_request").await;
}

#[tokio::test]
async fn a_conversation_with_tools_behind_it_is_told_in_the_same_words() {
    let history = json!([
        { "role": "developer", "content": "Be kind." },
        { "role": "user", "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }], "name": "Ann" },
        { "role": "assistant", "content": null,
          "tool_calls": [{ "id": "c1", "type": "function", "function": { "name": "f", "arguments": "{}" } }] },
        { "role": "tool", "tool_call_id": "c1", "content": "42" },
        { "role": "assistant", "content": [{ "type": "refusal", "refusal": "No." }] },
        { "role": "user", "content": "So?" },
    ]);
    let ask = Ask::new("").said(json!({ "messages": history }), |it| {
        let text = |text: &str| part(Part::Text(text.to_owned()));
        let message = |role: Role, content: Vec<ContentPart>| duogate::app::client::ChatMessage {
            role: role.into(),
            content,
            ..Default::default()
        };
        it.messages = vec![
            message(Role::Developer, vec![text("Be kind.")]),
            message(Role::User, vec![text("a"), text("b")]),
            message(Role::Assistant, Vec::new()),
            message(Role::Tool, vec![text("42")]),
            message(
                Role::Assistant,
                vec![part(Part::Refusal(Refusal {
                    text: "No.".to_owned(),
                }))],
            ),
            message(Role::User, vec![text("So?")]),
        ];
        it.messages[1].name = Some("Ann".to_owned());
        it.messages[2].tool_calls = vec![ToolCall {
            id: "c1".to_owned(),
            call: Some(Call::Function(FunctionCall {
                name: "f".to_owned(),
                arguments: "{}".to_owned(),
            })),
        }];
        it.messages[3].tool_call_id = Some("c1".to_owned());
    });
    each_door(ONCE, async |(), door| {
        let gateway = Gateway::start().await;
        let transcript = "System: Be kind.\n\nUser (Ann): ab\n\nAssistant: [called f({})]\n\nTool (c1): 42\n\n\
                          Assistant: No.\n\nUser: So?";
        for way in door.ways() {
            let outcome = way.ask(&gateway, &ask).await;
            outcome.assert_whole(&answer_text(transcript));
        }
        gateway.stop().await
    })
    .await;
}
