//! What the program is told from outside while it runs: to end, and to read its settings again.

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::app::Stop;

/// The first Ctrl-C or SIGTERM asks for the soft stop, the second for the hard one. Signals are watched from this call
/// on, so make it before telling anybody that the program runs. The watch ends with the token that comes along.
pub(super) fn stop_on_signals() -> (Stop, CancellationToken) {
    let (stop, over) = (Stop::default(), CancellationToken::new());
    let (watched, watch_over) = (stop.clone(), over.clone());
    let mut signals = Endings::watch();
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
use unix::Endings;
#[cfg(unix)]
pub(super) use unix::Hangups;

#[cfg(unix)]
mod unix {
    use tokio::signal::unix::{Signal, SignalKind, signal};

    /// A signal, or none where it cannot be watched.
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
    pub(super) struct Endings([Watched; 2]);

    impl Endings {
        pub(super) fn watch() -> Self {
            Self([SignalKind::interrupt(), SignalKind::terminate()].map(Watched::new))
        }

        pub(super) async fn next(&mut self) {
            let Self([interrupt, terminate]) = self;
            tokio::select! {
                () = interrupt.next() => {}
                () = terminate.next() => {}
            }
        }
    }

    /// The signal that asks the program to read its settings again.
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

/// Ctrl-C, the one thing that asks the program to end here.
#[cfg(not(unix))]
struct Endings;

#[cfg(not(unix))]
impl Endings {
    fn watch() -> Self {
        Self
    }

    async fn next(&mut self) {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::warn!(error = %error, "Ctrl-C cannot be watched");
            std::future::pending::<()>().await;
        }
    }
}

/// There is no such signal here.
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
