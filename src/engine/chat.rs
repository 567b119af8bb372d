//! The surroundings and the outcome of a chat, in the engine's own words.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    event::{Annotation, Event, ToolCall, ToolCallDelta},
    request::Part,
};
use crate::telemetry::CallRecord;

/// What surrounds a chat: who asked, and until when an answer is of use.
#[derive(Debug, Clone)]
pub struct CallContext {
    /// The moment after which the chat is given up, retries included.
    pub deadline: Instant,
    /// Where the engine notes what the access line tells about this request.
    pub record: CallRecord,
}

/// A completion's name and time, told alike in every message about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// What it is, `chatcmpl-` in a chat, and 32 hexadecimal digits.
    pub id: String,
    /// In seconds since 1970-01-01 UTC.
    pub created: u64,
    /// The model, as the client named it.
    pub model: String,
}

impl Head {
    /// A completion that begins now.
    #[must_use]
    pub fn new(model: String) -> Self {
        Self::with_prefix("chatcmpl-", model)
    }

    /// A completion that begins now, and whose id tells what it is.
    #[must_use]
    pub fn with_prefix(prefix: &str, model: String) -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            id: format!("{prefix}{}", Uuid::new_v4().simple()),
            created: since_1970.as_secs(),
            model,
        }
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model came to its end.
    Stop,
    /// A length limit was reached.
    Length,
    /// The model calls tools.
    ToolCalls,
    /// Content was left out by a filter.
    ContentFilter,
}

/// What a chat cost, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens of the text that was sent.
    pub prompt_tokens: u32,
    /// Tokens of the answer, reasoning included.
    pub completion_tokens: u32,
    /// Both together, or what the upstream says they are.
    pub total_tokens: u32,
    /// How many of the answer's tokens are reasoning.
    pub reasoning_tokens: u32,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// Everything that the model said.
    pub said: Said,
    /// Why it ended.
    pub reason: FinishReason,
    /// What it cost.
    pub usage: Usage,
}

/// Everything that a model said in one answer, each text empty where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// The answer's text.
    pub content: String,
    /// The reasoning behind it.
    pub reasoning: String,
    /// The refusal to answer.
    pub refusal: String,
    /// The tool calls, in their order.
    pub tool_calls: Vec<ToolCall>,
    /// The sources that the text rests on.
    pub annotations: Vec<Annotation>,
}

impl Said {
    /// Takes in the next event of the answer.
    pub fn take(&mut self, event: &Event) {
        match event {
            Event::Content(text) => self.content.push_str(text),
            Event::Reasoning(text) => self.reasoning.push_str(text),
            Event::Refusal(text) => self.refusal.push_str(text),
            Event::ToolCall(delta) => self.take_call(delta),
            Event::Annotation(annotation) => self.annotations.push(annotation.clone()),
            Event::Usage(_) | Event::Finish(_) | Event::End => {}
        }
    }

    /// The parts of a message that says the same again. Reasoning and sources are none.
    #[must_use]
    pub fn into_parts(self) -> Vec<Part> {
        let Self {
            content,
            reasoning: _,
            refusal,
            tool_calls,
            annotations: _,
        } = self;
        let texts = [Part::Text(content), Part::Refusal(refusal)].into_iter();
        let texts = texts.filter(|part| !part.is_empty());
        texts.chain(tool_calls.into_iter().map(Part::ToolCall)).collect()
    }

    fn take_call(&mut self, delta: &ToolCallDelta) {
        let ToolCallDelta {
            index,
            id,
            kind,
            name,
            input,
        } = delta;
        // Calls come one after the other; a gap in their numbers is none in the list.
        let index = usize::try_from(*index).unwrap_or(usize::MAX);
        if index >= self.tool_calls.len() {
            self.tool_calls.push(ToolCall {
                id: String::new(),
                kind: *kind,
                name: String::new(),
                input: String::new(),
            });
        }
        let last = self.tool_calls.len().saturating_sub(1);
        if let Some(call) = self.tool_calls.get_mut(index.min(last)) {
            call.id.push_str(id.as_deref().unwrap_or_default());
            call.name.push_str(name.as_deref().unwrap_or_default());
            call.input.push_str(input);
        }
    }
}
