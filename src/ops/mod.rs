//! What operators and their machines ask: what this is, how it is, what it counts; and what they do to it.

pub mod admin;
mod docs;
mod health;

use std::{sync::Arc, time::Instant};

use axum::{
    Json, Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};
use serde_json::json;

use crate::{
    auth::Auth,
    engine::{
        ConversationCounts, Engine,
        error::{ChatError, ErrorKind},
    },
    lifecycle::{Lifecycle, Phase},
    openai::error,
    telemetry::{CallRecord, Gauges, Metrics},
};

/// Paths that machines ask every few seconds.
pub const QUIET_PATHS: &[&str] = &["/health", "/livez", "/readyz", "/metrics"];

/// Whether a path answers without one of the callers' keys. What operators do has a key of its own.
#[must_use]
pub fn is_open(path: &str) -> bool {
    matches!(
        path,
        "/" | "/health" | "/livez" | "/readyz" | "/docs" | "/openapi.json" | "/favicon.ico"
    ) || path.starts_with("/docs/")
        || admin::is_admins(path)
}

/// What the handlers work with.
#[derive(Clone)]
pub struct Ops {
    /// The engine.
    pub engine: Engine,
    /// Where the process stands.
    pub lifecycle: Lifecycle,
    /// What has been counted.
    pub metrics: Arc<Metrics>,
    /// What the service calls itself.
    pub app_name: String,
    /// The keys.
    pub auth: Auth,
    /// When the process began.
    pub began: Instant,
}

/// The routes, without any layer.
pub fn routes(ops: Ops) -> Router {
    Router::new()
        .route("/", get(root))
        .route("/health", get(health::health))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/docs", get(docs::page))
        .with_state(Arc::new(ops))
}

async fn root(State(ops): State<Arc<Ops>>) -> Response {
    Json(json!({
        "message": ops.app_name,
        "version": env!("CARGO_PKG_VERSION"),
        "docs": "/docs",
        "health": "/health",
    }))
    .into_response()
}

/// The process lives: it can answer.
async fn livez() -> Response {
    Json(json!({ "status": "alive" })).into_response()
}

/// Whether a load balancer should send requests here.
async fn readyz(State(ops): State<Arc<Ops>>) -> Response {
    let reason = match ops.lifecycle.phase() {
        Phase::Starting => Some("starting"),
        Phase::Draining => Some("draining"),
        Phase::Ready if !ops.engine.has_hope() => Some("no usable token"),
        Phase::Ready => None,
    };
    match reason {
        None => Json(json!({ "status": "ready" })).into_response(),
        Some(reason) => {
            let body = Json(json!({ "status": "not_ready", "reason": reason }));
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

fn gauges(engine: &Engine) -> Gauges {
    let tokens = engine.tokens();
    let states = ["ready", "benched", "probing", "disabled", "expired"];
    let tokens = states.map(|state| (state, tokens.iter().filter(|token| token.state == state).count()));
    let ConversationCounts {
        in_use,
        ready,
        leaving,
        left_behind,
    } = engine.conversations();
    Gauges {
        tokens: tokens.to_vec(),
        in_flight: engine.in_flight(),
        conversations: vec![
            ("in_use", in_use),
            ("ready", ready),
            ("leaving", leaving),
            ("left_behind", left_behind),
        ],
        open_breakers: engine.open_breakers(),
    }
}

async fn metrics(State(ops): State<Arc<Ops>>, request: Request) -> Response {
    match ops.metrics.expose(&gauges(&ops.engine)) {
        Ok(text) => (
            [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
            text,
        )
            .into_response(),
        Err(failure) => {
            let failure = ChatError::new(ErrorKind::Internal, "The metrics could not be told.")
                .with_detail(failure.to_string());
            error::respond(&failure, request.extensions().get::<CallRecord>())
        }
    }
}
