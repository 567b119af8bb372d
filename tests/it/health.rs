//! The gateway's reports about itself.

use duogate::sim::{Fault, Rule, Step, answer_text};
use serde_json::Value;

use crate::support::{Ask, Gateway, KEY, ONCE, Setup, TOKENS, each_door, eventually};

#[tokio::test]
async fn health_has_every_field() {
    let gateway = Setup::new()
        .settings(|settings| settings.available_models = vec!["one".to_owned(), "two".to_owned()])
        .start()
        .await;
    let health = gateway.health().await;
    assert_eq!(health["status"], "healthy");
    let timestamp = health["timestamp"].as_str().expect("a time");
    assert!(timestamp.ends_with('Z') && timestamp.contains('T'), "{timestamp}");
    assert!(
        health["uptime_seconds"]
            .as_f64()
            .is_some_and(|seconds| seconds >= 0.0)
    );
    assert_eq!(health["api_key_validation"], true);
    let statistics = &health["statistics"];
    for count in ["total_requests", "successful_requests", "failed_requests"] {
        assert_eq!(statistics[count], 0, "{count}");
    }
    assert_eq!(statistics["success_rate"], 100.0);
    let pool = &health["token_pool"];
    assert_eq!(
        (&pool["total_tokens"], &pool["available_tokens"]),
        (&3.into(), &3.into())
    );
    assert_eq!(pool["failed_tokens"], 0);
    assert_eq!(health["models"], serde_json::json!(["one", "two"]));
    gateway.stop().await;
}

#[tokio::test]
async fn rows_about_single_tokens_are_for_callers_with_a_key() {
    let gateway = Gateway::start().await;
    for key in [None, Some("sk-wrong")] {
        let mut request = gateway.web.get(gateway.url("/health"));
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        let health: Value = request.send().await.unwrap().json().await.unwrap();
        assert!(health["token_pool"].get("tokens").is_none(), "{health}");
        assert_eq!(health["token_pool"]["total_tokens"], 3);
    }
    let query = format!("/health?api_key={KEY}");
    let health: Value = gateway
        .web
        .get(gateway.url(&query))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(health["token_pool"]["tokens"].as_array().map(Vec::len), Some(3));
    gateway.stop().await;
}

#[tokio::test]
async fn nothing_is_called_before_the_first_chat() {
    let gateway = Gateway::start().await;
    for path in [
        "/health",
        "/readyz",
        "/livez",
        "/metrics",
        "/v1/models",
        "/",
        "/docs",
    ] {
        assert_eq!(gateway.get(path).await.status(), 200, "{path}");
    }
    let counts = gateway.sim.counts();
    assert_eq!(counts.calls.values().sum::<u64>(), 0, "{:?}", counts.calls);
    gateway.stop().await;
}

#[tokio::test]
async fn statistics_count_each_chat_once_and_judge_only_what_could_have_succeeded() {
    each_door(ONCE, async |(), door| {
        let gateway = Setup::new()
            .settings(|settings| {
                settings.max_retries = 0;
                settings.available_models = ["good", "fault:400", "fault:500", "fault:cut"]
                    .map(str::to_owned)
                    .to_vec();
            })
            .start()
            .await;
        for way in door.ways() {
            for _ in 0..2 {
                way.ask(&gateway, &Ask::new("hi").model("good"))
                    .await
                    .assert_whole(&answer_text("hi"));
            }
            way.ask(&gateway, &Ask::new("hi").model("nobody"))
                .await
                .assert_failed("model_not_found");
            way.ask(&gateway, &Ask::new("hi").model(""))
                .await
                .assert_failed("invalid_request");
            way.ask(&gateway, &Ask::new("hi").key(None))
                .await
                .assert_failed("unauthenticated");
            way.ask(&gateway, &Ask::new("hi").model("fault:400"))
                .await
                .assert_failed("upstream_refused");
            way.ask(&gateway, &Ask::new("hi").model("fault:500"))
                .await
                .assert_failed("upstream_unavailable");
            way.ask(&gateway, &Ask::new("hi").model("fault:cut"))
                .await
                .assert_failed("upstream_truncated");
            gateway.sim.hold();
            let ask = Ask::new("hi").model("good");
            tokio::select! {
                outcome = way.ask(&gateway, &ask) => panic!("it ended: {outcome:?}"),
                () = gateway.sim_until("one is under way", |counts| counts.open() == 1) => {}
            }
            gateway.sim.release();
        }
        eventually("every chat is counted", async || {
            gateway.health().await["statistics"]["total_requests"] == 18
        })
        .await;
        let statistics = gateway.health().await["statistics"].clone();
        assert_eq!(statistics["successful_requests"], 4);
        assert_eq!(statistics["failed_requests"], 4);
        assert_eq!(statistics["rejected_requests"], 8);
        assert_eq!(statistics["cancelled_requests"], 2);
        assert_eq!(statistics["success_rate"], 50.0);
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn the_status_follows_the_tokens() {
    each_door(ONCE, async |(), door| {
        let gateway = Gateway::start().await;
        gateway.sim.script(
            Rule::always(Fault::status(401))
                .on(Step::ListProjects)
                .with_token(TOKENS[0]),
        );
        let [whole, streamed] = door.ways();
        whole
            .ask(&gateway, &Ask::new("hi"))
            .await
            .assert_whole(&answer_text("hi"));
        let health = gateway.health().await;
        assert_eq!(health["status"], "degraded");
        assert_eq!(health["token_pool"]["available_tokens"], 2);
        gateway.settled().await;
        gateway.sim.clear();
        for token in TOKENS {
            gateway.sim.revoke(token);
        }
        streamed
            .ask(&gateway, &Ask::new("hi"))
            .await
            .assert_failed("credentials_rejected");
        assert_eq!(gateway.health().await["status"], "unhealthy");
        assert_eq!(gateway.get("/readyz").await.status(), 503);
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn every_answer_carries_a_request_id_and_a_clients_own_is_kept() {
    let gateway = Gateway::start().await;
    let plain = gateway.get("/livez").await;
    assert!(!plain.headers()["x-request-id"].is_empty());
    let request = gateway
        .web
        .get(gateway.url("/v1/models"))
        .header("x-request-id", "mine-42");
    assert_eq!(request.send().await.unwrap().headers()["x-request-id"], "mine-42");
    let mut request = Ask::new("hi").request();
    request
        .metadata_mut()
        .insert("x-request-id", "mine-43".parse().unwrap());
    let answer = gateway.chats().create_chat_completion(request).await.unwrap();
    assert_eq!(answer.metadata().get("x-request-id").unwrap(), "mine-43");
    gateway.stop().await;
}
