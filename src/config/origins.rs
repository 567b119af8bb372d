//! Origins of pages that may call from a browser.

use super::given::{Complaints, Given};
use http::HeaderValue;
use url::{Origin, Url};

/// Reads a list of origins, each as browsers write it.
pub(super) fn read(given: &Given<'_>) -> Result<Vec<HeaderValue>, Complaints> {
    let entries = given.list(r#"["https://app.example.com"]"#)?;
    let (mut origins, mut wrong) = (Vec::new(), Vec::new());
    for (index, entry) in entries.into_iter().enumerate() {
        match entry.as_deref().and_then(origin) {
            Some(origin) => origins.push(origin),
            None => wrong.push(format!(
                "entry {} is no origin; expected * or such as https://app.example.com, without a path",
                index + 1
            )),
        }
    }
    Complaints::check(wrong)?;
    Ok(origins)
}

fn origin(text: &str) -> Option<HeaderValue> {
    if text == "*" {
        return Some(HeaderValue::from_static("*"));
    }
    let url = Url::parse(text).ok()?;
    let is_bare = matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let origin = url.origin();
    let written = (is_bare && matches!(origin, Origin::Tuple(..))).then(|| origin.ascii_serialization())?;
    HeaderValue::from_str(&written).ok()
}

/// As one would write them.
pub(super) fn show(origins: &[HeaderValue]) -> String {
    let texts: Vec<_> = origins.iter().filter_map(|origin| origin.to_str().ok()).collect();
    serde_json::to_string(&texts).unwrap_or_default()
}
