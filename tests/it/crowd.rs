//! Many concurrent chats: spread evenly over the credentials, and none receives another's answer.

use duogate::sim::{Hold, answer_text};
use futures::future::join_all;

use crate::support::{Ask, ONCE, Setup, TOKENS, each_crowd, within};

const CHATS: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_chats_spread_evenly_over_three_tokens() {
    let holds = [Hold::BeforeHead, Hold::AfterHead, Hold::AfterFirstPiece];
    each_crowd(holds, async |hold, ways| {
        let gateway = Setup::new().start().await;
        gateway.sim.hold_at(hold);
        let chats = join_all((0..CHATS).map(async |number| {
            let question = format!("question number {number}, and nobody else's");
            let way = ways.nth(number);
            let outcome = way.ask(&gateway, &Ask::new(&question)).await;
            (question, outcome)
        }));
        let middle = async {
            let all_open = |counts: &duogate::sim::Counts| counts.open() == CHATS as u64;
            gateway.sim_until("all chats are open", all_open).await;
            let counts = gateway.sim.counts();
            let mut open: Vec<u64> = counts.open_answers.values().copied().collect();
            open.sort_unstable();
            assert_eq!(open, [21, 21, 22], "as the upstream sees it");
            assert_eq!(gateway.in_flight().await, [22, 21, 21], "as the gateway tells it");
            let health = gateway.health().await;
            assert_eq!(health["statistics"]["requests_in_flight"], CHATS);
            for token in TOKENS {
                assert_eq!(
                    counts.projects.get(token),
                    Some(&1),
                    "one project is enough for {token}"
                );
            }
            gateway.sim.release();
        };
        let (outcomes, ()) = within("all chats", async { tokio::join!(chats, middle) }).await;
        for (question, outcome) in outcomes {
            outcome.assert_whole(&answer_text(&question));
        }
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_account_without_a_project_gets_exactly_one() {
    each_crowd(ONCE, async |(), ways| {
        let gateway = Setup::new().tokens(1).start().await;
        let chats = join_all((0..32).map(async |number: usize| {
            let question = format!("at once {number}");
            let outcome = ways.nth(number).ask(&gateway, &Ask::new(&question)).await;
            outcome.assert_whole(&answer_text(&question));
        }));
        within("all chats", chats).await;
        let counts = gateway.sim.counts();
        assert_eq!(counts.projects.get(TOKENS[0]), Some(&1));
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test]
async fn chats_one_after_another_take_turns_on_the_tokens() {
    each_crowd(ONCE, async |(), ways| {
        let gateway = Setup::new().start().await;
        for number in 0..9 {
            let outcome = ways.nth(number).ask(&gateway, &Ask::new("in turn")).await;
            outcome.assert_whole(&answer_text("in turn"));
        }
        let used: Vec<_> = gateway
            .sim
            .answers()
            .into_iter()
            .map(|answer| answer.token)
            .collect();
        for token in TOKENS {
            assert_eq!(used.iter().filter(|used| *used == token).count(), 3, "{used:?}");
        }
        gateway.stop().await
    })
    .await;
}
