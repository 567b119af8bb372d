//! The byte format of an answer: its dialect, line endings and splitting.

use serde::{Deserialize, Serialize};

/// The format of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The dialect of the stream, or one JSON body.
    pub dialect: Dialect,
    /// Whether a usage object follows the finish reason.
    pub usage: bool,
    /// Most bytes sent at once; `Some(1)` splits every multi-byte UTF-8 character. `None` sends whole events.
    pub split: Option<usize>,
    /// The line ending.
    pub line_ending: LineEnding,
    /// Whether a blank line follows each event.
    pub blank_lines: bool,
    /// Whether the stream begins with a byte order mark.
    pub byte_order_mark: bool,
    /// Whether there are comments (in the tab dialect: lines with another name) between the events.
    pub comments: bool,
    /// Whether events have `event:`, `id:` and `retry:` fields.
    pub fields: bool,
    /// Whether a space follows the colon of `data:`.
    pub space: bool,
    /// Whether the JSON of an event is spread over several `data:` lines.
    pub many_data_lines: bool,
    /// Whether there are meaningless events among the others: empty data, no choices, nulls, unknown keys.
    pub noise: bool,
    /// Number of chunks with a role and no content at the start.
    pub prologue: usize,
    /// Whether reasoning comes before the content.
    pub reasoning: bool,
    /// The content type to send instead of the correct one.
    pub content_type: Option<String>,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            dialect: Dialect::Sse,
            usage: false,
            split: None,
            line_ending: LineEnding::Lf,
            blank_lines: true,
            byte_order_mark: false,
            comments: false,
            fields: false,
            space: true,
            many_data_lines: false,
            noise: false,
            prologue: 1,
            reasoning: false,
            content_type: None,
        }
    }
}

/// The dialect of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Standard server-sent events.
    Sse,
    /// Lines of `message<TAB>{json}<TAB>`.
    Tab,
    /// One JSON body with the text under this key.
    Json(TextKey),
}

/// The place of the text in a JSON body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextKey {
    /// `choices[0].message.content`
    Choice,
    /// `choices[0].text`
    Text,
    /// `response`
    Response,
    /// `content`
    Content,
    /// `message`
    Message,
}

/// A line ending of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineEnding {
    /// `\n`
    Lf,
    /// `\r\n`
    CrLf,
    /// `\r`
    Cr,
}

/// One change to the format of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Another dialect.
    Dialect(Dialect),
    /// With or without usage.
    Usage(bool),
    /// At most this many bytes at once.
    Split(usize),
    /// Another line ending.
    LineEnding(LineEnding),
    /// One event per line, without blank lines between.
    NoBlankLines,
    /// A byte order mark at the start.
    ByteOrderMark,
    /// Comments between the events.
    Comments,
    /// `event:`, `id:` and `retry:` fields.
    Fields,
    /// No space after the colon.
    NoSpace,
    /// The JSON of an event in several `data:` lines.
    ManyDataLines,
    /// Meaningless events among the others.
    Noise,
    /// This many chunks with a role and no content at the start.
    Prologue(usize),
    /// Reasoning before the content.
    Reasoning,
    /// Another content type.
    ContentType(String),
}

impl Shape {
    pub(super) fn change(&mut self, form: &Form) {
        match form {
            Form::Dialect(dialect) => self.dialect = *dialect,
            Form::Usage(usage) => self.usage = *usage,
            Form::Split(bytes) => self.split = Some((*bytes).max(1)),
            Form::LineEnding(ending) => self.line_ending = *ending,
            Form::NoBlankLines => self.blank_lines = false,
            Form::ByteOrderMark => self.byte_order_mark = true,
            Form::Comments => self.comments = true,
            Form::Fields => self.fields = true,
            Form::NoSpace => self.space = false,
            Form::ManyDataLines => self.many_data_lines = true,
            Form::Noise => self.noise = true,
            Form::Prologue(chunks) => self.prologue = *chunks,
            Form::Reasoning => self.reasoning = true,
            Form::ContentType(name) => self.content_type = Some(name.clone()),
        }
    }

    pub(super) fn content_type(&self) -> &str {
        match (&self.content_type, self.dialect) {
            (Some(name), _) => name,
            (None, Dialect::Sse | Dialect::Tab) => "text/event-stream; charset=utf-8",
            (None, Dialect::Json(_)) => "application/json; charset=utf-8",
        }
    }
}

impl LineEnding {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Lf => "\n",
            Self::CrLf => "\r\n",
            Self::Cr => "\r",
        }
    }
}
