//! The gRPC door: the protobuf services, with health and reflection, over the engine.

mod ask;
mod checks;
mod converse;
mod convert;
mod diagnostics;
pub mod error;
mod frames;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod layer;
mod messages;
mod request;
mod service;
mod timely;
mod tools;
mod web;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use axum::{
    Router,
    body::Body,
    extract::Request,
    middleware::{from_fn, from_fn_with_state},
};
use http::{Method, header};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::{ServingStatus, server::HealthReporter};
use tonic_web::GrpcWebLayer;

pub use self::{request::Unsupported, web::flawed};
use crate::{
    admin::{Gate, Operator},
    auth::Auth,
    engine::Engine,
};

/// The generated code of `proto/duogate/v1`.
#[allow(
    missing_docs,
    unused_qualifications,
    unreachable_pub,
    clippy::all,
    clippy::wildcard_enum_match_arm,
    clippy::needless_pass_by_value,
    clippy::disallowed_methods,
    clippy::allow_attributes_without_reason,
    reason = "generated; the documentation stands in the proto files"
)]
pub mod proto {
    tonic::include_proto!("duogate.v1");
}

/// The compiled descriptors of the chat service, comments included.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/duogate_descriptor.bin"));

/// The same of the diagnostics service.
pub const DIAGNOSTICS_DESCRIPTORS: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/duogate_diagnostics_descriptor.bin"));

/// The name that health checks ask for.
const CHAT_SERVICE: &str = "duogate.v1.ChatService";

/// Paths whose requests are chats.
pub const CHAT_PATHS: &[&str] = &[
    "/duogate.v1.ChatService/CreateChatCompletion",
    "/duogate.v1.ChatService/StreamChatCompletion",
];

/// Paths that machines ask every few seconds.
pub const QUIET_PATHS: &[&str] = &["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"];

/// Where methods' paths begin.
const SERVICES: [&str; 2] = ["/duogate.v1.", "/grpc."];

/// Messages up to this size pass, both ways, in bytes: what clients of other typed chat services are used to.
const MAX_MESSAGE: usize = 20 * 1024 * 1024;

/// The metadata of an answer that names the fields of its request that were left out of account.
const IGNORED: &str = "x-duogate-ignored";

/// What the services work with.
#[derive(Clone)]
pub struct Grpc {
    /// The engine.
    pub engine: Engine,
    /// The keys.
    pub auth: Auth,
    /// The limits of each call, as they are when it comes.
    pub limits: Arc<ArcSwap<Limits>>,
    /// What becomes of requests for something that the upstream cannot do.
    pub unsupported: Unsupported,
    /// Origins whose scripts may call; `*` is every one.
    pub cors_allow_origins: Vec<String>,
    /// What operators may do, and the check of their key; without both there is no diagnostics service.
    pub admin: Option<(Operator, Gate)>,
    /// Ends the streams that would never end by themselves: health watches and reflection.
    pub soft_stop: CancellationToken,
}

/// What a call may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a chat may take, retries included; a call's own deadline wins when it is shorter.
    pub request_timeout: Duration,
    /// How long a message may take to arrive.
    pub body_read_timeout: Duration,
    /// How long an open conversation may go without a turn.
    pub converse_idle_timeout: Duration,
}

/// The services could not be put together.
#[derive(Debug)]
pub struct BuildError(tonic_reflection::server::Error);

impl std::fmt::Display for BuildError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "reflection: {}", self.0)
    }
}

impl std::error::Error for BuildError {}

/// Tells health checks how the chat service is, by itself and overall.
#[derive(Debug, Clone)]
pub struct Health(HealthReporter);

impl Health {
    /// Sets what `grpc.health.v1` answers from now on.
    pub async fn set_serving(&self, serving: bool) {
        let status = if serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        self.0.set_service_status("", status).await;
        self.0.set_service_status(CHAT_SERVICE, status).await;
    }
}

/// The routes of every service, behind the key check.
///
/// # Errors
/// When the descriptors cannot be read, which a test rules out.
pub async fn routes(grpc: Grpc) -> Result<(Router, Health), BuildError> {
    let (reporter, health_service) = tonic_health::server::health_reporter();
    let health = Health(reporter);
    health.set_serving(false).await;
    let chat = proto::chat_service_server::ChatServiceServer::new(service::Chat {
        engine: grpc.engine.clone(),
        unsupported: grpc.unsupported,
        limits: Arc::clone(&grpc.limits),
        soft_stop: grpc.soft_stop.clone(),
    })
    .max_decoding_message_size(MAX_MESSAGE)
    .max_encoding_message_size(MAX_MESSAGE);
    let chat = frames::ENCODINGS.into_iter().fold(chat, |chat, encoding| {
        chat.accept_compressed(encoding).send_compressed(encoding)
    });
    let describe = || {
        let builder = tonic_reflection::server::Builder::configure();
        let builder = match grpc.admin {
            Some(_) => builder.register_encoded_file_descriptor_set(DIAGNOSTICS_DESCRIPTORS),
            None => builder,
        };
        builder
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // With these grpcurl shows the details of errors in plain words.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let mut services = Routes::builder();
    services
        .add_service(chat)
        .add_service(health_service)
        .add_service(describe().build_v1().map_err(BuildError)?)
        .add_service(describe().build_v1alpha().map_err(BuildError)?);
    let Grpc {
        engine,
        auth,
        limits,
        unsupported: _,
        cors_allow_origins,
        admin,
        soft_stop,
    } = grpc;
    let gate = admin.map(|(operator, gate)| {
        let diagnostics = diagnostics::Diagnostics::new(operator);
        services.add_service(
            proto::diagnostics_service_server::DiagnosticsServiceServer::new(diagnostics)
                .max_decoding_message_size(MAX_MESSAGE),
        );
        gate
    });
    let guard = Arc::new(layer::Guard {
        engine,
        auth,
        gate,
        limits,
        soft_stop,
    });
    let router = services.routes().prepare().into_axum_router();
    let router = router
        .layer(from_fn_with_state(guard, layer::guard))
        .layer(GrpcWebLayer::new())
        .layer(from_fn(web::entrance))
        .layer(from_fn_with_state(web::terms(&cors_allow_origins), web::cors));
    Ok((router, health))
}

/// Whether a request is for this door, by its content type. A browser asks beforehand whether it may call: that is
/// known by its path.
#[must_use]
pub fn is_call(request: &Request) -> bool {
    let is_method = |path: &str| SERVICES.iter().any(|service| path.starts_with(service));
    content_type(request).is_some_and(|kind| kind.starts_with("application/grpc"))
        || (request.method() == Method::OPTIONS && is_method(request.uri().path()))
}

/// A request's content type, without parameters.
fn content_type(request: &Request) -> Option<&str> {
    let kind = request.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
    kind.split(';').next().map(str::trim)
}

/// The answer to a panic in a service: the catalogue's `internal`, and nothing of what happened.
pub fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> axum::response::Response {
    tracing::error!("a call panicked");
    error::panicked().into_http::<Body>()
}
