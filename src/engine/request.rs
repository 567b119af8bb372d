//! A request, in the engine's own words. Both doors read theirs into it, and the provider gets all of it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    error::{ChatError, ErrorKind},
    event::{ToolCall, ToolKind},
    models,
};

/// The author of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions that stand above the dialogue.
    System,
    /// Instructions of the program's author, which newer models prefer to `System`.
    Developer,
    /// The person, or the program in their place.
    User,
    /// The model.
    Assistant,
    /// A tool, with the result of a call.
    Tool,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its author.
    pub role: Role,
    /// Tells authors of one role apart; of a tool's message, the tool.
    pub name: Option<String>,
    /// The id of the tool call whose result this is; for [`Role::Tool`].
    pub call_id: Option<String>,
    /// The content, in its order.
    pub parts: Vec<Part>,
}

/// One part of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text.
    Text(String),
    /// The model's refusal to answer.
    Refusal(String),
    /// The model's reasoning behind an earlier answer.
    Reasoning(String),
    /// A picture.
    Image(Image),
    /// Sound.
    Audio(Audio),
    /// A file.
    File(File),
    /// A tool call of the model's.
    ToolCall(ToolCall),
    /// A part of a kind that the gateway does not know, as text that stands for it; may be empty.
    Unknown(String),
}

/// A picture in a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// Its address; `data:` with the picture itself.
    pub url: Option<String>,
    /// The id of an uploaded file instead.
    pub file_id: Option<String>,
    /// How closely the model looks: `auto`, `low`, `high`.
    pub detail: Option<String>,
}

/// Sound in a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audio {
    /// The sound itself, in base64.
    pub data: String,
    /// The encoding: `wav`, `mp3`.
    pub format: String,
}

/// A file in a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct File {
    /// The id of an uploaded file.
    pub file_id: Option<String>,
    /// The file itself instead, as a `data:` URL or in base64.
    pub data: Option<String>,
    /// Its address instead.
    pub url: Option<String>,
    /// Its name.
    pub filename: Option<String>,
}

impl Part {
    /// The size of the part's text in bytes, or of whatever else it holds.
    #[must_use]
    pub fn size(&self) -> usize {
        let len = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        match self {
            Part::Text(text) | Part::Refusal(text) | Part::Reasoning(text) | Part::Unknown(text) => {
                text.len()
            }
            Part::Image(image) => len(&image.url),
            Part::Audio(audio) => audio.data.len(),
            Part::File(file) => len(&file.data) + len(&file.url),
            Part::ToolCall(call) => call.name.len() + call.input.len(),
        }
    }

    /// Whether the part adds nothing to the request.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Part::Text(text) | Part::Refusal(text) | Part::Unknown(text) => text.is_empty(),
            // Reasoning behind earlier answers is no part of what is said.
            Part::Reasoning(_) => true,
            Part::Image(_) | Part::Audio(_) | Part::File(_) | Part::ToolCall(_) => false,
        }
    }
}

impl Message {
    /// A message of text alone.
    #[must_use]
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self {
            role,
            name: None,
            call_id: None,
            parts: vec![Part::Text(text.into())],
        }
    }

    /// The size of its name and its parts, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        let len = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let parts: usize = self.parts.iter().map(Part::size).sum();
        parts + len(&self.name) + len(&self.call_id)
    }

    /// The name, where it is not empty; of a tool's message else the id of the call.
    #[must_use]
    pub fn shown_name(&self) -> Option<&str> {
        let filled = |name: &Option<String>| name.as_deref().is_some_and(|name| !name.is_empty());
        let name = if filled(&self.name) || self.role != Role::Tool {
            &self.name
        } else {
            &self.call_id
        };
        name.as_deref().filter(|name| !name.is_empty())
    }

    /// Whether the message is as good as absent: an author who says nothing is, but not a tool without a result.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.parts.iter().all(Part::is_empty) && (self.role != Role::Tool || self.shown_name().is_none())
    }
}

