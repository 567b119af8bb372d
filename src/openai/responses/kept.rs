//! `GET` and `DELETE /v1/responses/{id}`, and the items of its input.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Request, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use serde_json::{Value, json};

use super::{
    super::{
        OpenAi,
        call::{Refusal, caller_of, record_of},
        schema::unknown_word,
        unknown_url,
    },
    store::{Kept, KeptItem},
};
use crate::engine::error::{ChatError, ErrorKind};

/// The path's one part, percent-decoded.
pub(in crate::openai) type Id = Result<Path<String>, PathRejection>;

pub(in crate::openai) async fn retrieve(
    State(openai): State<Arc<OpenAi>>,
    id: Id,
    request: Request,
) -> Result<Response, Refusal> {
    let Ok(Path(id)) = id else {
        return Ok(unknown_url(request).await);
    };
    let found = refuse_stream(&request).and_then(|()| find(&openai, &request, &id));
    let kept = told(found, &request)?;
    let json = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, json)], kept.response.clone()).into_response())
}

pub(in crate::openai) async fn delete(
    State(openai): State<Arc<OpenAi>>,
    id: Id,
    request: Request,
) -> Result<Response, Refusal> {
    let Ok(Path(id)) = id else {
        return Ok(unknown_url(request).await);
    };
    let forgotten = openai.responses.forget(&caller_of(&request), &id);
    told(forgotten.then_some(()).ok_or_else(|| not_found(&id)), &request)?;
    Ok(Json(json!({ "id": id, "object": "response", "deleted": true })).into_response())
}

pub(in crate::openai) async fn input_items(
    State(openai): State<Arc<OpenAi>>,
    id: Id,
    request: Request,
) -> Result<Response, Refusal> {
    let Ok(Path(id)) = id else {
        return Ok(unknown_url(request).await);
    };
    let page = find(&openai, &request, &id).and_then(|kept| page(&kept.input, &request));
    Ok(Json(told(page, &request)?).into_response())
}

fn told<T>(result: Result<T, ChatError>, request: &Request) -> Result<T, Refusal> {
    let record = record_of(request)?;
    result.map_err(|error| Refusal(error, Some(record)))
}

fn find(openai: &OpenAi, request: &Request, id: &str) -> Result<Arc<Kept>, ChatError> {
    let kept = openai.responses.find(&caller_of(request), id);
    kept.ok_or_else(|| not_found(id))
}

fn not_found(id: &str) -> ChatError {
    let shown: String = id.chars().take(128).collect();
    ChatError::new(
        ErrorKind::NotFound,
        format!("Response with id '{shown}' not found."),
    )
}

/// One value of the query; the last, where there are several.
fn asked(request: &Request, name: &str) -> Option<String> {
    let query = request.uri().query()?;
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    let found = pairs.filter(|(key, _)| key == name).last();
    found.map(|(_, value)| value.into_owned())
}

fn refuse_stream(request: &Request) -> Result<(), ChatError> {
    match asked(request, "stream").as_deref() {
        None | Some("false" | "0" | "") => Ok(()),
        Some(_) => {
            let message =
                "Unsupported parameter: 'stream'. This gateway does not offer kept responses as streams.";
            Err(ChatError::new(ErrorKind::UnsupportedParameter, message).with_field("stream"))
        }
    }
}

/// OpenAI's page of items: the newest first, unless it is asked for otherwise.
fn page(items: &[KeptItem], request: &Request) -> Result<Value, ChatError> {
    const LIMITS: std::ops::RangeInclusive<usize> = 1..=100;
    let limit = match asked(request, "limit") {
        None => 20,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| LIMITS.contains(limit))
            .ok_or_else(|| {
                ChatError::invalid("limit", "Invalid 'limit': expected an integer from 1 to 100.")
            })?,
    };
    let mut items: Vec<&KeptItem> = items.iter().collect();
    match asked(request, "order").as_deref() {
        None | Some("desc") => items.reverse(),
        Some("asc") => {}
        Some(other) => return Err(unknown_word("order", other, &["asc", "desc"])),
    }
    if let Some(after) = asked(request, "after") {
        let index = items.iter().position(|item| item.id == after);
        let index = index.ok_or_else(|| {
            ChatError::invalid("after", "Invalid 'after': no item of this response has this id.")
        })?;
        items.drain(..=index);
    }
    let has_more = items.len() > limit;
    items.truncate(limit);
    let data = items
        .iter()
        .map(|item| serde_json::from_str(&item.item).unwrap_or_default());
    Ok(json!({
        "object": "list",
        "data": data.collect::<Vec<Value>>(),
        "first_id": items.first().map(|item| &item.id),
        "last_id": items.last().map(|item| &item.id),
        "has_more": has_more,
    }))
}
