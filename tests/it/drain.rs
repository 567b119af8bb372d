//! Shutdown: nothing new begins, requests under way have the grace period, and nothing delays the end.

use std::time::Duration;

use duogate::sim::{Hold, Step, answer_text};
use prost::Message;
use tokio::net::TcpStream;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};

use crate::support::{
    Ask, Gateway, ONCE, Opened, Setup, TOKENS, Ways, each_crowd, each_way, eventually, frame, raw_call,
    within,
};

fn check(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

/// Two streams in the middle of their answers.
async fn in_the_middle(gateway: &Gateway, ways: Ways) -> Vec<Opened> {
    gateway.sim.hold_at(Hold::AfterFirstPiece);
    let mut opened = Vec::new();
    for number in 0..2 {
        let door = ways.nth(number).door;
        let mut stream = door.open(gateway, &Ask::new("the last words")).await.unwrap();
        stream.first_text().await;
        opened.push(stream);
    }
    opened
}

async fn refuses_connections(gateway: &Gateway) {
    for address in [gateway.http, gateway.grpc] {
        eventually("new connections are refused", async || {
            TcpStream::connect(address).await.is_err()
        })
        .await;
    }
}

#[tokio::test]
async fn streams_under_way_run_on_to_a_whole_end() {
    each_crowd(ONCE, async |(), ways| {
        let mut gateway = Gateway::start().await;
        let streams = in_the_middle(&gateway, ways).await;
        gateway.stop.soft.cancel();
        refuses_connections(&gateway).await;
        gateway.sim.release();
        for stream in streams {
            let outcome = within("the rest of a stream", stream.finish()).await;
            outcome.assert_whole(&answer_text("the last words"));
        }
        gateway.ended().await.expect("an orderly end");
        assert_eq!(
            gateway.sim.counts().conversations_left,
            0,
            "cleaned up before the end"
        );
        assert_eq!(gateway.sim.breaches(), Vec::<String>::new());
        gateway.seen()
    })
    .await;
}

#[tokio::test]
async fn whole_answers_under_way_arrive() {
    each_crowd(ONCE, async |(), ways| {
        let mut gateway = Gateway::start().await;
        gateway.sim.hold();
        let ask = Ask::new("almost there");
        let chats = futures::future::join_all([0, 2].map(|number| ways.nth(number).ask(&gateway, &ask)));
        let stop = async {
            gateway
                .sim_until("both are under way", |counts| counts.open() == 2)
                .await;
            gateway.stop.soft.cancel();
            refuses_connections(&gateway).await;
            gateway.sim.release();
        };
        let (outcomes, ()) = tokio::join!(chats, stop);
        for outcome in outcomes {
            outcome.assert_whole(&answer_text("almost there"));
        }
        gateway.ended().await.expect("an orderly end");
        gateway.seen()
    })
    .await;
}

#[tokio::test]
async fn when_the_grace_is_over_streams_end_with_an_error_and_no_finish() {
    each_crowd(ONCE, async |(), ways| {
        let mut gateway = Setup::new()
            .settings(|settings| settings.shutdown_grace = Duration::from_millis(100))
            .start()
            .await;
        let streams = in_the_middle(&gateway, ways).await;
        gateway.stop.soft.cancel();
        for stream in streams {
            let outcome = within("the end of a stream", stream.finish()).await;
            let failure = outcome.assert_failed("shutting_down");
            assert!(failure.in_band);
            assert_eq!(outcome.text(), "You ");
        }
        gateway.ended().await.expect("an orderly end");
        assert_eq!(
            gateway.sim.counts().open(),
            0,
            "the upstream's answers are closed"
        );
        assert_eq!(
            gateway.sim.counts().conversations_left,
            0,
            "cleaned up before the end"
        );
        gateway.seen()
    })
    .await;
}

#[tokio::test]
async fn when_the_grace_is_over_whole_answers_fail_with_a_real_status() {
    each_crowd(ONCE, async |(), ways| {
        let mut gateway = Setup::new()
            .settings(|settings| settings.shutdown_grace = Duration::from_millis(100))
            .start()
            .await;
        gateway.sim.hold();
        let ask = Ask::new("too late");
        let chats = futures::future::join_all((0..4).map(|number| ways.nth(number).ask(&gateway, &ask)));
        let stop = async {
            gateway
                .sim_until("all are under way", |counts| counts.open() == 4)
                .await;
            gateway.stop.soft.cancel();
        };
        let (outcomes, ()) = within("the end", async { tokio::join!(chats, stop) }).await;
        for outcome in outcomes {
            let failure = outcome.assert_failed("shutting_down");
            assert_eq!((failure.in_band, failure.should_retry), (false, Some(true)));
        }
        gateway.ended().await.expect("an orderly end");
        gateway.seen()
    })
    .await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_does_not_hold_the_end_up() {
    each_crowd(ONCE, async |(), ways| {
        let mut gateway = Setup::new()
            .settings(|settings| settings.shutdown_grace = Duration::from_millis(100))
            .start()
            .await;
        let mut deaf = Vec::new();
        for number in 0..2 {
            let door = ways.nth(number).door;
            let question = "word ".repeat(1_000_000);
            let mut stream = door.open(&gateway, &Ask::new(question)).await.unwrap();
            stream.first_text().await;
            deaf.push(stream);
        }
        gateway.stop.soft.cancel();
        gateway.ended().await.expect("an orderly end");
        drop(deaf);
        gateway.seen()
    })
    .await;
}

#[tokio::test]
async fn the_hard_stop_ends_everything_at_once() {
    each_crowd(ONCE, async |(), ways| {
        let mut gateway = Gateway::start().await;
        let streams = in_the_middle(&gateway, ways).await;
        gateway.stop.soft.cancel();
        refuses_connections(&gateway).await;
        gateway.stop.hard.cancel();
        gateway.ended().await.expect("an end");
        drop(streams);
        // Conversations that there was no time to delete.
        gateway.seen().whatever_calls(&[Step::DeleteConversation])
    })
    .await;
}

#[tokio::test]
async fn a_health_watch_tells_the_drain_and_does_not_hold_it_up() {
    let mut gateway = Gateway::start().await;
    let mut health = HealthClient::new(gateway.channel());
    let mut watches = Vec::new();
    for service in ["", "duogate.v1.ChatService"] {
        eventually("the service is told as serving", async || {
            let status = health.check(check(service)).await.unwrap().into_inner().status;
            status == ServingStatus::Serving as i32
        })
        .await;
        let mut watch = health.watch(check(service)).await.unwrap().into_inner();
        let first = within("the first word", watch.message()).await.unwrap().unwrap();
        assert_eq!(first.status(), ServingStatus::Serving);
        watches.push(watch);
    }
    gateway.stop.soft.cancel();
    for watch in &mut watches {
        let next = within("the change", watch.message()).await.unwrap().unwrap();
        assert_eq!(next.status(), ServingStatus::NotServing);
    }
    gateway.ended().await.expect("the watches did not hold it up");
}

#[tokio::test]
async fn an_unknown_service_has_no_health() {
    let gateway = Gateway::start().await;
    let mut health = HealthClient::new(gateway.channel());
    let status = health.check(check("no.such.Service")).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::NotFound);
    // Also without a client library: the status must end the stream, as some clients require.
    let body = frame(&check("no.such.Service").encode_to_vec());
    let answer = raw_call(&gateway, "/grpc.health.v1.Health/Check", &[], body).await;
    assert_eq!(answer.status.code(), tonic::Code::NotFound);
    gateway.stop().await;
}

#[tokio::test]
async fn without_a_usable_token_the_service_is_told_as_not_serving() {
    let gateway = Setup::new().tokens(0).start().await;
    let mut health = HealthClient::new(gateway.channel());
    let status = health.check(check("duogate.v1.ChatService")).await.unwrap();
    assert_eq!(status.into_inner().status(), ServingStatus::NotServing);
    gateway.stop().await;
}

#[tokio::test]
async fn an_open_reflection_stream_does_not_hold_the_drain_up() {
    let mut gateway = Gateway::start().await;
    let mut client = ServerReflectionClient::new(gateway.channel());
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let (questions, asked) = tokio::sync::mpsc::channel(1);
    questions.send(request).await.unwrap();
    let asked = tokio_stream::wrappers::ReceiverStream::new(asked);
    let mut answers = client.server_reflection_info(asked).await.unwrap().into_inner();
    assert!(answers.message().await.unwrap().is_some());
    gateway.stop.soft.cancel();
    gateway.ended().await.expect("reflection did not hold it up");
    drop(questions);
}

#[tokio::test]
async fn a_connection_that_stays_open_takes_nothing_new() {
    each_crowd(ONCE, async |(), ways| {
        let mut gateway = Gateway::start().await;
        assert_eq!(gateway.get("/readyz").await.status(), 200);
        let mut health = HealthClient::new(gateway.channel());
        health.check(check("")).await.expect("a connection");
        let streams = in_the_middle(&gateway, ways).await;
        gateway.stop.soft.cancel();
        refuses_connections(&gateway).await;
        // The gRPC client's HTTP/2 connection is still open, but takes no new call.
        let asked = gateway
            .chats()
            .create_chat_completion(Ask::new("one more").request())
            .await;
        // Whether the call meets the closing connection or the closed port depends on the client library.
        asked.expect_err("a new chat began on a draining gateway");
        assert_eq!(gateway.sim.counts().answers_asked, 2);
        gateway.sim.release();
        for stream in streams {
            within("the rest", stream.finish())
                .await
                .assert_whole(&answer_text("the last words"));
        }
        gateway.ended().await.expect("an orderly end");
        gateway.seen()
    })
    .await;
}

#[tokio::test]
async fn a_service_whose_tokens_are_all_refused_is_told_as_not_serving() {
    each_way(ONCE, async |(), way| {
        let gateway = Setup::new().tokens(1).start().await;
        let mut health = HealthClient::new(gateway.channel());
        let mut is = async |wanted: ServingStatus| {
            let status = health.check(check("duogate.v1.ChatService")).await.unwrap();
            status.into_inner().status() == wanted
        };
        eventually("the service is told as serving", async || {
            is(ServingStatus::Serving).await
        })
        .await;
        gateway.sim.revoke(TOKENS[0]);
        let outcome = way.ask(&gateway, &Ask::new("hi")).await;
        outcome.assert_failed("credentials_rejected");
        eventually("the change is told", async || is(ServingStatus::NotServing).await).await;
        gateway.stop().await
    })
    .await;
}
