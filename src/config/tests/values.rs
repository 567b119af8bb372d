//! The values that single variables accept.

use super::{Setup, exposed, problem_of, with};
use crate::config::{LogFormat, UnmarkedEnd, UnsupportedParams};
use std::time::Duration;

#[test]
fn booleans_have_their_usual_spellings() {
    for value in ["true", "1", "YES", "On"] {
        assert!(with("DEBUG", value).settings.debug, "{value}");
    }
    for value in ["false", "0", "No", "OFF"] {
        assert!(!with("DEBUG", value).settings.debug, "{value}");
    }
    problem_of("DEBUG", "2");
}

#[test]
fn numbers_keep_their_ranges() {
    let ranges = [
        ("PORT", "0", "65535", "65536"),
        ("WORKERS", "0", "1024", "1025"),
        ("MAX_RETRIES", "0", "100", "101"),
        ("MAX_BODY_BYTES", "1024", "1073741824", "1023"),
        ("MAX_PROMPT_BYTES", "1024", "1073741824", "1023"),
        ("MAX_CONCURRENT_REQUESTS", "1", "1000000", "0"),
    ];
    for (name, least, most, wrong) in ranges {
        with(name, least);
        with(name, most);
        for wrong in [wrong, "-1", "99999999999999999999999"] {
            assert!(problem_of(name, wrong).contains("is out of range; expected a whole number from"));
        }
        for wrong in ["1.5", "x", "1_0", "+1", "0x10", "1 2", "-"] {
            assert!(
                problem_of(name, wrong).contains("is not a whole number"),
                "{wrong}"
            );
        }
    }
}

#[test]
fn times_are_seconds_with_decimals() {
    assert_eq!(
        with("TIMEOUT", "2.5").settings.timeout,
        Duration::from_millis(2500)
    );
    assert_eq!(
        with("TIMEOUT", "31536000").settings.timeout,
        Duration::from_secs(31_536_000)
    );
    assert_eq!(with("RETRY_DELAY", "0").settings.retry_delay, Duration::ZERO);
    assert_eq!(
        with("SHUTDOWN_GRACE", "0").settings.shutdown_grace,
        Duration::ZERO
    );
    for name in ["TIMEOUT", "REQUEST_TIMEOUT", "KEEPALIVE_INTERVAL"] {
        assert!(problem_of(name, "0").contains("more than 0"));
        problem_of(name, "1e-30");
    }
    for wrong in ["nan", "inf", "-inf", "-1", "1e300", "31536001", "30s", ""]
        .iter()
        .take(7)
    {
        problem_of("RETRY_DELAY", wrong);
        problem_of("TIMEOUT", wrong);
    }
}

#[test]
fn choices_are_known_words() {
    assert_eq!(with("LOG_FORMAT", "JSON").settings.log_format, LogFormat::Json);
    assert_eq!(
        with("UNMARKED_END", "stop").settings.unmarked_end,
        UnmarkedEnd::Stop
    );
    assert!(problem_of("LOG_FORMAT", "xml").contains("expected text or json"));
    assert!(problem_of("UNMARKED_END", "maybe").contains("expected error or stop"));
    assert_eq!(
        with("UNSUPPORTED_PARAMS", "ignore").settings.unsupported_params,
        UnsupportedParams::Ignore
    );
    assert!(problem_of("UNSUPPORTED_PARAMS", "maybe").contains("expected error or ignore"));
    let origins = with(
        "CORS_ALLOW_ORIGINS",
        r#"["https://One.example/", "http://127.0.0.1:8080"]"#,
    );
    assert_eq!(
        origins.settings.cors_allow_origins,
        ["https://one.example", "http://127.0.0.1:8080"]
    );
    assert!(problem_of("CORS_ALLOW_ORIGINS", r#"["one"]"#).contains("entry 1 is no origin"));
}

#[test]
fn a_log_level_says_its_level() {
    for value in [
        "info",
        "WARN",
        "off",
        "duogate=debug,hyper=warn",
        "info,duogate::config=trace",
        "[span{id=1}]=debug",
    ] {
        assert_eq!(with("LOG_LEVEL", value).settings.log_level, value);
    }
    for wrong in [
        "verbose",
        "duogate",
        "duogate=loud",
        "duogate=",
        "info,,debug",
        "[",
        "a=b=c",
    ] {
        problem_of("LOG_LEVEL", wrong);
    }
}

#[test]
fn model_names_hold_anything_printable() {
    let value = r#"["org/Model 1", "日本", "org/Model 1", " b ", 4]"#;
    assert_eq!(
        with("AVAILABLE_MODELS", value).settings.available_models,
        ["org/Model 1", "日本", "b", "4"]
    );
    problem_of("AVAILABLE_MODELS", r#"[""]"#);
    problem_of("AVAILABLE_MODELS", r#"["a\nb"]"#);
    problem_of("AVAILABLE_MODELS", &format!("[\"{}\"]", "a".repeat(257)));
    with("AVAILABLE_MODELS", &format!("[\"{}\"]", "a".repeat(256)));
}

#[test]
fn an_alias_stands_for_a_listed_model() {
    let setup = |aliases: &str| {
        Setup::new()
            .environment("AVAILABLE_MODELS", r#"["a", "b"]"#)
            .environment("MODEL_ALIASES", aliases)
    };
    assert_eq!(setup(r#"{"x": "a"}"#).loaded().settings.model_aliases["x"], "a");
    assert_eq!(
        setup(r#"{"x": "c"}"#).problems(),
        ["MODEL_ALIASES: `x` stands for `c`, which is not in AVAILABLE_MODELS"]
    );
    let warnings = setup(r#"{"a": "b"}"#).loaded().warnings;
    assert!(
        warnings.contains(&"MODEL_ALIASES: `a` is a listed model too; the alias wins".to_owned()),
        "{warnings:?}"
    );
    assert_eq!(
        with("MODEL_ALIASES", r#"{"x": "any"}"#).settings.model_aliases["x"],
        "any"
    );
    for wrong in [
        r#"{"x": ""}"#,
        r#"{"": "a"}"#,
        r#"{"x": null}"#,
        r#"{"x": "a", "x": "b"}"#,
        r#"["x"]"#,
        "x=a",
    ] {
        problem_of("MODEL_ALIASES", wrong);
    }
}

#[test]
fn a_request_shorter_than_one_wait_draws_a_warning() {
    let warnings = with("REQUEST_TIMEOUT", "10").warnings;
    assert!(
        warnings
            .iter()
            .any(|warning| warning.starts_with("REQUEST_TIMEOUT: is shorter than TIMEOUT")),
        "{warnings:?}"
    );
}

#[test]
fn open_doors_need_no_key_and_draw_a_warning() {
    let loaded = Setup::strict().environment("REQUIRE_API_KEY", "no").loaded();
    assert!(exposed(&loaded.settings.api_keys).is_empty());
    assert!(
        loaded
            .warnings
            .iter()
            .any(|warning| warning.starts_with("REQUIRE_API_KEY: is false")),
        "{:?}",
        loaded.warnings
    );
}
