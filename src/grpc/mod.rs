//! The gRPC door: the protobuf services, with health and reflection, over the engine.

mod ask;
mod checks;
mod converse;
mod convert;
mod diagnostics;
pub mod error;
mod events;
mod frames;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod hints;
mod layer;
mod media;
mod messages;
mod reflection;
mod request;
mod schema;
mod service;
mod single;
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
use http::Method;
use tokio_util::sync::CancellationToken;
use tonic::service::{Routes, RoutesBuilder};
use tonic_reflection::pb::{v1, v1alpha};
use tonic_web::GrpcWebLayer;

use self::schema::Schema;
pub use self::{health::Health, request::Unsupported, web::flawed};
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

/// Paths whose requests are chats.
pub const CHAT_PATHS: &[&str] = &[
    "/duogate.v1.ChatService/CreateChatCompletion",
    "/duogate.v1.ChatService/StreamChatCompletion",
];

/// Paths that machines ask every few seconds; the last is what AWS' load balancer asks unless it is told otherwise.
pub const QUIET_PATHS: &[&str] = &[
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/List",
    "/grpc.health.v1.Health/Watch",
    "/AWS.ALB/healthcheck",
];

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
    /// Whether explorers are told the contract.
    pub reflection: bool,
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
    /// How long a stream is silent before it sends a `keep_alive`.
    pub keepalive_interval: Duration,
}

/// The services could not be put together.
#[derive(Debug, thiserror::Error)]
#[error("the gRPC contract: {0}")]
pub struct BuildError(prost::DecodeError);

/// The routes of every service, behind the key check.
///
/// # Errors
/// When the descriptors cannot be read, which a test rules out.
pub fn routes(grpc: Grpc) -> Result<(Router, Health), BuildError> {
    let health = Health::new();
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
    let mut services = Routes::builder();
    services.add_service(chat).add_service(health.service());
    let schemas = contracts(&grpc, &mut services).map_err(BuildError)?;
    let Grpc {
        engine,
        auth,
        limits,
        unsupported: _,
        cors_allow_origins,
        admin,
        reflection: _,
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
        schemas,
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

/// The contracts of every service, told by reflection where that is on. Each version of it tells of itself; who asks in one
/// has no use for the other.
fn contracts(grpc: &Grpc, services: &mut RoutesBuilder) -> Result<Vec<Arc<Schema>>, prost::DecodeError> {
    // With the last of these grpcurl shows the details of errors in plain words.
    let always = [
        DESCRIPTORS,
        health::DESCRIPTORS,
        tonic_types::pb::FILE_DESCRIPTOR_SET,
    ];
    let diagnostics = grpc.admin.as_ref().map(|_| DIAGNOSTICS_DESCRIPTORS);
    let sets: Vec<&[u8]> = always.into_iter().chain(diagnostics).collect();
    if !grpc.reflection {
        return Ok(vec![Arc::new(Schema::read(&sets)?)]);
    }
    let with = |own| Schema::read(&[&sets, [own].as_slice()].concat()).map(Arc::new);
    let (v1, v1alpha) = (
        with(v1::FILE_DESCRIPTOR_SET)?,
        with(v1alpha::FILE_DESCRIPTOR_SET)?,
    );
    services
        .add_service(reflection::v1(Arc::clone(&v1)))
        .add_service(reflection::v1alpha(Arc::clone(&v1alpha)));
    Ok(vec![v1, v1alpha])
}

/// Whether a request is for this door, by its content type. A browser asks beforehand whether it may call: that is
/// known by its path.
#[must_use]
pub fn is_call(request: &Request) -> bool {
    let is_method = |path: &str| SERVICES.iter().any(|service| path.starts_with(service));
    media::is_of_calls(request.headers())
        || (request.method() == Method::OPTIONS && is_method(request.uri().path()))
}

/// The answer to a panic in a service: the catalogue's `internal`, and nothing of what happened.
pub fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> axum::response::Response {
    tracing::error!("a call panicked");
    error::panicked().into_http::<Body>()
}
