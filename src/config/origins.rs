//! The origins whose web pages may call the gateway.

use super::given::{Complaints, Given};

/// Reads the list of origins; a repeated one counts once.
pub(super) fn read(given: &mut Given<'_>) -> Result<Vec<String>, Complaints> {
    let mut origins: Vec<String> = Vec::new();
    let mut complaints = Vec::new();
    let entries = given.list(r#"["https://app.example.com"]"#)?;
    for (index, entry) in entries.into_iter().enumerate() {
        let place = index + 1;
        match entry.as_deref().and_then(origin) {
            None => complaints.push(format!(
                "entry {place} is no origin; expected \"*\" or such as \"https://app.example.com\""
            )),
            Some(origin) if origins.contains(&origin) => {
                given
                    .warnings
                    .push(format!("entry {place} repeats an earlier one and counts once"));
            }
            Some(origin) => origins.push(origin),
        }
    }
    Complaints::check(complaints).map(|()| origins)
}

/// An origin as browsers send it: scheme, host and port, and no slash at the end. Schemes that only a browser knows
/// (`chrome-extension`) are taken as they stand.
fn origin(text: &str) -> Option<String> {
    if text == "*" {
        return Some(text.to_owned());
    }
    let url = url::Url::parse(text).ok()?;
    let bare = url.has_host()
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let origin = url.origin();
    let spelled = if origin.is_tuple() {
        origin.ascii_serialization()
    } else {
        text.trim_end_matches('/').to_owned()
    };
    (bare && spelled.bytes().all(|byte| byte.is_ascii_graphic())).then_some(spelled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_spelled_as_browsers_send_them() {
        for (given, spelled) in [
            ("*", "*"),
            ("https://App.Example.com/", "https://app.example.com"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("https://example.com:443", "https://example.com"),
            ("chrome-extension://abc", "chrome-extension://abc"),
        ] {
            assert_eq!(origin(given).as_deref(), Some(spelled));
        }
        for wrong in [
            "",
            "example.com",
            "https://",
            "https://a/b",
            "https://u:p@a",
            "https://a?b",
            "https://a#b",
        ] {
            assert_eq!(origin(wrong), None, "{wrong}");
        }
    }
}
