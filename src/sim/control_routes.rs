//! The control over HTTP, for other processes: `/sim/state`, `/sim/rules`, `/sim/hold` and so on.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::control::SimControl;
use super::fault::{Fault, Rule};
use super::models;
use super::shared::Hold;

type Control = State<SimControl>;
/// Why a control request was rejected.
type Refused = (StatusCode, String);

/// The routes below `/sim`.
pub(super) fn router(control: SimControl) -> Router {
    Router::new()
        .route("/state", get(state))
        .route(
            "/answers",
            get(|State(control): Control| async move { Json(control.answers()) }),
        )
        .route("/models", get(model_table))
        .route("/rules", get(list_rules).post(add_rule).delete(clear_rules))
        .route("/hold", post(hold))
        .route("/release", post(release))
        .route("/forget", post(forget))
        .route("/tokens/add", post(add_token))
        .route("/tokens/revoke", post(revoke))
        .route("/tokens/restore", post(restore))
        .route("/tokens/expire-conversations", post(expire_conversations))
        .route("/tokens/expire-projects", post(expire_projects))
        .fallback(|| async { (StatusCode::NOT_FOUND, "no such control\n") })
        .with_state(control)
}

async fn state(State(control): Control) -> Json<Value> {
    let counts = control.counts();
    Json(json!({
        "open": counts.open(),
        "counts": counts,
        "breaches": control.breaches(),
        "rules": control.rules(),
        "held": control.held(),
    }))
}

async fn model_table() -> Json<Value> {
    let row = |behaviour: &models::Behaviour| json!({"name": behaviour.name, "meaning": behaviour.meaning});
    Json(models::TABLE.iter().map(row).collect())
}

async fn list_rules(State(control): Control) -> Json<Vec<Rule>> {
    Json(control.rules())
}

async fn clear_rules(State(control): Control) -> StatusCode {
    control.clear();
    StatusCode::NO_CONTENT
}

async fn add_rule(State(control): Control, body: Bytes) -> Result<StatusCode, Refused> {
    let rule: Rule = parsed(&body)?;
    if let Fault::Named(name) = &rule.fault {
        models::named_fault(name).map_err(|why| (StatusCode::BAD_REQUEST, why))?;
    }
    control.script(rule);
    Ok(StatusCode::NO_CONTENT)
}

/// The point at which to hold; by default before the head.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HoldRequest {
    #[serde(default)]
    at: Hold,
}

async fn hold(State(control): Control, body: Bytes) -> Result<StatusCode, Refused> {
    let request: HoldRequest = parsed(if body.is_empty() { b"{}" } else { &body })?;
    control.hold_at(request.at);
    Ok(StatusCode::NO_CONTENT)
}

async fn release(State(control): Control) -> StatusCode {
    control.release();
    StatusCode::NO_CONTENT
}

async fn forget(State(control): Control) -> StatusCode {
    control.forget();
    StatusCode::NO_CONTENT
}

/// The token to act on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenRequest {
    token: String,
}

async fn add_token(State(control): Control, body: Bytes) -> Result<StatusCode, Refused> {
    let request: TokenRequest = parsed(&body)?;
    control.add_token(&request.token);
    Ok(StatusCode::NO_CONTENT)
}

async fn revoke(State(control): Control, body: Bytes) -> Result<StatusCode, Refused> {
    let request: TokenRequest = parsed(&body)?;
    known(control.revoke(&request.token))
}

async fn restore(State(control): Control, body: Bytes) -> Result<StatusCode, Refused> {
    let request: TokenRequest = parsed(&body)?;
    known(control.restore(&request.token))
}

async fn expire_conversations(State(control): Control, body: Bytes) -> Result<StatusCode, Refused> {
    let request: TokenRequest = parsed(&body)?;
    control.expire_conversations(&request.token);
    Ok(StatusCode::NO_CONTENT)
}

async fn expire_projects(State(control): Control, body: Bytes) -> Result<StatusCode, Refused> {
    let request: TokenRequest = parsed(&body)?;
    control.expire_projects(&request.token);
    Ok(StatusCode::NO_CONTENT)
}

fn known(known: bool) -> Result<StatusCode, Refused> {
    if known {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err((StatusCode::NOT_FOUND, "no such token\n".to_owned()))
    }
}

fn parsed<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}\n")))
}
