//! Reading a JSON body: its type, its size, its time, and its errors told as OpenAI tells them.

use axum::body::Body;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::Limits;
use crate::engine::error::{ChatError, ErrorKind};

/// Reads `body` as JSON within `limits`.
pub(super) async fn read_json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    limits: &Limits,
) -> Result<T, ChatError> {
    check_type(headers)?;
    let limit = limits.max_body;
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    let collected = timeout(limits.body_read_timeout, Limited::new(body, limit).collect()).await;
    let bytes = match collected {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large(limit)),
        Ok(Err(error)) => {
            return Err(
                ChatError::new(ErrorKind::InvalidRequest, "The request's body broke off.")
                    .with_detail(error.to_string()),
            );
        }
        Err(_) => {
            let message = "The request's body did not arrive in time.";
            return Err(ChatError::new(ErrorKind::RequestTimeout, message));
        }
    };
    parse(&bytes)
}

/// JSON, and whatever calls itself a kind of JSON. A client that names no type is taken at its word.
fn check_type(headers: &HeaderMap) -> Result<(), ChatError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let essence = value
        .to_str()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    let essence = essence.to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    let message = "Unsupported content type. This API method only accepts 'application/json' requests, but you \
                   specified another in the Content-Type header.";
    Err(ChatError::new(ErrorKind::UnsupportedMediaType, message))
}

fn too_large(limit: usize) -> ChatError {
    let message = format!("The request's body is larger than the limit of {limit} bytes.");
    ChatError::new(ErrorKind::RequestTooLarge, message)
}

pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ChatError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut json);
    let parsed = parsed.map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if inner.is_data() {
            wrong_value(&path, &inner)
        } else {
            broken(&inner)
        }
    })?;
    json.end().map_err(|error| broken(&error))?;
    Ok(parsed)
}

fn broken(error: &serde_json::Error) -> ChatError {
    let message = "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your \
                   HTTP library correctly. The API expects a JSON payload, but what was sent was not valid JSON.)";
    ChatError::new(ErrorKind::InvalidRequest, message).with_detail(error.to_string())
}

/// A value of a wrong type or form, told by its path and without its place in the text.
fn wrong_value(path: &str, error: &serde_json::Error) -> ChatError {
    let text = error.to_string();
    let reason = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(reason, _)| reason);
    // Long values are quoted in reasons: enough of one to know it again will do.
    let reason: String = reason.chars().take(300).collect();
    if path == "." {
        return ChatError::new(ErrorKind::InvalidRequest, format!("Invalid request: {reason}."));
    }
    ChatError::invalid(path, format!("Invalid value for '{path}': {reason}."))
}
