//! Invalid requests, generated from a table of OpenAI's fields and written by hand: each is answered with a 4xx in
//! OpenAI's format that names the field, and none goes upstream.

mod cases;

use futures::{StreamExt, stream};
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use self::cases::{by_hand, nested};
use crate::support::{Ask, Failure, Gateway, KEY, error_of, within};

/// The type of a field according to OpenAI's reference.
enum Kind {
    Bool,
    Number(f64, f64),
    /// Minimum and maximum; without a maximum where OpenAI documents none.
    Integer(i64, Option<i64>),
    /// Maximum length in characters.
    Text(Option<usize>),
    Word(&'static [&'static str]),
    Object,
    /// Minimum and maximum number of items, and a valid item.
    List(usize, Option<usize>, Value),
}

struct Field {
    name: &'static str,
    kind: Kind,
    /// Whether it is required. Null counts as absent.
    required: bool,
}

fn field(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        required: false,
    }
}

fn required(name: &'static str, kind: Kind) -> Field {
    Field {
        required: true,
        ..field(name, kind)
    }
}

fn fields() -> Vec<Field> {
    use Kind::{Bool, Integer, List, Number, Object, Text, Word};
    let user = json!({ "role": "user", "content": "hi" });
    let function = json!({ "name": "f" });
    let tool = json!({ "type": "function", "function": function });
    vec![
        required("model", Text(Some(256))),
        required("messages", List(1, None, user)),
        field("audio", Object),
        field("frequency_penalty", Number(-2.0, 2.0)),
        field("presence_penalty", Number(-2.0, 2.0)),
        field("functions", List(0, None, function)),
        field("logit_bias", Object),
        field("logprobs", Bool),
        field("top_logprobs", Integer(0, Some(20))),
        field("max_completion_tokens", Integer(1, None)),
        field("max_tokens", Integer(1, None)),
        field("metadata", Object),
        field("modalities", List(0, None, json!("text"))),
        field("moderation", Object),
        field("n", Integer(1, Some(128))),
        field("parallel_tool_calls", Bool),
        field("prediction", Object),
        field("prompt_cache_key", Text(None)),
        field("prompt_cache_options", Object),
        field("prompt_cache_retention", Word(&["in_memory", "24h"])),
        field(
            "reasoning_effort",
            Word(&["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
        ),
        field("response_format", Object),
        field("safety_identifier", Text(Some(128))),
        field(
            "service_tier",
            Word(&["auto", "default", "flex", "scale", "priority", "fast"]),
        ),
        field("store", Bool),
        field("stream", Bool),
        field("stream_options", Object),
        field("temperature", Number(0.0, 2.0)),
        field("top_p", Number(0.0, 1.0)),
        field("tools", List(0, None, tool)),
        field("user", Text(None)),
        field("verbosity", Word(&["low", "medium", "high"])),
        field("web_search_options", Object),
    ]
}

/// Invalid values of a kind, each with the place of the error inside the field.
fn wrong_values(kind: &Kind) -> Vec<(Value, &'static str)> {
    let here = |values: &[Value]| values.iter().map(|value| (value.clone(), "")).collect::<Vec<_>>();
    let (text, number, list, object) = (json!("nonsense"), json!(7), json!([]), json!({}));
    match kind {
        Kind::Bool => here(&[text, number, list, object, json!("true")]),
        Kind::Number(least, most) => here(&[
            text,
            list,
            object,
            json!(true),
            json!("1"),
            json!(least - 0.001),
            json!(most + 0.001),
            json!(-1e300),
            json!(1e300),
        ]),
        Kind::Integer(least, most) => {
            let mut wrong = here(&[
                text,
                list,
                object,
                json!(true),
                json!("1"),
                json!(1.5),
                json!(least - 1),
            ]);
            wrong.extend(here(&[json!(i64::MIN), json!(-1e300)]));
            wrong.extend(
                most.iter()
                    .flat_map(|most| here(&[json!(most + 1), json!(u64::MAX), json!(1e300)])),
            );
            wrong
        }
        Kind::Text(most) => {
            let mut wrong = here(&[number, list, object, json!(true)]);
            wrong.extend(most.map(|most| (json!("x".repeat(most + 1)), "")));
            wrong
        }
        // Any word is accepted, since it may have been added later.
        Kind::Word(_) => here(&[number, list, object, json!(true)]),
        Kind::Object => {
            let more = [json!(""), json!(1.5), json!([{}])];
            here(&[&[text, number, list, json!(true)], more.as_slice()].concat())
        }
        Kind::List(least, most, item) => {
            let mut wrong = here(&[json!("x"), number, object, json!(true)]);
            wrong.extend([
                (json!([17]), "[0]"),
                (json!([null]), "[0]"),
                (json!([item, []]), "[1]"),
            ]);
            wrong.extend((*least > 0).then(|| (json!([]), "")));
            wrong.extend(most.map(|most| (json!(vec![item; most + 1]), "")));
            wrong
        }
    }
}

fn good() -> Map<String, Value> {
    Ask::new("hi").json(false).as_object().unwrap().clone()
}

/// A valid request with one field replaced.
fn with(name: &str, value: Value) -> String {
    let mut body = good();
    body.insert(name.to_owned(), value);
    Value::Object(body).to_string()
}

fn from_the_table() -> Vec<(String, Option<String>)> {
    let mut cases = Vec::new();
    for Field { name, kind, required } in fields() {
        for (value, place) in wrong_values(&kind) {
            cases.push((with(name, value), Some(format!("{name}{place}"))));
        }
        if required {
            cases.push((with(name, Value::Null), Some(name.to_owned())));
        }
    }
    for required in ["model", "messages"] {
        let mut body = good();
        body.remove(required);
        cases.push((Value::Object(body).to_string(), Some(required.to_owned())));
    }
    cases
}

async fn refused(gateway: &Gateway, body: &str) -> Failure {
    let request = gateway
        .web
        .post(gateway.url("/v1/chat/completions"))
        .bearer_auth(KEY);
    let request = request
        .header("content-type", "application/json")
        .body(body.to_owned());
    let shown: String = body.chars().take(200).collect();
    let response = within(&shown, request.send()).await.unwrap();
    assert_eq!(response.status(), 400, "{shown}");
    error_of(response).await
}

#[tokio::test]
async fn every_bad_request_is_refused_and_its_field_named() {
    let gateway = Gateway::start().await;
    let cases: Vec<_> = [from_the_table(), nested(), by_hand()].concat();
    assert!(cases.len() >= 300, "only {}", cases.len());
    let checks = stream::iter(&cases).for_each_concurrent(16, async |(body, field)| {
        let failure = refused(&gateway, body).await;
        let shown: String = body.chars().take(200).collect();
        assert_eq!(failure.kind, "invalid_request", "{shown}");
        assert_eq!(failure.field, *field, "{shown}: {}", failure.message);
        assert!(failure.message.len() < 1000, "{shown}");
        assert_eq!((failure.should_retry, failure.retry_after), (Some(false), None));
    });
    checks.await;
    assert_eq!(
        gateway.sim.counts().calls.values().sum::<u64>(),
        0,
        "nothing went upstream"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn what_the_table_says_is_good_is_taken() {
    let gateway = Gateway::start().await;
    for Field { name, kind, required } in fields() {
        let mut good_values: Vec<Value> = match kind {
            _ if matches!(
                name,
                "model" | "messages" | "functions" | "tools" | "n" | "stream_options"
            ) =>
            {
                vec![]
            }
            Kind::Bool => vec![json!(false)],
            Kind::Number(least, most) => vec![json!(least), json!(most), json!(0)],
            Kind::Integer(least, most) => {
                let most = most.map_or(json!(1e300), |most| json!(most.min(0)));
                vec![json!(least), json!(least as f64), most]
            }
            Kind::Text(most) => vec![json!(""), json!("é".repeat(most.unwrap_or(100_000)))],
            Kind::Word(words) => words.iter().map(|word| json!(word)).collect(),
            Kind::List(..) | Kind::Object => vec![],
        };
        good_values.extend((!required).then_some(Value::Null));
        for value in good_values {
            let request = gateway
                .web
                .post(gateway.url("/v1/chat/completions"))
                .bearer_auth(KEY);
            let response = request
                .header("content-type", "application/json")
                .body(with(name, value.clone()))
                .send()
                .await
                .unwrap();
            assert_eq!(response.status(), 200, "{name}: {value}");
        }
    }
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test]
async fn bodies_that_are_not_framed_as_they_say_harm_nobody() {
    let gateway = Gateway::start().await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: it\r\nconnection: close\r\nauthorization: Bearer {KEY}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    for garbage in [
        "zz\r\n{}\r\n0\r\n\r\n",
        "5\r\n{}\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\n{}",
        "-1\r\n{}\r\n",
        "2\r\n{}\r\n0\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(gateway.http).await.unwrap();
        stream
            .write_all(format!("{head}{garbage}").as_bytes())
            .await
            .unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // A broken connection is acceptable, too.
        let _read = within("an answer or the end", stream.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400 "),
            "{garbage}: {answer}"
        );
    }
    assert_eq!(gateway.sim.counts().calls.values().sum::<u64>(), 0);
    gateway.stop().await;
}
