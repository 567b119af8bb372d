//! Encoded bodies: read like plain ones, with the same size limit, and rejected with a message if they are malformed.

use std::io::Write;

use duogate::sim::Hold;
use serde_json::{Value, json};

use crate::support::{ADMIN_KEY, Ask, Failure, Gateway, KEY, Setup, crossed, error_of, for_each, within};

const CHATS: &str = "/v1/chat/completions";
/// Each coding under the names that clients use.
const NAMES: [(&str, &str); 8] = [
    ("gzip", "gzip"),
    ("x-gzip", "gzip"),
    ("GZIP", "gzip"),
    ("deflate", "zlib"),
    ("deflate", "deflate"),
    ("br", "br"),
    ("zstd", "zstd"),
    ("identity, zstd", "zstd"),
];

fn encoded(form: &str, plain: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::fast();
    let mut whole = Vec::new();
    match form {
        "gzip" => flate2::write::GzEncoder::new(&mut whole, level).write_all(plain),
        "zlib" => flate2::write::ZlibEncoder::new(&mut whole, level).write_all(plain),
        "deflate" => flate2::write::DeflateEncoder::new(&mut whole, level).write_all(plain),
        "br" => brotli::CompressorWriter::new(&mut whole, 4096, 3, 22).write_all(plain),
        "zstd" => zstd::stream::copy_encode(plain, &mut whole, 1),
        other => panic!("{other} is no form"),
    }
    .unwrap();
    whole
}

async fn send(
    gateway: &Gateway,
    path: &str,
    coding: &str,
    body: impl Into<reqwest::Body>,
) -> reqwest::Response {
    let request = gateway.web.post(gateway.url(path)).bearer_auth(KEY);
    let request = request
        .header("content-type", "application/json")
        .header("content-encoding", coding);
    request.body(body).send().await.unwrap()
}

async fn refused(gateway: &Gateway, coding: &str, body: Vec<u8>) -> Failure {
    error_of(send(gateway, CHATS, coding, body).await).await
}

