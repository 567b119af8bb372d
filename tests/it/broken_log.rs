//! Standard error that cannot be written: lines are lost and counted, and there is no other effect. And standard
//! output, which the other commands write to.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, PipeReader, PipeWriter, Write},
    net::{SocketAddr, TcpListener},
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
};

use duogate::sim::{Sim, answer_text};
use futures::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    state::{STOCK, serve, upstream},
    support::{
        Ask, Gateway, KEY, OTHER_KEY, PATIENCE, Running, Ways, duogate, each_crowd, eventually, within,
    },
};

/// A fault of standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It was closed when the process started.
    Closed,
    /// The reader of the pipe has closed it.
    Gone,
    /// The disk is full.
    Full,
    /// Nobody reads the pipe, and it is full from the start.
    Stalled,
    /// The same in non-blocking mode.
    NonBlocking,
}

const ALL: [Fault; 5] = [
    Fault::Closed,
    Fault::Gone,
    Fault::Full,
    Fault::Stalled,
    Fault::NonBlocking,
];
const AT_ONCE: usize = 20;
impl Fault {
    /// Number of chats through each door, and through both at once.
    fn chats(self) -> usize {
        match self {
            Fault::Full | Fault::Stalled => 340,
            Fault::Closed | Fault::Gone | Fault::NonBlocking => 20,
        }
    }
}

const O_NONBLOCK: i32 = 0o4000;

/// Fills a pipe, and returns the number of bytes written.
fn fill(pipe: &PipeWriter) -> usize {
    let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
    let mut again = OpenOptions::new()
        .write(true)
        .custom_flags(O_NONBLOCK)
        .open(path)
        .unwrap();
    let mut written = 0;
    loop {
        match again.write(b"\n") {
            Ok(bytes) => written += bytes,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                return written;
            }
        }
    }
}

/// Gives a command a broken standard error. The pipe's reader, if any, must outlive it.
fn broken(command: &mut Command, fault: Fault) -> Option<PipeReader> {
    let (reader, writer) = io::pipe().unwrap();
    match fault {
        Fault::Closed => {
            command.stderr(Stdio::null());
            None
        }
        Fault::Gone => {
            command.stderr(writer);
            None
        }
        Fault::Full => {
            command.stderr(File::options().write(true).open("/dev/full").unwrap());
            None
        }
        Fault::Stalled => {
            fill(&writer);
            command.stderr(writer);
            Some(reader)
        }
        Fault::NonBlocking => {
            fill(&writer);
            let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
            let open = OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(path);
            command.stderr(open.unwrap());
            Some(reader)
        }
    }
}

