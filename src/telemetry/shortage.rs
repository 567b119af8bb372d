//! Resource shortages of this process or machine. Such an error looks like a failure of the remote side and is not one.

use std::{error::Error, fmt, fs::File, io};

/// The resource that is exhausted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// File descriptors: of the process (EMFILE) or of the machine (ENFILE).
    Descriptors,
    /// Memory (ENOMEM), or buffer space for sending (ENOBUFS).
    Memory,
    /// Local ports for outgoing connections (EADDRNOTAVAIL).
    Ports,
}

impl Shortage {
    /// The shortage that an error number stands for.
    #[must_use]
    pub fn of_io(error: &io::Error) -> Option<Self> {
        match error.raw_os_error()? {
            libc::EMFILE | libc::ENFILE => Some(Self::Descriptors),
            libc::ENOMEM | libc::ENOBUFS => Some(Self::Memory),
            libc::EADDRNOTAVAIL => Some(Self::Ports),
            _ => None,
        }
    }

    /// The shortage behind an error or one of its causes. For a failed name lookup the current state is tested instead:
    /// the resolver does not report that it had no descriptor.
    #[must_use]
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            let io = error.downcast_ref::<io::Error>();
            if let Some(shortage) = io.and_then(Self::of_io) {
                return Some(shortage);
            }
            if io.is_some_and(is_lookup) {
                return Self::now();
            }
            // An I/O error that wraps another one does not return it from `source`.
            cause = match io.and_then(io::Error::get_ref) {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        None
    }

    /// Tests whether a few descriptors are available right now; more than one, since others come and go meanwhile.
    fn now() -> Option<Self> {
        const SOME: usize = 16;
        let opened: io::Result<Vec<File>> = (0..SOME).map(|_| File::open("/dev/null")).collect();
        opened.err().as_ref().and_then(Self::of_io)
    }
}

/// Whether a name lookup failed. The standard library has no error kind for it, only this message.
fn is_lookup(error: &io::Error) -> bool {
    error.raw_os_error().is_none()
        && error
            .to_string()
            .starts_with("failed to lookup address information")
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Descriptors => "no file descriptor is left",
            Self::Memory => "no memory is left",
            Self::Ports => "no local port is left",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A library's error that wraps an I/O error.
    #[derive(Debug)]
    struct Around(io::Error);

    impl fmt::Display for Around {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("around")
        }
    }

    impl Error for Around {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn each_number_is_found_however_deep_it_is() {
        for (number, expected) in [
            (libc::EMFILE, Some(Shortage::Descriptors)),
            (libc::ENFILE, Some(Shortage::Descriptors)),
            (libc::ENOMEM, Some(Shortage::Memory)),
            (libc::ENOBUFS, Some(Shortage::Memory)),
            (libc::EADDRNOTAVAIL, Some(Shortage::Ports)),
            (libc::ECONNREFUSED, None),
            (libc::ECONNRESET, None),
            (libc::ETIMEDOUT, None),
            (libc::EHOSTUNREACH, None),
            (libc::ENETUNREACH, None),
            (libc::EPIPE, None),
        ] {
            let bare = || io::Error::from_raw_os_error(number);
            assert_eq!(Shortage::of(&bare()), expected, "{number}");
            assert_eq!(Shortage::of(&Around(bare())), expected, "{number}");
            let wrapped = io::Error::other(io::Error::other(Around(bare())));
            assert_eq!(Shortage::of(&wrapped), expected, "{number}");
            assert_eq!(Shortage::of(&io::Error::other(bare())), expected, "{number}");
        }
    }

    #[test]
    fn a_name_that_does_not_exist_is_no_want() {
        use std::net::ToSocketAddrs;
        let unknown = ("name.invalid", 80).to_socket_addrs().unwrap_err();
        assert_eq!(Shortage::of(&unknown), None, "{unknown}");
    }
}
