//! Proxies in front of the gateway whose forwarding headers are believed.

use std::net::IpAddr;

use ipnet::IpNet;

use super::given::{Complaints, Given};

/// Reads the list of networks; a single address is a network of one.
pub(super) fn read(given: &mut Given<'_>) -> Result<Vec<IpNet>, Complaints> {
    let mut networks: Vec<IpNet> = Vec::new();
    let mut complaints = Vec::new();
    let entries = given.list(r#"["10.0.0.0/8", "fd00::/8"]"#)?;
    for (index, entry) in entries.into_iter().enumerate() {
        let place = index + 1;
        match entry.as_deref().and_then(network) {
            None => complaints.push(format!(
                "entry {place} is no network; expected an address such as \"192.0.2.7\", or with a prefix as in \"10.0.0.0/8\""
            )),
            Some(network) if networks.contains(&network) => {
                given
                    .warnings
                    .push(format!("entry {place} repeats an earlier one and counts once"));
            }
            Some(network) => {
                if network.prefix_len() == 0 {
                    given.warnings.push(format!(
                        "entry {place} is everybody: any client may then say what its address is"
                    ));
                }
                networks.push(network);
            }
        }
    }
    Complaints::check(complaints).map(|()| networks)
}

/// Parses a network, and clears the bits after its prefix.
fn network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    let network = match text.parse::<IpNet>() {
        Ok(network) => network,
        Err(_) => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    Some(network.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_network_of_one_and_bits_outside_the_prefix_do_not_count() {
        for (given, read) in [
            ("192.0.2.7", Some("192.0.2.7/32")),
            ("10.1.2.3/8", Some("10.0.0.0/8")),
            (" fd00::1 ", Some("fd00::1/128")),
            ("fd00::/8", Some("fd00::/8")),
            ("10.0.0.0/33", None),
            ("10.0.0.0/", None),
            ("localhost", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(
                network(given).map(|network| network.to_string()).as_deref(),
                read,
                "{given}"
            );
        }
    }
}
