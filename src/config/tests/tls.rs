//! TLS settings that depend on each other.

use super::{Setup, problem_of};
use crate::config::ClientAuth;

const CERT: (&str, &str) = ("TLS_CERT", "tls.crt");
const KEY: (&str, &str) = ("TLS_KEY", "tls.key");
const CA: (&str, &str) = ("TLS_CLIENT_CA", "ca.crt");

fn setup(variables: &[(&str, &str)]) -> Setup {
    variables.iter().fold(Setup::new(), |setup, (name, value)| {
        setup.environment(name, *value)
    })
}

#[test]
fn paths_start_at_the_directory_of_the_settings() {
    let setup = setup(&[CERT, KEY]);
    let settings = setup.loaded().settings;
    assert_eq!(settings.tls_cert, Some(setup.directory.path().join("tls.crt")));
    assert_eq!(settings.tls_key, Some(setup.directory.path().join("tls.key")));
    assert_eq!(settings.client_auth(), ClientAuth::Off);
}

#[test]
fn half_a_pair_is_told_by_the_half_that_is_missing() {
    assert!(setup(&[CERT]).problems()[0].starts_with("TLS_KEY: is missing"));
    assert!(setup(&[KEY]).problems()[0].starts_with("TLS_CERT: is missing"));
    assert!(setup(&[CA]).problems()[0].starts_with("TLS_CLIENT_CA: has no use without TLS_CERT"));
    for asks in ["grpc", "both"] {
        let problems = setup(&[CERT, KEY, ("TLS_CLIENT_AUTH", asks)]).problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0].starts_with("TLS_CLIENT_CA: is missing"),
            "{problems:?}"
        );
    }
    problem_of("TLS_CLIENT_AUTH", "sometimes");
}

#[test]
fn a_ca_makes_the_grpc_door_ask_and_one_port_altogether() {
    let asks = |more: &[(&str, &str)]| {
        let variables = [&[CERT, KEY, CA], more].concat();
        setup(&variables).loaded().settings.client_auth()
    };
    assert_eq!(asks(&[]), ClientAuth::Grpc);
    assert_eq!(asks(&[("TLS_CLIENT_AUTH", "Both")]), ClientAuth::Both);
    assert_eq!(asks(&[("TLS_CLIENT_AUTH", "off")]), ClientAuth::Off);
    assert_eq!(asks(&[("GRPC_PORT", "3333")]), ClientAuth::Both);
    let one_port = [CERT, KEY, CA, ("GRPC_PORT", "3333"), ("TLS_CLIENT_AUTH", "grpc")];
    let problems = setup(&one_port).problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("TLS_CLIENT_AUTH: is grpc, and both doors share one port"));
}

#[test]
fn a_ca_asks_nobody_where_the_grpc_door_is_off() {
    let off = ("GRPC_PORT", "off");
    for more in [&[off][..], &[off, ("TLS_CLIENT_AUTH", "grpc")]] {
        let problems = setup(&[&[CERT, KEY, CA], more].concat()).problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0].starts_with("TLS_CLIENT_AUTH: is grpc, and GRPC_PORT is off"),
            "{problems:?}"
        );
    }
    let both = setup(&[CERT, KEY, CA, off, ("TLS_CLIENT_AUTH", "both")]);
    assert_eq!(both.loaded().settings.client_auth(), ClientAuth::Both);
}

#[test]
fn a_ca_that_nobody_asks_is_warned_of() {
    let loaded = setup(&[CERT, KEY, CA, ("TLS_CLIENT_AUTH", "off")]).loaded();
    let told = loaded
        .warnings
        .iter()
        .any(|warning| warning.starts_with("TLS_CLIENT_CA: has no effect"));
    assert!(told, "{:?}", loaded.warnings);
}
