//! The precedence of the layers, and how each is read.

use super::{Setup, exposed};
use crate::config::{Flags, LogFormat, Sources};
use std::path::Path;
use std::time::Duration;

#[test]
fn each_layer_wins_over_the_ones_beneath() {
    let toml = "require_api_key = false\nport = 1\ngrpc_port = 11\nworkers = 1\ntimeout = 1\n";
    let setup = Setup::strict()
        .file("duogate.toml", toml)
        .dotenv("PORT=2\nGRPC_PORT=12\nWORKERS=2\n")
        .environment("PORT", "3")
        .environment("GRPC_PORT", "13")
        .flags(Flags {
            port: Some(4),
            ..Flags::default()
        });
    let settings = setup.loaded().settings;
    assert_eq!(
        (settings.port, settings.grpc_port, settings.workers),
        (4, Some(13), 2)
    );
    assert_eq!(
        (settings.timeout, settings.max_retries),
        (Duration::from_secs(1), 3)
    );
}

#[test]
fn every_flag_reaches_its_variable() {
    let flags = Flags {
        host: Some("::1".to_owned()),
        port: Some(0),
        grpc_port: Some("7".to_owned()),
        workers: Some(5),
    };
    let settings = Setup::new()
        .environment("HOST", "10.0.0.1")
        .flags(flags)
        .loaded()
        .settings;
    assert_eq!(
        (
            settings.host.as_str(),
            settings.port,
            settings.grpc_port,
            settings.workers
        ),
        ("::1", 0, Some(7), 5)
    );
}

#[test]
fn a_wrong_flag_is_told_as_the_command_lines() {
    let problems = Setup::new()
        .flags(Flags {
            workers: Some(5000),
            ..Flags::default()
        })
        .problems();
    assert_eq!(
        problems,
        ["WORKERS: is out of range; expected a whole number from 0 to 1024 (from the command line)"]
    );
}

#[test]
fn a_blank_value_leaves_the_layer_beneath_in_force() {
    let setup = Setup::new()
        .dotenv("PORT=2\nAPI_KEYS=[\"a\"]\nHOST=\n")
        .environment("PORT", " ");
    let settings = setup.loaded().settings;
    assert_eq!((settings.port, settings.host.as_str()), (2, "0.0.0.0"));
    assert_eq!(exposed(&settings.api_keys), ["a"]);
}

#[test]
fn a_blank_list_is_the_empty_list() {
    let setup = Setup::new().dotenv("API_KEYS=[\"a\"]\nMODEL_ALIASES={\"a\": \"b\"}\n");
    let settings = setup
        .environment("API_KEYS", "")
        .environment("MODEL_ALIASES", "")
        .loaded()
        .settings;
    assert!(settings.api_keys.is_empty() && settings.model_aliases.is_empty());
}

#[test]
fn toml_takes_native_types_in_either_case() {
    let toml = r#"
        APP_NAME = "From TOML"
        debug = true
        port = 1
        retry_delay = 0.25
        timeout = "2.5"
        max_retries = "7"
        LOG_FORMAT = "JSON"
        api_keys = ["a", 12345]
        available_models = '["x", "y z"]'

        [model_aliases]
        fast = "x"

        [UPSTREAM_HEADERS]
        user-agent = "test"
    "#;
    let settings = Setup::strict().file("duogate.toml", toml).loaded().settings;
    assert_eq!(
        (settings.app_name.as_str(), settings.debug, settings.port),
        ("From TOML", true, 1)
    );
    assert_eq!(settings.retry_delay, Duration::from_millis(250));
    assert_eq!(
        (settings.timeout, settings.max_retries),
        (Duration::from_millis(2500), 7)
    );
    assert_eq!(settings.log_format, LogFormat::Json);
    assert_eq!(exposed(&settings.api_keys), ["a", "12345"]);
    assert_eq!(settings.available_models, ["x", "y z"]);
    assert_eq!(settings.model_aliases["fast"], "x");
    assert_eq!(settings.upstream_headers["user-agent"], "test");
}

