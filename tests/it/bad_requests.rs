//! Every way to get a request wrong, made from a table of OpenAI's fields and by hand: always a 4xx of OpenAI's form
//! that names the field, and nothing goes upstream.

use futures::{StreamExt, stream};
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Ask, Failure, Gateway, KEY, error_of, within};

/// What a field may be, as OpenAI's reference has it.
enum Kind {
    Bool,
    Number(f64, f64),
    /// Without a bound above where OpenAI knows none.
    Integer(i64, Option<i64>),
    /// At most so many characters.
    Text(Option<usize>),
    Word(&'static [&'static str]),
    Object,
    /// At least and at most so many of a good item.
    List(usize, Option<usize>, Value),
}

struct Field {
    name: &'static str,
    kind: Kind,
    null: bool,
}

fn field(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        null: false,
    }
}

fn nullable(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        null: true,
    }
}

fn fields() -> Vec<Field> {
    use Kind::{Bool, Integer, List, Number, Object, Text, Word};
    let user = json!({ "role": "user", "content": "hi" });
    let function = json!({ "name": "f" });
    let tool = json!({ "type": "function", "function": function });
    vec![
        field("model", Text(Some(256))),
        field("messages", List(1, None, user)),
        nullable("audio", Object),
        nullable("frequency_penalty", Number(-2.0, 2.0)),
        nullable("presence_penalty", Number(-2.0, 2.0)),
        field("functions", List(1, Some(128), function)),
        nullable("logit_bias", Object),
        nullable("logprobs", Bool),
        nullable("top_logprobs", Integer(0, Some(20))),
        nullable("max_completion_tokens", Integer(1, None)),
        nullable("max_tokens", Integer(1, None)),
        nullable("metadata", Object),
        nullable("modalities", List(1, Some(2), json!("text"))),
        nullable("moderation", Object),
        nullable("n", Integer(1, Some(128))),
        field("parallel_tool_calls", Bool),
        nullable("prediction", Object),
        nullable("prompt_cache_key", Text(None)),
        nullable("prompt_cache_options", Object),
        nullable("prompt_cache_retention", Word(&["in_memory", "24h"])),
        nullable(
            "reasoning_effort",
            Word(&["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
        ),
        field("response_format", Object),
        nullable("safety_identifier", Text(Some(128))),
        nullable(
            "service_tier",
            Word(&["auto", "default", "flex", "scale", "priority", "fast"]),
        ),
        nullable("store", Bool),
        nullable("stream", Bool),
        nullable("stream_options", Object),
        nullable("temperature", Number(0.0, 2.0)),
        nullable("top_p", Number(0.0, 1.0)),
        field("tools", List(0, Some(128), tool)),
        field("user", Text(None)),
        nullable("verbosity", Word(&["low", "medium", "high"])),
        field("web_search_options", Object),
    ]
}

/// Wrong values for a kind, each with the place inside the field that is at fault.
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
        Kind::Word(words) => {
            let close = json!(words[0].to_uppercase());
            here(&[number, list, object, json!(true), json!(""), text, close])
        }
        Kind::Object => here(&[text, number, list, json!(true)]),
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

/// A good request with one field replaced, and the field that is at fault.
fn with(name: &str, value: Value) -> String {
    let mut body = good();
    body.insert(name.to_owned(), value);
    Value::Object(body).to_string()
}

fn from_the_table() -> Vec<(String, Option<String>)> {
    let mut cases = Vec::new();
    for Field { name, kind, null } in fields() {
        for (value, place) in wrong_values(&kind) {
            cases.push((with(name, value), Some(format!("{name}{place}"))));
        }
        if !null {
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

/// What lies inside the fields.
fn nested() -> Vec<(String, Option<String>)> {
    let message = |more: Value| {
        let mut message = json!({ "role": "user", "content": "hi" });
        message
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!([message])
    };
    let many = |count: usize| {
        (0..count)
            .map(|key| (key.to_string(), json!("v")))
            .collect::<Map<_, _>>()
    };
    let long = "k".repeat(65);
    let schema = |schema: Value| json!({ "type": "json_schema", "json_schema": schema });
    let rows = [
        ("stop", json!(7), "stop"),
        ("stop", json!({}), "stop"),
        ("stop", json!(""), "stop"),
        ("stop", json!([]), "stop"),
        ("stop", json!(["a", ""]), "stop[1]"),
        ("stop", json!(["a", 7]), "stop[1]"),
        ("stop", json!(["a", null]), "stop[1]"),
        ("stop", json!(["a", "b", "c", "d", "e"]), "stop"),
        ("logit_bias", json!({ "50256": 101 }), "logit_bias.50256"),
        ("logit_bias", json!({ "50256": -100.5 }), "logit_bias.50256"),
        // What is read of an integer one below the least of 64 bits.
        ("seed", json!(-9_223_372_036_854_775_808.0), "seed"),
        ("logit_bias", json!({ "50256": "x" }), "logit_bias.50256"),
        ("metadata", json!(many(17)), "metadata"),
        ("metadata", json!({ "k": 7 }), "metadata.k"),
        ("metadata", json!({ "k": "v".repeat(513) }), "metadata.k"),
        ("metadata", json!({ long: "v" }), "metadata"),
        ("seed", json!(1.5), "seed"),
        ("seed", json!("1"), "seed"),
        ("seed", json!(u64::MAX), "seed"),
        ("seed", json!(-1e19), "seed"),
        ("audio", json!({ "voice": "v", "format": "midi" }), "audio.format"),
        ("audio", json!({ "voice": 7, "format": "mp3" }), "audio.voice"),
        ("modalities", json!(["text", "smell"]), "modalities[1]"),
        ("moderation", json!({ "model": 7 }), "moderation.model"),
        (
            "moderation",
            json!({ "policy": { "input": { "mode": "x" } } }),
            "moderation.policy.input.mode",
        ),
        ("prediction", json!({ "content": "x" }), "prediction.type"),
        (
            "prediction",
            json!({ "type": "x", "content": "x" }),
            "prediction.type",
        ),
        (
            "prediction",
            json!({ "type": "content", "content": 7 }),
            "prediction.content",
        ),
        ("response_format", json!({}), "response_format.type"),
        (
            "response_format",
            json!({ "type": "yaml" }),
            "response_format.type",
        ),
        ("response_format", json!({ "type": null }), "response_format.type"),
        ("response_format", schema(json!(7)), "response_format.json_schema"),
        (
            "response_format",
            schema(json!({ "name": "" })),
            "response_format.json_schema.name",
        ),
        (
            "response_format",
            schema(json!({ "schema": 7 })),
            "response_format.json_schema.schema",
        ),
        (
            "response_format",
            schema(json!({ "strict": "x" })),
            "response_format.json_schema.strict",
        ),
        ("tools", json!([{}]), "tools[0].type"),
        ("tools", json!([{ "type": "hammer" }]), "tools[0].type"),
        (
            "tools",
            json!([{ "type": "function", "function": 7 }]),
            "tools[0].function",
        ),
        (
            "tools",
            json!([{ "type": "function", "function": { "name": 7 } }]),
            "tools[0].function.name",
        ),
        (
            "tools",
            json!([{ "type": "custom", "custom": [] }]),
            "tools[0].custom",
        ),
        ("tool_choice", json!("perhaps"), "tool_choice"),
        ("tool_choice", json!(7), "tool_choice"),
        ("tool_choice", Value::Null, "tool_choice"),
        ("tool_choice", json!({}), "tool_choice.type"),
        (
            "tool_choice",
            json!({ "type": "function", "function": 7 }),
            "tool_choice.function",
        ),
        ("function_call", json!("perhaps"), "function_call"),
        ("function_call", json!({ "name": 7 }), "function_call.name"),
        (
            "web_search_options",
            json!({ "search_context_size": "huge" }),
            "web_search_options.search_context_size",
        ),
        (
            "stream_options",
            json!({ "include_usage": true }),
            "stream_options",
        ),
        ("messages", message(json!({ "name": 7 })), "messages[0].name"),
        (
            "messages",
            message(json!({ "name": "n".repeat(1_000_000) })),
            "messages[0].name",
        ),
        (
            "messages",
            message(json!({ "role": "r".repeat(1_000_000) })),
            "messages[0].role",
        ),
        (
            "messages",
            message(json!({ "tool_calls": 7 })),
            "messages[0].tool_calls",
        ),
        (
            "messages",
            message(json!({ "tool_calls": [7] })),
            "messages[0].tool_calls[0]",
        ),
        (
            "messages",
            message(json!({ "tool_calls": [{ "function": 7 }] })),
            "messages[0].tool_calls[0].function",
        ),
        (
            "messages",
            message(json!({ "function_call": "x" })),
            "messages[0].function_call",
        ),
        (
            "messages",
            message(json!({ "refusal": 7 })),
            "messages[0].refusal",
        ),
        (
            "messages",
            message(json!({ "tool_call_id": 7 })),
            "messages[0].tool_call_id",
        ),
        (
            "messages",
            message(json!({ "content": [{ "type": "text", "text": [] }] })),
            "messages[0].content[0].text",
        ),
        (
            "messages",
            message(json!({ "content": [{ "type": 7 }] })),
            "messages[0].content[0].type",
        ),
    ];
    let rows = rows
        .into_iter()
        .map(|(name, value, field)| (with(name, value), Some(field.to_owned())));
    let mut rows: Vec<_> = rows.collect();
    for (options, field) in [
        (json!({ "include_usage": 1 }), "stream_options.include_usage"),
        (
            json!({ "include_obfuscation": "x" }),
            "stream_options.include_obfuscation",
        ),
    ] {
        let mut body = good();
        body.insert("stream".to_owned(), json!(true));
        body.insert("stream_options".to_owned(), options);
        rows.push((Value::Object(body).to_string(), Some(field.to_owned())));
    }
    rows
}

/// What is hardly JSON.
fn by_hand() -> Vec<(String, Option<String>)> {
    let good = Value::Object(good()).to_string();
    let put = |text: &str| good.replacen('{', &format!("{{{text},"), 1);
    let nested = |count: usize| format!("{}{}", "[".repeat(count), "]".repeat(count));
    let broken = [
        good[..good.len() / 2].to_owned(),
        good[..good.len() - 1].to_owned(),
        good.replace("hi", "\\ud800"),
        good.replace("hi", "\\udc00\\ud800"),
        good.replace("hi", "\\x"),
        good.replace("hi", "a\nb"),
        put(&format!("\"tools\":{}", nested(200))),
        put(&format!("\"messages\":{}", nested(1_000_000))),
        put(&format!(
            "\"metadata\":{}1{}",
            "{\"a\":".repeat(10_000),
            "}".repeat(10_000)
        )),
        put("\"temperature\":1e999"),
        put("\"temperature\":-"),
        put("\"temperature\":01"),
        put("\"temperature\":NaN"),
        put("\"temperature\":Infinity"),
        put("\"seed\":0x10"),
        format!("{good}{good}"),
        format!("{good},"),
        format!("\u{feff}{good}"),
        "\0".repeat(1000),
        "{\"model\"}".to_owned(),
    ];
    let mut cases: Vec<_> = broken.into_iter().map(|body| (body, None)).collect();
    cases.extend([
        (put("\"model\":\"other\""), Some("model".to_owned())),
        (put("\"messages\":[]"), Some("messages".to_owned())),
        (put("\"n\":1,\"n\":2"), Some("n".to_owned())),
        (put("\"n\":1e30"), Some("n".to_owned())),
        (put("\"n\":99999999999999999999999999"), Some("n".to_owned())),
        (
            put("\"max_tokens\":-99999999999999999999999999"),
            Some("max_tokens".to_owned()),
        ),
        (
            put("\"temperature\":123456789012345678901234567890"),
            Some("temperature".to_owned()),
        ),
        (
            with("model", json!("m".repeat(1_000_000))),
            Some("model".to_owned()),
        ),
    ]);
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
    for Field { name, kind, null } in fields() {
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
        good_values.extend(null.then_some(Value::Null));
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
        // A connection that breaks is an answer as well.
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
