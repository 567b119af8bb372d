//! Text completions as they stand on the wire: answers and chunks have one shape.

use serde::Serialize;
use utoipa::ToSchema;

use super::super::{
    convert, error,
    sse::{DONE, Telling, event},
    wire::{FinishWord, Null, UsageFigures},
};
use crate::engine::{
    Completions,
    chat::{Completion, Head},
    error::ChatError,
    event::{ChoiceEvent, Event},
};

/// An answer, or a chunk of one. `usage` is absent from chunks unless the client asked for it, and then null in every
/// chunk but the last.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Completion)]
pub(in crate::openai) struct TextCompletion<'a> {
    id: &'a str,
    #[schema(inline)]
    object: TextObject,
    created: u64,
    model: &'a str,
    choices: Vec<TextChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<UsageFigures>)]
    usage: Option<Option<UsageFigures>>,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum TextObject {
    TextCompletion,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CompletionChoice)]
struct TextChoice {
    text: String,
    index: u32,
    #[schema(inline)]
    logprobs: Null,
    #[schema(inline, required)]
    finish_reason: Option<FinishWord>,
}

fn text_completion(
    head: &Head,
    choices: Vec<TextChoice>,
    usage: Option<Option<UsageFigures>>,
) -> TextCompletion<'_> {
    TextCompletion {
        id: &head.id,
        object: TextObject::TextCompletion,
        created: head.created,
        model: &head.model,
        choices,
        usage,
    }
}

/// A whole answer, each choice behind its echo. Reasoning has no place in it.
pub(super) fn whole(head: &Head, completions: Completions, echoes: Vec<String>) -> TextCompletion<'_> {
    let Completions { choices, usage } = completions;
    let choices = (0..)
        .zip(choices.into_iter().zip(echoes))
        .map(|(index, (completion, echo))| {
            let Completion {
                said,
                reason,
                usage: _,
            } = completion;
            TextChoice {
                text: echo + &said.content,
                index,
                logprobs: Null,
                finish_reason: Some(convert::finish_reason(reason)),
            }
        });
    text_completion(head, choices.collect(), Some(Some(convert::usage(usage))))
}

/// How the stream is told.
#[derive(Debug)]
pub(super) struct TextChunks {
    pub(super) head: Head,
    pub(super) echoes: Vec<String>,
    pub(super) include_usage: bool,
}

impl Telling for TextChunks {
    fn begin(&mut self) -> String {
        let echoes = std::mem::take(&mut self.echoes);
        let echoed = (0..).zip(echoes).filter(|(_, echo)| !echo.is_empty());
        echoed
            .map(|(index, echo)| self.chunk(index, echo, None))
            .collect()
    }

    fn tell(&mut self, happened: ChoiceEvent) -> String {
        let ChoiceEvent {
            index,
            event: happened,
        } = happened;
        match happened {
            Event::Content(text) => self.chunk(index, text, None),
            // A text completion has room for text alone.
            Event::Reasoning(_)
            | Event::Refusal(_)
            | Event::ToolCall(_)
            | Event::Annotation(_)
            | Event::End => String::new(),
            Event::Finish(reason) => self.chunk(index, String::new(), Some(convert::finish_reason(reason))),
            Event::Usage(usage) if self.include_usage => {
                let usage = Some(Some(convert::usage(usage)));
                event(&text_completion(&self.head, Vec::new(), usage)) + DONE
            }
            Event::Usage(_) => DONE.to_owned(),
        }
    }

    fn fail(&mut self, failure: &ChatError) -> String {
        event(&error::body(failure))
    }
}

impl TextChunks {
    fn chunk(&self, index: u32, text: String, finish_reason: Option<FinishWord>) -> String {
        let choice = TextChoice {
            text,
            index,
            logprobs: Null,
            finish_reason,
        };
        event(&text_completion(
            &self.head,
            vec![choice],
            self.include_usage.then_some(None),
        ))
    }
}
