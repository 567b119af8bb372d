//! Checks whether an address can be bound, without listening on it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use tokio::net::{TcpSocket, lookup_host};

/// Checks whether `host:port` could be listened on now. No client can connect during the check, and a listener that
/// binds the same port meanwhile is not disturbed.
///
/// # Errors
/// The error that binding the listener would give.
pub async fn look(host: &str, port: u16) -> io::Result<()> {
    let addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(ip) => vec![(ip, port).into()],
        Err(_) => lookup_host((host, port)).await?.collect(),
    };
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match try_bind(address) {
            Ok(()) => return Ok(()),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Binds without listening: on Unix two sockets may share a port as long as none of them listens.
fn try_bind(address: SocketAddr) -> io::Result<()> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)
}
