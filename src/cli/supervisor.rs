//! Tells a supervisor such as systemd where the process stands, by the protocol of `sd_notify`. Without `NOTIFY_SOCKET`
//! nobody is told, and a supervisor that does not listen is no fault of the gateway's.

use std::ffi::OsString;

/// Whoever has started the process and wants to know how it goes.
pub(super) struct Supervisor {
    /// Where it listens: a path, or a name in Linux' abstract space after `@`.
    socket: Option<OsString>,
}

impl Supervisor {
    pub(super) fn of_this_process() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty());
        Self { socket }
    }

    /// The process serves, with these words for people.
    pub(super) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// The settings are read again; [`ready`](Self::ready) ends it.
    pub(super) fn reloading(&self) {
        self.tell(&format!(
            "RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=Reading the settings again",
            monotonic_microseconds()
        ));
    }

    /// The process ends.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=Draining");
    }

    fn tell(&self, message: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = send(socket, message) {
            tracing::debug!(error = %error, "the supervisor cannot be told");
        }
    }
}

/// Connects anew each time, as the supervisor may have been restarted, and never waits for it.
#[cfg(unix)]
fn send(socket: &std::ffi::OsStr, message: &str) -> std::io::Result<()> {
    use std::os::unix::net::UnixDatagram;
    let sender = UnixDatagram::unbound()?;
    sender.set_nonblocking(true)?;
    sender.connect_addr(&address(socket)?)?;
    sender.send(message.as_bytes()).map(drop)
}

#[cfg(unix)]
fn address(socket: &std::ffi::OsStr) -> std::io::Result<std::os::unix::net::SocketAddr> {
    #[cfg(target_os = "linux")]
    {
        use std::os::{linux::net::SocketAddrExt, unix::ffi::OsStrExt};
        if let Some(name) = socket.as_bytes().strip_prefix(b"@") {
            return std::os::unix::net::SocketAddr::from_abstract_name(name);
        }
    }
    std::os::unix::net::SocketAddr::from_pathname(socket)
}

#[cfg(unix)]
fn monotonic_microseconds() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

#[cfg(not(unix))]
fn send(_: &std::ffi::OsStr, _: &str) -> std::io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn monotonic_microseconds() -> i64 {
    0
}
