//! Extra headers for upstream calls, and the names that are forbidden among them.

use super::given::{Complaints, Given};
use super::secrets::count;
use http::header::{HeaderMap, HeaderName, HeaderValue};

/// Headers that the gateway or its HTTP client sets itself; overriding one would break calls or leak a credential.
const FORBIDDEN: &[&str] = &[
    "connection",
    "cookie",
    "host",
    "keep-alive",
    "origin",
    "referer",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Prefixes of further forbidden names.
const FORBIDDEN_PREFIXES: &[&str] = &["content-", "proxy-"];

/// Reads the headers. Values are marked sensitive, which keeps them out of `Debug` and of HTTP/2's header compression.
pub(super) fn read(given: &Given<'_>) -> Result<HeaderMap, Complaints> {
    let mut headers = HeaderMap::new();
    let mut complaints = Vec::new();
    let members = given.object(r#"{"user-agent": "Mozilla/5.0"}"#)?;
    for (index, (name, value)) in members.into_iter().enumerate() {
        let Ok(name) = HeaderName::from_bytes(name.trim().as_bytes()) else {
            complaints.push(format!("the name of entry {} is not a header's name", index + 1));
            continue;
        };
        if is_forbidden(name.as_str()) {
            complaints.push(format!("`{name}` may not be set: the gateway writes it itself"));
            continue;
        }
        let Some(mut value) = value.and_then(|value| HeaderValue::from_str(value.trim()).ok()) else {
            complaints.push(format!(
                "the value of `{name}` is not a header's value; expected visible ASCII text"
            ));
            continue;
        };
        value.set_sensitive(true);
        if headers.insert(name.clone(), value).is_some() {
            complaints.push(format!("`{name}` is given twice"));
        }
    }
    Complaints::check(complaints).map(|()| headers)
}

fn is_forbidden(name: &str) -> bool {
    FORBIDDEN.contains(&name) || FORBIDDEN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The number of headers and their names, without values.
pub(super) fn show(headers: &HeaderMap) -> String {
    let counted = count(headers.len(), "header");
    if headers.is_empty() {
        return counted;
    }
    let names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    format!("{counted} ({})", names.join(", "))
}
