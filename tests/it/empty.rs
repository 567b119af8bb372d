//! Empty input is treated as absent: no paragraph without text, no brackets without a name.

use duogate::{
    app::client::{
        ChatMessage, ContentPart, CreateChatCompletionRequest as Request, CustomToolCall, FunctionCall,
        Refusal, Role, ToolCall, content_part::Part, tool_call::Call,
    },
    sim::answer_text,
};
use serde_json::{Value, json};

use crate::support::{Ask, Change, Gateway, each_way, events_of, for_each, post};

fn message(role: Role, text: &str) -> ChatMessage {
    ChatMessage {
        role: role.into(),
        content: vec![ContentPart {
            part: Some(Part::Text(text.to_owned())),
            ..ContentPart::default()
        }],
        ..ChatMessage::default()
    }
}

fn named(role: Role, text: &str, name: &str) -> ChatMessage {
    ChatMessage {
        name: Some(name.to_owned()),
        ..message(role, text)
    }
}

fn says(request: &mut Request, messages: Vec<ChatMessage>) {
    request.messages = messages;
}

fn asked(messages: &Value, change: Change) -> Ask {
    Ask::new("").said(json!({ "messages": messages }), change)
}

/// Messages, and the text expected upstream.
fn told() -> Vec<(Ask, &'static str)> {
    let user = json!({ "role": "user", "content": "hi" });
    let say = |role: &str, content: Value| json!({ "role": role, "content": content });
    vec![
        (
            asked(&json!([say("system", json!("")), user]), |it| {
                says(it, vec![message(Role::System, ""), message(Role::User, "hi")]);
            }),
            "hi",
        ),
        (
            asked(
                &json!([
                    say("developer", json!([{ "type": "text", "text": "" }])),
                    user,
                    say("assistant", json!(""))
                ]),
                |it| {
                    says(
                        it,
                        vec![
                            message(Role::Developer, ""),
                            message(Role::User, "hi"),
                            message(Role::Assistant, ""),
                        ],
                    );
                },
            ),
            "hi",
        ),
        (
            asked(&json!([{ "role": "user", "name": "", "content": "hi" }]), |it| {
                says(it, vec![named(Role::User, "hi", "")]);
            }),
            "hi",
        ),
        (
            asked(
                &json!([{ "role": "user", "name": "", "content": "hi" }, say("assistant", json!("Hello.")), user]),
                |it| {
                    says(
                        it,
                        vec![
                            named(Role::User, "hi", ""),
                            message(Role::Assistant, "Hello."),
                            message(Role::User, "hi"),
                        ],
                    );
                },
            ),
            "User: hi\n\nAssistant: Hello.\n\nUser: hi",
        ),
        // White space is not empty.
        (
            asked(
                &json!([say("system", json!(" ")), { "role": "user", "name": " ", "content": "\n" }]),
                |it| {
                    says(it, vec![message(Role::System, " "), named(Role::User, "\n", " ")]);
                },
            ),
            "System:  \n\nUser ( ): \n",
        ),
        (
            asked(
                &json!([
                    user,
                    { "role": "assistant", "content": "", "refusal": "", "tool_calls": [
                        { "id": "c1", "type": "function", "function": { "name": "f", "arguments": "" } },
                        { "id": "c2", "type": "function", "function": { "name": "", "arguments": "{}" } },
                        { "id": "c3", "type": "custom", "custom": { "name": "", "input": "" } },
                    ] },
                    { "role": "tool", "name": "", "tool_call_id": "c1", "content": "" },
                    { "role": "tool", "tool_call_id": "", "content": "42" },
                    { "role": "assistant", "content": [{ "type": "refusal", "refusal": "" }, { "type": "text", "text": "" }] },
                ]),
                |it| {
                    let function = |name: &str, arguments: &str| {
                        Some(Call::Function(FunctionCall {
                            name: name.to_owned(),
                            arguments: arguments.to_owned(),
                        }))
                    };
                    let calls = [
                        function("f", ""),
                        function("", "{}"),
                        Some(Call::Custom(CustomToolCall::default())),
                    ];
                    let calls = calls.map(|call| ToolCall {
                        id: String::new(),
                        call,
                    });
                    let mut called = message(Role::Assistant, "");
                    called.tool_calls = calls.to_vec();
                    let mut nothing = named(Role::Tool, "", "");
                    nothing.tool_call_id = Some("c1".to_owned());
                    let mut something = message(Role::Tool, "42");
                    something.tool_call_id = Some(String::new());
                    let mut refused = message(Role::Assistant, "");
                    refused.content.push(ContentPart {
                        part: Some(Part::Refusal(Refusal::default())),
                        ..ContentPart::default()
                    });
                    says(
                        it,
                        vec![message(Role::User, "hi"), called, nothing, something, refused],
                    );
                },
            ),
            "User: hi\n\nAssistant: [called f()]\n[called a tool({})]\n[called a tool()]\n\n\
             Tool (c1): [no output]\n\nTool: 42",
        ),
    ]
}