/// The same program started by a shell that closes standard error first.
fn without_stderr(usual: &Command) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec \"$0\" \"$@\" 2>&-"])
        .arg(usual.get_program())
        .args(usual.get_args())
        .current_dir(usual.get_current_dir().unwrap())
        .env_clear()
        .envs(usual.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("PATH", std::env::var_os("PATH").unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// The program with a broken standard error, in front of an upstream.
struct Broken {
    child: Running,
    gateway: Gateway,
    place: TempDir,
    port: u16,
    reader: Option<PipeReader>,
}

impl Broken {
    /// Starts it and waits until it serves. Its ports are given, since it cannot log them.
    async fn start(upstream: &Sim, fault: Fault, more: &[(&str, &str)]) -> Self {
        let place = tempfile::tempdir().unwrap();
        keys(place.path(), &[KEY]);
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        loop {
            let ports = [free(), free()].map(|free| free.local_addr().unwrap().port());
            let [http, grpc] = ports.map(|port| port.to_string());
            let mut command = serve(upstream, place.path(), more);
            command
                .env_remove("API_KEYS")
                .envs([("PORT", &http), ("GRPC_PORT", &grpc)]);
            if fault == Fault::Closed {
                command = without_stderr(&command);
            }
            let reader = broken(&mut command, fault);
            let mut child = Running(command.spawn().unwrap());
            // Only the child keeps the pipe's other end.
            drop(command);
            let [http, grpc] = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
            let gateway = Gateway::elsewhere(http, grpc, upstream.control());
            let mut ended = None;
            eventually("it serves", async || {
                ended = child.0.try_wait().unwrap();
                ended.is_some()
                    || gateway
                        .web
                        .get(gateway.url("/readyz"))
                        .send()
                        .await
                        .is_ok_and(|answer| answer.status() == 200)
            })
            .await;
            match ended {
                None => {
                    return Self {
                        child,
                        gateway,
                        place,
                        port: ports[0],
                        reader,
                    };
                }
                // Another process has taken the port since.
                Some(status) => assert_eq!(status.code(), Some(1), "{fault:?}"),
            }
        }
    }

    fn signal(&self, name: &str) {
        let id = self.child.0.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    async fn lost(&self) -> u64 {
        let page = self.gateway.get("/metrics").await.text().await.unwrap();
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix("duogate_log_lines_dropped_total "));
        line.expect("the metric").parse().unwrap()
    }

    /// Runs this many chats, some concurrently.
    async fn chat(&self, ways: Ways, count: usize) {
        let numbers: Vec<usize> = (0..count).collect();
        for some in numbers.chunks(AT_ONCE) {
            let chats = some.iter().map(async |&number| {
                let question = format!("is anybody there? {number}");
                let outcome = ways.nth(number).ask(&self.gateway, &Ask::new(&question)).await;
                outcome.assert_whole(&answer_text(&question));
            });
            within("the chats end", join_all(chats)).await;
        }
    }

    /// Stops it in order.
    async fn stop(self) {
        self.signal("-TERM");
        let output = tokio::task::spawn_blocking(move || (self.child.output(), self.reader));
        let (output, _reader) = output.await.unwrap();
        assert_eq!(output.status.code(), Some(0));
    }
}

fn keys(place: &Path, keys: &[&str]) {
    fs::write(place.join(".env"), format!("API_KEYS={}\n", json!(keys))).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chats_probes_settings_and_the_end_need_no_log() {
    let scenario = async |fault: Fault, ways: Ways| {
        let upstream = upstream().await;
        let broken = Broken::start(&upstream, fault, &[]).await;
        let gateway = &broken.gateway;
        broken.chat(ways, fault.chats()).await;
        let failed = ways
            .nth(0)
            .ask(gateway, &Ask::new("and then?").model("fault:500"))
            .await;
        failed.assert_failed("upstream_unavailable");
        broken.chat(ways, AT_ONCE).await;

        keys(broken.place.path(), &[KEY, OTHER_KEY]);
        eventually("changed settings count", async || {
            let models = gateway.web.get(gateway.url("/v1/models")).bearer_auth(OTHER_KEY);
            models.send().await.unwrap().status() == 200
        })
        .await;
        broken.signal("-HUP");
        assert_eq!(
            gateway
                .web
                .get(gateway.url("/livez"))
                .send()
                .await
                .unwrap()
                .status(),
            200
        );
        let port = broken.port.to_string();
        let environment = [("HOST", "127.0.0.1"), ("PORT", &port)];
        let check = duogate(broken.place.path(), &["check", "--health"], &environment).spawn();
        let check = Running(check.unwrap());
        let checked = tokio::task::spawn_blocking(|| check.output()).await.unwrap();
        assert_eq!(checked.status.code(), Some(0), "{fault:?}: {checked:?}");
        if matches!(fault, Fault::Gone | Fault::Full) {
            eventually("each line is counted", async || {
                broken.lost().await >= fault.chats() as u64
            })
            .await;
        }
        let seen = gateway.seen().chats_alone().whatever_calls(STOCK);
        within("it drains", broken.stop()).await;
        assert_eq!(upstream.control().counts().conversations_left, 0);
        seen
    };
    each_crowd(ALL, scenario).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_comes_back_is_told_what_it_has_missed() {
    for fault in [Fault::Stalled, Fault::NonBlocking] {
        let upstream = upstream().await;
        let mut broken = Broken::start(&upstream, fault, &[("LOG_LEVEL", "trace")]).await;
        assert_eq!(broken.lost().await, 0);
        while broken.lost().await == 0 {
            let path = format!("/{}", "nothing".repeat(20));
            let asked = (0..AT_ONCE).map(|_| broken.gateway.get(&path));
            within("answers", join_all(asked)).await;
        }
        let lost = broken.lost().await;
        let reader = BufReader::new(broken.reader.take().unwrap());
        let (sender, lines) = mpsc::channel::<Value>();
        let reading = std::thread::spawn(move || {
            // The pipe was filled with newlines.
            for line in reader.lines().map(Result::unwrap).filter(|line| !line.is_empty()) {
                let line = serde_json::from_str(&line).expect("a whole line");
                let _nobody_reads = sender.send(line);
            }
        });
        let told = tokio::task::spawn_blocking(move || {
            loop {
                let line = lines.recv_timeout(PATIENCE).expect("the notice");
                if let Some(told) = line["lost"].as_u64() {
                    return (told, lines);
                }
            }
        });
        let (told, lines) = told.await.unwrap();
        assert!(told >= lost, "{fault:?}: {told}, {lost}");
        within("it drains", broken.stop()).await;
        reading.join().unwrap();
        let rest: Vec<Value> = lines.iter().collect();
        assert!(rest.iter().any(|line| line["message"] == "stopped"), "{rest:?}");
        assert!(
            rest.iter().all(|line| line["lost"].is_null()),
            "told again: {rest:?}"
        );
    }
}

/// Runs a command to its end with this standard output and error.
fn run(
    place: &Path,
    arguments: &[&str],
    out: Stdio,
    err: Stdio,
    environment: &[(&str, &str)],
) -> Option<i32> {
    let mut command = duogate(place, arguments, environment);
    command.stdout(out).stderr(err);
    let child = Running(command.spawn().unwrap());
    drop(command);
    child.output().status.code()
}

fn gone() -> Stdio {
    let (_, writer) = io::pipe().unwrap();
    writer.into()
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

const COMMANDS: [&[&str]; 4] = [&["check"], &["demo", "--once"], &["--help"], &["--version"]];

#[test]
fn a_full_standard_output_fails_a_command_in_words() {
    let good = [("REQUIRE_API_KEY", "false")];
    for arguments in COMMANDS
        .into_iter()
        .chain([&["init"][..], &["sim", "--port", "0"]])
    {
        let place = tempfile::tempdir().unwrap();
        let mut command = duogate(place.path(), arguments, &good);
        command.stdout(full());
        let output = Running(command.spawn().unwrap()).output();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {told}");
        assert!(
            told.contains("standard output cannot be written"),
            "{arguments:?}: {told}"
        );
        assert!(!told.contains("panicked"), "{told}");
        assert_eq!(told.contains(".env is written"), arguments[0] == "init", "{told}");
        let code = run(place.path(), arguments, full(), full(), &good);
        assert_eq!(code, Some(1), "{arguments:?}");
    }
}

#[test]
fn a_reader_of_standard_output_that_has_gone_is_no_fault() {
    let good = [("REQUIRE_API_KEY", "false")];
    for arguments in COMMANDS {
        let place = tempfile::tempdir().unwrap();
        let mut command = duogate(place.path(), arguments, &good);
        command.stdout(gone());
        let output = Running(command.spawn().unwrap()).output();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {told}");
        assert!(!told.contains("written"), "{arguments:?}: {told}");
        assert_eq!(
            run(place.path(), arguments, gone(), gone(), &good),
            Some(0),
            "{arguments:?}"
        );
    }
}

#[test]
fn bad_settings_and_bad_arguments_have_their_code_whoever_listens() {
    for fault in [Fault::Gone, Fault::Full, Fault::Stalled, Fault::NonBlocking] {
        for arguments in [&["check"][..], &["serve"], &["dance"]] {
            let place = tempfile::tempdir().unwrap();
            let mut command = duogate(place.path(), arguments, &[("PORT", "banana")]);
            let _reader = broken(&mut command, fault);
            let child = Running(command.spawn().unwrap());
            drop(command);
            assert_eq!(child.output().status.code(), Some(2), "{fault:?}: {arguments:?}");
        }
    }
}

#[test]
fn what_stops_the_start_is_json_where_the_log_is() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let json = ("LOG_FORMAT", "json");
    let bad = [json, ("PORT", "banana"), ("TIMEOUT", "-1")];
    let busy = [
        json,
        ("HOST", "127.0.0.1"),
        ("PORT", &port),
        ("REQUIRE_API_KEY", "false"),
    ];
    let file = [
        json,
        ("REQUIRE_API_KEY", "false"),
        ("PORT", "0"),
        ("GRPC_PORT", "0"),
        ("TLS_CERT", "no"),
        ("TLS_KEY", "no"),
    ];
    let level = [json, ("LOG_LEVEL", "a=b=c"), ("REQUIRE_API_KEY", "false")];
    let cases = [
        (
            &bad[..],
            2,
            &["PORT", "TIMEOUT", "the settings are not usable"][..],
        ),
        (&busy, 1, &["in use"]),
        (&file, 2, &["TLS_CERT"]),
        (&level, 2, &["LOG_LEVEL"]),
    ];
    for (environment, code, words) in cases {
        let place = tempfile::tempdir().unwrap();
        let child = duogate(place.path(), &["serve"], environment).spawn().unwrap();
        let output = Running(child).output();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{told}");
        let lines = told.lines().map(|line| serde_json::from_str(line).expect(line));
        let lines: Vec<Value> = lines.collect();
        for line in &lines {
            assert!(
                line["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')),
                "{line}"
            );
            assert!(line["level"].is_string() && line["target"].is_string(), "{line}");
        }
        let errors = lines.iter().filter(|line| line["level"] == "ERROR");
        let errors: Vec<&str> = errors.filter_map(|line| line["message"].as_str()).collect();
        for word in words {
            assert!(
                errors.iter().any(|message| message.contains(word)),
                "{word}: {told}"
            );
        }
    }
}

/// Set if the test below runs in a process of its own.
const CHILD: &str = "DUOGATE_TEST_PANICS";

#[test]
fn a_panic_is_a_line_of_the_log_and_nothing_else() {
    if std::env::var_os(CHILD).is_some() {
        duogate::app::open_log().unwrap();
        duogate::app::log_as_json(true);
        let ended = std::thread::spawn(|| panic!("on\npurpose")).join();
        assert!(ended.is_err());
        duogate::app::flush_log(PATIENCE);
        return;
    }
    let child = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args([
                "--exact",
                "broken_log::a_panic_is_a_line_of_the_log_and_nothing_else",
            ])
            .env(CHILD, "1")
            .env_remove("RUST_BACKTRACE")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    };
    let output = Running(child().spawn().unwrap()).output();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}");
    let line: Value = serde_json::from_str(told.trim_end()).expect(&told);
    assert_eq!(line["level"], "ERROR");
    let message = line["message"].as_str().unwrap();
    assert!(
        message.starts_with("panicked at ") && message.ends_with(": on\npurpose"),
        "{message}"
    );
    for fault in [Fault::Gone, Fault::Full] {
        let mut command = child();
        broken(&mut command, fault);
        let child = Running(command.spawn().unwrap());
        drop(command);
        assert_eq!(child.output().status.code(), Some(0), "{fault:?}");
    }
}
