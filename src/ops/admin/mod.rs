//! `/admin`: operating the pool over HTTP, behind a key of its own.

mod failures;
mod rows;

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    body::{Body, to_bytes},
    extract::{
        Path, Query, Request, State,
        rejection::{PathRejection, QueryRejection},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use http_body_util::LengthLimitError;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::timeout;
use utoipa::{ToSchema, openapi::OpenApi};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{
    failures::{AddingFailures, NamingFailures, QueryFailures},
    rows::{
        AddedToken, CancelledRow, ChoiceRow, ClearedRow, ConversationRow, OneToken, ProbedToken,
        RemovedToken, RequestRow, RequestRows, TokenRow, TokenRows,
    },
};
use crate::{
    admin::{Added, Gate, Operator, Removed},
    engine::{
        error::{ChatError, ErrorKind},
        provider::Scope,
    },
    openai::{
        coding::{Coding, too_large},
        error,
    },
    telemetry::CallRecord,
};

/// The largest body, in bytes: a token and the braces around it.
const LARGEST_BODY: usize = 64 * 1024;
/// A body must be there by then.
const BODY_READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether a path belongs to the operator.
#[must_use]
pub fn is_admins(path: &str) -> bool {
    path == "/admin" || path.starts_with("/admin/")
}

/// The layer that checks the admin key, for `axum::middleware::from_fn_with_state`. Where there is no key there are no
/// routes to keep.
pub async fn check_key(State(gate): State<Option<Gate>>, request: Request, next: Next) -> Response {
    let Some(gate) = gate.filter(|_| is_admins(request.uri().path())) else {
        return next.run(request).await;
    };
    let record = request.extensions().get::<CallRecord>();
    match gate.check(request.headers()).await {
        Ok(caller) => {
            if let Some(record) = record {
                record.set_caller(caller.label());
            }
            next.run(request).await
        }
        Err(failure) => error::respond(&failure, record),
    }
}

/// The routes without any layer, and what the document says of them.
pub fn routes(operator: Operator) -> (Router, OpenApi) {
    OpenApiRouter::default()
        .routes(routes!(tokens, add_token))
        .routes(routes!(remove_token))
        .routes(routes!(reset_token))
        .routes(routes!(probe_token))
        .routes(routes!(requests))
        .routes(routes!(cancel_request))
        .routes(routes!(explain))
        .routes(routes!(conversations, clear_conversations))
        .with_state(Arc::new(operator))
        .split_for_parts()
}

fn answer<T: Serialize>(outcome: Result<T, ChatError>, record: &CallRecord) -> Response {
    match outcome {
        Ok(body) => Json(body).into_response(),
        Err(failure) => error::respond(&failure, Some(record)),
    }
}

/// A part of the path, percent-decoded.
fn named(name: Result<Path<String>, PathRejection>, field: &'static str) -> Result<String, ChatError> {
    let Path(name) = name.map_err(|_| {
        let message = format!("Invalid '{field}': the path's bytes are no UTF-8.");
        ChatError::invalid(field, message)
    })?;
    Ok(name)
}

/// Lists the tokens
#[utoipa::path(
    get,
    path = "/admin/tokens",
    tag = "Operating",
    operation_id = "listTokens",
    responses((status = 200, description = "The tokens", body = TokenRows)),
)]
async fn tokens(State(operator): State<Arc<Operator>>) -> Response {
    let tokens = operator.tokens().iter().map(TokenRow::from).collect();
    Json(TokenRows { tokens }).into_response()
}

/// Adds a token
///
/// It counts at once, and for the next start too where that can be.
#[utoipa::path(
    post,
    path = "/admin/tokens",
    tag = "Operating",
    operation_id = "addToken",
    request_body(content = NewToken),
    responses(
        (status = 200, description = "It was in the pool already", body = AddedToken),
        (status = 201, description = "It was added", body = AddedToken),
        AddingFailures,
    ),
)]
async fn add_token(
    State(operator): State<Arc<Operator>>,
    Extension(record): Extension<CallRecord>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let outcome = async {
        let token = read_token(&headers, body).await?;
        let Added { token, added, kept } = operator.add_token(token).await?;
        let status = if added {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        };
        let body = AddedToken {
            token: TokenRow::from(&token),
            added,
            kept: kept.into(),
        };
        Ok((status, Json(body)).into_response())
    };
    let answered: Result<Response, ChatError> = outcome.await;
    answered.unwrap_or_else(|failure| error::respond(&failure, Some(&record)))
}

