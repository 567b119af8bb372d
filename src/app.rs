//! The composition root: the only module that knows every part. It assembles them, runs them, and stops them in order.

#[cfg(feature = "conversation")]
mod conversation;
#[cfg(not(feature = "conversation"))]
#[path = "app/without_conversation.rs"]
mod conversation;
mod document;
mod doors;
mod errands;
#[cfg(test)]
mod errors_page;
mod live;
mod parts;
mod token_file;

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration, time::Instant};

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
};
use ipnet::IpNet;
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tower::util::MapRequest;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;

use crate::{
    admin::{Gate, Operator},
    config::{self, Settings},
    engine::Engine,
    grpc::{self, Grpc, Health},
    lifecycle::Lifecycle,
    net::{Listener, Protocol, Stops, Tls},
    openai::{self, Cors, KeyCheck, OpenAi, ResponseStore, Unsupported},
    ops::{self, Ops},
    telemetry::{self, AccessPolicy, Door, Metrics},
};

use self::{
    doors::GrpcDoor,
    parts::{engine, policy, tokens},
    token_file::PoolFile,
};
/// The generated messages and clients of the gRPC door.
pub use crate::grpc::proto as client;
pub use crate::net::raise_descriptor_limit;
pub use crate::telemetry::{caution, complain, flush_log, log_as_json, open_log, say};
pub use errands::{Obstacle, ask_liveness, check_files, obstacles, odd_surroundings, try_tokens};
pub use live::{Live, Reload};
pub use parts::Upstreams;

/// Time for streams that were ended after the grace period to deliver their last event.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Time limit of the clean-up at the end.
const CLEAN_UP: Duration = Duration::from_secs(5);

/// Why the gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting that proved unusable only when used: its variable and the reason.
    #[error("{0}: {1}")]
    Settings(&'static str, String),
    /// An address that could not be bound: its variable, the address and the error.
    #[error("{0}: {reason}", reason = unbound(.1, .2))]
    Bind(&'static str, String, io::Error),
    /// A part that could not be built, with the reason.
    #[error("{0}")]
    Build(String),
}

fn unbound(address: &str, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::AddrInUse {
        format!("{address} is in use by another program; choose another port, or stop it")
    } else {
        format!("cannot listen on {address}: {error}")
    }
}

/// The two ways to ask the process to stop.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Drain, then end in order.
    pub soft: CancellationToken,
    /// End at once.
    pub hard: CancellationToken,
}

/// A gateway whose sockets are bound. It serves when it is [run](App::run).
pub struct App {
    http: Listener,
    grpc: GrpcDoor,
    tls: Option<Tls>,
    http_router: Router,
    grpc_router: Router,
    engine: Engine,
    lifecycle: Lifecycle,
    health: Health,
    live: Live,
    metrics: Arc<Metrics>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("http", &self.http_address())
            .field("grpc", &self.grpc_address())
            .finish_non_exhaustive()
    }
}

impl App {
    /// Binds the sockets and assembles the gateway. Makes no call to the upstream.
    ///
    /// # Errors
    /// When an address cannot be bound, a certificate or the state directory cannot be used, or a part cannot be built.
    pub async fn bind(settings: &Settings, surroundings: Surroundings) -> Result<Self, StartError> {
        let upstreams = |metrics: &Arc<Metrics>| conversation::upstreams(settings, surroundings, metrics);
        Self::bind_over(settings, upstreams).await
    }

