//! The addresses of the upstream and of a proxy on the way to it.

use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use url::{Position, Url};

/// An absolute `http` or `https` URL without user, query and fragment, and without a slash at its end, so that
/// `format!("{base}/{id}")` never holds a double slash. Every such text parses as a URL again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct BaseUrl {
    text: String,
    origin: String,
}

impl BaseUrl {
    /// Reads a base URL; slashes at its end come off.
    ///
    /// # Errors
    /// Says what is wrong and what is expected, without repeating the text: it may hold a password.
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

    /// The URL's text, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Scheme, host and, unless it is the scheme's own, port: what an `origin` header holds.
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

/// The URL of a proxy; it may hold a user and a password, which are in no output.
#[derive(Clone)]
pub struct ProxyUrl {
    secret: SecretString,
    shown: String,
}

impl ProxyUrl {
    /// Reads a proxy's URL: `http`, `https`, `socks5` or `socks5h`, a host, perhaps a port and credentials.
    ///
    /// # Errors
    /// Says what is expected, without repeating the text.
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

    /// The whole URL, credentials included, for the HTTP client only.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.secret.expose_secret()
    }
}

/// Scheme, host and port; of credentials only that there are some.
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

/// Parses strictly: the URL parser by itself mends backslashes, blanks and missing slashes in silence.
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
