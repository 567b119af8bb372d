//! `/openapi.json`, and `/docs`, a page that shows it, where the build has it.

#[cfg(feature = "docs-ui")]
mod ui;

use axum::{
    Router,
    body::Bytes,
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};

/// How to call the gateway, for the head of the document.
pub const GUIDE: &str = include_str!("docs/guide.md");
/// Nothing but what stands beside the page. Swagger UI sets styles in its elements and holds its pictures in its sheet.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The routes, without any layer; `document` is the OpenAPI document as JSON.
pub fn routes(app_name: &str, document: Bytes) -> Router {
    let router = Router::new().route("/openapi.json", fixed("application/json", "no-cache", document));
    with_page(router, app_name)
}

#[cfg(feature = "docs-ui")]
fn with_page(router: Router, app_name: &str) -> Router {
    router.merge(ui::routes(app_name))
}

#[cfg(not(feature = "docs-ui"))]
fn with_page(router: Router, _app_name: &str) -> Router {
    router
}

/// A route that always gives the same.
fn fixed(kind: &'static str, kept: &'static str, body: Bytes) -> MethodRouter {
    get(async move || file(kind, kept, body))
}

fn file(kind: &'static str, kept: &'static str, body: Bytes) -> Response {
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, kept),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, body).into_response()
}
