//! Hosts on one port, and the address of a running gateway.

use super::Setup;
use crate::config::{HttpAddress, at, http_address};

fn hosts(host: &str, grpc_host: &str) -> Setup {
    Setup::new()
        .environment("HOST", host)
        .environment("GRPC_HOST", grpc_host)
        .environment("PORT", "7000")
        .environment("GRPC_PORT", "7000")
}

#[test]
fn one_address_written_in_two_ways_is_one_port() {
    for (host, grpc_host) in [
        ("::1", "[::1]"),
        ("::1", "0:0:0:0:0:0:0:1"),
        ("127.0.0.1", "::ffff:127.0.0.1"),
        ("::", "[0::0]"),
        ("2001:DB8::1", "2001:db8:0::1"),
        ("localhost", "LOCALHOST"),
        ("gateway.test", "gateway.test."),
    ] {
        for (host, grpc_host) in [(host, grpc_host), (grpc_host, host)] {
            assert!(
                hosts(host, grpc_host).loaded().settings.one_port(),
                "{host} {grpc_host}"
            );
        }
    }
}

#[test]
fn one_port_on_addresses_that_overlap_is_a_problem_of_both() {
    for (host, grpc_host) in [
        ("localhost", "127.0.0.1"),
        ("localhost", "::1"),
        ("localhost.", "[::1]"),
        ("0.0.0.0", "127.0.0.1"),
        ("0.0.0.0", "10.1.2.3"),
        ("0.0.0.0", "localhost"),
        ("0.0.0.0", "::ffff:10.1.2.3"),
        ("::", "0.0.0.0"),
        ("::", "127.0.0.1"),
        ("::", "::1"),
        ("::", "localhost"),
        ("::ffff:0.0.0.0", "127.0.0.1"),
    ] {
        for (host, grpc_host) in [(host, grpc_host), (grpc_host, host)] {
            let problems = hosts(host, grpc_host).problems();
            assert_eq!(problems.len(), 1, "{host} {grpc_host}: {problems:?}");
            for name in ["GRPC_HOST", "HOST, and", "GRPC_PORT"] {
                assert!(problems[0].contains(name), "{problems:?}");
            }
            let apart = hosts(host, grpc_host).environment("PORT", "7001");
            assert!(!apart.loaded().settings.one_port());
        }
    }
}

#[test]
fn addresses_that_have_nothing_in_common_may_have_the_same_port() {
    for (host, grpc_host) in [
        ("127.0.0.1", "127.0.0.2"),
        ("127.0.0.1", "::1"),
        ("0.0.0.0", "::1"),
        ("10.0.0.1", "localhost"),
    ] {
        for (host, grpc_host) in [(host, grpc_host), (grpc_host, host)] {
            assert!(!hosts(host, grpc_host).loaded().settings.one_port());
        }
    }
}

#[test]
fn a_host_stands_in_brackets_before_a_port_where_it_must() {
    assert_eq!(at("::1", 1), "[::1]:1");
    assert_eq!(at("127.0.0.1", 1), "127.0.0.1:1");
    assert_eq!(at("a.test", 1), "a.test:1");
}

fn found(setup: &Setup) -> HttpAddress {
    http_address(&setup.sources).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn the_address_of_the_http_door_needs_nothing_else_to_be_right() {
    let setup = Setup::strict()
        .file(
            "duogate.toml",
            "port = 7000\nunknown = 1\ntoken_pool = [\"a b\"]\nretry_delay = \"x\"\n",
        )
        .dotenv("API_KEYS=[\"half\nHOST=127.0.0.1\nno line\n")
        .environment("API_KEYS_FILE", "missing")
        .environment("TOKEN_POOL_FILE", "missing")
        .environment("TLS_CERT", "missing.crt")
        .environment("STATE_DIR", "missing/missing")
        .environment("LOG_LEVEL", "nonsense")
        .environment("WORKERS", "-1");
    let address = found(&setup);
    assert_eq!(
        (address.host.as_str(), address.port, address.tls),
        ("127.0.0.1", 7000, true)
    );
    assert!(setup.load().is_err());
}

#[test]
fn a_file_that_is_half_written_tells_what_it_can() {
    let toml = "host = \"127.0.0.1\"\nport = 7000\navailable_models = [\n  \"a\",\n  \"b";
    let setup = Setup::strict().file("duogate.toml", toml);
    assert_eq!(found(&setup).to_string(), "127.0.0.1:7000");
    assert_eq!(found(&setup).doubts.len(), 1);
    let setup = Setup::strict().file("duogate.toml", "port = 7000\n[model_aliases\nport = 1\n");
    assert_eq!(found(&setup).port, 7000);
    let setup = Setup::strict().file(".env", b"PORT=7000\nAPP_NAME=caf\xc3");
    assert_eq!(found(&setup).port, 7000);
    let setup = Setup::strict().env_file("gone.env").environment("PORT", "7000");
    assert_eq!(found(&setup).port, 7000);
    assert!(found(&setup).doubts[0].to_string().contains("--env-file"));
}

#[test]
fn a_door_on_all_addresses_is_asked_on_loopback() {
    for (host, asked) in [
        ("0.0.0.0", "127.0.0.1:3333"),
        ("::", "[::1]:3333"),
        ("[::]", "[::1]:3333"),
        ("0::0", "[::1]:3333"),
        ("::ffff:0.0.0.0", "127.0.0.1:3333"),
        ("::1", "[::1]:3333"),
        ("10.0.0.1", "10.0.0.1:3333"),
        ("gateway.test", "gateway.test:3333"),
    ] {
        assert_eq!(
            found(&Setup::strict().environment("HOST", host)).to_string(),
            asked
        );
    }
}

#[test]
fn an_address_that_cannot_be_known_is_said_so() {
    for (name, value) in [("PORT", "70000"), ("PORT", "0"), ("HOST", "a b")] {
        let problems = http_address(&Setup::strict().environment(name, value).sources).unwrap_err();
        let told: Vec<_> = problems.iter().map(|problem| problem.variable.as_str()).collect();
        assert_eq!(told, [name], "{value}");
    }
}
