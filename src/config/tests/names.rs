//! Other spellings of names, and unknown names that resemble a variable's.

use super::{Setup, exposed};
use crate::config::{Loaded, table};

/// The warnings about names.
fn told(loaded: &Loaded) -> Vec<&str> {
    let is_about_names = |warning: &&str| {
        ["did you mean", "twice", "is in the environment as"]
            .iter()
            .any(|word| warning.contains(word))
    };
    loaded
        .warnings
        .iter()
        .map(String::as_str)
        .filter(is_about_names)
        .collect()
}

#[test]
fn names_count_in_any_case() {
    let text = "available_models=[\"a\"]\nApi_Keys=[\"k\"]\nexport port=1\n";
    let loaded = Setup::new()
        .dotenv(text)
        .environment("grpc_port", "2")
        .environment("Token_Pool", "[\"t\"]")
        .loaded();
    let settings = &loaded.settings;
    assert_eq!(settings.available_models, ["a"]);
    assert_eq!(
        (exposed(&settings.api_keys), exposed(&settings.tokens)),
        (vec!["k"], vec!["t"])
    );
    assert_eq!((settings.port, settings.grpc_port), (1, Some(2)));
    assert_eq!(told(&loaded), Vec::<&str>::new());
}

#[test]
fn every_variable_is_known_in_lower_case() {
    let outcome = |setup: Setup| {
        let told = match setup.load() {
            Ok(loaded) => format!("{:?}", loaded.settings.describe()),
            Err(problems) => problems.to_string().replace(", in another spelling", ""),
        };
        told.replace(setup.directory.path().to_str().unwrap(), "here")
    };
    for variable in table::variables() {
        let lower = variable.name.to_ascii_lowercase();
        // Valid or not, the value has an effect.
        let value = "x\u{7}x";
        let in_file = |name: &str| outcome(Setup::new().dotenv(&format!("{name}={value}\n")));
        assert_eq!(in_file(&lower), in_file(variable.name));
        assert_ne!(in_file(&lower), in_file("OTHER"), "{lower} is not read");
        let around = |name: &str| outcome(Setup::new().environment(name, value));
        assert_eq!(around(&lower), around(variable.name));
        assert_ne!(around(&lower), around("OTHER"), "{lower} is not read");
    }
}

#[test]
fn in_a_dotenv_file_the_last_spelling_counts() {
    let loaded = Setup::new().dotenv("PORT=1\nport=2\n").loaded();
    assert_eq!(loaded.settings.port, 2);
    assert_eq!(
        told(&loaded),
        ["PORT: is given twice in .env (lines 1 and 2); the last counts"]
    );
}

#[test]
fn in_the_environment_upper_case_counts_before_all_others_and_then_lower_case() {
    let spelled = |names: &[(&str, &str)]| {
        let setup = names.iter().fold(Setup::new(), |setup, (name, value)| {
            setup.environment(name, *value)
        });
        let loaded = setup.loaded();
        (
            loaded.settings.port,
            told(&loaded).iter().map(ToString::to_string).collect::<Vec<_>>(),
        )
    };
    let (port, told) = spelled(&[("port", "2"), ("PORT", "1")]);
    assert_eq!(port, 1);
    assert_eq!(
        told,
        ["PORT: is in the environment as PORT and as port; PORT counts"]
    );
    let (port, told) = spelled(&[("port", "2"), ("Port", "1")]);
    assert_eq!(port, 2);
    assert_eq!(
        told,
        ["PORT: is in the environment as Port and as port; port counts"]
    );
    assert_eq!(spelled(&[("PORT", " "), ("port", "2")]), (2, Vec::new()));
}

#[test]
fn a_problem_says_that_the_name_was_spelled_otherwise() {
    let problems = Setup::new().environment("port", "x").problems();
    let expected = "PORT: is not a whole number; expected one from 0 to 65535 (from the environment, in another spelling)";
    assert_eq!(problems, [expected]);
}

#[test]
fn near_misses_in_a_dotenv_file_are_told_without_their_values() {
    for (written, meant) in [
        ("API_KEY", "API_KEYS"),
        ("api_key", "API_KEYS"),
        ("APIKEYS", "API_KEYS"),
        ("KEYS", "API_KEYS"),
        ("TOKENS", "TOKEN_POOL"),
        ("TOKEN_POOLS", "TOKEN_POOL"),
        ("AVAILABLE_MODEL", "AVAILABLE_MODELS"),
        ("MODELS", "AVAILABLE_MODELS"),
        ("REQUIRE_API_KEYS", "REQUIRE_API_KEY"),
        ("PROT", "PORT"),
        ("GRPC-PORT", "GRPC_PORT"),
        ("HTTP_PORT", "PORT"),
        ("LOGLEVEL", "LOG_LEVEL"),
        ("MAX_RETRY", ""),
    ] {
        for value in ["", "[\"very-secret\"]"] {
            let loaded = Setup::new().dotenv(&format!("\n{written}={value}\n")).loaded();
            let expected = format!(
                "{written}: is no setting, and is ignored (from .env, line 2); did you mean {meant}?"
            );
            let expected = if meant.is_empty() {
                vec![]
            } else {
                vec![expected.as_str()]
            };
            assert_eq!(told(&loaded), expected);
            assert!(!format!("{:?}", loaded.warnings).contains("very-secret"));
        }
    }
}

