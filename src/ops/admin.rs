//! `/admin`: operating the pool over HTTP, behind a key of its own.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Extension, Json, Router,
    body::{Body, to_bytes},
    extract::{
        Path, Query, Request, State,
        rejection::{PathRejection, QueryRejection},
    },
    middleware::Next,
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use http::StatusCode;
use http_body_util::LengthLimitError;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::{
    admin::{Added, Candidate, Choice, Gate, Operator, Probed, Removed, TokenView},
    engine::{
        ChatSnapshot, Cleared, ConversationCounts, Scope,
        error::{ChatError, ErrorKind},
    },
    openai::error,
    telemetry::CallRecord,
};

/// The largest body, in bytes: a token and the braces around it.
const LARGEST_BODY: usize = 64 * 1024;
/// A body must be there by then.
const BODY_READ_TIMEOUT: Duration = Duration::from_secs(10);

/// What a handler comes to: a status with a body, or a failure of the catalogue.
type Outcome = Result<(StatusCode, Value), ChatError>;

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
                record.set_caller(&caller.label);
            }
            next.run(request).await
        }
        Err(failure) => error::respond(&failure, record),
    }
}

/// The routes, without any layer.
pub fn routes(operator: Operator) -> Router {
    Router::new()
        .route("/admin/tokens", get(tokens).post(add_token))
        .route("/admin/tokens/{hash}", delete(remove_token))
        .route("/admin/tokens/{hash}/reset", post(reset_token))
        .route("/admin/tokens/{hash}/probe", post(probe_token))
        .route("/admin/requests", get(requests))
        .route("/admin/requests/{*id}", delete(cancel_request))
        .route("/admin/explain", get(explain))
        .route(
            "/admin/conversations",
            get(conversations).delete(clear_conversations),
        )
        .with_state(Arc::new(operator))
}

fn answer(outcome: Outcome, record: &CallRecord) -> Response {
    match outcome {
        Ok((status, body)) => (status, Json(body)).into_response(),
        Err(failure) => error::respond(&failure, Some(record)),
    }
}

fn ok(body: Value) -> Outcome {
    Ok((StatusCode::OK, body))
}

/// A part of the path, percent-decoded.
fn named(name: Result<Path<String>, PathRejection>, field: &'static str) -> Result<String, ChatError> {
    let Path(name) = name.map_err(|_| {
        let message = format!("Invalid '{field}': the path's bytes are no UTF-8.");
        ChatError::invalid(field, message)
    })?;
    Ok(name)
}

async fn tokens(State(operator): State<Arc<Operator>>) -> Response {
    let tokens = operator.tokens();
    let rows: Vec<TokenRow> = tokens.iter().map(TokenRow::from).collect();
    Json(json!({ "tokens": rows })).into_response()
}

async fn add_token(
    State(operator): State<Arc<Operator>>,
    Extension(record): Extension<CallRecord>,
    body: Body,
) -> Response {
    let outcome = async {
        let Added { token, added, kept } = operator.add_token(read_token(body).await?).await?;
        let status = if added {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        };
        let body = json!({
            "token": TokenRow::from(&token),
            "added": added,
            "persisted": kept.persisted,
            "note": kept.note,
        });
        Ok((status, body))
    };
    answer(outcome.await, &record)
}

