//! Thousands of clients that disconnect at random times: nothing of them is left, neither here nor upstream.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use duogate::sim::answer_text;
use futures::{StreamExt, stream};
use tokio::sync::watch;

use crate::support::{Ask, PATIENCE, Setup, each_crowd, within};

/// Clients in each of six crowds.
const CLIENTS: usize = 350;
/// The gateway's promise after the last client has disconnected.
const SOON: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_clients_that_leave_at_any_moment_leave_nothing() {
    each_crowd([0, 2], async |warm, ways| {
        let gateway = Setup::new()
            .settings(|settings| settings.warm_conversations = warm)
            .sim(|sim| {
                sim.latency = Duration::from_millis(10);
                sim.chunk_delay = Duration::from_millis(2);
            })
            .start()
            .await;
        let (left, whole) = (AtomicUsize::new(0), AtomicUsize::new(0));
        // How long a whole chat takes on this machine now, so that clients leave at every stage of one.
        let usual = watch::Sender::new(Duration::ZERO);
        let mut dice = fastrand::Rng::with_seed(11);
        let clients = (0..CLIENTS).map(|number| (number, dice.f64() * 2.0));
        let clients = stream::iter(clients).for_each_concurrent(64, async |(number, share)| {
            // One in eight never gives up.
            let patience = match number % 8 {
                0 => PATIENCE,
                _ => {
                    let mut known = usual.subscribe();
                    let usual = known.wait_for(|usual| !usual.is_zero()).await;
                    usual.unwrap().mul_f64(share)
                }
            };
            let began = Instant::now();
            // Shifted by one with each patient client, so that they use every way.
            let way = ways.nth(number + number / 8);
            let kind = if patience == PATIENCE { "patient" } else { "hasty" };
            let question = format!("{kind} client {number}");
            let ask = Ask::new(&question);
            tokio::select! {
                outcome = way.ask(&gateway, &ask) => {
                    assert_eq!(outcome.failure, None, "{number} {way:?}");
                    outcome.assert_whole(&answer_text(&question));
                    usual.send_replace(began.elapsed());
                    whole.fetch_add(1, Ordering::Relaxed);
                }
                () = tokio::time::sleep(patience) => {
                    left.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        tokio::time::timeout(8 * PATIENCE, clients)
            .await
            .expect("every client ends");
        let idle = async {
            loop {
                let health = gateway.health().await;
                let busy = gateway.in_flight().await.iter().sum::<u64>() + gateway.sim.counts().open();
                if busy == 0 && health["statistics"]["requests_in_flight"] == 0 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let idle = tokio::time::timeout(SOON, idle).await;
        let counts = gateway.sim.counts();
        assert!(
            idle.is_ok(),
            "still busy: {:?} {counts:?}",
            gateway.in_flight().await
        );
        let (left, whole) = (left.into_inner(), whole.into_inner());
        println!(
            "{warm}: {left} left, {whole} whole, {} answers left",
            counts.answers_left
        );
        assert_eq!(left + whole, CLIENTS);
        assert!(
            left > CLIENTS / 10 && whole > CLIENTS / 10,
            "{left} left, {whole} whole"
        );
        assert!(counts.answers_left > 0, "nobody left an answer in its middle");
        let statistics = gateway.health().await["statistics"].clone();
        assert_eq!(statistics["failed_requests"], 0, "{statistics}");
        let ready = async {
            gateway
                .sim
                .wait_until(|counts| counts.conversations_left <= 3 * warm as u64)
                .await;
        };
        within("every conversation that was used is removed", ready).await;
        // Which of the others finish is chance.
        gateway.stop().await.asking("patient client").chats_alone()
    })
    .await;
}
