//! A response's fields made the engine's, its history put before them.

use serde_json::Value;

use super::{
    super::{
        fields::{Fields, is_word},
        json::Body,
        options,
        place::Place,
        request::{Ignored, Reading, count, read_stream, texts},
        schema::missing,
    },
    fields::{INCLUDABLE, RESPONSES},
    input::{self, Given},
    keeping::Keeping,
    object::Draft,
    store::{Owner, ResponseStore},
};
use crate::engine::{
    error::{ChatError, ErrorKind},
    request::{ChatRequest, Hints, Message, Role},
};

/// A request, and how its answer should come.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: ChatRequest,
    pub(super) stream: bool,
    pub(super) draft: Draft,
    /// Where the answer is kept, if it is.
    pub(super) keeping: Option<Keeping>,
    pub(super) ignored: Ignored,
}

/// Reads a response's fields; what they point at is looked for among the `owner`'s.
pub(super) fn read(
    body: Body,
    mut reading: Reading<'_>,
    store: &ResponseStore,
    owner: Owner,
) -> Result<Asked, ChatError> {
    let (mut fields, marks) = reading.check(RESPONSES, body)?;
    note_unknown(&mut reading, &fields);
    let (stream, _) = read_stream(&fields)?;
    let mut history = match fields.get("previous_response_id") {
        Some(Value::String(id)) => history_of(store, &owner, id)?,
        _ => Vec::new(),
    };
    let Given {
        messages,
        places,
        items,
    } = match fields.remove("input") {
        None | Some(Value::Null) => Given::default(),
        Some(input) => {
            let place = Place::body(&marks).member("input");
            input::read(&mut reading, &place, input, &|id| store.find_item(&owner, id))?
        }
    };
    history.extend(messages);
    if history.is_empty() {
        return Err(if items.is_empty() {
            missing("input")
        } else {
            ChatError::invalid("input", "Invalid 'input': no item of it says anything.")
        });
    }
    let keep = fields.get("store") != Some(&Value::Bool(false)) && store.is_open();
    let model = texts(fields.remove("model")).pop().unwrap_or_default();
    let draft = Draft::new(&fields, model.clone(), keep);
    // Instructions hold for one response, so they are no part of what is kept.
    let instructions = texts(fields.remove("instructions")).into_iter();
    let instructions = instructions
        .filter(|text| !text.is_empty())
        .map(|text| Message::text(Role::System, text));
    let (tools, tool_choice) = options::read_tools(&reading, &fields);
    let format = fields.get("text").and_then(|text| text.get("format"));
    let number = |name: &str| fields.get(name).and_then(Value::as_f64);
    let word = |object: &str, name: &str| {
        let word = fields.get(object)?.get(name)?.as_str()?;
        Some(word.to_owned())
    };
    let request = ChatRequest {
        model,
        messages: instructions.chain(history.iter().cloned()).collect(),
        tools,
        tool_choice,
        response_format: options::read_format(&reading, format),
        max_tokens: count(&fields, "max_output_tokens"),
        temperature: number("temperature"),
        top_p: number("top_p"),
        hints: Hints {
            reasoning_effort: word("reasoning", "effort"),
            verbosity: word("text", "verbosity"),
            ..options::read_hints(&reading, &fields, RESPONSES)
        },
        ..ChatRequest::default()
    };
    request.check().map_err(|error| match places.first() {
        // The only message there is.
        Some(place) if error.field() == Some("messages[0].content") => {
            error.renamed(format!("{place}.content"))
        }
        _ => error,
    })?;
    let keeping = keep.then(|| Keeping::new(store.clone(), owner, items, history));
    Ok(Asked {
        request,
        stream,
        draft,
        keeping,
        ignored: reading.ignored,
    })
}

/// What is to be included belongs to items that never occur here; of words that nobody knows that cannot be said.
fn note_unknown(reading: &mut Reading<'_>, fields: &Fields) {
    let mut included = fields
        .get("include")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    if included.any(|one| !is_word(Some(one), INCLUDABLE)) {
        reading.ignore("include");
    }
}

fn history_of(store: &ResponseStore, owner: &Owner, id: &str) -> Result<Vec<Message>, ChatError> {
    let kept = store.find(owner, id).ok_or_else(|| {
        let shown: String = id.chars().take(128).collect();
        let message = format!("Previous response with id '{shown}' not found.");
        ChatError::new(ErrorKind::NotFound, message).with_field("previous_response_id")
    })?;
    Ok(kept.history.clone())
}
