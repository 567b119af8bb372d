//! Access to the metrics, and client addresses in the log.

use duogate::config::Settings;
use serde_json::Value;

use crate::support::{
    ADMIN_KEY, Ask, Authority, Gateway, KEY, ONCE, Pair, Serving, Setup, each_door, eventually,
};

const METRICS_KEY: &str = "met-it-0123456789abcdef";

fn watched(settings: &mut Settings) {
    settings.metrics_key = Some(METRICS_KEY.into());
}

/// The status of a path with a key in this header.
async fn status(gateway: &Gateway, path: &str, header: &str, key: &str) -> u16 {
    let value = if header == "authorization" {
        format!("Bearer {key}")
    } else {
        key.to_owned()
    };
    let request = gateway.web.get(gateway.url(path)).header(header, value);
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn the_metrics_key_opens_the_metrics_and_nothing_else() {
    each_door(ONCE, async |(), door| {
        let both = |settings: &mut Settings| {
            watched(settings);
            settings.admin_key = Some(ADMIN_KEY.into());
        };
        let gateway = Setup::new().settings(both).start().await;
        for header in ["authorization", "x-api-key", "api-key"] {
            assert_eq!(
                status(&gateway, "/metrics", header, METRICS_KEY).await,
                200,
                "{header}"
            );
            assert_eq!(
                status(&gateway, "/metrics", header, ADMIN_KEY).await,
                200,
                "{header}"
            );
            assert_eq!(status(&gateway, "/metrics", header, KEY).await, 401, "{header}");
            assert_eq!(
                status(&gateway, "/v1/models", header, METRICS_KEY).await,
                401,
                "{header}"
            );
            assert_eq!(
                status(&gateway, "/admin/tokens", header, KEY).await,
                401,
                "{header}"
            );
        }
        assert_eq!(status(&gateway, "/metrics", "x-api-key", "wrong").await, 401);
        assert_eq!(
            status(&gateway, "/admin/tokens", "x-api-key", METRICS_KEY).await,
            401
        );
        let bare = gateway.web.get(gateway.url("/metrics")).send().await.unwrap();
        assert_eq!(bare.status(), 401);
        let in_query = format!("/metrics?api_key={METRICS_KEY}");
        assert_eq!(
            status(&gateway, &in_query, "x-other", "x").await,
            401,
            "proxies log queries"
        );
        for key in [METRICS_KEY, KEY, ADMIN_KEY] {
            let health = gateway.web.get(gateway.url("/health")).bearer_auth(key);
            let health: Value = health.send().await.unwrap().json().await.unwrap();
            assert_eq!(health["token_pool"]["total_tokens"], 3);
            assert!(health["token_pool"].get("tokens").is_none(), "{key}: {health}");
        }
        for way in door.ways() {
            let asked = Ask::new("may I?").key(Some(METRICS_KEY));
            way.ask(&gateway, &asked).await.assert_failed("unauthenticated");
        }
        assert_eq!(gateway.sim.counts().calls.values().sum::<u64>(), 0);
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn an_open_house_still_keeps_its_metrics() {
    let open = |settings: &mut Settings| settings.require_api_key = false;
    let gateway = Setup::new().settings(open).start().await;
    assert_eq!(status(&gateway, "/metrics", "x-other", "x").await, 200);
    let mut changed = gateway.live().settings();
    changed.metrics_key = Some(METRICS_KEY.into());
    gateway.live().apply(&changed);
    assert_eq!(
        status(&gateway, "/metrics", "x-other", "x").await,
        401,
        "it counts at once"
    );
    assert_eq!(status(&gateway, "/metrics", "x-api-key", METRICS_KEY).await, 200);
    gateway.stop().await;
}

/// The value of a series.
async fn value(gateway: &Gateway, series: &str) -> Option<f64> {
    let page = gateway.get("/metrics").await.text().await.unwrap();
    let mut lines = page.lines();
    lines.find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

#[tokio::test]
async fn connections_are_counted_by_door() {
    let gateway = Setup::new().start().await;
    let open = |door: &str| format!("duogate_connections{{door=\"{door}\"}}");
    assert_eq!(value(&gateway, &open("grpc")).await, Some(0.0));
    assert_eq!(
        value(&gateway, &open("http")).await,
        Some(1.0),
        "the one that asks"
    );
    let first = tokio::net::TcpStream::connect(gateway.grpc).await.unwrap();
    let second = tokio::net::TcpStream::connect(gateway.grpc).await.unwrap();
    eventually("two are open", async || {
        value(&gateway, &open("grpc")).await == Some(2.0)
    })
    .await;
    drop((first, second));
    eventually("none is open", async || {
        value(&gateway, &open("grpc")).await == Some(0.0)
    })
    .await;
    let accepted = value(&gateway, "duogate_connections_accepted_total{door=\"grpc\"}").await;
    assert_eq!(accepted, Some(2.0));
    gateway.stop().await;
}

#[tokio::test]
async fn a_failed_handshake_is_counted_and_the_certificate_s_end_is_told() {
    use tokio::io::AsyncWriteExt;
    let (authority, place) = (Authority::new(), tempfile::tempdir().unwrap());
    let pair = authority.sign_between((2020, 1, 1), (2130, 1, 2));
    pair.write(place.path());
    let gateway = Setup::new()
        .tls(place.path())
        .start_with(Some(&authority), None::<&Pair>)
        .await;
    let mut plain = tokio::net::TcpStream::connect(gateway.grpc).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let refused = "duogate_connections_refused_total{door=\"grpc\",reason=\"tls_handshake\"}";
    eventually("it is counted", async || {
        value(&gateway, refused).await == Some(1.0)
    })
    .await;
    // date --utc --date=2130-01-02 +%s
    let end = Some(5_049_216_000.0);
    let series = "duogate_tls_certificate_not_after_timestamp_seconds";
    eventually("the end is told", async || value(&gateway, series).await == end).await;
    gateway.stop().await;
}

#[cfg(unix)]
#[tokio::test]
async fn the_access_line_names_the_client_by_trusted_proxies_at_both_doors() {
    let place = tempfile::tempdir().unwrap();
    let write = |trusted: &str| {
        let text = format!("API_KEYS=[\"{KEY}\"]\nTRUSTED_PROXIES={trusted}\n");
        std::fs::write(place.path().join(".env"), text).unwrap();
    };
    for (trusted, expected) in [
        ("[]", "127.0.0.1"),
        ("[\"127.0.0.0/8\", \"10.0.0.0/8\"]", "198.51.100.7"),
    ] {
        write(trusted);
        let mut serving = Serving::start(place.path());
        let client = reqwest::Client::builder().no_proxy();
        let http = client
            .build()
            .unwrap()
            .get(format!("http://{}/v1/models", serving.http));
        let said = "203.0.113.1, 198.51.100.7, 10.0.0.1";
        http.bearer_auth(KEY)
            .header("x-forwarded-for", said)
            .send()
            .await
            .unwrap();
        let mut seen = vec![serving.until("request ended")];
        let raw = reqwest::Client::builder().no_proxy().http2_prior_knowledge();
        let call = raw.build().unwrap();
        let call = call.post(format!(
            "http://{}/duogate.v1.ChatService/ListModels",
            serving.grpc
        ));
        let call = call
            .bearer_auth(KEY)
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let call = call.header(
            "forwarded",
            "for=203.0.113.1, for=\"198.51.100.7:443\", for=10.0.0.1",
        );
        call.body(vec![0; 5]).send().await.unwrap();
        seen.push(serving.until("request ended"));
        for line in seen {
            let line: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(line["client"], expected, "{line}");
        }
        serving.stop().await;
    }
}
