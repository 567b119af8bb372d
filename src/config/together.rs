//! Checks across several variables. A check is skipped if one of its variables has a problem already, so that one
//! mistake is reported once.

use secrecy::{ExposeSecret, SecretString};

use super::{Report, Settings, address, models, settings::ClientAuth};

pub(super) fn check(settings: &Settings, files_were_read: bool, report: &mut Report) {
    let keys_are_known = files_were_read && !report.blames(&["API_KEYS", "API_KEYS_FILE", "REQUIRE_API_KEY"]);
    if settings.require_api_key && settings.api_keys.is_empty() && keys_are_known {
        let message = "no key is configured and REQUIRE_API_KEY is true; run `duogate init` to write a .env with a \
                       fresh key, or set REQUIRE_API_KEY=false to let everybody in";
        report.problem("API_KEYS", message.to_owned(), None);
    }
    if !settings.require_api_key {
        report.warning(
            "REQUIRE_API_KEY",
            "is false: whoever reaches the ports may use the gateway",
        );
    }
    check_own_keys(settings, report);
    let tokens_are_known = files_were_read && !report.blames(&["TOKEN_POOL", "TOKEN_POOL_FILE"]);
    if settings.tokens.is_empty() && tokens_are_known {
        report.warning(
            "TOKEN_POOL",
            "holds no token: the gateway starts, and answers no chat",
        );
    }
    if settings.request_timeout < settings.timeout && !report.blames(&["TIMEOUT", "REQUEST_TIMEOUT"]) {
        report.warning(
            "REQUEST_TIMEOUT",
            "is shorter than TIMEOUT, which can then never be reached",
        );
    }
    if !report.blames(&["HOST", "PORT", "GRPC_HOST", "GRPC_PORT"]) {
        check_hosts(settings, report);
    }
    if files_were_read {
        check_tls(settings, report);
    }
    if !report.blames(&["AVAILABLE_MODELS", "MODEL_ALIASES"]) {
        models::check_aliases(settings, report);
    }
}

/// The API, admin and metrics keys must differ, or one kind of access would include another.
fn check_own_keys(settings: &Settings, report: &mut Report) {
    let same = |one: &SecretString, other: &SecretString| one.expose_secret() == other.expose_secret();
    for (variable, key) in [
        ("ADMIN_KEY", &settings.admin_key),
        ("METRICS_KEY", &settings.metrics_key),
    ] {
        let Some(key) = key.as_ref().filter(|_| !report.blames(&[variable])) else {
            continue;
        };
        if settings.api_keys.iter().any(|api_key| same(api_key, key)) {
            let message = "is one of API_KEYS (or a line of API_KEYS_FILE); expected a key of its own";
            report.problem(variable, message.to_owned(), None);
        }
    }
    let keys = settings.metrics_key.as_ref().zip(settings.admin_key.as_ref());
    if keys.is_some_and(|(metrics_key, admin_key)| same(metrics_key, admin_key)) {
        let message = "is ADMIN_KEY; expected a key of its own";
        report.problem("METRICS_KEY", message.to_owned(), None);
    }
}

/// The doors cannot both listen on the same port of a shared address unless one port serves both.
fn check_hosts(settings: &Settings, report: &mut Report) {
    let (host, grpc_host) = (&settings.host, &settings.grpc_host);
    if settings.ports_are_equal() && !settings.one_port() && address::overlap(host, grpc_host) {
        let message = "shares an address with HOST, and GRPC_PORT is the same as PORT; write GRPC_HOST as HOST for one \
                       port that serves both doors, or set another GRPC_PORT";
        report.problem("GRPC_HOST", message.to_owned(), None);
    }
}

/// Certificate and key need each other, and client certificates need a CA.
fn check_tls(settings: &Settings, report: &mut Report) {
    if report.blames(&[
        "TLS_CERT",
        "TLS_KEY",
        "TLS_CLIENT_CA",
        "TLS_CLIENT_AUTH",
        "GRPC_PORT",
    ]) {
        return;
    }
    let (has_cert, has_key) = (settings.tls_cert.is_some(), settings.tls_key.is_some());
    let has_ca = settings.tls_client_ca.is_some();
    let asks = settings.client_auth();
    let problems = [
        (
            has_cert && !has_key,
            "TLS_KEY",
            "is missing; expected the key of TLS_CERT",
        ),
        (
            has_key && !has_cert,
            "TLS_CERT",
            "is missing; expected the certificate of TLS_KEY",
        ),
        (
            has_ca && !has_cert && !has_key,
            "TLS_CLIENT_CA",
            "has no use without TLS_CERT and TLS_KEY",
        ),
        (
            asks != ClientAuth::Off && !has_ca,
            "TLS_CLIENT_CA",
            "is missing; TLS_CLIENT_AUTH needs the roots of clients' certificates",
        ),
        (
            asks == ClientAuth::Grpc && settings.one_port(),
            "TLS_CLIENT_AUTH",
            "is grpc, and both doors share one port; expected off or both, or a GRPC_PORT of its own",
        ),
        (
            asks == ClientAuth::Grpc && settings.grpc_port.is_none(),
            "TLS_CLIENT_AUTH",
            "is grpc, and GRPC_PORT is off; expected off or both",
        ),
    ];
    for (_, variable, message) in problems.into_iter().filter(|(wrong, ..)| *wrong) {
        report.problem(variable, message.to_owned(), None);
    }
    if has_ca && asks == ClientAuth::Off {
        report.warning("TLS_CLIENT_CA", "has no effect: TLS_CLIENT_AUTH is off");
    }
}
