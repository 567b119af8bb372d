//! The program run by a user: in its own directory, with an empty environment.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    process::Command,
    sync::mpsc,
};

use tempfile::TempDir;

use duogate::config::ClientAuth;

use crate::support::{Authority, PATIENCE, Running, Setup, duogate, run};

const SECRET: &str = "sk-very-secret-0123456789";

fn place() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn the_demo_shows_a_whole_answer_through_each_door() {
    let place = place();
    let (code, out, err) = run(place.path(), &["demo", "--once"], &[]);
    assert_eq!(code, 0, "{out}{err}");
    for answer in [
        "You said: Hello through the OpenAI door! Do you read me?",
        "You said: Hello through the gRPC door! Do you read me?",
    ] {
        assert!(out.contains(answer), "{out}");
    }
    assert_eq!(out.matches("(whole)").count(), 2, "{out}");
    assert_eq!(
        fs::read_dir(place.path()).unwrap().count(),
        0,
        "it leaves nothing behind"
    );
}

#[test]
fn check_names_every_bad_setting_at_once_and_tells_no_secret() {
    let place = place();
    let bad = [
        ("PORT", "banana"),
        ("TIMEOUT", "-1"),
        ("TARGET_API_URL", "ftp://somewhere"),
        ("AVAILABLE_MODELS", "not json"),
        ("REQUIRE_API_KEY", "perhaps"),
        ("API_KEYS", "[\"sk-very-secret-0123456789\", \"with blank\"]"),
        ("TOKEN_POOL", "[\"sk-very-secret-0123456789; path=/\"]"),
        ("MAX_BODY_BYTES", "1"),
    ];
    for command in ["check", "serve"] {
        let (code, out, err) = run(place.path(), &[command], &bad);
        assert_eq!(code, 2, "{command}: {out}{err}");
        for (name, _) in bad {
            assert!(err.contains(name), "{command}: {name} is not named in {err}");
        }
        assert!(!(out + &err).contains("very-secret"), "{command} tells a secret");
    }
}

#[test]
fn check_shows_good_settings_without_their_secrets() {
    let place = place();
    let keys = format!("[\"{SECRET}\"]");
    let settings = [
        ("API_KEYS", keys.as_str()),
        ("TOKEN_POOL", &keys),
        ("PORT", "4321"),
    ];
    let (code, out, err) = run(place.path(), &["check"], &settings);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("PORT") && out.contains("4321"), "{out}");
    assert!(!(out + &err).contains(SECRET));
}

#[test]
fn serve_without_keys_does_not_start() {
    let place = place();
    let (code, _, err) = run(place.path(), &["serve"], &[]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("API_KEYS"), "{err}");
}

#[test]
fn init_writes_a_file_that_check_accepts_and_overwrites_none() {
    let place = place();
    let (code, out, err) = run(place.path(), &["init"], &[]);
    assert_eq!(code, 0, "{out}{err}");
    let written = fs::read_to_string(place.path().join(".env")).unwrap();
    assert!(written.contains("API_KEYS=[\"sk-duogate-"), "{written}");
    let (code, out, err) = run(place.path(), &["check"], &[]);
    assert_eq!(code, 0, "{out}{err}");
    let (code, _, err) = run(place.path(), &["init"], &[]);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains(".env"), "{err}");
    assert_eq!(fs::read_to_string(place.path().join(".env")).unwrap(), written);
}

#[test]
fn a_port_in_use_is_told_by_its_variable() {
    let place = place();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (variable, other) in [("PORT", "GRPC_PORT"), ("GRPC_PORT", "PORT")] {
        let keys = format!("[\"{SECRET}\"]");
        let environment = [
            ("HOST", "127.0.0.1"),
            (variable, &port),
            (other, "0"),
            ("API_KEYS", &keys),
        ];
        let (code, _, err) = run(place.path(), &["serve"], &environment);
        assert_eq!(code, 1, "{err}");
        let expected = format!("{variable}: 127.0.0.1:{port} is in use by another program");
        assert!(err.contains(&expected), "{err}");
    }
}

