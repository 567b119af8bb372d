//! The metrics page: every metric has a description, and the values are right.

use std::collections::{BTreeMap, BTreeSet};

use duogate::{
    engine::{
        error::ErrorKind,
        upstream::{Fault, Step},
    },
    sim::answer_text,
    telemetry::{self, ConversationEvent, Refusal},
};
use strum::{IntoEnumIterator, VariantArray};

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
            let ours = name.starts_with("duogate_") || name.starts_with("process_");
            assert!(ours, "{name}");
        }
        gateway.stop().await
    })
    .await;
}

/// All series of the page, by name and labels; each must be well-formed.
fn series(page: &str) -> BTreeMap<String, f64> {
    let mut series = BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
        let bare = name.split('{').next().unwrap();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        assert!(bare.bytes().all(is_plain), "{line}");
        if let Some(labels) = name.strip_prefix(bare).filter(|labels| !labels.is_empty()) {
            let labels = labels
                .strip_prefix('{')
                .and_then(|labels| labels.strip_suffix('}'));
            for pair in labels.expect("braces").split("\",") {
                let (label, value) = pair.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
                assert!(label.bytes().all(is_plain) && !value.contains('\n'), "{line}");
            }
        }
        assert_eq!(series.insert(name.to_owned(), value), None, "twice: {line}");
    }
    series
}

#[tokio::test]
async fn every_series_of_a_closed_set_begins_at_zero() {
    const MODELS: [&str; 2] = ["first model", "second"];
    let gateway = Setup::new()
        .settings(|settings| settings.available_models = MODELS.map(str::to_owned).to_vec())
        .start()
        .await;
    let fresh = page(&gateway).await;
    let found = series(&fresh);
    let mut expected = Vec::new();
    let kinds = || {
        ["ok"]
            .into_iter()
            .chain(ErrorKind::VARIANTS.iter().map(|kind| kind.name()))
    };
    for door in telemetry::Door::VARIANTS {
        let door = door.name();
        for outcome in kinds() {
            expected.push(format!(
                "duogate_requests_total{{door=\"{door}\",model=\"none\",outcome=\"{outcome}\"}}"
            ));
            expected.push(format!(
                "duogate_request_duration_seconds_count{{door=\"{door}\",outcome=\"{outcome}\"}}"
            ));
        }
        let known = ErrorKind::VARIANTS.iter().filter(|kind| kind.follows_model());
        let known = ["ok"].into_iter().chain(known.map(|kind| kind.name()));
        for outcome in known {
            for model in MODELS.into_iter().chain(["other"]) {
                expected.push(format!(
                    "duogate_requests_total{{door=\"{door}\",model=\"{model}\",outcome=\"{outcome}\"}}"
                ));
            }
        }
        expected.push(format!(
            "duogate_time_to_first_token_seconds_count{{door=\"{door}\"}}"
        ));
        for reason in Refusal::VARIANTS {
            let reason = reason.name();
            expected.push(format!(
                "duogate_connections_refused_total{{door=\"{door}\",reason=\"{reason}\"}}"
            ));
        }
    }
    for step in Step::VARIANTS {
        let step = step.name();
        let faults = Fault::iter().map(|fault| fault.name());
        for outcome in ["ok", "closed"].into_iter().chain(faults) {
            expected.push(format!(
                "duogate_upstream_calls_total{{outcome=\"{outcome}\",step=\"{step}\"}}"
            ));
        }
        expected.push(format!(
            "duogate_upstream_call_duration_seconds_count{{step=\"{step}\"}}"
        ));
    }
    for event in ConversationEvent::VARIANTS {
        let event = event.name();
        expected.push(format!("duogate_conversation_events_total{{event=\"{event}\"}}"));
    }
    for series in &expected {
        assert_eq!(found.get(series), Some(&0.0), "{series}");
    }
    // There are no series beyond those.
    for (name, value) in &found {
        let counts = name.contains("_total{") || name.contains("_count{");
        if counts && !name.contains("_accepted_") {
            assert!(expected.contains(name), "{name} {value}");
        }
    }
    assert_eq!(
        found[concat!("duogate_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}")],
        1.0
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_model_that_gets_a_label_has_all_its_outcomes() {
    each_door(ONCE, async |(), door| {
        let gateway = Setup::new().start().await;
        for way in door.ways() {
            way.ask(&gateway, &Ask::new("hello").model("newcomer"))
                .await
                .assert_whole(&answer_text("hello"));
        }
        eventually("it is counted", async || {
            page(&gateway).await.contains("newcomer")
        })
        .await;
        let page = page(&gateway).await;
        for door in ["http", "grpc"] {
            let labels = [
                ("door", door),
                ("model", "newcomer"),
                ("outcome", "upstream_truncated"),
            ];
            assert_eq!(value(&page, "duogate_requests_total", &labels), Some(0.0));
        }
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_process_tells_of_itself() {
    let gateway = Setup::new().start().await;
    let page = page(&gateway).await;
    for (name, least) in [
        ("process_cpu_seconds_total", 0.0),
        ("process_resident_memory_bytes", 1e6),
        ("process_open_fds", 3.0),
        ("process_max_fds", 20.0),
        ("process_start_time_seconds", 1.7e9),
    ] {
        let told = value(&page, name, &[]).unwrap_or_else(|| panic!("{name}: {page}"));
        assert!(told >= least, "{name} {told}");
    }
    gateway.stop().await;
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
