//! gRPC's health service: watching, listing, and the service name that stands for the process alone.

use std::{collections::HashMap, time::Duration};

use prost::Message;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};

use crate::support::{
    Ask, Gateway, ONCE, Setup, TOKENS, each_way, eventually, frame, raw_call, unfinished, within,
};

const LIVE: &str = "duogate.live";
const CHAT: &str = "duogate.v1.ChatService";

fn named(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

async fn status_of(gateway: &Gateway, service: &str) -> ServingStatus {
    let mut health = HealthClient::new(gateway.channel());
    let answer = health.check(named(service)).await.unwrap();
    answer.into_inner().status()
}

/// The response of `List`, which the library's own contract lacks.
#[derive(Clone, PartialEq, prost::Message)]
struct Listed {
    #[prost(map = "string, message", tag = "1")]
    statuses: HashMap<String, HealthCheckResponse>,
}

async fn listed(gateway: &Gateway) -> Vec<(String, ServingStatus)> {
    let answer = raw_call(gateway, "/grpc.health.v1.Health/List", &[], frame(&[])).await;
    assert_eq!(answer.status.code(), Code::Ok, "{:?}", answer.status);
    let listed = Listed::decode(&answer.body[5..]).unwrap().statuses;
    let mut listed: Vec<_> = listed
        .into_iter()
        .map(|(name, answer)| (name, answer.status()))
        .collect();
    listed.sort_unstable();
    listed
}

#[tokio::test]
async fn the_process_lives_whatever_becomes_of_the_tokens() {
    each_way(ONCE, async |(), way| {
        let gateway = Setup::new().tokens(1).start().await;
        eventually("chats are taken", async || {
            status_of(&gateway, CHAT).await == ServingStatus::Serving
        })
        .await;
        assert_eq!(status_of(&gateway, LIVE).await, ServingStatus::Serving);
        gateway.sim.revoke(TOKENS[0]);
        let outcome = way.ask(&gateway, &Ask::new("hi")).await;
        outcome.assert_failed("credentials_rejected");
        eventually("no chat is taken", async || {
            status_of(&gateway, CHAT).await == ServingStatus::NotServing
        })
        .await;
        assert_eq!(status_of(&gateway, "").await, ServingStatus::NotServing);
        assert_eq!(status_of(&gateway, LIVE).await, ServingStatus::Serving);
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn every_name_is_listed_with_what_it_is_told() {
    use ServingStatus::{NotServing, Serving};
    for (tokens, chats) in [(0, NotServing), (1, Serving)] {
        let gateway = Setup::new().tokens(tokens).start().await;
        eventually("the tokens are taken account of", async || {
            status_of(&gateway, CHAT).await == chats
        })
        .await;
        let all = [("", chats), (LIVE, Serving), (CHAT, chats)];
        let all = all.map(|(name, status)| (name.to_owned(), status));
        assert_eq!(listed(&gateway).await, all);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_watch_of_what_is_not_known_says_so_and_stays_open() {
    let mut gateway = Gateway::start().await;
    let mut health = HealthClient::new(gateway.channel());
    let mut watch = health.watch(named("no.such.Service")).await.unwrap().into_inner();
    let first = within("the first word", watch.message()).await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::ServiceUnknown);
    let mut lives = health.watch(named(LIVE)).await.unwrap().into_inner();
    let first = within("the first word", lives.message()).await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    // The connection and both watches continue until the gateway stops.
    assert_eq!(status_of(&gateway, LIVE).await, ServingStatus::Serving);
    let (next, others, ()) = tokio::join!(watch.message(), lives.message(), async {
        gateway.stop.soft.cancel();
    });
    for ended in [next, others] {
        assert_eq!(ended.unwrap_err().code(), Code::Unavailable);
    }
    gateway.ended().await.expect("the watches did not hold it up");
}

#[tokio::test]
async fn a_watch_hears_of_a_change() {
    each_way(ONCE, async |(), way| {
        let gateway = Setup::new().tokens(1).start().await;
        let mut health = HealthClient::new(gateway.channel());
        eventually("chats are taken", async || {
            status_of(&gateway, CHAT).await == ServingStatus::Serving
        })
        .await;
        let mut watch = health.watch(named("")).await.unwrap().into_inner();
        let first = within("the first word", watch.message()).await.unwrap().unwrap();
        assert_eq!(first.status(), ServingStatus::Serving);
        gateway.sim.revoke(TOKENS[0]);
        let outcome = way.ask(&gateway, &Ask::new("hi")).await;
        outcome.assert_failed("credentials_rejected");
        let next = within("the change", watch.message()).await.unwrap().unwrap();
        assert_eq!(next.status(), ServingStatus::NotServing);
        drop(watch);
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_check_whose_message_never_comes_is_given_up() {
    let gateway = Setup::new()
        .settings(|settings| settings.body_read_timeout = Duration::from_millis(200))
        .start()
        .await;
    for path in ["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"] {
        let call = raw_call(&gateway, path, &[], unfinished(vec![0, 0]));
        let answer = within("the end of patience", call).await;
        assert_eq!(answer.status.code(), Code::DeadlineExceeded, "{path}");
    }
    gateway.stop().await;
}
