//! The environment of the program: proxies, trusted certificates, and its own expired certificates.

use std::{fs, path::Path};

use duogate::sim::{Sim, SimConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Authority, KEY, Running, TOKENS, duogate};

/// Runs the program without blocking this runtime.
async fn run(
    directory: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> (Option<i32>, String, String) {
    let child = Running(duogate(directory, arguments, environment).spawn().unwrap());
    let output = tokio::task::spawn_blocking(|| child.output()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Settings with one credential, and an upstream that serves `project` for calls from `site`.
fn settle(directory: &Path, project: &str, site: &str) {
    let lines = [
        format!("API_KEYS=[\"{KEY}\"]"),
        format!("TOKEN_POOL=[\"{}\"]", TOKENS[0]),
        format!("PROJECT_API_URL={project}"),
        format!("SITE_URL={site}"),
        "TIMEOUT=5".to_owned(),
    ];
    fs::write(directory.join(".env"), lines.join("\n")).unwrap();
}

#[tokio::test]
async fn no_proxy_may_name_everything_or_a_host_with_its_port() {
    let config = SimConfig {
        tokens: TOKENS.map(str::to_owned).to_vec(),
        ..SimConfig::default()
    };
    let upstream = Sim::start(config).await.unwrap();
    let place = tempfile::tempdir().unwrap();
    let endpoints = upstream.endpoints();
    settle(place.path(), &endpoints.project, &endpoints.site);
    // Nobody listens there: calls through it fail.
    let proxy = ("HTTP_PROXY", "http://127.0.0.1:9");
    let (here, elsewhere) = (
        upstream.addr().to_string(),
        format!("127.0.0.1:{}", upstream.addr().port() ^ 1),
    );
    for (exceptions, direct) in [
        ("*", true),
        (here.as_str(), true),
        (elsewhere.as_str(), false),
        ("", false),
    ] {
        for name in ["NO_PROXY", "no_proxy"] {
            let environment = [proxy, (name, exceptions)];
            let (code, out, err) = run(place.path(), &["check", "--online"], &environment).await;
            assert_eq!(code, Some(i32::from(!direct)), "{name}={exceptions}: {out}{err}");
            assert!(!err.contains("PROXY"), "{err}");
        }
    }
    upstream.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_used_of_the_surroundings_is_a_warning() {
    let place = tempfile::tempdir().unwrap();
    settle(place.path(), "http://127.0.0.1:9/project", "http://site.test");
    let environment = [
        ("HTTPS_PROXY", "htp://user:very-secret@proxy.test"),
        ("NO_PROXY", "localhost,http://very-secret.test"),
        ("SSL_CERT_FILE", "/nowhere/ca.pem"),
    ];
    let (code, out, err) = run(place.path(), &["check"], &environment).await;
    assert_eq!(code, Some(0), "{err}");
    for variable in [
        "HTTPS_PROXY: is not a proxy's URL",
        "NO_PROXY: entry 2",
        "SSL_CERT_FILE: the file cannot be read",
    ] {
        assert!(err.contains(&format!("warning: {variable}")), "{err}");
    }
    assert!(!(out + &err).contains("very-secret"));
    fs::write(place.path().join("ca.pem"), "nothing").unwrap();
    let (_, _, err) = run(place.path(), &["check"], &[("SSL_CERT_FILE", "ca.pem")]).await;
    assert!(
        err.contains("SSL_CERT_FILE: the file holds no certificate"),
        "{err}"
    );
    let (_, _, err) = run(place.path(), &["check"], &[]).await;
    assert!(!err.contains("PROXY") && !err.contains("SSL_CERT"), "{err}");
}

#[tokio::test]
async fn a_company_s_own_authority_is_trusted_by_ssl_cert_file() {
    let (authority, place) = (Authority::new(), tempfile::tempdir().unwrap());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = authority.acceptor(&authority.sign());
    let mut peers = tokio::task::JoinSet::new();
    peers.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let _asked = stream.read(&mut [0; 4096]).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n[]";
            let _told = stream.write_all(answer).await;
            let _closed = stream.shutdown().await;
        }
    });
    settle(
        place.path(),
        &format!("https://localhost:{}/project", address.port()),
        "http://site.test",
    );
    fs::write(place.path().join("ca.pem"), authority.pem()).unwrap();
    let trusted = place.path().join("ca.pem");
    let environment = [("SSL_CERT_FILE", trusted.to_str().unwrap())];
    let (code, out, err) = run(place.path(), &["check", "--online"], &environment).await;
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("good"), "{out}");
    let (code, out, _) = run(place.path(), &["check", "--online"], &[]).await;
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("certificate"), "{out}");
}

#[tokio::test]
async fn a_certificate_past_its_time_and_an_encrypted_key_are_named() {
    let authority = Authority::new();
    let place = tempfile::tempdir().unwrap();
    settle(place.path(), "http://127.0.0.1:9/project", "http://site.test");
    let tls = [("TLS_CERT", "tls.crt"), ("TLS_KEY", "tls.key")];
    for (from, to, complaint) in [
        (
            (2019, 1, 1),
            (2020, 1, 1),
            Some("TLS_CERT: the certificate expired at 2020-01-01T00:00:00Z"),
        ),
        (
            (2120, 1, 1),
            (2130, 1, 1),
            Some("TLS_CERT: the certificate is not valid before 2120-01-01T00:00:00Z"),
        ),
        ((2019, 1, 1), (2130, 1, 1), None),
    ] {
        authority.sign_between(from, to).write(place.path());
        let (code, _, err) = run(place.path(), &["check"], &tls).await;
        assert_eq!(code, Some(0), "{err}");
        match complaint {
            Some(complaint) => assert!(err.contains(&format!("warning: {complaint}")), "{err}"),
            None => assert!(!err.contains("certificate"), "{err}"),
        }
    }
    let pkcs8 = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let pkcs1 = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMIIB\n-----END RSA PRIVATE KEY-----\n";
    for (key, reason) in [
        (pkcs8, "is encrypted"),
        (pkcs1, "is encrypted"),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
            "is in OpenSSH's form",
        ),
        (&authority.pem(), "holds a certificate and no private key"),
        ("nothing", "holds no private key"),
    ] {
        fs::write(place.path().join("tls.key"), key).unwrap();
        let (code, _, err) = run(place.path(), &["check"], &tls).await;
        assert_eq!(code, Some(2), "{err}");
        assert!(err.contains(&format!("TLS_KEY: {reason}")), "{err}");
    }
}
