//! Orderly and abrupt ends of the program: the next process deletes the conversations that a killed one left, and keeps
//! its credentials' cooldowns.

#![cfg(unix)]

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
};

use duogate::sim::{Hold, Sim, SimConfig, Step, answer_text};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    ADMIN_KEY, Ask, Gateway, KEY, ONCE, Opened, TOKENS, Ways, each_crowd, each_way, eventually, within,
};

const WARM: usize = 2;
/// Whether a chat finds a warm conversation depends on timing.
pub(crate) const STOCK: &[Step] = &[Step::CreateConversation, Step::DeleteConversation];

pub(crate) async fn upstream() -> Sim {
    let config = SimConfig {
        tokens: TOKENS.map(str::to_owned).to_vec(),
        ..SimConfig::default()
    };
    Sim::start(config).await.unwrap()
}

/// The program in front of an upstream. Dropping it kills the process.
struct Process {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The program in front of an upstream, with its files in a directory of its own.
pub(crate) fn serve(upstream: &Sim, place: &Path, more: &[(&str, &str)]) -> Command {
    let at = upstream.endpoints();
    let (keys, tokens) = (json!([KEY]).to_string(), json!(TOKENS).to_string());
    let mut command = Command::new(env!("CARGO_BIN_EXE_duogate"));
    command
        .arg("serve")
        .current_dir(place)
        .env_clear()
        .envs([("HOST", "127.0.0.1"), ("PORT", "0"), ("GRPC_PORT", "0")])
        .envs([("API_KEYS", &keys), ("TOKEN_POOL", &tokens)])
        .envs([("PROJECT_API_URL", &at.project), ("SITE_URL", &at.site)])
        .envs([("CONVERSATION_API_URL", &at.conversation)])
        .envs([("MESSAGE_API_URL", &at.message), ("TARGET_API_URL", &at.target)])
        .env("LOG_FORMAT", "json")
        .envs(more.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

impl Process {
    fn spawn(upstream: &Sim, state: &Path, more: &[(&str, &str)]) -> Self {
        let mut command = serve(upstream, state, more);
        command
            .env("STATE_DIR", "state")
            .env("WARM_CONVERSATIONS", WARM.to_string());
        Self::of(&mut command)
    }

    /// Starts `started`, with the arguments and environment of `usual`.
    fn run(started: &mut Command, usual: &Command) -> Self {
        let environment = usual.get_envs().filter_map(|(name, value)| Some((name, value?)));
        started
            .current_dir(usual.get_current_dir().unwrap())
            .env_clear()
            .envs(environment)
            .env("PATH", std::env::var_os("PATH").unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        Self::of(started)
    }

    fn of(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (stderr, heard) = (child.stderr.take().unwrap(), Arc::clone(&said));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                *heard.lock().unwrap() += &format!("{line}\n");
            }
        });
        Self { child, said }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until it serves, and connects clients to it.
    async fn serving(&self, upstream: &Sim) -> Gateway {
        eventually("it serves", async || self.said().contains("serving")).await;
        let said = self.said();
        let line = said.lines().find(|line| line.contains("serving")).unwrap();
        let line: Value = serde_json::from_str(line).unwrap();
        let address = |name: &str| -> SocketAddr {
            let value = line
                .get(name)
                .or_else(|| line.pointer(&format!("/fields/{name}")));
            let text = value.and_then(Value::as_str).expect("an address");
            text.parse().unwrap()
        };
        Gateway::elsewhere(address("http"), address("grpc"), upstream.control())
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("it ends", async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }
}

/// Opens streams and reads the first text of each.
async fn streams(gateway: &Gateway, ways: Ways, asks: impl IntoIterator<Item = Ask>) -> Vec<Opened> {
    gateway.sim.hold_at(Hold::AfterFirstPiece);
    let opening = asks.into_iter().enumerate().map(async |(number, ask)| {
        let mut opened = ways.nth(number).door.open(gateway, &ask).await.unwrap();
        opened.first_text().await;
        opened
    });
    within("the streams are in their middle", join_all(opening)).await
}

/// Waits until the upstream has exactly the conversations in use and in the warm pool, and none is being created: a
/// process killed between a call and its response cannot know about it.
async fn quiet(gateway: &Gateway, in_use: usize, ready: usize) {
    eventually("nothing is being made or removed", async || {
        let health = gateway.health().await;
        let rows = health["token_pool"]["tokens"].as_array().expect("rows").clone();
        let standing = rows.iter().map(|row| row["warm_conversations"].as_u64().unwrap());
        let all = (in_use + ready) as u64;
        standing.sum::<u64>() == ready as u64 && gateway.sim.counts().conversations_left == all
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_left_behind_the_next_one_removes() {
    each_crowd(ONCE, async |(), ways| {
        const STREAMS: usize = 20;
        let (upstream, place) = (upstream().await, tempfile::tempdir().unwrap());
        let sim = upstream.control();
        let mut killed = Process::spawn(&upstream, place.path(), &[]);
        let gateway = killed.serving(&upstream).await;
        let asks = (0..STREAMS).map(|number| Ask::new(format!("never to end {number}")));
        let held = streams(&gateway, ways, asks).await;
        quiet(&gateway, STREAMS, TOKENS.len() * WARM).await;
        killed.signal("-KILL");
        assert_eq!(killed.ended().await.code(), None);
        drop(held);
        sim.release();

        let mut next = Process::spawn(&upstream, place.path(), &[]);
        let left = gateway.seen().chats_alone();
        let gateway = next.serving(&upstream).await;
        gateway.settled().await;
        assert_eq!(
            sim.counts().conversations_made,
            sim.counts().conversations_deleted
        );
        for number in 0..4 {
            let outcome = ways.nth(number).ask(&gateway, &Ask::new("and on")).await;
            outcome.assert_whole(&answer_text("and on"));
        }
        next.signal("-TERM");
        assert_eq!(next.ended().await.code(), Some(0), "{}", next.said());
        assert_eq!(sim.counts().conversations_left, 0);
        assert_eq!(sim.breaches(), Vec::<String>::new());
        left.and(gateway.seen()).whatever_calls(STOCK)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_against_a_token_outlives_the_process() {
    each_crowd(["-TERM", "-KILL"], async |signal, ways| {
        let (upstream, place) = (upstream().await, tempfile::tempdir().unwrap());
        let sim = upstream.control();
        sim.revoke(TOKENS[0]);
        let mut first = Process::spawn(&upstream, place.path(), &[]);
        let gateway = first.serving(&upstream).await;
        ways.nth(0)
            .ask(&gateway, &Ask::new("who is there?"))
            .await
            .assert_whole(&answer_text("who is there?"));
        assert_eq!(gateway.token_row(0).await["reason"], "refused");
        quiet(&gateway, 0, 1).await;
        let kept = place.path().join("state/tokens.json");
        if signal == "-KILL" {
            eventually("the bench is kept", async || {
                fs::read_to_string(&kept).is_ok_and(|kept| kept.contains("refused"))
            })
            .await;
        }
        first.signal(signal);
        first.ended().await;
        let kept = fs::read_to_string(&kept).unwrap();
        assert!(!kept.contains(TOKENS[0]), "a token is kept in the clear: {kept}");

        let before = gateway.seen();
        sim.forget();
        let mut next = Process::spawn(&upstream, place.path(), &[]);
        let gateway = next.serving(&upstream).await;
        let row = gateway.token_row(0).await;
        assert_eq!(
            (&row["state"], &row["reason"]),
            (&"benched".into(), &"refused".into()),
            "{signal}: {row}"
        );
        assert_eq!(gateway.token_row(1).await["state"], "ready");
        for number in 0..4 {
            let outcome = ways.nth(number).ask(&gateway, &Ask::new("and now?")).await;
            outcome.assert_whole(&answer_text("and now?"));
        }
        let asked = sim.counts().calls_by_token.get(TOKENS[0]).cloned();
        assert_eq!(asked, None, "{signal}: the token was tried");
        next.signal("-TERM");
        assert_eq!(next.ended().await.code(), Some(0), "{}", next.said());
        assert_eq!(sim.counts().conversations_left, 0);
        before.and(gateway.seen()).whatever_calls(STOCK)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_directory_serves_one_process_at_a_time() {
    each_way(ONCE, async |(), way| {
        let (upstream, place) = (upstream().await, tempfile::tempdir().unwrap());
        let first = Process::spawn(&upstream, place.path(), &[]);
        let gateway = first.serving(&upstream).await;
        let mut second = Process::spawn(&upstream, place.path(), &[]);
        assert_eq!(second.ended().await.code(), Some(1));
        eventually("the setting is named", async || {
            second.said().contains("STATE_DIR")
        })
        .await;
        assert!(second.said().contains("another process"), "{}", second.said());
        let outcome = way.ask(&gateway, &Ask::new("undisturbed")).await;
        outcome.assert_whole(&answer_text("undisturbed"));
        gateway.seen().whatever_calls(STOCK)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_lets_streams_end_within_the_grace_and_tells_the_others() {
    each_crowd(ONCE, async |(), ways| {
        const STREAMS: usize = 100;
        let question = "one two three four";
        let (upstream, place) = (upstream().await, tempfile::tempdir().unwrap());
        let sim = upstream.control();
        let mut process = Process::spawn(&upstream, place.path(), &[("SHUTDOWN_GRACE", "3")]);
        let gateway = process.serving(&upstream).await;
        // By pairs, so that each door has both kinds.
        let asks = (0..STREAMS).map(|number| match number % 4 {
            0 | 1 => Ask::new(question),
            _ => Ask::new(question).model("fault:stall"),
        });
        let opened = streams(&gateway, ways, asks).await;
        process.signal("-TERM");
        eventually("it drains", async || process.said().contains("draining")).await;
        sim.release();
        let outcomes = join_all(opened.into_iter().map(Opened::finish));
        let outcomes = within("every stream ends", outcomes).await;
        for (number, outcome) in outcomes.iter().enumerate() {
            if number % 4 < 2 {
                outcome.assert_whole(&answer_text(question));
            } else {
                let failure = outcome.assert_failed("shutting_down");
                assert!(failure.in_band, "{number}");
                assert!(answer_text(question).starts_with(outcome.text()), "{outcome:?}");
            }
        }
        assert_eq!(process.ended().await.code(), Some(0), "{}", process.said());
        assert_eq!(sim.counts().conversations_left, 0);
        assert_eq!(sim.counts().open(), 0);
        assert_eq!(sim.breaches(), Vec::<String>::new());
        gateway.seen().whatever_calls(STOCK)
    })
    .await;
}

/// Opening a pipe without a reader blocks, like a call to a disk that does not respond.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_does_not_answer_holds_up_no_chat_and_no_end() {
    each_crowd(ONCE, async |(), ways| {
        let (upstream, place) = (upstream().await, tempfile::tempdir().unwrap());
        let sim = upstream.control();
        let mut process = Process::spawn(&upstream, place.path(), &[("TOKEN_COOLDOWN", "0.2")]);
        let gateway = process.serving(&upstream).await;
        let stuck = place.path().join("state/tokens.json.new");
        eventually("no such file is just being written", async || {
            Command::new("mkfifo").arg(&stuck).status().unwrap().success()
        })
        .await;
        sim.revoke(TOKENS[0]);
        for number in 0..40 {
            let outcome = ways.nth(number).ask(&gateway, &Ask::new("and now?")).await;
            outcome.assert_whole(&answer_text("and now?"));
        }
        eventually("it is told", async || {
            process.said().contains("the disk of STATE_DIR does not answer")
        })
        .await;
        // Background work continues: a credential is probed after its cooldown.
        eventually("the token is tried again", async || {
            process.said().contains("the token's trial failed")
        })
        .await;
        assert_eq!(gateway.get("/livez").await.status(), 200);
        process.signal("-TERM");
        assert_eq!(process.ended().await.code(), Some(0), "{}", process.said());
        assert_eq!(sim.counts().conversations_left, 0);
        gateway.seen().chats_alone()
    })
    .await;
}

/// A file size limit makes the disk appear full at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_costs_no_chat() {
    each_crowd(ONCE, async |(), ways| {
        let (upstream, place) = (upstream().await, tempfile::tempdir().unwrap());
        let limited = "trap '' XFSZ; ulimit -f 1; exec \"$0\" serve";
        let mut process = Process::run(
            Command::new("sh").args(["-c", limited, env!("CARGO_BIN_EXE_duogate")]),
            &serve(&upstream, place.path(), &[("STATE_DIR", "state")]),
        );
        let gateway = process.serving(&upstream).await;
        for number in 0..40 {
            let outcome = ways.nth(number).ask(&gateway, &Ask::new("is there room?")).await;
            outcome.assert_whole(&answer_text("is there room?"));
        }
        eventually("it is told", async || {
            process.said().contains("state cannot be kept")
        })
        .await;
        process.signal("-TERM");
        assert_eq!(process.ended().await.code(), Some(0), "{}", process.said());
        gateway.seen().chats_alone()
    })
    .await;
}

/// The file behind the pipe's path may be on a disk that does not respond.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_file_that_does_not_answer_holds_up_neither_chats_nor_the_end() {
    each_way(ONCE, async |(), way| {
        let (upstream, place) = (upstream().await, tempfile::tempdir().unwrap());
        let file = place.path().join("pool");
        fs::write(&file, "a-token-of-the-file\n").unwrap();
        let more = [("TOKEN_POOL_FILE", "pool"), ("ADMIN_KEY", ADMIN_KEY)];
        let mut process = Process::spawn(&upstream, place.path(), &more);
        let gateway = process.serving(&upstream).await;
        fs::remove_file(&file).unwrap();
        assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
        let added = (0..2).map(async |number| {
            let request = gateway
                .web
                .post(gateway.url("/admin/tokens"))
                .bearer_auth(ADMIN_KEY);
            let body = json!({ "token": format!("a-new-token-{number}") });
            let answer = request.json(&body).send().await.unwrap();
            answer.json::<Value>().await.unwrap()
        });
        for added in within("the operator is answered", join_all(added)).await {
            assert_eq!(added["persisted"], false, "{added}");
            assert!(
                added["note"].as_str().unwrap().contains("does not answer"),
                "{added}"
            );
        }
        let outcome = way.ask(&gateway, &Ask::new("undisturbed")).await;
        outcome.assert_whole(&answer_text("undisturbed"));
        process.signal("-TERM");
        assert_eq!(process.ended().await.code(), Some(0), "{}", process.said());
        gateway.seen().chats_alone()
    })
    .await;
}
