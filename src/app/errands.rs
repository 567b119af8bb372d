//! What the commands ask of the house without running it.

use std::time::Duration;

use super::{StartError, Surroundings, tokens, upstream};
use crate::{config::Settings, engine::upstream::Upstream};

/// Tries each token with the one call that changes nothing, and tells how that went, by the token's short hash.
///
/// # Errors
/// When the upstream's client cannot be built.
pub async fn try_tokens(settings: &Settings) -> Result<Vec<(String, Result<(), String>)>, StartError> {
    let service = upstream(settings, Surroundings::Environment)?;
    let mut results = Vec::new();
    for token in tokens(settings) {
        let tried = service.list_projects(&token).await;
        results.push((
            token.label().to_string(),
            tried.map(drop).map_err(|error| error.to_string()),
        ));
    }
    Ok(results)
}

/// Asks the gateway on `host:port` whether it lives.
///
/// # Errors
/// When it does not answer in time, or answers otherwise.
pub async fn ask_liveness(host: &str, port: u16, patience: Duration) -> Result<(), StartError> {
    let failed = |reason: String| StartError::Build(reason);
    // The client insists on a TLS provider, even where none is used.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(patience)
        .tls_certs_only([])
        .build();
    let client = client.map_err(|error| failed(error.to_string()))?;
    let answer = client.get(format!("http://{host}:{port}/livez")).send().await;
    let answer = answer.and_then(reqwest::Response::error_for_status);
    answer.map(drop).map_err(|error| failed(error.to_string()))
}
