//! TLS on the doors: client certificates, and the reload of replaced certificates.

use std::{fs, os::unix::fs::symlink, path::Path};

use duogate::{
    app::{App, StartError, Surroundings},
    config::{ClientAuth, Settings},
    sim::answer_text,
};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt, net::TcpStream};
use tonic::Code;

use crate::support::{Ask, Authority, Door, Gateway, ONCE, Pair, Setup, each_door, eventually};

/// A directory with a certificate signed by `authority`.
fn place(authority: &Authority) -> (TempDir, Pair) {
    let place = tempfile::tempdir().unwrap();
    let pair = authority.sign();
    pair.write(place.path());
    (place, pair)
}

async fn chats(gateway: &Gateway, door: Door) {
    for way in door.ways() {
        let outcome = way.ask(gateway, &Ask::new("in secret")).await;
        outcome.assert_whole(&answer_text("in secret"));
    }
}

#[tokio::test]
async fn both_doors_speak_tls_and_offer_their_protocols() {
    each_door(ONCE, async |(), door| {
        let authority = Authority::new();
        let (place, pair) = place(&authority);
        let gateway = Setup::new()
            .tls(place.path())
            .start_with(Some(&authority), None)
            .await;
        chats(&gateway, door).await;
        for (door, offered, agreed) in [
            (
                gateway.http,
                [b"h2".as_slice(), b"http/1.1"].as_slice(),
                b"h2".as_slice(),
            ),
            (gateway.http, &[b"http/1.1"], b"http/1.1"),
            (gateway.grpc, &[b"http/1.1", b"h2"], b"h2"),
        ] {
            assert!(pair.is_shown(&authority, door).await);
            let stream = authority.connect(door, offered).await;
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(agreed));
        }
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn handshakes_that_never_end_hold_nobody_up() {
    each_door(ONCE, async |(), door| {
        let authority = Authority::new();
        let (place, _) = place(&authority);
        let gateway = Setup::new()
            .tls(place.path())
            .start_with(Some(&authority), None)
            .await;
        let mut silent = Vec::new();
        for door in [gateway.http, gateway.grpc] {
            for _ in 0..100 {
                silent.push(TcpStream::connect(door).await.unwrap());
            }
        }
        chats(&gateway, door).await;
        gateway.settled().await;
        // Nor do they delay the end.
        let seen = gateway.stop().await;
        for mut stream in silent {
            assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
        }
        seen
    })
    .await;
}

#[tokio::test]
async fn what_is_no_tls_is_turned_away_and_others_go_on() {
    each_door(ONCE, async |(), door| {
        let authority = Authority::new();
        let (place, _) = place(&authority);
        let gateway = Setup::new()
            .tls(place.path())
            .start_with(Some(&authority), None)
            .await;
        let plain = reqwest::Client::builder().no_proxy().build().unwrap();
        for door in [gateway.http, gateway.grpc] {
            let refused = plain.get(format!("http://{door}/health")).send().await;
            assert!(refused.is_err(), "{refused:?}");
        }
        let stranger = Authority::new();
        let untrusting = stranger.web(None).build().unwrap();
        assert!(untrusting.get(gateway.url("/health")).send().await.is_err());
        chats(&gateway, door).await;
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

/// Whether a door that requires certificates accepts a client with `pair`.
async fn enters(gateway: &Gateway, door: Door, authority: &Authority, pair: Option<&Pair>) -> bool {
    match door {
        Door::Http => {
            let client = authority.web(pair).build().unwrap();
            client.get(gateway.url("/health")).send().await.is_ok()
        }
        Door::Grpc => {
            let endpoint = tonic::transport::Endpoint::from_shared(gateway.grpc_url("")).unwrap();
            let channel = endpoint
                .tls_config(authority.channel(pair))
                .unwrap()
                .connect_lazy();
            let mut client = duogate::app::client::chat_service_client::ChatServiceClient::new(channel);
            match client
                .create_chat_completion(Ask::new("let me in").request())
                .await
            {
                Ok(_) => true,
                Err(status) => {
                    assert!(
                        matches!(status.code(), Code::Unavailable | Code::Unknown),
                        "{status:?}"
                    );
                    false
                }
            }
        }
    }
}

#[tokio::test]
async fn clients_without_a_certificate_of_the_ca_are_let_in_only_where_nobody_asks() {
    let cases = [
        (None, [false, true]),
        (Some(ClientAuth::Off), [false, false]),
        (Some(ClientAuth::Grpc), [false, true]),
        (Some(ClientAuth::Both), [true, true]),
    ];
    each_door(cases, async |(asks, guarded), door| {
        let (authority, clients, stranger) = (Authority::new(), Authority::new(), Authority::new());
        let (place, _) = place(&authority);
        let ca = place.path().join("ca.crt");
        fs::write(&ca, clients.pem()).unwrap();
        let (good, wrong) = (clients.sign(), stranger.sign());
        let setup = Setup::new().tls(place.path()).settings(|settings| {
            settings.tls_client_ca = Some(ca.clone());
            settings.tls_client_auth = asks;
        });
        let gateway = setup.start_with(Some(&authority), Some(&good)).await;
        chats(&gateway, door).await;
        for (door, guarded) in Door::BOTH.into_iter().zip(guarded) {
            for pair in [None, Some(&wrong)] {
                let entered = enters(&gateway, door, &authority, pair).await;
                assert_eq!(
                    entered,
                    !guarded,
                    "{asks:?} {door:?}, with a wrong one: {}",
                    pair.is_some()
                );
            }
            assert!(
                enters(&gateway, door, &authority, Some(&good)).await,
                "{asks:?} {door:?}"
            );
        }
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn new_certificates_are_shown_without_a_restart_and_bad_ones_never() {
    each_door(ONCE, async |(), door| {
        let authority = Authority::new();
        let (place, first) = place(&authority);
        let gateway = Setup::new()
            .tls(place.path())
            .start_with(Some(&authority), None)
            .await;
        assert!(first.is_shown(&authority, gateway.http).await);

        let second = authority.sign();
        second.write(place.path());
        for door in [gateway.http, gateway.grpc] {
            eventually("the second is shown", async || {
                second.is_shown(&authority, door).await
            })
            .await;
        }

        // A certificate without its key, then half a file, then none: the second one stays in use. The third, valid one
        // proves that each state was looked at, since they are read in order.
        let third = authority.sign();
        let stays = async |what: &str| {
            tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
            assert!(second.is_shown(&authority, gateway.http).await, "{what}");
        };
        fs::write(place.path().join("tls.crt"), &third.certificate).unwrap();
        stays("a certificate with another's key").await;
        fs::write(place.path().join("tls.crt"), &third.certificate[..200]).unwrap();
        stays("half a certificate").await;
        fs::remove_file(place.path().join("tls.key")).unwrap();
        stays("no key").await;
        third.write(place.path());
        eventually("the third is shown", async || {
            third.is_shown(&authority, gateway.http).await
        })
        .await;
        chats(&gateway, door).await;
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

/// A volume as Kubernetes mounts it: files are links into a directory behind another link, which is switched.
fn mount(volume: &Path, version: &str, pair: &Pair) {
    let directory = volume.join(version);
    fs::create_dir(&directory).unwrap();
    pair.write(&directory);
    symlink(version, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
}

#[tokio::test]
async fn a_volume_that_is_switched_behind_its_links_brings_new_certificates() {
    let (authority, volume) = (Authority::new(), tempfile::tempdir().unwrap());
    let (first, second) = (authority.sign(), authority.sign());
    mount(volume.path(), "..one", &first);
    for name in ["tls.crt", "tls.key"] {
        symlink(Path::new("..data").join(name), volume.path().join(name)).unwrap();
    }
    let gateway = Setup::new()
        .tls(volume.path())
        .start_with(Some(&authority), None)
        .await;
    assert!(first.is_shown(&authority, gateway.grpc).await);
    mount(volume.path(), "..two", &second);
    fs::remove_dir_all(volume.path().join("..one")).unwrap();
    eventually("the second is shown", async || {
        second.is_shown(&authority, gateway.grpc).await
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_file_at_fault_is_told_by_its_variable_and_shows_nothing_of_itself() {
    let authority = Authority::new();
    let (place, pair) = place(&authority);
    let other = authority.sign();
    let file = |name: &str, text: &str| {
        let path = place.path().join(name);
        fs::write(&path, text).unwrap();
        Some(path)
    };
    let start = async |change: &dyn Fn(&mut Settings)| {
        let mut settings = Settings {
            host: "127.0.0.1".to_owned(),
            port: 0,
            grpc_host: "127.0.0.1".to_owned(),
            grpc_port: Some(0),
            tls_cert: Some(place.path().join("tls.crt")),
            tls_key: Some(place.path().join("tls.key")),
            ..Settings::default()
        };
        change(&mut settings);
        match App::bind(&settings, Surroundings::Ignored).await {
            Err(StartError::Settings(variable, reason)) => (variable, reason),
            other => panic!("{other:?}"),
        }
    };
    let missing = Some(place.path().join("missing"));
    let (text, empty) = (file("text", "no PEM"), file("empty", ""));
    let (half, other_key) = (file("half", &pair.certificate[..200]), file("other", &other.key));
    let broken_key = file(
        "broken",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    );
    for path in [&missing, &text, &empty, &half, &other_key] {
        let (variable, _) = start(&|settings| settings.tls_cert = path.clone()).await;
        assert_eq!(variable, "TLS_CERT", "{path:?}");
        let (variable, _) = start(&|settings| settings.tls_client_ca = path.clone()).await;
        assert_eq!(variable, "TLS_CLIENT_CA", "{path:?}");
    }
    for path in [
        &missing,
        &text,
        &empty,
        &half,
        &other_key,
        &broken_key,
        &Some(place.path().into()),
    ] {
        let (variable, reason) = start(&|settings| settings.tls_key = path.clone()).await;
        assert_eq!(variable, "TLS_KEY", "{path:?}");
        assert!(!reason.contains("AAAA") && reason.len() < 100, "{reason}");
    }
}
