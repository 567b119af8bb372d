//! Runs thousands of mixed chats through both doors of a gateway whose upstream fails at random, and checks that every
//! answer is complete and belongs to its question, or is an accurate error, and that nothing is left over afterwards.
//!
//! ```sh
//! cargo run --release --example soak                    # 20 000 chats, some minutes
//! cargo run --release --example soak -- --chats 1000
//! ```

mod client;
mod memory;
mod report;

use std::{process::ExitCode, sync::Arc, time::Duration};

use clap::Parser;
use duogate::{
    app::{App, Stop, Surroundings},
    config::{BaseUrl, Settings},
    engine::Engine,
    sim::{Chaos, Fault, Page, PageKind, Sim, SimConfig, SimControl, answer_text},
};
use futures::{StreamExt, stream};
use tokio::{task::JoinSet, time::timeout};

use client::{Client, End};
use memory::Memory;
use report::{Limits, Report};

/// The extent of the run.
#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// Seed of all random choices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of chats.
    #[arg(long, default_value_t = 20_000)]
    chats: usize,
    /// Number of concurrent chats.
    #[arg(long, default_value_t = 64)]
    at_once: usize,
    /// Number of credentials.
    #[arg(long, default_value_t = 32)]
    tokens: usize,
    /// Share of upstream calls that fail.
    #[arg(long, default_value_t = 0.2)]
    faults: f64,
    /// Share of clients that disconnect early.
    #[arg(long, default_value_t = 0.05)]
    leavers: f64,
    /// Delay of every upstream call in milliseconds.
    #[arg(long, default_value_t = 50)]
    latency: u64,
    /// Duration of an answer in milliseconds.
    #[arg(long, default_value_t = 500)]
    answer: u64,
}

/// Number of pieces of the upstream's answer to [`question`].
const PIECES: u64 = 10;

fn question(number: usize) -> String {
    format!("soak {number} one two three four five six")
}

