//! Files that are missing, malformed or contain secrets.

use super::{Setup, exposed};

#[test]
fn a_named_file_that_does_not_exist_is_a_problem_of_its_flag() {
    let problems = Setup::new().config("no.toml").env_file("no.env").problems();
    let expected = [
        "--config: the file does not exist (from no.toml)",
        "--env-file: the file does not exist (from no.env)",
    ];
    assert_eq!(problems, expected);
}

#[test]
fn named_files_are_read_in_place_of_the_usual_ones() {
    let setup = Setup::strict()
        .file("duogate.toml", "port = 1")
        .file("my.toml", "port = 2\nrequire_api_key = false\n")
        .dotenv("GRPC_PORT=1\n")
        .file("my.env", "GRPC_PORT=3\n");
    let settings = setup.config("my.toml").env_file("my.env").loaded().settings;
    assert_eq!((settings.port, settings.grpc_port), (2, Some(3)));
}

#[test]
fn a_directory_in_a_files_place_is_a_named_problem() {
    let setup = Setup::strict();
    std::fs::create_dir(setup.directory.path().join(".env")).unwrap();
    std::fs::create_dir(setup.directory.path().join("duogate.toml")).unwrap();
    let expected = [
        "duogate.toml: is a directory; expected a file (from duogate.toml)",
        ".env: is a directory; expected a file (from .env)",
    ];
    assert_eq!(setup.problems(), expected);
}

#[test]
fn a_file_that_is_not_utf_8_is_a_named_problem() {
    let problems = Setup::new().file(".env", b"APP_NAME=\xff\n").problems();
    assert_eq!(problems, [".env: the file is not valid UTF-8 (from .env)"]);
}

#[test]
fn a_toml_mistake_is_told_by_line_and_column_only() {
    let toml = "require_api_key = false\napi_keys = [\"very-secret\" \"hidden\"]\n";
    let problems = Setup::strict().file("duogate.toml", toml).problems();
    assert_eq!(
        problems,
        ["duogate.toml: line 2, column 27 is not valid TOML (from duogate.toml)"]
    );
}

#[cfg(unix)]
#[test]
fn an_environment_value_that_is_not_unicode_is_a_named_problem() {
    use std::os::unix::ffi::OsStringExt;
    let value = std::ffi::OsString::from_vec(vec![b'a', 0xff]);
    let problems = Setup::new()
        .environment("APP_NAME", value.clone())
        .environment("OTHER", value)
        .problems();
    assert_eq!(problems, ["APP_NAME: is not valid UTF-8 (from the environment)"]);
}

#[test]
fn secrets_come_from_files_too_and_add_to_the_lists() {
    let setup = Setup::strict()
        .file("keys", "\u{feff}# keys\r\n\r\n  key-2  \r\nkey-1\r\n")
        .file("tokens", "token-1\n#token-2\ntoken-3")
        .dotenv("API_KEYS=[\"key-1\"]\nAPI_KEYS_FILE=keys\nTOKEN_POOL_FILE=tokens\n");
    let loaded = setup.loaded();
    assert_eq!(exposed(&loaded.settings.api_keys), ["key-1", "key-2"]);
    assert_eq!(exposed(&loaded.settings.tokens), ["token-1", "token-3"]);
    assert_eq!(
        loaded.warnings,
        ["API_KEYS_FILE: line 4 repeats an earlier one and counts once"]
    );
}

#[test]
fn a_wrong_line_of_a_secrets_file_is_told_by_its_number() {
    let setup = Setup::new()
        .file("tokens", "good\nvery; secret\n")
        .environment("TOKEN_POOL_FILE", "tokens");
    let expected =
        "TOKEN_POOL_FILE: line 2 holds a semicolon, which no cookie may hold (from the environment)";
    assert_eq!(setup.problems(), [expected]);
}

#[test]
fn a_secrets_file_that_cannot_be_read_is_a_problem_told_once() {
    let problems = Setup::strict().environment("API_KEYS_FILE", "missing").problems();
    assert_eq!(
        problems,
        ["API_KEYS_FILE: the file does not exist (from the environment)"]
    );
}

#[test]
fn an_endless_file_is_not_read_to_its_end() {
    let setup = Setup::new()
        .file("keys", vec![b'a'; 4 * 1024 * 1024 + 1])
        .environment("API_KEYS_FILE", "keys");
    assert_eq!(
        setup.problems(),
        ["API_KEYS_FILE: the file is larger than 4 MiB (from the environment)"]
    );
}
