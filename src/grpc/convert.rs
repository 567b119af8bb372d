//! Answers, written: engine to wire.

use super::proto::{self, ChatMessage, ContentPart, content_part::Part, tool_call, tool_call_delta};
use crate::engine::{
    Completions, MODEL_CREATED, MODEL_OWNER,
    chat::{Completion, FinishReason, Head, Said, Usage},
    event::{Annotation, ToolCall, ToolCallDelta, ToolKind},
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
        said,
        reason,
        // Given once, for all answers together.
        usage: _,
    } = completion;
    let message = message(said);
    proto::Choice {
        index,
        message: Some(message),
        finish_reason: finish_reason(reason).into(),
        logprobs: None,
    }
}

fn message(said: Said) -> ChatMessage {
    let Said {
        content,
        reasoning,
        refusal,
        tool_calls,
        annotations,
    } = said;
    let part = |part| ContentPart {
        part: Some(part),
        ..ContentPart::default()
    };
    let is_text = !content.is_empty() || (refusal.is_empty() && tool_calls.is_empty());
    let text = is_text.then(|| part(Part::Text(content)));
    let refusal = (!refusal.is_empty()).then(|| part(Part::Refusal(proto::Refusal { text: refusal })));
    ChatMessage {
        role: proto::Role::Assistant.into(),
        content: text.into_iter().chain(refusal).collect(),
        reasoning: (!reasoning.is_empty()).then_some(proto::Reasoning { text: reasoning }),
        tool_calls: tool_calls.into_iter().map(tool_call).collect(),
        annotations: annotations.into_iter().map(annotation).collect(),
        ..ChatMessage::default()
    }
}

fn tool_call(call: ToolCall) -> proto::ToolCall {
    let ToolCall {
        id,
        kind,
        name,
        input,
    } = call;
    let call = match kind {
        ToolKind::Function => tool_call::Call::Function(proto::FunctionCall {
            name,
            arguments: input,
        }),
        ToolKind::Custom => tool_call::Call::Custom(proto::CustomToolCall { name, input }),
    };
    proto::ToolCall { id, call: Some(call) }
}

pub(super) fn tool_call_delta(delta: ToolCallDelta) -> proto::ToolCallDelta {
    let ToolCallDelta {
        index,
        id,
        kind,
        name,
        input,
    } = delta;
    let name = name.unwrap_or_default();
    let call = match kind {
        ToolKind::Function => tool_call_delta::Call::Function(proto::FunctionCall {
            name,
            arguments: input,
        }),
        ToolKind::Custom => tool_call_delta::Call::Custom(proto::CustomToolCall { name, input }),
    };
    proto::ToolCallDelta {
        index,
        id,
        call: Some(call),
    }
}

pub(super) fn annotation(annotation: Annotation) -> proto::Annotation {
    let Annotation {
        url,
        title,
        start,
        end,
    } = annotation;
    let citation = proto::UrlCitation {
        url,
        title,
        start_index: start,
        end_index: end,
    };
    proto::Annotation {
        annotation: Some(proto::annotation::Annotation::UrlCitation(citation)),
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
