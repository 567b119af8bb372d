//! `duogate check`: its checks beyond the settings, and its health check.

use std::{
    fs,
    io::Write,
    net::{TcpListener, TcpStream},
    path::Path,
};

use tempfile::TempDir;

use crate::support::{Running, Serving, duogate, run};

const SETTINGS: &str = "API_KEYS=[\"sk-very-secret-0123456789\"]\n";

fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join(".env"), SETTINGS).unwrap();
    place
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A description, the directory of the files, and the variables.
type Broken = (&'static str, TempDir, Variables);
type Variables = Vec<(&'static str, String)>;

/// Files and variables that are invalid in every way except for the address of the HTTP door.
fn broken(port: &str) -> Vec<Broken> {
    let variable = |name, value: &str| (name, value.to_owned());
    let at = || vec![variable("HOST", "127.0.0.1"), variable("PORT", port)];
    let with = |name, value: &str| [at(), vec![variable(name, value)]].concat();
    let files = |files: &[(&str, &[u8])]| {
        let place = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(place.path().join(name), text).unwrap();
        }
        place
    };
    let dotenv = format!("HOST=127.0.0.1\nPORT={port}\n");
    let half = format!("{dotenv}API_KEYS=[\"sk-very-secr");
    let bytes = [dotenv.as_bytes(), b"APP_NAME=caf\xc3"].concat();
    let toml = format!("host = \"127.0.0.1\"\nport = {port}\n");
    let unknown = format!("{toml}unknown = 1\n");
    let broken = format!("{toml}available_models = [\n  \"a\n");
    vec![
        ("no key at all", files(&[]), at()),
        (
            "a list that is half written",
            files(&[(".env", half.as_bytes())]),
            vec![],
        ),
        (
            "text that is half a character",
            files(&[(".env", &bytes)]),
            vec![],
        ),
        (
            "a .env that is no file of variables",
            files(&[(".env", b"{}")]),
            at(),
        ),
        (
            "an unknown key of TOML",
            files(&[("duogate.toml", unknown.as_bytes())]),
            vec![],
        ),
        (
            "TOML that is half written",
            files(&[("duogate.toml", broken.as_bytes())]),
            vec![],
        ),
        (
            "a file of keys that is gone",
            files(&[]),
            with("API_KEYS_FILE", "gone"),
        ),
        (
            "a file of keys that is broken",
            files(&[("keys", b"a b")]),
            with("API_KEYS_FILE", "keys"),
        ),
        (
            "a file of tokens that is gone",
            files(&[]),
            with("TOKEN_POOL_FILE", "gone"),
        ),
        (
            "tokens that no cookie can hold",
            files(&[]),
            with("TOKEN_POOL", "[\"a;b\"]"),
        ),
        (
            "no directory for the state",
            files(&[("state", b"")]),
            with("STATE_DIR", "state/x"),
        ),
        ("no filter of logs", files(&[]), with("LOG_LEVEL", "nonsense")),
        ("a gRPC port that is none", files(&[]), with("GRPC_PORT", "x")),
        (
            "a CA without a certificate",
            files(&[]),
            with("TLS_CLIENT_CA", "gone"),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_serves_lives_whatever_is_wrong_with_its_settings() {
    let place = place();
    let serving = Serving::start(place.path());
    let broken = broken(&serving.http.port().to_string());
    let ask = |expected: i32| {
        for (what, place, environment) in &broken {
            let environment: Vec<_> = environment
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            let before = names(place.path());
            let (code, out, err) = run(place.path(), &["check", "--health"], &environment);
            assert_eq!(code, expected, "{what}: {out}{err}");
            assert_eq!(err.is_empty(), expected == 0, "{what}: {err}");
            assert!(!err.contains("very-secr"), "{err}");
            assert_eq!(names(place.path()), before);
        }
    };
    ask(0);
    let port = serving.http.port().to_string();
    let gone = [
        "check",
        "--health",
        "--env-file",
        "gone",
        "--config",
        "gone",
        "--port",
        &port,
    ];
    let (code, _, err) = run(place.path(), &gone, &[("HOST", "127.0.0.1")]);
    assert_eq!(code, 0, "{err}");
    serving.stop().await;
    ask(1);
    let (code, _, err) = run(place.path(), &gone, &[("HOST", "127.0.0.1")]);
    assert_eq!(code, 1);
    for told in [format!("127.0.0.1:{port}").as_str(), "--env-file: ", "--config: "] {
        assert!(err.contains(told), "{err}");
    }
}

#[test]
fn an_address_that_cannot_be_told_is_no_living_gateway() {
    let place = place();
    for (name, value) in [("PORT", "33x"), ("PORT", "0"), ("HOST", "a b")] {
        let (code, _, err) = run(place.path(), &["check", "--health"], &[(name, value)]);
        assert_eq!(code, 1, "2 is Docker's own: {err}");
        assert!(err.contains(&format!("{name}: ")), "{err}");
    }
}

/// The first read sees a file while it is written: a pipe controls the moment.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_just_being_written_is_read_again() {
    let place = place();
    let serving = Serving::start(place.path());
    let dotenv = place.path().join(".env");
    for first in ["", "PORT=1\n", "PORT=x\n", "HOST=127.0.0.1\nPORT"] {
        fs::remove_file(&dotenv).unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(&dotenv)
            .status()
            .unwrap();
        assert!(made.success());
        let whole = format!("HOST=127.0.0.1\nPORT={}\n", serving.http.port());
        fs::write(place.path().join("whole"), whole).unwrap();
        let environment = [("HOST", "127.0.0.1")];
        let check = duogate(place.path(), &["check", "--health"], &environment)
            .spawn()
            .unwrap();
        let mut pipe = fs::OpenOptions::new().write(true).open(&dotenv).unwrap();
        fs::rename(place.path().join("whole"), &dotenv).unwrap();
        pipe.write_all(first.as_bytes()).unwrap();
        drop(pipe);
        let output = Running(check).output();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{first:?}: {err}");
    }
    serving.stop().await;
}

#[test]
fn a_port_in_use_is_a_warning_and_with_bind_an_error() {
    let place = place();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (variable, other) in [("PORT", "GRPC_PORT"), ("GRPC_PORT", "PORT")] {
        let environment = [("HOST", "127.0.0.1"), (variable, port.as_str()), (other, "0")];
        let told = format!("{variable}: 127.0.0.1:{port} is in use by another program");
        let (code, out, err) = run(place.path(), &["check"], &environment);
        assert_eq!(code, 0, "{err}");
        assert!(err.contains(&format!("warning: {told}")), "{err}");
        assert!(out.contains("GRPC_PORT"), "the settings are shown: {out}");
        let (code, out, err) = run(place.path(), &["check", "--bind"], &environment);
        assert_eq!(code, 1, "{err}");
        assert!(err.contains(&told) && !err.contains("warning: PORT"), "{err}");
        assert!(out.contains("GRPC_PORT"), "the settings are shown: {out}");
    }
    drop(taken);
    let free = [("HOST", "127.0.0.1"), ("PORT", "0"), ("GRPC_PORT", "0")];
    let (code, _, err) = run(place.path(), &["check", "--bind"], &free);
    assert_eq!(code, 0, "{err}");
}

#[test]
fn an_address_that_is_not_this_machines_is_an_error_of_check_and_of_serve() {
    let place = place();
    // Reserved for documentation, so no machine has it.
    let environment = [("HOST", "192.0.2.1"), ("PORT", "0"), ("GRPC_PORT", "0")];
    for command in ["check", "serve"] {
        let (code, _, err) = run(place.path(), &[command], &environment);
        assert_eq!(code, 1, "{command}: {err}");
        assert!(
            err.contains("PORT: cannot listen on 192.0.2.1:0"),
            "{command}: {err}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_of_a_running_gateway_is_a_warning_and_stays_its_own() {
    let place = place();
    fs::write(place.path().join(".env"), format!("{SETTINGS}STATE_DIR=state\n")).unwrap();
    let serving = Serving::start(place.path());
    let free = [("HOST", "127.0.0.1"), ("PORT", "0"), ("GRPC_PORT", "0")];
    for _ in 0..3 {
        let (code, _, err) = run(place.path(), &["check"], &free);
        assert_eq!(code, 0, "{err}");
        assert!(
            err.contains("warning: STATE_DIR: ") && err.contains("another process"),
            "{err}"
        );
        let (code, _, err) = run(place.path(), &["check", "--bind"], &free);
        assert_eq!(code, 1, "{err}");
        assert!(err.contains("STATE_DIR: "), "{err}");
        let (code, _, err) = run(place.path(), &["serve"], &free);
        assert_eq!(code, 1, "the lock is the gateway's still: {err}");
    }
    TcpStream::connect(serving.http).unwrap();
    serving.stop().await;
    let left = names(&place.path().join("state"));
    let (code, _, err) = run(place.path(), &["check", "--bind"], &free);
    assert_eq!(code, 0, "{err}");
    assert_eq!(names(&place.path().join("state")), left);
    assert_eq!(
        left,
        ["conversations.log", "lock", "tokens.json"],
        "only what the gateway keeps"
    );
}

#[test]
fn a_state_directory_is_looked_at_and_not_made() {
    let place = place();
    fs::write(place.path().join("file"), "").unwrap();
    let look = |command: &str, directory: &str| {
        let environment = [
            ("HOST", "127.0.0.1"),
            ("PORT", "0"),
            ("GRPC_PORT", "0"),
            ("STATE_DIR", directory),
        ];
        run(place.path(), &[command], &environment)
    };
    for good in ["state", "state/in/state", "."] {
        let (code, _, err) = look("check", good);
        assert_eq!(code, 0, "{good}: {err}");
        assert!(!err.contains("STATE_DIR"), "{err}");
    }
    assert_eq!(names(place.path()), [".env", "file"], "nothing is left behind");
    for bad in ["file", "file/state", "/proc/state", "/proc/self/state"] {
        for command in ["check", "serve"] {
            let (code, _, err) = look(command, bad);
            assert_eq!(code, 1, "{command} {bad}: {err}");
            assert!(err.contains("STATE_DIR: cannot use"), "{command} {bad}: {err}");
        }
    }
}

#[test]
fn one_port_on_hosts_that_overlap_is_a_bad_setting_of_both() {
    let place = place();
    for (host, grpc_host) in [
        ("localhost", "127.0.0.1"),
        ("127.0.0.1", "0.0.0.0"),
        ("0.0.0.0", "::"),
        ("::1", "::"),
    ] {
        let environment = [
            ("HOST", host),
            ("GRPC_HOST", grpc_host),
            ("PORT", "7001"),
            ("GRPC_PORT", "7001"),
        ];
        for command in ["check", "serve"] {
            let (code, _, err) = run(place.path(), &[command], &environment);
            assert_eq!(code, 2, "{command}: {err}");
            assert!(err.contains("GRPC_HOST: shares an address with HOST"), "{err}");
            assert!(!err.contains("another program"), "{err}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_named_grpc_stops_nobody() {
    let place = place();
    let link = ("GRPC_PORT", "tcp://10.0.0.7:50051");
    let (code, out, err) = run(place.path(), &["check"], &[link, ("HOST", "127.0.0.1")]);
    assert_eq!(code, 0, "{err}");
    let shown = out.lines().find(|line| line.starts_with("GRPC_PORT")).unwrap();
    assert!(shown.ends_with("50051"), "{shown}");
    assert!(
        err.contains("warning: GRPC_PORT: holds the address of a service"),
        "{err}"
    );
    let mut serving = Serving::start_in(place.path(), &[link, ("HOST", "127.0.0.1")]);
    assert!(
        serving
            .log
            .concat()
            .contains("GRPC_PORT: holds the address of a service")
    );
    serving.log.clear();
    serving.stop().await;
}

#[test]
fn names_in_lower_case_count_and_near_misses_are_told() {
    let place = place();
    let text = "api_keys=[\"sk-very-secret-0123456789\"]\navailable_models=[\"only-this\"]\n\
                API_KEY=sk-very-secret\nTOKENS=[\"very-secret\"]\n";
    fs::write(place.path().join(".env"), text).unwrap();
    let free = [("HOST", "127.0.0.1"), ("PORT", "0"), ("grpc_port", "0")];
    let (code, out, err) = run(place.path(), &["check"], &free);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("[\"only-this\"]") && out.contains("1 key"), "{out}");
    for told in [
        "warning: API_KEY: is no setting, and is ignored (from .env, line 3); did you mean API_KEYS?",
        "warning: TOKENS: is no setting, and is ignored (from .env, line 4); did you mean TOKEN_POOL?",
    ] {
        assert!(err.contains(told), "{err}");
    }
    assert!(!(out + &err).contains("very-secret"));

    // The intended name is also suggested if its absence prevents the start.
    fs::write(place.path().join(".env"), "API_KEY=[\"sk-very-secret\"]\n").unwrap();
    for command in ["check", "serve"] {
        let (code, _, err) = run(place.path(), &[command], &free);
        assert_eq!(code, 2, "{command}: {err}");
        assert!(
            err.contains("did you mean API_KEYS?") && !err.contains("very-secret"),
            "{err}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_colons_are_every_address_of_both_families() {
    let place = place();
    let environment = [("HOST", "::")];
    if TcpListener::bind("[::1]:0").is_err() {
        // Without IPv6 the address cannot be bound, and the error shows it in brackets.
        let arguments = ["serve", "--port", "0", "--grpc-port", "0"];
        let (code, _, err) = run(place.path(), &arguments, &environment);
        assert_eq!(code, 1, "{err}");
        assert!(err.contains("PORT: cannot listen on [::]:0"), "{err}");
        return;
    }
    let serving = Serving::start_in(place.path(), &environment);
    for address in [serving.http, serving.grpc] {
        assert!(address.is_ipv6(), "{address}");
        for host in ["127.0.0.1", "::1"] {
            TcpStream::connect((host, address.port())).unwrap_or_else(|error| panic!("{host}: {error}"));
        }
    }
    let port = serving.http.port().to_string();
    for host in ["::", "[::]", "0.0.0.0", "localhost"] {
        let environment = [("HOST", host), ("PORT", port.as_str())];
        let (code, _, err) = run(place.path(), &["check", "--health"], &environment);
        assert_eq!(code, 0, "{host}: {err}");
    }
    let environment = [("HOST", "::"), ("PORT", port.as_str()), ("GRPC_PORT", "0")];
    let (_, _, err) = run(place.path(), &["check"], &environment);
    assert!(err.contains(&format!("PORT: [::]:{port} is in use")), "{err}");
    serving.stop().await;
}
