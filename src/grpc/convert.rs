//! Wire to engine and back. Bad input ends here, with the path of its field.

use super::proto::{self, ChatMessage, ContentPart, CreateChatCompletionRequest, content_part::Part};
use crate::engine::{
    MODEL_CREATED, MODEL_OWNER,
    chat::{ChatRequest, Completion, FinishReason, Head, Message, Role, Usage},
    error::ChatError,
};

pub(super) fn read(wire: CreateChatCompletionRequest) -> Result<ChatRequest, ChatError> {
    // The end user's name is for the caller's own records; it never travels upstream.
    let CreateChatCompletionRequest {
        model,
        messages,
        temperature,
        top_p,
        user: _,
    } = wire;
    let messages = messages
        .into_iter()
        .enumerate()
        .map(|(index, message)| read_message(index, message));
    let request = ChatRequest {
        model,
        messages: messages.collect::<Result<_, _>>()?,
        temperature,
        top_p,
        ..ChatRequest::default()
    };
    request.check()?;
    Ok(request)
}

fn read_message(index: usize, wire: ChatMessage) -> Result<Message, ChatError> {
    let ChatMessage {
        role,
        content,
        name,
        tool_call_id,
        reasoning: _,
    } = wire;
    let role = read_role(index, role)?;
    if content.is_empty() && role != Role::Assistant {
        let field = format!("messages[{index}].content");
        let message = format!("Invalid '{field}': expected at least one part.");
        return Err(ChatError::invalid(field, message));
    }
    let mut text = String::new();
    for (number, ContentPart { part }) in content.into_iter().enumerate() {
        match part {
            Some(Part::Text(piece)) => text.push_str(&piece),
            None => {
                let field = format!("messages[{index}].content[{number}].part");
                let message = format!("Missing '{field}': a part that this gateway knows must be set.");
                return Err(ChatError::invalid(field, message));
            }
        }
    }
    let name = name.or(tool_call_id.filter(|_| role == Role::Tool));
    Ok(Message { role, name, text })
}

fn read_role(index: usize, role: i32) -> Result<Role, ChatError> {
    match proto::Role::try_from(role) {
        Ok(proto::Role::System | proto::Role::Developer) => Ok(Role::System),
        Ok(proto::Role::User) => Ok(Role::User),
        Ok(proto::Role::Assistant) => Ok(Role::Assistant),
        Ok(proto::Role::Tool) => Ok(Role::Tool),
        Ok(proto::Role::Unspecified) | Err(_) => {
            let field = format!("messages[{index}].role");
            let message =
                format!("Invalid '{field}': {role} is no role. Use one of the enum duogate.v1.Role.");
            Err(ChatError::invalid(field, message))
        }
    }
}

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
    } = usage;
    proto::Usage {
        prompt_tokens,
        completion_tokens,
        total_tokens,
    }
}

pub(super) fn whole(head: Head, completion: Completion) -> proto::CreateChatCompletionResponse {
    let Head { id, created, model } = head;
    let Completion {
        text,
        reasoning,
        reason,
        usage: figures,
    } = completion;
    let created = created_seconds(created);
    let message = ChatMessage {
        role: proto::Role::Assistant.into(),
        content: vec![ContentPart {
            part: Some(Part::Text(text)),
        }],
        name: None,
        tool_call_id: None,
        reasoning: (!reasoning.is_empty()).then_some(proto::Reasoning { text: reasoning }),
    };
    let choice = proto::Choice {
        index: 0,
        message: Some(message),
        finish_reason: finish_reason(reason).into(),
    };
    proto::CreateChatCompletionResponse {
        id,
        created,
        model,
        choices: vec![choice],
        usage: Some(usage(figures)),
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
