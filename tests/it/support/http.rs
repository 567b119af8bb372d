//! A strict client of the HTTP door: it checks every chunk for what OpenAI's clients need.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;

use super::{Ask, Choice, Failure, Gateway, Outcome, Usage, catalogue};

pub(crate) async fn chat(gateway: &Gateway, ask: &Ask) -> Outcome {
    let response = send(gateway, ask, false).await;
    if response.status() != 200 {
        return Outcome::failed(error_of(response).await);
    }
    assert_eq!(response.headers()["content-type"], "application/json");
    let ignored = ignored(response.headers());
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["object"], "chat.completion");
    assert!(
        body["created"]
            .as_u64()
            .is_some_and(|created| created > 1_700_000_000)
    );
    let choices = body["choices"].as_array().unwrap();
    assert_eq!(choices.len(), ask.answers(), "{body}");
    Outcome {
        id: text(&body["id"]),
        model: text(&body["model"]),
        ignored,
        choices: (0..)
            .zip(choices)
            .map(|(index, one)| choice(index, one))
            .collect(),
        usage: Some(usage(&body["usage"])),
        failure: None,
    }
}

fn choice(index: usize, choice: &Value) -> Choice {
    assert_eq!(choice["index"], index);
    let message = &choice["message"];
    assert_eq!(message["role"], "assistant");
    assert_eq!(choice.get("logprobs"), Some(&Value::Null), "{choice}");
    assert_eq!(message.get("refusal"), Some(&Value::Null), "{choice}");
    let reasoning = message["reasoning_content"].as_str();
    Choice {
        text: text(&message["content"]),
        reasoning: reasoning.unwrap_or_default().to_owned(),
        finish: Some(text(&choice["finish_reason"])),
    }
}

pub(crate) async fn open(gateway: &Gateway, ask: &Ask) -> Result<HttpOpened, Failure> {
    let response = send(gateway, ask, true).await;
    if response.status() != 200 {
        return Err(error_of(response).await);
    }
    let kind = response.headers()["content-type"].to_str().unwrap();
    assert!(kind.starts_with("text/event-stream"), "{kind}");
    Ok(HttpOpened::new(response, ask.answers()))
}

/// Fields of the request without effect, as named by the response.
fn ignored(headers: &HeaderMap) -> Vec<String> {
    let names = headers
        .get("x-duogate-ignored")
        .map_or("", |names| names.to_str().unwrap());
    let names = names.split_terminator(", ");
    names.map(str::to_owned).collect()
}

async fn send(gateway: &Gateway, ask: &Ask, stream: bool) -> reqwest::Response {
    let mut request = gateway.web.post(gateway.url("/v1/chat/completions"));
    if let Some(key) = &ask.key {
        request = request.bearer_auth(key);
    }
    if let Some(id) = ask.id {
        request = request.header("x-request-id", id);
    }
    request.json(&ask.json(stream)).send().await.unwrap()
}

/// The failure in a response, its rendering checked against the catalogue.
pub(crate) async fn error_of(response: reqwest::Response) -> Failure {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    assert_eq!(headers["content-type"], "application/json");
    assert!(!headers["x-request-id"].is_empty());
    let bytes = response.bytes().await.unwrap();
    let body: Value = serde_json::from_slice(&bytes).unwrap();
    let mut failure = failure(&body, false);
    let row = catalogue::by_code(body["error"]["code"].as_str().unwrap());
    failure.should_retry = match headers["x-should-retry"].to_str().unwrap() {
        "true" => Some(true),
        "false" => Some(false),
        other => panic!("x-should-retry: {other}"),
    };
    let number = |name: &str| {
        let value = headers.get(name)?.to_str().unwrap();
        Some(value.parse::<u64>().unwrap())
    };
    failure.retry_after = number("retry-after").map(Duration::from_secs);
    let precise = number("retry-after-ms").map(Duration::from_millis);
    assert_eq!(status, row.status_of(&failure), "{body}");
    assert_eq!(failure.retry_after.is_some(), precise.is_some());
    assert!(
        failure.retry_after >= precise,
        "the whole seconds must not be early"
    );
    failure
}

/// Parses an error body. It must have exactly the four keys.
fn failure(body: &Value, in_band: bool) -> Failure {
    let error = body["error"].as_object().expect("an error object");
    let mut keys: Vec<_> = error.keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["code", "message", "param", "type"], "{body}");
    assert_eq!(body.as_object().map(serde_json::Map::len), Some(1), "{body}");
    let row = catalogue::by_code(error["code"].as_str().expect("a code"));
    assert_eq!(error["type"], row.family, "{body}");
    let message = text(&error["message"]);
    assert!(!message.is_empty());
    Failure {
        kind: row.kind,
        message,
        field: error["param"].as_str().map(str::to_owned),
        retry_after: None,
        should_retry: None,
        in_band,
    }
}

