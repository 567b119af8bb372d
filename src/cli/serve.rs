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
        let (stop, watcher) = stop_on_signals();
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            http = %app.http_address(),
            grpc = %app.grpc_address(),
            tokens = settings.tokens.len(),
            "serving"
        );
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

/// The first Ctrl-C or SIGTERM asks for the soft stop, the second for the hard one. Signals are watched from this call
/// on, so make it before telling anybody that the program runs. The watch ends with the token that comes along.
pub(super) fn stop_on_signals() -> (Stop, CancellationToken) {
    let (stop, over) = (Stop::default(), CancellationToken::new());
    let (watched, watch_over) = (stop.clone(), over.clone());
    let mut signals = Signals::watch();
    TaskTracker::new().spawn(async move {
        for asked_for in [&watched.soft, &watched.hard] {
            tokio::select! {
                () = signals.next() => asked_for.cancel(),
                () = watch_over.cancelled() => return,
            }
        }
    });
    (stop, over)
}

/// The signals that ask the program to end.
#[cfg(unix)]
struct Signals([Option<tokio::signal::unix::Signal>; 2]);

#[cfg(unix)]
impl Signals {
    fn watch() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        Self([SignalKind::interrupt(), SignalKind::terminate()].map(|kind| {
            let watched = signal(kind);
            watched
                .inspect_err(|error| tracing::warn!(error = %error, "a signal cannot be watched"))
                .ok()
        }))
    }

    async fn next(&mut self) {
        async fn one(signal: &mut Option<tokio::signal::unix::Signal>) {
            let heard = match signal {
                Some(signal) => signal.recv().await,
                None => None,
            };
            if heard.is_none() {
                std::future::pending::<()>().await;
            }
        }
        let Self([interrupt, terminate]) = self;
        tokio::select! {
            () = one(interrupt) => {}
            () = one(terminate) => {}
        }
    }
}

/// Ctrl-C, the one thing that asks the program to end here.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn watch() -> Self {
        Self
    }

    async fn next(&mut self) {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::warn!(error = %error, "Ctrl-C cannot be watched");
            std::future::pending::<()>().await;
        }
    }
}
