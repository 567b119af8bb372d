//! Variables for the process: name, doors, threads and logs.

use super::{ROW, Variable, word};
use crate::config::given::Given;
use crate::config::settings::LogFormat;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Name, doors and threads.
pub(super) const SERVICE: &[Variable] = &[
    Variable {
        name: "APP_NAME",
        default: "LLM Proxy API",
        meaning: "What the service calls itself.",
        limits: "at most 256 bytes, printable",
        set: |settings, given| {
            settings.app_name = given.title()?;
            Ok(())
        },
        show: |settings| settings.app_name.clone(),
        ..ROW
    },
    Variable {
        name: "DEBUG",
        default: "false",
        meaning: "Raises the default of LOG_LEVEL to debug.",
        limits: "true or false",
        set: |settings, given| {
            settings.debug = given.truth()?;
            Ok(())
        },
        show: |settings| settings.debug.to_string(),
        ..ROW
    },
    Variable {
        name: "HOST",
        default: "0.0.0.0",
        meaning: "The address that the HTTP door listens on.",
        limits: "an IP address or a host name; brackets around IPv6 are fine; :: is every address of both families",
        set: |settings, given| {
            settings.host = given.host()?;
            Ok(())
        },
        show: |settings| settings.host.clone(),
        ..ROW
    },
    Variable {
        name: "PORT",
        default: "3333",
        meaning: "The port of the HTTP door.",
        limits: "0 to 65535; 0 takes any free port",
        set: |settings, given| {
            settings.port = given.integer(0..=65_535)?;
            Ok(())
        },
        show: |settings| settings.port.to_string(),
        ..ROW
    },
    Variable {
        name: "GRPC_HOST",
        otherwise: "the same as HOST",
        example: "0.0.0.0",
        meaning: "The address that the gRPC door listens on.",
        limits: "as HOST",
        set: |settings, given| {
            settings.grpc_host = given.host()?;
            Ok(())
        },
        show: |settings| settings.grpc_host.clone(),
        ..ROW
    },
    Variable {
        name: "GRPC_PORT",
        default: "50051",
        meaning: "The port of the gRPC door.",
        limits: "0 to 65535; 0 takes any free port; the same as PORT on the same host: one port for both; off: no gRPC door",
        set: |settings, given| {
            settings.grpc_port = given.integer_or_off(0..=65_535)?;
            Ok(())
        },
        show: |settings| {
            settings
                .grpc_port
                .map_or_else(|| "off".to_owned(), |port| port.to_string())
        },
        ..ROW
    },
    Variable {
        name: "REFLECTION",
        default: "true",
        meaning: "Whether the gRPC door tells its contract, without a key, to grpcurl and other explorers.",
        limits: "true or false",
        set: |settings, given| {
            settings.reflection = given.truth()?;
            Ok(())
        },
        show: |settings| settings.reflection.to_string(),
        ..ROW
    },
    Variable {
        name: "WORKERS",
        default: "0",
        meaning: "How many threads serve requests.",
        limits: "0 to 1024; 0 is one a core",
        set: |settings, given| {
            settings.workers = given.integer(0..=1024)?;
            Ok(())
        },
        show: |settings| settings.workers.to_string(),
        ..ROW
    },
];

/// Logging.
pub(super) const LOGS: &[Variable] = &[
    Variable {
        name: "LOG_FORMAT",
        default: "text",
        meaning: "How log lines are written: for people, or one JSON object a line.",
        limits: "text or json",
        set: |settings, given| {
            settings.log_format = given.choice(LOG_FORMATS)?;
            Ok(())
        },
        show: |settings| word(LOG_FORMATS, &settings.log_format),
        ..ROW
    },
    Variable {
        name: "LOG_LEVEL",
        otherwise: "info; debug when DEBUG is true",
        example: "info",
        meaning: "What is logged: a level, or levels by module as in info,duogate=debug.",
        limits: "off, error, warn, info, debug or trace, alone or after a module and =",
        set: |settings, given| {
            settings.log_level = level(given)?;
            Ok(())
        },
        show: |settings| settings.log_level.clone(),
        ..ROW
    },
];

const LOG_FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];

/// Reads a log filter. The filter's own parser takes a misspelled level for a module name and then logs that module in
/// full, so every part must state its level.
fn level(given: &Given<'_>) -> Result<String, String> {
    const EXPECTED: &str = "off, error, warn, info, debug or trace, or such as info,duogate=debug";
    let text = given.text(EXPECTED)?;
    let says_its_level = |part: &str| {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
        !level.trim().is_empty() && level.trim().parse::<LevelFilter>().is_ok()
    };
    let is_good = text
        .split(',')
        .all(|part| part.contains(['[', ']', '{', '}']) || says_its_level(part));
    if is_good && EnvFilter::try_new(text).is_ok() {
        Ok(text.to_owned())
    } else {
        Err(format!("is no log filter; expected {EXPECTED}"))
    }
}
