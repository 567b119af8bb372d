//! Model names that select a behaviour, in one table.

use std::time::Duration;

use super::fault::{Fault, Page, PageKind};
use super::shape::{Dialect, Form, LineEnding, TextKey};

/// A model name and the behaviour it selects. Names can be combined with `+`: `dialect:tab+fault:cut`.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    /// The model name.
    pub name: &'static str,
    /// The behaviour, in a few words.
    pub meaning: &'static str,
    fault: fn() -> Fault,
}

const fn named(name: &'static str, meaning: &'static str, fault: fn() -> Fault) -> Behaviour {
    Behaviour { name, meaning, fault }
}

fn page(code: u16, kind: PageKind, retry_after: Option<&str>) -> Fault {
    Fault::Status(Page {
        code,
        kind,
        retry_after: retry_after.map(str::to_owned),
    })
}

/// All model names with a behaviour.
pub(super) const TABLE: &[Behaviour] = &[
    named("fault:400", "400 with JSON", || Fault::status(400)),
    named("fault:401", "401 with JSON", || Fault::status(401)),
    named("fault:403", "403 with JSON", || Fault::status(403)),
    named("fault:404", "404 with JSON", || Fault::status(404)),
    named("fault:429", "429, retry-after 2 seconds", || {
        page(429, PageKind::Json, Some("2"))
    }),
    named("fault:429-date", "429, retry-after as a date", || {
        page(429, PageKind::Json, Some("date+2"))
    }),
    named("fault:429-bare", "429 without retry-after", || Fault::status(429)),
    named("fault:500", "500 with JSON", || Fault::status(500)),
    named("fault:500-html", "500 with an HTML page", || {
        page(500, PageKind::Html, None)
    }),
    named("fault:502", "502 with an HTML page", || {
        page(502, PageKind::Html, None)
    }),
    named("fault:503", "503, retry-after 1 second", || {
        page(503, PageKind::Json, Some("1"))
    }),
    named("fault:504", "504 with an empty body", || {
        page(504, PageKind::Empty, None)
    }),
    named("fault:html", "200 with an HTML page", || Fault::HtmlPage),
    named("fault:error-body", "200 with a JSON body of status 401", || {
        Fault::ErrorBody(401)
    }),
    named("fault:redirect", "302 to another place", || Fault::Redirect {
        code: 302,
        location: "/elsewhere".to_owned(),
    }),
    named("fault:slow", "2 seconds before the head", || {
        Fault::Delay(Duration::from_secs(2))
    }),
    named("fault:stall", "stalls after two pieces", || {
        Fault::StallMidStream { after: 2 }
    }),
    named(
        "fault:stall-first",
        "stalls after the head, before content",
        || Fault::StallMidStream { after: 0 },
    ),
    named("fault:stall-head", "never answers", || Fault::Stall),
    named("fault:close", "closes before the head", || Fault::CutBeforeHead),
    named("fault:reset", "resets before the head", || Fault::ResetBeforeHead),
    named("fault:cut", "cut after two pieces", || Fault::CutMidStream {
        after: 2,
    }),
    named("fault:cut-first", "cut before content", || Fault::CutMidStream {
        after: 0,
    }),
    named("fault:polite-cut", "ends politely after two pieces", || {
        Fault::PoliteCut { after: 2 }
    }),
    named(
        "fault:malformed",
        "an event that is not JSON after two pieces",
        || Fault::Malformed { after: 2 },
    ),
    named("fault:malformed-first", "an event that is not JSON first", || {
        Fault::Malformed { after: 0 }
    }),
    named("fault:error-event", "an error event after two pieces", || {
        Fault::ErrorEvent {
            after: 2,
            status: None,
        }
    }),
    named("fault:error-first", "an error event of status 429 first", || {
        Fault::ErrorEvent {
            after: 0,
            status: Some(429),
        }
    }),
    named("fault:oversized", "an event of 32 MiB", || {
        Fault::OversizedEvent {
            after: 2,
            bytes: 32 << 20,
        }
    }),
    named("fault:no-done", "no [DONE]", || Fault::MissingDone),
    named("fault:no-finish", "[DONE] without a finish reason", || {
        Fault::MissingFinish
    }),
    named("fault:empty", "a finish without content", || Fault::EmptyAnswer),
    named("fault:empty-body", "200 and not one byte", || Fault::EmptyBody),
    named(
        "fault:heartbeats",
        "comments without end after the finish",
        || Fault::Heartbeats(Duration::from_millis(200)),
    ),
    named("fault:drip", "200 ms between the pieces", || {
        Fault::Drip(Duration::from_millis(200))
    }),
    named("finish:length", "finish reason length", || {
        Fault::FinishReason("length".to_owned())
    }),
    named("finish:content_filter", "finish reason content_filter", || {
        Fault::FinishReason("content_filter".to_owned())
    }),
    named("finish:error", "finish reason error", || {
        Fault::FinishReason("error".to_owned())
    }),
    named("finish:unknown", "a finish reason nobody knows", || {
        Fault::FinishReason("eos_token".to_owned())
    }),
    named("dialect:sse", "server-sent events", || {
        Form::Dialect(Dialect::Sse).into()
    }),
    named("dialect:tab", "the tab dialect", || {
        Form::Dialect(Dialect::Tab).into()
    }),
    named("dialect:json", "JSON, choices[0].message.content", || {
        json(TextKey::Choice)
    }),
    named("dialect:json-text", "JSON, choices[0].text", || {
        json(TextKey::Text)
    }),
    named("dialect:json-response", "JSON, response", || {
        json(TextKey::Response)
    }),
    named("dialect:json-content", "JSON, content", || json(TextKey::Content)),
    named("dialect:json-message", "JSON, message", || json(TextKey::Message)),
    named("dialect:split", "every byte alone", || Form::Split(1).into()),
    named("dialect:crlf", "lines end in CRLF", || {
        Form::LineEnding(LineEnding::CrLf).into()
    }),
    named("dialect:cr", "lines end in CR", || {
        Form::LineEnding(LineEnding::Cr).into()
    }),
    named("dialect:one-line", "one event a line, no blank lines", || {
        Form::NoBlankLines.into()
    }),
    named("dialect:bom", "a byte order mark first", || {
        Form::ByteOrderMark.into()
    }),
    named("dialect:comments", "comments between the events", || {
        Form::Comments.into()
    }),
    named("dialect:fields", "event:, id: and retry: fields", || {
        Form::Fields.into()
    }),
    named("dialect:no-space", "no space after the colon", || {
        Form::NoSpace.into()
    }),
    named("dialect:many-lines", "JSON over several data lines", || {
        Form::ManyDataLines.into()
    }),
    named("dialect:noise", "events that mean nothing", || Form::Noise.into()),
    named("dialect:prologue", "five role chunks first", || {
        Form::Prologue(5).into()
    }),
    named("dialect:reasoning", "reasoning before the content", || {
        Form::Reasoning.into()
    }),
    named("dialect:plain", "text/plain as the content type", || {
        Form::ContentType("text/plain; charset=utf-8".to_owned()).into()
    }),
    named("usage:on", "usage told", || Form::Usage(true).into()),
    named("usage:off", "usage not told", || Form::Usage(false).into()),
];

fn json(key: TextKey) -> Fault {
    Form::Dialect(Dialect::Json(key)).into()
}

/// The faults that a model name selects; none for an ordinary name.
///
/// # Errors
/// When a part of it has the form of a name in the table, but is not in it.
pub(super) fn behaviour(model: &str) -> Result<Vec<Fault>, String> {
    if !["fault:", "dialect:", "usage:", "finish:"]
        .iter()
        .any(|prefix| model.starts_with(prefix))
    {
        return Ok(Vec::new());
    }
    let find = |part: &str| {
        TABLE
            .iter()
            .find(|entry| entry.name == part)
            .map(|entry| (entry.fault)())
    };
    model
        .split('+')
        .map(|part| find(part).ok_or_else(|| format!("no behaviour is named {part:?}")))
        .collect()
}

/// The fault that a name of the table selects.
///
/// # Errors
/// When the name, or a part of it, is not in the table; this includes ordinary model names.
pub(super) fn named_fault(name: &str) -> Result<Fault, String> {
    match behaviour(name)? {
        faults if faults.is_empty() => Err(format!("no behaviour is named {name:?}")),
        faults => Ok(Fault::Several(faults)),
    }
}
