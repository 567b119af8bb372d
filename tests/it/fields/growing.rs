//! Values beyond OpenAI's known vocabulary and limits, at each door. An omitted field is not validated first, and a
//! rejected one is rejected for the right reason.

use duogate::{
    app::client::{
        AllowedTools, Audio, AudioFormat, CustomTool, FunctionTool, Grammar, Image, ModerationMode,
        ModerationOptions, ToolReference, image,
    },
    config::Settings,
};

use super::*;

fn lenient(settings: &mut Settings) {
    settings.unsupported_params = UnsupportedParams::Ignore;
}

/// Hints with unknown values; the name is the one reported.
fn unknown_hints() -> Vec<Said> {
    vec![
        Said("reasoning_effort", json!({ "reasoning_effort": "ultra" }), |it| {
            it.reasoning_effort = 99;
        }),
        Said("verbosity", json!({ "verbosity": "max" }), |it| it.verbosity = 99),
        Said("service_tier", json!({ "service_tier": "gold" }), |it| {
            it.service_tier = -1;
        }),
        Said(
            "prompt_cache_retention",
            json!({ "prompt_cache_retention": "forever" }),
            |it| it.prompt_cache_retention = 99,
        ),
    ]
}

fn tool_json(name: &str) -> Value {
    json!({ "type": "function", "function": { "name": name } })
}

/// Unknown kinds of tools, formats and content; the name is the rejected field's.
fn unknown_kinds() -> Vec<Said> {
    let image = json!({ "type": "image_url", "image_url": { "url": "data:,", "detail": "forensic" } });
    vec![
        Said("tools", json!({ "tools": [tool_json(&"n".repeat(73))] }), |it| {
            it.tools = vec![function(&"n".repeat(73))];
        }),
        Said("tools", json!({ "tools": vec![tool_json("f"); 129] }), |it| {
            it.tools = vec![function("f"); 129];
        }),
        Said("tools", json!({ "tools": [tool_json("mcp.server/f")] }), |it| {
            it.tools = vec![function("mcp.server/f")];
        }),
        // A kind from a later schema, with no known field.
        Said("tools", json!({ "tools": [{ "type": "program" }] }), |it| {
            it.tools = vec![Tool::default()];
        }),
        Said(
            "tools",
            json!({ "tools": [{ "type": "custom", "custom": { "name": "c", "format": { "type": "grammar", "syntax": "peg" } } }] }),
            |it| {
                it.tools = vec![Tool {
                    tool: Some(tool::Tool::Custom(CustomTool {
                        name: "c".to_owned(),
                        grammar: Some(Grammar {
                            syntax: 99,
                            ..Grammar::default()
                        }),
                        ..CustomTool::default()
                    })),
                }];
            },
        ),
        Said("tool_choice", json!({ "tool_choice": "perhaps" }), |it| {
            it.tool_choice = choice(Choice::Mode(99));
        }),
        Said(
            "tool_choice",
            json!({ "tool_choice": { "type": "lottery" } }),
            |it| {
                it.tool_choice = Some(ToolChoice::default());
            },
        ),
        Said(
            "tool_choice",
            json!({ "tool_choice": { "type": "allowed_tools", "allowed_tools": { "mode": "some", "tools": [{}] } } }),
            |it| {
                it.tool_choice = choice(Choice::AllowedTools(AllowedTools {
                    mode: 99,
                    tools: vec![ToolReference::default()],
                }));
            },
        ),
        Said(
            "response_format",
            json!({ "response_format": { "type": "yaml" } }),
            |it| {
                it.response_format = Some(ResponseFormat::default());
            },
        ),
        Said(
            "response_format",
            json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "n".repeat(65) } } }),
            |it| {
                it.response_format = format(Format::JsonSchema(JsonSchemaFormat {
                    name: "n".repeat(65),
                    ..JsonSchemaFormat::default()
                }));
            },
        ),
        Said("modalities", json!({ "modalities": ["text", "smell"] }), |it| {
            it.modalities = vec![Modality::Text.into(), 99];
        }),
        Said(
            "audio",
            json!({ "audio": { "voice": "v", "format": "midi" } }),
            |it| {
                it.audio = Some(AudioOptions {
                    voice: "v".to_owned(),
                    format: 99,
                });
            },
        ),
        Said(
            "moderation",
            json!({ "moderation": { "model": "m", "policy": { "input": { "mode": "frown" } } } }),
            |it| {
                it.moderation = Some(ModerationOptions {
                    input: 99,
                    output: ModerationMode::Score.into(),
                    ..ModerationOptions::default()
                });
            },
        ),
        Said(
            "web_search_options",
            json!({ "web_search_options": { "search_context_size": "huge" } }),
            |it| {
                it.web_search_options = Some(WebSearchOptions {
                    search_context_size: 99,
                    ..WebSearchOptions::default()
                });
            },
        ),
        Said("messages[0].content[1]", content_json(&image), |it| {
            content(
                it,
                Part::Image(Image {
                    source: Some(image::Source::Url("data:,".to_owned())),
                    detail: 99,
                    ..Image::default()
                }),
            );
        }),
        Said(
            "messages[0].content[1]",
            content_json(&json!({ "type": "input_audio", "input_audio": { "data": "", "format": "midi" } })),
            |it| {
                content(
                    it,
                    Part::Audio(Audio {
                        format: 99,
                        ..Audio::default()
                    }),
                );
            },
        ),
    ]
}

