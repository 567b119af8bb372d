//! `duogate check --health`: whether the gateway with these settings is alive. It checks nothing else about them.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use tokio::{task::spawn_blocking, time::timeout};

use super::{Done, run_on, runtime};
use crate::{
    app::{ask_liveness, complain},
    config::{HttpAddress, Sources, http_address},
};

/// Time limit. A live gateway responds at once, and container health checks allow little more.
const PATIENCE: Duration = Duration::from_secs(3);
/// After this pause, a file that was being written during the first read is complete.
const PAUSE: Duration = Duration::from_millis(200);

/// Exits with 1 for every failure: Docker reserves 2.
pub(super) fn run(sources: &Sources) -> Done {
    let sources = sources.clone();
    run_on(runtime(1)?, async {
        let asked = timeout(PATIENCE + PAUSE, ask(sources)).await;
        match asked.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs()))) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(reason) => {
                complain(&reason);
                Ok(ExitCode::FAILURE)
            }
        }
    })
}

/// Asks at the configured address, and once more if the settings name another one a moment later.
async fn ask(sources: Sources) -> Result<(), String> {
    let until = Instant::now() + PATIENCE;
    let mut asked: Option<HttpAddress> = None;
    let mut failure = String::new();
    loop {
        let sources = sources.clone();
        // A file that blocks must not exceed the time limit, so the read has its own thread.
        let told = spawn_blocking(move || http_address(&sources)).await;
        match told.map_err(|failure| failure.to_string())? {
            Ok(address) if asked.as_ref() == Some(&address) => return Err(failure),
            Ok(address) => {
                let left = until.saturating_duration_since(Instant::now());
                match ask_liveness(&address, left).await {
                    Ok(()) => return Ok(()),
                    Err(error) => failure = no_answer(&address, &error),
                }
                asked = Some(address);
            }
            Err(problems) => {
                failure = format!("the address of the gateway cannot be told from the settings:\n{problems}");
            }
        }
        if Instant::now() + PAUSE >= until {
            return Err(failure);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn no_answer(address: &HttpAddress, error: &impl std::fmt::Display) -> String {
    let doubts: String = address.doubts.iter().map(|doubt| format!("\n{doubt}")).collect();
    format!("no living gateway on {address}: {error}{doubts}")
}
