//! Malformed HTTP/1 request heads that the server library accepts and the gateway rejects.

use http::{HeaderMap, HeaderValue, Request, StatusCode, Version, header, uri::Authority};

/// A defect of a request's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// HTTP/1.1 without a `Host`.
    NoHost,
    /// More than one `Host`: intermediaries differ in which one they use.
    SeveralHosts,
    /// A `Host` that is no valid host.
    BadHost,
    /// A transfer coding other than `chunked`.
    UnknownCoding,
    /// `chunked` applied more than once.
    ChunkedTwice,
}

impl Flaw {
    /// The first defect of a request, if any. HTTP/2 requests have none.
    pub fn of<B>(request: &Request<B>) -> Option<Self> {
        let version = request.version();
        if version >= Version::HTTP_2 {
            return None;
        }
        let headers = request.headers();
        Self::of_hosts(version, headers).or_else(|| Self::of_codings(headers))
    }

    fn of_hosts(version: Version, headers: &HeaderMap) -> Option<Self> {
        let mut hosts = headers.get_all(header::HOST).iter();
        match (hosts.next(), hosts.next()) {
            (None, _) => (version >= Version::HTTP_11).then_some(Self::NoHost),
            (Some(_), Some(_)) => Some(Self::SeveralHosts),
            (Some(host), None) => (!is_host(host)).then_some(Self::BadHost),
        }
    }

    fn of_codings(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(header::TRANSFER_ENCODING).iter();
        let codings = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        let mut chunked = 0;
        for coding in codings
            .map(<[u8]>::trim_ascii)
            .filter(|coding| !coding.is_empty())
        {
            if !coding.eq_ignore_ascii_case(b"chunked") {
                return Some(Self::UnknownCoding);
            }
            chunked += 1;
        }
        (chunked > 1).then_some(Self::ChunkedTwice)
    }

    /// The status code that the protocol prescribes.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::NoHost | Self::SeveralHosts | Self::BadHost | Self::ChunkedTwice => StatusCode::BAD_REQUEST,
            Self::UnknownCoding => StatusCode::NOT_IMPLEMENTED,
        }
    }

    /// The header at fault, in lower case.
    #[must_use]
    pub fn header(self) -> &'static str {
        match self {
            Self::NoHost | Self::SeveralHosts | Self::BadHost => "host",
            Self::UnknownCoding | Self::ChunkedTwice => "transfer-encoding",
        }
    }

    /// A description for the client, in one sentence.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::NoHost => "The Host header is missing: HTTP/1.1 needs one.",
            Self::SeveralHosts => "The Host header is there more than once.",
            Self::BadHost => {
                "The Host header is no host: expected a name or an address, and a port if need be."
            }
            Self::UnknownCoding => {
                "The Transfer-Encoding header names an unknown coding: expected chunked alone."
            }
            Self::ChunkedTwice => "The Transfer-Encoding header names chunked more than once.",
        }
    }
}

/// An empty `Host` is valid: it is sent by a client that has no host name for the target.
fn is_host(value: &HeaderValue) -> bool {
    let text = value.to_str().unwrap_or(" ");
    if text.is_empty() {
        return true;
    }
    let Ok(authority) = text.parse::<Authority>() else {
        return false;
    };
    // The library lets a port be anything, and takes a list for a name.
    let host = authority.host();
    let is_name = !host.is_empty() && !host.contains(',');
    // A user comes before the host.
    is_name && text.strip_prefix(host).is_some_and(is_port)
}

/// Whether nothing comes behind a host, or a port.
fn is_port(rest: &str) -> bool {
    let is_number = |port: &str| {
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        port.is_empty() || (digits && port.parse::<u16>().is_ok())
    };
    rest.is_empty() || rest.strip_prefix(':').is_some_and(is_number)
}
