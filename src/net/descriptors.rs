//! How many files and sockets the process may have open.

use std::io;

/// Raises the soft limit on descriptors to the hard one, and tells what it is then. Each client and each call to the
/// upstream holds one.
///
/// # Errors
/// When the limit cannot be read or raised; it is what it was.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    rlimit::increase_nofile_limit(u64::MAX)
}
