//! How the doors are opened: on one port or two, with or without TLS, and with a check of HTTP/1 request heads.

use std::sync::Arc;

use axum::{Router, extract::Request, middleware::Next, response::Response};
use tower::{ServiceExt, service_fn};

use super::StartError;
use crate::{
    config::{self, Settings},
    grpc,
    net::{ClientAuth, Flaw, Listener, Tls, TlsFile, TlsFiles},
    openai,
    telemetry::Metrics,
};

/// The placement of the gRPC door.
pub(super) enum GrpcDoor {
    /// On its own port.
    Own(Listener),
    /// On the HTTP door's port.
    Shared,
    /// Disabled.
    Off,
}

/// Binds the HTTP door, and the gRPC door if it has its own port.
pub(super) async fn bind(settings: &Settings) -> Result<(Listener, GrpcDoor), StartError> {
    let listen = async |(variable, host, port)| {
        let bound = Listener::bind(host, port).await;
        bound.map_err(|error| StartError::Bind(variable, config::at(host, port), error))
    };
    let http = listen(http_place(settings)).await?;
    let grpc = match grpc_place(settings) {
        Some(place) => GrpcDoor::Own(listen(place).await?),
        None if settings.one_port() => GrpcDoor::Shared,
        None => GrpcDoor::Off,
    };
    Ok((http, grpc))
}

/// The address of a door: the variable of its port, its host and its port.
type Place<'a> = (&'static str, &'a str, u16);

/// The addresses that the doors will bind.
pub(super) fn places(settings: &Settings) -> impl Iterator<Item = Place<'_>> {
    [http_place(settings)].into_iter().chain(grpc_place(settings))
}

fn http_place(settings: &Settings) -> Place<'_> {
    ("PORT", &settings.host, settings.port)
}

/// `None` when the gRPC door shares the HTTP port or is disabled.
fn grpc_place(settings: &Settings) -> Option<Place<'_>> {
    let port = settings.grpc_port.filter(|_| !settings.one_port())?;
    Some(("GRPC_PORT", settings.grpc_host.as_str(), port))
}

/// Both doors on one port: gRPC calls go to one router, everything else to the other.
pub(super) fn both(http: Router, grpc: Router) -> Router {
    Router::new().fallback_service(service_fn(move |request: Request| {
        let router = if grpc::is_call(&request) { &grpc } else { &http };
        router.clone().oneshot(request)
    }))
}

/// Rejects requests with a malformed head, as the HTTP door renders it.
pub(super) async fn sound(request: Request, next: Next) -> Response {
    match Flaw::of(&request) {
        None => next.run(request).await,
        Some(flaw) => {
            let record = request.extensions().get();
            openai::flawed(flaw.status(), flaw.header(), flaw.message(), record)
        }
    }
}

/// The same, as the gRPC door renders it.
pub(super) async fn sound_grpc(request: Request, next: Next) -> Response {
    match Flaw::of(&request) {
        None => next.run(request).await,
        Some(flaw) => grpc::flawed(flaw.status(), flaw.message(), request.extensions().get()),
    }
}

/// Loads the certificates named by the settings, if any.
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

/// Reloads certificates when their files change; never returns.
pub(super) async fn follow(tls: Option<Tls>, metrics: Arc<Metrics>) {
    match tls {
        Some(tls) => tls.follow(metrics).await,
        None => std::future::pending().await,
    }
}
