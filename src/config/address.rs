//! Where the doors are: how two hosts on one port stand to each other, and where the HTTP door of a gateway is that runs
//! already.

use super::{Given, Problem, Problems, Report, Settings, Sources, layers, read, table};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};

/// Where a gateway that runs with some settings can be asked for a sign of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAddress {
    /// `HOST`, without brackets; loopback where the door listens on all addresses.
    pub host: String,
    /// `PORT`, never 0.
    pub port: u16,
    /// Whether `TLS_CERT` is set.
    pub tls: bool,
    /// Files that could not be read whole: what they would have said of the address is missing.
    pub doubts: Vec<Problem>,
}

impl fmt::Display for HttpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&at(&self.host, self.port))
    }
}

/// Reads no more of the settings than the HTTP door's address. Whatever else is wrong with them does not matter: a
/// gateway that runs does not depend on it. Reads files, and blocks for as long.
///
/// # Errors
/// When `HOST`, `PORT` or `TLS_CERT` cannot be used, or `PORT` is 0, which stands for a port that nobody can know.
pub fn http_address(sources: &Sources) -> Result<HttpAddress, Problems> {
    const NEEDED: [&str; 3] = ["HOST", "PORT", "TLS_CERT"];
    let mut report = Report::default();
    let figment = layers::gather(sources, &mut report);
    let mut settings = Settings::blank();
    let needed = table::variables().filter(|variable| NEEDED.contains(&variable.name));
    read(&figment, &sources.directory, needed, &mut settings, &mut report);
    if settings.port == 0 && !report.blames(&["PORT"]) {
        let message = "is 0: which port was free then cannot be known; expected the port of the gateway";
        report.problem("PORT", message.to_owned(), None);
    }
    let doubts = report.aside_from(&NEEDED)?;
    Ok(HttpAddress {
        host: reachable(&settings.host),
        port: settings.port,
        tls: settings.tls_cert.is_some(),
        doubts,
    })
}

/// `host:port`, with brackets around IPv6.
#[must_use]
pub fn at(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// An IP address or a host name to listen on; brackets around IPv6 come off.
///
/// # Errors
/// When it is neither, in words that do not repeat it.
pub fn listening_host(text: &str) -> Result<String, String> {
    Given::host_of(text)
}

/// A door that listens on all addresses is asked on loopback.
fn reachable(host: &str) -> String {
    match address(host) {
        Some(IpAddr::V4(address)) if address.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
        Some(IpAddr::V6(address)) if address.is_unspecified() => Ipv6Addr::LOCALHOST.to_string(),
        Some(_) | None => host.to_owned(),
    }
}

/// Whether two hosts are one and the same, however they are written. Asks no resolver.
pub(super) fn are_same(one: &str, other: &str) -> bool {
    match (address(one), address(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => name(one).eq_ignore_ascii_case(name(other)),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Whether two hosts have an address in common, so that only one of them can have a port. Names are resolved, which may
/// take a while.
pub(super) fn overlap(one: &str, other: &str) -> bool {
    let (ones, others) = (addresses(one), addresses(other));
    ones.iter().any(|one| {
        others
            .iter()
            .any(|other| covers(*one, *other) || covers(*other, *one))
    })
}

/// Whether who listens on `one` listens on `other` too. `::` has IPv4 with it, where the system does not say otherwise.
fn covers(one: IpAddr, other: IpAddr) -> bool {
    one == other || one.is_unspecified() && (one.is_ipv6() || other.is_ipv4())
}

/// The address that is written, IPv4 in IPv6's clothes as IPv4.
fn address(host: &str) -> Option<IpAddr> {
    let address: IpAddr = host.parse().ok()?;
    Some(address.to_canonical())
}

fn name(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

fn addresses(host: &str) -> Vec<IpAddr> {
    if let Some(address) = address(host) {
        return vec![address];
    }
    if name(host).eq_ignore_ascii_case("localhost") {
        return vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    }
    // A name without addresses has none in common; whoever listens on it is told so.
    let resolved = (host, 0).to_socket_addrs();
    resolved.map_or_else(
        |_| Vec::new(),
        |found| found.map(|address| address.ip().to_canonical()).collect(),
    )
}
