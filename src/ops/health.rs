//! `GET /health`: always 200, for people and dashboards; load balancers ask `/readyz`.

use std::{sync::Arc, time::SystemTime};

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::Ops;
use crate::{
    engine::{BenchReason, TokenSnapshot, caller::Caller},
    lifecycle::Phase,
    telemetry::Totals,
};

#[derive(Serialize, ToSchema)]
struct Health {
    /// `healthy`, `degraded` or `unhealthy`.
    status: &'static str,
    timestamp: String,
    version: &'static str,
    uptime_seconds: f64,
    api_key_validation: bool,
    statistics: Statistics,
    token_pool: TokenPool,
    upstream: Upstream,
    models: Vec<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = HealthStatistics)]
struct Statistics {
    total_requests: u64,
    successful_requests: u64,
    failed_requests: u64,
    /// In percent, of the chats that could have succeeded.
    success_rate: f64,
    rejected_requests: u64,
    cancelled_requests: u64,
    requests_in_flight: usize,
}

#[derive(Serialize, ToSchema)]
#[schema(as = HealthTokenPool)]
struct TokenPool {
    total_tokens: usize,
    available_tokens: usize,
    failed_tokens: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    tokens: Option<Vec<Token>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = HealthToken)]
struct Token {
    token: String,
    state: &'static str,
    #[schema(required)]
    reason: Option<&'static str>,
    #[schema(required)]
    benched_for_seconds: Option<f64>,
    in_flight: usize,
    chats: u64,
    failures: u64,
    warm_conversations: usize,
}

#[derive(Serialize, ToSchema)]
#[schema(as = HealthUpstream)]
struct Upstream {
    reachable: bool,
}

/// Tells how the gateway is
///
/// Always 200. Rows about single tokens are for callers with a key, unless there is a key for the metrics alone.
#[utoipa::path(
    get,
    path = "/health",
    tag = "State",
    operation_id = "getHealth",
    responses((status = 200, description = "State, totals and the pool of tokens", body = Health)),
)]
pub(super) async fn health(
    State(ops): State<Arc<Ops>>,
    Extension(caller): Extension<Option<Caller>>,
) -> Response {
    let tokens = ops.engine.tokens();
    let available = tokens.iter().filter(|token| token.is_available()).count();
    let reachable = ops.engine.is_upstream_reachable().await;
    let status = match () {
        () if available == 0 => "unhealthy",
        () if available < tokens.len() || !reachable || ops.lifecycle.phase() == Phase::Draining => {
            "degraded"
        }
        () => "healthy",
    };
    Json(Health {
        status,
        timestamp: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: (ops.began.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
        api_key_validation: ops.auth.is_required(),
        statistics: statistics(ops.metrics.totals(), ops.engine.in_flight()),
        token_pool: TokenPool {
            total_tokens: tokens.len(),
            available_tokens: available,
            failed_tokens: tokens.len() - available,
            // Where the metrics have a key of their own, keys of callers are for chats alone.
            tokens: caller
                .filter(|_| !ops.metrics_auth.is_required())
                .map(|_| tokens.into_iter().map(row).collect()),
        },
        upstream: Upstream { reachable },
        models: ops.engine.model_names(),
    })
    .into_response()
}

fn statistics(totals: Totals, in_flight: usize) -> Statistics {
    let Totals {
        total,
        successful,
        failed,
        callers_fault,
        cancelled,
    } = totals;
    Statistics {
        total_requests: total,
        successful_requests: successful,
        failed_requests: failed,
        success_rate: totals.success_rate(),
        rejected_requests: callers_fault,
        cancelled_requests: cancelled,
        requests_in_flight: in_flight,
    }
}

fn row(token: TokenSnapshot) -> Token {
    let TokenSnapshot {
        token,
        state,
        reason,
        benched_for,
        in_flight,
        leases,
        failures,
        refusals: _,
        expires_at: _,
        warm,
        obstacle: _,
    } = token;
    Token {
        token: token.label().to_string(),
        state: state.name(),
        reason: reason.map(BenchReason::name),
        benched_for_seconds: benched_for.map(|wait| wait.as_secs_f64().ceil()),
        in_flight,
        chats: leases,
        failures,
        warm_conversations: warm,
    }
}
