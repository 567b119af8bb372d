//! The form of a call: its cookie, headers, page and JSON. Independent of the accounts.

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, header};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use uuid::{Uuid, Version};

use super::counts::Step;
use super::lookup::{Place, SentId};
use super::refusal::Refusal;

/// One of the seven calls with its arguments.
#[derive(Clone, Debug)]
pub(super) enum Call {
    ListProjects,
    CreateProject { name: String },
    ListConversations { project: SentId },
    CreateConversation { project: SentId },
    DeleteConversation { conversation: SentId },
    Message { conversation: SentId, text: String },
    Answer { conversation: SentId, model: String },
}

/// Headers of the gateway's own clients, which must not be forwarded.
const STRANGERS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "x-request-id",
    "x-client-request-id",
    "x-real-ip",
    "forwarded",
    "via",
    "traceparent",
    "tracestate",
    "baggage",
    "idempotency-key",
];
const STRANGE_PREFIXES: &[&str] = &["openai-", "x-stainless-", "x-forwarded-", "grpc-", "x-duogate-"];

/// The names of forwarded headers that should not have been.
pub(super) fn strangers(headers: &HeaderMap) -> Vec<&str> {
    let strange = |name: &str| {
        STRANGERS.contains(&name) || STRANGE_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    headers
        .keys()
        .map(HeaderName::as_str)
        .filter(|name| strange(name))
        .collect()
}

/// The token in the cookie, which must contain nothing else.
pub(super) fn token(headers: &HeaderMap) -> Result<&str, Refusal> {
    let refused = |why: &str| Err(Refusal::breach(401, why));
    let mut cookies = headers.get_all(header::COOKIE).iter();
    let (Some(cookie), None) = (cookies.next(), cookies.next()) else {
        return refused("not exactly one cookie header was sent");
    };
    let Some(token) = cookie
        .to_str()
        .ok()
        .and_then(|cookie| cookie.strip_prefix("token="))
    else {
        return refused("the cookie is not of the form token=<token>");
    };
    if token.is_empty() || token.contains([';', ',', ' ', '"']) {
        return refused("the cookie holds other things than one token");
    }
    Ok(token)
}

/// Parses a call. The route has checked its method; the rest is checked here.
pub(super) fn read(step: Step, id: Option<&SentId>, parts: &Parts, body: &[u8]) -> Result<Call, Refusal> {
    if parts.method == Method::HEAD {
        return Err(Refusal::breach(405, "the method was HEAD"));
    }
    if parts.uri.query().is_some() {
        return Err(Refusal::breach(400, "the address had a query"));
    }
    let id = || {
        id.cloned()
            .ok_or_else(|| Refusal::breach(404, "the id in the path is not UTF-8"))
    };
    match step {
        Step::ListProjects => empty(body).map(|()| Call::ListProjects),
        Step::ListConversations => Ok(Call::ListConversations {
            project: empty(body).and_then(|()| id())?,
        }),
        Step::DeleteConversation => Ok(Call::DeleteConversation {
            conversation: empty(body).and_then(|()| id())?,
        }),
        Step::CreateProject => {
            let [name] = fields(parts, body, ["name"])?;
            Ok(Call::CreateProject { name: uuid(&name)? })
        }
        Step::CreateConversation => {
            let [project] = fields(parts, body, ["projectId"])?;
            Ok(Call::CreateConversation {
                project: SentId::Body(project),
            })
        }
        Step::Message => {
            let [text, role] = fields(parts, body, ["content", "role"])?;
            if role != "user" {
                return Err(Refusal::breach(
                    400,
                    format!("the role was {role} and not \"user\""),
                ));
            }
            Ok(Call::Message {
                conversation: id()?,
                text: filled(&text, "content")?,
            })
        }
        Step::Answer => {
            let [conversation, mode] = fields(parts, body, ["conversationId", "mode"])?;
            Ok(Call::Answer {
                conversation: SentId::Body(conversation),
                model: filled(&mode, "mode")?,
            })
        }
    }
}

fn empty(body: &[u8]) -> Result<(), Refusal> {
    if body.is_empty() {
        Ok(())
    } else {
        Err(Refusal::breach(400, "a body was sent where none belongs"))
    }
}

fn filled(value: &Value, key: &str) -> Result<String, Refusal> {
    match value.as_str() {
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        _ => Err(Refusal::breach(
            400,
            format!("{key} is not a string with something in it"),
        )),
    }
}

fn uuid(value: &Value) -> Result<String, Refusal> {
    let name = value.as_str().unwrap_or_default();
    let version = Uuid::parse_str(name).ok().and_then(|uuid| uuid.get_version());
    if version == Some(Version::Random) {
        return Ok(name.to_owned());
    }
    Err(Refusal::breach(
        400,
        format!("the project's name {name:?} is not a version 4 UUID"),
    ))
}

/// The values of exactly these keys.
fn fields<const N: usize>(parts: &Parts, body: &[u8], keys: [&str; N]) -> Result<[Value; N], Refusal> {
    let content_type = single(&parts.headers, &header::CONTENT_TYPE).unwrap_or_default();
    if content_type.split(';').next().unwrap_or_default().trim() != "application/json" {
        return Err(Refusal::breach(
            415,
            format!("the content type was {content_type:?} and not application/json"),
        ));
    }
    let mut object: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| Refusal::breach(400, format!("the body is not a JSON object: {error}")))?;
    let found = object.keys().cloned().collect::<Vec<_>>();
    let values = keys.map(|key| object.remove(key));
    if !object.is_empty() || values.iter().any(Option::is_none) {
        return Err(Refusal::breach(
            400,
            format!("the body has the keys {found:?} and should have {keys:?}"),
        ));
    }
    Ok(values.map(Option::unwrap_or_default))
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// Checks the page that a call claims to come from: its origin and referer.
pub(super) fn page(step: Step, place: &Place, headers: &HeaderMap, site: &str) -> Result<(), Refusal> {
    origin(step, headers, site)?;
    let wanted: &[&str] = match step {
        Step::ListProjects | Step::CreateProject | Step::ListConversations => return Ok(()),
        Step::DeleteConversation => &[""],
        Step::CreateConversation => &["project", &place.project],
        Step::Message | Step::Answer => &["project", &place.project, "conversation", &place.conversation],
    };
    let referer = single(headers, &header::REFERER);
    let path = referer
        .and_then(|referer| referer.strip_prefix(site))
        .and_then(|path| path.strip_prefix('/'));
    let right = path.is_some_and(|path| {
        path.split('/')
            .map(decoded)
            .eq(wanted.iter().map(|part| Some((*part).into())))
    });
    if right {
        return Ok(());
    }
    Err(Refusal::breach(
        400,
        format!(
            "the referer was {referer:?} and should have been {site}/{}",
            wanted.join("/")
        ),
    ))
}

fn origin(step: Step, headers: &HeaderMap, site: &str) -> Result<(), Refusal> {
    let needed = matches!(step, Step::DeleteConversation | Step::Message | Step::Answer);
    let sent = headers.contains_key(header::ORIGIN);
    let origin = single(headers, &header::ORIGIN);
    if (sent || needed) && origin != Some(site) {
        return Err(Refusal::breach(
            400,
            format!("the origin was {origin:?} and should have been {site}"),
        ));
    }
    Ok(())
}

/// A percent-decoded path segment; `None` if it contains characters that had to be encoded.
fn decoded(segment: &str) -> Option<String> {
    if segment.contains(['?', '#', ' ']) {
        return None;
    }
    percent_decode_str(segment).decode_utf8().ok().map(Into::into)
}