/// A token to be added.
#[derive(ToSchema)]
#[schema(as = AdminNewToken)]
#[expect(
    dead_code,
    reason = "the body is read by hand, so that no error repeats any of it"
)]
struct NewToken {
    /// As it stands in `TOKEN_POOL`: characters of a cookie's value.
    #[schema(write_only, max_length = 16384, pattern = r"^[!#-+\--:<-\[\]-~]+$")]
    token: String,
}

/// Reads `{"token": "…"}`, whatever the body calls itself. No error repeats any of it.
async fn read_token(headers: &HeaderMap, body: Body) -> Result<SecretString, ChatError> {
    let coding = Coding::of(headers)?;
    let most = coding.map_or(LARGEST_BODY, |_| Coding::most_encoded(LARGEST_BODY));
    let bytes = timeout(BODY_READ_TIMEOUT, to_bytes(body, most)).await;
    let bytes = bytes.map_err(|_| {
        let message = "The request's body did not arrive in time.";
        ChatError::new(ErrorKind::RequestTimeout, message)
    })?;
    let bytes = bytes.map_err(|failure| {
        let failure = failure.into_inner();
        if failure.is::<LengthLimitError>() {
            return too_large(LARGEST_BODY);
        }
        let message = "The request's body broke off.";
        ChatError::new(ErrorKind::InvalidRequest, message).with_detail(failure.to_string())
    })?;
    let bytes = match coding {
        None => bytes,
        Some(coding) => coding.undo(bytes, LARGEST_BODY).await?,
    };
    const FORM: &str = r#"expected a JSON object such as {"token": "…"}"#;
    // Some write a byte order mark before everything.
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
    let object: Map<String, Value> = serde_json::from_slice(bytes).map_err(|_| {
        ChatError::new(
            ErrorKind::InvalidRequest,
            format!("The request's body cannot be read: {FORM}."),
        )
    })?;
    match object.get("token") {
        Some(Value::String(token)) => Ok(SecretString::from(token.as_str())),
        Some(_) => Err(ChatError::invalid("token", "Invalid 'token': expected a string.")),
        None => Err(ChatError::invalid("token", format!("Missing 'token': {FORM}."))),
    }
}

/// Removes a token
#[utoipa::path(
    delete,
    path = "/admin/tokens/{hash}",
    tag = "Operating",
    operation_id = "removeToken",
    params(
        ("hash" = String, Path, pattern = "^[0-9A-Fa-f]{8,64}$", description = "The beginning of the token's SHA-256"),
    ),
    responses((status = 200, description = "The token that was removed", body = RemovedToken), NamingFailures),
)]
async fn remove_token(
    State(operator): State<Arc<Operator>>,
    Extension(record): Extension<CallRecord>,
    hash: Result<Path<String>, PathRejection>,
) -> Response {
    let outcome = async {
        let Removed { token, kept } = operator.remove_token(&named(hash, "hash")?).await?;
        Ok(RemovedToken {
            token: TokenRow::from(&token),
            kept: kept.into(),
        })
    };
    answer(outcome.await, &record)
}

/// Forgets what is held against a token
#[utoipa::path(
    post,
    path = "/admin/tokens/{hash}/reset",
    tag = "Operating",
    operation_id = "resetToken",
    params(
        ("hash" = String, Path, pattern = "^[0-9A-Fa-f]{8,64}$", description = "The beginning of the token's SHA-256"),
    ),
    responses((status = 200, description = "The token", body = OneToken), NamingFailures),
)]
async fn reset_token(
    State(operator): State<Arc<Operator>>,
    Extension(record): Extension<CallRecord>,
    hash: Result<Path<String>, PathRejection>,
) -> Response {
    let token = named(hash, "hash").and_then(|hash| operator.reset_token(&hash));
    let outcome = token.map(|token| OneToken {
        token: TokenRow::from(&token),
    });
    answer(outcome, &record)
}

