//! Listening addresses: whether two hosts on one port collide, and where a running gateway can be reached.

use super::{Given, Problem, Problems, Report, Settings, Sources, layers, read, table};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};

/// The address for checking whether a gateway with some settings is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAddress {
    /// `HOST`, without brackets; loopback if the door listens on all addresses.
    pub host: String,
    /// `PORT`, never 0.
    pub port: u16,
    /// Whether `TLS_CERT` is set.
    pub tls: bool,
    /// Files that could not be read completely and might have set another address.
    pub doubts: Vec<Problem>,
}

impl fmt::Display for HttpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&at(&self.host, self.port))
    }
}

/// Reads only the address of the HTTP door from the settings. Other invalid settings do not matter, since the running
/// gateway may have started with valid ones. Reads files, and blocks for as long.
///
/// # Errors
/// When `HOST`, `PORT` or `TLS_CERT` is invalid, or `PORT` is 0, so that the actual port is unknown.
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

/// `host:port`, with brackets around an IPv6 address.
#[must_use]
pub fn at(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Parses an IP address or host name to listen on; brackets around IPv6 are removed.
///
/// # Errors
/// When it is neither. The message does not repeat it.
pub fn listening_host(text: &str) -> Result<String, String> {
    Given::host_of(text)
}

/// The address to connect to: loopback for a wildcard address.
fn reachable(host: &str) -> String {
    match address(host) {
        Some(IpAddr::V4(address)) if address.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
        Some(IpAddr::V6(address)) if address.is_unspecified() => Ipv6Addr::LOCALHOST.to_string(),
        Some(_) | None => host.to_owned(),
    }
}

/// Whether two hosts are equal in any notation. Resolves no names.
pub(super) fn are_same(one: &str, other: &str) -> bool {
    match (address(one), address(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => name(one).eq_ignore_ascii_case(name(other)),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Whether two hosts share an address, so that both cannot listen on one port. Resolves names, which may take a while.
pub(super) fn overlap(one: &str, other: &str) -> bool {
    let (ones, others) = (addresses(one), addresses(other));
    ones.iter().any(|one| {
        others
            .iter()
            .any(|other| covers(*one, *other) || covers(*other, *one))
    })
}

/// Whether a listener on `one` also receives connections to `other`. `::` includes IPv4, as on most systems.
fn covers(one: IpAddr, other: IpAddr) -> bool {
    one == other || one.is_unspecified() && (one.is_ipv6() || other.is_ipv4())
}

/// Parses an address, with IPv4-mapped IPv6 as IPv4.
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
    // A name without addresses shares none; listening on it fails with its own error.
    let resolved = (host, 0).to_socket_addrs();
    resolved.map_or_else(
        |_| Vec::new(),
        |found| found.map(|address| address.ip().to_canonical()).collect(),
    )
}
