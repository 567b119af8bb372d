//! Base URLs as people write them: every spelling of an endpoint of the API becomes the canonical one before anything
//! else sees the path. No other path is touched, so that the rules of a proxy in front hold for them.

use axum::extract::Request;
use http::{Uri, uri::PathAndQuery};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::{API, CHAT_PATHS, fields::Fields};
use crate::engine::error::ChatError;

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

/// The canonical path, and the model that this one names; none where it is no other spelling of an endpoint.
fn spelled(path: &str) -> Option<(String, Option<Deployment>)> {
    if CHAT_PATHS.contains(&path) {
        return None;
    }
    let mut deployment = None;
    let mut rest = path;
    let endpoint = loop {
        rest = rest.trim_start_matches('/');
        let (segment, after) = rest.split_once('/').unwrap_or((rest, ""));
        match segment {
            "v1" | "openai" => rest = after,
            "deployments" if deployment.is_none() => {
                let (name, after) = after.split_once('/')?;
                let name = percent_decode_str(name).decode_utf8().ok()?.into_owned();
                deployment = (!name.is_empty()).then_some(Deployment(name));
                // Without a name what follows could be taken for one.
                deployment.as_ref()?;
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
    let segments: Vec<&str> = endpoint
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    let is_endpoint = matches!(
        segments.as_slice(),
        ["chat", "completions"] | ["completions"] | ["responses" | "models", ..]
    );
    let canonical = format!("{API}/{}", segments.join("/"));
    (is_endpoint && canonical != path).then_some((canonical, deployment))
}
