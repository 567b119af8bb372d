//! Compares `.env.example` and `docs/configuration.md` with the table.

use super::{Setup, exposed};
use crate::config::{EXAMPLE_KEY, Settings, Variable, dotenv, groups, table};
use std::fmt::Write;
use std::path::PathBuf;

const HEADING: &str = "\
# The settings of duogate. Copy this file to .env, or let `duogate init` write one with a fresh key.
# Values need no quotes. All rules: docs/configuration.md.
";

const MARK: &str = "<!-- variables:";
const END: &str = "<!-- end of variables -->";

/// The variable's line: active if its default or example works as it is, commented out otherwise.
fn example_line(variable: &Variable) -> String {
    match (variable.default, variable.example) {
        ("", example) => format!("# {}={example}", variable.name),
        (default, "") => format!("{}={default}", variable.name),
        (_, example) => format!("{}={example}", variable.name),
    }
}

fn example() -> String {
    let mut text = HEADING.to_owned();
    for group in groups() {
        write!(text, "\n# ---- {} ----\n", group.title).unwrap();
        for variable in group.variables {
            let Variable { meaning, limits, .. } = variable;
            write!(
                text,
                "\n# {meaning}\n# Values: {limits}.\n{}\n",
                example_line(variable)
            )
            .unwrap();
        }
    }
    text
}

fn tables() -> String {
    let mut text = String::new();
    for group in groups() {
        let title = group.title;
        write!(
            text,
            "\n## {title}\n\n| variable | default | meaning | values | a change counts |\n| --- | --- | --- | --- | --- |\n"
        )
        .unwrap();
        for Variable {
            name,
            default,
            otherwise,
            meaning,
            limits,
            live,
            ..
        } in group.variables
        {
            let default = if default.is_empty() {
                (*otherwise).to_owned()
            } else {
                format!("`{default}`")
            };
            let counts = if *live { "at once" } else { "after a restart" };
            writeln!(text, "| `{name}` | {default} | {meaning} | {limits} | {counts} |").unwrap();
        }
    }
    text
}

fn in_repository(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Compares a file with its expected text; writes it if `UPDATE_REFERENCE` is set.
fn hold(name: &str, should: &str) {
    let path = in_repository(name);
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, should).unwrap();
    }
    let is = std::fs::read_to_string(&path).unwrap();
    assert!(
        is == should,
        "{name} is out of date: run `UPDATE_REFERENCE=1 cargo test config` and look at the difference"
    );
}

#[test]
fn the_example_holds_every_variable_of_the_table() {
    hold(".env.example", &example());
}

#[test]
fn the_documentation_holds_every_variable_with_its_default() {
    let is = std::fs::read_to_string(in_repository("docs/configuration.md")).unwrap();
    let (before, rest) = is.split_once(MARK).unwrap();
    let (note, rest) = rest.split_once('\n').unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    hold(
        "docs/configuration.md",
        &format!("{before}{MARK}{note}\n{}\n{END}{after}", tables()),
    );
}

#[test]
fn the_example_loads_as_working_settings() {
    let text = std::fs::read_to_string(in_repository(".env.example")).unwrap();
    let loaded = Setup::strict().dotenv(&text).loaded();
    assert_eq!(exposed(&loaded.settings.api_keys), [EXAMPLE_KEY]);
    assert_eq!(loaded.settings.available_models.len(), 3);
    assert!(
        loaded
            .warnings
            .iter()
            .any(|warning| warning.contains("example's key")),
        "{:?}",
        loaded.warnings
    );
    for (variable, value) in table::variables().zip(loaded.settings.describe()) {
        let is_changed = ["API_KEYS", "AVAILABLE_MODELS"].contains(&variable.name);
        let default = Settings::default()
            .describe()
            .into_iter()
            .find(|(name, _)| *name == value.0);
        assert!(is_changed || default == Some(value), "{}", variable.name);
    }
}

#[test]
fn the_commented_lines_of_the_example_work_too() {
    let text = std::fs::read_to_string(in_repository(".env.example")).unwrap();
    let mut setup = Setup::strict()
        .file("keys", "key-from-file\n")
        .file("tokens", "token-from-file\n");
    let mut lines = String::new();
    let mut found = 0;
    for line in text.lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let is_ours = table::variables().any(|variable| bare.starts_with(&format!("{}=", variable.name)));
        if is_ours {
            found += 1;
            let bare = bare
                .replace("/run/secrets/api_keys", "keys")
                .replace("/run/secrets/token_pool", "tokens");
            lines.push_str(&bare);
            lines.push('\n');
        }
    }
    assert_eq!(found, table::variables().count());
    assert!(dotenv::parse(&text).iter().all(Result::is_ok));
    setup = setup.dotenv(&lines);
    let settings = setup.loaded().settings;
    assert_eq!(exposed(&settings.tokens), ["token-from-file"]);
    assert!(settings.upstream_proxy.is_some());
}

