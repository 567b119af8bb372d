//! A gateway without descriptors: it blames nobody else, asks callers to retry, and recovers by itself.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use duogate::sim::{Hold, Sim, SimConfig, answer_text};
use futures::future::join_all;

use crate::support::{Ask, Door, Gateway, KEY, Serving, TOKENS, Way, eventually, within};

/// Enough to start and serve a few chats; each takes one for its upstream call.
const DESCRIPTORS: u32 = 60;
const CHATS: usize = 100;

/// Writes settings for an upstream under this host name.
fn settle(directory: &Path, sim: &Sim, host: &str) {
    let endpoints = sim.endpoints();
    let named = |url: String| url.replace("127.0.0.1", host);
    let lines = [
        format!("API_KEYS=[\"{KEY}\"]"),
        format!("TOKEN_POOL={}", serde_json::to_string(&TOKENS).unwrap()),
        format!("PROJECT_API_URL={}", named(endpoints.project)),
        format!("CONVERSATION_API_URL={}", named(endpoints.conversation)),
        format!("MESSAGE_API_URL={}", named(endpoints.message)),
        format!("TARGET_API_URL={}", named(endpoints.target)),
        format!("SITE_URL={}", endpoints.site),
        "STATE_DIR=state".to_owned(),
    ];
    fs::write(directory.join(".env"), lines.join("\n")).unwrap();
}

/// The sum of all series of this metric with `part` in their labels.
fn total(page: &str, name: &str, part: &str) -> f64 {
    let lines = page
        .lines()
        .filter(|line| line.starts_with(name) && line.contains(part));
    lines
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

async fn crowd_without_descriptors(host: &str) {
    let config = SimConfig {
        tokens: TOKENS.map(str::to_owned).to_vec(),
        ..SimConfig::default()
    };
    let upstream = Sim::start(config).await.unwrap();
    let place = tempfile::tempdir().unwrap();
    settle(place.path(), &upstream, host);
    let serving = Serving::start_limited(place.path(), DESCRIPTORS);
    let told = serving.log.last().unwrap();
    assert!(told.contains(&format!("\"descriptors\":{DESCRIPTORS}")), "{told}");
    let began = Instant::now();
    let gateway = Gateway::elsewhere(serving.http, serving.grpc, upstream.control());
    gateway.sim.hold_at(Hold::AfterFirstPiece);
    let refused = AtomicUsize::new(0);
    let chats = join_all((0..CHATS).map(async |number| {
        // gRPC calls share a connection, so that only the upstream call lacks a descriptor.
        let door = if number % 5 == 0 { Door::Http } else { Door::Grpc };
        let way = Way { door, streamed: true };
        let question = format!("question {number}");
        let outcome = way.ask(&gateway, &Ask::new(&question)).await;
        if outcome.failure.is_some() {
            let failure = outcome.assert_failed("overloaded");
            assert!(failure.retry_after.is_some() || failure.in_band, "{failure:?}");
            refused.fetch_add(1, Ordering::Relaxed);
        } else {
            outcome.assert_whole(&answer_text(&question));
        }
    }));
    let middle = async {
        eventually("chats are refused", async || refused.load(Ordering::Relaxed) > 20).await;
        gateway.sim.release();
    };
    within("all chats", async { tokio::join!(chats, middle) }).await;
    let page = || async { gateway.get("/metrics").await.text().await.unwrap() };
    eventually("it serves again", async || {
        let asked = Ask::new("welcome back");
        let outcomes = join_all([Door::Http, Door::Grpc].map(|door| {
            let (gateway, asked) = (&gateway, &asked);
            async move {
                Way {
                    door,
                    streamed: false,
                }
                .ask(gateway, asked)
                .await
            }
        }))
        .await;
        outcomes.iter().all(|outcome| outcome.failure.is_none())
    })
    .await;
    let page = page().await;
    assert_eq!(total(&page, "duogate_open_circuit_breakers ", ""), 0.0, "{page}");
    assert_eq!(total(&page, "duogate_tokens", "ready"), 3.0, "{page}");
    assert!(
        total(&page, "duogate_upstream_calls_total", "\"local\"") > 0.0,
        "{page}"
    );
    assert_eq!(total(&page, "duogate_requests_total", "upstream_"), 0.0, "{page}");
    let health = gateway.health().await;
    assert_eq!(health["upstream"]["reachable"], true, "{health}");
    for row in health["token_pool"]["tokens"].as_array().unwrap() {
        assert_eq!(
            (&row["state"], &row["failures"]),
            (&"ready".into(), &0.into()),
            "{row}"
        );
    }
    drop(gateway);
    let log = serving.stop().await;
    // Each kind of warning appears at most once in five seconds.
    let most = usize::try_from(began.elapsed().as_secs()).unwrap() / 5 + 1;
    for line in ["could not be accepted", "nothing left for a call"] {
        let count = log.iter().filter(|told| told.contains(line)).count();
        assert!(count <= most, "{count} times {line:?}: {log:#?}");
    }
    for line in ["keeps failing", "an attempt failed"] {
        assert_eq!(log.iter().find(|told| told.contains(line)), None);
    }
    upstream.shutdown().await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn want_of_descriptors_is_told_as_overloaded_and_blames_nobody() {
    crowd_without_descriptors("127.0.0.1").await;
}

#[cfg(unix)]
#[tokio::test]
async fn the_soft_limit_is_raised_to_the_hard_one() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join(".env"), format!("API_KEYS=[\"{KEY}\"]\n")).unwrap();
    let serving = Serving::start_soft(place.path(), 64, 256);
    let told = serving.log.last().unwrap();
    assert!(told.contains("\"descriptors\":256"), "{told}");
    serving.stop().await;
}
