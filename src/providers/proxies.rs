//! The environment's proxy variables, read by the gateway itself: what they say of a call is then the same for the HTTP
//! client and for the look at whether the upstream can be reached.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;
use url::{Host, Url};

/// What the environment says of proxies. Neither `Debug` nor a complaint shows a proxy's password.
#[derive(Clone, Default)]
pub struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    exceptions: Vec<Exception>,
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = |proxy: &Option<Url>| proxy.is_some();
        write!(
            f,
            "Proxies(http: {}, https: {})",
            known(&self.http),
            known(&self.https)
        )
    }
}

/// An entry of `NO_PROXY`: what is called without a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Exception {
    place: Place,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Everything,
    Network(IpNet),
    /// A domain and all beneath it, in lower case.
    Domain(String),
}

impl Proxies {
    /// Reads `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`; where one is not set or blank, its name in lower
    /// case counts. Tells what cannot be used as well, by the variable and never by its value.
    #[must_use]
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> (Self, Vec<String>) {
        let mut complaints = Vec::new();
        let given = |name: &str| {
            let names = [name.to_owned(), name.to_ascii_lowercase()];
            names.into_iter().find_map(|name| {
                let value = variable(&name).filter(|value| !value.trim().is_empty())?;
                Some((name, value))
            })
        };
        let mut proxy = |name: &str| {
            let (name, value) = given(name)?;
            let read = proxy(value.trim());
            if read.is_none() {
                complaints.push(format!(
                    "{name}: is not a proxy's URL, and is ignored; expected http, https, socks4, socks4a, socks5 or \
                     socks5h, a host and perhaps a port, such as http://proxy.example.com:3128"
                ));
            }
            read
        };
        let all = proxy("ALL_PROXY");
        let mut proxies = Self {
            http: proxy("HTTP_PROXY").or_else(|| all.clone()),
            https: proxy("HTTPS_PROXY").or(all),
            exceptions: Vec::new(),
        };
        if let Some((name, value)) = given("NO_PROXY") {
            let entries = value.split(|character: char| character == ',' || character.is_whitespace());
            for (index, entry) in entries.filter(|entry| !entry.is_empty()).enumerate() {
                match exception(entry) {
                    Some(exception) => proxies.exceptions.push(exception),
                    None => complaints.push(format!(
                        "{name}: entry {} is ignored; expected *, a domain, an address or a network, perhaps with a port",
                        index + 1
                    )),
                }
            }
        }
        (proxies, complaints)
    }

    /// The proxy on the way to `url`, if there is one.
    #[must_use]
    pub fn on_the_way_to(&self, url: &Url) -> Option<&Url> {
        let proxy = match url.scheme() {
            "http" => self.http.as_ref(),
            "https" => self.https.as_ref(),
            _ => None,
        };
        proxy.filter(|_| !self.exceptions.iter().any(|exception| exception.holds(url)))
    }
}

impl Exception {
    fn holds(&self, url: &Url) -> bool {
        let host = match (&self.place, url.host()) {
            (Place::Everything, _) => true,
            (Place::Network(network), Some(Host::Ipv4(address))) => network.contains(&IpAddr::from(address)),
            (Place::Network(network), Some(Host::Ipv6(address))) => {
                network.contains(&IpAddr::from(address).to_canonical())
            }
            (Place::Domain(domain), Some(Host::Domain(host))) => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                let above = host.strip_suffix(domain.as_str());
                above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
            }
            (Place::Network(_) | Place::Domain(_), _) => false,
        };
        host && self
            .port
            .is_none_or(|port| url.port_or_known_default() == Some(port))
    }
}

/// A proxy's URL; a bare `host:port` is one that speaks HTTP.
fn proxy(text: &str) -> Option<Url> {
    let url = if text.contains("://") {
        Url::parse(text)
    } else {
        Url::parse(&format!("http://{text}"))
    };
    let schemes = ["http", "https", "socks4", "socks4a", "socks5", "socks5h"];
    url.ok()
        .filter(|url| schemes.contains(&url.scheme()) && url.host_str().is_some_and(|host| !host.is_empty()))
}

fn exception(entry: &str) -> Option<Exception> {
    let whole = |text: &str| place(text).map(|place| Exception { place, port: None });
    if let Some(exception) = whole(entry) {
        return Some(exception);
    }
    let (host, port) = entry.rsplit_once(':')?;
    let port = Some(port.parse().ok()?);
    place(host).map(|place| Exception { place, port })
}

