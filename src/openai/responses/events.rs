//! A streamed response, event by event.

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    super::{
        error,
        sse::{Telling, named_event},
    },
    keeping::{Keeping, conclude},
    object::{Draft, Kind, Status, item_status},
};
use crate::engine::{ChoiceEvent, chat::FinishReason, error::ChatError};

/// How a response's stream is told.
#[derive(Debug)]
pub(super) struct Events {
    draft: Draft,
    keeping: Option<Keeping>,
    begun: bool,
    sequence: u64,
    /// Items that are whole.
    output: Vec<Value>,
    open: Option<OpenItem>,
    reason: FinishReason,
}

/// An item whose text is still growing.
#[derive(Debug)]
struct OpenItem {
    kind: Kind,
    id: String,
    text: String,
}

/// An event, numbered.
#[derive(Serialize)]
struct Numbered<'a, T> {
    r#type: &'a str,
    sequence_number: u64,
    #[serde(flatten)]
    body: T,
}

/// Where in the output something happens.
#[derive(Serialize)]
struct Part<'a, T> {
    item_id: &'a str,
    output_index: usize,
    content_index: usize,
    #[serde(flatten)]
    body: T,
}

/// More of a text. Messages tell log probabilities, of which there are none; reasoning has no place for them.
#[derive(Serialize)]
struct TextDelta<'a> {
    delta: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<[(); 0]>,
}

/// A text at its end.
#[derive(Serialize)]
struct TextDone<'a> {
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<[(); 0]>,
}

impl Kind {
    fn text_event(self, what: &str) -> String {
        match self {
            Kind::Message => format!("response.output_text.{what}"),
            Kind::Reasoning => format!("response.reasoning_text.{what}"),
        }
    }

    fn logprobs(self) -> Option<[(); 0]> {
        (self == Kind::Message).then_some([])
    }
}

impl Events {
    pub(super) fn new(draft: Draft, keeping: Option<Keeping>) -> Self {
        Self {
            draft,
            keeping,
            begun: false,
            sequence: 0,
            output: Vec::new(),
            open: None,
            reason: FinishReason::Stop,
        }
    }

    fn event(&mut self, name: &str, body: impl Serialize) -> String {
        let numbered = Numbered {
            r#type: name,
            sequence_number: self.sequence,
            body,
        };
        self.sequence += 1;
        named_event(name, &numbered)
    }

    fn part_event(&mut self, name: &str, item_id: &str, body: impl Serialize) -> String {
        let output_index = self.output.len();
        let part = Part {
            item_id,
            output_index,
            content_index: 0,
            body,
        };
        self.event(name, part)
    }

    fn item_event(&mut self, name: &str, item: &Value) -> String {
        let output_index = self.output.len();
        self.event(name, json!({ "output_index": output_index, "item": item }))
    }

    /// More text of a kind: begins an item where none of that kind is open.
    fn say(&mut self, kind: Kind, text: &str) -> String {
        let mut told = String::new();
        if self.open.as_ref().is_none_or(|open| open.kind != kind) {
            told += &self.close("completed");
            told += &self.begin_item(kind);
        }
        let Some(mut open) = self.open.take() else {
            return told;
        };
        open.text += text;
        let delta = TextDelta {
            delta: text,
            logprobs: kind.logprobs(),
        };
        told += &self.part_event(&kind.text_event("delta"), &open.id, delta);
        self.open = Some(open);
        told
    }

    fn begin_item(&mut self, kind: Kind) -> String {
        let id = kind.id();
        let item = kind.item(&id, "in_progress", None);
        let mut told = self.item_event("response.output_item.added", &item);
        let part = json!({ "part": kind.part("") });
        told += &self.part_event("response.content_part.added", &id, part);
        let text = String::new();
        self.open = Some(OpenItem { kind, id, text });
        told
    }

    /// Ends the open item, if there is one.
    fn close(&mut self, status: &str) -> String {
        let Some(OpenItem { kind, id, text }) = self.open.take() else {
            return String::new();
        };
        let done = TextDone {
            text: &text,
            logprobs: kind.logprobs(),
        };
        let mut told = self.part_event(&kind.text_event("done"), &id, done);
        let part = json!({ "part": kind.part(&text) });
        told += &self.part_event("response.content_part.done", &id, part);
        let item = kind.item(&id, status, Some(&text));
        told += &self.item_event("response.output_item.done", &item);
        self.output.push(item);
        told
    }

    fn finish(&mut self, reason: FinishReason) -> String {
        let mut told = String::new();
        self.reason = reason;
        if self.output.is_empty() && self.open.is_none() {
            told += &self.begin_item(Kind::Message);
        }
        told + &self.close(item_status(reason))
    }
}

impl Telling for Events {
    fn begin(&mut self) -> String {
        self.begun = true;
        let response = json!({ "response": self.draft.at(Status::InProgress, &[]) });
        self.event("response.created", &response) + &self.event("response.in_progress", &response)
    }

    fn tell(&mut self, event: ChoiceEvent) -> String {
        match event {
            ChoiceEvent::Content { text, .. } => self.say(Kind::Message, &text),
            ChoiceEvent::Reasoning { text, .. } => self.say(Kind::Reasoning, &text),
            ChoiceEvent::Finished { reason, .. } => self.finish(reason),
            ChoiceEvent::Usage(usage) => {
                let ending = (self.reason, usage);
                let name = format!("response.{}", item_status(self.reason));
                let keeping = self.keeping.take();
                let response = conclude(&mut self.draft, keeping, ending, &self.output);
                self.event(&name, json!({ "response": response }))
            }
        }
    }

    /// SDKs need a beginning before every end. They raise the first of the two events; of the second alone many a
    /// framework says nothing, and takes what came for the whole.
    fn fail(&mut self, failure: &ChatError) -> String {
        let mut told = if self.begun { String::new() } else { self.begin() };
        if let Some(OpenItem { kind, id, text }) = self.open.take() {
            self.output.push(kind.item(&id, "incomplete", Some(&text)));
        }
        self.draft.is_not_stored();
        told += &self.event("error", error_event(failure));
        let response = self.draft.at(Status::Failed(failure), &self.output);
        told += &self.event("response.failed", json!({ "response": response }));
        told
    }
}

/// OpenAI's schema has the fields flat, its servers send them in `error`, which is where SDKs look.
fn error_event(failure: &ChatError) -> Value {
    let mut event = error::body(failure);
    for field in ["code", "message", "param"] {
        event[field] = event["error"][field].clone();
    }
    event
}
