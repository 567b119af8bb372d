//! What operators and their machines ask: what this is, how it is, what it counts; and what they do to it.

pub mod admin;
pub mod docs;
mod health;

use std::{sync::Arc, time::Instant};

use axum::{
    Extension, Json, Router,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, Uri, header};
use serde::Serialize;
use strum::VariantArray;
use utoipa::{ToSchema, openapi::OpenApi};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    admin::Gate,
    auth::{Auth, offers_key},
    engine::{
        Engine, TokenState,
        caller::Caller,
        error::{ChatError, ErrorKind},
        provider::ConversationCounts,
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

/// Whether a path that is open all the same tells more to a caller with a key.
#[must_use]
pub fn tells_more_with_a_key(path: &str) -> bool {
    path == "/health"
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
    /// The key that opens the metrics alone; none is required where callers' keys open them.
    pub metrics_auth: Auth,
    /// The check of the operators' key, where there is one.
    pub gate: Option<Gate>,
    /// When the process began.
    pub began: Instant,
}

impl Ops {
    /// Lets `caller` see the metrics. Where there is a key for them, that one or the operators' is needed, whatever else
    /// the caller has.
    async fn may_scrape(
        &self,
        caller: Option<Caller>,
        headers: &HeaderMap,
        query: Option<&str>,
    ) -> Result<Option<Caller>, ChatError> {
        if !self.metrics_auth.is_required() {
            return match caller {
                Some(caller) => Ok(Some(caller)),
                None => self.auth.check(headers, query),
            };
        }
        match (self.metrics_auth.check(headers, None), &self.gate) {
            // A caller's own key is no guess at the operators', and need not wait for its answer.
            (Err(refusal), Some(gate)) if caller.is_none() && offers_key(headers) => {
                gate.check(headers).await.map(Some).map_err(|_| refusal)
            }
            (checked, _) => checked,
        }
    }
}

/// Whether a path looks at keys by itself, since others than callers' open it.
#[must_use]
pub fn checks_keys_itself(path: &str) -> bool {
    path == "/metrics"
}

/// The routes without any layer, and what the document says of them.
pub fn routes(ops: Ops) -> (Router, OpenApi) {
    OpenApiRouter::default()
        .routes(routes!(root))
        .routes(routes!(health::health))
        .routes(routes!(livez))
        .routes(routes!(readyz))
        .routes(routes!(metrics))
        .with_state(Arc::new(ops))
        .split_for_parts()
}

/// What this is.
#[derive(Serialize, ToSchema)]
struct Root {
    message: String,
    version: &'static str,
    docs: &'static str,
    health: &'static str,
}

/// Tells the service's name and version
#[utoipa::path(
    get,
    path = "/",
    tag = "State",
    operation_id = "getRoot",
    responses((status = 200, description = "Its name and version", body = Root)),
)]
async fn root(State(ops): State<Arc<Ops>>) -> Response {
    Json(Root {
        message: ops.app_name.clone(),
        version: env!("CARGO_PKG_VERSION"),
        docs: if cfg!(feature = "docs-ui") {
            "/docs"
        } else {
            "/openapi.json"
        },
        health: "/health",
    })
    .into_response()
}

#[derive(Serialize, ToSchema)]
struct Liveness {
    status: &'static str,
}

/// Tells that the process lives
#[utoipa::path(
    get,
    path = "/livez",
    tag = "State",
    operation_id = "getLiveness",
    responses((status = 200, description = "It can answer", body = Liveness)),
)]
async fn livez() -> Response {
    Json(Liveness { status: "alive" }).into_response()
}

#[derive(Serialize, ToSchema)]
struct Readiness {
    /// `ready` or `not_ready`.
    status: &'static str,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<&'static str>,
}

/// Tells whether a load balancer should send requests here
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "State",
    operation_id = "getReadiness",
    responses(
        (status = 200, description = "It should", body = Readiness),
        (status = 503, description = "It should not: no token is usable, or the process starts or stops", body = Readiness),
    ),
)]
async fn readyz(State(ops): State<Arc<Ops>>) -> Response {
    let reason = match ops.lifecycle.phase() {
        Phase::Starting => Some("starting"),
        Phase::Draining => Some("draining"),
        Phase::Ready if !ops.engine.has_hope() => Some("no usable token"),
        Phase::Ready => None,
    };
    let (code, status) = match reason {
        None => (StatusCode::OK, "ready"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
    };
    (code, Json(Readiness { status, reason })).into_response()
}

fn gauges(engine: &Engine) -> Gauges {
    let tokens = engine.tokens();
    let count = |state| tokens.iter().filter(|token| token.state == state).count();
    let states = TokenState::VARIANTS.iter();
    let tokens = states.map(|state| (state.name(), count(*state)));
    let ConversationCounts {
        in_use,
        ready,
        leaving,
        left_behind,
    } = engine.conversations();
    Gauges {
        tokens: tokens.collect(),
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

/// Tells counts, for Prometheus
///
/// Where there is a key for the metrics, that one or the operators' opens them, and no caller's.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "State",
    operation_id = "getMetrics",
    responses((status = 200, description = "The counts", body = String, content_type = "text/plain")),
)]
async fn metrics(
    State(ops): State<Arc<Ops>>,
    Extension(caller): Extension<Option<Caller>>,
    Extension(record): Extension<CallRecord>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    match ops.may_scrape(caller, &headers, uri.query()).await {
        Ok(caller) => caller.iter().for_each(|caller| record.set_caller(caller.label())),
        Err(failure) => return error::respond(&failure, Some(&record)),
    }
    match ops.metrics.expose(&gauges(&ops.engine)) {
        Ok(text) => (
            [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
            text,
        )
            .into_response(),
        Err(failure) => {
            let failure = ChatError::new(ErrorKind::Internal, "The metrics could not be told.")
                .with_detail(failure.to_string());
            error::respond(&failure, Some(&record))
        }
    }
}
