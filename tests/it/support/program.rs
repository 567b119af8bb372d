//! The program as a child process of the test.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
};

use serde_json::Value;

use super::PATIENCE;

/// The program with exactly this environment.
pub(crate) fn duogate(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_duogate"));
    command
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs the program to its end: its exit code, and what it wrote to standard output and to standard error.
pub(crate) fn run(
    directory: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> (i32, String, String) {
    let child = duogate(directory, arguments, environment).spawn().unwrap();
    let output = Running(child).output();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = output.status.code();
    (
        code.expect("it was killed: it did not end by itself"),
        text(output.stdout),
        text(output.stderr),
    )
}

/// A child that does not outlive its test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

impl Running {
    /// Waits for its end, while draining its output so that it never blocks.
    pub(crate) fn output(mut self) -> Output {
        let mut child = std::mem::replace(&mut self.0, Command::new("true").spawn().unwrap());
        let id = child.id();
        let (done, ended) = mpsc::channel();
        let watch = std::thread::spawn(move || {
            if ended.recv_timeout(PATIENCE).is_err() {
                let _killed = Command::new("kill").args(["-9", &id.to_string()]).status();
            }
        });
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut stderr = child.stderr.take();
        std::thread::scope(|scope| {
            scope.spawn(|| stderr.as_mut().map(|stream| stream.read_to_end(&mut err)));
            if let Some(mut stdout) = child.stdout.take() {
                stdout.read_to_end(&mut out).unwrap();
            }
        });
        let status = child.wait().unwrap();
        let _watch_over = done.send(());
        watch.join().unwrap();
        Output {
            status,
            stdout: out,
            stderr: err,
        }
    }
}

/// `duogate serve`, with its log.
pub(crate) struct Serving {
    child: Running,
    lines: mpsc::Receiver<String>,
    /// The part of its log that was read so far.
    pub(crate) log: Vec<String>,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
}

impl Serving {
    /// Starts it on free loopback ports in a directory with its settings, and waits until it serves.
    pub(crate) fn start(directory: &Path) -> Self {
        Self::start_in(directory, &[("HOST", "127.0.0.1")])
    }

    /// The same with an additional environment.
    pub(crate) fn start_in(directory: &Path, environment: &[(&str, &str)]) -> Self {
        Self::start_with(directory, environment, "0")
    }

    /// The same with another gRPC port, or `off`.
    pub(crate) fn start_with(directory: &Path, environment: &[(&str, &str)], grpc_port: &str) -> Self {
        Self::start_as(directory, environment, grpc_port, |command| command)
    }

    /// As [`Serving::start`], with a limit on descriptors that the program cannot raise.
    pub(crate) fn start_limited(directory: &Path, descriptors: u32) -> Self {
        Self::start_soft(directory, descriptors, descriptors)
    }

    /// As [`Serving::start`], with a soft and a hard limit on descriptors.
    pub(crate) fn start_soft(directory: &Path, soft: u32, hard: u32) -> Self {
        Self::start_as(directory, &[("HOST", "127.0.0.1")], "0", |command| {
            let mut limited = Command::new("/bin/sh");
            limited
                .args(["-c", "ulimit -Sn $0 && ulimit -Hn $1 && shift && exec \"$@\""])
                .args([soft, hard].map(|limit| limit.to_string()))
                .arg(command.get_program())
                .args(command.get_args())
                .current_dir(directory)
                .env_clear();
            let variables = command.get_envs();
            limited.envs(variables.filter_map(|(name, value)| Some((name, value?))));
            limited
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            limited
        })
    }

    fn start_as(
        directory: &Path,
        environment: &[(&str, &str)],
        grpc_port: &str,
        change: impl FnOnce(Command) -> Command,
    ) -> Self {
        // Clients need it, and no gateway in this process has installed it.
        let _is_there_already = rustls::crypto::ring::default_provider().install_default();
        let environment = [environment, &[("LOG_FORMAT", "json")]].concat();
        let arguments = ["serve", "--port", "0", "--grpc-port", grpc_port];
        let mut child = Running(
            change(duogate(directory, &arguments, &environment))
                .spawn()
                .unwrap(),
        );
        let (sender, lines) = mpsc::channel();
        let stderr = child.0.stderr.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _nobody_reads = sender.send(line);
            }
        });
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut serving = Self {
            child,
            lines,
            log: Vec::new(),
            http: nowhere,
            grpc: nowhere,
        };
        let told: Value = serde_json::from_str(&serving.until("\"serving\"")).unwrap();
        let address = |name: &str| match told[name].as_str().unwrap() {
            "off" => nowhere,
            address => address.parse().unwrap(),
        };
        (serving.http, serving.grpc) = (address("http"), address("grpc"));
        serving
    }

    /// Waits for a line with `word`.
    pub(crate) fn until(&mut self, word: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("{word:?} was never told, only {:#?}", self.log));
            self.log.push(line.clone());
            if line.contains(word) {
                return line;
            }
        }
    }

    /// Sends it a signal, such as `-HUP`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.0.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Stops it in order, while clients in this runtime keep reading. Returns its whole log.
    pub(crate) async fn stop(self) -> Vec<String> {
        self.signal("-TERM");
        let Self {
            child,
            lines,
            mut log,
            ..
        } = self;
        let output = tokio::task::spawn_blocking(|| child.output()).await.unwrap();
        assert_eq!(output.status.code(), Some(0));
        log.extend(lines.iter());
        log
    }
}
