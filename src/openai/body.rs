//! Reading a JSON body: its type, its size, its time, and its errors told as OpenAI tells them.

use axum::body::{Body, Bytes};
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::{Instant, timeout};

use super::{
    Limits,
    apart::{self, Look},
    coding::{Coding, too_large},
    fields::Field,
    json::{self, Flaw},
};
use crate::engine::{
    Permit, deadline_exceeded,
    error::{ChatError, ErrorKind},
};

/// Beyond this many bytes parsing takes milliseconds, too long for a thread that others wait for.
const PARSED_IN_PLACE: usize = 128 * 1024;

/// What the reading of a body holds until it has really ended, and until when its outcome is waited for.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) permit: Permit,
    pub(super) deadline: Instant,
}

/// Reads `body` as a JSON object within `limits`, and keeps the fields of `table`. The permit comes back with them.
pub(super) async fn read_fields(
    headers: &HeaderMap,
    body: Body,
    limits: &Limits,
    table: &'static [Field],
    Hold { permit, deadline }: Hold,
) -> Result<(json::Body, Permit), ChatError> {
    let (coding, bytes) = read(headers, body, limits).await?;
    if coding.is_none() && bytes.len() <= PARSED_IN_PLACE {
        return Ok((parse(&bytes, table, &|| Ok(()))?, permit));
    }
    let limit = limits.max_body;
    let reading = apart::run(permit, Some(deadline), move |look| match coding {
        None => parse(&bytes, table, look),
        Some(coding) => parse(&coding.undo_here(&bytes, limit, look)?, table, look),
    });
    reading.await
}

/// The body as it came, and its coding.
async fn read(
    headers: &HeaderMap,
    body: Body,
    limits: &Limits,
) -> Result<(Option<Coding>, Bytes), ChatError> {
    check_type(headers)?;
    let coding = Coding::of(headers)?;
    let limit = limits.max_body;
    let most = coding.map_or(limit, |_| Coding::most_encoded(limit));
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > most) {
        return Err(too_large(limit));
    }
    let collected = timeout(limits.body_read_timeout, Limited::new(body, most).collect()).await;
    let bytes = match collected {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(limit)),
        Ok(Err(error)) => Err(
            ChatError::new(ErrorKind::InvalidRequest, "The request's body broke off.")
                .with_detail(error.to_string()),
        ),
        Err(_) => {
            let message = "The request's body did not arrive in time.";
            Err(ChatError::new(ErrorKind::RequestTimeout, message))
        }
    }?;
    Ok((coding, bytes))
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

pub(super) fn parse(bytes: &[u8], table: &[Field], look: Look<'_>) -> Result<json::Body, ChatError> {
    // Some write a byte order mark before everything.
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    json::read(bytes, table, look).map_err(|flaw| match flaw {
        Flaw::NoObject => {
            let message = "Invalid request: the JSON body must be an object.";
            ChatError::new(ErrorKind::InvalidRequest, message)
        }
        Flaw::NoJson(at) => {
            let message = "We could not parse the JSON body of your request. (HINT: This likely means you aren't using \
                           your HTTP library correctly. The API expects a JSON payload, but what was sent was not valid \
                           JSON.)";
            let detail = format!("no JSON from byte {at} on");
            ChatError::new(ErrorKind::InvalidRequest, message).with_detail(detail)
        }
        // Nobody reads it.
        Flaw::GivenUp => deadline_exceeded(),
    })
}
