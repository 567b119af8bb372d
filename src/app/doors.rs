//! How the doors are opened: on two ports or on one, with TLS or without, and not to heads that are not sound.

use axum::{Router, extract::Request, middleware::Next, response::Response};
use tower::{ServiceExt, service_fn};

use super::StartError;
use crate::{
    config::{self, Settings},
    grpc,
    net::{ClientAuth, Flaw, Listener, Tls, TlsFile, TlsFiles},
    openai,
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

/// Refuses requests of the HTTP door whose heads are not sound.
pub(super) async fn sound(request: Request, next: Next) -> Response {
    match Flaw::of(&request) {
        None => next.run(request).await,
        Some(flaw) => {
            let record = request.extensions().get();
            openai::flawed(flaw.status(), flaw.header(), flaw.message(), record)
        }
    }
}

/// The same at the gRPC door.
pub(super) async fn sound_grpc(request: Request, next: Next) -> Response {
    match Flaw::of(&request) {
        None => next.run(request).await,
        Some(flaw) => grpc::flawed(flaw.status(), flaw.message(), request.extensions().get()),
    }
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
pub(super) async fn follow(tls: Option<Tls>) {
    match tls {
        Some(tls) => tls.follow().await,
        None => std::future::pending().await,
    }
}
