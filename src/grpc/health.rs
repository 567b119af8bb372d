//! `grpc.health.v1`: how the service is, and that the process lives.

use std::{collections::HashMap, future::pending};

use futures::{StreamExt, stream, stream::BoxStream};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use self::proto::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
    health_check_response::ServingStatus,
    health_server::{Health as Service, HealthServer},
};

/// The generated code of `grpc/health/v1`.
#[allow(
    missing_docs,
    unused_qualifications,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::wildcard_enum_match_arm,
    clippy::needless_pass_by_value,
    clippy::disallowed_methods,
    clippy::allow_attributes_without_reason,
    reason = "generated; the documentation stands in the proto file"
)]
mod proto {
    tonic::include_proto!("grpc.health.v1");
}

/// The compiled descriptors of the health service, comments included.
pub(super) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/health_descriptor.bin"));

/// The names under which the chat service is asked for, the second for the gateway as a whole.
const CHAT: [&str; 2] = ["duogate.v1.ChatService", ""];

/// The name under which the process is asked for. It serves as long as it answers, whatever becomes of the upstream's
/// tokens.
const LIVE: &str = "duogate.live";

/// Tells health checks how the chat service is.
#[derive(Debug, Clone)]
pub struct Health(watch::Sender<bool>);

impl Health {
    /// Nothing is served yet.
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Sets what `grpc.health.v1` answers of the chat service from now on.
    pub fn set_serving(&self, serving: bool) {
        // Watchers hear of changes alone.
        self.0.send_if_modified(|told| {
            let changes = *told != serving;
            *told = serving;
            changes
        });
    }

    /// The service that answers.
    pub(super) fn service(&self) -> HealthServer<impl Service> {
        HealthServer::new(Told(self.0.subscribe()))
    }
}

/// What health checks are told.
struct Told(watch::Receiver<bool>);

impl Told {
    fn of_chats(&self) -> ServingStatus {
        status(*self.0.borrow())
    }
}

fn status(serving: bool) -> ServingStatus {
    if serving {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

/// A watch of what never changes.
fn constant(status: ServingStatus) -> BoxStream<'static, Result<HealthCheckResponse, Status>> {
    let told = stream::once(async move { Ok(answer(status)) });
    told.chain(stream::once(pending())).boxed()
}

#[tonic::async_trait]
impl Service for Told {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match request.get_ref().service.as_str() {
            LIVE => Ok(Response::new(answer(ServingStatus::Serving))),
            name if CHAT.contains(&name) => Ok(Response::new(answer(self.of_chats()))),
            _ => Err(Status::not_found("service not registered")),
        }
    }

    async fn list(&self, _: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        let chats = CHAT.map(|name| (name, self.of_chats()));
        let all = chats.into_iter().chain([(LIVE, ServingStatus::Serving)]);
        let statuses: HashMap<_, _> = all
            .map(|(name, status)| (name.to_owned(), answer(status)))
            .collect();
        Ok(Response::new(HealthListResponse { statuses }))
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let told = match request.get_ref().service.as_str() {
            LIVE => constant(ServingStatus::Serving),
            name if CHAT.contains(&name) => {
                let state = (self.0.clone(), None);
                let changes = stream::unfold(state, |(mut serving, last)| async move {
                    let now = *serving.wait_for(|now| Some(*now) != last).await.ok()?;
                    Some((Ok(answer(status(now))), (serving, Some(now))))
                });
                changes.boxed()
            }
            // The protocol wants the watch to go on, since the service might come to be known.
            _ => constant(ServingStatus::ServiceUnknown),
        };
        Ok(Response::new(told))
    }
}
