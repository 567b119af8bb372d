//! The warm pool: chats take a conversation from it instead of creating one, the upstream gets no additional calls, and
//! none is left behind.

use std::time::Duration;

use duogate::{
    config::Settings,
    sim::{Counts, Fault, Page, PageKind, Rule, Step, answer_text},
};

use crate::support::{
    Ask, Gateway, ONCE, Setup, TOKENS, Way, Ways, each_crowd, each_door, each_way, eventually,
};

const WARM: usize = 2;

fn stocked(tokens: usize) -> Setup {
    Setup::new()
        .tokens(tokens)
        .settings(|settings| settings.warm_conversations = WARM)
}

async fn chat(gateway: &Gateway, way: Way, question: &str) {
    let outcome = way.ask(gateway, &Ask::new(question)).await;
    assert_eq!(outcome.failure, None, "{way:?} {question}");
    outcome.assert_whole(&answer_text(question));
}

/// The size of each account's warm pool, according to `/health`.
async fn standing(gateway: &Gateway) -> Vec<u64> {
    let health = gateway.health().await;
    let rows = health["token_pool"]["tokens"].as_array().expect("rows").clone();
    let rows = rows.iter().map(|row| row["warm_conversations"].as_u64().unwrap());
    rows.collect()
}

/// Waits until the warm pools have these sizes, and the upstream has no other conversations.
async fn until_standing(gateway: &Gateway, wanted: &[u64]) {
    let all = wanted.iter().sum::<u64>();
    eventually("the stock is as wanted, and all else is removed", async || {
        gateway.sim.counts().conversations_left == all && standing(gateway).await == wanted
    })
    .await;
}

/// A gateway with one credential whose warm pool is full.
async fn full(setup: Setup, ways: Ways) -> Gateway {
    let gateway = setup.start().await;
    for number in 0..4 {
        chat(&gateway, ways.nth(number), "warm up").await;
    }
    until_standing(&gateway, &[WARM as u64]).await;
    gateway
}

fn calls(counts: &Counts) -> u64 {
    counts.calls.values().sum()
}

