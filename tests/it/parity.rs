//! Whatever a chat meets, both doors tell the same of it, and the upstream is called alike. The scenarios are those of
//! the other tests: their tables are read here, so that what is added there is compared too.

use std::{collections::BTreeMap, time::Duration};

use duogate::{
    config::UnmarkedEnd,
    sim::{Fault, Rule, Sim, Step},
};
use serde_json::json;

use crate::{
    cuts::CUTS,
    forms::forms,
    support::{Ask, Door, Failure, Gateway, Outcome, Setup, TOKENS, crossed, for_each},
    verdicts::{self, STEPS, TABLE},
};

/// One chat on a gateway of its own.
struct Scenario {
    name: String,
    setup: fn() -> Setup,
    rules: Vec<Rule>,
    prepare: fn(&Gateway),
    ask: Ask,
}

fn ordinary() -> Setup {
    Setup::new()
        .tokens(2)
        .settings(|settings| settings.max_retries = 1)
}

/// Waits on the upstream end soon, where something never comes.
fn impatient() -> Setup {
    ordinary().settings(|settings| settings.timeout = Duration::from_millis(800))
}

impl Scenario {
    fn new(name: impl Into<String>, ask: Ask) -> Self {
        Self {
            name: name.into(),
            setup: ordinary,
            rules: Vec::new(),
            prepare: |_| {},
            ask,
        }
    }

    fn setup(mut self, setup: fn() -> Setup) -> Self {
        self.setup = setup;
        self
    }

    fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    fn prepare(mut self, prepare: fn(&Gateway)) -> Self {
        self.prepare = prepare;
        self
    }
}

/// A failure, as far as both wires can tell it.
#[derive(Debug, PartialEq)]
struct Told {
    kind: &'static str,
    /// Not of bad input, where each door speaks of its own fields.
    message: Option<String>,
    in_band: bool,
    has_time_to_wait: bool,
    /// In band OpenAI's wire has no room for it.
    should_retry: Option<bool>,
}

impl Told {
    fn new(failure: Failure) -> Self {
        Self {
            kind: failure.kind,
            message: Some(failure.message).filter(|_| failure.kind != "invalid_request"),
            in_band: failure.in_band,
            has_time_to_wait: failure.retry_after.is_some(),
            should_retry: failure.should_retry.filter(|_| !failure.in_band),
        }
    }
}

/// What must be the same through both doors.
#[derive(Debug, PartialEq)]
struct Seen {
    model: String,
    text: String,
    reasoning: String,
    finish: Option<String>,
    usage: Option<(u64, u64, u64)>,
    failure: Option<Told>,
    /// Calls of the upstream, by step.
    calls: BTreeMap<Step, u64>,
}

impl Seen {
    fn new(outcome: Outcome, calls: BTreeMap<Step, u64>) -> Self {
        let usage = outcome.usage;
        Self {
            model: outcome.model,
            text: outcome.text,
            reasoning: outcome.reasoning,
            finish: outcome.finish,
            usage: usage.map(|usage| (usage.prompt, usage.completion, usage.total)),
            failure: outcome.failure.map(Told::new),
            calls,
        }
    }
}

async fn seen(scenario: &Scenario, door: Door, streamed: bool) -> Seen {
    let gateway = (scenario.setup)().start().await;
    for rule in &scenario.rules {
        gateway.sim.script(rule.clone());
    }
    (scenario.prepare)(&gateway);
    let outcome = if streamed {
        door.stream(&gateway, &scenario.ask).await
    } else {
        door.chat(&gateway, &scenario.ask).await
    };
    gateway.settled().await;
    let calls = gateway.sim.counts().calls;
    gateway.stop().await;
    Seen::new(outcome, calls)
}

async fn compare(scenarios: Vec<Scenario>) {
    /// Each case starts two gateways, one after the other.
    const AT_ONCE: usize = 8;
    let cases = crossed(scenarios.iter().map(Named), [false, true]);
    for some in cases.chunks(AT_ONCE) {
        for_each(some, async |(Named(scenario), streamed)| {
            let http = seen(scenario, Door::Http, *streamed).await;
            let grpc = seen(scenario, Door::Grpc, *streamed).await;
            let name = &scenario.name;
            assert_eq!(http, grpc, "{name}, streamed: {streamed}; HTTP left, gRPC right");
            let ended = http.finish.is_some() != http.failure.is_some();
            assert!(ended, "{name} came to no end, or to two: {http:?}");
        })
        .await;
    }
}

/// A scenario that goes by its name where a test that waits in vain says for what.
#[derive(Clone, Copy)]
struct Named<'a>(&'a Scenario);

