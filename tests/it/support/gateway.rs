//! A gateway in front of a simulated upstream, both in this process on ports of their own.

use std::{net::SocketAddr, time::Duration};

use duogate::{
    app::{App, Live, StartError, Stop, Surroundings, client::chat_service_client::ChatServiceClient},
    config::{BaseUrl, Settings},
    sim::{Counts, Sim, SimConfig, SimControl},
};
use serde_json::Value;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use super::{
    Authority, Pair,
    parity::{Chats, Seen},
    within,
};

/// Two valid keys.
pub(crate) const KEY: &str = "sk-it-0123456789abcdef";
pub(crate) const OTHER_KEY: &str = "sk-it-fedcba9876543210";
/// The upstream's accounts.
pub(crate) const TOKENS: [&str; 3] = ["it-token-one", "it-token-two", "it-token-three"];

/// The configuration of a gateway: three credentials, any model, and short delays.
#[derive(Debug)]
pub(crate) struct Setup {
    sim: SimConfig,
    settings: Settings,
    one_port: bool,
}

impl Setup {
    pub(crate) fn new() -> Self {
        let sim = SimConfig {
            tokens: TOKENS.map(str::to_owned).to_vec(),
            ..SimConfig::default()
        };
        let settings = Settings {
            host: "127.0.0.1".to_owned(),
            grpc_host: "127.0.0.1".to_owned(),
            port: 0,
            grpc_port: Some(0),
            api_keys: vec![KEY.into(), OTHER_KEY.into()],
            tokens: TOKENS.map(Into::into).to_vec(),
            available_models: Vec::new(),
            retry_delay: Duration::from_millis(2),
            // Without the warm pool calls can be counted exactly; its tests enable it.
            warm_conversations: 0,
            // Longer than any test waits, so that a delayed end is noticed.
            shutdown_grace: Duration::from_secs(3600),
            ..Settings::default()
        };
        Self {
            sim,
            settings,
            one_port: false,
        }
    }

    /// Only this many of the credentials.
    pub(crate) fn tokens(self, count: usize) -> Self {
        self.settings(|settings| settings.tokens.truncate(count))
    }

    /// Changes the simulated upstream.
    pub(crate) fn sim(mut self, change: impl FnOnce(&mut SimConfig)) -> Self {
        change(&mut self.sim);
        self
    }

    /// Changes the settings; the upstream's URLs are filled in later.
    pub(crate) fn settings(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Uses the certificates that [`Pair::write`] wrote to a directory.
    pub(crate) fn tls(self, directory: &std::path::Path) -> Self {
        self.settings(|settings| {
            settings.tls_cert = Some(directory.join("tls.crt"));
            settings.tls_key = Some(directory.join("tls.key"));
        })
    }

    /// Both doors on one port.
    pub(crate) fn one_port(mut self) -> Self {
        self.one_port = true;
        self
    }

    pub(crate) async fn start(self) -> Gateway {
        self.start_with(None, None).await
    }

    /// Starts it, with clients that trust only `authority` and present `pair`.
    pub(crate) async fn start_with(self, authority: Option<&Authority>, pair: Option<&Pair>) -> Gateway {
        let Self {
            sim,
            mut settings,
            one_port,
        } = self;
        let upstream = Sim::start(sim).await.unwrap();
        let endpoints = upstream.endpoints();
        let base = |text: &str| BaseUrl::parse(text).unwrap();
        settings.project_url = base(&endpoints.project);
        settings.conversation_url = base(&endpoints.conversation);
        settings.message_url = base(&endpoints.message);
        settings.target_url = base(&endpoints.target);
        settings.site_url = base(&endpoints.site);
        let app = if one_port {
            bind_one_port(&mut settings).await
        } else {
            App::bind(&settings, Surroundings::Ignored).await.unwrap()
        };
        let http = app.http_address();
        // An address without a listener, for a gateway without this door.
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let grpc = app.grpc_address().unwrap_or(nowhere);
        let live = app.live();
        let stop = Stop::default();
        let mut running = JoinSet::new();
        running.spawn(app.run(stop.clone()));
        let web = || match authority {
            Some(authority) => authority.web(pair),
            None => reqwest::Client::builder().no_proxy().tls_certs_only([]),
        };
        let scheme = if settings.tls_cert.is_some() {
            "https"
        } else {
            "http"
        };
        let endpoint = Endpoint::from_shared(format!("{scheme}://{grpc}")).unwrap();
        let endpoint = match authority {
            Some(authority) => endpoint.tls_config(authority.channel(pair)).unwrap(),
            None => endpoint,
        };
        Gateway {
            sim: upstream.control(),
            http,
            grpc,
            scheme,
            live: Some(live),
            web: web().build().unwrap(),
            raw: web().http2_prior_knowledge().build().unwrap(),
            channel: endpoint.connect_lazy(),
            chats_seen: Chats::default(),
            stop,
            running,
            upstream: Some(upstream),
        }
    }
}

/// Port 0 would be two different ports, so this looks for a free one; another process may take it first.
async fn bind_one_port(settings: &mut Settings) -> App {
    loop {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        settings.port = free.local_addr().unwrap().port();
        settings.grpc_port = Some(settings.port);
        drop(free);
        match App::bind(settings, Surroundings::Ignored).await {
            Ok(app) => return app,
            Err(StartError::Bind(..)) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

/// A running gateway. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) sim: SimControl,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    scheme: &'static str,
    /// The handle for changing settings, if it runs in this process.
    live: Option<Live>,
    /// For the HTTP door.
    pub(crate) web: reqwest::Client,
    /// HTTP/2 with prior knowledge, for gRPC without a client library.
    pub(crate) raw: reqwest::Client,
    channel: Channel,
    /// The requests and responses of its clients.
    pub(crate) chats_seen: Chats,
    pub(crate) stop: Stop,
    running: JoinSet<Result<(), StartError>>,
    upstream: Option<Sim>,
}

impl Gateway {
    /// A gateway in its own process, with an upstream of the caller's.
    pub(crate) fn elsewhere(http: SocketAddr, grpc: SocketAddr, sim: SimControl) -> Self {
        // A gateway in this process would have installed it.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let endpoint = Endpoint::from_shared(format!("http://{grpc}")).unwrap();
        let web = || reqwest::Client::builder().no_proxy().tls_certs_only([]);
        Self {
            sim,
            http,
            grpc,
            scheme: "http",
            live: None,
            web: web().build().unwrap(),
            raw: web().http2_prior_knowledge().build().unwrap(),
            channel: endpoint.connect_lazy(),
            chats_seen: Chats::default(),
            stop: Stop::default(),
            running: JoinSet::new(),
            upstream: None,
        }
    }

    pub(crate) async fn start() -> Self {
        Setup::new().start().await
    }

    /// The handle for changing settings.
    pub(crate) fn live(&self) -> &Live {
        self.live.as_ref().expect("it runs in this process")
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.http)
    }

    pub(crate) fn grpc_url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.grpc)
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A client of the chat service.
    pub(crate) fn chats(&self) -> ChatServiceClient<Channel> {
        const ROOM: usize = 64 * 1024 * 1024;
        ChatServiceClient::new(self.channel())
            .max_decoding_message_size(ROOM)
            .max_encoding_message_size(ROOM)
    }

    /// `GET`s a path with a valid key.
    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        let request = self.web.get(self.url(path)).bearer_auth(KEY);
        request.send().await.unwrap()
    }

