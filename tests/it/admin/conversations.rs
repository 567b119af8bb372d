//! Admin operations on the upstream's conversations.

use duogate::{
    config::Settings,
    sim::{Counts, Fault, Hold, Rule, Step, answer_text},
};
use serde_json::json;

use super::operated;
use crate::support::{Ask, Desk, ONCE, Setup, TOKENS, each_door, each_way, eventually, within};

/// Conversations in each account that are not the gateway's.
const FOREIGN: usize = 3;

fn lived_in() -> Setup {
    operated()
        .tokens(2)
        .sim(|sim| sim.foreign_conversations = FOREIGN)
        .settings(|settings: &mut Settings| settings.warm_conversations = 1)
}

/// Number of conversations in the accounts of the first two credentials.
fn left(desk: Desk<'_>) -> u64 {
    let counts = desk.gateway.sim.counts();
    let held = TOKENS
        .iter()
        .take(2)
        .filter_map(|token| counts.conversations.get(*token));
    held.sum()
}

#[tokio::test]
async fn clearing_ours_leaves_what_is_in_use_and_what_is_not_ours() {
    each_door([0, 1], async |index, door| {
        let gateway = lived_in().start().await;
        let desk = Desk::both(&gateway)[index];
        for _ in 0..2 {
            let outcome = door.chat(&gateway, &Ask::new("warm up")).await;
            outcome.assert_whole(&answer_text("warm up"));
        }
        eventually("one stands ready in each account", async || {
            desk.conversations().await == json!({ "in_use": 0, "ready": 2, "leaving": 0, "left_behind": 0 })
        })
        .await;
        gateway.sim.hold_at(Hold::AfterFirstPiece);
        let mut opened = door.open(&gateway, &Ask::new("mine")).await.unwrap();
        within("the first text", opened.first_text()).await;
        // The chat took a warm one, and its replacement may be on its way.
        eventually("the stock is full again", async || {
            desk.conversations().await["ready"] == 2
        })
        .await;
        assert_eq!(desk.conversations().await["in_use"], 1);
        let cleared = desk.clear(["", "ours"][index]).await.unwrap();
        assert_eq!(cleared, json!({ "removed": 2, "failed": 0 }), "{:?}", desk.door);
        assert_eq!(left(desk), 2 * FOREIGN as u64 + 1);
        gateway.sim.release();
        within("the end", opened.finish())
            .await
            .assert_whole(&answer_text("mine"));
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn clearing_the_accounts_leaves_nothing_but_what_is_in_use() {
    each_door([0, 1], async |index, door| {
        let gateway = lived_in().start().await;
        let desk = Desk::both(&gateway)[index];
        gateway.sim.hold_at(Hold::AfterFirstPiece);
        let mut opened = door.open(&gateway, &Ask::new("mine")).await.unwrap();
        within("the first text", opened.first_text()).await;
        eventually("one stands ready", async || {
            desk.conversations().await["ready"] == 1
        })
        .await;
        let cleared = desk.clear("account").await.unwrap();
        assert_eq!(
            cleared,
            json!({ "removed": 2 * FOREIGN + 1, "failed": 0 }),
            "{:?}",
            desk.door
        );
        assert_eq!(left(desk), 1);
        gateway.sim.forget(); // deleting foreign conversations is a breach
        gateway.sim.release();
        within("the end", opened.finish())
            .await
            .assert_whole(&answer_text("mine"));
        gateway
            .sim_until("nothing is left", |counts| counts.conversations_left == 0)
            .await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_conversation_that_is_just_being_made_is_nobody_elses() {
    each_way(ONCE, async |(), way| {
        let gateway = operated().tokens(1).start().await;
        let [desk, _] = Desk::both(&gateway);
        let slowly = Fault::Delay(std::time::Duration::from_millis(300));
        gateway
            .sim
            .script(Rule::once(slowly).on(Step::CreateConversation));
        let chat = async {
            let outcome = way.ask(&gateway, &Ask::new("hands off")).await;
            outcome.assert_whole(&answer_text("hands off"));
        };
        let clear = async {
            let made = |counts: &Counts| counts.conversations_made == 1;
            gateway.sim_until("it is made, and nobody was told", made).await;
            let cleared = desk.clear("account").await.unwrap();
            assert_eq!(cleared, json!({ "removed": 0, "failed": 0 }));
        };
        within("both", async { tokio::join!(chat, clear) }).await;
        assert_eq!(
            gateway.sim.counts().calls_of(Step::CreateConversation),
            1,
            "and not made anew"
        );
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_had_is_counted() {
    for index in 0..2 {
        let gateway = operated()
            .sim(|sim| sim.foreign_conversations = 1)
            .tokens(2)
            .start()
            .await;
        let desk = Desk::both(&gateway)[index];
        gateway.sim.revoke(TOKENS[0]);
        gateway
            .sim
            .script(Rule::once(Fault::status(500)).on(Step::DeleteConversation));
        assert_eq!(
            desk.clear("account").await.unwrap(),
            json!({ "removed": 0, "failed": 2 })
        );
        assert_eq!(left(desk), 2);
        gateway.sim.forget();
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_scope_that_is_none_is_refused_by_name() {
    let gateway = operated().start().await;
    for desk in Desk::both(&gateway) {
        let refused = desk.clear("everything").await.unwrap_err();
        assert_eq!(
            (refused.kind, refused.field.as_deref()),
            ("invalid_request", Some("scope"))
        );
    }
    let [http, _] = Desk::both(&gateway);
    let refused = http.clear("ours&scope=account").await.unwrap_err();
    assert_eq!(
        (refused.kind, refused.field.as_deref()),
        ("invalid_request", Some("scope")),
        "given twice"
    );
    gateway.stop().await;
}