/// Reads `{"token": "…"}`, whatever the body calls itself. No error repeats any of it.
async fn read_token(body: Body) -> Result<SecretString, ChatError> {
    let bytes = timeout(BODY_READ_TIMEOUT, to_bytes(body, LARGEST_BODY)).await;
    let bytes = bytes.map_err(|_| {
        let message = "The request's body did not arrive in time.";
        ChatError::new(ErrorKind::RequestTimeout, message)
    })?;
    let bytes = bytes.map_err(|failure| {
        let failure = failure.into_inner();
        if failure.is::<LengthLimitError>() {
            let message = format!("The request's body is larger than the limit of {LARGEST_BODY} bytes.");
            return ChatError::new(ErrorKind::RequestTooLarge, message);
        }
        let message = "The request's body broke off.";
        ChatError::new(ErrorKind::InvalidRequest, message).with_detail(failure.to_string())
    })?;
    const FORM: &str = r#"expected a JSON object such as {"token": "…"}"#;
    let object: Map<String, Value> = serde_json::from_slice(&bytes).map_err(|_| {
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

async fn remove_token(
    State(operator): State<Arc<Operator>>,
    Extension(record): Extension<CallRecord>,
    hash: Result<Path<String>, PathRejection>,
) -> Response {
    let outcome = async {
        let Removed { token, kept } = operator.remove_token(&named(hash, "hash")?).await?;
        ok(json!({
            "token": TokenRow::from(&token),
            "persisted": kept.persisted,
            "note": kept.note,
        }))
    };
    answer(outcome.await, &record)
}

async fn reset_token(
    State(operator): State<Arc<Operator>>,
    Extension(record): Extension<CallRecord>,
    hash: Result<Path<String>, PathRejection>,
) -> Response {
    let token = named(hash, "hash").and_then(|hash| operator.reset_token(&hash));
    let outcome = token.and_then(|token| ok(json!({ "token": TokenRow::from(&token) })));
    answer(outcome, &record)
}

async fn probe_token(
    State(operator): State<Arc<Operator>>,
    Extension(record): Extension<CallRecord>,
    hash: Result<Path<String>, PathRejection>,
) -> Response {
    let outcome = async {
        let Probed { token, failure } = operator.probe_token(&named(hash, "hash")?).await?;
        let failure = failure.map(|(kind, message)| json!({ "kind": kind, "message": message }));
        ok(json!({
            "ok": failure.is_none(),
            "failure": failure,
            "token": TokenRow::from(&token),
        }))
    };
    answer(outcome.await, &record)
}

async fn requests(State(operator): State<Arc<Operator>>) -> Response {
    let rows: Vec<Value> = operator.requests().into_iter().map(request_row).collect();
    Json(json!({ "requests": rows })).into_response()
}

fn request_row(chat: ChatSnapshot) -> Value {
    let ChatSnapshot {
        id,
        door,
        model,
        age,
        bytes,
        token,
    } = chat;
    json!({
        "id": id,
        "door": door.name(),
        "model": model,
        "age_seconds": rounded(age),
        "bytes": bytes,
        "token": token.as_deref(),
    })
}

async fn cancel_request(
    State(operator): State<Arc<Operator>>,
    Extension(record): Extension<CallRecord>,
    id: Result<Path<String>, PathRejection>,
) -> Response {
    let outcome = named(id, "id").and_then(|id| {
        let cancelled = operator.cancel_request(&id)?;
        ok(json!({ "id": id, "cancelled": cancelled }))
    });
    answer(outcome, &record)
}

async fn explain(State(operator): State<Arc<Operator>>) -> Response {
    let choice = operator.explain();
    let chosen = choice.chosen();
    let chosen = chosen.map(|token| json!({ "token": &*token.label, "sha256": token.sha256 }));
    let Choice {
        refusal,
        candidates,
        open_breakers,
    } = choice;
    let refusal = refusal.map(|error| json!({ "kind": error.kind().name(), "message": error.message() }));
    let rows: Vec<CandidateRow> = candidates.iter().map(CandidateRow::from).collect();
    Json(json!({
        "chosen": chosen,
        "refusal": refusal,
        "open_breakers": open_breakers,
        "tokens": rows,
    }))
    .into_response()
}

async fn conversations(State(operator): State<Arc<Operator>>) -> Response {
    let ConversationCounts {
        in_use,
        ready,
        leaving,
        left_behind,
    } = operator.conversations();
    Json(json!({
        "in_use": in_use,
        "ready": ready,
        "leaving": leaving,
        "left_behind": left_behind,
    }))
    .into_response()
}

#[derive(Deserialize)]
struct Which {
    scope: Option<String>,
}

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
    let outcome = async {
        let Cleared { removed, failed } = operator.clear_conversations(scope?).await;
        ok(json!({ "removed": removed, "failed": failed }))
    };
    answer(outcome.await, &record)
}

#[derive(Serialize)]
struct TokenRow<'a> {
    token: &'a str,
    sha256: &'a str,
    state: &'static str,
    reason: Option<&'static str>,
    until: Option<String>,
    rests_for_seconds: Option<f64>,
    available: bool,
    in_flight: usize,
    chats: u64,
    failures: u64,
    refusals_in_a_row: u32,
    warm_conversations: usize,
    expires_at: Option<String>,
}

impl<'a> From<&'a TokenView> for TokenRow<'a> {
    fn from(view: &'a TokenView) -> Self {
        Self {
            token: &view.label,
            sha256: &view.sha256,
            state: view.state,
            reason: view.reason,
            until: view.until.map(written),
            rests_for_seconds: view.rests_for.map(rounded),
            available: view.available,
            in_flight: view.in_flight,
            chats: view.chats,
            failures: view.failures,
            refusals_in_a_row: view.refusals_in_a_row,
            warm_conversations: view.warm_conversations,
            expires_at: view.expires_at.map(written),
        }
    }
}

#[derive(Serialize)]
struct CandidateRow<'a> {
    #[serde(flatten)]
    token: TokenRow<'a>,
    standing: &'static str,
    why: &'a str,
}

impl<'a> From<&'a Candidate> for CandidateRow<'a> {
    fn from(candidate: &'a Candidate) -> Self {
        Self {
            token: TokenRow::from(&candidate.token),
            standing: candidate.standing.name(),
            why: &candidate.why,
        }
    }
}

fn written(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// Seconds with three decimals.
fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}
