//! Checks for the commands, made without running the gateway.

use std::{
    error::Error,
    io,
    iter::successors,
    time::{Duration, SystemTime},
};

use super::{StartError, Surroundings, conversation::provider, doors, parts, tokens};
use crate::{
    config::{HttpAddress, Settings, at},
    net::{self, Tls},
    providers::{Proxies, roots},
    state::StateDir,
};

/// Tries each credential with a read-only upstream call. Returns each one's short hash with its result.
///
/// # Errors
/// When the upstream's client cannot be built.
pub async fn try_tokens(settings: &Settings) -> Result<Vec<(String, Result<(), String>)>, StartError> {
    let provider = provider(settings, Surroundings::Environment)?;
    let mut results = Vec::new();
    for token in tokens(settings) {
        let tried = provider.probe(&token).await;
        results.push((
            token.label().to_string(),
            tried.map_err(|error| error.to_string()),
        ));
    }
    Ok(results)
}

/// Reads the files that a running gateway reloads (certificates), and returns warnings about them.
///
/// # Errors
/// When one of them cannot be used.
pub async fn check_files(settings: &Settings) -> Result<Vec<String>, StartError> {
    let tls = doors::tls(settings).await?;
    let validity = tls.as_ref().and_then(Tls::validity);
    let complaint = validity.and_then(|validity| validity.complaint(SystemTime::now()));
    Ok(complaint
        .map(|complaint| format!("TLS_CERT: {complaint}"))
        .into_iter()
        .collect())
}

/// Warnings about environment variables that are not the gateway's own: those for proxies and trusted certificates.
#[must_use]
pub fn odd_surroundings() -> Vec<String> {
    let variable = |name: &str| std::env::var(name).ok();
    let mut odd = Proxies::of(variable).1;
    odd.extend(roots::complaints(variable));
    odd
}

/// A reason why the gateway could not start although its settings are valid.
#[derive(Debug)]
pub struct Obstacle {
    /// The error that starting would give.
    pub error: StartError,
    /// The resource is in use by another process, possibly the running gateway itself.
    pub is_in_use: bool,
}

/// Checks whether the state directory and the ports are available now, and leaves nothing behind. Blocks on the file
/// system.
pub async fn obstacles(settings: &Settings) -> Vec<Obstacle> {
    let mut found = Vec::new();
    let mut look = |looked: io::Result<()>, told: &dyn Fn(io::Error) -> StartError| {
        if let Err(error) = looked {
            let is_in_use = matches!(
                error.kind(),
                io::ErrorKind::AddrInUse | io::ErrorKind::ResourceBusy
            );
            let error = told(error);
            found.push(Obstacle { error, is_in_use });
        }
    };
    if let Some(directory) = &settings.state_dir {
        look(StateDir::look(directory), &|error| {
            parts::state_error(directory, &error)
        });
    }
    for (variable, host, port) in doors::places(settings) {
        look(net::look(host, port).await, &|error| {
            StartError::Bind(variable, at(host, port), error)
        });
    }
    found
}

/// Attempts to read a TLS alert: a rejected connection may end before the alert is read.
const TRIES: u32 = 10;

/// Checks whether the gateway at this address is alive, within `patience` for each attempt. Its certificate is not
/// verified. If it requires client certificates, a TLS handshake that fails for lack of one counts as alive.
///
/// # Errors
/// When there is no response in time, or the response is an error.
pub async fn ask_liveness(address: &HttpAddress, patience: Duration) -> Result<(), StartError> {
    let failed = |reason: String| StartError::Build(reason);
    // `reqwest` needs a TLS provider even for plain HTTP.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    // Over HTTP/2 the client would not report the TLS alert.
    let client = reqwest::Client::builder()
        .no_proxy()
        .http1_only()
        .timeout(patience);
    let client = client
        .tls_certs_only([])
        .tls_danger_accept_invalid_certs(true)
        .build();
    let client = client.map_err(|error| failed(error.to_string()))?;
    let scheme = if address.tls { "https" } else { "http" };
    let url = format!("{scheme}://{address}/livez");
    let mut left = TRIES;
    loop {
        left -= 1;
        let answer = client.get(&url).send().await;
        match answer.and_then(reqwest::Response::error_for_status) {
            Ok(_) => return Ok(()),
            Err(error) if asks_for_certificate(&error) => return Ok(()),
            Err(error) if left > 0 && was_broken_off(&error) => {}
            Err(error) => {
                let told: Vec<String> = causes(&error).map(ToString::to_string).collect();
                return Err(failed(told.join(": ")));
            }
        }
    }
}

/// Whether the connection was established and then ended without a response.
fn was_broken_off(error: &reqwest::Error) -> bool {
    !(error.is_connect() || error.is_timeout() || error.is_status())
}

/// An error and its chain of causes.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    successors(Some(error as &(dyn Error + 'static)), |&error| error.source())
}

/// Whether the peer rejected the connection for lack of a client certificate.
fn asks_for_certificate(error: &reqwest::Error) -> bool {
    let alert = causes(error).find_map(|cause| {
        let io = cause.downcast_ref::<io::Error>()?;
        let tls = io.get_ref()?.downcast_ref::<rustls::Error>()?;
        let rustls::Error::AlertReceived(alert) = tls else {
            return None;
        };
        Some(*alert)
    });
    alert == Some(rustls::AlertDescription::CertificateRequired)
}
