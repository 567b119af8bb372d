//! Variables for access: keys, proxies, web origins and models.

use super::{ROW, Variable, json, path};
use crate::config::secrets::{self, Sort};
use crate::config::{EXAMPLE_ADMIN_KEY, EXAMPLE_METRICS_KEY, models, origins, proxies};

/// Keys. The list comes before its file, which adds to it.
pub(super) const ACCESS: &[Variable] = &[
    Variable {
        name: "REQUIRE_API_KEY",
        default: "true",
        meaning: "Whether callers need one of the keys. Without any key the gateway then refuses to start.",
        limits: "true or false",
        live: true,
        set: |settings, given| {
            settings.require_api_key = given.truth()?;
            Ok(())
        },
        show: |settings| settings.require_api_key.to_string(),
        ..ROW
    },
    Variable {
        name: "API_KEYS",
        default: "[]",
        example: r#"["sk-duogate-replace-me"]"#,
        meaning: "The keys that callers may use. Secret.",
        limits: "JSON array; each key visible ASCII without blanks",
        live: true,
        blank_is_a_value: true,
        set: |settings, given| secrets::from_list(Sort::Key, &mut settings.api_keys, given),
        show: |settings| secrets::show_keys(&settings.api_keys),
        differ: Some(|one, other| secrets::differ(&one.api_keys, &other.api_keys)),
        ..ROW
    },
    Variable {
        name: "API_KEYS_FILE",
        otherwise: "none",
        example: "/run/secrets/api_keys",
        meaning: "A file with more keys, one a line.",
        limits: "a path; blank lines and lines that start with # are skipped",
        live: true,
        set: |settings, given| {
            settings.api_keys_file = Some(given.path()?);
            secrets::from_file(Sort::Key, &mut settings.api_keys, given)
        },
        show: |settings| path(settings.api_keys_file.as_deref()),
        ..ROW
    },
    Variable {
        name: "ADMIN_KEY",
        otherwise: "none",
        example: "adm-duogate-replace-me",
        meaning: "The key that opens /admin and duogate.v1.DiagnosticsService, which are not there without it. Secret. It opens no chat.",
        limits: "visible ASCII without blanks, 16 characters or more; none of API_KEYS",
        set: |settings, given| {
            settings.admin_key = Some(secrets::key_of_its_own(given, EXAMPLE_ADMIN_KEY)?);
            Ok(())
        },
        differ: Some(|one, other| secrets::differ(one.admin_key.as_slice(), other.admin_key.as_slice())),
        show: |settings| settings.admin_key.as_ref().map_or("none", |_| "set").to_owned(),
        ..ROW
    },
    METRICS_KEY,
    TRUSTED_PROXIES,
    CORS,
];

/// The key of monitoring systems.
const METRICS_KEY: Variable = Variable {
    name: "METRICS_KEY",
    otherwise: "none: callers' keys open /metrics",
    example: "met-duogate-replace-me",
    meaning: "The key that opens /metrics, and nothing else. With it callers' keys open neither /metrics nor the rows of /health about single tokens. Secret.",
    limits: "visible ASCII without blanks, 16 characters or more; none of API_KEYS, and not ADMIN_KEY, which opens /metrics too",
    live: true,
    set: |settings, given| {
        settings.metrics_key = Some(secrets::key_of_its_own(given, EXAMPLE_METRICS_KEY)?);
        Ok(())
    },
    differ: Some(|one, other| secrets::differ(one.metrics_key.as_slice(), other.metrics_key.as_slice())),
    show: |settings| settings.metrics_key.as_ref().map_or("none", |_| "set").to_owned(),
    ..ROW
};

/// Proxies in front of the gateway.
const TRUSTED_PROXIES: Variable = Variable {
    name: "TRUSTED_PROXIES",
    default: "[]",
    meaning: "The proxies whose X-Forwarded-For or Forwarded says where a request comes from, in the log alone.",
    limits: r#"JSON array of addresses and networks such as "10.0.0.0/8""#,
    blank_is_a_value: true,
    set: |settings, given| {
        settings.trusted_proxies = proxies::read(given)?;
        Ok(())
    },
    show: |settings| {
        json(
            &settings
                .trusted_proxies
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
        )
    },
    ..ROW
};

/// Web origins.
const CORS: Variable = Variable {
    name: "CORS_ALLOW_ORIGINS",
    default: r#"["*"]"#,
    meaning: "The origins whose web pages may call the HTTP door. An empty list allows none.",
    limits: r#"JSON array of "*" or origins such as "https://app.example.com""#,
    blank_is_a_value: true,
    set: |settings, given| {
        settings.cors_allow_origins = origins::read(given)?;
        Ok(())
    },
    show: |settings| json(&settings.cors_allow_origins),
    ..ROW
};

/// Models and their aliases.
pub(super) const MODELS: &[Variable] = &[
    Variable {
        name: "AVAILABLE_MODELS",
        default: "[]",
        example: r#"["gpt-4o", "gemini-2.5-pro", "Claude Sonnet 4"]"#,
        meaning: "The models that clients may ask for. An empty list allows every name.",
        limits: "JSON array; each name printable, at most 256 bytes",
        live: true,
        blank_is_a_value: true,
        set: |settings, given| {
            settings.available_models = models::read_names(given)?;
            Ok(())
        },
        show: |settings| json(&settings.available_models),
        ..ROW
    },
    Variable {
        name: "MODEL_ALIASES",
        default: "{}",
        meaning: "Other names that clients may use, each with the model it stands for.",
        limits: r#"JSON object such as {"fast": "gpt-4o"}; each model one of AVAILABLE_MODELS, unless that is empty"#,
        live: true,
        blank_is_a_value: true,
        set: |settings, given| {
            settings.model_aliases = models::read_aliases(given)?;
            Ok(())
        },
        show: |settings| json(&settings.model_aliases),
        ..ROW
    },
];
