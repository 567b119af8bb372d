//! Bodies posted unchanged to any path of the HTTP door, and responses normalized for comparison.

use serde_json::Value;

use super::{Gateway, KEY};

/// Posts a body with a valid key.
pub(crate) async fn post(gateway: &Gateway, path: &str, body: &Value) -> reqwest::Response {
    let request = gateway.web.post(gateway.url(path)).bearer_auth(KEY);
    request.json(body).send().await.unwrap()
}

/// Posts a body, and returns status and text of the response with ids and times normalized.
pub(crate) async fn text_of(gateway: &Gateway, path: &str, body: &Value) -> String {
    let response = post(gateway, path, body).await;
    let status = response.status();
    format!("{status}\n{}", alike(&response.text().await.unwrap()))
}

/// Numbers the ids of each kind in their order, and hides times.
pub(crate) fn alike(text: &str) -> String {
    const DIGITS: usize = 32;
    let mut text = text.to_owned();
    for prefix in ["resp_", "msg_", "rs_", "fco_", "fc_", "cmpl-"] {
        let mut number = 0;
        while let Some(at) = id_after(&text, prefix, DIGITS) {
            number += 1;
            let id = text[at..at + prefix.len() + DIGITS].to_owned();
            text = text.replace(&id, &format!("{prefix}#{number}"));
        }
    }
    for key in ["\"created\":", "\"created_at\":"] {
        let pieces: Vec<&str> = text.split(key).collect();
        let hidden = pieces[1..].iter().map(|piece| {
            let rest = piece.trim_start_matches(|char: char| char.is_ascii_digit());
            assert!(
                piece.len() - rest.len() >= 10,
                "a time is seconds since 1970: {piece}"
            );
            format!("TIME{rest}")
        });
        let hidden: Vec<String> = std::iter::once(pieces[0].to_owned()).chain(hidden).collect();
        text = hidden.join(key);
    }
    text
}

fn id_after(text: &str, prefix: &str, digits: usize) -> Option<usize> {
    let starts = text.match_indices(prefix).map(|(at, _)| at);
    starts.into_iter().find(|at| {
        let rest = &text.as_bytes()[at + prefix.len()..];
        rest.len() >= digits && rest[..digits].iter().all(u8::is_ascii_hexdigit)
    })
}

/// The data of every event; each must have the form of `named` events or of plain ones.
pub(crate) fn events_of(text: &str, named: bool) -> Vec<Value> {
    assert!(text.ends_with("\n\n"), "half an event at the end: {text}");
    let blocks = text
        .split_terminator("\n\n")
        .filter(|block| !block.starts_with(": "));
    let events = blocks.filter_map(|block| {
        let (name, data) = match block.split_once('\n') {
            Some((name, data)) => (name.strip_prefix("event: "), data),
            None => (None, block),
        };
        assert_eq!(name.is_some(), named, "{block}");
        let data = data.strip_prefix("data: ").unwrap();
        if data == "[DONE]" {
            return None;
        }
        let event: Value = serde_json::from_str(data).unwrap();
        if let Some(name) = name {
            assert_eq!(event["type"], name, "{block}");
        }
        Some(event)
    });
    events.collect()
}
