//! A streamed response, event by event.

use super::{
    super::sse::Telling,
    event::{Event, Place, told},
    item::{Item, ItemStatus, Kind},
    keeping::{Keeping, conclude},
    object::{Draft, Standing},
};
use crate::engine::{
    chat::FinishReason,
    error::ChatError,
    event::{self, ChoiceEvent},
};

/// How a response's stream is told.
#[derive(Debug)]
pub(super) struct Events {
    draft: Draft,
    keeping: Option<Keeping>,
    begun: bool,
    /// The next event's number.
    sequence: u64,
    /// Items that are whole.
    output: Vec<Item>,
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

    fn event(&mut self, event: Event<'_>) -> String {
        told(&mut self.sequence, event)
    }

    /// The only part of the item that comes next.
    fn place<'a>(&self, item_id: &'a str) -> Place<'a> {
        Place {
            item_id,
            output_index: self.output.len(),
            content_index: 0,
        }
    }

    /// More text of a kind: begins an item where none of that kind is open.
    fn say(&mut self, kind: Kind, delta: &str) -> String {
        let mut told = String::new();
        if self.open.as_ref().is_none_or(|open| open.kind != kind) {
            told += &self.close(ItemStatus::Completed);
            told += &self.begin_item(kind);
        }
        let Some(mut open) = self.open.take() else {
            return told;
        };
        open.text += delta;
        let place = self.place(&open.id);
        told += &self.event(match kind {
            Kind::Message => Event::TextDelta {
                place,
                delta,
                logprobs: [],
            },
            Kind::Reasoning => Event::ReasoningDelta { place, delta },
        });
        self.open = Some(open);
        told
    }

    fn begin_item(&mut self, kind: Kind) -> String {
        let id = kind.id();
        let added = Event::ItemAdded {
            output_index: self.output.len(),
            item: &kind.item(&id, ItemStatus::InProgress, None),
        };
        let mut told = self.event(added);
        let (place, part) = (self.place(&id), kind.part(""));
        told += &self.event(Event::PartAdded { place, part });
        let text = String::new();
        self.open = Some(OpenItem { kind, id, text });
        told
    }

    /// Ends the open item, if there is one.
    fn close(&mut self, status: ItemStatus) -> String {
        let Some(OpenItem { kind, id, text }) = self.open.take() else {
            return String::new();
        };
        let place = self.place(&id);
        let mut told = self.event(match kind {
            Kind::Message => Event::TextDone {
                place,
                text: &text,
                logprobs: [],
            },
            Kind::Reasoning => Event::ReasoningDone { place, text: &text },
        });
        let part = kind.part(&text);
        told += &self.event(Event::PartDone { place, part });
        let item = kind.item(&id, status, Some(&text));
        let output_index = self.output.len();
        told += &self.event(Event::ItemDone {
            output_index,
            item: &item,
        });
        self.output.push(item);
        told
    }

    fn finish(&mut self, reason: FinishReason) -> String {
        let mut told = String::new();
        self.reason = reason;
        if self.output.is_empty() && self.open.is_none() {
            told += &self.begin_item(Kind::Message);
        }
        told + &self.close(ItemStatus::at(reason))
    }
}

impl Telling for Events {
    fn begin(&mut self) -> String {
        self.begun = true;
        let Self { draft, sequence, .. } = self;
        let response = || draft.at(Standing::InProgress, &[]);
        let created = told(sequence, Event::Created { response: response() });
        created + &told(sequence, Event::InProgress { response: response() })
    }

    fn tell(&mut self, event: ChoiceEvent) -> String {
        match event.event {
            event::Event::Content(text) => self.say(Kind::Message, &text),
            event::Event::Reasoning(text) => self.say(Kind::Reasoning, &text),
            event::Event::Finish(reason) => self.finish(reason),
            event::Event::End => String::new(),
            event::Event::Usage(usage) => {
                let ending = (self.reason, usage);
                let keeping = self.keeping.take();
                let response = conclude(&mut self.draft, keeping, ending, &self.output);
                let event = match ItemStatus::at(self.reason) {
                    ItemStatus::Incomplete => Event::Incomplete { response },
                    ItemStatus::Completed | ItemStatus::InProgress => Event::Completed { response },
                };
                told(&mut self.sequence, event)
            }
        }
    }

    /// SDKs need a beginning before every end. They raise the first of the two events; of the second alone many a
    /// framework says nothing, and takes what came for the whole.
    fn fail(&mut self, failure: &ChatError) -> String {
        let begun = if self.begun { String::new() } else { self.begin() };
        if let Some(OpenItem { kind, id, text }) = self.open.take() {
            self.output
                .push(kind.item(&id, ItemStatus::Incomplete, Some(&text)));
        }
        self.draft.is_not_stored();
        let error = told(&mut self.sequence, Event::error(failure));
        let response = self.draft.at(Standing::Failed(failure), &self.output);
        begun + &error + &told(&mut self.sequence, Event::Failed { response })
    }
}