#[tokio::test]
async fn a_chat_costs_four_calls_and_none_of_them_looks_for_a_project() {
    each_crowd(ONCE, async |(), ways| {
        const CHATS: usize = 100;
        let gateway = full(stocked(1), ways).await;
        gateway.sim.forget();
        for number in 0..CHATS {
            chat(&gateway, ways.nth(number), &format!("chat {number}")).await;
        }
        until_standing(&gateway, &[WARM as u64]).await;
        let counts = gateway.sim.counts();
        assert!(calls(&counts) <= 4 * CHATS as u64, "{:?}", counts.calls);
        for step in [Step::ListProjects, Step::CreateProject, Step::ListConversations] {
            assert_eq!(counts.calls_of(step), 0, "{step:?}");
        }
        assert_eq!(counts.answers_finished, CHATS as u64);
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_chat_waits_for_its_message_and_its_answer_alone() {
    each_way(ONCE, async |(), way| {
        let gateway = full(stocked(1), Ways::of(way)).await;
        gateway.sim.forget();
        gateway.sim.hold();
        let waits = async {
            gateway
                .sim_until("the answer is asked for", |counts| counts.open() == 1)
                .await;
            let counts = gateway.sim.counts();
            assert_eq!(counts.calls_of(Step::Message), 1, "{way:?}");
            assert_eq!(counts.calls_of(Step::Answer), 1, "{way:?}");
            assert_eq!(calls(&counts), 2, "{way:?}: {:?}", counts.calls);
            gateway.sim.release();
        };
        tokio::join!(chat(&gateway, way, "how long?"), waits);
        until_standing(&gateway, &[WARM as u64]).await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_stock_that_went_stale_costs_no_client_anything() {
    each_way([false, true], async |projects_too, way| {
        let gateway = full(
            stocked(1).settings(|settings| settings.max_retries = 0),
            Ways::of(way),
        )
        .await;
        gateway.sim.forget();
        if projects_too {
            gateway.sim.expire_projects(TOKENS[0]);
        } else {
            gateway.sim.expire_conversations(TOKENS[0]);
        }
        chat(&gateway, way, "is anybody there?").await;
        let refused = gateway.sim.counts().answered_with(Step::Message, 404);
        assert_eq!(refused, 1, "{way:?}: the first that is stale tells of the others");
        chat(&gateway, way, "and now?").await;
        until_standing(&gateway, &[WARM as u64]).await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_token_that_is_benched_loses_its_stock() {
    each_way(ONCE, async |(), way| {
        let gateway = full(stocked(1), Ways::of(way)).await;
        let limited = Fault::Status(Page {
            code: 429,
            kind: PageKind::Json,
            retry_after: Some("3600".to_owned()),
        });
        gateway.sim.script(Rule::once(limited).on(Step::Answer));
        let outcome = way.ask(&gateway, &Ask::new("too much")).await;
        outcome.assert_failed("pool_exhausted");
        until_standing(&gateway, &[0]).await;
        let row = gateway.token_row(0).await;
        assert_eq!(row["reason"], "rate_limited", "{row}");
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn a_stock_that_nobody_uses_runs_out_by_itself() {
    each_door(ONCE, async |(), door| {
        let briefly = |settings: &mut Settings| {
            settings.warm_conversations = WARM;
            settings.warm_ttl = Duration::from_millis(100);
        };
        let gateway = Setup::new().tokens(1).settings(briefly).start().await;
        for way in door.ways() {
            chat(&gateway, way, "just once").await;
        }
        let used = gateway.sim.counts();
        assert!(used.conversations_made > 0);
        until_standing(&gateway, &[0]).await;
        gateway.settled().await;
        let counts = gateway.sim.counts();
        assert!(counts.conversations_made > 2, "something stood ready: {counts:?}");
        assert_eq!(counts.conversations_made, counts.conversations_deleted);
        // Whether the second chat finds a warm conversation, and whether that is still wanted, depends on timing.
        let seen = gateway.stop().await;
        seen.whatever_calls(&[Step::CreateConversation, Step::DeleteConversation])
    })
    .await;
}

#[tokio::test]
async fn only_accounts_in_use_keep_a_stock_and_as_much_as_they_are_used() {
    each_way(ONCE, async |(), way| {
        let gateway = stocked(3).start().await;
        chat(&gateway, way, "one").await;
        until_standing(&gateway, &[1, 0, 0]).await;
        for token in &TOKENS[1..] {
            let left = gateway.sim.counts().conversations.get(*token).copied();
            assert_eq!(left.unwrap_or(0), 0, "{way:?}");
        }
        chat(&gateway, way, "two").await;
        until_standing(&gateway, &[1, 1, 0]).await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn no_stock_is_kept_where_none_is_wanted() {
    each_door(ONCE, async |(), door| {
        let gateway = Setup::new().tokens(1).start().await;
        for way in door.ways() {
            chat(&gateway, way, "cold").await;
        }
        until_standing(&gateway, &[0]).await;
        gateway.settled().await;
        assert_eq!(gateway.sim.counts().conversations_made, 2);
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn the_end_of_the_gateway_removes_a_full_stock() {
    each_crowd(ONCE, async |(), ways| {
        let gateway = full(stocked(1), ways).await;
        let sim = gateway.sim.clone();
        sim.forget();
        let seen = gateway.stop().await;
        assert_eq!(sim.counts().conversations_deleted, WARM as u64);
        seen
    })
    .await;
}

#[tokio::test]
async fn nothing_is_removed_where_nothing_may_be() {
    each_door([0, WARM], async |warm, door| {
        let kept = |settings: &mut Settings| settings.cleanup_conversations = false;
        let setup = Setup::new().tokens(1).settings(kept);
        let mut gateway = setup
            .settings(|settings| settings.warm_conversations = warm)
            .start()
            .await;
        for way in door.ways() {
            chat(&gateway, way, "for good").await;
        }
        let all = 2 + warm;
        gateway
            .sim_until("every conversation is made", |counts| {
                counts.conversations_made == all as u64
            })
            .await;
        gateway.stop.soft.cancel();
        gateway.ended().await.unwrap();
        let counts = gateway.sim.counts();
        assert_eq!(counts.calls_of(Step::DeleteConversation), 0);
        assert_eq!(counts.conversations_left, all as u64);
        assert_eq!(gateway.sim.breaches(), Vec::<String>::new());
        gateway.seen()
    })
    .await;
}
