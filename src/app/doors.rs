//! How the doors are opened: on two ports or on one, with TLS or without.

use std::sync::Arc;

use axum::{Router, extract::Request};
use tower::{ServiceExt, service_fn};

use super::StartError;
use crate::{
    config::{self, Settings},
    grpc,
    net::{ClientAuth, Listener, Tls, TlsFile, TlsFiles},
    telemetry::Metrics,
};

/// Binds the HTTP door, and the gRPC door where it has a port of its own.
pub(super) async fn bind(settings: &Settings) -> Result<(Listener, Option<Listener>), StartError> {
    let listen = async |variable, host: &str, port| {
        let bound = Listener::bind(host, port).await;
        bound.map_err(|error| StartError::Bind(variable, format!("{host}:{port}"), error))
    };
    let http = listen("PORT", &settings.host, settings.port).await?;
    let grpc = if settings.one_port() {
        None
    } else {
        Some(listen("GRPC_PORT", &settings.grpc_host, settings.grpc_port).await?)
    };
    Ok((http, grpc))
}

/// Both doors behind one port: calls of gRPC's to the one, everything else to the other.
pub(super) fn both(http: Router, grpc: Router) -> Router {
    Router::new().fallback_service(service_fn(move |request: Request| {
        let router = if grpc::is_call(&request) { &grpc } else { &http };
        router.clone().oneshot(request)
    }))
}

/// The certificates that the settings ask for.
pub(super) async fn tls(settings: &Settings) -> Result<Option<Tls>, StartError> {
    let (Some(certificate), Some(key)) = (&settings.tls_cert, &settings.tls_key) else {
        return Ok(None);
    };
    let files = TlsFiles {
        certificate: certificate.clone(),
        key: key.clone(),
        client_ca: settings.tls_client_ca.clone(),
    };
    let client_auth = match settings.client_auth() {
        config::ClientAuth::Off => ClientAuth::Off,
        config::ClientAuth::Grpc => ClientAuth::Http2,
        config::ClientAuth::Both => ClientAuth::Both,
    };
    let loaded = Tls::load(files, client_auth).await;
    loaded.map(Some).map_err(|error| {
        let variable = match error.file {
            TlsFile::Certificate => "TLS_CERT",
            TlsFile::Key => "TLS_KEY",
            TlsFile::ClientCa => "TLS_CLIENT_CA",
        };
        StartError::Settings(variable, error.reason)
    })
}

/// Takes new certificates over; never ends.
pub(super) async fn follow(tls: Option<Tls>, metrics: Arc<Metrics>) {
    match tls {
        Some(tls) => tls.follow(metrics).await,
        None => std::future::pending().await,
    }
}