    /// `/health` with a valid key.
    pub(crate) async fn health(&self) -> Value {
        self.get("/health").await.json().await.unwrap()
    }

    /// Chats in flight by credential according to `/health`, the busiest first.
    pub(crate) async fn in_flight(&self) -> Vec<u64> {
        let health = self.health().await;
        let rows = health["token_pool"]["tokens"].as_array().expect("rows").clone();
        let rows = rows.iter().map(|row| row["in_flight"].as_u64().unwrap());
        let mut rows: Vec<u64> = rows.collect();
        rows.sort_unstable_by(|one, other| other.cmp(one));
        rows
    }

    /// Waits until the upstream's counts are as wanted.
    pub(crate) async fn sim_until(&self, what: &str, wanted: impl Fn(&Counts) -> bool) {
        within(what, self.sim.wait_until(wanted)).await;
    }

    /// Waits until nothing is in flight or left behind, and checks that there was no breach of the upstream's contract.
    pub(crate) async fn settled(&self) {
        let quiet = |counts: &Counts| counts.open() == 0 && counts.conversations_left == 0;
        self.sim_until("every conversation is removed", quiet).await;
        super::eventually("no chat holds a permit or a token", async || {
            let health = self.health().await;
            let idle = health["statistics"]["requests_in_flight"] == 0;
            idle && self.in_flight().await.iter().all(|&chats| chats == 0)
        })
        .await;
        assert_eq!(self.sim.breaches(), Vec::<String>::new());
    }

    /// A row of the credentials on the health page.
    pub(crate) async fn token_row(&self, index: usize) -> Value {
        self.health().await["token_pool"]["tokens"][index].clone()
    }

    /// Stops the upstream: its connections are refused from now on. Returns its address.
    pub(crate) async fn end_upstream(&mut self) -> SocketAddr {
        let upstream = self.upstream.take().expect("an upstream that runs");
        let address = upstream.addr();
        upstream.shutdown().await;
        address
    }

    /// Restarts the upstream at this address with its former accounts.
    pub(crate) async fn restart_upstream(&mut self, address: SocketAddr) {
        let upstream = Sim::resume(address, self.sim.clone()).await.unwrap();
        self.upstream = Some(upstream);
    }

    /// Waits until the gateway has ended.
    pub(crate) async fn ended(&mut self) -> Result<(), StartError> {
        let ended = within("the gateway's end", self.running.join_next()).await;
        ended.expect("it runs").unwrap()
    }

    /// The outcomes of its chats, and the upstream's calls so far.
    pub(crate) fn seen(&self) -> Seen {
        self.chats_seen.seen(&self.sim)
    }

    /// Stops the gateway in order, then the upstream, and checks that nothing is left behind. Returns the outcomes of
    /// its chats.
    pub(crate) async fn stop(mut self) -> Seen {
        self.stop.soft.cancel();
        self.ended().await.unwrap();
        assert_eq!(self.sim.counts().conversations_left, 0, "left behind");
        assert_eq!(self.sim.breaches(), Vec::<String>::new());
        let seen = self.seen();
        if let Some(upstream) = self.upstream.take() {
            upstream.shutdown().await;
        }
        seen
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop.hard.cancel();
    }
}
