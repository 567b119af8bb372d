//! Answers, written: engine to wire.

use super::proto::{self, ChatMessage, ContentPart, content_part::Part};
use crate::engine::{
    Completions, MODEL_CREATED, MODEL_OWNER,
    chat::{Completion, FinishReason, Head, Usage},
};

pub(super) fn finish_reason(reason: FinishReason) -> proto::FinishReason {
    match reason {
        FinishReason::Stop => proto::FinishReason::Stop,
        FinishReason::Length => proto::FinishReason::Length,
        FinishReason::ToolCalls => proto::FinishReason::ToolCalls,
        FinishReason::ContentFilter => proto::FinishReason::ContentFilter,
    }
}

pub(super) fn usage(usage: Usage) -> proto::Usage {
    let Usage {
        prompt_tokens,
        completion_tokens,
        total_tokens,
        reasoning_tokens,
    } = usage;
    proto::Usage {
        prompt_tokens,
        completion_tokens,
        total_tokens,
        completion_tokens_details: Some(proto::CompletionTokensDetails {
            reasoning_tokens: Some(reasoning_tokens),
            ..proto::CompletionTokensDetails::default()
        }),
        ..proto::Usage::default()
    }
}

pub(super) fn whole(head: Head, completions: Completions) -> proto::CreateChatCompletionResponse {
    let Head { id, created, model } = head;
    let Completions {
        choices,
        usage: figures,
    } = completions;
    proto::CreateChatCompletionResponse {
        id,
        created: created_seconds(created),
        model,
        choices: (0..)
            .zip(choices)
            .map(|(index, completion)| choice(index, completion))
            .collect(),
        usage: Some(usage(figures)),
        ..proto::CreateChatCompletionResponse::default()
    }
}

fn choice(index: u32, completion: Completion) -> proto::Choice {
    let Completion {
        text,
        reasoning,
        reason,
        // Told once, for all answers together.
        usage: _,
    } = completion;
    let message = ChatMessage {
        role: proto::Role::Assistant.into(),
        content: vec![ContentPart {
            part: Some(Part::Text(text)),
            ..ContentPart::default()
        }],
        reasoning: (!reasoning.is_empty()).then_some(proto::Reasoning { text: reasoning }),
        ..ChatMessage::default()
    };
    proto::Choice {
        index,
        message: Some(message),
        finish_reason: finish_reason(reason).into(),
        logprobs: None,
    }
}

pub(super) fn model(id: &str) -> proto::Model {
    proto::Model {
        id: id.to_owned(),
        created: MODEL_CREATED,
        owned_by: MODEL_OWNER.to_owned(),
    }
}

/// The wire's time, which is signed.
pub(super) fn created_seconds(created: u64) -> i64 {
    i64::try_from(created).unwrap_or(i64::MAX)
}
