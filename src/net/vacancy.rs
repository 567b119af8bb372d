//! Whether a listener could be bound, found out without one.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use tokio::net::{TcpSocket, lookup_host};

/// Whether `host:port` could be listened on now. Nobody can connect meanwhile, and a listener that is bound at the same
/// time is not disturbed.
///
/// # Errors
/// As when it is bound.
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

/// Binds and does not listen: on Unix two may do that, where nobody listens yet.
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
