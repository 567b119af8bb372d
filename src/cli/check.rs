//! `duogate check`.

use std::{process::ExitCode, time::Duration};

use super::{Done, complain, runtime, tell};
use crate::{
    app,
    config::{Loaded, Settings},
};

/// A gateway that lives answers at once; container health checks have patience for little more.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn run(loaded: &Loaded, online: bool, health: bool) -> Done {
    let settings = &loaded.settings;
    if health {
        return lives(settings);
    }
    let odd_files = runtime(1)?.block_on(app::check_files(settings))?;
    let odd = odd_files.into_iter().chain(app::odd_surroundings());
    for warning in loaded.warnings.iter().cloned().chain(odd) {
        complain(&format!("warning: {warning}"));
    }
    let described = settings.describe();
    let width = described
        .iter()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or_default();
    for (name, value) in described {
        tell(&format!("{name:width$}  {value}"))?;
    }
    if online {
        try_tokens(settings)
    } else {
        Ok(ExitCode::SUCCESS)
    }
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

fn lives(settings: &Settings) -> Done {
    // A door that listens everywhere is asked on loopback.
    let host = match settings.host.as_str() {
        "0.0.0.0" => "127.0.0.1".to_owned(),
        "::" => "[::1]".to_owned(),
        host if host.contains(':') => format!("[{host}]"),
        host => host.to_owned(),
    };
    let status = runtime(1)?.block_on(app::ask_liveness(settings, &host, PATIENCE));
    match status {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            complain(&format!("no living gateway on {host}:{}: {error}", settings.port));
            Ok(ExitCode::FAILURE)
        }
    }
}
