//! The engine's words as OpenAI's.

use std::borrow::Cow;

use super::wire::{
    AnswerDetails, AnswerMessage, Called, CalledCustom, CalledFunction, ChatCompletion, Choice, Citation,
    CompletionObject, CustomChunk, FinishWord, FunctionChunk, Null, PromptDetails, Speaker, ToolCall,
    ToolCallChunk, ToolWord, UrlCitation, UsageFigures,
};
use crate::engine::{
    Completions,
    chat::{Completion, FinishReason, Head, Said, Usage},
    event::{self, Annotation, ToolCallDelta, ToolKind},
};

/// A whole answer.
pub(super) fn whole(head: &Head, completions: Completions) -> ChatCompletion<'_> {
    let Completions {
        choices,
        usage: figures,
    } = completions;
    let choices = (0..).zip(choices).map(|(index, completion)| {
        // What one choice cost is part of the sum.
        let Completion {
            said,
            reason,
            usage: _,
        } = completion;
        let message = message(said);
        Choice {
            index,
            message,
            logprobs: Null,
            finish_reason: finish_reason(reason),
        }
    });
    ChatCompletion {
        id: &head.id,
        object: CompletionObject::ChatCompletion,
        created: head.created,
        model: &head.model,
        choices: choices.collect(),
        usage: usage(figures),
    }
}

fn message(said: Said) -> AnswerMessage {
    let Said {
        content,
        reasoning,
        refusal,
        tool_calls,
        annotations,
    } = said;
    let is_text = !content.is_empty() || (refusal.is_empty() && tool_calls.is_empty());
    AnswerMessage {
        role: Speaker::Assistant,
        content: is_text.then_some(content),
        refusal: (!refusal.is_empty()).then_some(refusal),
        annotations: annotations.into_iter().map(citation).collect(),
        tool_calls: tool_calls.into_iter().map(tool_call).collect(),
        reasoning_content: reasoning,
    }
}

fn tool_call(call: event::ToolCall) -> ToolCall {
    let event::ToolCall {
        id,
        kind,
        name,
        input,
    } = call;
    let call = match kind {
        ToolKind::Function => Called::Function {
            function: CalledFunction {
                name,
                arguments: input,
            },
        },
        ToolKind::Custom => Called::Custom {
            custom: CalledCustom { name, input },
        },
    };
    ToolCall { id, call }
}

/// A piece of a tool call.
pub(super) fn tool_call_chunk(delta: &ToolCallDelta) -> ToolCallChunk<'_> {
    let ToolCallDelta {
        index,
        id,
        kind,
        name,
        input,
    } = delta;
    let (name, is_first) = (name.as_deref(), id.is_some());
    let (word, function, custom) = match kind {
        ToolKind::Function => {
            let arguments = input;
            (ToolWord::Function, Some(FunctionChunk { name, arguments }), None)
        }
        ToolKind::Custom => (ToolWord::Custom, None, Some(CustomChunk { name, input })),
    };
    ToolCallChunk {
        index: *index,
        id: id.as_deref(),
        kind: is_first.then_some(word),
        function,
        custom,
    }
}

/// A source.
pub(super) fn citation(annotation: Annotation) -> UrlCitation {
    let Annotation {
        url,
        title,
        start,
        end,
    } = annotation;
    UrlCitation {
        url_citation: Citation {
            url,
            title,
            start_index: start,
            end_index: end,
        },
    }
}

pub(super) fn finish_reason(reason: FinishReason) -> FinishWord {
    match reason {
        FinishReason::Stop => FinishWord::Stop,
        FinishReason::Length => FinishWord::Length,
        FinishReason::ToolCalls => FinishWord::ToolCalls,
        FinishReason::ContentFilter => FinishWord::ContentFilter,
    }
}

pub(super) fn usage(usage: Usage) -> UsageFigures {
    let Usage {
        prompt_tokens,
        completion_tokens,
        total_tokens,
        reasoning_tokens,
    } = usage;
    UsageFigures {
        prompt_tokens,
        completion_tokens,
        total_tokens,
        prompt_tokens_details: PromptDetails::default(),
        completion_tokens_details: AnswerDetails {
            reasoning_tokens,
            ..AnswerDetails::default()
        },
    }
}

/// Text that a chunk borrows.
pub(super) fn borrowed(text: &str) -> Option<Cow<'_, str>> {
    Some(Cow::Borrowed(text))
}