/// A tool that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub enum Tool {
    /// A function.
    Function {
        /// Its name.
        name: String,
        /// What it does.
        description: Option<String>,
        /// The JSON schema of its arguments.
        parameters: Option<Value>,
        /// Whether the arguments must follow the schema.
        strict: Option<bool>,
    },
    /// A tool that takes any text.
    Custom {
        /// Its name.
        name: String,
        /// What it does.
        description: Option<String>,
        /// The grammar of its input.
        grammar: Option<Grammar>,
    },
}

/// The grammar of a custom tool's input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grammar {
    /// `lark` or `regex`.
    pub syntax: String,
    /// The grammar itself.
    pub definition: String,
}

/// Which tools the model may or must call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// None.
    None,
    /// Any, or none.
    Auto,
    /// At least one.
    Required,
    /// This one.
    Named(ToolKind, String),
    /// Some of them.
    Allowed {
        /// Whether at least one must be called.
        required: bool,
        /// Which.
        tools: Vec<(ToolKind, String)>,
    },
}

/// The form of the answer.
#[derive(Debug, Clone, PartialEq)]
pub enum ResponseFormat {
    /// Any text.
    Text,
    /// A JSON object.
    JsonObject,
    /// JSON by a schema.
    JsonSchema {
        /// The schema's name.
        name: String,
        /// What it is for.
        description: Option<String>,
        /// The schema.
        schema: Option<Value>,
        /// Whether the answer must follow it.
        strict: Option<bool>,
    },
}

/// A chat request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChatRequest {
    /// The model, by the client's name: 1 to [`MAX_MODEL_NAME`](models::MAX_MODEL_NAME) bytes, none of a control character.
    pub model: String,
    /// The messages so far, oldest first; at least one.
    pub messages: Vec<Message>,
    /// The tools that the model may call.
    pub tools: Vec<Tool>,
    /// Which of them.
    pub tool_choice: Option<ToolChoice>,
    /// The form of the answer.
    pub response_format: Option<ResponseFormat>,
    /// Sampling temperature, 0 to 2.
    pub temperature: Option<f64>,
    /// Nucleus sampling, 0 to 1.
    pub top_p: Option<f64>,
    /// Texts that end the answer; at most [`MAX_STOPS`], none empty. The answer never holds one of them.
    pub stop: Vec<String>,
    /// The most tokens of the answer, its reasoning included. One that is longer is cut; one of none is empty, and the
    /// upstream is not asked for it. A door may refuse 0.
    pub max_tokens: Option<u64>,
    /// How many answers: 1, also for `None`, to [`MAX_CHOICES`].
    pub n: Option<u64>,
    /// Settings that change the flavour of an answer.
    pub hints: Hints,
}

/// Settings that change the flavour of an answer, and not its meaning. Units and limits are those of OpenAI's API.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hints {
    /// Makes repeated tokens less likely, -2 to 2.
    pub presence_penalty: Option<f64>,
    /// Makes frequent tokens less likely, -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// Makes tokens more or less likely, by their number; -100 to 100.
    pub logit_bias: BTreeMap<String, f64>,
    /// The same seed should give the same answer.
    pub seed: Option<i64>,
    /// Whether several tools may be called at once.
    pub parallel_tool_calls: Option<bool>,
    /// How much the model reasons: `low` and the like.
    pub reasoning_effort: Option<String>,
    /// How many words the model makes: `low`, `medium`, `high`.
    pub verbosity: Option<String>,
    /// The class of service.
    pub service_tier: Option<String>,
    /// The end user.
    pub user: Option<String>,
    /// Tells end users apart without naming them.
    pub safety_identifier: Option<String>,
    /// Requests with one key share the cache of prompts.
    pub prompt_cache_key: Option<String>,
    /// Whether the service may store the answer.
    pub store: Option<bool>,
    /// The caller's own notes.
    pub metadata: BTreeMap<String, String>,
    /// Further fields by OpenAI's names: known ones without a type here, those that the model offers among them, and over
    /// gRPC those that came after the schema.
    pub other: Map<String, Value>,
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

    /// Checks the first request of a dialogue: as a chat, but it may have no messages, and each turn has one answer.
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
        // Empty messages are left out, and no service takes a request of none.
        if self.messages.iter().any(|message| !message.is_absent()) {
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
