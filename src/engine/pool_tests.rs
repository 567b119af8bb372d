use proptest::prelude::*;
use tokio::time::advance;

use super::*;

const REFUSED: TokenVerdict = TokenVerdict::Refused;

fn pool(tokens: usize) -> TokenPool {
    let tokens = (0..tokens)
        .map(|number| Token::new(format!("token-{number}").into()))
        .collect();
    TokenPool::new(tokens, BenchPolicy::default())
}

fn lease(pool: &TokenPool) -> Lease {
    pool.lease(&Trail::default()).unwrap()
}

fn states(pool: &TokenPool) -> Vec<&'static str> {
    pool.snapshot().iter().map(|token| token.state).collect()
}

#[tokio::test(start_paused = true)]
async fn the_least_used_token_is_next_and_among_equals_the_longest_unused() {
    let pool = pool(3);
    let held: Vec<Lease> = (0..64).map(|_| lease(&pool)).collect();
    let in_flight: Vec<usize> = pool.snapshot().iter().map(|token| token.in_flight).collect();
    assert_eq!(in_flight, [22, 21, 21]);
    drop(held);
    let order: Vec<SlotId> = (0..4).map(|_| lease(&pool).slot()).collect();
    assert_eq!(order, [SlotId(1), SlotId(2), SlotId(0), SlotId(1)]);
}

#[tokio::test(start_paused = true)]
async fn many_calls_on_a_token_that_dies_are_one_failure() {
    let pool = pool(1);
    let mut held: Vec<Lease> = (0..32).map(|_| lease(&pool)).collect();
    held.iter_mut().for_each(|lease| lease.failed(REFUSED));
    assert_eq!(pool.snapshot()[0].failures, 1);
    assert_eq!(pool.snapshot()[0].benched_for, Some(Duration::from_secs(600)));
}

#[tokio::test(start_paused = true)]
async fn an_older_success_clears_nothing() {
    let pool = pool(1);
    let (mut old, mut other) = (lease(&pool), lease(&pool));
    other.failed(REFUSED);
    old.succeeded();
    assert_eq!(states(&pool), ["benched"]);
}

#[tokio::test(start_paused = true)]
async fn refusals_bench_for_longer_each_time_and_disable_in_the_end() {
    let pool = pool(1);
    for seconds in [600, 1200, 2400, 3600] {
        lease(&pool).failed(REFUSED);
        assert_eq!(pool.snapshot()[0].benched_for, Some(Duration::from_secs(seconds)));
        assert_eq!(pool.lease(&Trail::default()).err(), Some(NoToken::AllRefused));
        advance(Duration::from_secs(seconds)).await;
    }
    lease(&pool).failed(REFUSED);
    assert_eq!(states(&pool), ["disabled"]);
    advance(Duration::from_secs(1_000_000)).await;
    assert_eq!(pool.lease(&Trail::default()).err(), Some(NoToken::AllRefused));
}

#[tokio::test(start_paused = true)]
async fn a_success_after_a_bench_starts_the_count_anew() {
    let pool = pool(1);
    lease(&pool).failed(REFUSED);
    advance(Duration::from_secs(600)).await;
    lease(&pool).succeeded();
    assert_eq!(states(&pool), ["ready"]);
    lease(&pool).failed(REFUSED);
    assert_eq!(pool.snapshot()[0].benched_for, Some(Duration::from_secs(600)));
}

#[tokio::test(start_paused = true)]
async fn a_benched_token_comes_back_by_one_trial_at_a_time() {
    let pool = pool(1);
    lease(&pool).failed(TokenVerdict::RateLimited(Some(Duration::from_secs(7))));
    let soonest = NoToken::Exhausted {
        retry_after: Duration::from_secs(7),
    };
    assert_eq!(pool.lease(&Trail::default()).err(), Some(soonest));
    advance(Duration::from_secs(7)).await;
    let trial = lease(&pool);
    assert_eq!(states(&pool), ["probing"]);
    assert!(pool.lease(&Trail::default()).is_err());
    drop(trial);
    // It proved nothing, so another may try.
    let mut trial = lease(&pool);
    trial.failed(TokenVerdict::Keep);
    drop(trial);
    lease(&pool).succeeded();
    assert_eq!(states(&pool), ["ready"]);
}

#[tokio::test(start_paused = true)]
async fn rate_limits_double_are_capped_and_a_later_one_extends() {
    let pool = pool(1);
    let mut late = lease(&pool);
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
        lease(&pool).failed(TokenVerdict::RateLimited(None));
        assert_eq!(pool.snapshot()[0].benched_for, Some(Duration::from_secs(seconds)));
        advance(Duration::from_secs(seconds)).await;
    }
    lease(&pool).failed(TokenVerdict::RateLimited(Some(Duration::from_secs(1_000_000))));
    assert_eq!(pool.snapshot()[0].benched_for, Some(Duration::from_secs(3600)));
    advance(Duration::from_secs(3600)).await;
    lease(&pool).failed(TokenVerdict::RateLimited(Some(Duration::from_secs(5))));
    late.failed(TokenVerdict::RateLimited(Some(Duration::from_secs(50))));
    assert_eq!(pool.snapshot()[0].benched_for, Some(Duration::from_secs(50)));
}

#[tokio::test(start_paused = true)]
async fn a_chat_gets_no_token_twice_that_was_at_fault_and_tried_ones_last() {
    let pool = pool(3);
    let mut trail = Trail::default();
    trail.tried(SlotId(0));
    trail.bar(SlotId(1));
    let first = pool.lease(&trail).unwrap();
    assert_eq!(first.slot(), SlotId(2));
    trail.bar(SlotId(2));
    assert_eq!(pool.lease(&trail).unwrap().slot(), SlotId(0));
    trail.bar(SlotId(0));
    assert!(matches!(pool.lease(&trail), Err(NoToken::Exhausted { .. })));
}

#[tokio::test(start_paused = true)]
async fn an_empty_pool_says_so() {
    assert_eq!(pool(0).lease(&Trail::default()).err(), Some(NoToken::Empty));
}

#[derive(Debug, Clone)]
enum Act {
    Lease,
    Settle(prop::sample::Index, u8),
    Wait(u16),
}

proptest! {
    #[test]
    fn whatever_happens_leases_are_counted_exactly_and_given_back(acts in prop::collection::vec(prop_oneof![
        3 => Just(Act::Lease),
        3 => (any::<prop::sample::Index>(), 0..5_u8).prop_map(|(which, how)| Act::Settle(which, how)),
        1 => (0..2000_u16).prop_map(Act::Wait),
    ], 0..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let pool = pool(3);
            let mut held: Vec<Lease> = Vec::new();
            for act in acts {
                match act {
                    Act::Lease => held.extend(pool.lease(&Trail::default())),
                    Act::Settle(which, how) if !held.is_empty() => {
                        let mut lease = held.swap_remove(which.index(held.len()));
                        match how {
                            0 => lease.succeeded(),
                            1 => lease.failed(REFUSED),
                            2 => lease.failed(TokenVerdict::RateLimited(None)),
                            3 => lease.failed(TokenVerdict::Keep),
                            _ => {}
                        }
                    }
                    Act::Settle(..) => {}
                    Act::Wait(seconds) => advance(Duration::from_secs(seconds.into())).await,
                }
                let in_flight: usize = pool.snapshot().iter().map(|token| token.in_flight).sum();
                prop_assert_eq!(in_flight, held.len());
            }
            held.clear();
            prop_assert!(pool.snapshot().iter().all(|token| token.in_flight == 0 && token.state != "probing"));
            Ok(())
        })?;
    }
}