/// Invalid where the field is obeyed; not validated where it is omitted. The name is the one reported then.
fn wrong_but_left_out() -> Vec<Said> {
    vec![
        Said("tools", json!({ "tools": [tool_json("")] }), |it| {
            it.tools = vec![function("")];
        }),
        Said(
            "tools",
            json!({ "tools": [{ "type": "function", "function": { "name": "f", "parameters": "{" } }] }),
            |it| {
                it.tools = vec![Tool {
                    tool: Some(tool::Tool::Function(FunctionTool {
                        name: "f".to_owned(),
                        parameters: Some("{".to_owned()),
                        ..FunctionTool::default()
                    })),
                }];
            },
        ),
        Said(
            "response_format",
            json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "" } } }),
            |it| it.response_format = format(Format::JsonSchema(JsonSchemaFormat::default())),
        ),
        Said("audio", json!({ "audio": {} }), |it| {
            it.audio = Some(AudioOptions::default());
        }),
        Said("image", content_json(&json!({ "type": "image_url" })), |it| {
            content(it, Part::Image(Image::default()));
        }),
        Said(
            "file",
            content_json(&json!({ "type": "file", "file": 7 })),
            |it| {
                content(it, Part::File(File::default()));
            },
        ),
        Said(
            "audio",
            content_json(&json!({ "type": "input_audio", "input_audio": { "format": "aac" } })),
            |it| {
                content(
                    it,
                    Part::Audio(Audio {
                        format: AudioFormat::Aac.into(),
                        ..Audio::default()
                    }),
                );
            },
        ),
        Said("temperature", json!({ "temperature": 17 }), |it| {
            it.temperature = Some(f64::NAN);
        }),
        Said("top_p", json!({ "top_p": "most" }), |it| it.top_p = Some(-1.0)),
        Said("presence_penalty", json!({ "presence_penalty": [] }), |it| {
            it.presence_penalty = Some(3.0);
        }),
        Said("frequency_penalty", json!({ "frequency_penalty": 3 }), |it| {
            it.frequency_penalty = Some(3.0);
        }),
        Said("logit_bias", json!({ "logit_bias": { "1": 101 } }), |it| {
            it.logit_bias = [(1, 101.0)].into();
        }),
        Said("top_logprobs", json!({ "top_logprobs": 21 }), |it| {
            it.top_logprobs = Some(21);
        }),
        Said(
            "metadata",
            json!({ "metadata": { "k": "v".repeat(513) } }),
            |it| {
                it.metadata = [("k".to_owned(), "v".repeat(513))].into();
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
            "prediction",
            json!({ "prediction": { "type": "content", "content": [] } }),
            |it| it.prediction = Some(Prediction::default()),
        ),
    ]
}

#[tokio::test]
async fn hints_in_words_that_nobody_knows_have_no_effect_and_are_named() {
    for setting in [UnsupportedParams::Error, UnsupportedParams::Ignore] {
        each_way(unknown_hints(), async |said, way| {
            let gateway = Setup::new()
                .settings(|it| it.unsupported_params = setting)
                .start()
                .await;
            let outcome = way.ask(&gateway, &said.ask()).await;
            outcome.assert_whole(&answer_text("hi"));
            assert_eq!(outcome.ignored, [said.0], "{said:?} {way:?} {setting:?}");
            gateway.stop().await
        })
        .await;
    }
}

#[tokio::test]
async fn kinds_that_nobody_knows_are_not_supported() {
    refused(unknown_kinds(), "unsupported_parameter").await;
}

#[tokio::test]
async fn what_is_left_out_is_not_judged() {
    let cases = unknown_kinds().into_iter().chain(wrong_but_left_out());
    each_way(cases, async |said, way| {
        let gateway = Setup::new().settings(lenient).start().await;
        let outcome = way.ask(&gateway, &said.ask()).await;
        assert_eq!(outcome.failure, None, "{said:?} {way:?}");
        assert_eq!(
            outcome.ignored.len(),
            1,
            "{said:?} {way:?}: {:?}",
            outcome.ignored
        );
        let name = &outcome.ignored[0];
        // Content parts are named by their kind, which differs between the doors.
        let part = said.1.get("messages").is_some();
        assert!(part || name == said.0, "{said:?} {way:?}: {name}");
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn what_is_obeyed_is_judged_whatever_else_is_left_out() {
    let obeyed = [
        "model",
        "messages",
        "messages[0].role",
        "messages[0].content",
        "n",
        "max_tokens",
        "stop",
        "stop[0]",
    ];
    let cases = wrong().into_iter().filter(|said| obeyed.contains(&said.0));
    each_way(cases, async |said, way| {
        let gateway = Setup::new().settings(lenient).start().await;
        let outcome = way.ask(&gateway, &said.ask()).await;
        let failure = outcome.assert_failed("invalid_request");
        assert_eq!(failure.field.as_deref(), Some(said.0), "{said:?} {way:?}");
        gateway.stop().await
    })
    .await;
}
