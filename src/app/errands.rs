//! What the commands ask of the house without running it.

use std::{
    error::Error,
    io,
    iter::successors,
    time::{Duration, SystemTime},
};

use super::{StartError, Surroundings, conversation::provider, doors, parts, tokens};
use crate::{
    config::{HttpAddress, Settings, at},
    engine::provider::Provider as _,
    net::{self, Tls},
    providers::{Proxies, roots},
    state::StateDir,
};

/// Tries each token with the one call that changes nothing, and tells how that went, by the token's short hash.
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

/// Reads the files that are read again whenever they change, and nothing else. Tells what is odd about them and no
/// error.
///
/// # Errors
/// When one cannot be used.
pub async fn check_files(settings: &Settings) -> Result<Vec<String>, StartError> {
    let tls = doors::tls(settings).await?;
    let validity = tls.as_ref().and_then(Tls::validity);
    let complaint = validity.and_then(|validity| validity.complaint(SystemTime::now()));
    Ok(complaint
        .map(|complaint| format!("TLS_CERT: {complaint}"))
        .into_iter()
        .collect())
}

/// What is odd about the variables that are none of the gateway's own: proxies, and certificates that are trusted.
#[must_use]
pub fn odd_surroundings() -> Vec<String> {
    let variable = |name: &str| std::env::var(name).ok();
    let mut odd = Proxies::of(variable).1;
    odd.extend(roots::complaints(variable));
    odd
}

/// What keeps a gateway from starting, though its settings are in order.
#[derive(Debug)]
pub struct Obstacle {
    /// What it could not have, as the start would tell it.
    pub error: StartError,
    /// Whether another process has it, which may be the gateway itself.
    pub is_in_use: bool,
}

/// Looks whether the state's directory and the ports could be had now, and leaves nothing behind. Blocks for as long as
/// the file system takes.
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

/// A connection that is broken off for want of a certificate may end before its reason is read; another tells it.
const TRIES: u32 = 10;

/// Asks the gateway at this address whether it lives. Its certificate is not checked: it is known by its
/// port. Where it wants one of its callers, a door that opens a TLS handshake is sign of life enough.
///
/// # Errors
/// When it does not answer in time, or answers otherwise.
pub async fn ask_liveness(address: &HttpAddress, patience: Duration) -> Result<(), StartError> {
    let failed = |reason: String| StartError::Build(reason);
    // The client insists on a TLS provider, even where none is used.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    // HTTP/2 keeps the reason of a broken connection to itself.
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

/// Whether there was a connection, and it ended without an answer.
fn was_broken_off(error: &reqwest::Error) -> bool {
    !(error.is_connect() || error.is_timeout() || error.is_status())
}

/// A failure and what it came from, the last of which says most.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    successors(Some(error as &(dyn Error + 'static)), |&error| error.source())
}

/// Whether the peer broke a connection off for want of a certificate.
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
