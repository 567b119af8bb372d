//! Bodies that are too large, of another type, or unreadable.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Ask, Gateway, KEY, Setup, error_of, within};

const LIMIT: usize = 4096;

async fn small() -> Gateway {
    Setup::new()
        .settings(|settings| settings.max_body_bytes = LIMIT)
        .start()
        .await
}

/// Sends bytes on a new connection and reads the whole response.
async fn talk(gateway: &Gateway, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(gateway.http).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    within("an answer and the end", stream.read_to_end(&mut answer))
        .await
        .unwrap();
    String::from_utf8(answer).unwrap()
}

fn head(extra: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: it\r\nconnection: close\r\ncontent-type: application/json\r\n{extra}\r\n"
    )
}

/// A valid body of exactly this many bytes.
fn body_of(size: usize) -> String {
    let empty = Ask::new("").json(false).to_string();
    Ask::new("x".repeat(size - empty.len())).json(false).to_string()
}

#[tokio::test]
async fn a_body_up_to_the_limit_passes_and_one_byte_more_does_not() {
    let gateway = small().await;
    let post = |body: String| {
        let request = gateway
            .web
            .post(gateway.url("/v1/chat/completions"))
            .bearer_auth(KEY);
        request
            .header("content-type", "application/json")
            .body(body)
            .send()
    };
    assert_eq!(post(body_of(LIMIT)).await.unwrap().status(), 200);
    let failure = error_of(post(body_of(LIMIT + 1)).await.unwrap()).await;
    assert_eq!(failure.kind, "request_too_large");
    gateway.stop().await;
}

#[tokio::test]
async fn an_announced_size_over_the_limit_is_refused_before_the_body_comes() {
    let gateway = small().await;
    let bytes = head(&format!(
        "authorization: Bearer {KEY}\r\ncontent-length: 99999999\r\n"
    ));
    let answer = talk(&gateway, bytes.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("\"code\":\"request_too_large\""), "{answer}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_body_without_an_announced_size_is_counted_as_it_comes() {
    let gateway = small().await;
    let chunk = |body: &str| format!("{:x}\r\n{body}\r\n", body.len());
    let key = format!("authorization: Bearer {KEY}\r\ntransfer-encoding: chunked\r\n");
    let good = format!("{}{}0\r\n\r\n", head(&key), chunk(&body_of(LIMIT)));
    let answer = talk(&gateway, good.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    // The body never ends, so only counting reveals its size.
    let endless = format!("{}{}{}", head(&key), chunk(&body_of(LIMIT)), chunk("x"));
    let answer = talk(&gateway, endless.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("\"code\":\"request_too_large\""), "{answer}");
    gateway.stop().await;
}

#[tokio::test]
async fn without_a_key_no_body_is_read() {
    let gateway = small().await;
    let answer = talk(&gateway, head("content-length: 4000\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    gateway.stop().await;
}

#[tokio::test]
async fn only_json_is_read() {
    let gateway = small().await;
    let post = |kind: Option<&'static str>| {
        let mut request = gateway
            .web
            .post(gateway.url("/v1/chat/completions"))
            .bearer_auth(KEY);
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        request.body(body_of(200)).send()
    };
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "json",
        "",
    ] {
        let failure = error_of(post(Some(kind)).await.unwrap()).await;
        assert_eq!(failure.kind, "unsupported_media_type", "{kind:?}");
    }
    let json = [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/vnd.api+json",
    ];
    for kind in json.map(Some).into_iter().chain([None]) {
        assert_eq!(post(kind).await.unwrap().status(), 200, "{kind:?}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_harms_nobody() {
    let gateway = small().await;
    let bytes = head(&format!(
        "authorization: Bearer {KEY}\r\ncontent-length: 4000\r\n"
    )) + "{\"model\"";
    let mut stream = TcpStream::connect(gateway.http).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    drop(stream);
    gateway.settled().await;
    assert_eq!(gateway.sim.counts().calls.values().sum::<u64>(), 0);
    gateway.stop().await;
}
