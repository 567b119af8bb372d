//! The client address of a request, for the log: the connection's peer, or the address that trusted proxies report.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, header};
use ipnet::IpNet;

/// The address of a connection's peer.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// The rightmost address outside the `trusted` networks: each proxy appends, and anything to the left of an untrusted
/// address may be forged. At an entry that is no address the search ends with the entry to its right.
pub(super) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut client = peer.to_canonical();
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(&client) {
        return client;
    }
    for entry in forwarded_for(headers).into_iter().rev() {
        let Some(address) = address(&entry) else {
            return client;
        };
        client = address.to_canonical();
        if !is_trusted(&client) {
            return client;
        }
    }
    client
}

/// The entries of `X-Forwarded-For` from left to right, or without that header those of `Forwarded` (RFC 7239).
fn forwarded_for(headers: &HeaderMap) -> Vec<String> {
    const X_FORWARDED_FOR: &str = "x-forwarded-for";
    let entries = |name: &str| -> Vec<String> {
        let lines = headers.get_all(name).into_iter();
        let lines = lines.map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned());
        lines
            .flat_map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>())
            .collect()
    };
    if headers.contains_key(X_FORWARDED_FOR) {
        return entries(X_FORWARDED_FOR);
    }
    let elements = entries(header::FORWARDED.as_str()).into_iter();
    let of_element = |element: String| {
        let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
        let mut named = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
        // An element without `for` is still a hop.
        named
            .next()
            .map(|(_, value)| value.trim().trim_matches('"').to_owned())
            .unwrap_or_default()
    };
    elements.map(of_element).collect()
}

/// An address, optionally with a port; an IPv6 address may be in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    bare.parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, lines: &[(&'static str, &str)], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn nobody_is_believed_who_is_not_trusted() {
        let lines = [
            ("x-forwarded-for", "198.51.100.1"),
            ("forwarded", "for=198.51.100.1"),
        ];
        assert_eq!(client("192.0.2.1", &lines, &[]), "192.0.2.1");
        assert_eq!(client("192.0.2.1", &lines, &["10.0.0.0/8"]), "192.0.2.1");
        assert_eq!(client("::ffff:192.0.2.1", &lines, &["10.0.0.0/8"]), "192.0.2.1");
    }

    #[test]
    fn the_rightmost_address_that_is_not_trusted_counts() {
        let trusted = ["10.0.0.0/8", "fd00::/8"];
        for (value, expected) in [
            ("198.51.100.1", "198.51.100.1"),
            ("203.0.113.9, 198.51.100.1", "198.51.100.1"),
            ("203.0.113.9,198.51.100.1 , 10.2.2.2", "198.51.100.1"),
            ("198.51.100.1:4711, 10.2.2.2:80", "198.51.100.1"),
            ("[2001:db8::1]:443, fd00::7", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
            ("10.3.3.3, 10.2.2.2", "10.3.3.3"),
            ("198.51.100.1, unknown", "10.1.1.1"),
            ("198.51.100.1, <script>, 10.2.2.2", "10.2.2.2"),
            ("", "10.1.1.1"),
        ] {
            let lines = [("x-forwarded-for", value)];
            assert_eq!(client("10.1.1.1", &lines, &trusted), expected, "{value}");
            assert_eq!(client("::ffff:10.1.1.1", &lines, &trusted), expected, "{value}");
        }
        let lines = [
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-for", "198.51.100.1, 10.2.2.2"),
        ];
        assert_eq!(client("10.1.1.1", &lines, &trusted), "198.51.100.1");
    }

    #[test]
    fn the_standard_header_counts_where_the_other_is_missing() {
        let trusted = ["10.0.0.0/8"];
        for (value, expected) in [
            ("for=198.51.100.1", "198.51.100.1"),
            (
                "For=\"198.51.100.1:4711\";proto=https;by=10.1.1.1",
                "198.51.100.1",
            ),
            (
                "for=203.0.113.9, proto=http; for=\"[2001:db8::1]:4711\", for=10.2.2.2",
                "2001:db8::1",
            ),
            ("for=198.51.100.1, for=_hidden", "10.1.1.1"),
            ("for=198.51.100.1, proto=http", "10.1.1.1"),
            ("nonsense", "10.1.1.1"),
        ] {
            assert_eq!(
                client("10.1.1.1", &[("forwarded", value)], &trusted),
                expected,
                "{value}"
            );
        }
        let both = [
            ("forwarded", "for=203.0.113.9"),
            ("x-forwarded-for", "198.51.100.1"),
        ];
        assert_eq!(client("10.1.1.1", &both, &trusted), "198.51.100.1");
    }
}
