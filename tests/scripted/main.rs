//! A provider of another kind than the conversation service serves both doors. It lives in this test, so these run also
//! where the conversation provider is compiled out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is a verdict")]

mod provider;

use std::sync::Arc;

use duogate::{
    app::{
        App, Stop, Upstreams,
        client::{
            self as proto, chat_service_client::ChatServiceClient, content_part,
            converse_request::Request as Said, converse_response::Event as Heard,
            stream_chat_completion_response::Event as GrpcEvent, tool, tool_call, tool_call_delta,
            turn_finished,
        },
    },
    config::Settings,
    engine::request::{Part, Role, Tool, ToolChoice},
    telemetry::Metrics,
};
use provider::Scripted;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::transport::Channel;

const KEY: &str = "sk-scripted-0123456789";

struct Gateway {
    http: String,
    chats: ChatServiceClient<Channel>,
    web: reqwest::Client,
    providers: [Scripted; 2],
    _running: JoinSet<()>,
}

/// A gateway over two upstreams: of `shared` both offer a model, and the first has it.
async fn start() -> Gateway {
    // The client insists on a TLS provider, even for plain HTTP; another test may have installed it.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let settings = Settings {
        host: "127.0.0.1".to_owned(),
        grpc_host: "127.0.0.1".to_owned(),
        port: 0,
        grpc_port: Some(0),
        api_keys: vec![KEY.into()],
        max_retries: 1,
        retry_delay: std::time::Duration::from_millis(1),
        ..Settings::default()
    };
    let mut providers = Vec::new();
    let upstreams = |metrics: &Arc<Metrics>| {
        let first = [
            ("caller", "up/caller"),
            ("refuser", "up/refuser"),
            ("shared", "up/first"),
        ];
        let second = [
            ("citer", "up/citer"),
            ("dead", "up/dead"),
            ("shared", "up/second"),
        ];
        let parts = [(&first, "one"), (&second, "two")].map(|(names, token)| {
            let (provider, parts) = Scripted::upstream(metrics, names, token);
            providers.push(provider);
            parts
        });
        Ok(Upstreams::new(parts.into()))
    };
    let app = App::bind_over(&settings, upstreams).await.unwrap();
    let (http, grpc) = (app.http_address(), app.grpc_address().unwrap());
    let mut running = JoinSet::new();
    running.spawn(async move { app.run(Stop::default()).await.unwrap() });
    let chats = ChatServiceClient::connect(format!("http://{grpc}"))
        .await
        .unwrap();
    Gateway {
        http: format!("http://{http}"),
        chats,
        web: reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .build()
            .unwrap(),
        providers: providers.try_into().ok().unwrap(),
        _running: running,
    }
}

impl Gateway {
    async fn post(&self, path: &str, body: &Value) -> reqwest::Response {
        let request = self.web.post(format!("{}{path}", self.http));
        request.bearer_auth(KEY).json(body).send().await.unwrap()
    }

    async fn json(&self, path: &str, body: &Value) -> Value {
        let response = self.post(path, body).await;
        assert_eq!(response.status(), 200);
        response.json().await.unwrap()
    }

    /// The data of a stream's events.
    async fn events(&self, path: &str, body: &Value) -> Vec<Value> {
        let text = self.post(path, body).await.text().await.unwrap();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        let data = data.filter(|data| *data != "[DONE]");
        data.map(|data| serde_json::from_str(data).unwrap()).collect()
    }

    async fn grpc(&self, request: proto::CreateChatCompletionRequest) -> proto::ChatMessage {
        let answer = self.chats.clone().create_chat_completion(keyed(request)).await;
        let choice = answer.unwrap().into_inner().choices.pop().unwrap();
        choice.message.unwrap()
    }

    async fn grpc_events(&self, request: proto::CreateChatCompletionRequest) -> Vec<GrpcEvent> {
        let stream = self.chats.clone().stream_chat_completion(keyed(request)).await;
        let (mut stream, mut events) = (stream.unwrap().into_inner(), Vec::new());
        while let Some(message) = stream.message().await.unwrap() {
            events.extend(message.event);
        }
        events
    }
}

fn keyed<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let key = format!("Bearer {KEY}").parse().unwrap();
    request.metadata_mut().insert("authorization", key);
    request
}

