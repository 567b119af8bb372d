//! The metrics page: every metric explained, and the counts what they should be.

use std::collections::BTreeSet;

use duogate::sim::answer_text;

use crate::support::{Ask, Door, Gateway, ONCE, Setup, each_crowd, each_door, eventually};

async fn page(gateway: &Gateway) -> String {
    let response = gateway.get("/metrics").await;
    assert_eq!(response.status(), 200);
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    response.text().await.unwrap()
}

/// The value of one series; labels in any order.
fn value(page: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    page.lines().find_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (found, rest) = series.split_once('{').unwrap_or((series, ""));
        let fits = labels
            .iter()
            .all(|(label, value)| rest.contains(&format!("{label}=\"{value}\"")));
        (found == name && fits).then(|| value.parse().unwrap())
    })
}

#[tokio::test]
async fn every_metric_has_its_help_and_its_type() {
    each_door(ONCE, async |(), door| {
        let gateway = Gateway::start().await;
        for way in door.ways() {
            way.ask(&gateway, &Ask::new("count me"))
                .await
                .assert_whole(&answer_text("count me"));
        }
        let page = page(&gateway).await;
        let about = |word: &str| -> BTreeSet<&str> {
            let lines = page.lines().filter_map(|line| line.strip_prefix(word));
            lines.filter_map(|rest| rest.split_whitespace().next()).collect()
        };
        let (helped, typed) = (about("# HELP "), about("# TYPE "));
        assert_eq!(helped, typed);
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix))
                .filter(|family| typed.contains(family))
                .unwrap_or(name);
            assert!(helped.contains(family), "no HELP for {name}");
            assert!(name.starts_with("duogate_"), "{name}");
        }
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn the_counts_are_those_of_the_chats() {
    each_door(ONCE, async |(), door| {
        let gateway = Setup::new()
            .settings(|settings| settings.max_retries = 1)
            .start()
            .await;
        for way in door.ways() {
            for _ in 0..3 {
                way.ask(&gateway, &Ask::new("count me"))
                    .await
                    .assert_whole(&answer_text("count me"));
            }
            way.ask(&gateway, &Ask::new("x").model("fault:500"))
                .await
                .assert_failed("upstream_unavailable");
            way.ask(&gateway, &Ask::new("x").model(""))
                .await
                .assert_failed("invalid_request");
        }
        gateway.settled().await;
        eventually("every chat is counted", async || {
            gateway.health().await["statistics"]["total_requests"] == 10
        })
        .await;
        let page = page(&gateway).await;
        let [ours, other] = match door {
            Door::Http => ["http", "grpc"],
            Door::Grpc => ["grpc", "http"],
        };
        let answered = |door| {
            value(
                &page,
                "duogate_requests_total",
                &[("door", door), ("outcome", "ok")],
            )
        };
        assert_eq!(answered(other).unwrap_or(0.0), 0.0, "{page}");
        let count = |model, outcome| {
            value(
                &page,
                "duogate_requests_total",
                &[("door", ours), ("model", model), ("outcome", outcome)],
            )
        };
        assert_eq!(count("it-model", "ok"), Some(6.0), "{page}");
        assert_eq!(count("fault:500", "upstream_unavailable"), Some(2.0), "{page}");
        let seconds = |name: &str, outcome| value(&page, name, &[("door", ours), ("outcome", outcome)]);
        assert_eq!(seconds("duogate_request_duration_seconds_count", "ok"), Some(6.0));
        assert_eq!(
            seconds("duogate_request_duration_seconds_count", "invalid_request"),
            Some(2.0)
        );
        let first = value(
            &page,
            "duogate_time_to_first_token_seconds_count",
            &[("door", ours)],
        );
        assert_eq!(first, Some(6.0));
        assert_eq!(value(&page, "duogate_tokens", &[("state", "ready")]), Some(3.0));
        assert_eq!(value(&page, "duogate_tokens", &[("state", "benched")]), Some(0.0));
        assert_eq!(value(&page, "duogate_requests_in_flight", &[]), Some(0.0));
        let calls: f64 = page
            .lines()
            .filter(|line| line.starts_with("duogate_upstream_calls_total"))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum();
        let seen: u64 = gateway.sim.counts().calls.values().sum();
        assert_eq!(
            calls, seen as f64,
            "each call to the upstream counts once: {page}"
        );
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn invented_model_names_do_not_fill_the_page() {
    each_crowd(ONCE, async |(), ways| {
        let gateway = Setup::new()
            .settings(|settings| settings.available_models = vec!["real".to_owned()])
            .start()
            .await;
        for number in 0..50 {
            let ask = Ask::new("x").model(format!("invented-{number}"));
            ways.nth(number)
                .ask(&gateway, &ask)
                .await
                .assert_failed("model_not_found");
        }
        eventually("every chat is counted", async || {
            gateway.health().await["statistics"]["total_requests"] == 50
        })
        .await;
        let page = page(&gateway).await;
        assert!(!page.contains("invented"), "{page}");
        gateway.stop().await
    })
    .await;
}
