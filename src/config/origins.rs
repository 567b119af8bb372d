//! Web origins that may call the gateway (CORS).

use super::given::{Complaints, Given};

/// Reads the list of origins, without repeats.
pub(super) fn read(given: &mut Given<'_>) -> Result<Vec<String>, Complaints> {
    let mut origins: Vec<String> = Vec::new();
    let mut complaints = Vec::new();
    let entries = given.list(r#"["https://app.example.com"]"#)?;
    for (index, entry) in entries.into_iter().enumerate() {
        let place = index + 1;
        match entry.as_deref().and_then(origin) {
            None if entry.as_deref().is_some_and(|text| text.contains('*')) => complaints.push(format!(
                "entry {place} is a pattern, which would match nothing; expected \"*\" alone for every origin, or each \
                 origin by itself"
            )),
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

/// Normalizes an origin as browsers send it: scheme, host and port in lower case, without the default port and a
/// trailing slash. Of the standard schemes only those that pages can have are allowed; browser-specific ones
/// (`chrome-extension`) always are.
fn origin(text: &str) -> Option<String> {
    if text == "*" {
        return Some(text.to_owned());
    }
    let url = url::Url::parse(text).ok()?;
    let host = url.host_str().filter(|host| !host.contains('*'))?;
    let bare = !matches!(url.scheme(), "ws" | "wss" | "ftp" | "file")
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let spelled = format!("{}://{}{port}", url.scheme(), host.to_ascii_lowercase());
    (bare && !host.is_empty() && spelled.bytes().all(|byte| byte.is_ascii_graphic())).then_some(spelled)
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
            ("HTTP://LOCALHOST:80", "http://localhost"),
            ("https://münchen.example", "https://xn--mnchen-3ya.example"),
            ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
            ("chrome-extension://abc", "chrome-extension://abc"),
            ("Chrome-Extension://ABC/", "chrome-extension://abc"),
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
            "https://*",
            "https://*.example.com",
            "https://example.*",
            "http://localhost:*",
            "*://example.com",
            "*.example.com",
            "**",
            "chrome-extension://*",
            "https://%2a.example.com",
            "wss://example.com",
            "file:///",
            "null",
        ] {
            assert_eq!(origin(wrong), None, "{wrong}");
        }
    }
}
