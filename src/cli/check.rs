//! `duogate check`.

use std::{io, process::ExitCode};

use super::{Done, LAST_LINES, runtime, tell};
use crate::{
    app::{self, caution, complain, flush_log},
    config::{Loaded, Settings},
};

/// Checks beyond the settings themselves.
#[derive(Clone, Copy)]
pub(super) struct More {
    /// Try each credential with an upstream call.
    pub(super) online: bool,
    /// Treat a port or state directory held by another process as an error.
    pub(super) bind: bool,
}

pub(super) fn run(loaded: &Loaded, more: More) -> Done {
    let settings = &loaded.settings;
    let runtime = runtime(1)?;
    let odd_files = runtime.block_on(app::check_files(settings))?;
    let odd = odd_files.into_iter().chain(app::odd_surroundings());
    for warning in loaded.warnings.iter().cloned().chain(odd) {
        caution(&warning);
    }
    let obstacles = runtime.block_on(app::obstacles(settings));
    let (passing, obstacles): (Vec<_>, Vec<_>) = obstacles
        .into_iter()
        .partition(|obstacle| obstacle.is_in_use && !more.bind);
    for obstacle in passing {
        let error = obstacle.error;
        caution(&format!("{error} (all is well if that is this gateway, running)"));
    }
    // Keeps warnings before the settings where both streams go to one terminal.
    flush_log(LAST_LINES);
    show(settings)?;
    let tried = if more.online {
        try_tokens(settings)?
    } else {
        ExitCode::SUCCESS
    };
    for obstacle in &obstacles {
        complain(&obstacle.error.to_string());
    }
    Ok(if obstacles.is_empty() {
        tried
    } else {
        ExitCode::FAILURE
    })
}

fn show(settings: &Settings) -> io::Result<()> {
    let described = settings.describe();
    let width = described
        .iter()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or_default();
    for (name, value) in described {
        tell(&format!("{name:width$}  {value}"))?;
    }
    Ok(())
}

fn try_tokens(settings: &Settings) -> Done {
    let results = runtime(1)?.block_on(app::try_tokens(settings))?;
    tell("")?;
    if results.is_empty() {
        tell("There is no token to try.")?;
    }
    let mut all_good = !results.is_empty();
    for (label, result) in results {
        match result {
            Ok(()) => tell(&format!("token {label}  good"))?,
            Err(reason) => {
                all_good = false;
                tell(&format!("token {label}  {reason}"))?;
            }
        }
    }
    Ok(if all_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