#[test]
fn a_tls_file_that_cannot_be_used_is_a_bad_setting() {
    let place = place();
    fs::write(place.path().join("tls.crt"), "nothing").unwrap();
    let keys = format!("[\"{SECRET}\"]");
    let environment = [
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("GRPC_PORT", "0"),
        ("API_KEYS", &keys),
        ("TLS_CERT", "tls.crt"),
        ("TLS_KEY", "tls.key"),
    ];
    for command in ["serve", "check"] {
        let (code, out, err) = run(place.path(), &[command], &environment);
        assert_eq!(code, 2, "{command}: {err}");
        assert!(
            err.contains("TLS_KEY: the file does not exist"),
            "{command}: {err}"
        );
        assert!(out.is_empty(), "{out}");
    }
    let (code, _, err) = run(place.path(), &["serve"], &environment[..5]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("TLS_KEY: is missing"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_health_check_knows_a_gateway_that_speaks_tls() {
    let (authority, place) = (Authority::new(), place());
    authority.sign().write(place.path());
    fs::write(place.path().join("ca.crt"), authority.pem()).unwrap();
    for asks in [ClientAuth::Off, ClientAuth::Both] {
        let setup = Setup::new().tls(place.path()).settings(|settings| {
            settings.tls_client_ca = Some(place.path().join("ca.crt"));
            settings.tls_client_auth = Some(asks);
        });
        let pair = authority.sign();
        let gateway = setup.start_with(Some(&authority), Some(&pair)).await;
        let port = gateway.http.port().to_string();
        let environment = [
            ("HOST", "127.0.0.1"),
            ("PORT", &port),
            ("REQUIRE_API_KEY", "false"),
            ("TLS_CERT", "tls.crt"),
            ("TLS_KEY", "tls.key"),
        ];
        let check =
            || tokio::task::block_in_place(|| run(place.path(), &["check", "--health"], &environment));
        let (code, _, err) = check();
        assert_eq!(code, 0, "{asks:?}: {err}");
        gateway.stop().await;
        assert_eq!(check().0, 1);
    }
}

#[test]
fn nothing_to_do_and_unknown_words_are_explained() {
    let place = place();
    let (code, out, err) = run(place.path(), &["--help"], &[]);
    assert_eq!(code, 0, "{err}");
    for command in ["serve", "demo", "init", "check", "sim"] {
        assert!(out.contains(command), "{out}");
    }
    assert_eq!(run(place.path(), &[], &[]).0, 2);
    assert_eq!(run(place.path(), &["dance"], &[]).0, 2);
    assert_eq!(run(place.path(), &["--version"], &[]).0, 0);
}

#[cfg(unix)]
#[test]
fn a_signal_ends_the_server_in_order() {
    for signal in ["-TERM", "-INT"] {
        let place = place();
        let keys = format!("[\"{SECRET}\"]");
        let environment = [
            ("HOST", "127.0.0.1"),
            ("PORT", "0"),
            ("GRPC_PORT", "0"),
            ("API_KEYS", &keys),
        ];
        let mut child = Running(duogate(place.path(), &["serve"], &environment).spawn().unwrap());
        let (lines, told) = mpsc::channel();
        let stderr = child.0.stderr.take().unwrap();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _nobody_reads = lines.send(line);
            }
        });
        let until = |word: &str| {
            let mut seen = Vec::new();
            while !seen.last().is_some_and(|line: &String| line.contains(word)) {
                let line = told.recv_timeout(PATIENCE);
                seen.push(line.unwrap_or_else(|_| panic!("{word:?} was never told, only {seen:#?}")));
            }
        };
        until("serving");
        let id = child.0.id().to_string();
        let killed = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(killed.success());
        until("stopped");
        assert_eq!(child.output().status.code(), Some(0), "{signal}");
        reader.join().unwrap();
    }
}

#[cfg(unix)]
#[test]
fn the_simulated_upstream_runs_alone_and_ends_at_a_signal() {
    let place = place();
    let mut child = Running(
        duogate(place.path(), &["sim", "--port", "0"], &[])
            .spawn()
            .unwrap(),
    );
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let told = lines
        .by_ref()
        .map_while(Result::ok)
        .take_while(|line| !line.contains("Ctrl-C"));
    assert!(
        told.collect::<String>()
            .contains("TARGET_API_URL=http://127.0.0.1:")
    );
    let id = child.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.output().status.code(), Some(0));
}
