//! The checks that need more than one variable. Each is skipped where one of its variables is wrong by itself, so that
//! one mistake is not told twice.

use secrecy::{ExposeSecret, SecretString};

use super::{Report, Settings, models, settings::ClientAuth};

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
    if !report.blames(&["ADMIN_KEY"]) {
        check_admin_key(settings, report);
    }
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
    if files_were_read {
        check_tls(settings, report);
    }
    if !report.blames(&["AVAILABLE_MODELS", "MODEL_ALIASES"]) {
        models::check_aliases(settings, report);
    }
}

/// Who may chat must not thereby be able to operate the gateway.
fn check_admin_key(settings: &Settings, report: &mut Report) {
    let Some(admin_key) = &settings.admin_key else {
        return;
    };
    let admin_key = admin_key.expose_secret();
    let is_api_key = |key: &SecretString| key.expose_secret() == admin_key;
    if settings.api_keys.iter().any(is_api_key) {
        let message = "is one of API_KEYS (or a line of API_KEYS_FILE); expected a key of its own";
        report.problem("ADMIN_KEY", message.to_owned(), None);
    }
}

/// Certificates come in pairs, and a client's is worth nothing without somebody who vouches for it.
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
