//! URLs of the upstream and of a proxy in front of it.

use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use url::{Position, Url};

/// An absolute `http` or `https` URL without user, query, fragment and trailing slash, so that `format!("{base}/{id}")`
/// never contains a double slash. Its text always parses as a URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct BaseUrl {
    text: String,
    origin: String,
}

impl BaseUrl {
    /// Parses a base URL; trailing slashes are removed.
    ///
    /// # Errors
    /// A message with the expected form. It does not repeat the text, which may contain a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "an absolute http or https URL such as https://api.example.com/chat";
        let url =
            absolute(text, &["http", "https"]).ok_or_else(|| format!("is not a URL; expected {EXPECTED}"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!("holds a user or a password; expected {EXPECTED}"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("holds a query or a fragment; expected {EXPECTED}"));
        }
        let text = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self {
            text,
            origin: url.origin().ascii_serialization(),
        })
    }

    /// The URL's text, without a trailing slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Scheme, host and port (unless it is the scheme's default): the value of an `origin` header.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl AsRef<str> for BaseUrl {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

/// The URL of a proxy. User and password are never displayed.
#[derive(Clone)]
pub struct ProxyUrl {
    secret: SecretString,
    shown: String,
}

impl ProxyUrl {
    /// Parses a proxy's URL: `http`, `https`, `socks5` or `socks5h`, a host, optionally a port and credentials.
    ///
    /// # Errors
    /// A message with the expected form. It does not repeat the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = absolute(text, &["http", "https", "socks5", "socks5h"]).filter(|url| {
            matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none()
        });
        let wrong = "is not a proxy's URL; expected http, https, socks5 or socks5h, a host and perhaps a port, such \
                     as socks5h://127.0.0.1:1080";
        let url = url.ok_or_else(|| wrong.to_owned())?;
        let has_credentials = !url.username().is_empty() || url.password().is_some();
        let place = &url[Position::BeforeHost..Position::AfterPort];
        let note = if has_credentials {
            " (with credentials)"
        } else {
            ""
        };
        let shown = format!("{}://{place}{note}", url.scheme());
        Ok(Self {
            secret: SecretString::from(text.to_owned()),
            shown,
        })
    }

    /// The whole URL with credentials, for the HTTP client only.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.secret.expose_secret()
    }
}

/// Scheme, host and port, and whether there are credentials.
impl fmt::Display for ProxyUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown)
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ProxyUrl({})", self.shown)
    }
}

/// Parses strictly: the URL parser alone silently repairs backslashes, spaces and missing slashes.
fn absolute(text: &str, schemes: &[&str]) -> Option<Url> {
    let (scheme, rest) = text.split_once("://")?;
    let is_odd = |character: char| character.is_whitespace() || character.is_control() || character == '\\';
    if rest.starts_with('/') || text.contains(is_odd) {
        return None;
    }
    let scheme = schemes.iter().find(|known| known.eq_ignore_ascii_case(scheme))?;
    let url = Url::parse(text).ok().filter(|url| url.scheme() == *scheme)?;
    let has_host = url.host_str().is_some_and(|host| !host.is_empty());
    (has_host && url.port() != Some(0)).then_some(url)
}