fn text(text: &str) -> proto::ContentPart {
    proto::ContentPart {
        part: Some(content_part::Part::Text(text.to_owned())),
        ..proto::ContentPart::default()
    }
}

fn ask(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] })
}

fn grpc_ask(model: &str) -> proto::CreateChatCompletionRequest {
    proto::CreateChatCompletionRequest {
        model: model.to_owned(),
        messages: vec![proto::ChatMessage {
            role: proto::Role::User.into(),
            content: vec![text("hi")],
            ..proto::ChatMessage::default()
        }],
        ..proto::CreateChatCompletionRequest::default()
    }
}

fn streamed(mut body: Value) -> Value {
    body["stream"] = true.into();
    body["stream_options"] = json!({ "include_usage": true });
    body
}

#[tokio::test]
async fn tool_calls_come_out_of_both_doors_whole() {
    let gateway = start().await;
    let answer = gateway.json("/v1/chat/completions", &ask("caller")).await;
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], Value::Null);
    assert_eq!(choice["message"]["reasoning_content"], "I need the weather.");
    assert_eq!(
        choice["message"]["tool_calls"],
        json!([
            { "id": "call_1", "type": "function", "function": { "name": "weather", "arguments": "{\"city\":\"Oslo\"}" } },
            { "id": "call_2", "type": "function", "function": { "name": "time", "arguments": "{}" } },
        ])
    );
    assert_eq!(answer["usage"]["prompt_tokens"], provider::USAGE.prompt_tokens);
    assert_eq!(answer["usage"]["total_tokens"], provider::USAGE.total_tokens);
    let message = gateway.grpc(grpc_ask("caller")).await;
    assert_eq!(message.content, []);
    let calls = message.tool_calls.into_iter().map(|call| match call.call {
        Some(tool_call::Call::Function(function)) => (call.id, function.name, function.arguments),
        other => panic!("{other:?}"),
    });
    let calls: Vec<_> = calls.collect();
    let call = |id: &str, name: &str, input: &str| (id.to_owned(), name.to_owned(), input.to_owned());
    assert_eq!(
        calls,
        [
            call("call_1", "weather", r#"{"city":"Oslo"}"#),
            call("call_2", "time", "{}")
        ]
    );
}

