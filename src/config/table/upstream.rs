//! Variables for the upstream: its URLs, credentials and headers.

use super::{ROW, Variable, path, word};
use crate::config::given::Given;
use crate::config::headers;
use crate::config::secrets::{self, Sort};
use crate::config::settings::{Settings, UnmarkedEnd, UnsupportedParams};
use crate::config::urls::{BaseUrl, ProxyUrl};

/// The list of credentials comes before its file, which adds to it.
pub(super) const UPSTREAM: &[Variable] = &[
    Variable {
        name: "TARGET_API_URL",
        default: "https://api.orionai.asia/chat",
        meaning: "Where answers are asked for.",
        limits: "http or https; no user, query or fragment",
        set: |settings, given| {
            settings.target_url = base_url(given)?;
            Ok(())
        },
        show: |settings| settings.target_url.to_string(),
        ..ROW
    },
    Variable {
        name: "CONVERSATION_API_URL",
        default: "https://api.orionai.asia/conversation",
        meaning: "Where conversations are made and deleted.",
        limits: "http or https; no user, query or fragment",
        set: |settings, given| {
            settings.conversation_url = base_url(given)?;
            Ok(())
        },
        show: |settings| settings.conversation_url.to_string(),
        ..ROW
    },
    Variable {
        name: "PROJECT_API_URL",
        default: "https://api.orionai.asia/project",
        meaning: "Where projects are listed and made.",
        limits: "http or https; no user, query or fragment",
        set: |settings, given| {
            settings.project_url = base_url(given)?;
            Ok(())
        },
        show: |settings| settings.project_url.to_string(),
        ..ROW
    },
    Variable {
        name: "MESSAGE_API_URL",
        default: "https://api.orionai.asia/conversation",
        meaning: "Where messages are posted.",
        limits: "http or https; no user, query or fragment",
        set: |settings, given| {
            settings.message_url = base_url(given)?;
            Ok(())
        },
        show: |settings| settings.message_url.to_string(),
        ..ROW
    },
    Variable {
        name: "SITE_URL",
        default: "https://www.orionai.asia",
        meaning: "The site that upstream calls come from, for their origin and referer.",
        limits: "http or https; no user, query or fragment",
        set: |settings, given| {
            settings.site_url = base_url(given)?;
            Ok(())
        },
        show: |settings| settings.site_url.to_string(),
        ..ROW
    },
    Variable {
        name: "TOKEN_POOL",
        default: "[]",
        meaning: "The tokens of the upstream's accounts. Secret. Without any the gateway starts and answers no chat.",
        limits: r#"JSON array such as ["first-token", "second-token"]; cookie characters only (RFC 6265)"#,
        live: true,
        blank_is_a_value: true,
        set: |settings, given| secrets::from_list(Sort::Token, &mut settings.tokens, given),
        show: |settings| secrets::show_tokens(&settings.tokens),
        differ: Some(|one, other| secrets::differ(&one.tokens, &other.tokens)),
        ..ROW
    },
    Variable {
        name: "TOKEN_POOL_FILE",
        otherwise: "none",
        example: "/run/secrets/token_pool",
        meaning: "A file with more tokens, one a line.",
        limits: "a path; blank lines and lines that start with # are skipped",
        live: true,
        set: |settings, given| {
            settings.token_pool_file = Some(given.path()?);
            let listed = settings.tokens.len();
            secrets::from_file(Sort::Token, &mut settings.tokens, given)?;
            settings.tokens_of_file = settings.tokens.len() - listed;
            Ok(())
        },
        show: |settings| path(settings.token_pool_file.as_deref()),
        ..ROW
    },
    Variable {
        name: "UPSTREAM_HEADERS",
        default: "{}",
        meaning: "Extra headers of upstream calls. Their values count as secret.",
        limits: r#"JSON object such as {"user-agent": "Mozilla/5.0"}; no cookie, host, origin, referer, content-* nor hop-by-hop headers"#,
        blank_is_a_value: true,
        set: |settings, given| {
            settings.upstream_headers = headers::read(given)?;
            Ok(())
        },
        show: |settings| headers::show(&settings.upstream_headers),
        differ: Some(|one, other| one.upstream_headers != other.upstream_headers),
        ..ROW
    },
    Variable {
        name: "UPSTREAM_PROXY",
        otherwise: "none",
        example: "socks5h://127.0.0.1:1080",
        meaning: "A proxy for upstream calls. It may hold a user and a password, which are never shown.",
        limits: "http, https, socks5 or socks5h URL",
        set: |settings, given| {
            settings.upstream_proxy = Some(ProxyUrl::parse(given.text("a proxy's URL")?)?);
            Ok(())
        },
        show: |settings| {
            settings
                .upstream_proxy
                .as_ref()
                .map_or_else(|| "none".to_owned(), ToString::to_string)
        },
        differ: Some(|one, other| secret_of(one) != secret_of(other)),
        ..ROW
    },
    Variable {
        name: "UNMARKED_END",
        default: "error",
        meaning: "What an answer is that ends with neither a finish reason nor [DONE]: a cut, or finished.",
        limits: "error or stop",
        live: true,
        set: |settings, given| {
            settings.unmarked_end = given.choice(UNMARKED_ENDS)?;
            Ok(())
        },
        show: |settings| word(UNMARKED_ENDS, &settings.unmarked_end),
        ..ROW
    },
    Variable {
        name: "UNSUPPORTED_PARAMS",
        default: "error",
        meaning: "What becomes of a request for what the upstream cannot do, such as tools: it is refused, or answered without.",
        limits: "error or ignore",
        set: |settings, given| {
            settings.unsupported_params = given.choice(UNSUPPORTED)?;
            Ok(())
        },
        show: |settings| word(UNSUPPORTED, &settings.unsupported_params),
        ..ROW
    },
];

const UNSUPPORTED: &[(&str, UnsupportedParams)] = &[
    ("error", UnsupportedParams::Error),
    ("ignore", UnsupportedParams::Ignore),
];

const UNMARKED_ENDS: &[(&str, UnmarkedEnd)] = &[("error", UnmarkedEnd::Error), ("stop", UnmarkedEnd::Stop)];

fn base_url(given: &Given<'_>) -> Result<BaseUrl, String> {
    BaseUrl::parse(given.text("an http or https URL")?)
}

fn secret_of(settings: &Settings) -> Option<&str> {
    settings.upstream_proxy.as_ref().map(ProxyUrl::expose)
}