#[test]
fn the_names_and_defaults_are_the_published_ones() {
    let published = [
        ("APP_NAME", "LLM Proxy API"),
        ("DEBUG", "false"),
        ("HOST", "0.0.0.0"),
        ("PORT", "3333"),
        ("GRPC_HOST", "0.0.0.0"),
        ("GRPC_PORT", "50051"),
        ("REFLECTION", "true"),
        ("WORKERS", "0"),
        ("TLS_CERT", "none"),
        ("TLS_KEY", "none"),
        ("TLS_CLIENT_CA", "none"),
        ("TLS_CLIENT_AUTH", "off"),
        ("REQUIRE_API_KEY", "true"),
        ("API_KEYS", "0 keys"),
        ("API_KEYS_FILE", "none"),
        ("ADMIN_KEY", "none"),
        ("METRICS_KEY", "none"),
        ("TRUSTED_PROXIES", "[]"),
        ("CORS_ALLOW_ORIGINS", "[\"*\"]"),
        ("TARGET_API_URL", "https://api.orionai.asia/chat"),
        ("CONVERSATION_API_URL", "https://api.orionai.asia/conversation"),
        ("PROJECT_API_URL", "https://api.orionai.asia/project"),
        ("MESSAGE_API_URL", "https://api.orionai.asia/conversation"),
        ("SITE_URL", "https://www.orionai.asia"),
        ("TOKEN_POOL", "0 tokens"),
        ("TOKEN_POOL_FILE", "none"),
        ("UPSTREAM_HEADERS", "0 headers"),
        ("UPSTREAM_PROXY", "none"),
        ("UNMARKED_END", "error"),
        ("UNSUPPORTED_PARAMS", "error"),
        ("TOKEN_COOLDOWN", "600"),
        ("TOKEN_MAX_FAILURES", "5"),
        ("MAX_IN_FLIGHT_PER_TOKEN", "0"),
        ("BREAKER_PROBE_INTERVAL", "1"),
        ("WARM_CONVERSATIONS", "2"),
        ("WARM_TTL", "300"),
        ("CLEANUP_CONVERSATIONS", "true"),
        ("STATE_DIR", "none"),
        ("AVAILABLE_MODELS", "[]"),
        ("MODEL_ALIASES", "{}"),
        ("TIMEOUT", "30"),
        ("REQUEST_TIMEOUT", "600"),
        ("KEEPALIVE_INTERVAL", "15"),
        ("MAX_RETRIES", "3"),
        ("RETRY_DELAY", "1"),
        ("SHUTDOWN_GRACE", "20"),
        ("HEADER_READ_TIMEOUT", "30"),
        ("BODY_READ_TIMEOUT", "60"),
        ("HTTP_IDLE_TIMEOUT", "620"),
        ("MAX_CONNECTION_AGE", "0"),
        ("CONVERSE_IDLE_TIMEOUT", "300"),
        ("CLIENT_WRITE_TIMEOUT", "60"),
        ("MAX_BODY_BYTES", "10485760"),
        ("MAX_PROMPT_BYTES", "8388608"),
        ("MAX_CONCURRENT_REQUESTS", "1024"),
        ("RESPONSES_STORE_MAX", "1000"),
        ("RESPONSES_STORE_BYTES", "67108864"),
        ("LOG_FORMAT", "text"),
        ("LOG_LEVEL", "info"),
    ];
    let described = Settings::default().describe();
    assert_eq!(described, published.map(|(name, value)| (name, value.to_owned())));
    for variable in table::variables() {
        assert!(
            !variable.meaning.is_empty() && !variable.limits.is_empty(),
            "{}",
            variable.name
        );
        assert!(
            variable.default.is_empty() != variable.otherwise.is_empty(),
            "{}",
            variable.name
        );
    }
}

#[test]
fn the_defaults_alone_lack_nothing_but_a_key() {
    let problems = Setup::strict().problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].starts_with("API_KEYS: no key is configured"),
        "{problems:?}"
    );
    assert!(
        problems[0].contains("duogate init") && problems[0].contains("REQUIRE_API_KEY=false"),
        "{problems:?}"
    );
}
