//! Unknown paths, and methods and protocols that a path does not support.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Gateway, KEY, error_of, within};

#[tokio::test]
async fn unknown_paths_and_wrong_methods_get_the_same_shape() {
    let gateway = Gateway::start().await;
    let send = async |method: &str, path: &str| {
        let method = method.parse().unwrap();
        let request = gateway.web.request(method, gateway.url(path)).bearer_auth(KEY);
        request.send().await.unwrap()
    };
    for (method, path) in [
        ("GET", "/v1"),
        ("GET", "/v2/models"),
        ("POST", "/v1/embeddings"),
        ("POST", "/v1/responses/compact"),
        ("POST", "/v1/responses/input_tokens"),
        ("GET", "/v1/responses/compact"),
        ("POST", "/responses/compact/"),
        ("POST", "/v1/responses/resp_1/cancel"),
        ("GET", "/v1/chat/completions/chatcmpl-1"),
        ("GET", "/v1/conversations/conv_1"),
        ("DELETE", "/v1/%2e%2e/%00"),
        ("GET", "/v1/models/%ff"),
    ] {
        let failure = error_of(send(method, path).await).await;
        assert_eq!(failure.kind, "unknown_url", "{method} {path}");
    }
    for (method, path) in [
        ("GET", "/v1/chat/completions"),
        ("PUT", "/v1/chat/completions"),
        ("POST", "/v1/models"),
        ("GET", "/v1/responses"),
        ("POST", "/v1/responses/resp_1"),
        ("DELETE", "/v1/models/one"),
        ("POST", "/health"),
        ("PATCH", "/metrics"),
    ] {
        let response = send(method, path).await;
        assert!(
            response.headers().contains_key("allow"),
            "{method} {path}: no Allow header"
        );
        assert_eq!(
            error_of(response).await.kind,
            "method_not_supported",
            "{method} {path}"
        );
    }
    gateway.stop().await;
}

/// Requests a WebSocket as its clients do, then the models on the same connection, and returns both responses.
async fn upgrade(gateway: &Gateway, path: &str, protocol: &str, key: &str) -> String {
    let mut stream = TcpStream::connect(gateway.http).await.unwrap();
    let asked = format!(
        "GET {path} HTTP/1.1\r\nhost: it\r\nauthorization: Bearer {key}\r\nconnection: Upgrade\r\nupgrade: {protocol}\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         openai-beta: responses_websockets=2026-02-06\r\n\r\n\
         GET /v1/models HTTP/1.1\r\nhost: it\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(asked.as_bytes()).await.unwrap();
    let mut answers = String::new();
    let read = stream.read_to_string(&mut answers);
    within("both answers and the end", read).await.unwrap();
    assert!(
        answers.contains("\"object\":\"list\""),
        "the connection goes on: {answers}"
    );
    answers
}

#[tokio::test]
async fn who_wants_responses_over_a_websocket_is_sent_back_to_http() {
    let gateway = Gateway::start().await;
    for path in [
        "/v1/responses",
        "/responses",
        "/openai/v1/responses?api-version=preview",
    ] {
        for protocol in ["websocket", "WebSocket", "h2c, websocket"] {
            let answer = upgrade(&gateway, path, protocol, KEY).await;
            assert!(
                answer.starts_with("HTTP/1.1 426 Upgrade Required\r\n"),
                "{path} {protocol}: {answer}"
            );
            assert!(answer.contains("\r\nupgrade: HTTP/1.1\r\n"), "{answer}");
            assert!(answer.contains("\r\nconnection: upgrade\r\n"), "{answer}");
            assert!(answer.contains("\"code\":\"upgrade_required\""), "{answer}");
            assert!(answer.contains("\r\nx-should-retry: false\r\n"), "{answer}");
        }
    }
    // The key is checked first; other protocols are ignored, and other paths have none.
    let keyless = upgrade(&gateway, "/v1/responses", "websocket", "wrong").await;
    assert!(keyless.starts_with("HTTP/1.1 401 "), "{keyless}");
    let other = upgrade(&gateway, "/v1/responses", "h2c", KEY).await;
    assert!(other.starts_with("HTTP/1.1 405 "), "{other}");
    let elsewhere = upgrade(&gateway, "/v1/chat/completions", "websocket", KEY).await;
    assert!(elsewhere.starts_with("HTTP/1.1 405 "), "{elsewhere}");
    gateway.stop().await;
}
