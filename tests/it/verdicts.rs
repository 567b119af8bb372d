//! The consequences of a failed call, repeated here: each fault at each step of a chat, through every way.

use std::time::Duration;

use duogate::sim::{Fault, Page, PageKind, Rule, Step, answer_text};

use crate::support::{Ask, Setup, crossed, each_way};

/// The result of a chat with two credentials and one retry.
#[derive(Debug, Clone, Copy)]
struct Verdict {
    /// The fault of every call of the step.
    fault: &'static str,
    /// The error kind that the client receives.
    kind: &'static str,
    /// Number of calls of the step.
    tries: u64,
    /// The state and unavailable reason of each tried credential afterwards.
    token: (&'static str, Option<&'static str>),
    /// Whether a retry after a single fault completes the chat.
    curable: bool,
}

const STEPS: [Step; 5] = [
    Step::ListProjects,
    Step::CreateProject,
    Step::CreateConversation,
    Step::Message,
    Step::Answer,
];

/// These calls name nothing that could be gone, so a 404 is the service's own fault.
const NAMELESS: [Step; 2] = [Step::ListProjects, Step::CreateProject];

const READY: (&str, Option<&str>) = ("ready", None);
const REFUSED: (&str, Option<&str>) = ("benched", Some("refused"));
const LIMITED: (&str, Option<&str>) = ("benched", Some("rate_limited"));

const fn verdict(
    fault: &'static str,
    kind: &'static str,
    tries: u64,
    token: (&'static str, Option<&'static str>),
    curable: bool,
) -> Verdict {
    Verdict {
        fault,
        kind,
        tries,
        token,
        curable,
    }
}

/// A credential's fault costs no retry, and both credentials are tried; a conversation that is gone is replaced once,
/// in addition to the retries; a rejection ends the chat; the service's faults are retried as often as configured.
const TABLE: &[Verdict] = &[
    verdict("401", "credentials_rejected", 2, REFUSED, true),
    verdict("403", "credentials_rejected", 2, REFUSED, true),
    verdict("429", "pool_exhausted", 2, LIMITED, true),
    verdict("404", "upstream_unavailable", 3, READY, true),
    verdict("400", "upstream_refused", 1, READY, false),
    verdict("422", "upstream_refused", 1, READY, false),
    verdict("500", "upstream_unavailable", 2, READY, true),
    verdict("503", "upstream_unavailable", 2, READY, true),
    verdict("closed", "upstream_unavailable", 2, READY, true),
    verdict("reset", "upstream_unavailable", 2, READY, true),
    verdict("stalled", "upstream_unavailable", 2, READY, true),
];

pub(crate) fn fault(name: &str) -> Fault {
    match name {
        "closed" => Fault::CutBeforeHead,
        "reset" => Fault::ResetBeforeHead,
        "stalled" => Fault::Stall,
        "429" => Fault::Status(Page {
            code: 429,
            kind: PageKind::Json,
            retry_after: Some("120".to_owned()),
        }),
        status => Fault::status(status.parse().unwrap()),
    }
}

fn setup(verdict: Verdict) -> Setup {
    Setup::new().tokens(2).settings(|settings| {
        settings.max_retries = 1;
        if verdict.fault == "stalled" {
            settings.timeout = Duration::from_millis(1500);
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_that_stays_comes_to_its_verdict_at_every_step() {
    let cases = crossed(TABLE.iter().copied(), STEPS);
    each_way(cases, async |(verdict, step), way| {
        let gateway = setup(verdict).start().await;
        gateway.sim.script(Rule::always(fault(verdict.fault)).on(step));
        let outcome = way.ask(&gateway, &Ask::new("what now?")).await;
        let failure = outcome.assert_failed(verdict.kind);
        assert!(!failure.in_band, "nothing had been sent");
        let tries = match verdict.fault {
            "404" if NAMELESS.contains(&step) => verdict.tries - 1,
            _ => verdict.tries,
        };
        assert_eq!(gateway.sim.counts().calls_of(step), tries, "{verdict:?} {step:?}");
        for index in 0..2 {
            let row = gateway.token_row(index).await;
            let now = (row["state"].as_str().unwrap(), row["reason"].as_str());
            assert_eq!(now, verdict.token, "{row}");
        }
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_that_passes_is_seen_by_no_client_that_it_need_not_reach() {
    let cases = crossed(TABLE.iter().copied(), STEPS);
    each_way(cases, async |(verdict, step), way| {
        let gateway = setup(verdict).start().await;
        gateway.sim.script(Rule::once(fault(verdict.fault)).on(step));
        let outcome = way.ask(&gateway, &Ask::new("what now?")).await;
        if verdict.curable {
            assert_eq!(outcome.failure, None, "{verdict:?} {step:?} {way:?}");
            outcome.assert_whole(&answer_text("what now?"));
            assert_eq!(gateway.sim.counts().calls_of(step), 2, "{verdict:?} {step:?}");
        } else {
            outcome.assert_failed(verdict.kind);
            assert_eq!(gateway.sim.counts().calls_of(step), 1, "{verdict:?} {step:?}");
        }
        let first = gateway.token_row(0).await;
        let now = (first["state"].as_str().unwrap(), first["reason"].as_str());
        assert_eq!(now, verdict.token, "{step:?} {first}");
        assert_eq!(gateway.token_row(1).await["state"], "ready");
        gateway.settled().await;
        gateway.stop().await
    })
    .await;
}