#[test]
fn names_of_other_services_in_a_dotenv_file_are_nobodys_business() {
    let others = "POSTGRES_PORT=5432\nDB_HOST=db\nDB_NAME=x\nREDIS_URL=redis://r\nCOMPOSE_PROJECT_NAME=x\nTZ=UTC\n\
                  PUID=1\nNODE_ENV=production\nSMTP_HOST=m\nOPENAI_API_KEY=sk\nBASE_URL=http://x\nUSER=me\nPATH=/bin\n\
                  NGINX_PORT=80\nDOMAIN=example.com\nSECRET=abc\n";
    let loaded = Setup::new().dotenv(others).loaded();
    assert_eq!(told(&loaded), Vec::<&str>::new());
}

#[test]
fn near_misses_in_the_environment_are_told_where_they_can_hardly_be_somebody_elses() {
    for (written, value, meant) in [
        ("API_KEY", "", "API_KEYS"),
        ("TOKEN_POOLS", "x", "TOKEN_POOL"),
        ("AVAILABLE_MODEL", "x", "AVAILABLE_MODELS"),
        ("TOKENS", "[\"very-secret\"]", "TOKEN_POOL"),
        ("models", "[\"very-secret\"]", "AVAILABLE_MODELS"),
    ] {
        let loaded = Setup::new().environment(written, value).loaded();
        let expected =
            format!("{written}: is no setting, and is ignored (from the environment); did you mean {meant}?");
        assert_eq!(told(&loaded), [expected]);
    }
    for (written, value) in [("TOKENS", "x"), ("PROT", "1"), ("HOSTS", "a"), ("WORKER", "1")] {
        assert_eq!(
            told(&Setup::new().environment(written, value).loaded()),
            Vec::<&str>::new(),
            "{written}"
        );
    }
    let both = Setup::new()
        .environment("API_KEY", "x")
        .environment("API_KEYS", "[\"y\"]");
    assert_eq!(
        told(&both.loaded()),
        Vec::<&str>::new(),
        "API_KEY may be a client's"
    );
}

/// Usual environment variables of desktops, shells, containers, pods and build machines.
const USUAL: &str = "PATH HOME USER LOGNAME SHELL PWD OLDPWD SHLVL TERM LANG LC_ALL LANGUAGE HOSTNAME HOSTTYPE MACHTYPE \
    OSTYPE MAIL EDITOR PAGER VISUAL DISPLAY WAYLAND_DISPLAY XAUTHORITY XDG_RUNTIME_DIR XDG_SESSION_ID XDG_DATA_DIRS \
    DBUS_SESSION_BUS_ADDRESS DESKTOP_SESSION SESSION_MANAGER SSH_AUTH_SOCK SSH_CONNECTION SSH_TTY GPG_AGENT_INFO PS1 \
    COLORTERM LS_COLORS TZ TMPDIR TMP TEMP _ INVOCATION_ID JOURNAL_STREAM NOTIFY_SOCKET LISTEN_PID LISTEN_FDS \
    CREDENTIALS_DIRECTORY STATE_DIRECTORY RUNTIME_DIRECTORY LOGS_DIRECTORY CACHE_DIRECTORY WATCHDOG_USEC container \
    KUBERNETES_SERVICE_HOST KUBERNETES_SERVICE_PORT KUBERNETES_SERVICE_PORT_HTTPS KUBERNETES_PORT \
    KUBERNETES_PORT_443_TCP KUBERNETES_PORT_443_TCP_PROTO KUBERNETES_PORT_443_TCP_PORT KUBERNETES_PORT_443_TCP_ADDR \
    POD_NAME POD_IP POD_NAMESPACE NODE_NAME NODE_ENV CI GITHUB_TOKEN GITHUB_ACTIONS GITHUB_WORKSPACE GITLAB_CI \
    AWS_REGION AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AZURE_CLIENT_ID GOOGLE_CLOUD_PROJECT \
    K_SERVICE K_REVISION DYNO FLY_APP_NAME RAILWAY_STATIC_URL RENDER OPENAI_API_KEY OPENAI_BASE_URL ANTHROPIC_API_KEY \
    HF_TOKEN TOKEN NPM_TOKEN http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY SSL_CERT_FILE \
    SSL_CERT_DIR REQUESTS_CA_BUNDLE RUST_LOG RUST_BACKTRACE RUSTUP_HOME CARGO_HOME GOPATH JAVA_HOME PYTHONPATH \
    VIRTUAL_ENV CONDA_PREFIX NVM_DIR DB_HOST DB_PORT DB_NAME DB_USER POSTGRES_PASSWORD REDIS_URL DATABASE_URL \
    LOG_FILE LOG_DIR API_URL API_HOST API_PORT BASE_URL APP_ENV APP_URL SECRET_KEY DOMAIN MODE VERSION";

#[test]
fn usual_environments_draw_no_warning() {
    for value in ["", "x", "1", "tcp://10.0.0.1:443"] {
        let setup = USUAL
            .split_ascii_whitespace()
            .fold(Setup::new(), |setup, name| setup.environment(name, value));
        assert_eq!(told(&setup.loaded()), Vec::<&str>::new(), "{value}");
    }
}

#[test]
fn an_unknown_toml_key_comes_with_the_one_that_was_meant() {
    for (key, told) in [
        ("prot", "the key `prot` is not known; did you mean `port`?"),
        (
            "API_KEY",
            "the key `API_KEY` is not known; did you mean `api_keys`?",
        ),
        (
            "api-keys",
            "the key `api-keys` is not known; did you mean `api_keys`?",
        ),
        (
            "tokens",
            "the key `tokens` is not known; did you mean `token_pool`?",
        ),
        ("Port", "the key `Port` is not known; did you mean `port`?"),
        ("something", "the key `something` is not known (from"),
    ] {
        let text = format!("require_api_key = false\n{key} = \"very-secret\"\n");
        let problems = Setup::strict().file("duogate.toml", text).problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains(told), "{problems:?}");
        assert!(!problems[0].contains("very-secret"));
    }
}
