//! Variables for the credentials' use and cooldowns, and for conversations in their accounts.

use super::{ROW, Variable, path, seconds};

/// Credentials and conversations.
pub(super) const POOL: &[Variable] = &[
    Variable {
        name: "TOKEN_COOLDOWN",
        default: "600",
        meaning: "Seconds that a token rests which the upstream refused; doubles with each refusal in a row, up to 3600.",
        limits: "more than 0, at most 3600, decimals allowed",
        live: true,
        set: |settings, given| {
            let cooldown = given.seconds(false)?;
            if cooldown > LONGEST_BENCH {
                return Err("is more than 3600: no bench lasts longer than an hour"
                    .to_owned()
                    .into());
            }
            settings.token_cooldown = cooldown;
            Ok(())
        },
        show: |settings| seconds(settings.token_cooldown),
        ..ROW
    },
    Variable {
        name: "TOKEN_MAX_FAILURES",
        default: "5",
        meaning: "A token refused this often in a row is not used again until it is reset or the gateway restarts without state.",
        limits: "1 to 1000000",
        live: true,
        set: |settings, given| {
            settings.token_max_failures = given.integer(1..=1_000_000)?;
            Ok(())
        },
        show: |settings| settings.token_max_failures.to_string(),
        ..ROW
    },
    Variable {
        name: "MAX_IN_FLIGHT_PER_TOKEN",
        default: "0",
        meaning: "How many chats may hold one token at a time; 0 for no limit.",
        limits: "0 to 1000000",
        live: true,
        set: |settings, given| {
            settings.max_in_flight_per_token = given.integer(0..=1_000_000)?;
            Ok(())
        },
        show: |settings| settings.max_in_flight_per_token.to_string(),
        ..ROW
    },
    Variable {
        name: "BREAKER_PROBE_INTERVAL",
        default: "1",
        meaning: "Seconds between two probes of an upstream that keeps failing; until one is answered, chats are refused at once.",
        limits: "more than 0, at most 31536000, decimals allowed",
        live: true,
        set: |settings, given| {
            settings.breaker_probe_interval = given.seconds(false)?;
            Ok(())
        },
        show: |settings| seconds(settings.breaker_probe_interval),
        ..ROW
    },
    Variable {
        name: "WARM_CONVERSATIONS",
        default: "2",
        meaning: "How many conversations stand ready in the account of a token that is in use, so that a chat starts sooner; 0 keeps none.",
        limits: "0 to 100",
        live: true,
        set: |settings, given| {
            settings.warm_conversations = given.integer(0..=100)?;
            Ok(())
        },
        show: |settings| settings.warm_conversations.to_string(),
        ..ROW
    },
    Variable {
        name: "WARM_TTL",
        default: "300",
        meaning: "Seconds that a conversation may stand ready.",
        limits: "more than 0, at most 31536000, decimals allowed",
        live: true,
        set: |settings, given| {
            settings.warm_ttl = given.seconds(false)?;
            Ok(())
        },
        show: |settings| seconds(settings.warm_ttl),
        ..ROW
    },
    Variable {
        name: "CLEANUP_CONVERSATIONS",
        default: "true",
        meaning: "Whether conversations that the gateway made are deleted after use.",
        limits: "true or false",
        live: true,
        set: |settings, given| {
            settings.cleanup_conversations = given.truth()?;
            Ok(())
        },
        show: |settings| settings.cleanup_conversations.to_string(),
        ..ROW
    },
    Variable {
        name: "STATE_DIR",
        otherwise: "none",
        example: "/var/lib/duogate",
        meaning: "A directory where the gateway keeps what a restart must know: which tokens rest, and which conversations are still to be deleted. Tokens are in it by their hash only.",
        limits: "a path; made where it is not there, used by one process at a time",
        set: |settings, given| {
            settings.state_dir = Some(given.path()?);
            Ok(())
        },
        show: |settings| path(settings.state_dir.as_deref()),
        ..ROW
    },
];

/// Longest cooldown; the upstream's own `Retry-After` is capped to it as well.
const LONGEST_BENCH: std::time::Duration = std::time::Duration::from_secs(3600);
