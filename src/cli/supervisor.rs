//! Notifies a supervisor such as systemd about the process's state, by the `sd_notify` protocol. Without
//! `NOTIFY_SOCKET` it does nothing; a failure to send is logged and otherwise ignored.

use std::{cell::Cell, ffi::OsString};

/// The supervisor that started the process, if any.
pub(super) struct Supervisor {
    /// The socket it listens on: a path, or after `@` a name in Linux's abstract namespace.
    socket: Option<OsString>,
    /// The end was reported.
    is_stopping: Cell<bool>,
}

impl Supervisor {
    pub(super) fn of_this_process() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty());
        Self {
            socket,
            is_stopping: Cell::new(false),
        }
    }

    /// Reports that the process is serving, with a status text.
    pub(super) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// Reports that the settings are being reloaded; [`ready`](Self::ready) reports the end.
    pub(super) fn reloading(&self) {
        self.tell(&format!(
            "RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=Reading the settings again",
            monotonic_microseconds()
        ));
    }

    /// Reports that the process is stopping, once.
    pub(super) fn stopping(&self) {
        if !self.is_stopping.replace(true) {
            self.tell("STOPPING=1\nSTATUS=Draining");
        }
    }

    fn tell(&self, message: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = send(socket, message) {
            tracing::debug!(error = %error, "the supervisor cannot be told");
        }
    }
}

/// Connects each time, since the supervisor may have been restarted, and never blocks.
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
