//! Scriptable faults, and the rules for when they apply.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::counts::Step;
use super::shape::Form;

/// When a fault applies. Of the rules that match a call the oldest applies; an exhausted rule is dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Only calls with this token; `None`: every token.
    #[serde(default)]
    pub token: Option<String>,
    /// Only this call; `None`: every call.
    #[serde(default)]
    pub step: Option<Step>,
    /// Number of matching calls to skip first.
    #[serde(default)]
    pub after: u32,
    /// How often it applies; `None`: without limit.
    #[serde(default)]
    pub times: Option<u32>,
    /// The fault.
    pub fault: Fault,
}

impl Rule {
    /// A rule that applies to every call.
    pub fn always(fault: impl Into<Fault>) -> Self {
        Self {
            token: None,
            step: None,
            after: 0,
            times: None,
            fault: fault.into(),
        }
    }

    /// A rule that applies only to the next call.
    pub fn once(fault: impl Into<Fault>) -> Self {
        Self::always(fault).times(1)
    }

    /// Restricts the rule to one of the seven calls.
    #[must_use]
    pub fn on(mut self, step: Step) -> Self {
        self.step = Some(step);
        self
    }

    /// Restricts the rule to one token.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Limits how often the rule applies.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Skips this many matching calls first.
    #[must_use]
    pub fn after(mut self, calls: u32) -> Self {
        self.after = calls;
        self
    }

    fn matches(&self, token: &str, step: Step) -> bool {
        self.step.is_none_or(|wanted| wanted == step)
            && self.token.as_deref().is_none_or(|wanted| wanted == token)
    }
}

/// The fault for a call; updates the counts of the rules that match it.
pub(super) fn strike(rules: &mut Vec<Rule>, token: &str, step: Step) -> Option<Fault> {
    let mut struck = None;
    for rule in rules.iter_mut().filter(|rule| rule.matches(token, step)) {
        if rule.after > 0 {
            rule.after -= 1;
            continue;
        }
        rule.times = rule.times.map(|times| times.saturating_sub(1));
        struck = Some(rule.fault.clone());
        break;
    }
    rules.retain(|rule| rule.times != Some(0));
    struck
}

/// A deviation of a call: a fault, or merely another format.
///
/// `after` is the number of content pieces sent first: 0 interrupts after the head and the role, before any content. A
/// number beyond the end interrupts before the finish. A JSON response is sent in four pieces, and `after` counts
/// those. Faults of an answer's content have no effect on other calls. A call that fails by its head has no effect,
/// unless stated otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The call takes effect at once, and its response is delayed (milliseconds in JSON).
    Delay(#[serde(with = "milliseconds")] Duration),
    /// The call gets no response and has no effect.
    Stall,
    /// The connection is closed without a response.
    CutBeforeHead,
    /// The connection is reset without a response.
    ResetBeforeHead,
    /// The call takes effect, then the connection is closed without a response.
    CutAfterEffect,
    /// A status with an error page.
    Status(Page),
    /// 200 with an HTML page.
    HtmlPage,
    /// 200 with `{"statusCode": …, "message": …}`.
    ErrorBody(u16),
    /// A redirect; the call has no effect and does not count as a try.
    Redirect {
        /// The status.
        code: u16,
        /// The `location` header.
        location: String,
    },
    /// The body stalls forever.
    StallMidStream {
        /// Pieces of content that go out first.
        after: usize,
    },
    /// The connection is closed in the middle of the body.
    CutMidStream {
        /// Pieces of content that go out first.
        after: usize,
    },
    /// The body ends cleanly, but with neither finish reason nor `[DONE]`.
    PoliteCut {
        /// Pieces of content that go out first.
        after: usize,
    },
    /// An event that is not JSON.
    Malformed {
        /// Pieces of content that go out first.
        after: usize,
    },
    /// An event with an error, then the end of the body.
    ErrorEvent {
        /// Pieces of content that go out first.
        after: usize,
        /// The `statusCode` beside the error; with `None` only `{"error": {"message": …}}`.
        #[serde(default)]
        status: Option<u16>,
    },
    /// A well-formed event with this much content.
    OversizedEvent {
        /// Pieces of content that go out first.
        after: usize,
        /// Bytes of content in the event.
        bytes: usize,
    },
    /// The stream ends without `[DONE]`.
    MissingDone,
    /// The stream ends with `[DONE]` and no finish reason.
    MissingFinish,
    /// A finish reason and `[DONE]`, but no content.
    EmptyAnswer,
    /// Status 200 with an empty body.
    EmptyBody,
    /// A finish reason other than `stop`.
    FinishReason(String),
    /// After the finish reason endless comments at this interval (milliseconds in JSON).
    Heartbeats(#[serde(with = "milliseconds")] Duration),
    /// Delay between the pieces of content (milliseconds in JSON).
    Drip(#[serde(with = "milliseconds")] Duration),
    /// This text instead of the one derived from the message.
    Say(String),
    /// No fault: the answer has another format.
    Form(Form),
    /// The behaviour that a model name selects.
    Named(String),
    /// Several faults, applied in order.
    Several(Vec<Fault>),
}

impl From<Form> for Fault {
    fn from(form: Form) -> Self {
        Self::Form(form)
    }
}

impl Fault {
    /// A status with a JSON page and no `retry-after`.
    pub fn status(code: u16) -> Self {
        Self::Status(Page {
            code,
            kind: PageKind::Json,
            retry_after: None,
        })
    }
}

/// An error page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// The status.
    pub code: u16,
    /// The content of the body.
    #[serde(default)]
    pub kind: PageKind,
    /// The `retry-after` header, sent unchanged; `date+7` becomes the HTTP date seven seconds later.
    #[serde(default)]
    pub retry_after: Option<String>,
}

/// The kinds of error page bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageKind {
    /// `{"statusCode": …, "message": …}`
    #[default]
    Json,
    /// An HTML page.
    Html,
    /// Empty.
    Empty,
}

mod milliseconds {
    //! A duration as whole milliseconds.

    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}
