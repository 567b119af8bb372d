//! Signals to the process: stop, and reload the settings.

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::app::Stop;

/// The signals that a server heeds. They are watched from the making of this on, and one that comes before it is asked
/// for is kept, in whatever runtime that is: make it before anything that may take a while.
pub(super) struct Signals {
    pub(super) endings: Endings,
    pub(super) hangups: Hangups,
}

impl Signals {
    /// Works within a runtime.
    pub(super) fn watch() -> Self {
        Self {
            endings: Endings::watch(),
            hangups: Hangups::watch(),
        }
    }
}

#[cfg(feature = "sim")]
/// As [`stop_on`], with the signals from this call on. Make it before telling anybody that the program runs.
pub(super) fn stop_on_signals() -> (Stop, CancellationToken) {
    stop_on(Endings::watch())
}

/// The first Ctrl-C or SIGTERM asks for the soft stop, the second for the hard one. The watch ends with the token that
/// comes along.
pub(super) fn stop_on(mut signals: Endings) -> (Stop, CancellationToken) {
    let (stop, over) = (Stop::default(), CancellationToken::new());
    let (watched, watch_over) = (stop.clone(), over.clone());
    TaskTracker::new().spawn(async move {
        for asked_for in [&watched.soft, &watched.hard] {
            tokio::select! {
                () = signals.next() => asked_for.cancel(),
                () = watch_over.cancelled() => return,
            }
        }
    });
    (stop, over)
}

#[cfg(unix)]
pub(super) use unix::{Endings, Hangups};

#[cfg(unix)]
mod unix {
    use tokio::signal::unix::{Signal, SignalKind, signal};

    /// A signal; `None` if it cannot be handled, and then it never arrives.
    struct Watched(Option<Signal>);

    impl Watched {
        fn new(kind: SignalKind) -> Self {
            let watched = signal(kind);
            Self(
                watched
                    .inspect_err(|error| tracing::warn!(error = %error, "a signal cannot be watched"))
                    .ok(),
            )
        }

        async fn next(&mut self) {
            let heard = match &mut self.0 {
                Some(signal) => signal.recv().await,
                None => None,
            };
            if heard.is_none() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The signals that ask the program to end.
    pub(in crate::cli) struct Endings([Watched; 2]);

    impl Endings {
        pub(in crate::cli) fn watch() -> Self {
            Self([SignalKind::interrupt(), SignalKind::terminate()].map(Watched::new))
        }

        pub(in crate::cli) async fn next(&mut self) {
            let Self([interrupt, terminate]) = self;
            tokio::select! {
                () = interrupt.next() => {}
                () = terminate.next() => {}
            }
        }
    }

    /// SIGHUP, which reloads the settings.
    pub(in crate::cli) struct Hangups(Watched);

    impl Hangups {
        pub(in crate::cli) fn watch() -> Self {
            Self(Watched::new(SignalKind::hangup()))
        }

        pub(in crate::cli) async fn next(&mut self) {
            self.0.next().await;
        }
    }
}

/// Ctrl-C, the only stop signal on this platform.
#[cfg(not(unix))]
pub(super) struct Endings;

#[cfg(not(unix))]
impl Endings {
    pub(super) fn watch() -> Self {
        Self
    }

    pub(super) async fn next(&mut self) {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::warn!(error = %error, "Ctrl-C cannot be watched");
            std::future::pending::<()>().await;
        }
    }
}

/// This platform has no such signal.
#[cfg(not(unix))]
pub(super) struct Hangups;

#[cfg(not(unix))]
impl Hangups {
    pub(super) fn watch() -> Self {
        Self
    }

    pub(super) async fn next(&mut self) {
        std::future::pending().await
    }
}
