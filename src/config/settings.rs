//! The settings as the rest of the program sees them.

use super::urls::{BaseUrl, ProxyUrl};
use super::{Report, Sources, layers, read, table};
use http::HeaderMap;
use ipnet::IpNet;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// What an answer is that had content and then ended politely, with neither a finish reason nor `[DONE]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnmarkedEnd {
    /// A cut: half an answer looks just like it.
    #[default]
    Error,
    /// A finished answer, for services that never mark an end.
    Stop,
}

/// Which doors ask their clients for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// None.
    Off,
    /// The gRPC door.
    Grpc,
    /// Both.
    Both,
}

/// What becomes of a request that asks for something which the upstream cannot do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnsupportedParams {
    /// It is refused, and the field named.
    #[default]
    Error,
    /// It is answered without that, and a header names what was left out.
    Ignore,
}

/// Everything that can be set, checked and within its limits. `Debug` shows no key, token, header value or proxy
/// password.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `APP_NAME`: what the service calls itself, at most 256 bytes.
    pub app_name: String,
    /// `DEBUG`: more logs, nothing else.
    pub debug: bool,
    /// `HOST`: the address of the HTTP listener, without brackets.
    pub host: String,
    /// `PORT`: the HTTP port; 0 takes any free one.
    pub port: u16,
    /// `GRPC_HOST`: the address of the gRPC listener, without brackets.
    pub grpc_host: String,
    /// `GRPC_PORT`: the gRPC port; 0 takes any free one.
    pub grpc_port: u16,
    /// `TLS_CERT`, joined to the directory of the settings; given together with the key.
    pub tls_cert: Option<PathBuf>,
    /// `TLS_KEY`, joined to the directory of the settings.
    pub tls_key: Option<PathBuf>,
    /// `TLS_CLIENT_CA`, joined to the directory of the settings.
    pub tls_client_ca: Option<PathBuf>,
    /// `TLS_CLIENT_AUTH`, where it is set; what holds is [`client_auth`](Self::client_auth).
    pub tls_client_auth: Option<ClientAuth>,
    /// `WORKERS`: runtime threads, 0 to 1024; 0 is one a core.
    pub workers: usize,
    /// `LOG_FORMAT`.
    pub log_format: LogFormat,
    /// `LOG_LEVEL`: an `EnvFilter` directive that is known to parse.
    pub log_level: String,
    /// `REQUIRE_API_KEY`: whether callers need one of the keys.
    pub require_api_key: bool,
    /// `API_KEYS` and the lines of `API_KEYS_FILE`: visible ASCII, no repeats.
    pub api_keys: Vec<SecretString>,
    /// `API_KEYS_FILE`, joined to the directory of the settings.
    pub api_keys_file: Option<PathBuf>,
    /// `ADMIN_KEY`: visible ASCII, none of the API keys; without one there is nothing to operate by.
    pub admin_key: Option<SecretString>,
    /// `METRICS_KEY`: visible ASCII, none of the other keys; without one callers' keys open the metrics.
    pub metrics_key: Option<SecretString>,
    /// `TRUSTED_PROXIES`: whose word on a client's address is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// `TOKEN_POOL` and the lines of `TOKEN_POOL_FILE`: cookie characters only, no repeats.
    pub tokens: Vec<SecretString>,
    /// How many of `tokens`, the last ones, come from `TOKEN_POOL_FILE` alone.
    pub tokens_of_file: usize,
    /// `TOKEN_POOL_FILE`, joined to the directory of the settings.
    pub token_pool_file: Option<PathBuf>,
    /// `AVAILABLE_MODELS`: at most 256 bytes each, no repeats; empty allows every model.
    pub available_models: Vec<String>,
    /// `MODEL_ALIASES`: the name a client uses, to the upstream's model.
    pub model_aliases: BTreeMap<String, String>,
    /// `PROJECT_API_URL`.
    pub project_url: BaseUrl,
    /// `CONVERSATION_API_URL`.
    pub conversation_url: BaseUrl,
    /// `MESSAGE_API_URL`.
    pub message_url: BaseUrl,
    /// `TARGET_API_URL`.
    pub target_url: BaseUrl,
    /// `SITE_URL`: where upstream calls claim to come from.
    pub site_url: BaseUrl,
    /// `UPSTREAM_HEADERS`: extra headers of upstream calls, values marked sensitive, no forbidden name.
    pub upstream_headers: HeaderMap,
    /// `UPSTREAM_PROXY`.
    pub upstream_proxy: Option<ProxyUrl>,
    /// `TIMEOUT`: the longest single wait on the upstream; more than 0, at most a year.
    pub timeout: Duration,
    /// `REQUEST_TIMEOUT`: the longest a whole request may take; more than 0, at most a year.
    pub request_timeout: Duration,
    /// `KEEPALIVE_INTERVAL`: how often a silent stream sends a comment; more than 0, at most a year.
    pub keepalive_interval: Duration,
    /// `MAX_RETRIES`: how often a chat is tried again after a fault of the service, 0 to 100.
    pub max_retries: u32,
    /// `RETRY_DELAY`: the first wait before trying again; at most a year.
    pub retry_delay: Duration,
    /// `SHUTDOWN_GRACE`: how long running requests may go on after a stop signal; at most a year.
    pub shutdown_grace: Duration,
    /// `HEADER_READ_TIMEOUT`: how long a request's head may take to arrive; more than 0, at most a year.
    pub header_read_timeout: Duration,
    /// `BODY_READ_TIMEOUT`: how long a request's body may take to arrive; more than 0, at most a year.
    pub body_read_timeout: Duration,
    /// `CONVERSE_IDLE_TIMEOUT`: how long an open conversation may go without a turn; more than 0, at most a year.
    pub converse_idle_timeout: Duration,
    /// `CLIENT_WRITE_TIMEOUT`: how long a client may take nothing of its answer; more than 0, at most a year.
    pub client_write_timeout: Duration,
    /// `MAX_BODY_BYTES`: the largest request body in bytes, 1 KiB to 1 GiB.
    pub max_body_bytes: usize,
    /// `MAX_PROMPT_BYTES`: the longest text for the upstream in bytes, 1 KiB to 1 GiB.
    pub max_prompt_bytes: usize,
    /// `MAX_CONCURRENT_REQUESTS`: requests served at once, 1 to 1 000 000.
    pub max_concurrent_requests: usize,
    /// `RESPONSES_STORE_MAX`: responses that are kept, 0 to 1 000 000.
    pub responses_store_max: usize,
    /// `RESPONSES_STORE_BYTES`: the room for them, 0 to 1 TiB.
    pub responses_store_bytes: usize,
    /// `UNMARKED_END`.
    pub unmarked_end: UnmarkedEnd,
    /// `UNSUPPORTED_PARAMS`.
    pub unsupported_params: UnsupportedParams,
    /// `CORS_ALLOW_ORIGINS`: `*` or origins as browsers send them, no repeats.
    pub cors_allow_origins: Vec<String>,
    /// `TOKEN_COOLDOWN`: the first rest of a refused token; more than 0, at most an hour.
    pub token_cooldown: Duration,
    /// `TOKEN_MAX_FAILURES`: refusals in a row that disable a token, 1 to 1 000 000.
    pub token_max_failures: u32,
    /// `MAX_IN_FLIGHT_PER_TOKEN`: chats that may hold one token, 0 to 1 000 000; 0 for no limit.
    pub max_in_flight_per_token: usize,
    /// `BREAKER_PROBE_INTERVAL`: between two probes of a failing upstream; more than 0, at most a year.
    pub breaker_probe_interval: Duration,
    /// `WARM_CONVERSATIONS`: conversations that stand ready in one account, 0 to 100.
    pub warm_conversations: usize,
    /// `WARM_TTL`: how long one may stand ready; more than 0, at most a year.
    pub warm_ttl: Duration,
    /// `CLEANUP_CONVERSATIONS`: whether conversations are deleted after use.
    pub cleanup_conversations: bool,
    /// `STATE_DIR`, joined to the directory of the settings.
    pub state_dir: Option<PathBuf>,
}

