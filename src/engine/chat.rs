//! What a chat is, in the engine's own words: no wire format may show through here.

use tokio::time::Instant;

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

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatRequest {
    /// The model, as the client named it.
    pub model: String,
    /// The conversation so far, oldest first; the edges refuse an empty one.
    pub messages: Vec<Message>,
}

/// What surrounds a chat: who asked, and until when an answer is of use.
#[derive(Debug, Clone)]
pub struct CallContext {
    /// The moment after which the chat is given up, retries included.
    pub deadline: Instant,
    /// Where the engine notes what the access line tells about this request.
    pub record: CallRecord,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the text that was sent.
    pub prompt_tokens: u32,
    /// Tokens of the answer, reasoning included.
    pub completion_tokens: u32,
    /// Both together, or what the upstream says they are.
    pub total_tokens: u32,
}

/// One event of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChatEvent {
    /// More of the answer; never empty.
    Content(String),
    /// More of the reasoning before it; never empty.
    Reasoning(String),
    /// The answer is whole. Nothing comes after.
    Finished {
        /// Why it ended.
        reason: FinishReason,
        /// What it cost.
        usage: Usage,
    },
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The answer's text.
    pub text: String,
    /// The reasoning before it; empty where the upstream tells none.
    pub reasoning: String,
    /// Why it ended.
    pub reason: FinishReason,
    /// What it cost.
    pub usage: Usage,
}
