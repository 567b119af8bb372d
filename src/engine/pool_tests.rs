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
    pool.lease(&TriedTokens::default()).unwrap()
}

fn states(pool: &TokenPool) -> Vec<&'static str> {
    pool.snapshot().iter().map(|token| token.state.name()).collect()
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
    let counted = held.iter_mut().map(|lease| lease.failed(REFUSED));
    assert_eq!(counted.filter(|&counted| counted).count(), 1);
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

/// Waits out a bench, and begins the trial that follows it.
async fn trial(pool: &TokenPool) -> Trial {
    let at = pool.next_trial().expect("a token is to be tried");
    tokio::time::sleep_until(at).await;
    let mut due = pool.due_trials();
    assert_eq!(due.len(), 1);
    due.remove(0)
}

#[tokio::test(start_paused = true)]
async fn refusals_bench_for_longer_each_time_and_disable_in_the_end() {
    let pool = pool(1);
    lease(&pool).failed(REFUSED);
    for seconds in [600, 1200, 2400, 3600] {
        let bench = Duration::from_secs(seconds);
        assert_eq!(pool.snapshot()[0].benched_for, Some(bench));
        assert_eq!(
            pool.lease(&TriedTokens::default()).err(),
            Some(NoToken::AllRefused)
        );
        let wait = pool.next_trial().unwrap() - Instant::now();
        assert!(
            wait >= bench && wait <= bench.mul_f64(1.1),
            "{wait:?} after {bench:?}"
        );
        let trial = trial(&pool).await;
        assert_eq!(states(&pool), ["probing"]);
        trial.failed(REFUSED, Duration::ZERO);
    }
    assert_eq!(states(&pool), ["disabled"]);
    advance(Duration::from_secs(1_000_000)).await;
    assert_eq!(
        pool.lease(&TriedTokens::default()).err(),
        Some(NoToken::AllRefused)
    );
    assert_eq!(pool.next_trial(), None);
    assert!(pool.reset(&Token::new("token-0".into()).digest()));
    assert_eq!(states(&pool), ["ready"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_tried_in_the_background_and_never_by_a_chat() {
    let pool = pool(1);
    lease(&pool).failed(REFUSED);
    assert!(pool.due_trials().is_empty());
    let spoilt = trial(&pool).await;
    assert_eq!(
        pool.lease(&TriedTokens::default()).err(),
        Some(NoToken::AllRefused)
    );
    assert!(pool.due_trials().is_empty(), "one is enough");
    spoilt.failed(TokenVerdict::Keep, Duration::from_secs(3));
    assert_eq!(states(&pool), ["benched"]);
    assert_eq!(pool.next_trial(), Some(Instant::now() + Duration::from_secs(3)));
    trial(&pool).await.passed();
    assert_eq!(states(&pool), ["ready"]);
}

#[tokio::test(start_paused = true)]
async fn a_chats_success_starts_the_count_anew_and_a_trials_does_not() {
    let pool = pool(1);
    lease(&pool).failed(REFUSED);
    trial(&pool).await.passed();
    lease(&pool).failed(REFUSED);
    assert_eq!(pool.snapshot()[0].benched_for, Some(Duration::from_secs(1200)));
    trial(&pool).await.passed();
    lease(&pool).succeeded();
    lease(&pool).failed(REFUSED);
    assert_eq!(pool.snapshot()[0].benched_for, Some(Duration::from_secs(600)));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_over_by_its_own_word_is_not_used() {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    let jwt = |seconds: i64| {
        let now = std::time::SystemTime::now();
        let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let claims = format!(r#"{{"exp":{}}}"#, now.cast_signed() + seconds);
        Token::new(format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims)).into())
    };
    let pool = TokenPool::new(vec![jwt(-1), jwt(100)], BenchPolicy::default());
    assert_eq!(states(&pool), ["expired", "ready"]);
    assert_eq!(lease(&pool).slot(), SlotId(1));
    advance(Duration::from_secs(101)).await;
    assert_eq!(states(&pool), ["expired", "expired"]);
    assert_eq!(
        pool.lease(&TriedTokens::default()).err(),
        Some(NoToken::AllRefused)
    );
}

#[tokio::test(start_paused = true)]
async fn no_token_is_held_by_more_chats_than_may() {
    let pool = pool(2);
    pool.set_policy(BenchPolicy {
        max_in_flight: 2,
        ..BenchPolicy::default()
    });
    let mut held: Vec<Lease> = (0..4).map(|_| lease(&pool)).collect();
    assert_eq!(pool.lease(&TriedTokens::default()).err(), Some(NoToken::Full));
    held.pop();
    held.push(lease(&pool));
    held.remove(0).failed(REFUSED);
    assert_eq!(pool.lease(&TriedTokens::default()).err(), Some(NoToken::Full));
}

#[tokio::test(start_paused = true)]
async fn tokens_come_and_go_while_chats_run() {
    let pool = pool(1);
    let first = Token::new("token-0".into());
    assert!(!pool.add(first.clone()), "it is there");
    assert!(pool.add(Token::new("token-1".into())));
    let mut held = lease(&pool);
    assert_eq!(held.slot(), SlotId(0));
    assert!(pool.remove(&first.digest()).is_some());
    assert!(pool.remove(&first.digest()).is_none());
    held.failed(REFUSED);
    drop(held);
    assert_eq!(lease(&pool).slot(), SlotId(1));
    assert!(pool.add(first));
    assert_eq!(states(&pool), ["ready", "ready"], "it starts anew");
    assert_eq!(lease(&pool).slot(), SlotId(2));
}

#[tokio::test(start_paused = true)]
async fn benches_and_disablements_survive_a_restart() {
    let before = pool(4);
    let (mut one, mut two, mut three) = (lease(&before), lease(&before), lease(&before));
    one.failed(REFUSED);
    two.failed(TokenVerdict::RateLimited(Some(Duration::from_secs(90))));
    three.failed(REFUSED);
    before.set_policy(BenchPolicy {
        max_refusals: 2,
        ..BenchPolicy::default()
    });
    for trial in {
        tokio::time::sleep_until(before.next_trial().unwrap() + Duration::from_secs(60)).await;
        before.due_trials()
    } {
        if trial.token().digest() == three.token().digest() {
            trial.failed(REFUSED, Duration::ZERO);
        } else {
            trial.failed(
                TokenVerdict::RateLimited(Some(Duration::from_secs(90))),
                Duration::ZERO,
            );
        }
    }
    let saved = before.save();
    assert_eq!(states(&before), ["benched", "benched", "disabled", "ready"]);
    let after = pool(4);
    after.restore(&saved);
    assert_eq!(states(&after), ["benched", "benched", "disabled", "ready"]);
    let left = after.snapshot()[0].benched_for.unwrap();
    assert!(
        left > Duration::from_secs(85) && left <= Duration::from_secs(90),
        "{left:?}"
    );
    assert_eq!(after.snapshot()[0].refusals, 1);
}

#[tokio::test(start_paused = true)]
async fn a_benched_token_comes_back_by_one_trial_at_a_time() {
    let pool = pool(1);
    lease(&pool).failed(TokenVerdict::RateLimited(Some(Duration::from_secs(7))));
    let soonest = NoToken::Exhausted {
        retry_after: Duration::from_secs(7),
    };
    assert_eq!(pool.lease(&TriedTokens::default()).err(), Some(soonest));
    advance(Duration::from_secs(7)).await;
    let trial = lease(&pool);
    assert_eq!(states(&pool), ["probing"]);
    assert!(pool.lease(&TriedTokens::default()).is_err());
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
    let mut tried = TriedTokens::default();
    tried.tried(SlotId(0));
    tried.bar(SlotId(1));
    let first = pool.lease(&tried).unwrap();
    assert_eq!(first.slot(), SlotId(2));
    tried.bar(SlotId(2));
    assert_eq!(pool.lease(&tried).unwrap().slot(), SlotId(0));
    tried.bar(SlotId(0));
    assert!(matches!(pool.lease(&tried), Err(NoToken::Exhausted { .. })));
}

#[tokio::test(start_paused = true)]
async fn an_empty_pool_says_so() {
    assert_eq!(pool(0).lease(&TriedTokens::default()).err(), Some(NoToken::Empty));
}

#[derive(Debug, Clone)]
enum Act {
    Lease,
    Settle(prop::sample::Index, u8),
    /// Trials that are due end like this.
    Try(u8),
    /// A token is added or removed.
    Change(u8, bool),
    Wait(u16),
}

proptest! {
    #[test]
    fn whatever_happens_leases_are_counted_exactly_and_given_back(acts in prop::collection::vec(prop_oneof![
        3 => Just(Act::Lease),
        3 => (any::<prop::sample::Index>(), 0..5_u8).prop_map(|(which, how)| Act::Settle(which, how)),
        1 => (0..4_u8).prop_map(Act::Try),
        1 => (0..4_u8, any::<bool>()).prop_map(|(token, add)| Act::Change(token, add)),
        1 => (0..2000_u16).prop_map(Act::Wait),
    ], 0..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let pool = pool(3);
            let mut held: Vec<Lease> = Vec::new();
            for act in acts {
                match act {
                    Act::Lease => held.extend(pool.lease(&TriedTokens::default())),
                    Act::Settle(which, how) if !held.is_empty() => {
                        let mut lease = held.swap_remove(which.index(held.len()));
                        match how {
                            0 => {
                                lease.succeeded();
                            }
                            1 => drop(lease.failed(REFUSED)),
                            2 => drop(lease.failed(TokenVerdict::RateLimited(None))),
                            3 => drop(lease.failed(TokenVerdict::Keep)),
                            _ => {}
                        }
                    }
                    Act::Settle(..) => {}
                    Act::Try(how) => for trial in pool.due_trials() {
                        match how {
                            0 => trial.passed(),
                            1 => trial.failed(REFUSED, Duration::ZERO),
                            2 => trial.failed(TokenVerdict::Keep, Duration::from_secs(1)),
                            _ => drop(trial),
                        }
                    },
                    Act::Change(token, add) => {
                        let token = Token::new(format!("token-{token}").into());
                        let is_held = held.iter().any(|lease| lease.token().digest() == token.digest());
                        if add {
                            pool.add(token);
                        } else if !is_held {
                            pool.remove(&token.digest());
                        }
                    }
                    Act::Wait(seconds) => advance(Duration::from_secs(seconds.into())).await,
                }
                let in_flight: usize = pool.snapshot().iter().map(|token| token.in_flight).sum();
                prop_assert_eq!(in_flight, held.len());
                let none_held_apart = pool.snapshot().iter().filter(|token| token.state.name() == "probing").count();
                prop_assert!(none_held_apart <= held.len(), "nobody tries a token that is held apart");
            }
            held.clear();
            prop_assert!(pool.snapshot().iter().all(|token| token.in_flight == 0 && token.state.name() != "probing"));
            Ok(())
        })?;
    }
}
