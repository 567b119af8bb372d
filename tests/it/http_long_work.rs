//! Bodies that take long to read: the time that a request has holds for that too, and what nobody waits for any more is
//! given up, its room kept until then.

use std::{io::Write, time::Duration};

use crate::support::{Gateway, KEY, Setup, error_of};

const CHATS: &str = "/v1/chat/completions";

/// A gateway whose requests have no time to speak of, and room for one.
async fn hurried() -> Gateway {
    Setup::new()
        .settings(|settings| {
            settings.request_timeout = Duration::from_millis(1);
            settings.max_concurrent_requests = 1;
        })
        .start()
        .await
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    let mut encoder = flate2::write::GzEncoder::new(&mut whole, flate2::Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap();
    whole
}

/// Bodies that take far more than a millisecond, with a fault at their end that only who goes there can tell.
fn bodies() -> Vec<(&'static str, Option<&'static str>, Vec<u8>)> {
    let members = [gzip(b"").repeat(200_000), b"!".to_vec()].concat();
    let nothing = [[0, 0, 0, 255, 255].repeat(1_000_000), vec![7]].concat();
    let list = "0,".repeat(1_500_000);
    let deep = format!("{}{list}\"\\ud800\"{}", "[".repeat(14), "]".repeat(14));
    vec![
        ("members", Some("gzip"), members),
        ("stored blocks", Some("deflate"), nothing),
        ("known", None, format!(r#"{{"metadata":{deep}!"#).into_bytes()),
        ("unknown", None, format!(r#"{{"unknown":{deep}!"#).into_bytes()),
        (
            "both",
            Some("gzip"),
            gzip(format!(r#"{{"metadata":{deep}!"#).as_bytes()),
        ),
    ]
}

#[tokio::test]
async fn a_body_that_takes_too_long_is_told_as_such_and_given_up() {
    let gateway = hurried().await;
    for (what, coding, body) in bodies() {
        for path in [CHATS, "/v1/completions", "/v1/responses"] {
            let request = gateway.web.post(gateway.url(path)).bearer_auth(KEY);
            let request = request
                .header("content-type", "application/json")
                .header("content-encoding", coding.unwrap_or("identity"));
            let failure = error_of(request.body(body.clone()).send().await.unwrap()).await;
            assert_eq!(failure.kind, "deadline_exceeded", "{what} {path}: {failure:?}");
            // There is room for one, once the work on this has ended.
            gateway.settled().await;
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_small_body_is_judged_though_its_time_is_over() {
    let gateway = hurried().await;
    for body in ["{", "[]", "{}"] {
        let request = gateway.web.post(gateway.url(CHATS)).bearer_auth(KEY);
        let failure = error_of(request.body(body).send().await.unwrap()).await;
        assert_eq!(failure.kind, "invalid_request", "{body}");
    }
    gateway.settled().await;
    gateway.stop().await;
}