    /// The same over other upstreams than the settings describe. They are built over the gateway's metrics.
    ///
    /// # Errors
    /// As [`App::bind`], and as the upstreams cannot be built.
    pub async fn bind_over(
        settings: &Settings,
        upstreams: impl FnOnce(&Arc<Metrics>) -> Result<Upstreams, StartError>,
    ) -> Result<Self, StartError> {
        let began = Instant::now();
        let metrics = Metrics::build().map_err(|error| StartError::Build(error.to_string()))?;
        let metrics = Arc::new(metrics);
        let (engine, apply) = engine(settings, upstreams(&metrics)?, Arc::clone(&metrics));
        let lifecycle = Lifecycle::default();
        let live = Live::new(settings, engine.clone(), apply);
        let tls = doors::tls(settings).await?;
        let (http, grpc) = doors::bind(settings).await?;
        let admin = admin(settings, &engine);
        let ops = Ops {
            engine: engine.clone(),
            lifecycle: lifecycle.clone(),
            metrics: Arc::clone(&metrics),
            app_name: settings.app_name.clone(),
            auth: live.auth.clone(),
            metrics_auth: live.metrics_auth.clone(),
            gate: admin.as_ref().map(|(_, gate)| gate.clone()),
            began,
        };
        let shared = Shared {
            metrics: Arc::clone(&metrics),
            trusted_proxies: settings.trusted_proxies.as_slice().into(),
        };
        let http_router = http_router(settings, &live, ops, admin.clone())?;
        let http_router = recorded(
            http_router,
            Door::Http,
            openai::CHAT_PATHS,
            ops::QUIET_PATHS,
            &shared,
        );
        // Comes before the request's record, so that paths have one spelling everywhere.
        let http_router = Router::new().fallback_service(MapRequest::new(http_router, openai::canonical));
        let door = Grpc {
            engine: engine.clone(),
            auth: live.auth.clone(),
            limits: Arc::clone(&live.grpc),
            unsupported: match settings.unsupported_params {
                config::UnsupportedParams::Error => grpc::Unsupported::Refuse,
                config::UnsupportedParams::Ignore => grpc::Unsupported::LeaveOut,
            },
            cors_allow_origins: settings.cors_allow_origins.clone(),
            admin,
            reflection: settings.reflection,
            soft_stop: lifecycle.soft_stop().clone(),
        };
        let (grpc_router, health) =
            grpc::routes(door).map_err(|error| StartError::Build(error.to_string()))?;
        let grpc_router = recorded(
            grpc_router
                .layer(CatchPanicLayer::custom(grpc::panicked))
                .layer(from_fn(doors::sound_grpc)),
            Door::Grpc,
            grpc::CHAT_PATHS,
            grpc::QUIET_PATHS,
            &shared,
        );
        Ok(Self {
            http,
            grpc,
            tls,
            http_router,
            grpc_router,
            engine,
            lifecycle,
            health,
            live,
            metrics,
        })
    }

    /// The address of the HTTP door.
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        self.http.address()
    }

    /// The address of the gRPC door, if there is one. With one port for both it equals the HTTP door's.
    #[must_use]
    pub fn grpc_address(&self) -> Option<SocketAddr> {
        match &self.grpc {
            GrpcDoor::Own(listener) => Some(listener.address()),
            GrpcDoor::Shared => Some(self.http_address()),
            GrpcDoor::Off => None,
        }
    }

    /// The engine, for code in the same process that observes it.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine.clone()
    }

    /// The handle for changing settings while the gateway runs.
    #[must_use]
    pub fn live(&self) -> Live {
        self.live.clone()
    }

    /// Serves until `stop` fires or a door fails, then drains: readiness ends, nothing new is accepted, chats continue
    /// for the grace period and are then ended with an error in the stream, and their conversations are cleaned up. The
    /// hard stop cuts all of that short; so does dropping the future.
    ///
    /// # Errors
    /// When a door ended by itself.
    pub async fn run(self, stop: Stop) -> Result<(), StartError> {
        let Stop { soft, hard } = stop;
        tokio::select! {
            biased;
            () = hard.cancelled() => Ok(()),
            ended = self.serve(soft) => ended,
        }
    }

    async fn serve(self, soft: CancellationToken) -> Result<(), StartError> {
        let Self {
            http,
            grpc,
            tls,
            http_router,
            grpc_router,
            engine,
            lifecycle,
            health,
            live,
            metrics,
        } = self;
        let stops = Stops {
            soft: lifecycle.soft_stop().clone(),
            hard: lifecycle.hard_stop().clone(),
        };
        let mut open = JoinSet::new();
        let over = |protocol| tls.clone().map(|tls| (tls, protocol));
        let patience = || Arc::clone(&live.patience);
        let counts = |door| metrics.connections(door);
        let router = match &grpc {
            GrpcDoor::Shared => doors::both(http_router, grpc_router.clone()),
            GrpcDoor::Own(_) | GrpcDoor::Off => http_router,
        };
        let on_http = counts(Door::Http);
        open.spawn(http.serve(router, over(Protocol::Any), patience(), stops.clone(), on_http));
        if let GrpcDoor::Own(grpc) = grpc {
            let on_grpc = counts(Door::Grpc);
            open.spawn(grpc.serve(grpc_router, over(Protocol::Http2), patience(), stops, on_grpc));
        }
        lifecycle.ready();
        engine.warm_up();
        let ended_by_itself = tokio::select! {
            biased;
            () = soft.cancelled() => false,
            _ = open.join_next() => true,
            () = follow_pool(&engine, &health) => false,
            () = engine.maintain() => false,
            () = doors::follow(tls, Arc::clone(&metrics)) => false,
        };
        let grace = live.settings().shutdown_grace;
        tracing::info!(
            in_flight = engine.in_flight(),
            grace_seconds = grace.as_secs_f64(),
            "draining"
        );
        health.set_serving(false);
        engine.drain();
        lifecycle.drain();
        drain(&mut open, &engine, &lifecycle, grace).await;
        if timeout(CLEAN_UP, engine.finish_background_work()).await.is_err() {
            tracing::warn!(
                left = engine.background_work(),
                "conversations may be left behind on the upstream"
            );
        }
        tracing::info!("stopped");
        if ended_by_itself {
            return Err(StartError::Build("a listener ended by itself".to_owned()));
        }
        Ok(())
    }
}

