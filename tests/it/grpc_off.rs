//! A gateway without a gRPC door, and one whose gRPC door has reflection disabled.

use duogate::sim::answer_text;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::{ADMIN_KEY, Ask, Door, KEY, Serving, Setup, duogate, frame, raw_call};

#[tokio::test]
async fn without_the_grpc_door_the_http_door_is_all_that_it_ever_was() {
    let setup = Setup::new().settings(|settings| {
        settings.grpc_port = None;
        settings.admin_key = Some(ADMIN_KEY.into());
    });
    let gateway = setup.start().await;
    for way in Door::Http.ways() {
        let outcome = way.ask(&gateway, &Ask::new("one door")).await;
        outcome.assert_whole(&answer_text("one door"));
    }
    for path in ["/readyz", "/livez", "/health", "/metrics", "/docs"] {
        assert_eq!(gateway.get(path).await.status(), 200, "{path}");
    }
    let tokens = gateway
        .web
        .get(gateway.url("/admin/tokens"))
        .bearer_auth(ADMIN_KEY);
    assert_eq!(tokens.send().await.unwrap().status(), 200);
    // A gRPC call is a request for an unknown path.
    for (client, kind) in [
        (&gateway.raw, "application/grpc"),
        (&gateway.web, "application/grpc-web"),
    ] {
        let url = gateway.url("/duogate.v1.ChatService/ListModels");
        let call = client.post(url).bearer_auth(KEY).header("content-type", kind);
        let answer = call.body(frame(&[])).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{kind}");
        assert!(!answer.headers().contains_key("grpc-status"), "{kind}");
    }
    gateway.settled().await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_runs_without_the_grpc_door_and_says_so() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join(".env"), format!("API_KEYS=[\"{KEY}\"]\n")).unwrap();
    let serving = Serving::start_with(place.path(), &[("HOST", "127.0.0.1")], "off");
    assert!(
        serving.log.iter().any(|line| line.contains("\"grpc\":\"off\"")),
        "{:?}",
        serving.log
    );
    let port = serving.http.port().to_string();
    let environment = [
        ("HOST", "127.0.0.1"),
        ("PORT", port.as_str()),
        ("GRPC_PORT", "Off"),
    ];
    for (arguments, said) in [
        (["check", "--health"].as_slice(), ""),
        (&["check"], "GRPC_PORT                off"),
    ] {
        let command = duogate(place.path(), arguments, &environment).output().unwrap();
        assert_eq!(command.status.code(), Some(0), "{arguments:?}: {command:?}");
        let told = String::from_utf8(command.stdout).unwrap();
        let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains(&said), "{told}");
    }
    serving.stop().await;
}

#[tokio::test]
async fn a_door_that_does_not_tell_its_contract_is_open_all_the_same() {
    let setup = Setup::new().settings(|settings| settings.reflection = false);
    let gateway = setup.start().await;
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        let answer = raw_call(&gateway, &path, &[], frame(&[])).await;
        assert_eq!(answer.status.code(), Code::Unimplemented, "{version}");
    }
    let mut health = HealthClient::new(gateway.channel());
    health.check(HealthCheckRequest::default()).await.unwrap();
    for way in Door::Grpc.ways() {
        let outcome = way.ask(&gateway, &Ask::new("no questions")).await;
        outcome.assert_whole(&answer_text("no questions"));
    }
    gateway.settled().await;
    gateway.stop().await;
}
