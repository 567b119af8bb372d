//! A credential rejected by the upstream costs no client anything while others are left.

use duogate::sim::{Fault, Page, PageKind, Rule, Step, answer_text};
use futures::{StreamExt, stream};
use serde_json::Value;

use crate::support::{
    Ask, Gateway, ONCE, Setup, TOKENS, Ways, crossed, each_crowd, each_door, eventually, within,
};

const CHATS: usize = 200;

/// The number of chats on a credential when it fails depends on timing.
const RACED: &[Step] = &[
    Step::CreateConversation,
    Step::Message,
    Step::Answer,
    Step::DeleteConversation,
];

/// 200 chats, 16 at a time; none may fail.
async fn crowd(gateway: &Gateway, ways: Ways) {
    let chats = stream::iter(0..CHATS).for_each_concurrent(16, async |number| {
        let question = format!("failover {number}");
        let outcome = ways.nth(number).ask(gateway, &Ask::new(&question)).await;
        outcome.assert_whole(&answer_text(&question));
    });
    within("200 chats", chats).await;
}

async fn row(gateway: &Gateway, index: usize) -> Value {
    gateway.health().await["token_pool"]["tokens"][index].clone()
}

fn limited(retry_after: &str) -> Fault {
    Fault::Status(Page {
        code: 429,
        kind: PageKind::Json,
        retry_after: Some(retry_after.to_owned()),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_costs_no_client_anything() {
    each_crowd(ONCE, async |(), ways| {
        let gateway = Gateway::start().await;
        gateway.sim.revoke(TOKENS[1]);
        crowd(&gateway, ways).await;
        let row = row(&gateway, 1).await;
        assert_eq!(
            (&row["state"], &row["reason"]),
            (&"benched".into(), &"refused".into()),
            "{row}"
        );
        let health = gateway.health().await;
        assert_eq!(health["status"], "degraded");
        assert_eq!(health["token_pool"]["available_tokens"], 2);
        assert_eq!(health["token_pool"]["failed_tokens"], 1);
        assert_eq!(health["statistics"]["success_rate"], 100.0);
        assert_eq!(gateway.sim.counts().calls_with(TOKENS[1], Step::Answer), 0);
        gateway.settled().await;
        gateway.stop().await.whatever_calls(&[Step::ListProjects])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_revoked_in_the_middle_of_everything_costs_no_client_anything() {
    each_crowd(ONCE, async |(), ways| {
        let gateway = Gateway::start().await;
        let revoke = async {
            gateway
                .sim_until("chats are under way", |counts| counts.answers_finished >= 40)
                .await;
            gateway.sim.revoke(TOKENS[2]);
        };
        tokio::join!(crowd(&gateway, ways), revoke);
        assert_eq!(row(&gateway, 2).await["reason"], "refused");
        // Conversations of the revoked credential cannot be deleted; that is no breach.
        assert_eq!(gateway.sim.breaches(), Vec::<String>::new());
        gateway.seen().whatever_calls(RACED)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_refused_at_any_call_costs_no_client_anything() {
    let steps = [
        Step::ListProjects,
        Step::CreateConversation,
        Step::Message,
        Step::Answer,
    ];
    each_door(crossed([401, 403], steps), async |(status, step), door| {
        let gateway = Gateway::start().await;
        let fault = Fault::status(status);
        gateway
            .sim
            .script(Rule::always(fault).on(step).with_token(TOKENS[0]));
        for way in door.ways() {
            let outcome = way.ask(&gateway, &Ask::new("who are you?")).await;
            outcome.assert_whole(&answer_text("who are you?"));
        }
        let row = row(&gateway, 0).await;
        assert_eq!(
            (&row["reason"], &row["failures"]),
            (&"refused".into(), &1.into()),
            "{step:?}"
        );
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_401_and_403_cost_no_client_anything() {
    each_crowd([401, 403], async |status, ways| {
        let gateway = Gateway::start().await;
        let rule = Rule::always(Fault::status(status))
            .on(Step::Answer)
            .with_token(TOKENS[1]);
        gateway.sim.script(rule);
        crowd(&gateway, ways).await;
        assert_eq!(row(&gateway, 1).await["reason"], "refused");
        gateway.settled().await;
        gateway.stop().await.whatever_calls(RACED)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_limited_token_rests_as_long_as_it_was_told_and_costs_no_client_anything() {
    each_crowd(["120", "date+120"], async |retry_after, ways| {
        let gateway = Gateway::start().await;
        let rule = Rule::always(limited(retry_after))
            .on(Step::Answer)
            .with_token(TOKENS[1]);
        gateway.sim.script(rule);
        crowd(&gateway, ways).await;
        let row = row(&gateway, 1).await;
        assert_eq!(
            (&row["state"], &row["reason"]),
            (&"benched".into(), &"rate_limited".into())
        );
        let rests = row["benched_for_seconds"].as_f64().unwrap();
        assert!((60.0..=120.0).contains(&rests), "{retry_after}: {row}");
        gateway.settled().await;
        gateway.stop().await.whatever_calls(RACED)
    })
    .await;
}

#[tokio::test]
async fn a_rate_limited_token_comes_back_by_itself() {
    each_door(ONCE, async |(), door| {
        let gateway = Setup::new().tokens(1).start().await;
        gateway.sim.script(Rule::once(limited("1")).on(Step::Answer));
        let [whole, streamed] = door.ways();
        let failed = whole.ask(&gateway, &Ask::new("too soon")).await;
        failed.assert_failed("pool_exhausted");
        eventually("the second is over", async || {
            row(&gateway, 0).await["benched_for_seconds"]
                .as_f64()
                .unwrap_or(0.0)
                <= 0.0
        })
        .await;
        let outcome = streamed.ask(&gateway, &Ask::new("again")).await;
        outcome.assert_whole(&answer_text("again"));
        assert_eq!(row(&gateway, 0).await["state"], "ready");
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}
