//! API keys: every place to send one, and the paths that need none.

use duogate::sim::answer_text;
use serde_json::Value;
use tonic::{Code, metadata::MetadataValue};

use crate::support::{Ask, Gateway, KEY, ONCE, OTHER_KEY, Setup, TOKENS, each_door, error_of, failure_of};

const CLOSED: [&str; 4] = ["/v1/models", "/v1/models/any", "/metrics", "/no/such/path"];
const OPEN: [&str; 5] = ["/", "/health", "/livez", "/readyz", "/docs"];

async fn status(request: reqwest::RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_key_may_stand_in_four_places_over_http() {
    let gateway = Gateway::start().await;
    let get = |query: &str| gateway.web.get(gateway.url(&format!("/v1/models{query}")));
    for key in [KEY, OTHER_KEY] {
        assert_eq!(
            status(get("").header("authorization", format!("Bearer {key}"))).await,
            200
        );
        assert_eq!(
            status(get("").header("authorization", format!("bearer  {key} "))).await,
            200
        );
        assert_eq!(status(get(&format!("?x=1&api_key={key}"))).await, 200);
        assert_eq!(status(get("").header("x-api-key", key)).await, 200);
        assert_eq!(status(get("").header("API-Key", key)).await, 200);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn the_first_place_that_holds_a_key_decides() {
    let gateway = Gateway::start().await;
    const PLACES: [&str; 4] = ["authorization", "?api_key", "x-api-key", "api-key"];
    let ask = async |keys: [(&str, &str); 2]| {
        let query = keys.iter().find(|(place, _)| place.starts_with('?'));
        let query = query
            .map(|(_, key)| format!("?api_key={key}"))
            .unwrap_or_default();
        let mut request = gateway.web.get(gateway.url(&format!("/v1/models{query}")));
        for (place, key) in keys {
            request = match place {
                "authorization" => request.header(place, format!("Bearer {key}")),
                "?api_key" => request,
                header => request.header(header, key),
            };
        }
        status(request).await
    };
    for (number, first) in PLACES.into_iter().enumerate() {
        for later in PLACES.into_iter().skip(number + 1) {
            let good_first = [(first, KEY), (later, "sk-wrong")];
            assert_eq!(ask(good_first).await, 200, "{first} before {later}");
            let wrong_first = [(first, "sk-wrong"), (later, KEY)];
            assert_eq!(ask(wrong_first).await, 401, "{first} before {later}");
        }
    }
    let nothing_first = gateway.web.get(gateway.url("/v1/models?api_key="));
    let nothing_first = nothing_first
        .header("authorization", "Bearer ")
        .header("api-key", KEY);
    assert_eq!(status(nothing_first).await, 200, "an empty place decides nothing");
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_may_stand_in_three_places_over_grpc() {
    let gateway = Gateway::start().await;
    let ask = Ask::new("may I?");
    for (name, value) in [
        ("authorization", format!("Bearer {KEY}")),
        ("x-api-key", KEY.to_owned()),
        ("api-key", OTHER_KEY.to_owned()),
    ] {
        let mut request = ask.clone().key(None).request();
        request.metadata_mut().insert(name, value.parse().unwrap());
        let answer = gateway.chats().create_chat_completion(request).await;
        assert!(answer.is_ok(), "{name}: {answer:?}");
    }
    let mut request = ask.key(Some("sk-wrong")).request();
    request.metadata_mut().insert("x-api-key", KEY.parse().unwrap());
    let refused = gateway.chats().create_chat_completion(request).await.unwrap_err();
    assert_eq!(
        failure_of(&refused, false).kind,
        "unauthenticated",
        "the first place decides"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn no_key_and_wrong_keys_are_refused_at_both_doors() {
    each_door(ONCE, async |(), door| {
        let gateway = Gateway::start().await;
        let almost = &KEY[..KEY.len() - 1];
        let longer = format!("{KEY}0");
        for key in [
            None,
            Some("sk-wrong"),
            Some(almost),
            Some(longer.as_str()),
            Some(TOKENS[0]),
        ] {
            for way in door.ways() {
                let outcome = way.ask(&gateway, &Ask::new("may I?").key(key)).await;
                let failure = outcome.assert_failed("unauthenticated");
                assert_eq!(
                    (failure.in_band, failure.should_retry),
                    (false, Some(false)),
                    "{way:?}"
                );
                assert!(
                    key.is_none_or(|key| !failure.message.contains(key)),
                    "{}",
                    failure.message
                );
            }
        }
        let refused = gateway.web.get(gateway.url("/v1/models")).send().await.unwrap();
        assert_eq!(refused.headers()["www-authenticate"], "Bearer");
        let listed = gateway
            .chats()
            .list_models(duogate::app::client::ListModelsRequest {})
            .await;
        assert_eq!(listed.unwrap_err().code(), Code::Unauthenticated);
        assert_eq!(gateway.sim.counts().calls.values().sum::<u64>(), 0);
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn open_paths_are_open_and_all_others_are_not() {
    let gateway = Gateway::start().await;
    for path in OPEN {
        let answer = gateway.web.get(gateway.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let with_wrong_key = gateway.web.get(gateway.url(path)).bearer_auth("sk-wrong");
        assert_eq!(status(with_wrong_key).await, 200, "{path} with a wrong key");
    }
    for path in CLOSED {
        let answer = gateway.web.get(gateway.url(path)).send().await.unwrap();
        assert_eq!(error_of(answer).await.kind, "unauthenticated", "{path}");
    }
    assert_eq!(gateway.get("/metrics").await.status(), 200);
    gateway.stop().await;
}

#[tokio::test]
async fn where_no_key_is_required_nothing_needs_one() {
    each_door(ONCE, async |(), door| {
        let gateway = Setup::new()
            .settings(|settings| settings.require_api_key = false)
            .start()
            .await;
        for key in [None, Some("sk-wrong"), Some(KEY)] {
            for way in door.ways() {
                let outcome = way.ask(&gateway, &Ask::new("open house").key(key)).await;
                outcome.assert_whole(&answer_text("open house"));
            }
        }
        for path in ["/v1/models", "/metrics", "/health"] {
            assert_eq!(status(gateway.web.get(gateway.url(path))).await, 200, "{path}");
        }
        let health: Value = gateway
            .web
            .get(gateway.url("/health"))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert_eq!(health["api_key_validation"], false);
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn no_key_and_no_token_is_in_any_answer() {
    each_door(ONCE, async |(), door| {
        let gateway = Gateway::start().await;
        gateway.sim.revoke(TOKENS[1]);
        for way in door.ways() {
            way.ask(&gateway, &Ask::new("secrets?"))
                .await
                .assert_whole(&answer_text("secrets?"));
        }
        let mut bodies = Vec::new();
        let wrong = "sk-wrong-and-secret";
        for path in OPEN.iter().chain(&CLOSED) {
            for (key, query) in [
                (Some(KEY), ""),
                (Some(wrong), ""),
                (None, "?api_key=sk-wrong-and-secret"),
            ] {
                let mut request = gateway.web.get(gateway.url(&format!("{path}{query}")));
                if let Some(key) = key {
                    request = request.bearer_auth(key);
                }
                let response = request.send().await.unwrap();
                bodies.push(format!("{:?}", response.headers()));
                bodies.push(response.text().await.unwrap());
            }
        }
        let mut request = Ask::new("x").key(None).request();
        request
            .metadata_mut()
            .insert("x-api-key", MetadataValue::from_static(wrong));
        let refused = gateway.chats().create_chat_completion(request).await.unwrap_err();
        bodies.push(format!("{refused:?}"));
        for body in bodies {
            for secret in [KEY, OTHER_KEY, wrong].into_iter().chain(TOKENS) {
                assert!(!body.contains(secret), "{secret} is in {body}");
            }
        }
        gateway.stop().await
    })
    .await;
}
