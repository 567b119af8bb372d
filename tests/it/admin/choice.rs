//! The explained choice of a credential.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use duogate::{
    config::Settings,
    sim::{Fault, Hold, Rule, Step},
};
use serde_json::{Value, json};

use super::{hire, operated, row, sha256};
use crate::support::{Ask, Desk, ONCE, TOKENS, each_door, each_way, within};

/// A credential whose own expiry was in 2001.
fn expired() -> String {
    let claims = BASE64_URL_SAFE_NO_PAD.encode(r#"{"exp":1000000000}"#);
    format!("e30.{claims}.c2lnbmF0dXJl")
}

#[tokio::test]
async fn the_choice_is_explained_for_every_token() {
    each_door(ONCE, async |(), door| {
        let strict = |settings: &mut Settings| {
            settings.token_max_failures = 1;
            settings.max_in_flight_per_token = 1;
        };
        let gateway = operated().settings(strict).start().await;
        let [desk, other] = Desk::both(&gateway);
        let expired = expired();
        for token in ["it-token-limited", "it-token-dead", &expired] {
            hire(desk, token).await;
        }
        gateway.sim.revoke("it-token-dead");
        assert_eq!(
            desk.probe(&sha256("it-token-dead")).await.unwrap()["token"]["state"],
            "disabled"
        );
        let limited = Rule::once(Fault::status(429)).on(Step::ListProjects);
        gateway.sim.script(limited.with_token("it-token-limited"));
        assert_eq!(
            desk.probe(&sha256("it-token-limited")).await.unwrap()["token"]["reason"],
            "rate_limited"
        );
        gateway.sim.hold_at(Hold::AfterFirstPiece);
        let mut opened = door.open(&gateway, &Ask::new("hold one")).await.unwrap();
        within("the first text", opened.first_text()).await;
        for desk in [desk, other] {
            let told = desk.explain().await;
            let rows = told["tokens"].as_array().unwrap();
            let standing = |token: &str| row(rows, token)["standing"].clone();
            let all = [TOKENS[0], TOKENS[1], TOKENS[2], "it-token-dead", &expired].map(standing);
            let expected = ["full", "chosen", "used_later", "disabled", "expired"];
            assert_eq!(json!(all), json!(expected), "{:?}: {told}", desk.door);
            assert_eq!(told["chosen"]["sha256"], sha256(TOKENS[1]));
            assert_eq!(
                (&told["refusal"], &told["open_breakers"]),
                (&Value::Null, &0.into())
            );
            assert_eq!(row(rows, &expired)["expires_at"], "2001-09-09T01:46:40.000Z");
            assert!(rows.iter().all(|row| row["why"].as_str().unwrap().ends_with('.')));
            let last = gateway.sim.answers().pop().unwrap();
            assert_eq!(last.token, TOKENS[0]);
        }
        drop(opened);
        gateway.sim.release();
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn that_no_token_would_be_chosen_is_explained_as_the_next_chat_would_hear_it() {
    each_way([0, 1], async |index: usize, way| {
        let gateway = operated().tokens(1).start().await;
        let desk = Desk::both(&gateway)[index];
        gateway.sim.revoke(TOKENS[0]);
        desk.probe(&sha256(TOKENS[0])).await.unwrap();
        let told = desk.explain().await;
        assert_eq!(told["chosen"], Value::Null);
        let outcome = way.ask(&gateway, &Ask::new("no")).await;
        let failure = outcome.assert_failed(told["refusal"]["kind"].as_str().unwrap());
        assert_eq!(told["refusal"]["message"], failure.message.as_str());
        assert_eq!(told["tokens"][0]["standing"], "benched");
        gateway.stop().await
    })
    .await;
}
