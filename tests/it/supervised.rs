//! Notifications to a supervisor, such as systemd with `Type=notify`.

#![cfg(unix)]

use std::{fs, io::ErrorKind, os::unix::net::UnixDatagram, path::Path};

use tempfile::TempDir;

use crate::support::{PATIENCE, Serving};

const SETTINGS: &str = "API_KEYS=[\"sk-very-secret-0123456789\"]\n";

fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join(".env"), SETTINGS).unwrap();
    place
}

struct Supervisor(UnixDatagram);

impl Supervisor {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// The lines of the next message.
    fn hears(&self) -> Vec<String> {
        let mut message = [0; 4096];
        let length = loop {
            match self.0.recv(&mut message) {
                // A signal: a child of some test has ended.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => break received.expect("a message of the gateway"),
            }
        };
        let text = String::from_utf8(message[..length].to_vec()).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

fn start(directory: &Path, socket: &str) -> Serving {
    Serving::start_in(directory, &[("HOST", "127.0.0.1"), ("NOTIFY_SOCKET", socket)])
}

/// Checks a timestamp against Linux's monotonic clock.
fn assert_is_now(line: &str) {
    let told: f64 = line.strip_prefix("MONOTONIC_USEC=").unwrap().parse().unwrap();
    let uptime = fs::read_to_string("/proc/uptime").unwrap();
    let now: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    // Uptime includes the machine's sleep, the clock does not.
    assert!(told > 0.0 && told / 1e6 <= now + 1.0, "{line}, {now}");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_hears_of_the_start_of_reloads_and_of_the_end() {
    let place = place();
    let path = place.path().join("notify");
    let supervisor = Supervisor::at(&path);
    let serving = start(place.path(), path.to_str().unwrap());
    let serves = [
        "READY=1".to_owned(),
        format!("STATUS=Serving HTTP on {}; gRPC: {}", serving.http, serving.grpc),
    ];
    assert_eq!(supervisor.hears(), serves);

    let reloads = || {
        let heard = supervisor.hears();
        assert_eq!(heard[0], "RELOADING=1");
        assert_is_now(&heard[1]);
        assert!(heard[2].starts_with("STATUS="), "{heard:?}");
    };
    serving.signal("-HUP");
    reloads();
    assert_eq!(supervisor.hears(), serves);

    // A changed file causes a reload as well, and an invalid one leaves the gateway ready.
    fs::write(place.path().join(".env"), format!("{SETTINGS}TIMEOUT=x\n")).unwrap();
    reloads();
    let refused = supervisor.hears();
    assert_eq!(refused[0], "READY=1");
    assert!(refused[1].contains("not reloaded"), "{refused:?}");
    fs::write(place.path().join(".env"), format!("{SETTINGS}TIMEOUT=7\n")).unwrap();
    reloads();
    assert_eq!(supervisor.hears(), serves);

    serving.stop().await;
    assert_eq!(supervisor.hears(), ["STOPPING=1", "STATUS=Draining"]);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_may_listen_in_the_abstract_space() {
    use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
    let place = place();
    let name = format!(
        "duogate-test-{}",
        place.path().file_name().unwrap().to_str().unwrap()
    );
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let serving = start(place.path(), &format!("@{name}"));
    assert_eq!(Supervisor(socket).hears()[0], "READY=1");
    serving.stop().await;
}

/// Without a listener, without a reader or without a socket the gateway serves and ends as usual.
#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_that_does_not_listen_is_no_fault() {
    let place = place();
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("file"), "").unwrap();
    let full = UnixDatagram::bind(path("full")).unwrap();
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send_to(b"READY=0", path("full")).is_ok() {}
    let long = "x".repeat(300);
    for socket in [
        "",
        "@",
        &path("nothing"),
        &path("file"),
        &path("full"),
        &long,
        "vsock:2:1",
    ] {
        start(place.path(), socket).stop().await;
    }
    drop(full);
}
