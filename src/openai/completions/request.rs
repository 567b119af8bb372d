//! A legacy request's fields made the engine's: each prompt a chat of its own.

use serde_json::Value;

use super::{
    super::{
        json::Body,
        options,
        request::{Ignored, Reading, Unsupported, count, read_stream, texts, truth},
        schema::wrong_type,
    },
    fields::COMPLETIONS,
};
use crate::engine::{
    error::{ChatError, ErrorKind},
    request::{ChatRequest, Message, Role},
};

/// What OpenAI gives where nothing is said.
const DEFAULT_TOKENS: u64 = 16;
/// The most answers to all prompts together.
const MOST_ANSWERS: u64 = 128;

/// A request, and how its answer should come.
#[derive(Debug)]
pub(super) struct Asked {
    /// One for each prompt.
    pub(super) requests: Vec<ChatRequest>,
    /// What stands before each choice, by its index; empty where nothing does.
    pub(super) echoes: Vec<String>,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    pub(super) ignored: Ignored,
}

pub(super) fn read(body: Body, mut reading: Reading<'_>) -> Result<Asked, ChatError> {
    let (mut fields, _) = reading.check(COMPLETIONS, body)?;
    let (stream, include_usage) = read_stream(&fields)?;
    let n = count(&fields, "n").unwrap_or(1);
    let judged = reading.unsupported == Unsupported::Refuse;
    if let Some(best_of) = count(&fields, "best_of").filter(|best_of| judged && *best_of < n) {
        let message = format!(
            "You requested that the server return more choices than it will generate: 'n' (currently {n}) must be at \
             most 'best_of' (currently {best_of})."
        );
        return Err(ChatError::invalid("best_of", message));
    }
    let prompts = read_prompts(fields.remove("prompt"))?;
    check_many(prompts.len(), n)?;
    let echo = truth(fields.get("echo"));
    let echoes = prompts.iter().flat_map(|prompt| {
        let echo = if echo { prompt.as_str() } else { "" };
        (0..n).map(move |_| echo.to_owned())
    });
    let echoes = echoes.collect();
    let model = texts(fields.remove("model")).pop().unwrap_or_default();
    let stop = texts(fields.remove("stop"));
    let max_tokens = count(&fields, "max_tokens").unwrap_or(DEFAULT_TOKENS);
    let hints = options::read_hints(&reading, &fields, COMPLETIONS);
    let number = |name: &str| fields.get(name).and_then(Value::as_f64);
    let requests = prompts.into_iter().map(|text| {
        let request = ChatRequest {
            model: model.clone(),
            messages: vec![Message::text(Role::User, text)],
            temperature: number("temperature"),
            top_p: number("top_p"),
            hints: hints.clone(),
            stop: stop.clone(),
            max_tokens: Some(max_tokens),
            n: Some(n),
            ..ChatRequest::default()
        };
        request.check().map(|()| request)
    });
    Ok(Asked {
        requests: requests.collect::<Result<_, _>>()?,
        echoes,
        stream,
        include_usage,
        ignored: reading.ignored,
    })
}

fn read_prompts(prompt: Option<Value>) -> Result<Vec<String>, ChatError> {
    let prompts = match prompt {
        Some(Value::Array(items)) => read_list(items)?,
        prompt => texts(prompt),
    };
    match prompts.iter().position(String::is_empty) {
        None => Ok(prompts),
        Some(index) => {
            let field = if prompts.len() == 1 {
                "prompt".to_owned()
            } else {
                format!("prompt[{index}]")
            };
            let message = format!("Invalid '{field}': empty string.");
            Err(ChatError::invalid(field, message))
        }
    }
}

fn read_list(items: Vec<Value>) -> Result<Vec<String>, ChatError> {
    let odd = items.iter().position(|item| !item.is_string());
    match odd {
        None => Ok(texts(Some(Value::Array(items)))),
        Some(index) if items.iter().any(Value::is_string) => {
            Err(wrong_type(format!("prompt[{index}]"), "a string", &items[index]))
        }
        Some(_) => {
            // Numbers mean different words in each vocabulary, and a client does not say which one it took.
            let message = "Unsupported parameter: 'prompt'. This gateway does not offer prompts of tokens; send the \
                           text that they stand for.";
            Err(ChatError::new(ErrorKind::UnsupportedParameter, message).with_field("prompt"))
        }
    }
}

fn check_many(prompts: usize, n: u64) -> Result<(), ChatError> {
    let answers = u64::try_from(prompts).unwrap_or(u64::MAX).saturating_mul(n);
    if answers <= MOST_ANSWERS {
        return Ok(());
    }
    let message = format!(
        "Unsupported value: 'prompt' with 'n' asks for {answers} choices. This gateway gives at most {MOST_ANSWERS} at \
         once."
    );
    Err(ChatError::new(ErrorKind::UnsupportedParameter, message).with_field("prompt"))
}