/// Tries a token by a call that changes nothing
#[utoipa::path(
    post,
    path = "/admin/tokens/{hash}/probe",
    tag = "Operating",
    operation_id = "probeToken",
    params(
        ("hash" = String, Path, pattern = "^[0-9A-Fa-f]{8,64}$", description = "The beginning of the token's SHA-256"),
    ),
    responses((status = 200, description = "What the try came to", body = ProbedToken), NamingFailures),
)]
async fn probe_token(
    State(operator): State<Arc<Operator>>,
    Extension(record): Extension<CallRecord>,
    hash: Result<Path<String>, PathRejection>,
) -> Response {
    let outcome = async {
        let probed = operator.probe_token(&named(hash, "hash")?).await?;
        Ok(ProbedToken::from(probed))
    };
    answer(outcome.await, &record)
}

/// Lists the chats under way
#[utoipa::path(
    get,
    path = "/admin/requests",
    tag = "Operating",
    operation_id = "listRequests",
    responses((status = 200, description = "The chats", body = RequestRows)),
)]
async fn requests(State(operator): State<Arc<Operator>>) -> Response {
    let requests = operator.requests().into_iter().map(RequestRow::from).collect();
    Json(RequestRows { requests }).into_response()
}

/// Ends the chats of a request
#[utoipa::path(
    delete,
    path = "/admin/requests/{*id}",
    tag = "Operating",
    operation_id = "cancelRequest",
    params(
        ("id" = String, Path, description = "The request's id, as `x-request-id` tells it"),
    ),
    responses((status = 200, description = "How many chats were ended", body = CancelledRow), NamingFailures),
)]
async fn cancel_request(
    State(operator): State<Arc<Operator>>,
    Extension(record): Extension<CallRecord>,
    id: Result<Path<String>, PathRejection>,
) -> Response {
    let outcome = named(id, "id").and_then(|id| {
        let cancelled = operator.cancel_request(&id)?;
        Ok(CancelledRow { id, cancelled })
    });
    answer(outcome, &record)
}

/// Explains which token the next chat would get
#[utoipa::path(
    get,
    path = "/admin/explain",
    tag = "Operating",
    operation_id = "explainChoice",
    responses((status = 200, description = "The choice", body = ChoiceRow)),
)]
async fn explain(State(operator): State<Arc<Operator>>) -> Response {
    Json(ChoiceRow::from(operator.explain())).into_response()
}

/// Counts the conversations that the gateway made
#[utoipa::path(
    get,
    path = "/admin/conversations",
    tag = "Operating",
    operation_id = "countConversations",
    responses((status = 200, description = "The counts", body = ConversationRow)),
)]
async fn conversations(State(operator): State<Arc<Operator>>) -> Response {
    Json(ConversationRow::from(operator.conversations())).into_response()
}

/// Whose conversations, as the document has it.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "the query is read as text")]
enum Reach {
    Ours,
    Account,
}

#[derive(Deserialize)]
struct Which {
    scope: Option<String>,
}

/// Removes conversations from the upstream
#[utoipa::path(
    delete,
    path = "/admin/conversations",
    tag = "Operating",
    operation_id = "clearConversations",
    params(
        ("scope" = inline(Option<Reach>), Query, description = "The gateway's own (`ours`) if nothing is said; `account` for all of every token's account"),
    ),
    responses((status = 200, description = "How many were removed", body = ClearedRow), QueryFailures),
)]
async fn clear_conversations(
    State(operator): State<Arc<Operator>>,
    Extension(record): Extension<CallRecord>,
    query: Result<Query<Which>, QueryRejection>,
) -> Response {
    let scope = query.map(|Query(which)| which.scope);
    let scope = match scope.as_ref().map(Option::as_deref) {
        Ok(Some("ours") | None) => Ok(Scope::Ours),
        Ok(Some("account")) => Ok(Scope::Account),
        Ok(Some(_)) | Err(_) => Err(ChatError::invalid(
            "scope",
            "Invalid 'scope': expected ours or account.",
        )),
    };
    let outcome = async { Ok(ClearedRow::from(operator.clear_conversations(scope?).await)) };
    answer(outcome.await, &record)
}
