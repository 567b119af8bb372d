//! `duogate serve`.

use std::process::ExitCode;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Done, runtime};
use crate::{
    app::{App, Stop, Surroundings, start_logging},
    config::Loaded,
};

pub(super) fn run(loaded: &Loaded) -> Done {
    let settings = &loaded.settings;
    start_logging(&settings.log_level, settings.log_format)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = runtime(settings.workers)?;
    runtime.block_on(async {
        let app = App::bind(settings, Surroundings::Environment).await?;
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            http = %app.http_address(),
            grpc = %app.grpc_address(),
            tokens = settings.tokens.len(),
            "serving"
        );
        let (stop, watcher) = stop_on_signals();
        let ended = app.run(stop.clone()).await;
        watcher.cancel();
        ended?;
        Ok(if stop.hard.is_cancelled() {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    })
}

/// The first Ctrl-C or SIGTERM asks for the soft stop, the second for the hard one. The watch ends with the token
/// that comes along.
pub(super) fn stop_on_signals() -> (Stop, CancellationToken) {
    let (stop, over) = (Stop::default(), CancellationToken::new());
    let (watched, watch_over) = (stop.clone(), over.clone());
    TaskTracker::new().spawn(async move {
        for asked_for in [&watched.soft, &watched.hard] {
            tokio::select! {
                () = signal() => asked_for.cancel(),
                () = watch_over.cancelled() => return,
            }
        }
    });
    (stop, over)
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        tracing::warn!("SIGTERM cannot be watched");
        return std::future::pending().await;
    };
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => {
            if let Err(error) = interrupted {
                tracing::warn!(error = %error, "Ctrl-C cannot be watched");
            }
        }
        _ = terminate.recv() => {}
    }
}

#[cfg(not(unix))]
async fn signal() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::warn!(error = %error, "Ctrl-C cannot be watched");
        std::future::pending::<()>().await;
    }
}
