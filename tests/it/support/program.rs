//! The program itself, as a child of the test.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
};

use serde_json::Value;

use super::PATIENCE;

/// The program, with nothing around it but this environment.
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

/// A child that does not outlive its test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

impl Running {
    /// Waits for its end; what it says in the meantime is read along, so that it never waits for its reader.
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
    /// All that it has logged and that was waited for.
    pub(crate) log: Vec<String>,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
}

impl Serving {
    /// Starts it on free ports in a directory that holds its settings, and waits until it serves.
    pub(crate) fn start(directory: &Path) -> Self {
        Self::start_as(directory, |command| command)
    }

    /// As [`Serving::start`], with no more than so many descriptors, which the program cannot change.
    pub(crate) fn start_limited(directory: &Path, descriptors: u32) -> Self {
        Self::start_soft(directory, descriptors, descriptors)
    }

    /// As [`Serving::start`], with a soft and a hard limit on descriptors.
    pub(crate) fn start_soft(directory: &Path, soft: u32, hard: u32) -> Self {
        Self::start_as(directory, |command| {
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

    fn start_as(directory: &Path, change: impl FnOnce(Command) -> Command) -> Self {
        // Clients of it need one, and no gateway in this process has set it up.
        let _is_there_already = rustls::crypto::ring::default_provider().install_default();
        let environment = [("HOST", "127.0.0.1"), ("LOG_FORMAT", "json")];
        let arguments = ["serve", "--port", "0", "--grpc-port", "0"];
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
        let address = |name: &str| told[name].as_str().unwrap().parse().unwrap();
        (serving.http, serving.grpc) = (address("http"), address("grpc"));
        serving
    }

    /// Waits for a line that holds `word`.
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

    /// Ends it in order, while clients of this runtime go on hearing what it says to them. Hands back all that it has
    /// logged.
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
