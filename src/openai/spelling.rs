//! Base URLs as people write them: every spelling of an endpoint of the API becomes the canonical one before anything
//! else sees the path. No other path is touched, so that the rules of a proxy in front hold for them.

use axum::extract::Request;
use http::{Uri, uri::PathAndQuery};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::{API, CHAT_PATHS, fields::Fields};
use crate::engine::error::ChatError;

/// Where a path that names a model may end.
const ENDPOINTS: [&str; 4] = ["/chat/completions", "/completions", "/responses", "/models"];

/// The model that a path names, as Azure's do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deployment(String);

impl Deployment {
    /// Makes the path's model the body's, where the body has none.
    ///
    /// # Errors
    /// `invalid_request` when the body names another.
    pub(super) fn settle(self, fields: &mut Fields) -> Result<(), ChatError> {
        let Self(name) = self;
        match fields.get("model") {
            None | Some(Value::Null) => {}
            Some(Value::String(model)) if model.is_empty() => {}
            Some(Value::String(model)) if *model != name => {
                let message = "Invalid 'model': it is not the one that the request's path names.";
                return Err(ChatError::invalid("model", message));
            }
            // The same, or no text, which is told as such.
            Some(_) => return Ok(()),
        }
        fields.insert("model".to_owned(), Value::String(name));
        Ok(())
    }
}

/// A request as it would be with the canonical path, for `tower::util::MapRequest` around the whole door.
pub fn canonical(mut request: Request) -> Request {
    let Some((path, deployment)) = spelled(request.uri().path()) else {
        return request;
    };
    if let Some(uri) = with_path(request.uri(), &path) {
        *request.uri_mut() = uri;
        if let Some(deployment) = deployment {
            request.extensions_mut().insert(deployment);
        }
    }
    request
}

fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let target = match uri.query() {
        None => PathAndQuery::try_from(path),
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target.ok()?);
    Uri::from_parts(parts).ok()
}

impl Deployment {
    fn named(name: &str) -> Option<Self> {
        let name = percent_decode_str(name).decode_utf8().ok()?.into_owned();
        (!name.is_empty()).then_some(Self(name))
    }
}

/// The canonical path, and the model that this one names; none where it is no other spelling of an endpoint.
fn spelled(path: &str) -> Option<(String, Option<Deployment>)> {
    if CHAT_PATHS.contains(&path) {
        return None;
    }
    let (endpoint, deployment) = endpoint_of(path)?;
    let segments: Vec<&str> = endpoint
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    let canonical = format!("{API}/{}", segments.join("/"));
    (canonical != path).then_some((canonical, deployment))
}

/// The endpoint in a path, and the model that this names.
fn endpoint_of(path: &str) -> Option<(&str, Option<Deployment>)> {
    let mut deployment = None;
    // What may begin with a name that has slashes.
    let mut behind = None;
    let mut rest = path;
    let endpoint = loop {
        rest = rest.trim_start_matches('/');
        let (segment, after) = rest.split_once('/').unwrap_or((rest, ""));
        match segment {
            "v1" | "openai" => rest = after,
            "deployments" if deployment.is_none() => {
                behind = Some(after);
                let (name, after) = after.split_once('/')?;
                // Without a name what follows could be taken for one.
                deployment = Some(Deployment::named(name)?);
                rest = after;
            }
            // The address of an endpoint was taken for a base.
            "chat" => match after.trim_start_matches('/').strip_prefix("completions/") {
                Some(after) if !after.trim_start_matches('/').is_empty() => rest = after,
                _ => break rest,
            },
            _ => break rest,
        }
    };
    if is_endpoint(endpoint) {
        Some((endpoint, deployment))
    } else {
        with_slashes(behind?)
    }
}

fn is_endpoint(rest: &str) -> bool {
    let mut segments = rest.split('/').filter(|segment| !segment.is_empty());
    match (segments.next(), segments.next(), segments.next()) {
        (Some("chat"), Some("completions"), None) | (Some("completions"), None, None) => true,
        (Some("responses" | "models"), ..) => true,
        (Some(_) | None, ..) => false,
    }
}

/// Splits a name with slashes in it, as Azure's clients write it into a path, from the endpoint at the path's end.
fn with_slashes(behind: &str) -> Option<(&str, Option<Deployment>)> {
    let whole = behind.trim_end_matches('/');
    let ends_in = |endpoint: &&&str| whole.ends_with(**endpoint);
    let endpoint = *ENDPOINTS.iter().find(ends_in)?;
    let name = whole.strip_suffix(endpoint)?.trim_end_matches('/');
    // Who resolves these on the way sees another path.
    let is_sound = !name.split('/').any(|segment| matches!(segment, "." | ".."));
    let deployment = Deployment::named(name).filter(|_| is_sound)?;
    Some((endpoint, Some(deployment)))
}
