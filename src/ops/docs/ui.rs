//! The page that shows the OpenAPI document: Swagger UI, which loads nothing from anywhere else.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    response::Redirect,
    routing::{MethodRouter, get},
};
use http::{HeaderValue, header::CONTENT_ENCODING};
use utoipa_swagger_ui::Config;

use super::{file, fixed};

const PAGE: &str = include_str!("page.html");
const SCRIPT: &str = include_str!("page.js");
const STYLE: &str = include_str!("page.css");
/// Files of another version are at the same place, so none is kept for long.
const KEPT: &str = "max-age=3600";

pub(super) fn routes(app_name: &str) -> Router {
    let page = PAGE
        .replace("{{name}}", &escaped(app_name))
        .replace("{{version}}", env!("CARGO_PKG_VERSION"));
    Router::new()
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

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
