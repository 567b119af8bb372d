//! Admin operations on the pool's credentials.

use duogate::{
    config::Settings,
    sim::{Fault, Hold, Rule, Step, answer_text},
};
use serde_json::{Value, json};

use super::{chat, hire, operated, row, sha256};
use crate::support::{
    ADMIN_KEY, Ask, Desk, KEY, ONCE, TOKENS, assert_not_found, each_door, error_of, eventually, within,
};

/// Two credentials whose hashes share the first eight digits.
const TWINS: [&str; 2] = ["it-twin-6459", "it-twin-40025"];

#[tokio::test]
async fn every_token_is_told_without_its_secret() {
    each_door(ONCE, async |(), door| {
        let gateway = operated().start().await;
        for way in door.ways() {
            way.ask(&gateway, &Ask::new("count me"))
                .await
                .assert_whole(&answer_text("count me"));
        }
        gateway.settled().await;
        for desk in Desk::both(&gateway) {
            let rows = desk.tokens().await;
            let hashes: Vec<_> = rows.iter().map(|row| row["sha256"].as_str().unwrap()).collect();
            assert_eq!(hashes, TOKENS.map(sha256), "in the order of the settings");
            let chats: u64 = rows.iter().map(|row| row["chats"].as_u64().unwrap()).sum();
            assert_eq!(chats, 2);
            for row in rows {
                assert_eq!(row["token"], row["sha256"].as_str().unwrap()[..8]);
                let rest = [
                    "state",
                    "available",
                    "reason",
                    "until",
                    "expires_at",
                    "in_flight",
                    "failures",
                ];
                let rest = rest.map(|key| row[key].clone());
                let calm = json!(["ready", true, null, null, null, 0, 0]);
                assert_eq!(json!(rest), calm, "{:?}", desk.door);
            }
        }
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_token_that_is_added_serves_the_next_chat() {
    each_door(ONCE, async |(), door| {
        let gateway = operated().tokens(1).start().await;
        chat(&gateway, door, "before").await;
        for (desk, token) in Desk::both(&gateway).into_iter().zip(["it-token-a", "it-token-b"]) {
            let added = hire(desk, token).await;
            assert_eq!(
                (&added["added"], &added["persisted"]),
                (&true.into(), &false.into())
            );
            assert!(
                added["note"].as_str().unwrap().contains("a restart forgets"),
                "{added}"
            );
            assert_eq!(added["token"]["sha256"], sha256(token));
            chat(&gateway, door, "who serves me?").await;
            let last = gateway.sim.answers().pop().unwrap();
            assert_eq!(last.token, token, "one unused for longest is next");
            let again = desk.add(token).await.unwrap();
            assert_eq!(again["added"], false, "{again}");
        }
        assert_eq!(Desk::both(&gateway)[0].tokens().await.len(), 3);
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn what_no_cookie_may_hold_is_refused_by_name_and_shown_nowhere() {
    let gateway = operated().start().await;
    let long = "a".repeat(16 * 1024 + 1);
    for desk in Desk::both(&gateway) {
        for (secret, fault) in [
            ("", "is empty"),
            ("very secret", "a space"),
            ("very;secret", "a semicolon"),
            ("verysecret\n", "a control character"),
            ("verysécret", "a character outside ASCII"),
            (long.as_str(), "longer than 16384 bytes"),
        ] {
            let refused = desk.add(secret).await.unwrap_err();
            assert_eq!(
                (refused.kind, refused.field.as_deref()),
                ("invalid_request", Some("token"))
            );
            assert!(refused.message.contains(fault), "{refused:?}");
            assert!(
                secret.is_empty() || !refused.message.contains(secret),
                "{refused:?}"
            );
        }
    }
    assert_eq!(Desk::both(&gateway)[0].tokens().await.len(), 3);
    gateway.stop().await;
}

#[tokio::test]
async fn a_body_that_holds_no_token_is_refused_without_repeating_it() {
    let gateway = operated().start().await;
    let post = async |body: &str| {
        let request = gateway.web.post(gateway.url("/admin/tokens"));
        let request = request.header("x-api-key", ADMIN_KEY).body(body.to_owned());
        error_of(request.send().await.unwrap()).await
    };
    for (body, field) in [
        ("", None),
        ("very-secret", None),
        (r#"["very-secret"]"#, None),
        (r#"{"token": "very-secret""#, None),
        (r#"{"tokens": "very-secret"}"#, Some("token")),
        (r#"{"token": ["very-secret"]}"#, Some("token")),
        (r#"{"token": 4815162342}"#, Some("token")),
        (r#"{"token": null}"#, Some("token")),
        // A byte order mark before the JSON is ignored.
        ("\u{feff}{\"token\": null}", Some("token")),
    ] {
        let refused = post(body).await;
        assert_eq!(
            (refused.kind, refused.field.as_deref()),
            ("invalid_request", field),
            "{body}"
        );
        assert!(
            !refused.message.contains("very-secret") && !refused.message.contains("4815"),
            "{refused:?}"
        );
    }
    let large = format!(r#"{{"token": "{}"}}"#, "a".repeat(70_000));
    assert_eq!(post(&large).await.kind, "request_too_large");
    gateway.stop().await;
}

#[tokio::test]
async fn a_token_that_leaves_lets_its_chats_end_and_takes_its_stock_with_it() {
    each_door([0, 1], async |index, door| {
        let warm = |settings: &mut Settings| settings.warm_conversations = 2;
        let gateway = operated().tokens(2).settings(warm).start().await;
        let desk = Desk::both(&gateway)[index];
        for _ in 0..4 {
            chat(&gateway, door, "warm up").await;
        }
        eventually("conversations stand ready", async || {
            row(&desk.tokens().await, TOKENS[0])["warm_conversations"] == 2
        })
        .await;
        gateway.sim.hold_at(Hold::AfterFirstPiece);
        let mut streams = Vec::new();
        for _ in 0..8 {
            let mut opened = door.open(&gateway, &Ask::new("go on")).await.unwrap();
            within("the first text", opened.first_text()).await;
            streams.push(opened);
        }
        let removed = desk.remove(&sha256(TOKENS[0])[..8]).await.unwrap();
        assert_eq!(removed["token"]["in_flight"], 4, "{removed}");
        assert_eq!(removed["persisted"], false);
        assert!(
            removed["note"].as_str().unwrap().contains("TOKEN_POOL names"),
            "{removed}"
        );
        assert_eq!(desk.tokens().await.len(), 1);
        let asked = gateway.sim.counts().calls_with(TOKENS[0], Step::Answer);
        gateway.sim.release();
        for opened in streams {
            within("the end", opened.finish())
                .await
                .assert_whole(&answer_text("go on"));
        }
        for _ in 0..3 {
            chat(&gateway, door, "and now?").await;
        }
        assert_eq!(
            gateway.sim.counts().calls_with(TOKENS[0], Step::Answer),
            asked,
            "no new chat gets it"
        );
        let gone =
            |counts: &duogate::sim::Counts| counts.conversations.get(TOKENS[0]).is_none_or(|left| *left == 0);
        gateway.sim_until("its account is clean", gone).await;
        let gone = sha256(TOKENS[0]);
        assert_not_found(desk, desk.remove(&gone).await, "hash", &gone);
        // Whether a chat finds a warm conversation depends on timing.
        let seen = gateway.stop().await;
        seen.whatever_calls(&[Step::CreateConversation, Step::DeleteConversation])
    })
    .await;
}

#[tokio::test]
async fn nothing_is_made_ready_in_the_account_of_a_token_that_has_left() {
    each_door(ONCE, async |(), door| {
        let warm = |settings: &mut Settings| settings.warm_conversations = 2;
        let gateway = operated().tokens(1).settings(warm).start().await;
        let [desk, _] = Desk::both(&gateway);
        gateway.sim.hold();
        let remove = async {
            gateway
                .sim_until("the answer is held", |counts| counts.open() == 1)
                .await;
            desk.remove(&sha256(TOKENS[0])).await.unwrap();
            gateway.sim.release();
        };
        within("the end", async {
            tokio::join!(chat(&gateway, door, "last words"), remove)
        })
        .await;
        gateway.settled().await;
        let sim = gateway.sim.clone();
        let seen = gateway.stop().await;
        assert_eq!(sim.counts().conversations_made, 1);
        seen
    })
    .await;
}

#[tokio::test]
async fn a_token_that_is_reset_is_ready_whatever_was_held_against_it() {
    each_door([0, 1], async |index, door| {
        let strict = |settings: &mut Settings| settings.token_max_failures = 1;
        let gateway = operated().tokens(1).settings(strict).start().await;
        let desk = Desk::both(&gateway)[index];
        gateway.sim.revoke(TOKENS[0]);
        let outcome = door.chat(&gateway, &Ask::new("no")).await;
        outcome.assert_failed("credentials_rejected");
        let rows = desk.tokens().await;
        let held = ["state", "reason", "available", "failures", "refusals_in_a_row"];
        let held = held.map(|key| rows[0][key].clone());
        assert_eq!(json!(held), json!(["disabled", "refused", false, 1, 1]));
        gateway.sim.restore(TOKENS[0]);
        let reset = desk.reset(&sha256(TOKENS[0]).to_uppercase()[..12]).await.unwrap();
        assert_eq!(
            (&reset["token"]["state"], &reset["token"]["refusals_in_a_row"]),
            (&"ready".into(), &0.into())
        );
        chat(&gateway, door, "welcome back").await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_probe_tells_what_the_upstream_says_and_the_pool_learns_from_it() {
    each_door([0, 1], async |index, door| {
        let gateway = operated().tokens(1).start().await;
        let desk = Desk::both(&gateway)[index];
        let hash = sha256(TOKENS[0]);
        let good = desk.probe(&hash).await.unwrap();
        assert_eq!(
            (&good["ok"], &good["failure"], &good["token"]["state"]),
            (&true.into(), &Value::Null, &"ready".into())
        );
        gateway.sim.revoke(TOKENS[0]);
        let refused = desk.probe(&hash).await.unwrap();
        assert_eq!(
            (&refused["ok"], &refused["failure"]["kind"]),
            (&false.into(), &"credentials".into())
        );
        let token = &refused["token"];
        assert_eq!(
            (&token["state"], &token["reason"]),
            (&"benched".into(), &"refused".into())
        );
        let until = humantime::parse_rfc3339(token["until"].as_str().unwrap()).unwrap();
        assert!(until > std::time::SystemTime::now(), "{token}");
        gateway.sim.restore(TOKENS[0]);
        assert_eq!(desk.probe(&hash).await.unwrap()["token"]["state"], "ready");
        gateway
            .sim
            .script(Rule::once(Fault::status(503)).on(Step::ListProjects));
        let failed = desk.probe(&hash).await.unwrap();
        assert_eq!(
            (&failed["failure"]["kind"], &failed["token"]["state"]),
            (&"status".into(), &"ready".into()),
            "no fault of the token's"
        );
        assert_eq!(
            failed["failure"]["message"],
            "The upstream failed with status 503."
        );
        chat(&gateway, door, "all the same").await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_hash_names_one_token_or_none() {
    let gateway = operated().start().await;
    let desks = Desk::both(&gateway);
    for twin in TWINS {
        hire(desks[0], twin).await;
    }
    for desk in desks {
        let invalid = [
            "",
            "0123abc",
            "0123abcx",
            "it-token-one",
            &format!("{}0", sha256(TOKENS[0])),
        ];
        for hash in invalid
            .into_iter()
            .skip(usize::from(desk.door == crate::support::Door::Http))
        {
            let refused = desk.reset(hash).await.unwrap_err();
            assert_eq!(
                (refused.kind, refused.field.as_deref()),
                ("invalid_request", Some("hash")),
                "{hash:?}"
            );
            assert!(
                !refused.message.contains("it-token"),
                "it may be a token: {refused:?}"
            );
        }
        for hash in ["00000000", &"f".repeat(64)] {
            for refused in [
                desk.reset(hash).await,
                desk.probe(hash).await,
                desk.remove(hash).await,
            ] {
                assert_not_found(desk, refused, "hash", hash);
            }
        }
        let both = &sha256(TWINS[0])[..8];
        let refused = desk.reset(both).await.unwrap_err();
        assert_eq!(
            (refused.kind, refused.field.as_deref()),
            ("invalid_request", Some("hash"))
        );
        assert!(
            refused.message.contains("more than one") && refused.message.contains(both),
            "{refused:?}"
        );
        let one = desk.reset(&sha256(TWINS[1])[..9]).await.unwrap();
        assert_eq!(one["token"]["sha256"], sha256(TWINS[1]));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn no_answer_of_the_desk_holds_a_secret() {
    let gateway = operated().start().await;
    let mut bodies = Vec::new();
    for desk in Desk::both(&gateway) {
        bodies.push(format!("{:?}", hire(desk, "it-very-secret").await));
        bodies.push(format!("{:?}", desk.tokens().await));
        bodies.push(format!("{:?}", desk.explain().await));
        bodies.push(format!("{:?}", desk.probe(&sha256("it-very-secret")).await));
        bodies.push(format!("{:?}", desk.reset("it-very-secret").await));
        bodies.push(format!("{:?}", desk.remove(&sha256("it-very-secret")).await));
    }
    for body in bodies {
        for secret in ["it-very-secret", ADMIN_KEY, KEY].into_iter().chain(TOKENS) {
            assert!(!body.contains(secret), "{secret} is in {body}");
        }
    }
    gateway.stop().await;
}
