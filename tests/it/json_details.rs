//! Unusual JSON: a byte order mark, lone surrogates, repeated names, and numbers and depths beyond all limits. It is an
//! error only where the value is used, and is then reported with its place.

use duogate::{
    config::{Settings, UnsupportedParams},
    sim::answer_text,
};
use serde_json::Value;

use crate::support::{Gateway, KEY, Setup, error_of, for_each};

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";
const RESPONSES: &str = "/v1/responses";

async fn send(gateway: &Gateway, path: &str, body: impl Into<reqwest::Body>) -> reqwest::Response {
    let request = gateway.web.post(gateway.url(path)).bearer_auth(KEY);
    let request = request.header("content-type", "application/json");
    request.body(body).send().await.unwrap()
}

/// A chat of one message, with additional fields in the body and the message.
fn chat(body: &str, message: &str) -> String {
    format!(r#"{{"model":"it-model","messages":[{{"role":"user","content":"hi"{message}}}]{body}}}"#)
}

fn response(body: &str, item: &str) -> String {
    format!(r#"{{"model":"it-model","input":[{{"role":"user","content":"hi"{item}}}]{body}}}"#)
}

fn completion(body: &str) -> String {
    format!(r#"{{"model":"it-model","prompt":"hi"{body}}}"#)
}

fn lenient(settings: &mut Settings) {
    settings.unsupported_params = UnsupportedParams::Ignore;
}

#[tokio::test]
async fn a_byte_order_mark_before_the_body_is_no_part_of_it() {
    let gateway = Gateway::start().await;
    for (path, body) in [
        (CHAT, chat("", "")),
        (COMPLETIONS, completion("")),
        (RESPONSES, response("", "")),
    ] {
        let marked = format!("\u{feff}{body}");
        assert_eq!(send(&gateway, path, marked).await.status(), 200, "{path}");
        for body in [
            format!("\u{feff}\u{feff}{body}"),
            format!("{body}\u{feff}"),
            "\u{feff}".to_owned(),
        ] {
            assert_eq!(
                error_of(send(&gateway, path, body).await).await.kind,
                "invalid_request"
            );
        }
    }
    gateway.settled().await;
    gateway.stop().await;
}

/// Bodies that are rejected, by the reported field.
fn refused() -> Vec<(&'static str, String, &'static str)> {
    let text = |text: &str| format!(r#"{{"model":"m","messages":[{{"role":"user","content":{text}}}]}}"#);
    let item = |item: &str| format!(r#"{{"model":"m","input":[{item}]}}"#);
    vec![
        (CHAT, text(r#""a\ud83d""#), "messages[0].content"),
        (CHAT, text(r#""\udc00\ud83d""#), "messages[0].content"),
        (CHAT, text(r#""\ud83d \ude00""#), "messages[0].content"),
        (
            CHAT,
            text(r#"[{"type":"text","text":"a"},{"text":"\ud83d","type":"text"}]"#),
            "messages[0].content[1].text",
        ),
        (CHAT, chat("", r#","name":"\ud83d""#), "messages[0].name"),
        (CHAT, chat(r#","stop":["a","\ud83d"]"#, ""), "stop[1]"),
        (CHAT, chat("", "").replace("it-model", r"\ud83d"), "model"),
        (CHAT, chat("", "").replace("user", r"\ud83d"), "messages[0].role"),
        (
            CHAT,
            chat(
                "",
                r#","tool_calls":[{"function":{"name":"f","arguments":"\ud83d"}}]"#,
            ),
            "messages[0].tool_calls[0].function.arguments",
        ),
        (COMPLETIONS, completion("").replace("hi", r"\ud83d"), "prompt"),
        (
            COMPLETIONS,
            completion("").replace("\"hi\"", r#"["a","\ud83d"]"#),
            "prompt[1]",
        ),
        (
            RESPONSES,
            response("", "").replace("hi", r"\ud83d"),
            "input[0].content",
        ),
        (
            RESPONSES,
            response(r#","instructions":"\ud83d""#, ""),
            "instructions",
        ),
        (
            RESPONSES,
            response(r#","metadata":{"k":"\ud83d"}"#, ""),
            "metadata.k",
        ),
        (
            RESPONSES,
            response(r#","metadata":{"\ud83d":"v"}"#, ""),
            "metadata",
        ),
        (
            RESPONSES,
            item(
                r#"{"type":"function_call_output","call_id":"c","output":[{"type":"input_text","text":"\ud83d"}]}"#,
            ),
            "input[0].output[0].text",
        ),
        (RESPONSES, r#"{"model":"m","input":"\ud83d"}"#.to_owned(), "input"),
        // Repeated names, in any notation.
        (CHAT, chat("", r#","role":"system""#), "messages[0].role"),
        (CHAT, chat("", r#","r\u006fle":"system""#), "messages[0].role"),
        (CHAT, chat("", r#","content":null"#), "messages[0].content"),
        (CHAT, chat("", r#","name":"a","name":"a""#), "messages[0].name"),
        (CHAT, chat(r#","m\u006fdel":"x""#, ""), "model"),
        (CHAT, chat(r#","stop":null,"stop":"x""#, ""), "stop"),
        (
            CHAT,
            text(r#"[{"type":"text","text":"a","text":"b"}]"#),
            "messages[0].content[0].text",
        ),
        (
            CHAT,
            text(r#"[{"type":"image_url","type":"text","text":"b"}]"#),
            "messages[0].content[0].type",
        ),
        (
            CHAT,
            chat(
                r#","stream":true,"stream_options":{"include_usage":false,"include_usage":true}"#,
                "",
            ),
            "stream_options.include_usage",
        ),
        (
            CHAT,
            chat("", r#","tool_calls":[{"function":{"name":"f","name":"g"}}]"#),
            "messages[0].tool_calls[0].function.name",
        ),
        (
            CHAT,
            chat("", r#","function_call":{"name":"f","name":"g"}"#),
            "messages[0].function_call.name",
        ),
        (COMPLETIONS, completion(r#","prompt":"x""#), "prompt"),
        (RESPONSES, response("", r#","role":"system""#), "input[0].role"),
        (
            RESPONSES,
            response("", r#","type":"message","type":"reasoning""#),
            "input[0].type",
        ),
        (RESPONSES, response("", r#","content":"x""#), "input[0].content"),
        (
            RESPONSES,
            response(r#","metadata":{"k":"v","\u006b":"w"}"#, ""),
            "metadata.k",
        ),
        (RESPONSES, item(r#"{"id":"a","id":"b"}"#), "input[0].id"),
        // Numbers and depths beyond all limits, where they are used.
        (CHAT, chat(r#","n":1e400"#, ""), "n"),
        (CHAT, chat(r#","max_tokens":-1e400"#, ""), "max_tokens"),
        (CHAT, chat(r#","temperature":1e400"#, ""), "temperature"),
        (
            CHAT,
            text(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))),
            "messages[0].content[0]",
        ),
    ]
}

#[tokio::test]
async fn what_is_odd_where_it_is_used_is_told_by_its_place() {
    let gateway = Gateway::start().await;
    for_each(refused(), async |(path, body, field)| {
        let failure = error_of(send(&gateway, path, body.clone()).await).await;
        let shown: String = body.chars().take(200).collect();
        assert_eq!(
            (failure.kind, failure.field.as_deref()),
            ("invalid_request", Some(field)),
            "{shown}"
        );
        assert!(
            failure.message.len() < 250 && failure.message.contains(field),
            "{}",
            failure.message
        );
    })
    .await;
    assert!(gateway.sim.counts().calls.is_empty());
    gateway.stop().await;
}

/// Unusual values in places that are not used.
fn oddities() -> Vec<String> {
    let deep = format!("{}{}", r#"{"a":["#.repeat(20_000), "]}".repeat(20_000));
    vec![
        r#""\ud83d""#.to_owned(),
        r#"["\udfff", {"\ud800": "\ud800"}]"#.to_owned(),
        r#"{"a": 1, "a": 2, "\u0061": {"b": 3, "b": 4}}"#.to_owned(),
        "1e400".to_owned(),
        "[-1e999, 123456789012345678901234567890123456789012345678901234567890]".to_owned(),
        deep,
        // More than anybody could mean.
        format!(
            r#"[{}{{{}"b":1}}]"#,
            r#""\ud800","#.repeat(1500),
            r#""a":1,"#.repeat(1500)
        ),
        // Two names that are no characters are not one.
        r#"{"\ud800": 1, "\ud801": 2, "\ufffd": 3}"#.to_owned(),
    ]
}

#[tokio::test]
async fn what_is_odd_where_nobody_looks_does_not_matter() {
    let gateway = Gateway::start().await;
    let mut cases = Vec::new();
    for odd in oddities() {
        let unknown = format!(r#","of_tomorrow":{odd},"\ud83d":{odd},"of_tomorrow":{odd}"#);
        cases.push((CHAT, chat(&unknown, &unknown)));
        cases.push((COMPLETIONS, completion(&unknown)));
        cases.push((RESPONSES, response(&unknown, &unknown)));
        // Additional fields of a message, and the text of a reasoning item.
        cases.push((
            CHAT,
            chat("", &format!(r#","annotations":{odd},"reasoning_content":{odd}"#)),
        ));
        let tools = format!(
            r#","tool_choice":"none","tools":[{{"type":"function","function":{{"name":"f","parameters":{{"x":{odd}}}}}}}]"#
        );
        cases.push((CHAT, chat(&tools, "")));
    }
    // Names that look like places.
    let part = chat(
        "",
        r#","content[0].text":"\ud800","content[0]":{"text":"\ud800"}"#,
    );
    let part = part.replace("\"hi\"", r#"[{"type":"text","text":"hi"}]"#);
    cases.push((CHAT, part));
    cases.push((
        CHAT,
        chat(
            r#","messages[0].content":"\ud800","messages[0]":{"role":1,"role":2}"#,
            "",
        ),
    ));
    cases.push((
        RESPONSES,
        response(
            r#","metadata":{"a":"x","a.b":"y"},"metadata.a":"\ud800""#,
            r#","content.x":"\ud800""#,
        ),
    ));
    let (long, bias) = ("n".repeat(64), r#""\ud800":1,"\ud801":2"#);
    cases.push((
        CHAT,
        chat(
            &format!(r#","logit_bias":{{"{long}1":1,"{long}2":2,{bias}}}"#),
            "",
        ),
    ));
    cases.push((
        CHAT,
        chat(
            r#","user":"\ud83d","metadata":{"\ud83d":"\ud83d"},"prompt_cache_key":"\ud83d""#,
            "",
        ),
    ));
    for_each(cases, async |(path, body)| {
        let response = send(&gateway, path, body.clone()).await;
        let shown: String = body.chars().take(200).collect();
        assert_eq!(response.status(), 200, "{shown}");
        let answer: Value = response.json().await.unwrap();
        assert!(
            answer.to_string().contains(&answer_text("hi")),
            "{shown}: {answer}"
        );
    })
    .await;
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_odd_in_what_is_left_out_does_not_matter() {
    let gateway = Setup::new().settings(lenient).start().await;
    let mut cases = Vec::new();
    for odd in oddities() {
        for name in [
            "tools",
            "response_format",
            "web_search_options",
            "user",
            "temperature",
            "metadata",
        ] {
            cases.push((CHAT, chat(&format!(r#","{name}":{odd}"#), ""), name.to_owned()));
        }
        for name in ["tools", "tool_choice", "reasoning", "truncation", "temperature"] {
            cases.push((
                RESPONSES,
                response(&format!(r#","{name}":{odd}"#), ""),
                name.to_owned(),
            ));
        }
        for name in ["suffix", "logprobs", "seed"] {
            cases.push((
                COMPLETIONS,
                completion(&format!(r#","{name}":{odd}"#)),
                name.to_owned(),
            ));
        }
        let body = response(&format!(r#","text":{{"format":{odd}}}"#), "");
        cases.push((RESPONSES, body, "text.format".to_owned()));
        let part = format!(r#"[{{"type":"text","text":"hi"}},{{"type":"video_url","video_url":{odd}}}]"#);
        cases.push((
            CHAT,
            chat("", "").replace("\"hi\"", &part),
            "video_url".to_owned(),
        ));
        let item = format!(r#"[{{"type":"program","code":{odd}}},"#);
        cases.push((
            RESPONSES,
            response("", "").replacen('[', &item, 1),
            "input".to_owned(),
        ));
    }
    for_each(cases, async |(path, body, name)| {
        let response = send(&gateway, path, body.clone()).await;
        let shown: String = body.chars().take(200).collect();
        assert_eq!(response.status(), 200, "{shown}");
        let ignored = response.headers()["x-duogate-ignored"]
            .to_str()
            .unwrap()
            .to_owned();
        assert_eq!(ignored, name, "{shown}");
        let answer: Value = response.json().await.unwrap();
        assert!(answer.to_string().contains(&answer_text("hi")[..8]), "{shown}");
    })
    .await;
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn whole_surrogates_are_characters_like_others() {
    let gateway = Gateway::start().await;
    let body = chat("", "").replace("hi", r"\ud83d\ude00");
    let answer: Value = send(&gateway, CHAT, body).await.json().await.unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], answer_text("😀"));
    gateway.settled().await;
    gateway.stop().await;
}
