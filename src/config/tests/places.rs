//! Hosts, ports, URLs and headers.

use super::{Setup, problem_of, with};
use crate::config::{BaseUrl, Flags};

#[test]
fn hosts_are_addresses_or_names() {
    let good = [
        ("[::1]", "::1"),
        ("::", "::"),
        ("127.0.0.1", "127.0.0.1"),
        ("my_host-1.local", "my_host-1.local"),
    ];
    for (value, host) in good {
        assert_eq!(with("HOST", value).settings.host, host);
    }
    for wrong in [
        "a b",
        "host:80",
        "1.2.3",
        "300.1.1.1",
        "[host]",
        "[::1",
        "http://host",
        "-a",
        "a..b",
        "*",
        "é",
    ] {
        problem_of("HOST", wrong);
        problem_of("GRPC_HOST", wrong);
    }
}

#[test]
fn base_urls_join_without_a_double_slash() {
    for value in ["https://api.test", "https://api.test/", "HTTPS://API.test//"] {
        assert_eq!(
            format!("{}/1", with("PROJECT_API_URL", value).settings.project_url),
            "https://api.test/1"
        );
    }
    let url = BaseUrl::parse("http://api.test:8080/a/b/").unwrap();
    assert_eq!(
        (url.as_str(), url.origin()),
        ("http://api.test:8080/a/b", "http://api.test:8080")
    );
    assert_eq!(
        BaseUrl::parse("https://[::1]:443/x").unwrap().origin(),
        "https://[::1]"
    );
}

#[test]
fn a_url_is_absolute_and_bare() {
    let wrong = [
        "api.test",
        "/path",
        "ftp://api.test",
        "https://",
        "https:///api.test",
        "https://api.test?x",
        "https://api.test/#",
        "https://user@api.test",
        "https://:secret@api.test",
        "https:api.test",
        "https://api.test:0",
        "https://a b",
        "https://api.test\\x",
        "https://api.test:99999",
    ];
    for value in wrong {
        for name in [
            "TARGET_API_URL",
            "CONVERSATION_API_URL",
            "PROJECT_API_URL",
            "MESSAGE_API_URL",
            "SITE_URL",
        ] {
            assert!(
                problem_of(name, value).contains("expected an absolute http or https URL"),
                "{value}"
            );
        }
    }
}

#[test]
fn a_proxy_is_one_of_four_kinds() {
    for value in [
        "http://proxy.test:3128",
        "https://u:p@proxy.test",
        "socks5://127.0.0.1:1080",
        "socks5h://[::1]:1/",
    ] {
        assert_eq!(
            with("UPSTREAM_PROXY", value)
                .settings
                .upstream_proxy
                .unwrap()
                .expose(),
            value
        );
    }
    for wrong in [
        "proxy.test:3128",
        "socks4://proxy.test",
        "http://proxy.test/path",
        "http://",
        "socks5://?x",
    ] {
        problem_of("UPSTREAM_PROXY", wrong);
    }
}

#[test]
fn a_proxy_with_an_odd_password_shows_none_of_it() {
    for password in [
        "12/very-secret",
        "12#very-secret",
        "12?very-secret",
        "a@very-secret",
        "a:very-secret",
        "a%40very-secret",
    ] {
        for scheme in ["http", "socks5h"] {
            let value = format!("{scheme}://very-secret:{password}@proxy.test:1");
            let shown = match Setup::new().environment("UPSTREAM_PROXY", value).load() {
                Ok(loaded) => format!("{loaded:?} {:?}", loaded.settings.describe()),
                Err(problems) => problems.to_string(),
            };
            assert!(!shown.contains("very-secret"), "{shown}");
        }
    }
}

#[test]
fn a_forbidden_header_is_named() {
    let forbidden = [
        "Cookie",
        "host",
        "origin",
        "REFERER",
        "content-type",
        "Content-Length",
        "connection",
        "keep-alive",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    for name in forbidden {
        let problem = problem_of("UPSTREAM_HEADERS", &format!("{{\"{name}\": \"x\"}}"));
        assert!(
            problem.contains(&format!("`{}` may not be set", name.to_ascii_lowercase())),
            "{problem}"
        );
    }
}

#[test]
fn headers_are_an_object_of_texts() {
    let headers = with("UPSTREAM_HEADERS", r#"{"User-Agent": "a b", "x-number": 1}"#)
        .settings
        .upstream_headers;
    assert_eq!(
        (&headers["user-agent"], &headers["x-number"]),
        (&"a b".parse().unwrap(), &"1".parse().unwrap())
    );
    assert!(headers["user-agent"].is_sensitive());
    for wrong in [
        r#"["a"]"#,
        "a: b",
        r#"{"a b": "c"}"#,
        r#"{"a": null}"#,
        r#"{"a": "b\nc"}"#,
        r#"{"a": "b", "A": "c"}"#,
    ] {
        problem_of("UPSTREAM_HEADERS", wrong);
    }
}

#[test]
fn the_doors_share_a_port_where_they_are_told_to() {
    let shared = |variables: &[(&str, &str)]| {
        let setup = variables.iter().fold(Setup::new(), |setup, (name, value)| {
            setup.environment(name, *value)
        });
        setup.loaded().settings.one_port()
    };
    assert!(shared(&[("GRPC_PORT", "3333")]));
    assert!(!shared(&[]));
    assert!(!shared(&[("PORT", "0"), ("GRPC_PORT", "0")]));
    let apart = [("HOST", "127.0.0.1"), ("GRPC_HOST", "127.0.0.2")];
    assert!(!shared(&[("GRPC_PORT", "3333"), apart[0], apart[1]]));
    assert!(!shared(&[("GRPC_PORT", "off")]));
}

#[test]
fn the_grpc_door_has_a_port_or_is_off() {
    for (value, port) in [("off", None), (" OFF ", None), ("0", Some(0)), ("7", Some(7))] {
        let settings = with("GRPC_PORT", value).settings;
        assert_eq!(settings.grpc_port, port, "{value}");
    }
    let shown = with("GRPC_PORT", "off").settings.describe();
    assert!(shown.contains(&("GRPC_PORT", "off".to_owned())));
    let in_toml = "require_api_key = false\ngrpc_port = \"off\"\n";
    let setup = Setup::strict().file("duogate.toml", in_toml);
    assert_eq!(setup.loaded().settings.grpc_port, None);
    let flags = Flags {
        grpc_port: Some("off".to_owned()),
        ..Flags::default()
    };
    let setup = Setup::new().environment("GRPC_PORT", "7").flags(flags);
    assert_eq!(setup.loaded().settings.grpc_port, None);
    for wrong in ["none", "65536", "-1", "offf"] {
        let problem = problem_of("GRPC_PORT", wrong);
        assert!(problem.contains("from 0 to 65535, or off"), "{problem}");
    }
}
