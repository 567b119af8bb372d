//! `GET` and `DELETE /v1/responses/{id}`, and the items of its input.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Request, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    super::{
        OpenAi,
        call::{Refusal, caller_of, record_of},
        document::{DeletedFailures, KeptFailures, PageFailures},
        schema::unknown_word,
        unknown_url,
        wire::ListObject,
    },
    object::{ResponseObject, ResponseWord},
    store::{Kept, KeptItem, owner_of},
};
use crate::engine::error::{ChatError, ErrorKind};

/// What is said of a response that was deleted.
#[derive(Serialize, ToSchema)]
#[schema(as = DeletedResponse)]
pub(super) struct Deleted {
    id: String,
    #[schema(inline)]
    object: ResponseWord,
    deleted: bool,
}

/// In which order items come, as the document has it.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "the query is read as text")]
enum Order {
    Asc,
    Desc,
}

/// A page of the items of an input.
#[derive(Serialize, ToSchema)]
#[schema(as = ResponseInputItems)]
pub(super) struct InputItems {
    #[schema(inline)]
    object: ListObject,
    #[schema(value_type = Vec<Object>)]
    data: Vec<Value>,
    #[schema(required)]
    first_id: Option<String>,
    #[schema(required)]
    last_id: Option<String>,
    has_more: bool,
}

/// The path's one part, percent-decoded.
pub(in crate::openai) type Id = Result<Path<String>, PathRejection>;

/// Tells a kept response
///
/// Only to the key that made it.
#[utoipa::path(
    get,
    path = "/v1/responses/{id}",
    tag = "Responses",
    operation_id = "getResponse",
    params(
        ("id" = String, Path, description = "The response's id"),
        ("stream" = Option<bool>, Query, description = "Not offered: kept responses come whole"),
    ),
    responses((status = 200, description = "The response", body = ResponseObject<'static>), KeptFailures),
)]
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

/// Deletes a kept response
#[utoipa::path(
    delete,
    path = "/v1/responses/{id}",
    tag = "Responses",
    operation_id = "deleteResponse",
    params(("id" = String, Path, description = "The response's id")),
    responses((status = 200, description = "It is gone", body = Deleted), DeletedFailures),
)]
pub(in crate::openai) async fn delete(
    State(openai): State<Arc<OpenAi>>,
    id: Id,
    request: Request,
) -> Result<Response, Refusal> {
    let Ok(Path(id)) = id else {
        return Ok(unknown_url(request).await);
    };
    let forgotten = openai.responses.forget(&owner_of(caller_of(&request)), &id);
    told(forgotten.then_some(()).ok_or_else(|| not_found(&id)), &request)?;
    let deleted = Deleted {
        id,
        object: ResponseWord::Response,
        deleted: true,
    };
    Ok(Json(deleted).into_response())
}

/// Lists the items of a kept response's input
#[utoipa::path(
    get,
    path = "/v1/responses/{id}/input_items",
    tag = "Responses",
    operation_id = "listInputItems",
    params(
        ("id" = String, Path, description = "The response's id"),
        ("limit" = inline(Option<u32>), Query, minimum = 1, maximum = 100, description = "How many, 20 if nothing is said"),
        ("order" = inline(Option<Order>), Query, description = "The newest first (`desc`) if nothing is said"),
        ("after" = Option<String>, Query, description = "The id of the item before the page"),
    ),
    responses((status = 200, description = "A page of items", body = InputItems), PageFailures),
)]
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
    let kept = openai.responses.find(&owner_of(caller_of(request)), id);
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
fn page(items: &[KeptItem], request: &Request) -> Result<InputItems, ChatError> {
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
    Ok(InputItems {
        object: ListObject::List,
        data: data.collect(),
        first_id: items.first().map(|item| item.id.clone()),
        last_id: items.last().map(|item| item.id.clone()),
        has_more,
    })
}
