//! What is put into the store when a response has ended.

use serde_json::Value;

use super::{
    object::{Draft, Status},
    store::{Kept, KeptItem, Owner, ResponseStore},
};
use crate::engine::chat::{FinishReason, Message, Role, Usage};

/// A response that is to be kept, as far as it is known before its end.
#[derive(Debug)]
pub(super) struct Keeping {
    store: ResponseStore,
    owner: Owner,
    input: Vec<Value>,
    history: Vec<Message>,
}

impl Keeping {
    pub(super) fn new(store: ResponseStore, owner: Owner, input: Vec<Value>, history: Vec<Message>) -> Self {
        Self {
            store,
            owner,
            input,
            history,
        }
    }
}

/// The object of a response that has ended, kept where it is to be and there is room; it says whether it was.
pub(super) fn conclude(
    draft: &mut Draft,
    keeping: Option<Keeping>,
    (reason, usage): (FinishReason, Usage),
    output: &[Value],
) -> Value {
    let response = draft.at(Status::Ended(reason, usage), output);
    let Some(keeping) = keeping else {
        return response;
    };
    let Keeping {
        store,
        owner,
        input,
        mut history,
    } = keeping;
    let said = said(output);
    if !said.is_empty() {
        history.push(Message {
            role: Role::Assistant,
            name: None,
            text: said,
        });
    }
    let kept = Kept {
        id: draft.head.id.clone(),
        response: response.to_string(),
        input: input.iter().map(KeptItem::of).collect(),
        output: output.iter().map(KeptItem::of).collect(),
        history,
    };
    if store.keep(owner, kept) {
        return response;
    }
    draft.is_not_stored();
    draft.at(Status::Ended(reason, usage), output)
}

/// The text of all messages of an output.
fn said(output: &[Value]) -> String {
    let messages = output.iter().filter(|item| item["type"] == "message");
    let parts = messages.filter_map(|item| item["content"].as_array()).flatten();
    parts.filter_map(|part| part["text"].as_str()).collect()
}
