//! The routes: the seven calls, the control under `/sim/`, and a line of text at the root.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodFilter;
use axum::routing::{MethodRouter, get, on};
use percent_encoding::percent_decode_str;

use super::calls;
use super::control::SimControl;
use super::control_routes;
use super::counts::Step;
use super::lookup::SentId;
use super::refusal::Refusal;
use super::shared::Shared;

/// The router of one simulated upstream.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    let control = control_routes::router(SimControl::new(shared.clone()));
    let projects =
        call(MethodFilter::GET, Step::ListProjects).merge(call(MethodFilter::POST, Step::CreateProject));
    Router::new()
        .route("/project", projects)
        .route(
            "/project/{id}/conversations",
            call(MethodFilter::GET, Step::ListConversations),
        )
        .route(
            "/conversation",
            call(MethodFilter::POST, Step::CreateConversation),
        )
        .route(
            "/conversation/{id}",
            call(MethodFilter::DELETE, Step::DeleteConversation),
        )
        .route(
            "/conversation/{id}/message",
            call(MethodFilter::POST, Step::Message),
        )
        .route("/chat", call(MethodFilter::POST, Step::Answer))
        .route(
            "/",
            get(|| async { "duogate sim: a simulated conversation service; its control is under /sim/\n" }),
        )
        .fallback(|state, request| stray(state, request, 404))
        .method_not_allowed_fallback(|state, request| stray(state, request, 405))
        .with_state(shared)
        .nest("/sim", control)
}

fn call(method: MethodFilter, step: Step) -> MethodRouter<Arc<Shared>> {
    on(
        method,
        move |State(shared): State<Arc<Shared>>, request: Request| async move {
            let id = request.uri().path().split('/').nth(2).and_then(decoded);
            calls::serve(shared, step, id, request).await
        },
    )
}

fn decoded(segment: &str) -> Option<SentId> {
    percent_decode_str(segment)
        .decode_utf8()
        .ok()
        .map(|id| SentId::Path(id.into_owned()))
}

/// Rejects a request that is none of the calls.
async fn stray(State(shared): State<Arc<Shared>>, request: Request, status: u16) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    let sentence = format!("{method} {path:?} is none of the calls");
    shared.change(|state| state.breach(&sentence));
    Refusal::breach(status, "Cannot do that here").into_response()
}
