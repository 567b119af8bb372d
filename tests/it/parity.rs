//! Cases that the other scenarios lack, through every way: each named behaviour of the upstream, pools in bad states,
//! and every kind of question.

use std::{fs, path::Path, time::Duration};

use duogate::sim::{Fault, Rule, Sim, Step};
use serde_json::json;

use crate::{
    support::{Ask, Gateway, Seen, Setup, TOKENS, Way, each_way},
    verdicts,
};

/// One chat on its own gateway.
#[derive(Clone)]
struct Scenario {
    name: String,
    setup: fn() -> Setup,
    rules: Vec<Rule>,
    prepare: fn(&Gateway),
    ask: Ask,
}

/// Failures show only its name.
impl std::fmt::Debug for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

fn ordinary() -> Setup {
    Setup::new()
        .tokens(2)
        .settings(|settings| settings.max_retries = 1)
}

/// Short upstream timeouts, for behaviours that never respond.
fn impatient() -> Setup {
    ordinary().settings(|settings| settings.timeout = Duration::from_millis(1500))
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

    async fn run(self, way: Way) -> Seen {
        let gateway = (self.setup)().start().await;
        for rule in self.rules {
            gateway.sim.script(rule);
        }
        (self.prepare)(&gateway);
        way.ask(&gateway, &self.ask).await;
        gateway.settled().await;
        gateway.stop().await
    }
}

/// Checks only that the doors agree; the expected answers are in other tests.
async fn compare(scenarios: impl IntoIterator<Item = Scenario>) {
    each_way(scenarios, Scenario::run).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_doors_tell_the_same_of_every_behaviour_of_the_upstream() {
    let names = Sim::model_names();
    assert!(names.len() > 60, "only {} behaviours", names.len());
    let scenarios = names.into_iter().map(|name| {
        let setup = if name.contains("stall") {
            impatient
        } else {
            ordinary
        };
        Scenario::new(name, Ask::new("What is it, über alles? 猫").model(name)).setup(setup)
    });
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
    let one_limited = Rule::once(verdicts::fault("429")).on(Step::Answer);
    let short = || ordinary().settings(|settings| settings.request_timeout = Duration::from_millis(1500));
    let proud = || ordinary().settings(|settings| settings.max_retries = 0);
    compare([
        Scenario::new("every token revoked", ask()).prepare(revoked),
        Scenario::new("one token revoked", ask()).prepare(|gateway| {
            gateway.sim.revoke(TOKENS[0]);
        }),
        Scenario::new("one token limited", ask()).rule(one_limited),
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
    compare([
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
        Scenario::new("several answers", count().with(json!({ "n": 3 }))),
        Scenario::new("no answer", count().with(json!({ "n": 0 }))),
        Scenario::new("too many answers", count().with(json!({ "n": 9 }))),
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

/// A test of one door alone is compared with nothing, so each file with one is listed here with its reason.
#[test]
fn no_chat_that_both_doors_offer_is_asked_of_one_alone() {
    /// The chat prepares a conversation, depends on HTTP/2, meets a limit of one door, or the gateway has only one
    /// door.
    const ALONE: [&str; 7] = [
        "connections.rs",
        "converse.rs",
        "converse/replay.rs",
        "early_answers.rs",
        "grpc_off.rs",
        "reload.rs",
        "slow.rs",
    ];
    /// Not chats: models, admin operations, connections, certificates.
    const NO_CHAT: [&str; 5] = [
        "admin/requests.rs",
        "connections.rs",
        "models.rs",
        "slow.rs",
        "tls.rs",
    ];
    /// One door's wire format: frames, heads, bodies, places of keys and ids, certificates, deadlines and comments.
    const BY_HAND: [&str; 36] = [
        "abuse.rs",
        "admission.rs",
        "answer_limits.rs",
        "bad_requests.rs",
        "choices.rs",
        "connections.rs",
        "deadlines.rs",
        "drain.rs",
        "early_answers.rs",
        "early_answers_http2.rs",
        "grpc_chats.rs",
        "grpc_fields.rs",
        "grpc_frames.rs",
        "grpc_input.rs",
        "grpc_rules.rs",
        "grpc_web.rs",
        "health.rs",
        "http_codings.rs",
        "http_headers.rs",
        "http_input.rs",
        "http_limits.rs",
        "http_long_work.rs",
        "http_paths.rs",
        "http_spellings.rs",
        "http_stream.rs",
        "json_details.rs",
        "keep_alive.rs",
        "keys.rs",
        "nulls.rs",
        "openapi.rs",
        "own_fields.rs",
        "reflection.rs",
        "slow.rs",
        "stalled.rs",
        "tls.rs",
        "wire_shapes.rs",
    ];
    let sources = sources();
    let with = |words: &[&str]| -> Vec<&str> {
        let holding = sources
            .iter()
            .filter(|(_, text)| words.iter().any(|word| text.contains(word)));
        holding.map(|(name, _)| name.as_str()).collect()
    };
    let alone = ["Http", "Grpc"]
        .into_iter()
        .flat_map(|door| ["chat(", "stream(", "open(", "ways("].map(|how| format!("Door::{door}.{how}")));
    let alone: Vec<String> = alone.collect();
    assert_eq!(with(&alone.iter().map(String::as_str).collect::<Vec<_>>()), ALONE);
    assert_eq!(with(&["Door::BOTH"]), NO_CHAT);
    let by_hand = [
        "/v1/chat/completions",
        "create_chat_completion(",
        "stream_chat_completion(",
        "CreateChatCompletion\"",
        "StreamChatCompletion\"",
    ];
    assert_eq!(with(&by_hand), BY_HAND);
}

/// The scenario files with their text, white space removed.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let (mut found, mut places) = (Vec::new(), vec![root.clone()]);
    while let Some(place) = places.pop() {
        for entry in fs::read_dir(place).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
            let name = name.replace(std::path::MAIN_SEPARATOR, "/");
            if path.is_dir() {
                places.extend((name != "support").then_some(path));
            } else if name.ends_with(".rs") && name != "parity.rs" {
                let text = fs::read_to_string(path).unwrap();
                found.push((name, text.split_whitespace().collect()));
            }
        }
    }
    found.sort_unstable();
    found
}
