//! The faults that can be scripted, and the rules that say when they strike.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::counts::Step;
use super::shape::Form;

/// When a fault strikes. Among the rules that match a call the oldest strikes; one that is used up is dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Only calls with this token; none for every token.
    #[serde(default)]
    pub token: Option<String>,
    /// Only this call; none for every call.
    #[serde(default)]
    pub step: Option<Step>,
    /// How many matching calls go by unharmed first.
    #[serde(default)]
    pub after: u32,
    /// How often it strikes; none for ever.
    #[serde(default)]
    pub times: Option<u32>,
    /// What happens.
    pub fault: Fault,
}

impl Rule {
    /// A rule that strikes every call, for ever.
    pub fn always(fault: impl Into<Fault>) -> Self {
        Self {
            token: None,
            step: None,
            after: 0,
            times: None,
            fault: fault.into(),
        }
    }

    /// A rule that strikes the next call only.
    pub fn once(fault: impl Into<Fault>) -> Self {
        Self::always(fault).times(1)
    }

    /// The same rule for one call of the seven.
    #[must_use]
    pub fn on(mut self, step: Step) -> Self {
        self.step = Some(step);
        self
    }

    /// The same rule for one token.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// The same rule, striking this often.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// The same rule, letting this many matching calls go by first.
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

/// Picks the fault for a call and counts the rules that it touched.
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

/// What goes wrong, or merely otherwise.
///
/// `after` counts the pieces of content that go out first: 0 strikes after the head and the role, before any
/// content. A count beyond the end strikes before the finish. Where a call answers JSON the body is sent in
/// four pieces, and `after` counts those. What only concerns the content of an answer does nothing elsewhere.
///
/// A call that fails by its head has had no effect, except where it is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The call takes effect at once and is answered this much later (milliseconds in JSON).
    Delay(#[serde(with = "milliseconds")] Duration),
    /// The call is never answered and has no effect.
    Stall,
    /// The connection is closed without an answer.
    CutBeforeHead,
    /// The connection is reset without an answer.
    ResetBeforeHead,
    /// The call takes effect, then the connection is closed without an answer.
    CutAfterEffect,
    /// A status with a page.
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
    /// The body stalls for ever.
    StallMidStream {
        /// Pieces of content that go out first.
        after: usize,
    },
    /// The connection is closed in the middle of the body.
    CutMidStream {
        /// Pieces of content that go out first.
        after: usize,
    },
    /// The body ends as if all were well, with neither finish reason nor `[DONE]`.
    PoliteCut {
        /// Pieces of content that go out first.
        after: usize,
    },
    /// An event that is not JSON.
    Malformed {
        /// Pieces of content that go out first.
        after: usize,
    },
    /// An event that holds an error, then the end of the body.
    ErrorEvent {
        /// Pieces of content that go out first.
        after: usize,
        /// The `statusCode` beside the error; none gives only `{"error": {"message": …}}`.
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
    /// A finish reason and `[DONE]` without any content.
    EmptyAnswer,
    /// 200 and not one byte.
    EmptyBody,
    /// Another finish reason than `stop`.
    FinishReason(String),
    /// After the finish reason comments at this distance (milliseconds in JSON), without an end.
    Heartbeats(#[serde(with = "milliseconds")] Duration),
    /// This much time between the pieces of content (milliseconds in JSON).
    Drip(#[serde(with = "milliseconds")] Duration),
    /// This text instead of the one made from the message.
    Say(String),
    /// Nothing wrong: the answer is written in another way.
    Form(Form),
    /// The behaviour that a model name stands for.
    Named(String),
    /// Several at once, in order.
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

/// An answer with a status of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// The status.
    pub code: u16,
    /// What the body holds.
    #[serde(default)]
    pub kind: PageKind,
    /// The `retry-after` header as it stands; `date+7` becomes the HTTP date seven seconds from then.
    #[serde(default)]
    pub retry_after: Option<String>,
}

/// What the body of a page holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageKind {
    /// `{"statusCode": …, "message": …}`
    #[default]
    Json,
    /// A page for people.
    Html,
    /// Nothing.
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
