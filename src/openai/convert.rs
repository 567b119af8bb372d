//! The engine's words as OpenAI's.

use std::borrow::Cow;

use super::wire::{
    AnswerDetails, AnswerMessage, ChatCompletion, Choice, CompletionObject, FinishWord, Null, PromptDetails,
    Speaker, UsageFigures,
};
use crate::engine::{
    Completions,
    chat::{Completion, FinishReason, Head, Usage},
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
            text,
            reasoning,
            reason,
            usage: _,
        } = completion;
        let message = AnswerMessage {
            role: Speaker::Assistant,
            content: text,
            refusal: Null,
            annotations: [],
            reasoning_content: reasoning,
        };
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