#[tokio::test]
async fn what_is_empty_is_absent_from_what_the_upstream_is_told() {
    each_way(told(), async |(ask, said), way| {
        let gateway = Gateway::start().await;
        let outcome = way.ask(&gateway, &ask).await;
        outcome.assert_whole(&answer_text(said));
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_chat_in_which_nothing_is_said_is_refused() {
    let cases = [
        (
            asked(&json!([{ "role": "system", "content": "" }]), |it| {
                says(it, vec![message(Role::System, "")]);
            }),
            "messages[0].content",
        ),
        (
            asked(&json!([{ "role": "user", "name": "", "content": "" }]), |it| {
                says(it, vec![named(Role::User, "", "")]);
            }),
            "messages[0].content",
        ),
        (
            asked(&json!([{ "role": "user", "name": "Ann", "content": "" }]), |it| {
                says(it, vec![named(Role::User, "", "Ann")]);
            }),
            "messages[0].content",
        ),
        (
            asked(
                &json!([{ "role": "system", "content": "" }, { "role": "assistant", "content": "" }, { "role": "user", "content": "" }]),
                |it| {
                    says(
                        it,
                        vec![
                            message(Role::System, ""),
                            message(Role::Assistant, ""),
                            message(Role::User, ""),
                        ],
                    );
                },
            ),
            "messages",
        ),
    ];
    each_way(cases, async |(ask, field), way| {
        let gateway = Gateway::start().await;
        let outcome = way.ask(&gateway, &ask).await;
        let failure = outcome.assert_failed("invalid_request");
        assert_eq!(failure.field.as_deref(), Some(field), "{way:?}");
        assert!(gateway.sim.counts().calls.is_empty());
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn what_is_empty_is_absent_from_the_input_of_responses() {
    let gateway = Gateway::start().await;
    let user = json!({ "role": "user", "content": "hi" });
    let cases = [
        (json!([{ "role": "system", "content": "" }, user]), "hi"),
        (
            json!([{ "role": "developer", "content": [{ "type": "input_text", "text": "" }] }, user, { "role": "assistant", "content": [] }]),
            "hi",
        ),
        (
            json!([
                user,
                { "type": "function_call", "call_id": "c1", "name": "", "arguments": "" },
                { "type": "function_call_output", "call_id": "c1", "output": "" },
                { "type": "function_call_output", "call_id": "", "output": "42" },
                { "type": "function_call_output", "name": "f", "output": "43" },
            ]),
            "User: hi\n\nAssistant: [called a tool()]\n\nTool (c1): [no output]\n\nTool: 42\n\nTool (f): 43",
        ),
    ];
    for_each(cases, async |(input, said)| {
        for stream in [false, true] {
            let body = json!({ "model": "it-model", "input": input, "stream": stream });
            let text = post(&gateway, "/v1/responses", &body).await.text().await.unwrap();
            let answer = if stream {
                events_of(&text, true).pop().unwrap()["response"].clone()
            } else {
                serde_json::from_str(&text).unwrap()
            };
            assert_eq!(answer["output"][0]["content"][0]["text"], answer_text(said));
        }
    })
    .await;
    let silent = json!({ "model": "it-model", "input": [{ "role": "user", "content": "" }, { "role": "system", "content": "" }] });
    let failure = crate::support::error_of(post(&gateway, "/v1/responses", &silent).await).await;
    assert_eq!(
        (failure.kind, failure.field.as_deref()),
        ("invalid_request", Some("input"))
    );
    gateway.settled().await;
    gateway.stop().await;
}
