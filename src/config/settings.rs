//! The settings as the rest of the program uses them.

use super::urls::{BaseUrl, ProxyUrl};
use super::{Report, address, layers, read, table};
use http::HeaderMap;
use ipnet::IpNet;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Text for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// How to treat an answer that had content and then ended cleanly with neither a finish reason nor `[DONE]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnmarkedEnd {
    /// As cut off: a partial answer looks the same.
    #[default]
    Error,
    /// As complete, for services that never mark the end.
    Stop,
}

/// The doors that require a client certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// None.
    Off,
    /// The gRPC door.
    Grpc,
    /// Both.
    Both,
}

/// How to treat a request for something the upstream cannot do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnsupportedParams {
    /// Reject it, and name the field.
    #[default]
    Error,
    /// Answer without it, and name the omitted field in a header.
    Ignore,
}

/// All settings, checked and within their limits. `Debug` shows no key, credential, header value or proxy password.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `APP_NAME`: the service's display name, at most 256 bytes.
    pub app_name: String,
    /// `DEBUG`: more logs, no other effect.
    pub debug: bool,
    /// `HOST`: the address of the HTTP listener, without brackets.
    pub host: String,
    /// `PORT`: the HTTP port; 0 picks any free one.
    pub port: u16,
    /// `GRPC_HOST`: the address of the gRPC listener, without brackets.
    pub grpc_host: String,
    /// `GRPC_PORT`: the gRPC port; 0 picks any free one. `None` disables the gRPC door.
    pub grpc_port: Option<u16>,
    /// `REFLECTION`: whether the gRPC door offers server reflection.
    pub reflection: bool,
    /// `TLS_CERT`, resolved against the settings' directory; set together with the key.
    pub tls_cert: Option<PathBuf>,
    /// `TLS_KEY`, resolved against the settings' directory.
    pub tls_key: Option<PathBuf>,
    /// `TLS_CLIENT_CA`, resolved against the settings' directory.
    pub tls_client_ca: Option<PathBuf>,
    /// `TLS_CLIENT_AUTH` if set; the effective value is [`client_auth`](Self::client_auth).
    pub tls_client_auth: Option<ClientAuth>,
    /// `WORKERS`: runtime threads, 0 to 1024; 0: one per core.
    pub workers: usize,
    /// `LOG_FORMAT`.
    pub log_format: LogFormat,
    /// `LOG_LEVEL`: an `EnvFilter` directive that is known to parse.
    pub log_level: String,
    /// `REQUIRE_API_KEY`: whether callers need one of the keys.
    pub require_api_key: bool,
    /// `API_KEYS` and the lines of `API_KEYS_FILE`: visible ASCII, no repeats.
    pub api_keys: Vec<SecretString>,
    /// `API_KEYS_FILE`, resolved against the settings' directory.
    pub api_keys_file: Option<PathBuf>,
    /// `ADMIN_KEY`: visible ASCII, none of the API keys. `None` disables the admin operations.
    pub admin_key: Option<SecretString>,
    /// `METRICS_KEY`: visible ASCII, none of the other keys. `None`: API keys give access to the metrics.
    pub metrics_key: Option<SecretString>,
    /// `TRUSTED_PROXIES`: proxies whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// `TOKEN_POOL` and the lines of `TOKEN_POOL_FILE`: cookie characters only, no repeats.
    pub tokens: Vec<SecretString>,
    /// Number of `tokens`, at their end, that come only from `TOKEN_POOL_FILE`.
    pub tokens_of_file: usize,
    /// `TOKEN_POOL_FILE`, resolved against the settings' directory.
    pub token_pool_file: Option<PathBuf>,
    /// `AVAILABLE_MODELS`: at most 256 bytes each, no repeats; empty allows every model.
    pub available_models: Vec<String>,
    /// `MODEL_ALIASES`: from the name a client uses to the upstream's model.
    pub model_aliases: BTreeMap<String, String>,
    /// `PROJECT_API_URL`.
    pub project_url: BaseUrl,
    /// `CONVERSATION_API_URL`.
    pub conversation_url: BaseUrl,
    /// `MESSAGE_API_URL`.
    pub message_url: BaseUrl,
    /// `TARGET_API_URL`.
    pub target_url: BaseUrl,
    /// `SITE_URL`: the origin and referer of upstream calls.
    pub site_url: BaseUrl,
    /// `UPSTREAM_HEADERS`: extra headers for upstream calls; values marked sensitive, no forbidden name.
    pub upstream_headers: HeaderMap,
    /// `UPSTREAM_PROXY`.
    pub upstream_proxy: Option<ProxyUrl>,
    /// `TIMEOUT`: the longest single wait for the upstream; more than 0, at most a year.
    pub timeout: Duration,
    /// `REQUEST_TIMEOUT`: the time limit of a whole request; more than 0, at most a year.
    pub request_timeout: Duration,
    /// `KEEPALIVE_INTERVAL`: the interval of keep-alive events in an idle stream; more than 0, at most a year.
    pub keepalive_interval: Duration,
    /// `MAX_RETRIES`: retries of a chat after an upstream fault, 0 to 100.
    pub max_retries: u32,
    /// `RETRY_DELAY`: the delay before the first retry; at most a year.
    pub retry_delay: Duration,
    /// `SHUTDOWN_GRACE`: the time that requests have to finish after a stop signal; at most a year.
    pub shutdown_grace: Duration,
    /// `HEADER_READ_TIMEOUT`: the time a request's head may take to arrive; more than 0, at most a year.
    pub header_read_timeout: Duration,
    /// `HTTP_IDLE_TIMEOUT`: the idle timeout of connections; more than 0, at most a year.
    pub http_idle_timeout: Duration,
    /// `MAX_CONNECTION_AGE`: the maximum age of connections; at most a year, `None` for 0.
    pub max_connection_age: Option<Duration>,
    /// `BODY_READ_TIMEOUT`: the time a request's body may take to arrive; more than 0, at most a year.
    pub body_read_timeout: Duration,
    /// `CONVERSE_IDLE_TIMEOUT`: the time a `Converse` call may stay open without a turn; more than 0, at most a year.
    pub converse_idle_timeout: Duration,
    /// `CLIENT_WRITE_TIMEOUT`: the time a client may read nothing of its response; more than 0, at most a year.
    pub client_write_timeout: Duration,
    /// `MAX_BODY_BYTES`: the largest request body in bytes, 1 KiB to 1 GiB.
    pub max_body_bytes: usize,
    /// `MAX_PROMPT_BYTES`: the longest text sent upstream in bytes, 1 KiB to 1 GiB.
    pub max_prompt_bytes: usize,
    /// `MAX_CONCURRENT_REQUESTS`: chats served concurrently, 1 to 1 000 000.
    pub max_concurrent_requests: usize,
    /// `RESPONSES_STORE_MAX`: number of responses kept, 0 to 1 000 000.
    pub responses_store_max: usize,
    /// `RESPONSES_STORE_BYTES`: total size of the responses kept in bytes, 0 to 1 TiB.
    pub responses_store_bytes: usize,
    /// `UNMARKED_END`.
    pub unmarked_end: UnmarkedEnd,
    /// `UNSUPPORTED_PARAMS`.
    pub unsupported_params: UnsupportedParams,
    /// `CORS_ALLOW_ORIGINS`: `*` or origins as browsers send them, no repeats.
    pub cors_allow_origins: Vec<String>,
    /// `TOKEN_COOLDOWN`: the first cooldown of a refused credential; more than 0, at most an hour.
    pub token_cooldown: Duration,
    /// `TOKEN_MAX_FAILURES`: consecutive refusals that disable a credential, 1 to 1 000 000.
    pub token_max_failures: u32,
    /// `MAX_IN_FLIGHT_PER_TOKEN`: concurrent chats of one credential, 0 to 1 000 000; 0: no limit.
    pub max_in_flight_per_token: usize,
    /// `BREAKER_PROBE_INTERVAL`: the interval between probes of a failing upstream; more than 0, at most a year.
    pub breaker_probe_interval: Duration,
    /// `WARM_CONVERSATIONS`: size of the warm pool of each account, 0 to 100 conversations.
    pub warm_conversations: usize,
    /// `WARM_TTL`: how long a conversation stays in the warm pool; more than 0, at most a year.
    pub warm_ttl: Duration,
    /// `CLEANUP_CONVERSATIONS`: whether conversations are deleted after use.
    pub cleanup_conversations: bool,
    /// `STATE_DIR`, resolved against the settings' directory.
    pub state_dir: Option<PathBuf>,
}

