//! `duogate serve`.

use std::process::ExitCode;

use super::{
    Done, descriptor_limit, runtime,
    signals::{Hangups, stop_on_signals},
};
use crate::{
    app::{App, Surroundings, odd_surroundings, start_logging},
    config::{Loaded, Watch},
};

pub(super) fn run(loaded: &Loaded, watch: Watch) -> Done {
    let settings = &loaded.settings;
    start_logging(&settings.log_level, settings.log_format)?;
    for warning in loaded.warnings.iter().cloned().chain(odd_surroundings()) {
        tracing::warn!("{warning}");
    }
    let runtime = runtime(settings.workers)?;
    runtime.block_on(async {
        let app = App::bind(settings, Surroundings::Environment).await?;
        let (stop, watcher) = stop_on_signals();
        let (live, mut hangups) = (app.live(), Hangups::watch());
        let descriptors = descriptor_limit();
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            http = %app.http_address(),
            grpc = %app.grpc_address(),
            tokens = settings.tokens.len(),
            descriptors,
            "serving"
        );
        let ended = tokio::select! {
            biased;
            ended = app.run(stop.clone()) => ended,
            never = live.follow(watch, async || hangups.next().await) => match never {},
        };
        watcher.cancel();
        ended?;
        Ok(if stop.hard.is_cancelled() {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    })
}
