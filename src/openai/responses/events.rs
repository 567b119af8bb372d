//! A streamed response, event by event.

use super::{
    super::sse::Telling,
    event::{Event, Place, told},
    item::{CallHead, Citation, Item, ItemStatus, Kind},
    keeping::{Keeping, conclude},
    object::{Draft, Standing},
};
use crate::engine::{
    chat::FinishReason,
    error::ChatError,
    event::{self, Annotation, ChoiceEvent, ToolCallDelta, ToolKind},
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
    /// The number of the tool call among the answer's calls.
    call: Option<u32>,
    id: String,
    text: String,
    annotations: Vec<Citation>,
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
            told += &self.begin_item(kind, None);
        }
        told + &self.grow(delta)
    }

    /// More of a tool call: begins an item with the first piece of each.
    fn call(&mut self, delta: ToolCallDelta) -> String {
        let ToolCallDelta {
            index,
            id,
            kind,
            name,
            input,
        } = delta;
        let mut told = String::new();
        if self.open.as_ref().is_none_or(|open| open.call != Some(index)) {
            let head = CallHead {
                kind,
                call_id: id.unwrap_or_default(),
                name: name.unwrap_or_default(),
            };
            told += &self.close(ItemStatus::Completed);
            told += &self.begin_item(Kind::Call(head), Some(index));
        }
        if input.is_empty() {
            return told;
        }
        told + &self.grow(&input)
    }

    /// More text of the open item.
    fn grow(&mut self, delta: &str) -> String {
        let Some(mut open) = self.open.take() else {
            return String::new();
        };
        open.text += delta;
        let place = self.place(&open.id);
        let (item_id, output_index) = (place.item_id, place.output_index);
        let told = self.event(match &open.kind {
            Kind::Message => Event::TextDelta {
                place,
                delta,
                logprobs: [],
            },
            Kind::Reasoning => Event::ReasoningDelta { place, delta },
            Kind::Refusal => Event::RefusalDelta { place, delta },
            Kind::Call(head) => match head.kind {
                ToolKind::Function => Event::ArgumentsDelta {
                    item_id,
                    output_index,
                    delta,
                },
                ToolKind::Custom => Event::InputDelta {
                    item_id,
                    output_index,
                    delta,
                },
            },
        });
        self.open = Some(open);
        told
    }

    /// A source of the text; one that comes outside of any text is left out.
    fn annotate(&mut self, annotation: Annotation) -> String {
        let Some(mut open) = self.open.take_if(|open| open.kind == Kind::Message) else {
            return String::new();
        };
        let citation = Citation::from(annotation);
        let told = self.event(Event::AnnotationAdded {
            place: self.place(&open.id),
            annotation_index: open.annotations.len(),
            annotation: &citation,
        });
        open.annotations.push(citation);
        self.open = Some(open);
        told
    }

    fn begin_item(&mut self, kind: Kind, call: Option<u32>) -> String {
        let id = kind.id();
        let added = Event::ItemAdded {
            output_index: self.output.len(),
            item: &kind.item(&id, ItemStatus::InProgress, None, Vec::new()),
        };
        let mut told = self.event(added);
        if let Some(part) = kind.part("", Vec::new()) {
            let place = self.place(&id);
            told += &self.event(Event::PartAdded { place, part });
        }
        self.open = Some(OpenItem {
            kind,
            call,
            id,
            text: String::new(),
            annotations: Vec::new(),
        });
        told
    }

    /// Ends the open item, if there is one.
    fn close(&mut self, status: ItemStatus) -> String {
        let Some(open) = self.open.take() else {
            return String::new();
        };
        let OpenItem {
            kind,
            call: _,
            id,
            text,
            annotations,
        } = open;
        let place = self.place(&id);
        let (item_id, output_index) = (place.item_id, place.output_index);
        let mut told = self.event(match &kind {
            Kind::Message => Event::TextDone {
                place,
                text: &text,
                logprobs: [],
            },
            Kind::Reasoning => Event::ReasoningDone { place, text: &text },
            Kind::Refusal => Event::RefusalDone {
                place,
                refusal: &text,
            },
            Kind::Call(head) => match head.kind {
                ToolKind::Function => Event::ArgumentsDone {
                    item_id,
                    output_index,
                    name: &head.name,
                    arguments: &text,
                },
                ToolKind::Custom => Event::InputDone {
                    item_id,
                    output_index,
                    input: &text,
                },
            },
        });
        if let Some(part) = kind.part(&text, annotations.clone()) {
            told += &self.event(Event::PartDone { place, part });
        }
        let item = kind.item(&id, status, Some(&text), annotations);
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
            told += &self.begin_item(Kind::Message, None);
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
            event::Event::Refusal(text) => self.say(Kind::Refusal, &text),
            event::Event::ToolCall(delta) => self.call(delta),
            event::Event::Annotation(annotation) => self.annotate(annotation),
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
        if let Some(open) = self.open.take() {
            let OpenItem {
                kind,
                call: _,
                id,
                text,
                annotations,
            } = open;
            let item = kind.item(&id, ItemStatus::Incomplete, Some(&text), annotations);
            self.output.push(item);
        }
        self.draft.is_not_stored();
        let error = told(&mut self.sequence, Event::error(failure));
        let response = self.draft.at(Standing::Failed(failure), &self.output);
        begun + &error + &told(&mut self.sequence, Event::Failed { response })
    }
}