#[tokio::test]
async fn tool_calls_come_out_of_both_doors_in_pieces() {
    let gateway = start().await;
    let chunks = gateway
        .events("/v1/chat/completions", &streamed(ask("caller")))
        .await;
    let deltas = chunks.iter().filter_map(|chunk| chunk["choices"].get(0));
    let calls = deltas.filter_map(|choice| choice["delta"].get("tool_calls"));
    let calls: Vec<&Value> = calls.collect();
    let piece =
        |index: u32, arguments: &str| json!([{ "index": index, "function": { "arguments": arguments } }]);
    let first = |index: u32, id: &str, name: &str, arguments: &str| {
        let function = json!({ "name": name, "arguments": arguments });
        json!([{ "index": index, "id": id, "type": "function", "function": function }])
    };
    assert_eq!(
        calls,
        [
            &first(0, "call_1", "weather", ""),
            &piece(0, "{\"city\":"),
            &piece(0, "\"Oslo\"}"),
            &first(1, "call_2", "time", "{}"),
        ]
    );
    assert_eq!(
        chunks.last().unwrap()["usage"]["completion_tokens"],
        provider::USAGE.completion_tokens
    );
    let events = gateway.grpc_events(grpc_ask("caller")).await;
    let deltas = events.into_iter().filter_map(|event| {
        if let GrpcEvent::ToolCall(delta) = event {
            Some(delta)
        } else {
            None
        }
    });
    let deltas: Vec<_> = deltas
        .map(|delta| match delta.call {
            Some(tool_call_delta::Call::Function(function)) => {
                (delta.index, delta.id, function.name + &function.arguments)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        deltas,
        [
            (0, Some("call_1".to_owned()), "weather".to_owned()),
            (0, None, r#"{"city":"#.to_owned()),
            (0, None, r#""Oslo"}"#.to_owned()),
            (1, Some("call_2".to_owned()), "time{}".to_owned()),
        ]
    );
}

#[tokio::test]
async fn responses_have_an_item_for_each_tool_call_and_go_on_from_it() {
    let gateway = start().await;
    let body = json!({ "model": "caller", "input": "hi" });
    let answer = gateway.json("/v1/responses", &body).await;
    let kinds: Vec<&Value> = answer["output"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["type"])
        .collect();
    assert_eq!(kinds, ["reasoning", "function_call", "function_call"]);
    assert_eq!(answer["output"][1]["call_id"], "call_1");
    assert_eq!(answer["output"][1]["arguments"], r#"{"city":"Oslo"}"#);
    let mut body = body;
    body["stream"] = true.into();
    let events = gateway.events("/v1/responses", &body).await;
    let arguments = |event: &&Value| event["type"] == "response.function_call_arguments.delta";
    let deltas: String = events
        .iter()
        .filter(arguments)
        .map(|event| event["delta"].as_str().unwrap())
        .collect();
    assert_eq!(deltas, r#"{"city":"Oslo"}{}"#);
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.completed");
    assert_eq!(last["response"]["output"].as_array().unwrap().len(), 3);
    let result = json!({ "type": "function_call_output", "call_id": "call_1", "output": "rain" });
    let next = json!({ "model": "caller", "input": [result], "previous_response_id": answer["id"] });
    gateway.json("/v1/responses", &next).await;
    let requests = gateway.providers[0].requests.lock().unwrap();
    let (request, _) = requests.last().unwrap();
    let [user, calls, result] = request.messages.as_slice() else {
        panic!("{:?}", request.messages);
    };
    assert_eq!(
        (user.role, calls.role, result.role),
        (Role::User, Role::Assistant, Role::Tool)
    );
    let names = calls.parts.iter().map(|part| {
        let Part::ToolCall(call) = part else {
            panic!("{part:?}");
        };
        call.name.as_str()
    });
    assert_eq!(names.collect::<Vec<_>>(), ["weather", "time"]);
    assert_eq!(result.call_id.as_deref(), Some("call_1"));
}

#[tokio::test]
async fn refusals_and_sources_come_out_of_both_doors() {
    let gateway = start().await;
    let message = |answer: Value| answer["choices"][0]["message"].clone();
    let refusal = message(gateway.json("/v1/chat/completions", &ask("refuser")).await);
    assert_eq!(refusal["refusal"], "I cannot do that.");
    assert_eq!(refusal["content"], Value::Null);
    let chunks = gateway
        .events("/v1/chat/completions", &streamed(ask("refuser")))
        .await;
    let refusals = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["refusal"].as_str());
    assert_eq!(refusals.collect::<String>(), "I cannot do that.");
    let cited = message(gateway.json("/v1/chat/completions", &ask("citer")).await);
    assert_eq!(cited["content"], "It is so.");
    assert_eq!(
        cited["annotations"][0]["url_citation"]["url"],
        "https://example.com/"
    );
    let refusal = gateway.grpc(grpc_ask("refuser")).await;
    assert!(
        matches!(&refusal.content[0].part, Some(content_part::Part::Refusal(refusal)) if refusal.text == "I cannot do that.")
    );
    let cited = gateway.grpc(grpc_ask("citer")).await;
    assert_eq!(cited.content, [text("It is so.")]);
    assert_eq!(cited.annotations.len(), 1);
    let events = gateway.grpc_events(grpc_ask("citer")).await;
    assert!(
        events
            .iter()
            .any(|event| matches!(event, GrpcEvent::Annotation(_)))
    );
    let events = gateway.grpc_events(grpc_ask("refuser")).await;
    assert!(events.iter().any(|event| matches!(event, GrpcEvent::Refusal(_))));
}

#[tokio::test]
async fn a_model_leads_to_the_first_upstream_that_offers_it() {
    let gateway = start().await;
    let models = gateway
        .web
        .get(format!("{}/v1/models", gateway.http))
        .bearer_auth(KEY);
    let models: Value = models.send().await.unwrap().json().await.unwrap();
    let names: Vec<&str> = models["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["caller", "refuser", "shared", "citer", "dead"]);
    for _ in 0..3 {
        gateway.json("/v1/chat/completions", &ask("shared")).await;
    }
    gateway.json("/v1/chat/completions", &ask("citer")).await;
    let counts = gateway
        .providers
        .each_ref()
        .map(|provider| provider.requests.lock().unwrap().len());
    assert_eq!(counts, [3, 1]);
    let missing = gateway.post("/v1/chat/completions", &ask("up/first")).await;
    assert_eq!(missing.status(), 404);
    let health = gateway
        .web
        .get(format!("{}/health", gateway.http))
        .bearer_auth(KEY);
    let health: Value = health.send().await.unwrap().json().await.unwrap();
    assert_eq!(health["token_pool"]["total_tokens"], 2);
    assert_eq!(health["upstream"]["reachable"], true);
}

#[tokio::test]
async fn an_upstream_that_fails_leaves_the_other_alone() {
    let gateway = start().await;
    for _ in 0..25 {
        let refused = gateway.post("/v1/chat/completions", &ask("dead")).await;
        assert!([502, 503].contains(&refused.status().as_u16()));
    }
    let refused = gateway.post("/v1/chat/completions", &ask("citer")).await;
    assert_eq!(refused.status(), 503, "its upstream's circuit breaker is open");
    gateway.json("/v1/chat/completions", &ask("caller")).await;
}

#[tokio::test]
async fn the_provider_gets_the_request_whole_and_from_both_doors_the_same() {
    let gateway = start().await;
    let body = json!({
        "model": "caller",
        "messages": [
            { "role": "developer", "content": "Be brief." },
            { "role": "user", "name": "Ann", "content": [
                { "type": "text", "text": "What is this?" },
                { "type": "image_url", "image_url": { "url": "https://example.com/a.png", "detail": "low" } },
            ] },
            { "role": "assistant", "content": "Let me see.", "tool_calls": [
                { "id": "call_1", "type": "function", "function": { "name": "look", "arguments": "{}" } },
            ] },
            { "role": "tool", "tool_call_id": "call_1", "content": "a cat" },
        ],
        "tools": [{ "type": "function", "function": { "name": "look", "parameters": { "type": "object" } } }],
        "tool_choice": { "type": "function", "function": { "name": "look" } },
        "temperature": 0.5,
        "seed": 7,
        "logprobs": true,
        "prediction": { "type": "content", "content": "a cat" },
        "metadata": { "a": "b" },
        "max_completion_tokens": 100,
    });
    gateway.json("/v1/chat/completions", &body).await;
    let message = |role: proto::Role, content: Vec<proto::ContentPart>| proto::ChatMessage {
        role: role.into(),
        content,
        ..proto::ChatMessage::default()
    };
    let image = proto::ContentPart {
        part: Some(content_part::Part::Image(proto::Image {
            source: Some(proto::image::Source::Url("https://example.com/a.png".to_owned())),
            detail: proto::ImageDetail::Low.into(),
            ..proto::Image::default()
        })),
        ..proto::ContentPart::default()
    };
    let function = proto::FunctionTool {
        name: "look".to_owned(),
        parameters: Some(r#"{"type":"object"}"#.to_owned()),
        ..proto::FunctionTool::default()
    };
    let request = proto::CreateChatCompletionRequest {
        model: "caller".to_owned(),
        messages: vec![
            message(proto::Role::Developer, vec![text("Be brief.")]),
            proto::ChatMessage {
                name: Some("Ann".to_owned()),
                ..message(proto::Role::User, vec![text("What is this?"), image])
            },
            proto::ChatMessage {
                tool_calls: vec![proto::ToolCall {
                    id: "call_1".to_owned(),
                    call: Some(tool_call::Call::Function(proto::FunctionCall {
                        name: "look".to_owned(),
                        arguments: "{}".to_owned(),
                    })),
                }],
                ..message(proto::Role::Assistant, vec![text("Let me see.")])
            },
            proto::ChatMessage {
                tool_call_id: Some("call_1".to_owned()),
                ..message(proto::Role::Tool, vec![text("a cat")])
            },
        ],
        tools: vec![proto::Tool {
            tool: Some(tool::Tool::Function(function)),
        }],
        tool_choice: Some(proto::ToolChoice {
            choice: Some(proto::tool_choice::Choice::Function("look".to_owned())),
        }),
        temperature: Some(0.5),
        seed: Some(7),
        logprobs: Some(true),
        prediction: Some(proto::Prediction {
            content: vec![text("a cat")],
        }),
        metadata: [("a".to_owned(), "b".to_owned())].into(),
        max_tokens: Some(100),
        ..proto::CreateChatCompletionRequest::default()
    };
    gateway.grpc(request).await;
    let requests = gateway.providers[0].requests.lock().unwrap();
    let [(http, _), (grpc, _)] = requests.as_slice() else {
        panic!("{requests:?}");
    };
    assert_eq!(http, grpc);
    assert_eq!(http.hints.other["logprobs"], true);
    assert_eq!(http.hints.other["prediction"]["content"], "a cat");
    let roles: Vec<Role> = http.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::Developer, Role::User, Role::Assistant, Role::Tool]);
    assert!(
        matches!(&http.messages[1].parts[1], Part::Image(image) if image.detail.as_deref() == Some("low"))
    );
    assert!(matches!(&http.messages[2].parts[1], Part::ToolCall(call) if call.id == "call_1"));
    assert_eq!(http.messages[3].call_id.as_deref(), Some("call_1"));
    assert!(
        matches!(&http.tools[0], Tool::Function { parameters: Some(schema), .. } if schema["type"] == "object")
    );
    assert!(matches!(&http.tool_choice, Some(ToolChoice::Named(_, name)) if name == "look"));
    assert_eq!(
        (http.temperature, http.hints.seed, http.max_tokens),
        (Some(0.5), Some(7), Some(100))
    );
}

#[tokio::test]
async fn a_capability_is_a_models_and_not_the_gateways() {
    let gateway = start().await;
    let with_tools = |model: &str| {
        let mut body = ask(model);
        body["tools"] = json!([{ "type": "function", "function": { "name": "f" } }]);
        body
    };
    gateway.json("/v1/chat/completions", &with_tools("caller")).await;
    let refused = gateway.post("/v1/chat/completions", &with_tools("refuser")).await;
    assert_eq!(refused.status(), 400);
    let error: Value = refused.json().await.unwrap();
    assert_eq!(error["error"]["code"], "unsupported_parameter");
    for (model, without_effect) in [("caller", None), ("refuser", Some("temperature"))] {
        let mut body = ask(model);
        body["temperature"] = 0.5.into();
        let answer = gateway.post("/v1/chat/completions", &body).await;
        let named = answer.headers().get("x-duogate-ignored");
        assert_eq!(named.map(|names| names.to_str().unwrap()), without_effect);
        let mut request = grpc_ask(model);
        request.temperature = Some(0.5);
        let answer = gateway.chats.clone().create_chat_completion(keyed(request)).await;
        let named = answer.unwrap().metadata().get("x-duogate-ignored").cloned();
        assert_eq!(
            named.as_ref().map(|names| names.to_str().unwrap()),
            without_effect
        );
    }
}

#[tokio::test]
async fn a_dialogue_goes_on_in_the_providers_session() {
    let gateway = start().await;
    let (send, receive) = tokio::sync::mpsc::channel(4);
    let start = proto::ConverseStart {
        options: Some(proto::CreateChatCompletionRequest {
            model: "shared".to_owned(),
            ..proto::CreateChatCompletionRequest::default()
        }),
    };
    let said = |request| proto::ConverseRequest {
        request: Some(request),
    };
    send.send(said(Said::Start(start))).await.unwrap();
    let requests = tokio_stream::wrappers::ReceiverStream::new(receive);
    let stream = gateway.chats.clone().converse(keyed(requests)).await;
    let mut stream = stream.unwrap().into_inner();
    for question in ["first", "second"] {
        let turn = proto::ConverseTurn {
            content: vec![text(question)],
        };
        send.send(said(Said::Turn(turn))).await.unwrap();
        loop {
            let message = stream.message().await.unwrap().unwrap();
            if let Some(Heard::TurnFinished(finished)) = message.event {
                assert!(matches!(
                    finished.outcome,
                    Some(turn_finished::Outcome::FinishReason(_))
                ));
                break;
            }
        }
    }
    drop(send);
    while stream.message().await.unwrap().is_some() {}
    let requests = gateway.providers[0].requests.lock().unwrap();
    let turns: Vec<(usize, bool)> = requests
        .iter()
        .map(|(request, is_turn)| (request.messages.len(), *is_turn))
        .collect();
    assert_eq!(
        turns,
        [(1, false), (1, true)],
        "the second turn goes alone into the session"
    );
}