#[test]
fn an_object_of_a_stronger_layer_replaces_the_weaker_one_whole() {
    let setup = Setup::strict()
        .file(
            "duogate.toml",
            "require_api_key = false\n[model_aliases]\na = \"x\"\n",
        )
        .environment("MODEL_ALIASES", r#"{"b": "y"}"#);
    let aliases = setup.loaded().settings.model_aliases;
    assert_eq!(aliases.into_keys().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn wrong_toml_types_are_problems_of_their_variables() {
    let toml = "require_api_key = 7\nport = 1.5\ntimeout = true\napi_keys = {}\napp_name = 5\nhost = [1]\n\
                target_api_url = 1979-05-27\nmodel_aliases = [\"a\"]\nlog_format = 1\nworkers = -1\nretry_delay = nan\n";
    let problems = Setup::strict().file("duogate.toml", toml).problems();
    let mut names: Vec<&str> = problems
        .iter()
        .filter_map(|line| line.split(':').next())
        .collect();
    names.sort_unstable();
    let expected = [
        "API_KEYS",
        "APP_NAME",
        "HOST",
        "LOG_FORMAT",
        "MODEL_ALIASES",
        "PORT",
        "REQUIRE_API_KEY",
        "RETRY_DELAY",
        "TARGET_API_URL",
        "TIMEOUT",
        "WORKERS",
    ];
    assert_eq!(names, expected, "{problems:?}");
    assert!(
        problems.iter().all(|line| line.ends_with("(from duogate.toml)")),
        "{problems:?}"
    );
}

#[test]
fn an_unknown_toml_key_is_a_problem() {
    let problems = Setup::new()
        .file("duogate.toml", "prot = 1\nPort = 2\nport = 1\nPORT = 2\n")
        .problems();
    assert_eq!(problems.len(), 3, "{problems:?}");
    let all = problems.join("\n");
    for line in [
        "duogate.toml: the key `prot` is not known",
        "the key `Port` is not known",
        "PORT: is given twice",
    ] {
        assert!(all.contains(line), "{all}");
    }
}

#[test]
fn unknown_names_in_dotenv_and_environment_are_ignored() {
    Setup::new()
        .dotenv("OTHER=1\nDUOGATE_PORT=x\n")
        .environment("PATH", "/bin")
        .environment("DUOGATE_PORT", "x")
        .loaded();
}

#[test]
fn the_grpc_host_follows_the_host() {
    let settings = Setup::new().environment("HOST", "[::1]").loaded().settings;
    assert_eq!(
        (settings.host.as_str(), settings.grpc_host.as_str()),
        ("::1", "::1")
    );
    let settings = Setup::new()
        .environment("GRPC_HOST", "127.0.0.1")
        .loaded()
        .settings;
    assert_eq!(
        (settings.host.as_str(), settings.grpc_host.as_str()),
        ("0.0.0.0", "127.0.0.1")
    );
}

#[test]
fn debug_lowers_the_log_level_unless_one_is_set() {
    assert_eq!(super::with("DEBUG", "1").settings.log_level, "debug");
    let settings = Setup::new()
        .environment("DEBUG", "1")
        .environment("LOG_LEVEL", "warn")
        .loaded()
        .settings;
    assert_eq!(settings.log_level, "warn");
}

#[test]
fn all_problems_are_told_together_in_order() {
    let setup = Setup::new()
        .dotenv("TIMEOUT=0\nHOST=a b\n")
        .environment("PORT", "x")
        .environment("DEBUG", "maybe");
    let problems = setup.problems();
    let names: Vec<&str> = problems
        .iter()
        .filter_map(|line| line.split(':').next())
        .collect();
    assert_eq!(names, ["DEBUG", "HOST", "PORT", "TIMEOUT"]);
    assert_eq!(setup.load().unwrap_err().to_string(), problems.join("\n"));
    assert!(
        problems[1].ends_with("(from .env)") && problems[2].ends_with("(from the environment)"),
        "{problems:?}"
    );
}

#[test]
fn the_process_sources_start_in_the_working_directory() {
    let sources = Sources::from_process(None, Some("x".into()), Flags::default());
    assert_eq!(sources.directory, Path::new("."));
    assert!(sources.environment.iter().any(|(name, _)| name == "PATH"));
}
