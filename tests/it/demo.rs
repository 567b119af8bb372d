//! `duogate demo` on given addresses, and shell completions.

use std::{
    fs,
    net::TcpListener,
    process::{Command, Stdio},
};

use crate::support::run;

/// Ports that were free a moment ago.
fn free_ports() -> [String; 2] {
    let bound = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    bound.map(|listener| listener.local_addr().unwrap().port().to_string())
}

#[test]
fn the_demo_takes_the_ports_that_it_is_given() {
    let place = tempfile::tempdir().unwrap();
    loop {
        let [http, grpc] = free_ports();
        let arguments = ["demo", "--once", "--port", &http, "--grpc-port", &grpc];
        let (code, out, err) = run(place.path(), &arguments, &[]);
        if err.contains("is in use") {
            continue;
        }
        assert_eq!(code, 0, "{out}{err}");
        assert!(out.contains(&format!("http://127.0.0.1:{http}/v1")), "{out}");
        assert!(out.contains(&format!("127.0.0.1:{grpc}\n")), "{out}");
        assert_eq!(out.matches("(whole)").count(), 2, "{out}");
        break;
    }
}

#[test]
fn the_demo_on_all_addresses_tells_one_that_works() {
    let place = tempfile::tempdir().unwrap();
    let mut hosts = vec![("0.0.0.0", "127.0.0.1:"), ("localhost", ":")];
    if TcpListener::bind("[::1]:0").is_ok() {
        hosts.extend([("::", "[::1]:"), ("[::1]", "[::1]:")]);
    }
    for (host, shown) in hosts {
        let (code, out, err) = run(place.path(), &["demo", "--once", "--host", host], &[]);
        assert_eq!(code, 0, "{host}: {out}{err}");
        assert!(
            out.contains(&format!("http://{shown}")) || host == "localhost",
            "{host}: {out}"
        );
        let is_everywhere = ["0.0.0.0", "::"].contains(&host);
        assert_eq!(
            out.contains("every other address"),
            is_everywhere,
            "{host}: {out}"
        );
        assert!(!out.contains("0.0.0.0") && !out.contains("[::]"), "{host}: {out}");
        assert_eq!(out.matches("(whole)").count(), 2, "{host}: {out}");
    }
}

#[test]
fn the_demo_names_a_port_in_use_and_an_address_that_is_none() {
    let place = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, _, err) = run(place.path(), &["demo", "--port", &port, "--grpc-port", "0"], &[]);
    assert_eq!(code, 1, "{err}");
    assert!(
        err.contains(&format!("PORT: 127.0.0.1:{port} is in use")),
        "{err}"
    );
    assert!(err.contains("--port and --grpc-port"), "{err}");
    let (code, _, err) = run(place.path(), &["demo", "--host", "a b"], &[]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("--host"), "{err}");
}

#[test]
fn every_shell_gets_its_completions() {
    let place = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, out, err) = run(place.path(), &["completions", shell], &[]);
        assert_eq!(code, 0, "{shell}: {err}");
        for word in ["completions", "grpc-port", "health", "bind"] {
            assert!(out.contains(word), "{shell}: {word}");
        }
    }
    let (code, _, err) = run(place.path(), &["completions", "sh"], &[]);
    assert_eq!(code, 2);
    assert!(err.contains("bash"), "{err}");
}

#[cfg(unix)]
#[test]
fn bash_completes_commands_and_flags() {
    let place = tempfile::tempdir().unwrap();
    let (_, script, _) = run(place.path(), &["completions", "bash"], &[]);
    let file = place.path().join("completions");
    fs::write(&file, script).unwrap();
    for (typed, offered) in [
        ("duogate ch", "check"),
        ("duogate check --he", "--health"),
        ("duogate demo --gr", "--grpc-port"),
    ] {
        let words: Vec<&str> = typed.split(' ').collect();
        let last = words.len() - 1;
        let ask = format!(
            "source {file}; COMP_WORDS=({typed}); COMP_CWORD={last}; _duogate duogate {} {}; echo \"${{COMPREPLY[*]}}\"",
            words[last],
            words[last - 1],
            file = file.display(),
        );
        let asked = Command::new("bash")
            .args(["--norc", "--noprofile", "-c", &ask])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let reply = String::from_utf8(asked.stdout).unwrap();
        assert!(
            reply.split_whitespace().any(|word| word == offered),
            "{typed}: {reply}{}",
            String::from_utf8_lossy(&asked.stderr)
        );
    }
}