impl Settings {
    /// Every variable with its effective value, in the order of the documentation. Of secrets only how many there
    /// are; of tokens also the first eight hexadecimal digits of their SHA-256.
    #[must_use]
    pub fn describe(&self) -> Vec<(&'static str, String)> {
        table::variables()
            .map(|variable| (variable.name, (variable.show)(self)))
            .collect()
    }

    /// Whether one port serves both doors. Port 0 is a free one for each.
    #[must_use]
    pub fn one_port(&self) -> bool {
        self.port != 0 && self.port == self.grpc_port && self.host == self.grpc_host
    }

    /// Which doors ask their clients for a certificate. Where nothing else is said, a CA is there to be used by the
    /// gRPC door; on one port the doors cannot be told apart when the handshake asks.
    #[must_use]
    pub fn client_auth(&self) -> ClientAuth {
        match (self.tls_client_auth, &self.tls_client_ca) {
            (Some(chosen), _) => chosen,
            (None, None) => ClientAuth::Off,
            (None, Some(_)) if self.one_port() => ClientAuth::Both,
            (None, Some(_)) => ClientAuth::Grpc,
        }
    }

    /// Settings that say nothing yet: what a variable leaves alone stays empty.
    pub(super) fn blank() -> Self {
        Self {
            app_name: String::new(),
            debug: false,
            host: String::new(),
            port: 0,
            grpc_host: String::new(),
            grpc_port: 0,
            tls_cert: None,
            tls_key: None,
            tls_client_ca: None,
            tls_client_auth: None,
            workers: 0,
            log_format: LogFormat::default(),
            log_level: String::new(),
            require_api_key: true,
            api_keys: Vec::new(),
            api_keys_file: None,
            admin_key: None,
            metrics_key: None,
            trusted_proxies: Vec::new(),
            tokens: Vec::new(),
            tokens_of_file: 0,
            token_pool_file: None,
            available_models: Vec::new(),
            model_aliases: BTreeMap::new(),
            project_url: BaseUrl::default(),
            conversation_url: BaseUrl::default(),
            message_url: BaseUrl::default(),
            target_url: BaseUrl::default(),
            site_url: BaseUrl::default(),
            upstream_headers: HeaderMap::new(),
            upstream_proxy: None,
            timeout: Duration::ZERO,
            request_timeout: Duration::ZERO,
            keepalive_interval: Duration::ZERO,
            max_retries: 0,
            retry_delay: Duration::ZERO,
            shutdown_grace: Duration::ZERO,
            header_read_timeout: Duration::ZERO,
            body_read_timeout: Duration::ZERO,
            converse_idle_timeout: Duration::ZERO,
            client_write_timeout: Duration::ZERO,
            max_body_bytes: 0,
            max_prompt_bytes: 0,
            max_concurrent_requests: 0,
            responses_store_max: 0,
            responses_store_bytes: 0,
            unmarked_end: UnmarkedEnd::default(),
            unsupported_params: UnsupportedParams::default(),
            cors_allow_origins: Vec::new(),
            token_cooldown: Duration::ZERO,
            token_max_failures: 0,
            max_in_flight_per_token: 0,
            breaker_probe_interval: Duration::ZERO,
            warm_conversations: 0,
            warm_ttl: Duration::ZERO,
            cleanup_conversations: true,
            state_dir: None,
        }
    }

    /// Fills what takes its default from another variable.
    pub(super) fn settle(&mut self) {
        if self.grpc_host.is_empty() {
            self.grpc_host.clone_from(&self.host);
        }
        if self.log_level.is_empty() {
            self.log_level = if self.debug { "debug" } else { "info" }.to_owned();
        }
    }
}

/// The documented defaults: no keys, which [`load`](super::load) alone would refuse, and no tokens.
impl Default for Settings {
    fn default() -> Self {
        let mut settings = Self::blank();
        read(
            &layers::only_defaults(),
            &Sources::default(),
            &mut settings,
            &mut Report::default(),
        );
        settings.settle();
        settings
    }
}