#[tokio::test]
async fn every_endpoint_reads_every_coding() {
    let gateway = Gateway::start().await;
    let endpoints = [
        (
            CHATS,
            json!({ "messages": [{ "role": "user", "content": "hällo" }] }),
        ),
        ("/v1/completions", json!({ "prompt": "hällo" })),
        ("/v1/responses", json!({ "input": "hällo" })),
    ];
    for_each(
        crossed(endpoints, NAMES),
        async |((path, mut body), (name, form))| {
            body["model"] = "it-model".into();
            let body = encoded(form, body.to_string().as_bytes());
            let response = send(&gateway, path, name, body).await;
            assert_eq!(response.status(), 200, "{path} {name}");
            assert!(
                response.text().await.unwrap().contains("You said: hällo"),
                "{path} {name}"
            );
        },
    )
    .await;
    for plain in ["", "identity", "Identity"] {
        let body = Ask::new("hi").json(false).to_string();
        assert_eq!(
            send(&gateway, CHATS, plain, body).await.status(),
            200,
            "{plain:?}"
        );
    }
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn operators_may_encode_too() {
    let gateway = Setup::new()
        .settings(|settings| settings.admin_key = Some(ADMIN_KEY.into()))
        .start()
        .await;
    let add = async |coding: &str, body: Vec<u8>| {
        let request = gateway
            .web
            .post(gateway.url("/admin/tokens"))
            .bearer_auth(ADMIN_KEY);
        let request = request.header("content-encoding", coding).body(body);
        request.send().await.unwrap()
    };
    for (number, (name, form)) in NAMES.into_iter().enumerate() {
        let body = json!({ "token": format!("it-encoded-{number}") }).to_string();
        assert_eq!(
            add(name, encoded(form, body.as_bytes())).await.status(),
            201,
            "{name}"
        );
    }
    let failure = error_of(add("gzip", b"{}".to_vec()).await).await;
    assert_eq!(
        (failure.kind, failure.field.as_deref()),
        ("invalid_request", Some("content-encoding"))
    );
    assert_eq!(
        error_of(add("compress", b"{}".to_vec()).await).await.kind,
        "unsupported_media_type"
    );
    let large = encoded("gzip", &vec![b' '; 64 * 1024 + 1]);
    assert_eq!(error_of(add("gzip", large).await).await.kind, "request_too_large");
    gateway.stop().await;
}

#[tokio::test]
async fn the_limit_is_on_what_is_decoded() {
    const LIMIT: usize = 64 * 1024;
    let gateway = Setup::new()
        .settings(|settings| settings.max_body_bytes = LIMIT)
        .start()
        .await;
    // Text that no coding compresses well, and text that all compress to almost nothing.
    let mut random = fastrand::Rng::with_seed(7);
    let noise: String = std::iter::repeat_with(|| random.alphanumeric())
        .take(LIMIT)
        .collect();
    let spaces = " ".repeat(LIMIT);
    let rest = Ask::new("").json(false).to_string().len();
    for_each(
        crossed(NAMES, [noise.as_str(), &spaces]),
        async |((name, form), text)| {
            let body = |size: usize| Ask::new(&text[..size - rest]).json(false).to_string();
            let whole = send(&gateway, CHATS, name, encoded(form, body(LIMIT).as_bytes())).await;
            assert_eq!(whole.status(), 200, "{name}");
            let larger = Ask::new(text).json(false).to_string();
            let failure = refused(&gateway, name, encoded(form, larger.as_bytes())).await;
            assert_eq!(failure.kind, "request_too_large", "{name}");
        },
    )
    .await;
    // A gigabyte each when decoded. Their ends are missing, which only decoding all of it would reveal.
    let piece = encoded("zstd", &vec![b' '; 8 * 1024 * 1024]);
    let mut bomb = piece.repeat(128);
    bomb.pop();
    assert_eq!(refused(&gateway, "zstd", bomb).await.kind, "request_too_large");
    let piece = encoded("gzip", &vec![b' '; 8 * 1024 * 1024]);
    let mut bomb = piece;
    bomb.pop();
    assert_eq!(refused(&gateway, "gzip", bomb).await.kind, "request_too_large");
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_no_encoding_is_told_as_that() {
    let gateway = Gateway::start().await;
    let plain = Ask::new("hi").json(false).to_string().into_bytes();
    for_each(NAMES, async |(name, form)| {
        let whole = encoded(form, &plain);
        let half = whole[..whole.len() / 2].to_vec();
        let mut turned = whole.clone();
        turned.reverse();
        let tailed = [whole.as_slice(), b"{}"].concat();
        for body in [plain.clone(), half, turned, tailed] {
            let failure = refused(&gateway, name, body).await;
            assert_eq!(failure.kind, "invalid_request", "{name}");
            assert_eq!(failure.field.as_deref(), Some("content-encoding"), "{name}");
            assert!(
                failure.message.contains("could not decode"),
                "{}",
                failure.message
            );
            assert_eq!(failure.should_retry, Some(false));
        }
        // The decoded content is validated as usual.
        let failure = refused(&gateway, name, encoded(form, b"{")).await;
        assert_eq!((failure.kind, failure.field), ("invalid_request", None), "{name}");
    })
    .await;
    assert_eq!(gateway.sim.counts().calls.values().sum::<u64>(), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn other_codings_are_refused_and_the_known_ones_named() {
    let gateway = Gateway::start().await;
    let whole = encoded("gzip", Ask::new("hi").json(false).to_string().as_bytes());
    for coding in [
        "compress",
        "gzip, br",
        "gzip,gzip",
        "lz4",
        "*",
        "aws-chunked",
        "gzip;q=1",
    ] {
        let response = send(&gateway, CHATS, coding, whole.clone()).await;
        assert_eq!(
            response.headers()["accept-encoding"],
            "gzip, deflate, br, zstd",
            "{coding}"
        );
        let failure = error_of(response).await;
        assert_eq!(failure.kind, "unsupported_media_type", "{coding}");
        assert_eq!(failure.field.as_deref(), Some("content-encoding"));
    }
    let twice = gateway.web.post(gateway.url(CHATS)).bearer_auth(KEY);
    let twice = twice
        .header("content-encoding", "gzip")
        .header("content-encoding", "gzip");
    let response = twice.body(encoded("gzip", &whole)).send().await.unwrap();
    assert_eq!(error_of(response).await.kind, "unsupported_media_type");
    // A wrong type is a different error.
    let typed = gateway.web.post(gateway.url(CHATS)).bearer_auth(KEY);
    let typed = typed
        .header("content-type", "text/plain")
        .body("hi")
        .send()
        .await
        .unwrap();
    assert!(!typed.headers().contains_key("accept-encoding"));
    assert_eq!(error_of(typed).await.kind, "unsupported_media_type");
    gateway.stop().await;
}

#[tokio::test]
async fn the_key_and_the_room_come_before_the_coding() {
    let gateway = Setup::new()
        .settings(|settings| settings.max_concurrent_requests = 1)
        .start()
        .await;
    let keyless = gateway
        .web
        .post(gateway.url(CHATS))
        .header("content-encoding", "lz4");
    assert_eq!(
        error_of(keyless.body("?").send().await.unwrap()).await.kind,
        "unauthenticated"
    );
    gateway.sim.hold_at(Hold::BeforeHead);
    let first = async {
        let body = Ask::new("hi").json(false).to_string();
        send(&gateway, CHATS, "identity", body)
            .await
            .json::<Value>()
            .await
            .unwrap()
    };
    let second = async {
        gateway
            .sim_until("one is under way", |counts| counts.open() == 1)
            .await;
        let failure = refused(&gateway, "lz4", b"?".to_vec()).await;
        assert_eq!(failure.kind, "overloaded");
        gateway.sim.release();
    };
    let (first, ()) = within("both", async { tokio::join!(first, second) }).await;
    assert_eq!(first["object"], "chat.completion");
    gateway.settled().await;
    gateway.stop().await;
}
