//! The limit on open files and sockets.

use std::io;

/// Raises the soft limit on file descriptors to the hard limit, and returns it. Each client connection and each
/// upstream call takes one descriptor.
///
/// # Errors
/// When the limit cannot be read or raised; it is then unchanged.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    rlimit::increase_nofile_limit(u64::MAX)
}
