//! What a chat is, in the engine's own words: no wire format may show through here.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    error::{ChatError, ErrorKind},
    event::{Annotation, Event, ToolCall, ToolCallDelta},
    models,
};
use crate::telemetry::CallRecord;

/// Who speaks in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions that stand above the conversation; OpenAI's `developer` reads as this too.
    System,
    /// The person, or the program in their place.
    User,
    /// The model.
    Assistant,
    /// What a tool or function gave back.
    Tool,
}

/// One message of a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// Tells participants of one role apart.
    pub name: Option<String>,
    /// What is said.
    pub text: String,
}

impl Message {
    /// The name, where there is one to tell.
    #[must_use]
    pub fn told_name(&self) -> Option<&str> {
        self.name.as_deref().filter(|name| !name.is_empty())
    }

    /// Whether it is told at all: that a tool gave nothing back is something, else who says nothing is absent.
    #[must_use]
    pub fn is_told(&self) -> bool {
        !self.text.is_empty() || (self.role == Role::Tool && self.told_name().is_some())
    }
}

/// How a call of a tool that the model made is told in a conversation's text.
#[must_use]
pub fn tell_call(name: &str, given: &str) -> String {
    let name = if name.is_empty() { "a tool" } else { name };
    format!("[called {name}({given})]")
}

/// What a client asks for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChatRequest {
    /// The model, as the client named it: 1 to [`MAX_MODEL_NAME`](models::MAX_MODEL_NAME) bytes, none of a control character.
    pub model: String,
    /// The conversation so far, oldest first; at least one message.
    pub messages: Vec<Message>,
    /// Sampling temperature, 0 to 2. A conversation service has no such setting: it is checked, and no more.
    pub temperature: Option<f64>,
    /// Nucleus sampling, 0 to 1. Checked, and no more.
    pub top_p: Option<f64>,
    /// Texts that end the answer; at most [`MAX_STOPS`], none empty. The answer never holds one of them.
    pub stop: Vec<String>,
    /// The most tokens of the answer, its reasoning included. One that is longer is cut; one of none is empty, and the
    /// upstream is not asked for it. Which doors take 0 is theirs to say.
    pub max_tokens: Option<u64>,
    /// How many answers: 1, which is also what none means, to [`MAX_CHOICES`].
    pub n: Option<u64>,
}

/// The most texts that may end an answer.
pub const MAX_STOPS: usize = 4;
/// The most answers to one request.
pub const MAX_CHOICES: u64 = 8;
/// OpenAI's own limit on `n`: up to it a number is a good one, but more than is offered here.
const MOST_CHOICES: u64 = 128;

impl ChatRequest {
    /// Checks what both doors promise alike. Fields are named as both wires name them.
    ///
    /// # Errors
    /// `invalid_request`, naming the first field that is at fault.
    pub fn check(&self) -> Result<(), ChatError> {
        self.check_model()?;
        self.check_messages()?;
        self.check_settings()
    }

    /// Checks what a conversation begins with: as a chat, but nothing need have been said before, and each turn has
    /// one answer.
    ///
    /// # Errors
    /// As [`ChatRequest::check`].
    pub fn check_beginning(&self) -> Result<(), ChatError> {
        self.check_model()?;
        self.check_settings()?;
        match self.n {
            None | Some(1) => Ok(()),
            Some(n) => {
                let message =
                    format!("Unsupported value: 'n' is {n}. A turn of a conversation has one answer.");
                Err(ChatError::new(ErrorKind::UnsupportedParameter, message).with_field("n"))
            }
        }
    }

    fn check_model(&self) -> Result<(), ChatError> {
        if self.model.is_empty() {
            return Err(ChatError::invalid("model", "you must provide a model parameter"));
        }
        match models::fault_of(&self.model) {
            Some(fault) => Err(ChatError::invalid("model", format!("Invalid 'model': {fault}."))),
            None => Ok(()),
        }
    }

    fn check_messages(&self) -> Result<(), ChatError> {
        if self.messages.is_empty() {
            let message = "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an \
                           empty array instead.";
            return Err(ChatError::invalid("messages", message));
        }
        // What is empty is left out of the text, and a conversation service takes no empty one.
        if self.messages.iter().any(Message::is_told) {
            return Ok(());
        }
        let (field, problem) = match self.messages.len() {
            1 => ("messages[0].content", "the only message of the chat is empty"),
            _ => ("messages", "every message of the chat is empty"),
        };
        Err(ChatError::invalid(
            field,
            format!("Invalid '{field}': {problem}."),
        ))
    }

    fn check_settings(&self) -> Result<(), ChatError> {
        in_range("temperature", self.temperature, 2.0)?;
        in_range("top_p", self.top_p, 1.0)?;
        self.check_limits()
    }

    fn check_limits(&self) -> Result<(), ChatError> {
        if self.stop.len() > MAX_STOPS {
            let message = format!(
                "Invalid 'stop': array too long. Expected an array with maximum length {MAX_STOPS}, but got an array \
                 with length {} instead.",
                self.stop.len()
            );
            return Err(ChatError::invalid("stop", message));
        }
        if let Some(index) = self.stop.iter().position(String::is_empty) {
            let field = format!("stop[{index}]");
            let message = format!("Invalid '{field}': empty string.");
            return Err(ChatError::invalid(field, message));
        }
        match self.n {
            None | Some(1..=MAX_CHOICES) => Ok(()),
            Some(n @ ..=MOST_CHOICES) if n > 0 => {
                let message = format!(
                    "Unsupported value: 'n' is {n}. This gateway gives at most {MAX_CHOICES} choices at once."
                );
                Err(ChatError::new(ErrorKind::UnsupportedParameter, message).with_field("n"))
            }
            Some(n) => {
                let message = format!(
                    "Invalid 'n': expected an integer from 1 to {MOST_CHOICES}, but got {n} instead."
                );
                Err(ChatError::invalid("n", message))
            }
        }
    }
}

fn in_range(field: &str, value: Option<f64>, most: f64) -> Result<(), ChatError> {
    match value {
        Some(value) if !(0.0..=most).contains(&value) => {
            let message =
                format!("Invalid '{field}': expected a number from 0 to {most}, but got {value} instead.");
            Err(ChatError::invalid(field, message))
        }
        Some(_) | None => Ok(()),
    }
}

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
