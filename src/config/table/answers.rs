//! Variables for times, retries and limits.

use super::{ROW, Variable, seconds};

/// Timeouts and retries.
pub(super) const TIME: &[Variable] = &[
    Variable {
        name: "TIMEOUT",
        default: "30",
        meaning: "Seconds of the longest single wait on the upstream: to connect, for its headers, between two events.",
        limits: "more than 0, at most 31536000, decimals allowed",
        set: |settings, given| {
            settings.timeout = given.seconds(false)?;
            Ok(())
        },
        show: |settings| seconds(settings.timeout),
        ..ROW
    },
    Variable {
        name: "REQUEST_TIMEOUT",
        default: "600",
        meaning: "Seconds that a whole request may take.",
        limits: "more than 0, at most 31536000, decimals allowed",
        live: true,
        set: |settings, given| {
            settings.request_timeout = given.seconds(false)?;
            Ok(())
        },
        show: |settings| seconds(settings.request_timeout),
        ..ROW
    },
    Variable {
        name: "KEEPALIVE_INTERVAL",
        default: "15",
        meaning: "Seconds of silence after which a stream sends a sign of life: a comment, over gRPC a keep_alive event.",
        limits: "more than 0, at most 31536000, decimals allowed",
        live: true,
        set: |settings, given| {
            settings.keepalive_interval = given.seconds(false)?;
            Ok(())
        },
        show: |settings| seconds(settings.keepalive_interval),
        ..ROW
    },
    Variable {
        name: "MAX_RETRIES",
        default: "3",
        meaning: "How often a chat is tried again after a fault of the upstream.",
        limits: "0 to 100",
        live: true,
        set: |settings, given| {
            settings.max_retries = given.integer(0..=100)?;
            Ok(())
        },
        show: |settings| settings.max_retries.to_string(),
        ..ROW
    },
    Variable {
        name: "RETRY_DELAY",
        default: "1.0",
        meaning: "Seconds before the first new try; each further wait doubles.",
        limits: "0 to 31536000, decimals allowed",
        live: true,
        set: |settings, given| {
            settings.retry_delay = given.seconds(true)?;
            Ok(())
        },
        show: |settings| seconds(settings.retry_delay),
        ..ROW
    },
    Variable {
        name: "SHUTDOWN_GRACE",
        default: "20",
        meaning: "Seconds that running requests may go on after a stop signal.",
        limits: "0 to 31536000, decimals allowed",
        live: true,
        set: |settings, given| {
            settings.shutdown_grace = given.seconds(true)?;
            Ok(())
        },
        show: |settings| seconds(settings.shutdown_grace),
        ..ROW
    },
    Variable {
        name: "HEADER_READ_TIMEOUT",
        default: "30",
        meaning: "Seconds that the head of a request may take to arrive.",
        limits: "more than 0, at most 31536000, decimals allowed",
        live: true,
        set: |settings, given| {
            settings.header_read_timeout = given.seconds(false)?;
            Ok(())
        },
        show: |settings| seconds(settings.header_read_timeout),
        ..ROW
    },
    Variable {
        name: "BODY_READ_TIMEOUT",
        default: "60",
        meaning: "Seconds that the body of a request may take to arrive.",
        limits: "more than 0, at most 31536000, decimals allowed",
        live: true,
        set: |settings, given| {
            settings.body_read_timeout = given.seconds(false)?;
            Ok(())
        },
        show: |settings| seconds(settings.body_read_timeout),
        ..ROW
    },
    Variable {
        name: "HTTP_IDLE_TIMEOUT",
        default: "620",
        meaning: "Seconds that a connection may rest between requests, HTTP/1 and HTTP/2; longer than a balancer in front keeps its own.",
        limits: "more than 0, at most 31536000, decimals allowed",
        live: true,
        set: |settings, given| {
            settings.http_idle_timeout = given.seconds(false)?;
            Ok(())
        },
        show: |settings| seconds(settings.http_idle_timeout),
        ..ROW
    },
    Variable {
        name: "MAX_CONNECTION_AGE",
        default: "0",
        meaning: "Seconds, give or take a tenth, after which a connection takes no new requests, so that clients spread anew; those under way on HTTP/2 then have SHUTDOWN_GRACE.",
        limits: "0 to 31536000, decimals allowed; 0 sets no limit",
        live: true,
        set: |settings, given| {
            settings.max_connection_age = Some(given.seconds(true)?).filter(|age| !age.is_zero());
            Ok(())
        },
        show: |settings| seconds(settings.max_connection_age.unwrap_or_default()),
        ..ROW
    },
    Variable {
        name: "CONVERSE_IDLE_TIMEOUT",
        default: "300",
        meaning: "Seconds that a conversation over gRPC's Converse may stay open without a turn.",
        limits: "more than 0, at most 31536000, decimals allowed",
        live: true,
        set: |settings, given| {
            settings.converse_idle_timeout = given.seconds(false)?;
            Ok(())
        },
        show: |settings| seconds(settings.converse_idle_timeout),
        ..ROW
    },
    Variable {
        name: "CLIENT_WRITE_TIMEOUT",
        default: "60",
        meaning: "Seconds after which a client that takes nothing of its answer is cut off.",
        limits: "more than 0, at most 31536000, decimals allowed",
        live: true,
        set: |settings, given| {
            settings.client_write_timeout = given.seconds(false)?;
            Ok(())
        },
        show: |settings| seconds(settings.client_write_timeout),
        ..ROW
    },
];