/// Keeps the gRPC health status in step with the credential pool; never returns.
async fn follow_pool(engine: &Engine, health: &Health) {
    const EVERY: Duration = Duration::from_secs(1);
    loop {
        health.set_serving(engine.has_hope());
        tokio::time::sleep(EVERY).await;
    }
}

/// Waits for the doors to close: for the grace period, then for the streams that were cut off to deliver their last
/// event.
async fn drain(doors: &mut JoinSet<()>, engine: &Engine, lifecycle: &Lifecycle, grace: Duration) {
    if timeout(grace, all(doors)).await.is_ok() {
        return;
    }
    tracing::warn!(
        in_flight = engine.in_flight(),
        "the grace is over: ending what is under way"
    );
    engine.stop();
    if timeout(LAST_WORDS, all(doors)).await.is_err() {
        lifecycle.close();
        all(doors).await;
    }
}

async fn all(doors: &mut JoinSet<()>) {
    while doors.join_next().await.is_some() {}
}

/// Whether the process's environment variables for proxies apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surroundings {
    /// Proxy variables apply.
    Environment,
    /// They are ignored, as tests need it.
    Ignored,
}

/// The admin operations and their access check, if an admin key is set.
fn admin(settings: &Settings, engine: &Engine) -> Option<(Operator, Gate)> {
    let key = settings.admin_key.clone()?;
    let file = Arc::new(PoolFile::new(settings));
    Some((Operator::new(engine.clone(), file), Gate::new(key)))
}

fn http_router(
    settings: &Settings,
    live: &Live,
    ops: Ops,
    admin: Option<(Operator, Gate)>,
) -> Result<Router, StartError> {
    let openai = OpenAi {
        engine: live.engine.clone(),
        limits: Arc::clone(&live.openai),
        unsupported: match settings.unsupported_params {
            config::UnsupportedParams::Error => Unsupported::Refuse,
            config::UnsupportedParams::Ignore => Unsupported::LeaveOut,
        },
        responses: ResponseStore::new(settings.responses_store_max, settings.responses_store_bytes),
    };
    let cors = Cors::new(&settings.cors_allow_origins);
    let check = Arc::new(KeyCheck {
        auth: live.auth.clone(),
        open: |path| ops::is_open(path) || ops::checks_keys_itself(path),
    });
    let (operator, gate) = admin.unzip();
    let rooms = [openai::routes(openai), ops::routes(ops)];
    let rooms = rooms.into_iter().chain(operator.map(ops::admin::routes));
    let (routers, documents): (Vec<Router>, Vec<OpenApi>) = rooms.unzip();
    let document = document::document(&settings.app_name, settings.require_api_key, documents)?;
    let docs = ops::docs::routes(&settings.app_name, document);
    let router = routers.into_iter().fold(docs, Router::merge);
    let router = router
        .fallback(openai::unknown_url)
        .method_not_allowed_fallback(openai::method_not_supported)
        .layer(from_fn_with_state(check, openai::check_key))
        .layer(from_fn_with_state(gate, ops::admin::check_key))
        .layer(CatchPanicLayer::custom(openai::panicked))
        .layer(from_fn(openai::about))
        .layer(from_fn_with_state(cors, openai::cors))
        .layer(from_fn(doors::sound));
    Ok(router)
}

/// The part of the access layer's settings that both doors share.
struct Shared {
    metrics: Arc<Metrics>,
    trusted_proxies: Arc<[IpNet]>,
}

/// Adds the access layer, outermost at both doors.
fn recorded(
    router: Router,
    door: Door,
    chats: &'static [&'static str],
    quiet: &'static [&'static str],
    shared: &Shared,
) -> Router {
    let policy = AccessPolicy {
        door,
        chats,
        quiet,
        metrics: Arc::clone(&shared.metrics),
        trusted_proxies: Arc::clone(&shared.trusted_proxies),
    };
    router.layer(from_fn_with_state(Arc::new(policy), telemetry::layer))
}

/// Starts logging to standard error. A second call in one process changes nothing.
///
/// # Errors
/// When `level` is not a filter such as `info` or `duogate=debug,hyper=warn`, or the log cannot be opened.
pub fn start_logging(level: &str, format: config::LogFormat) -> Result<(), StartError> {
    let log = open_log().map_err(|error| StartError::Build(format!("the log cannot be opened: {error}")))?;
    let started = log.start(level, format == config::LogFormat::Json);
    started.map_err(|error| StartError::Build(format!("LOG_LEVEL: {error}")))
}
