//! What is put into the store when a response has ended.

use serde_json::Value;

use super::{
    item::Item,
    object::{Draft, ResponseObject, Standing},
    store::{Kept, KeptItem, Owner, ResponseStore},
};
use crate::engine::{
    chat::{FinishReason, Usage},
    request::{Message, Part, Role},
};

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

    /// False where there is no room.
    fn keep(self, id: String, response: String, output: &[Item]) -> bool {
        let Self {
            store,
            owner,
            input,
            mut history,
        } = self;
        let parts: Vec<Part> = output.iter().filter_map(Item::as_part).collect();
        if parts.iter().any(|part| !part.is_empty()) {
            history.push(Message {
                role: Role::Assistant,
                name: None,
                call_id: None,
                parts,
            });
        }
        let kept = Kept {
            id,
            response,
            input: input.iter().map(|item| KeptItem::of(id_of(item), item)).collect(),
            output: output.iter().map(|item| KeptItem::of(item.id(), item)).collect(),
            history,
        };
        store.keep(owner, kept)
    }
}

fn id_of(item: &Value) -> &str {
    item.get("id").and_then(Value::as_str).unwrap_or_default()
}

/// The object of a response that has ended, kept where it is to be and there is room; it says whether it was.
pub(super) fn conclude<'a>(
    draft: &'a mut Draft,
    keeping: Option<Keeping>,
    (reason, usage): (FinishReason, Usage),
    output: &'a [Item],
) -> ResponseObject<'a> {
    let ended = Standing::Ended(reason, usage);
    let kept = keeping.is_none_or(|keeping| {
        let response = serde_json::to_string(&draft.at(ended, output));
        response.is_ok_and(|response| keeping.keep(draft.head.id.clone(), response, output))
    });
    if !kept {
        draft.is_not_stored();
    }
    draft.at(ended, output)
}
