//! gRPC-Web as browsers use it, including preflight requests.

use std::time::Duration;

use duogate::{app::client::CreateChatCompletionResponse, sim::answer_text};
use http::{HeaderMap, Method, StatusCode};
use prost::Message;

use crate::support::{Ask, Gateway, KEY, Setup, frame};

const CREATE: &str = "/duogate.v1.ChatService/CreateChatCompletion";
const STREAM: &str = "/duogate.v1.ChatService/StreamChatCompletion";
const PAGE: &str = "https://app.example.com";

/// The response of a gRPC-Web call: the frames of its body, the trailers in the last one, and its head.
struct WebAnswer {
    messages: Vec<Vec<u8>>,
    trailers: String,
    headers: HeaderMap,
}

async fn call(client: &reqwest::Client, url: String, kind: &str, body: Vec<u8>) -> WebAnswer {
    let request = client
        .post(url)
        .header("content-type", kind)
        .header("origin", PAGE);
    let request = request.header("x-grpc-web", "1").bearer_auth(KEY).body(body);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let headers = response.headers().clone();
    let mut rest = response.bytes().await.unwrap().to_vec();
    let (mut messages, mut trailers) = (Vec::new(), String::new());
    while rest.len() >= 5 {
        let length = u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize;
        let tail = rest.split_off(5 + length);
        let payload = rest.split_off(5);
        match rest[0] {
            0 => messages.push(payload),
            0x80 => trailers = String::from_utf8(payload).unwrap(),
            flag => panic!("a frame with the flag {flag}"),
        }
        rest = tail;
    }
    assert!(rest.is_empty(), "half a frame: {rest:?}");
    WebAnswer {
        messages,
        trailers,
        headers,
    }
}

async fn answers(gateway: &Gateway) {
    let body = frame(&Ask::new("browse").proto().encode_to_vec());
    for (client, kind) in [
        (&gateway.web, "application/grpc-web+proto"),
        (&gateway.web, "application/grpc-web; charset=utf-8"),
        (&gateway.raw, "application/grpc-web"),
    ] {
        let answer = call(client, gateway.grpc_url(CREATE), kind, body.clone()).await;
        let whole = CreateChatCompletionResponse::decode(answer.messages[0].as_slice()).unwrap();
        assert!(format!("{whole:?}").contains(&answer_text("browse")), "{whole:?}");
        assert!(answer.trailers.contains("grpc-status:0"), "{}", answer.trailers);
        assert!(answer.trailers.contains("x-request-id:"), "{}", answer.trailers);
        assert_eq!(answer.headers["content-type"], "application/grpc-web+proto");
        assert_eq!(answer.headers["access-control-allow-origin"], "*");
        // Streams must not be buffered on the way.
        assert_eq!(answer.headers["cache-control"], "no-cache, no-transform");
        assert_eq!(answer.headers["x-accel-buffering"], "no");
        let exposed = answer.headers["access-control-expose-headers"].to_str().unwrap();
        for name in [
            "grpc-status",
            "grpc-message",
            "grpc-status-details-bin",
            "x-request-id",
        ] {
            assert!(exposed.contains(name), "{exposed}");
        }
        let answer = call(client, gateway.grpc_url(STREAM), kind, body.clone()).await;
        assert!(answer.messages.len() > 3);
        assert!(answer.trailers.contains("grpc-status:0"), "{}", answer.trailers);
    }
    gateway.settled().await;
}

#[tokio::test]
async fn browsers_chat_by_grpc_web() {
    let gateway = Gateway::start().await;
    answers(&gateway).await;
    gateway.stop().await;
}

#[tokio::test]
async fn browsers_chat_by_grpc_web_where_one_port_serves_all() {
    let gateway = Setup::new().one_port().start().await;
    answers(&gateway).await;
    let asked = ask_first(&gateway, PAGE).await;
    assert_eq!(asked["access-control-allow-origin"], "*");
    gateway.stop().await;
}

#[tokio::test]
async fn failures_reach_browsers_too() {
    let gateway = Gateway::start().await;
    let kind = "application/grpc-web+proto";
    let bad = call(&gateway.web, gateway.grpc_url(CREATE), kind, frame(&[])).await;
    assert_eq!(bad.headers["grpc-status"], "3");
    assert_eq!(bad.headers["access-control-allow-origin"], "*");
    let cut = frame(&Ask::new("cut").model("fault:cut").proto().encode_to_vec());
    let cut = call(&gateway.web, gateway.grpc_url(STREAM), kind, cut).await;
    assert!(cut.trailers.contains("grpc-status:10"), "{}", cut.trailers);
    let request = gateway
        .web
        .post(gateway.grpc_url(CREATE))
        .header("content-type", kind);
    let nameless = request
        .header("origin", PAGE)
        .body(frame(&[]))
        .send()
        .await
        .unwrap();
    assert_eq!(nameless.headers()["grpc-status"], "16");
    assert_eq!(nameless.headers()["access-control-allow-origin"], "*");
    gateway.settled().await;
    gateway.stop().await;
}

/// The response to a browser's preflight request.
async fn ask_first(gateway: &Gateway, page: &str) -> HeaderMap {
    let request = gateway.web.request(Method::OPTIONS, gateway.grpc_url(CREATE));
    let request = request
        .header("origin", page)
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "authorization,content-type,x-grpc-web",
        );
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.headers().clone()
}

#[tokio::test]
async fn pages_of_other_origins_are_not_told_that_they_may_call() {
    let setup = Setup::new().settings(|settings| {
        settings.cors_allow_origins = vec![PAGE.to_owned()];
    });
    let gateway = setup.start().await;
    let allowed = ask_first(&gateway, PAGE).await;
    assert_eq!(allowed["access-control-allow-origin"], PAGE);
    assert_eq!(allowed["access-control-allow-methods"], "POST");
    let headers = allowed["access-control-allow-headers"].to_str().unwrap();
    // A wildcard would not cover `authorization`.
    assert!(headers.contains("authorization"), "{headers}");
    let refused = ask_first(&gateway, "https://elsewhere.example.com").await;
    assert!(
        !refused.contains_key("access-control-allow-origin"),
        "{refused:?}"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn grpc_over_http_1_is_told_what_it_lacks() {
    let gateway = Gateway::start().await;
    for (kind, status) in [
        ("application/grpc", 505),
        ("application/grpc+proto", 505),
        ("application/json", 415),
    ] {
        let request = gateway.web.post(gateway.grpc_url(CREATE)).bearer_auth(KEY);
        let request = request
            .header("content-type", kind)
            .timeout(Duration::from_secs(10));
        let response = request.body(frame(&[])).send().await.unwrap();
        assert_eq!(response.status(), status, "{kind}");
    }
    let got = gateway.web.get(gateway.grpc_url(CREATE)).send().await.unwrap();
    assert_eq!(got.status(), 415);
    gateway.stop().await;
}
