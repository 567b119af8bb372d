//! The plan of one call: all faults that apply to it, combined.

use std::time::Duration;

use super::config::SimConfig;
use super::fault::{Fault, Page, PageKind};
use super::models;
use super::shape::Shape;

/// How one call is performed.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) shape: Shape,
    pub(super) delay: Duration,
    pub(super) head: Head,
    pub(super) interruption: Option<(usize, Interruption)>,
    pub(super) chunk_delay: Duration,
    pub(super) content: bool,
    pub(super) finish: bool,
    pub(super) finish_reason: String,
    pub(super) done: bool,
    pub(super) heartbeats: Option<Duration>,
    pub(super) text: Option<String>,
}

/// The head of the response, or what replaces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Head {
    Good,
    Stall,
    HangUp { reset: bool },
    HangUpAfterEffect,
    Redirect { code: u16, location: String },
    Page(Page),
    ErrorBody(u16),
    EmptyBody,
}

/// An interruption of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Interruption {
    Stall,
    Cut,
    End,
    Malformed,
    Error(Option<u16>),
    Oversized(usize),
}

impl Plan {
    /// The plan of a call without faults.
    pub(super) fn new(config: &SimConfig) -> Self {
        Self {
            shape: config.answer.clone(),
            delay: config.latency,
            head: Head::Good,
            interruption: None,
            chunk_delay: config.chunk_delay,
            content: true,
            finish: true,
            finish_reason: "stop".to_owned(),
            done: true,
            heartbeats: None,
            text: None,
        }
    }

    /// Adds a fault, replacing an earlier one of the same kind.
    ///
    /// # Errors
    /// When it names a behaviour that does not exist; parts added before it stay.
    pub(super) fn add(&mut self, fault: Fault) -> Result<(), String> {
        match fault {
            Fault::Delay(time) => self.delay += time,
            Fault::Stall => self.head = Head::Stall,
            Fault::CutBeforeHead => self.head = Head::HangUp { reset: false },
            Fault::ResetBeforeHead => self.head = Head::HangUp { reset: true },
            Fault::CutAfterEffect => self.head = Head::HangUpAfterEffect,
            Fault::Status(page) => self.head = Head::Page(page),
            Fault::HtmlPage => self.head = html_page(),
            Fault::ErrorBody(code) => self.head = Head::ErrorBody(code),
            Fault::Redirect { code, location } => self.head = Head::Redirect { code, location },
            Fault::StallMidStream { after } => self.interrupt(after, Interruption::Stall),
            Fault::CutMidStream { after } => self.interrupt(after, Interruption::Cut),
            Fault::PoliteCut { after } => self.interrupt(after, Interruption::End),
            Fault::Malformed { after } => self.interrupt(after, Interruption::Malformed),
            Fault::ErrorEvent { after, status } => self.interrupt(after, Interruption::Error(status)),
            Fault::OversizedEvent { after, bytes } => self.interrupt(after, Interruption::Oversized(bytes)),
            Fault::MissingDone => self.done = false,
            Fault::MissingFinish => self.finish = false,
            Fault::EmptyAnswer => self.content = false,
            Fault::EmptyBody => self.head = Head::EmptyBody,
            Fault::FinishReason(reason) => self.finish_reason = reason,
            Fault::Heartbeats(distance) => self.heartbeats = Some(distance),
            Fault::Drip(distance) => self.chunk_delay = distance,
            Fault::Say(text) => self.text = Some(text),
            Fault::Form(form) => self.shape.change(&form),
            Fault::Named(name) => return self.add(models::named_fault(&name)?),
            Fault::Several(faults) => return faults.into_iter().try_for_each(|fault| self.add(fault)),
        }
        Ok(())
    }

    fn interrupt(&mut self, after: usize, interruption: Interruption) {
        self.interruption = Some((after, interruption));
    }
}

fn html_page() -> Head {
    Head::Page(Page {
        code: 200,
        kind: PageKind::Html,
        retry_after: None,
    })
}
