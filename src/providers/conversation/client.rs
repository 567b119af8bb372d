//! Where the service is, and the HTTP client that calls it.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use reqwest::{Client, redirect};
use secrecy::{ExposeSecret, SecretString};

use crate::providers::Proxies;

/// Connections that rest are given back after it: short of descriptors, the doors could accept nobody meanwhile.
const IDLE: Duration = Duration::from_secs(10);
/// Redirects to the same origin that are followed.
const MAX_REDIRECTS: usize = 5;

/// Where the service is, and how it is called. URLs are without a trailing slash.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// Calls 1 to 3.
    pub project: String,
    /// Calls 4 and 5.
    pub conversation: String,
    /// Call 6.
    pub message: String,
    /// Call 7.
    pub target: String,
    /// The service's own web page, for referers and origin.
    pub site: String,
    /// Headers that every call carries.
    pub headers: HeaderMap,
    /// A proxy for every call.
    pub proxy: Option<SecretString>,
    /// What the environment says of proxies, which counts where none is set for every call.
    pub proxies: Proxies,
    /// Bounds each wait: for a connection, for the head of an answer, for the rest of a small one.
    pub timeout: Duration,
}

/// Why the client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BuildError(pub(super) String);

pub(super) fn configure(endpoints: &Endpoints) -> Result<reqwest::ClientBuilder, BuildError> {
    let same_origin = redirect::Policy::custom(|attempt| {
        let follows = matches!(
            attempt.status(),
            StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
        ) && attempt.previous().len() <= MAX_REDIRECTS
            && attempt
                .previous()
                .last()
                .is_some_and(|from| from.origin() == attempt.url().origin());
        if follows { attempt.follow() } else { attempt.stop() }
    });
    let builder = Client::builder()
        .pool_idle_timeout(IDLE)
        .default_headers(endpoints.headers.clone())
        .connect_timeout(endpoints.timeout)
        .redirect(same_origin)
        .referer(false)
        .tcp_nodelay(true)
        // What the environment says is read by ourselves.
        .no_proxy();
    match &endpoints.proxy {
        Some(proxy) => {
            let proxy = reqwest::Proxy::all(proxy.expose_secret())
                .map_err(|_| BuildError("UPSTREAM_PROXY cannot be used as a proxy".to_owned()))?;
            Ok(builder.proxy(proxy))
        }
        None => {
            let proxies = endpoints.proxies.clone();
            let proxy = reqwest::Proxy::custom(move |url| proxies.on_the_way_to(url).cloned());
            Ok(builder.proxy(proxy))
        }
    }
}