/// Size and number limits.
pub(super) const LIMITS: &[Variable] = &[
    Variable {
        name: "MAX_BODY_BYTES",
        default: "10485760",
        meaning: "The largest request body, in bytes, as it is sent or decoded.",
        limits: "1024 to 1073741824",
        live: true,
        set: |settings, given| {
            settings.max_body_bytes = given.integer(1024..=1_073_741_824)?;
            Ok(())
        },
        show: |settings| settings.max_body_bytes.to_string(),
        ..ROW
    },
    Variable {
        name: "MAX_PROMPT_BYTES",
        default: "8388608",
        meaning: "The longest text that the messages of one chat may make together, in bytes; a longer one is context_length_exceeded.",
        limits: "1024 to 1073741824",
        live: true,
        set: |settings, given| {
            settings.max_prompt_bytes = given.integer(1024..=1_073_741_824)?;
            Ok(())
        },
        show: |settings| settings.max_prompt_bytes.to_string(),
        ..ROW
    },
    Variable {
        name: "MAX_CONCURRENT_REQUESTS",
        default: "1024",
        meaning: "How many requests are served at once; one more is told at once that the gateway is overloaded.",
        limits: "1 to 1000000",
        live: true,
        set: |settings, given| {
            settings.max_concurrent_requests = given.integer(1..=1_000_000)?;
            Ok(())
        },
        show: |settings| settings.max_concurrent_requests.to_string(),
        ..ROW
    },
    Variable {
        name: "RESPONSES_STORE_MAX",
        default: "1000",
        meaning: "How many answers of /v1/responses are kept in memory for previous_response_id, the oldest out first; 0 keeps none.",
        limits: "0 to 1000000",
        set: |settings, given| {
            settings.responses_store_max = given.integer(0..=1_000_000)?;
            Ok(())
        },
        show: |settings| settings.responses_store_max.to_string(),
        ..ROW
    },
    Variable {
        name: "RESPONSES_STORE_BYTES",
        default: "67108864",
        meaning: "The memory that they may take together, in bytes; an answer that is larger by itself is not kept.",
        limits: "0 to 1099511627776",
        set: |settings, given| {
            settings.responses_store_bytes = given.integer(0..=1_099_511_627_776)?;
            Ok(())
        },
        show: |settings| settings.responses_store_bytes.to_string(),
        ..ROW
    },
];
