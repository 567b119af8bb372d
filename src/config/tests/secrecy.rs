//! Keys and credentials: valid characters, and that nothing displays them.

use super::{Setup, exposed, problem_of, with};

#[test]
fn a_token_no_cookie_may_hold_is_a_named_problem() {
    let wrong = [
        ("a b", "a space"),
        ("a,b", "a comma"),
        ("a;b", "a semicolon"),
        ("a\"b", "a double quote"),
        ("a\\b", "a backslash"),
        ("a\u{7}b", "a control character"),
        ("a\u{7f}b", "a control character"),
        ("aéb", "a character outside ASCII"),
    ];
    for (token, kind) in wrong {
        let list = serde_json::to_string(&["good", token]).unwrap();
        let expected =
            format!("TOKEN_POOL: entry 2 holds {kind}, which no cookie may hold (from the environment)");
        assert_eq!(problem_of("TOKEN_POOL", &list), expected);
    }
}

#[test]
fn a_key_is_visible_ascii_without_blanks() {
    assert_eq!(
        exposed(&with("API_KEYS", r#"["a,;\\\"b"]"#).settings.api_keys),
        ["a,;\\\"b"]
    );
    for (key, kind) in [
        ("a b", "a space"),
        ("a\tb", "a control character"),
        ("é", "a character outside ASCII"),
    ] {
        let problem = problem_of("API_KEYS", &serde_json::to_string(&[key]).unwrap());
        assert!(
            problem.starts_with(&format!("API_KEYS: entry 1 holds {kind};")),
            "{problem}"
        );
    }
}

#[test]
fn an_empty_entry_is_a_problem() {
    assert_eq!(
        problem_of("API_KEYS", r#"["a", ""]"#),
        "API_KEYS: entry 2 is empty (from the environment)"
    );
    assert_eq!(
        problem_of("TOKEN_POOL", r#"[" "]"#),
        "TOKEN_POOL: entry 1 is empty (from the environment)"
    );
}

#[test]
fn every_digit_of_a_number_is_kept() {
    let tokens = with("TOKEN_POOL", r#"[12345678901234567890123, 0, "0012"]"#)
        .settings
        .tokens;
    assert_eq!(exposed(&tokens), ["12345678901234567890123", "0", "0012"]);
    problem_of("TOKEN_POOL", "[0012]");
}

#[test]
fn a_repeated_entry_counts_once_with_a_warning_by_position() {
    let loaded = with("TOKEN_POOL", r#"["very-secret", "other", "very-secret"]"#);
    assert_eq!(exposed(&loaded.settings.tokens), ["very-secret", "other"]);
    assert!(
        loaded
            .warnings
            .contains(&"TOKEN_POOL: entry 3 repeats an earlier one and counts once".to_owned())
    );
    assert!(!loaded.warnings.concat().contains("very-secret"));
}

#[test]
fn what_is_no_json_array_is_told_with_the_form_and_without_the_value() {
    for value in [
        "very-secret",
        "very-secret,b",
        "{\"very-secret\": 1}",
        "\"very-secret\" ",
        "[\"very-secret\"",
        "['a']",
    ] {
        for name in ["TOKEN_POOL", "API_KEYS", "AVAILABLE_MODELS"] {
            let problem = problem_of(name, value);
            assert!(
                problem.contains("expected a JSON array on one line, for example [\""),
                "{problem}"
            );
            assert!(!problem.contains("very-secret"), "{problem}");
        }
    }
}

#[test]
fn an_entry_that_is_no_text_is_a_problem() {
    for entry in ["null", "true", "1.5", "1e3", "[\"a\"]", "{}"] {
        let problem = problem_of("API_KEYS", &format!("[\"a\", {entry}]"));
        assert_eq!(
            problem,
            "API_KEYS: entry 2 is neither a string nor a whole number (from the environment)"
        );
    }
}

#[test]
fn a_long_list_of_wrong_entries_is_cut() {
    let list = serde_json::to_string(&vec!["a b"; 500]).unwrap();
    let problems = Setup::new().environment("TOKEN_POOL", list).problems();
    assert_eq!(problems.len(), 21);
    assert!(
        problems[20].starts_with("TOKEN_POOL: 480 more entries are wrong"),
        "{problems:?}"
    );
}

#[test]
fn an_empty_pool_is_only_a_warning() {
    let warnings = with("TOKEN_POOL", "[]").warnings;
    assert!(
        warnings
            .iter()
            .any(|warning| warning.starts_with("TOKEN_POOL: holds no token")),
        "{warnings:?}"
    );
}

#[test]
fn nothing_shows_a_secret() {
    let secret = |part: &str| format!("very-secret-{part}");
    let setup = Setup::new()
        .environment("API_KEYS", format!("[\"{}\"]", secret("key")))
        .environment("ADMIN_KEY", secret("admin"))
        .environment("METRICS_KEY", secret("metrics"))
        .environment("TOKEN_POOL", format!("[\"{}\", \"b\"]", secret("token")))
        .environment(
            "UPSTREAM_HEADERS",
            format!("{{\"authorization\": \"{}\"}}", secret("header")),
        )
        .environment(
            "UPSTREAM_PROXY",
            format!("http://user:{}@proxy.test:3128", secret("password")),
        );
    let loaded = setup.loaded();
    let shown = format!("{loaded:?} {:?}", loaded.settings.describe());
    assert!(
        !shown.contains("very-secret") && !shown.contains("user"),
        "{shown}"
    );
    let described: std::collections::BTreeMap<_, _> = loaded.settings.describe().into_iter().collect();
    assert_eq!(described["API_KEYS"], "1 key");
    assert_eq!(described["ADMIN_KEY"], "set");
    assert_eq!(described["METRICS_KEY"], "set");
    assert_eq!(described["TOKEN_POOL"], "2 tokens (01cadf39, 3e23e816)");
    assert_eq!(described["UPSTREAM_HEADERS"], "1 header (authorization)");
    assert_eq!(
        described["UPSTREAM_PROXY"],
        "http://proxy.test:3128 (with credentials)"
    );
    assert!(
        loaded
            .settings
            .upstream_proxy
            .unwrap()
            .expose()
            .contains("very-secret-password")
    );
}

#[test]
fn no_problem_shows_a_value_whichever_variable_holds_it() {
    let mut setup = Setup::new();
    let described = crate::config::Settings::default().describe();
    for (name, _) in &described {
        setup = setup.environment(
            name,
            "very-secret\u{7}\\é; \"x\" http://user:very-secret@host?very-secret",
        );
    }
    let problems = setup.load().unwrap_err();
    // Most texts are valid paths. The two secret files are read at once and do not exist; those of TLS and the state
    // directory are read later. Every other value is malformed.
    let read_later = 4;
    assert_eq!(
        problems.iter().count(),
        described.len() - read_later,
        "{problems}"
    );
    assert!(
        !format!("{problems} {problems:?}").contains("very-secret"),
        "{problems}"
    );
}

#[test]
fn a_key_of_its_own_may_be_none_of_the_other_keys() {
    for variable in ["ADMIN_KEY", "METRICS_KEY"] {
        let expected =
            format!("{variable}: is one of API_KEYS (or a line of API_KEYS_FILE); expected a key of its own");
        let listed = Setup::strict()
            .environment("API_KEYS", r#"["sk-one", "very-secret-very-secret"]"#)
            .environment(variable, "very-secret-very-secret");
        assert_eq!(listed.problems(), std::slice::from_ref(&expected));
        let in_file = Setup::strict()
            .file("keys", "very-secret-very-secret\n")
            .environment("API_KEYS_FILE", "keys")
            .environment(variable, "very-secret-very-secret");
        assert_eq!(in_file.problems(), [expected]);
    }
    let same = Setup::strict()
        .environment("API_KEYS", r#"["sk-one"]"#)
        .environment("ADMIN_KEY", "very-secret-very-secret")
        .environment("METRICS_KEY", "very-secret-very-secret");
    assert_eq!(
        same.problems(),
        ["METRICS_KEY: is ADMIN_KEY; expected a key of its own"]
    );
    let of_its_own = with("ADMIN_KEY", "very-secret-very-secret");
    assert!(of_its_own.settings.admin_key.is_some());
    let of_its_own = with("METRICS_KEY", "very-secret-very-secret");
    assert!(of_its_own.settings.metrics_key.is_some());
    assert!(
        with("ADMIN_KEY", " ").settings.admin_key.is_none()
            && with("METRICS_KEY", " ").settings.metrics_key.is_none(),
        "blank is unset"
    );
}

#[test]
fn a_key_of_its_own_has_the_characters_of_a_key_and_should_be_long() {
    for (variable, example) in [
        ("ADMIN_KEY", crate::config::EXAMPLE_ADMIN_KEY),
        ("METRICS_KEY", crate::config::EXAMPLE_METRICS_KEY),
    ] {
        for (key, kind) in [("a b", "a space"), ("é", "a character outside ASCII")] {
            let problem = problem_of(variable, key);
            assert!(
                problem.starts_with(&format!("{variable}: holds {kind};")),
                "{problem}"
            );
        }
        let warns = |key: &str, what: &str| {
            let warnings = with(variable, key).warnings;
            warnings
                .iter()
                .any(|warning| warning.starts_with(&format!("{variable}: {what}")))
        };
        assert!(warns("fifteen-letters", "is shorter than 16 characters"));
        assert!(!warns("sixteen--letters", "is shorter"));
        assert!(warns(example, "is the example's key"));
    }
}

#[test]
fn trusted_proxies_are_networks() {
    let loaded = with(
        "TRUSTED_PROXIES",
        r#"["10.1.2.3/8", "192.0.2.7", "fd00::/8", "10.0.0.0/8"]"#,
    );
    let networks: Vec<String> = loaded
        .settings
        .trusted_proxies
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(networks, ["10.0.0.0/8", "192.0.2.7/32", "fd00::/8"]);
    let repeated = "TRUSTED_PROXIES: entry 4 repeats an earlier one and counts once";
    assert!(
        loaded.warnings.contains(&repeated.to_owned()),
        "{:?}",
        loaded.warnings
    );
    for (value, place) in [(r#"["10.0.0.0/33"]"#, 1), (r#"["10.0.0.0/8", "proxy.test"]"#, 2)] {
        let problem = problem_of("TRUSTED_PROXIES", value);
        assert!(
            problem.starts_with(&format!("TRUSTED_PROXIES: entry {place} is no network")),
            "{problem}"
        );
    }
    let everybody = with("TRUSTED_PROXIES", r#"["0.0.0.0/0"]"#).warnings;
    assert!(
        everybody
            .iter()
            .any(|warning| warning.starts_with("TRUSTED_PROXIES: entry 1 is everybody"))
    );
}

#[test]
fn tokens_that_only_the_file_holds_are_counted() {
    let setup = Setup::new()
        .file("tokens", "two\n# no\nthree\n")
        .environment("TOKEN_POOL", r#"["one", "two"]"#)
        .environment("TOKEN_POOL_FILE", "tokens");
    let settings = setup.loaded().settings;
    assert_eq!(exposed(&settings.tokens), ["one", "two", "three"]);
    assert_eq!(settings.tokens_of_file, 1);
}
