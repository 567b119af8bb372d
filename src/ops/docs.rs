//! `/openapi.json`, and `/docs`, a page that shows it. The page loads nothing from anywhere else.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    response::{IntoResponse, Redirect, Response},
    routing::{MethodRouter, get},
};
use http::{
    HeaderValue,
    header::{
        CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use utoipa_swagger_ui::Config;

const PAGE: &str = include_str!("docs/page.html");
const SCRIPT: &str = include_str!("docs/page.js");
const STYLE: &str = include_str!("docs/page.css");
/// How to call the gateway, for the head of the document.
pub const GUIDE: &str = include_str!("docs/guide.md");
/// Nothing but what stands beside the page. Swagger UI sets styles in its elements and holds its pictures in its sheet.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Files of another version are at the same place, so none is kept for long.
const KEPT: &str = "max-age=3600";

/// The routes, without any layer; `document` is the OpenAPI document as JSON.
pub fn routes(app_name: &str, document: Bytes) -> Router {
    let page = PAGE
        .replace("{{name}}", &escaped(app_name))
        .replace("{{version}}", env!("CARGO_PKG_VERSION"));
    Router::new()
        .route("/openapi.json", fixed("application/json", "no-cache", document))
        .route(
            "/docs",
            fixed("text/html; charset=utf-8", "no-cache", page.into()),
        )
        .route("/docs/", get(async || Redirect::permanent("../docs")))
        .route("/docs/page.js", fixed("text/javascript", KEPT, SCRIPT.into()))
        .route("/docs/page.css", fixed("text/css", KEPT, STYLE.into()))
        .route("/docs/swagger-ui.css", vendored("text/css", "swagger-ui.css"))
        .route(
            "/docs/swagger-ui-bundle.js",
            vendored("text/javascript", "swagger-ui-bundle.js"),
        )
}

/// A route that always gives the same.
fn fixed(kind: &'static str, kept: &'static str, body: Bytes) -> MethodRouter {
    get(async move || file(kind, kept, body))
}

/// A file of Swagger UI's, which is packed as every browser unpacks it.
fn vendored(kind: &'static str, name: &'static str) -> MethodRouter {
    let found = utoipa_swagger_ui::serve(name, Arc::new(Config::from("")));
    // A test sees that each is there.
    let found = found.ok().flatten();
    let packed = found.as_ref().is_some_and(|file| file.gzpipped);
    let bytes = Bytes::from(found.map(|file| file.bytes.into_owned()).unwrap_or_default());
    get(async move || {
        let mut response = file(kind, KEPT, bytes);
        if packed {
            let gzip = HeaderValue::from_static("gzip");
            response.headers_mut().insert(CONTENT_ENCODING, gzip);
        }
        response
    })
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

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
