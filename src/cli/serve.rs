//! `duogate serve`.

use std::{convert::Infallible, future::pending, process::ExitCode};

use super::{
    Done, blamed, descriptor_limit, run_on, runtime,
    signals::{Signals, stop_on},
    supervisor::Supervisor,
};
use crate::{
    app::{App, Reload, Stop, Surroundings, odd_surroundings, start_logging},
    config::{Loaded, Watch},
};

pub(super) fn run(loaded: &Loaded, watch: Watch, signals: Signals) -> Done {
    let settings = &loaded.settings;
    start_logging(&settings.log_level, settings.log_format)?;
    for warning in loaded.warnings.iter().cloned().chain(odd_surroundings()) {
        tracing::warn!("{warning}");
    }
    let runtime = runtime(settings.workers)?;
    run_on(runtime, async {
        let Signals { endings, mut hangups } = signals;
        let (stop, watcher) = stop_on(endings);
        let bound = tokio::select! {
            biased;
            () = stop.soft.cancelled() => None,
            app = App::bind(settings, Surroundings::Environment) => {
                Some(app.map_err(|error| blamed(error, loaded))?)
            }
        };
        let Some(app) = bound else {
            watcher.cancel();
            tracing::info!("stopped");
            return Ok(ExitCode::SUCCESS);
        };
        let live = app.live();
        let grpc = app.grpc_address().map(|address| address.to_string());
        let grpc = grpc.as_deref().unwrap_or("off");
        let descriptors = descriptor_limit();
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            http = %app.http_address(),
            grpc = %grpc,
            tokens = settings.tokens.len(),
            descriptors,
            "serving"
        );
        let supervisor = Supervisor::of_this_process();
        let status = format!("Serving HTTP on {}; gRPC: {grpc}", app.http_address());
        supervisor.ready(&status);
        let reloads = |reload| match reload {
            Reload::Begins => supervisor.reloading(),
            Reload::Done => supervisor.ready(&status),
            Reload::Refused => supervisor.ready("The settings were not reloaded: the old ones go on"),
        };
        let ended = tokio::select! {
            biased;
            never = watch_end(&stop, &supervisor) => match never {},
            ended = app.run(stop.clone()) => ended,
            never = live.follow(watch, async || hangups.next().await, reloads) => match never {},
        };
        watcher.cancel();
        // A drain without anything to wait for ends before the watch sees that it began.
        if stop.soft.is_cancelled() {
            supervisor.stopping();
        }
        ended?;
        Ok(if stop.hard.is_cancelled() {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    })
}

/// Notifies the supervisor when draining begins; never returns.
async fn watch_end(stop: &Stop, supervisor: &Supervisor) -> Infallible {
    stop.soft.cancelled().await;
    supervisor.stopping();
    pending().await
}