/// Eight faults.
fn faults() -> Vec<Fault> {
    let limited = Page {
        code: 429,
        kind: PageKind::Json,
        retry_after: Some("1".to_owned()),
    };
    vec![
        Fault::status(401),
        Fault::Status(limited),
        Fault::status(500),
        Fault::status(503),
        Fault::ResetBeforeHead,
        Fault::StallMidStream { after: 2 },
        Fault::CutMidStream { after: 2 },
        Fault::Malformed { after: 2 },
    ]
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments).await {
        Ok(report) => report.tell(),
        Err(failure) => {
            report::complain(&failure);
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<Report, String> {
    let tokens: Vec<String> = (0..arguments.tokens)
        .map(|number| format!("soak-{number}"))
        .collect();
    let sim = Sim::start(SimConfig {
        tokens: tokens.clone(),
        accounts_with_project: true,
        latency: Duration::from_millis(arguments.latency),
        chunk_delay: Duration::from_millis(arguments.answer / PIECES),
        ..SimConfig::default()
    });
    let sim = sim.await.map_err(|error| error.to_string())?;
    let settings = settings(&sim, tokens)?;
    let app = App::bind(&settings, Surroundings::Ignored).await;
    let app = app.map_err(|error| error.to_string())?;
    let (engine, stop) = (app.engine(), Stop::default());
    let client = Client::new(app.http_address(), app.grpc_address().ok_or("no gRPC door")?)?;
    let mut running = JoinSet::new();
    running.spawn(app.run(stop.clone()));

    sim.control().chance(Some(Chaos {
        share: arguments.faults,
        faults: faults(),
        seed: arguments.seed,
    }));
    let report = drive(&arguments, client).await;
    sim.control().chance(None);
    let mut report = report;
    settle(&engine, &sim.control(), &mut report).await;
    stop.soft.cancel();
    match running.join_next().await {
        Some(Ok(Ok(()))) => {}
        ended => report.wrong(format!("the gateway ended badly: {ended:?}")),
    }
    report.left_behind = sim.control().counts().conversations_left;
    sim.shutdown().await;
    Ok(report)
}

fn settings(sim: &Sim, tokens: Vec<String>) -> Result<Settings, String> {
    let endpoints = sim.endpoints();
    let base = BaseUrl::parse;
    Ok(Settings {
        host: "127.0.0.1".to_owned(),
        grpc_host: "127.0.0.1".to_owned(),
        port: 0,
        grpc_port: Some(0),
        require_api_key: false,
        tokens: tokens.into_iter().map(Into::into).collect(),
        available_models: Vec::new(),
        token_cooldown: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        project_url: base(&endpoints.project)?,
        conversation_url: base(&endpoints.conversation)?,
        message_url: base(&endpoints.message)?,
        target_url: base(&endpoints.target)?,
        site_url: base(&endpoints.site)?,
        ..Settings::default()
    })
}

async fn drive(arguments: &Arguments, client: Client) -> Report {
    let client = Arc::new(client);
    let memory = Memory::watch(arguments.chats);
    let mut dice = fastrand::Rng::with_seed(arguments.seed);
    let longest_stay = arguments.answer + 6 * arguments.latency;
    let plans: Vec<Option<Duration>> = (0..arguments.chats)
        .map(|_| {
            let leaves = dice.f64() < arguments.leavers;
            let stay = Duration::from_millis(dice.u64(..longest_stay.max(1)));
            leaves.then_some(stay)
        })
        .collect();
    let mut ends = stream::iter(plans.into_iter().enumerate())
        .map(|(number, leaves_after)| {
            let client = Arc::clone(&client);
            async move { (number, chat(&client, number, leaves_after).await) }
        })
        .buffer_unordered(arguments.at_once);
    let mut report = Report::new(Limits {
        whole: 0.9,
        pool_exhausted: 0.05,
        growth: 0.05,
    });
    while let Some((number, end)) = ends.next().await {
        memory.note_end();
        report.take(number, &answer_text(&question(number)), end);
    }
    report.memory = memory.quarters();
    report
}

/// One chat of a client that obeys retry hints.
async fn chat(client: &Client, number: usize, leaves_after: Option<Duration>) -> End {
    const PATIENCE: u32 = 5;
    let stays = async {
        let mut met_empty_pool = false;
        for _ in 0..PATIENCE {
            let end = client.ask(number, &question(number)).await;
            let End::Failed { kind, again_in, .. } = &end else {
                return end.after_empty_pool(met_empty_pool);
            };
            met_empty_pool |= kind == "pool_exhausted";
            match again_in {
                Some(wait) => tokio::time::sleep(*wait).await,
                None => return end.after_empty_pool(met_empty_pool),
            }
        }
        client
            .ask(number, &question(number))
            .await
            .after_empty_pool(met_empty_pool)
    };
    match leaves_after {
        Some(wait) => timeout(wait, stays).await.unwrap_or(End::Left),
        None => stays.await,
    }
}

/// Waits until everything is released, and reports what is not.
async fn settle(engine: &Engine, sim: &SimControl, report: &mut Report) {
    const SOON: Duration = Duration::from_secs(2);
    const CLEAN: Duration = Duration::from_secs(30);
    let quiet = async {
        loop {
            let leases: usize = engine.tokens().iter().map(|token| token.in_flight).sum();
            if engine.in_flight() == 0 && leases == 0 && engine.chats().is_empty() && sim.counts().open() == 0
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if timeout(SOON, quiet).await.is_err() {
        let leases: usize = engine.tokens().iter().map(|token| token.in_flight).sum();
        report.wrong(format!(
            "still held: {} permits, {leases} leases, {} chats, {} upstream answers",
            engine.in_flight(),
            engine.chats().len(),
            sim.counts().open()
        ));
    }
    let clean = async {
        while engine.conversations().in_use + engine.conversations().leaving > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if timeout(CLEAN, clean).await.is_err() {
        report.wrong(format!("conversations still held: {:?}", engine.conversations()));
    }
    report.conversations = engine.conversations();
    for breach in sim.breaches() {
        report.wrong(format!("the upstream's contract was broken: {breach}"));
    }
    report.upstream_calls = sim.counts().calls.values().sum();
}
