//! Variables for TLS on the doors. The files are read when the doors open, and again whenever they change.

use super::{ROW, Variable, path, word};
use crate::config::settings::ClientAuth;

/// The gateway's certificate, and those of its clients.
pub(super) const TLS: &[Variable] = &[
    Variable {
        name: "TLS_CERT",
        otherwise: "none: no TLS",
        example: "/run/tls/tls.crt",
        meaning: "A file with the gateway's certificate, then those between it and its root. Read again when it changes.",
        limits: "a path, PEM; with TLS_KEY",
        set: |settings, given| {
            settings.tls_cert = Some(given.path()?);
            Ok(())
        },
        show: |settings| path(settings.tls_cert.as_deref()),
        ..ROW
    },
    Variable {
        name: "TLS_KEY",
        otherwise: "none",
        example: "/run/tls/tls.key",
        meaning: "A file with the certificate's private key. Read again when it changes.",
        limits: "a path, PEM without a password; with TLS_CERT",
        set: |settings, given| {
            settings.tls_key = Some(given.path()?);
            Ok(())
        },
        show: |settings| path(settings.tls_key.as_deref()),
        ..ROW
    },
    Variable {
        name: "TLS_CLIENT_CA",
        otherwise: "none",
        example: "/run/tls/ca.crt",
        meaning: "A file with the roots of clients' certificates. Read again when it changes.",
        limits: "a path, PEM; with TLS_CERT",
        set: |settings, given| {
            settings.tls_client_ca = Some(given.path()?);
            Ok(())
        },
        show: |settings| path(settings.tls_client_ca.as_deref()),
        ..ROW
    },
    Variable {
        name: "TLS_CLIENT_AUTH",
        otherwise: "grpc with TLS_CLIENT_CA (both on one port), else off",
        example: "grpc",
        meaning: "Which doors let in only clients with a certificate of TLS_CLIENT_CA.",
        limits: "off, grpc or both; grpc needs a GRPC_PORT of its own",
        set: |settings, given| {
            settings.tls_client_auth = Some(given.choice(CLIENT_AUTH)?);
            Ok(())
        },
        show: |settings| word(CLIENT_AUTH, &settings.client_auth()),
        ..ROW
    },
];

const CLIENT_AUTH: &[(&str, ClientAuth)] = &[
    ("off", ClientAuth::Off),
    ("grpc", ClientAuth::Grpc),
    ("both", ClientAuth::Both),
];