impl std::fmt::Debug for Named<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.name)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_doors_tell_the_same_of_every_behaviour_of_the_upstream() {
    let joined = forms()
        .into_iter()
        .chain(CUTS.map(|cut| format!("{cut}+dialect:tab")));
    let names = Sim::model_names().into_iter().map(str::to_owned).chain(joined);
    let scenarios = names.map(|name| {
        let setup = if name.contains("stall") {
            impatient
        } else {
            ordinary
        };
        Scenario::new(&name, Ask::new("What is it, über alles? 猫").model(&name)).setup(setup)
    });
    let scenarios: Vec<_> = scenarios.collect();
    assert!(scenarios.len() > 80, "only {} behaviours", scenarios.len());
    compare(scenarios).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_doors_tell_the_same_of_every_fault_at_every_step() {
    let mut scenarios = Vec::new();
    for verdict in TABLE {
        for step in STEPS {
            let fault = verdicts::fault(verdict.fault);
            let setup = if verdict.fault == "stalled" {
                impatient
            } else {
                ordinary
            };
            let rules = [
                ("once", Rule::once(fault.clone())),
                ("always", Rule::always(fault)),
            ];
            for (how_often, rule) in rules {
                let name = format!("{} {how_often} at {step:?}", verdict.fault);
                scenarios.push(
                    Scenario::new(name, Ask::new("what now?"))
                        .setup(setup)
                        .rule(rule.on(step)),
                );
            }
        }
    }
    compare(scenarios).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_doors_tell_the_same_of_a_pool_without_tokens_and_of_an_account_in_disorder() {
    let ask = || Ask::new("who is there?");
    let revoked = |gateway: &Gateway| {
        for token in TOKENS {
            gateway.sim.revoke(token);
        }
    };
    let full = || {
        ordinary().sim(|sim| {
            sim.foreign_conversations = 2;
            sim.conversation_limit = Some(2);
        })
    };
    let one_limited = Rule::once(verdicts::fault("429")).on(Step::Answer);
    let polite_cut = || ordinary().settings(|settings| settings.unmarked_end = UnmarkedEnd::Stop);
    let short = || ordinary().settings(|settings| settings.request_timeout = Duration::from_millis(300));
    let proud = || ordinary().settings(|settings| settings.max_retries = 0);
    compare(vec![
        Scenario::new("no token", ask()).setup(|| Setup::new().tokens(0)),
        Scenario::new("every token revoked", ask()).prepare(revoked),
        Scenario::new("one token revoked", ask()).prepare(|gateway| {
            gateway.sim.revoke(TOKENS[0]);
        }),
        Scenario::new("one token limited", ask()).rule(one_limited),
        Scenario::new("the account is full", ask()).setup(full),
        Scenario::new("an unmarked end is an end", ask().model("fault:polite-cut")).setup(polite_cut),
        Scenario::new("no time", ask())
            .setup(short)
            .rule(Rule::always(Fault::Stall)),
        Scenario::new("no retry", ask().model("fault:500")).setup(proud),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_doors_tell_the_same_of_every_kind_of_question() {
    let offer = || ordinary().settings(|settings| settings.available_models = vec!["one".to_owned()]);
    let brief = || ordinary().settings(|settings| settings.max_prompt_bytes = 16);
    let mut dialogue = Ask::new("");
    dialogue.messages = [
        ("system", "Be brief."),
        ("user", "Hi"),
        ("assistant", "Hello."),
        ("tool", "42"),
        ("user", "Well?"),
    ]
    .map(|(role, text)| (role, text.to_owned()))
    .to_vec();
    let mut silence = Ask::new("");
    silence.messages = Vec::new();
    let count = || Ask::new("one two three, four five");
    compare(vec![
        Scenario::new("several messages", dialogue),
        Scenario::new("a long question", Ask::new("A long word, 日本語. ".repeat(5000))),
        Scenario::new(
            "a stop text",
            count().with(json!({ "stop": ["nowhere", "three"] })),
        ),
        Scenario::new("a stop text at once", count().with(json!({ "stop": ["You"] }))),
        Scenario::new("a limit on tokens", count().with(json!({ "max_tokens": 3 }))),
        Scenario::new(
            "a limit that is not met",
            count().with(json!({ "max_tokens": 3000 })),
        ),
        Scenario::new("a limit of nothing", count().with(json!({ "max_tokens": 0 }))),
        Scenario::new("no message", silence),
        Scenario::new("no model", count().model("")),
        Scenario::new("a model on offer", count().model("one")).setup(offer),
        Scenario::new("no such model", count().model("two")).setup(offer),
        Scenario::new("a prompt beyond the limit", count()).setup(brief),
        Scenario::new("no key", count().key(None)),
        Scenario::new("a wrong key", count().key(Some("sk-it-wrong"))),
    ])
    .await;
}