impl Settings {
    /// Every variable with its effective value, in the order of the documentation. Secrets are counted only;
    /// credentials are also shown as the first eight hexadecimal digits of their SHA-256.
    #[must_use]
    pub fn describe(&self) -> Vec<(&'static str, String)> {
        table::variables()
            .map(|variable| (variable.name, (variable.show)(self)))
            .collect()
    }

    /// Whether one port serves both doors: the same port on the same host, in any notation.
    #[must_use]
    pub fn one_port(&self) -> bool {
        self.ports_are_equal() && address::are_same(&self.host, &self.grpc_host)
    }

    /// Whether both doors have the same port number. Port 0 picks a different one for each.
    pub(super) fn ports_are_equal(&self) -> bool {
        self.port != 0 && self.grpc_port == Some(self.port)
    }

    /// The doors that require a client certificate. By default a client CA applies to the gRPC door; with one port it
    /// applies to both, since the handshake cannot tell the doors apart.
    #[must_use]
    pub fn client_auth(&self) -> ClientAuth {
        match (self.tls_client_auth, &self.tls_client_ca) {
            (Some(chosen), _) => chosen,
            (None, None) => ClientAuth::Off,
            (None, Some(_)) if self.one_port() => ClientAuth::Both,
            (None, Some(_)) => ClientAuth::Grpc,
        }
    }

    /// Settings before any layer is read.
    pub(super) fn blank() -> Self {
        Self {
            app_name: String::new(),
            debug: false,
            host: String::new(),
            port: 0,
            grpc_host: String::new(),
            grpc_port: None,
            reflection: true,
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
            http_idle_timeout: Duration::ZERO,
            max_connection_age: None,
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

    /// Fills in defaults that come from another variable.
    pub(super) fn settle(&mut self) {
        if self.grpc_host.is_empty() {
            self.grpc_host.clone_from(&self.host);
        }
        if self.log_level.is_empty() {
            self.log_level = if self.debug { "debug" } else { "info" }.to_owned();
        }
    }
}

/// The documented defaults: no keys, which [`load`](super::load) would reject, and no credentials.
impl Default for Settings {
    fn default() -> Self {
        let mut settings = Self::blank();
        read(
            &layers::only_defaults(),
            Path::new(""),
            table::variables(),
            &mut settings,
            &mut Report::default(),
        );
        settings.settle();
        settings
    }
}