fn text(value: &Value) -> String {
    let text = value.as_str();
    text.unwrap_or_else(|| panic!("expected a string, got {value}"))
        .to_owned()
}

fn usage(value: &Value) -> Usage {
    let number = |key: &str| {
        let number = value.pointer(&format!("/{key}")).and_then(Value::as_u64);
        number.unwrap_or_else(|| panic!("no {key} in {value}"))
    };
    assert_eq!(number("prompt_tokens_details/cached_tokens"), 0, "{value}");
    Usage {
        prompt: number("prompt_tokens"),
        completion: number("completion_tokens"),
        total: number("total_tokens"),
        reasoning: number("completion_tokens_details/reasoning_tokens"),
    }
}

/// A stream of server-sent events under way.
#[derive(Debug)]
pub(crate) struct HttpOpened {
    response: reqwest::Response,
    unread: Vec<u8>,
    /// Whether each answer's role has arrived.
    begun: Vec<bool>,
    done: bool,
    created: Value,
    pub(crate) comments: usize,
    pub(crate) outcome: Outcome,
}

impl HttpOpened {
    /// A stream with this many answers.
    pub(crate) fn new(response: reqwest::Response, answers: usize) -> Self {
        let ignored = ignored(response.headers());
        Self {
            response,
            unread: Vec::new(),
            done: false,
            created: Value::Null,
            comments: 0,
            begun: vec![false; answers],
            outcome: Outcome {
                ignored,
                choices: vec![Choice::default(); answers],
                ..Outcome::default()
            },
        }
    }

    /// Reads one block, a comment or an event; false at the end.
    pub(crate) async fn advance(&mut self) -> bool {
        let Some(block) = self.block().await else {
            assert!(
                self.done || self.outcome.failure.is_some(),
                "the stream ended without [DONE] or an error: {:?}",
                self.outcome
            );
            return false;
        };
        assert!(!self.done, "after [DONE] came {block:?}");
        assert_eq!(self.outcome.failure, None, "after an error came {block:?}");
        match block.strip_prefix("data: ") {
            Some("[DONE]") => {
                assert!(self.outcome.is_finished(), "[DONE] without a finish reason");
                self.done = true;
            }
            Some(data) => self.take(&serde_json::from_str(data).unwrap()),
            None => {
                assert!(block.starts_with(": "), "neither data nor a comment: {block:?}");
                self.comments += 1;
            }
        }
        true
    }

    /// The next block, which must be a single line here.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|pair| pair == b"\n\n") {
                let rest = self.unread.split_off(end + 2);
                let mut block = std::mem::replace(&mut self.unread, rest);
                block.truncate(end);
                let block = String::from_utf8(block).unwrap();
                assert!(!block.contains('\n'), "more than one line: {block:?}");
                return Some(block);
            }
            if let Some(bytes) = self.response.chunk().await.unwrap() {
                self.unread.extend_from_slice(&bytes);
            } else {
                assert!(self.unread.is_empty(), "half an event at the end");
                return None;
            }
        }
    }

    fn take(&mut self, chunk: &Value) {
        if chunk.get("error").is_some() {
            self.outcome.failure = Some(failure(chunk, true));
            return;
        }
        assert_eq!(chunk["object"], "chat.completion.chunk");
        if self.outcome.id.is_empty() {
            self.outcome.id = text(&chunk["id"]);
            self.outcome.model = text(&chunk["model"]);
            self.created = chunk["created"].clone();
        }
        assert_eq!(chunk["id"], self.outcome.id.as_str());
        assert_eq!(chunk["model"], self.outcome.model.as_str());
        assert_eq!(chunk["created"], self.created);
        let Some(part) = chunk["choices"].as_array().unwrap().first() else {
            assert!(self.outcome.is_finished(), "usage before the finish");
            assert_eq!(self.outcome.usage, None, "usage twice");
            self.outcome.usage = Some(usage(&chunk["usage"]));
            return;
        };
        assert!(chunk["usage"].is_null(), "{chunk}");
        let delta = &part["delta"];
        let index = usize::try_from(part["index"].as_u64().unwrap()).unwrap();
        if !std::mem::replace(&mut self.begun[index], true) {
            assert_eq!(delta["role"], "assistant", "{chunk}");
            assert_eq!(delta["content"], "", "{chunk}");
        }
        let choice = &mut self.outcome.choices[index];
        assert_eq!(choice.finish, None, "after the finish came {chunk}");
        let finish = part.get("finish_reason").expect("the key must be there");
        choice.finish = finish.as_str().map(str::to_owned);
        choice.text += delta["content"].as_str().unwrap_or_default();
        choice.reasoning += delta["reasoning_content"].as_str().unwrap_or_default();
        if choice.finish.is_some() {
            assert_eq!(*delta, serde_json::json!({}), "{chunk}");
        }
    }
}
