//! The origins of the service, and whether connections to them can be made.

use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::net::TcpStream;
use url::Url;

use super::client::Endpoints;
use crate::telemetry::Shortage;

/// A bare connection that takes longer tells of no reachable service.
const PROBE_PATIENCE: Duration = Duration::from_secs(3);

/// Whether each can be connected to, or the proxy in front of them; `None` where that cannot be tried, for want of
/// descriptors and the like.
pub(super) async fn are_reachable(endpoints: &Endpoints) -> Option<bool> {
    // Through a proxy only the proxy can be seen from here.
    let first_stop = |url: &str| {
        let proxy = Url::parse(url)
            .ok()
            .and_then(|url| endpoints.proxies.on_the_way_to(&url).cloned());
        proxy.map_or_else(|| url.to_owned(), String::from)
    };
    let urls = match &endpoints.proxy {
        Some(proxy) => vec![proxy.expose_secret().to_owned()],
        None => [
            &endpoints.project,
            &endpoints.conversation,
            &endpoints.message,
            &endpoints.target,
        ]
        .map(|url| first_stop(url))
        .to_vec(),
    };
    let mut addresses: Vec<(String, u16)> = urls.iter().filter_map(|url| address(url)).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let connects = addresses.into_iter().map(|address| async move {
        let connected = tokio::time::timeout(PROBE_PATIENCE, TcpStream::connect(address)).await;
        match connected {
            Ok(Ok(_)) => Some(true),
            Ok(Err(error)) if Shortage::of(&error).is_some() => None,
            Ok(Err(_)) | Err(_) => Some(false),
        }
    });
    let connected = futures::future::join_all(connects).await;
    if connected.contains(&Some(false)) {
        return Some(false);
    }
    (!connected.contains(&None)).then_some(true)
}

/// Numbers the origins of the four kinds of calls, the same origin by the same number.
pub(super) fn number(endpoints: &Endpoints) -> [usize; 4] {
    let mut known = Vec::new();
    [
        &endpoints.project,
        &endpoints.conversation,
        &endpoints.message,
        &endpoints.target,
    ]
    .map(|url| {
        let origin = Url::parse(url).map(|url| url.origin()).ok();
        let at = known.iter().position(|seen| *seen == origin);
        at.unwrap_or_else(|| {
            known.push(origin);
            known.len() - 1
        })
    })
}

fn address(url: &str) -> Option<(String, u16)> {
    /// The registered port of SOCKS (IANA); proxies are the only URLs here without a default of their own.
    const SOCKS_PORT: u16 = 1080;
    let url = Url::parse(url).ok()?;
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    Some((host, url.port_or_known_default().unwrap_or(SOCKS_PORT)))
}
