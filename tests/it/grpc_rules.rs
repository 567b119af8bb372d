//! gRPC's protocol rules: known methods, media types, and the number of messages in a call.

use base64::{Engine, engine::general_purpose::STANDARD};
use duogate::app::client::{GetModelRequest, ListModelsRequest, ListTokensRequest};
use http::HeaderMap;
use http_body_util::BodyExt;
use prost::Message;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;

use crate::support::{ADMIN_KEY, Ask, Gateway, KEY, Setup, failure_of, frame};

const CREATE: &str = "/duogate.v1.ChatService/CreateChatCompletion";
const STREAM: &str = "/duogate.v1.ChatService/StreamChatCompletion";
const LIST: &str = "/duogate.v1.ChatService/ListModels";
const GET: &str = "/duogate.v1.ChatService/GetModel";
const TOKENS: &str = "/duogate.v1.DiagnosticsService/ListTokens";

/// Calls without a client library. The status is in the head, the trailers, or gRPC-Web's trailer frame.
async fn call(
    client: &reqwest::Client,
    url: String,
    kind: &str,
    key: Option<&str>,
    body: Vec<u8>,
) -> (Status, HeaderMap) {
    let request = client
        .post(&url)
        .header("content-type", kind)
        .header("te", "trailers");
    let request = match key {
        Some(key) => request.bearer_auth(key),
        None => request,
    };
    let response = request.body(body).send().await.unwrap();
    assert_eq!(response.status(), 200, "{url} {kind}");
    let (parts, body) = http::Response::<reqwest::Body>::from(response).into_parts();
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let said = Status::from_header_map(&parts.headers).or_else(|| Status::from_header_map(&trailers));
    let bytes = collected.to_bytes();
    let status = said.or_else(|| Status::from_header_map(&trailers_in(&bytes)));
    (status.expect("a status"), parts.headers)
}

/// The trailers in gRPC-Web's last frame.
fn trailers_in(body: &[u8]) -> HeaderMap {
    let text = String::from_utf8_lossy(body);
    let (_, rest) = text.split_once("grpc-status:").expect("trailers");
    let code = rest.split("\r\n").next().unwrap_or_default();
    HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        code.trim().parse().unwrap(),
    )])
}

async fn operated(setup: Setup) -> Gateway {
    let setup = setup.settings(|settings| settings.admin_key = Some(ADMIN_KEY.into()));
    setup.start().await
}

#[tokio::test]
async fn what_is_no_method_is_told_before_a_key_is_asked_for() {
    const NONE: [&str; 7] = [
        "/AWS.ALB/healthcheck",
        "/duogate.v1.ChatService/NoSuchMethod",
        "/duogate.v1.ChatService/",
        "/duogate.v2.ChatService/CreateChatCompletion",
        "/grpc.health.v1.Health/NoSuchMethod",
        "/grpc.reflection.v1.ServerReflection/NoSuchMethod",
        "/",
    ];
    for setup in [Setup::new(), Setup::new().one_port()] {
        let gateway = setup.start().await;
        let closed = [TOKENS, "/duogate.v1.DiagnosticsService/NoSuchMethod"];
        for path in NONE.into_iter().chain(closed) {
            for (client, kind) in [
                (&gateway.raw, "application/grpc"),
                (&gateway.raw, "application/grpc-web"),
                (&gateway.web, "application/grpc-web+proto"),
            ] {
                for key in [None, Some("sk-wrong"), Some(KEY)] {
                    let (status, _) = call(client, gateway.grpc_url(path), kind, key, frame(&[])).await;
                    assert_eq!(status.code(), Code::Unimplemented, "{path} {kind} {key:?}");
                    assert_eq!(failure_of(&status, false).kind, "unknown_url", "{path}");
                }
            }
        }
        // Existing methods require a key.
        for path in [CREATE, STREAM, LIST, "/duogate.v1.ChatService/Converse"] {
            let url = gateway.grpc_url(path);
            let (status, _) = call(&gateway.raw, url, "application/grpc", None, frame(&[])).await;
            assert_eq!(status.code(), Code::Unauthenticated, "{path}");
        }
        gateway.stop().await;
    }
}