fn place(text: &str) -> Option<Place> {
    if text == "*" {
        return Some(Place::Everything);
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(Place::Network(address.to_canonical().into()));
    }
    if let Ok(network) = text.parse::<IpNet>() {
        return Some(Place::Network(network));
    }
    let domain = text.strip_prefix('*').unwrap_or(text);
    let domain = domain.trim_matches('.').to_ascii_lowercase();
    let is_plain = |character: char| character.is_alphanumeric() || "-_.".contains(character);
    (!domain.is_empty() && domain.chars().all(is_plain)).then_some(Place::Domain(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> (Proxies, Vec<String>) {
        Proxies::of(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn way(variables: &[(&str, &str)], url: &str) -> Option<String> {
        let (proxies, _) = read(variables);
        proxies
            .on_the_way_to(&Url::parse(url).unwrap())
            .map(ToString::to_string)
    }

    #[test]
    fn each_entry_of_no_proxy_leaves_out_what_it_names() {
        let proxy = ("ALL_PROXY", "http://proxy.test:3128");
        for (entries, url, direct) in [
            ("*", "http://example.com/", true),
            ("*", "http://192.0.2.1/", true),
            ("*", "https://[2001:db8::1]/", true),
            ("other.test, *", "https://192.0.2.1/", true),
            ("example.com:8080", "http://example.com:8080/x", true),
            ("example.com:8080", "http://sub.example.com:8080/", true),
            ("example.com:8080", "http://example.com/", false),
            ("example.com:443", "https://example.com/", true),
            ("example.com:443", "http://example.com/", false),
            ("192.0.2.1:8080", "http://192.0.2.1:8080/", true),
            ("192.0.2.1:8080", "http://192.0.2.1:8081/", false),
            ("[2001:db8::1]:8080", "http://[2001:db8::1]:8080/", true),
            ("[2001:db8::1]:8080", "http://[2001:db8::1]/", false),
            ("[2001:db8::1]", "http://[2001:db8::1]:9/", true),
            ("2001:db8::1", "http://[2001:db8::1]:9/", true),
            ("*:8080", "http://anything.test:8080/", true),
            ("*:8080", "http://anything.test/", false),
            ("192.0.2.0/24", "http://192.0.2.77/", true),
            ("192.0.2.0/24", "http://192.0.3.77/", false),
            ("Example.COM", "http://www.example.com/", true),
            (".example.com", "http://www.example.com/", true),
            (".example.com", "http://example.com/", true),
            ("*.example.com", "http://www.example.com/", true),
            ("example.com", "http://notexample.com/", false),
            ("example.com.", "http://example.com./", true),
            ("localhost 127.0.0.1", "http://127.0.0.1:4000/", true),
            ("localhost,127.0.0.1", "http://localhost:4000/", true),
            ("", "http://example.com/", false),
        ] {
            let found = way(&[proxy, ("NO_PROXY", entries)], url);
            assert_eq!(found.is_none(), direct, "{entries} and {url}: {found:?}");
        }
    }

    #[test]
    fn each_scheme_has_its_proxy_and_all_is_for_the_rest() {
        let three = [
            ("HTTP_PROXY", "plain.test:1"),
            ("https_proxy", "http://secure.test:2"),
            ("ALL_PROXY", "socks5h://all.test:3"),
        ];
        assert_eq!(
            way(&three, "http://x.test/").as_deref(),
            Some("http://plain.test:1/")
        );
        assert_eq!(
            way(&three, "https://x.test/").as_deref(),
            Some("http://secure.test:2/")
        );
        assert_eq!(
            way(&three[2..], "https://x.test/").as_deref(),
            Some("socks5h://all.test:3")
        );
        assert_eq!(way(&[("HTTPS_PROXY", " ")], "https://x.test/"), None);
        assert_eq!(way(&[], "https://x.test/"), None);
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_name_and_never_by_its_value() {
        for value in [
            "ftp://very-secret.test",
            "http://",
            "very-secret:banana",
            "http://user:very-secret@",
            "http://very secret",
        ] {
            for name in ["HTTPS_PROXY", "https_proxy", "http_proxy", "ALL_PROXY"] {
                let (proxies, complaints) = read(&[(name, value)]);
                assert!(proxies.http.is_none() && proxies.https.is_none(), "{value}");
                assert_eq!(complaints.len(), 1, "{value}: {complaints:?}");
                assert!(
                    complaints[0].starts_with(&format!("{name}: is not a proxy's URL")),
                    "{complaints:?}"
                );
                assert!(!complaints[0].contains("very"), "{complaints:?}");
            }
        }
        let (_, complaints) = read(&[(
            "no_proxy",
            "good.test, http://very-secret.test, a:b:c, x.test:99999",
        )]);
        assert_eq!(complaints.len(), 3, "{complaints:?}");
        assert!(complaints[0].starts_with("no_proxy: entry 2"), "{complaints:?}");
        assert!(!complaints.concat().contains("very"), "{complaints:?}");
        assert_eq!(
            read(&[("HTTPS_PROXY", "http://user:very-secret@proxy.test")]).1,
            [""; 0]
        );
        let (proxies, _) = read(&[("HTTPS_PROXY", "http://user:very-secret@proxy.test")]);
        assert!(!format!("{proxies:?}").contains("very-secret"));
    }
}