#[tokio::test]
async fn what_is_no_operation_is_told_before_the_admin_key_is_asked_for() {
    let gateway = operated(Setup::new()).await;
    let no_such = "/duogate.v1.DiagnosticsService/NoSuchMethod";
    for (path, code) in [(no_such, Code::Unimplemented), (TOKENS, Code::Unauthenticated)] {
        let url = gateway.grpc_url(path);
        let (status, _) = call(&gateway.raw, url, "application/grpc", None, frame(&[])).await;
        assert_eq!(status.code(), code, "{path}");
        failure_of(&status, false);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_call_that_takes_one_message_takes_neither_two_nor_none() {
    let gateway = operated(Setup::new()).await;
    let chat = Ask::new("once").proto().encode_to_vec();
    let service = HealthCheckRequest::default().encode_to_vec();
    let model = GetModelRequest { id: "any".to_owned() };
    for (path, key, message) in [
        (CREATE, KEY, chat.clone()),
        (STREAM, KEY, chat),
        (LIST, KEY, ListModelsRequest {}.encode_to_vec()),
        (GET, KEY, model.encode_to_vec()),
        (TOKENS, ADMIN_KEY, ListTokensRequest {}.encode_to_vec()),
        ("/grpc.health.v1.Health/Check", KEY, service.clone()),
        ("/grpc.health.v1.Health/List", KEY, Vec::new()),
        ("/grpc.health.v1.Health/Watch", KEY, service),
    ] {
        let one = frame(&message);
        let twice = one.repeat(2);
        let and_a_byte = [one.as_slice(), &[0]].concat();
        for (body, said) in [
            (twice, "more than one message"),
            (and_a_byte, "more than one message"),
            (Vec::new(), "no message"),
        ] {
            for (client, kind) in [
                (&gateway.raw, "application/grpc"),
                (&gateway.web, "application/grpc-web"),
                (&gateway.web, "application/grpc-web-text"),
            ] {
                let body = if kind.ends_with("text") {
                    STANDARD.encode(&body).into_bytes()
                } else {
                    body.clone()
                };
                let (status, _) = call(client, gateway.grpc_url(path), kind, Some(key), body).await;
                let what = format!("{path} {kind}: {status:?}");
                assert_eq!(status.code(), Code::Internal, "{what}");
                assert!(status.message().contains(said), "{what}");
                assert_eq!(failure_of(&status, false).kind, "internal", "{what}");
            }
        }
    }
    assert!(gateway.sim.counts().calls.is_empty(), "nothing was begun");
    gateway.settled().await;
    // It does not count as the gateway's failure.
    assert_eq!(gateway.health().await["statistics"]["failed_requests"], 0);
    gateway.stop().await;
}

#[tokio::test]
async fn media_types_are_known_in_every_spelling() {
    let message = frame(&ListModelsRequest {}.encode_to_vec());
    let text = STANDARD.encode(&message).into_bytes();
    for setup in [Setup::new(), Setup::new().one_port()] {
        let gateway = setup.start().await;
        let (raw, web) = (&gateway.raw, &gateway.web);
        for (client, kind, body, answered) in [
            (raw, "application/grpc", &message, "application/grpc"),
            (raw, "Application/GRPC", &message, "application/grpc"),
            (
                raw,
                "application/grpc;charset=utf-8",
                &message,
                "application/grpc",
            ),
            (raw, "APPLICATION/GRPC+PROTO ; x=y", &message, "application/grpc"),
            (
                raw,
                "Application/gRPC-Web+Proto",
                &message,
                "application/grpc-web+proto",
            ),
            (
                web,
                "APPLICATION/GRPC-WEB; charset=utf-8",
                &message,
                "application/grpc-web+proto",
            ),
            (
                web,
                "Application/Grpc-Web-Text",
                &text,
                "application/grpc-web+proto",
            ),
        ] {
            let url = gateway.grpc_url(LIST);
            let (status, head) = call(client, url, kind, Some(KEY), body.clone()).await;
            assert_eq!(status.code(), Code::Ok, "{kind}: {status:?}");
            assert_eq!(head["content-type"], answered, "{kind}");
        }
        gateway.stop().await;
    }
}

#[tokio::test]
async fn base64_is_answered_to_those_who_want_it_however_they_spell_it() {
    let gateway = Gateway::start().await;
    for wanted in ["application/grpc-web-text", "Application/Grpc-Web-Text+proto"] {
        let request = gateway.web.post(gateway.grpc_url(LIST)).bearer_auth(KEY);
        let request = request
            .header("content-type", "application/grpc-web-text")
            .header("accept", wanted);
        let response = request.body(STANDARD.encode(frame(&[]))).send().await.unwrap();
        assert_eq!(
            response.headers()["content-type"],
            "application/grpc-web-text+proto"
        );
        let body = response.text().await.unwrap();
        assert!(
            body.bytes().all(|byte| byte.is_ascii_graphic()),
            "{wanted}: {body:?}"
        );
    }
    gateway.stop().await;
}

#[tokio::test]
async fn messages_in_another_codec_are_unimplemented_and_the_codec_is_named() {
    for setup in [Setup::new(), Setup::new().one_port()] {
        let gateway = setup.start().await;
        let (raw, web) = (&gateway.raw, &gateway.web);
        for (client, kind, codec) in [
            (raw, "application/grpc+json", "'json'"),
            (raw, "Application/GRPC+JSON; charset=utf-8", "'json'"),
            (raw, "application/grpc+thrift", "'thrift'"),
            (raw, "application/grpc-web+json", "'json'"),
            (web, "application/grpc-web+json", "'json'"),
            (web, "application/grpc-web-text+json", "'json'"),
        ] {
            for path in [CREATE, STREAM, LIST, "/grpc.health.v1.Health/Check"] {
                let body = b"{}".to_vec();
                let (status, head) = call(client, gateway.grpc_url(path), kind, Some(KEY), body).await;
                assert_eq!(status.code(), Code::Unimplemented, "{kind} {path}");
                assert!(status.message().contains(codec), "{}", status.message());
                assert_eq!(failure_of(&status, false).kind, "unsupported_media_type");
                let answered = head["content-type"].to_str().unwrap();
                assert!(answered.starts_with("application/grpc"), "{answered}");
            }
        }
        assert!(gateway.sim.counts().calls.is_empty());
        gateway.stop().await;
    }
}
