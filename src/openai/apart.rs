//! Work on a request that takes long: on a thread that nobody waits for, up to the request's deadline, and given up soon
//! once nobody waits for its outcome.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::time::{Instant, timeout_at};

use crate::engine::{
    deadline_exceeded,
    error::{ChatError, ErrorKind},
};

/// How work asks whether to go on. It asks before every step whose cost has a bound.
pub(super) type Look<'a> = &'a dyn Fn() -> Result<(), GivenUp>;

/// Nobody waits for the work any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GivenUp;

impl From<GivenUp> for io::Error {
    fn from(_: GivenUp) -> Self {
        Self::other("nobody waits for it any more")
    }
}

/// Says that the work is unwanted, once whoever waited for it is gone.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `work`, which holds `held` until it has really ended: longer than this call, where the deadline passes first or the
/// request is dropped.
///
/// # Errors
/// The work's own, and `deadline_exceeded` at the deadline.
pub(super) async fn run<T, H>(
    held: H,
    deadline: Option<Instant>,
    work: impl FnOnce(Look<'_>) -> Result<T, ChatError> + Send + 'static,
) -> Result<(T, H), ChatError>
where
    T: Send + 'static,
    H: Send + 'static,
{
    let unwanted = Arc::new(AtomicBool::new(false));
    let _waiting = Waiting(Arc::clone(&unwanted));
    let working = tokio::task::spawn_blocking(move || {
        let look = || match unwanted.load(Ordering::Relaxed) {
            true => Err(GivenUp),
            false => Ok(()),
        };
        work(&look).map(|done| (done, held))
    });
    let ended = match deadline {
        Some(deadline) => timeout_at(deadline, working)
            .await
            .map_err(|_| deadline_exceeded())?,
        None => working.await,
    };
    ended.unwrap_or_else(|failure| {
        let message = "The gateway failed at reading the request's body.";
        Err(ChatError::new(ErrorKind::Internal, message).with_detail(failure.to_string()))
    })
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc::{Receiver, Sender, channel},
        time::Duration,
    };

    use tokio::sync::oneshot;

    use super::*;

    /// Work that tells when it has begun, waits for leave to go on, and then tells what its look gave.
    struct Bench {
        began: oneshot::Receiver<()>,
        go_on: Sender<()>,
        looked: Receiver<Result<(), GivenUp>>,
        /// Ends when what the work holds is dropped.
        held: oneshot::Receiver<()>,
    }

    /// Such work, and the call that runs it.
    fn bench(deadline: Option<Instant>) -> (Bench, impl Future<Output = Result<(), ChatError>>) {
        let (begin, began) = oneshot::channel();
        let (go_on, waits) = channel::<()>();
        let (told, looked) = channel();
        let (holding, held) = oneshot::channel::<()>();
        let running = run(holding, deadline, move |look| {
            begin.send(()).unwrap();
            waits.recv().unwrap();
            told.send(look()).unwrap();
            Ok(())
        });
        let bench = Bench {
            began,
            go_on,
            looked,
            held,
        };
        (bench, async { running.await.map(|_| ()) })
    }

    #[tokio::test]
    async fn what_is_held_comes_back_with_the_outcome() {
        let ((), held) = run(7, None, |look| {
            look().unwrap();
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(held, 7);
    }

    #[tokio::test]
    async fn a_request_that_is_dropped_holds_on_until_its_work_has_ended() {
        let (mut bench, running) = bench(None);
        let mut running = Box::pin(running);
        tokio::select! {
            _ = &mut running => unreachable!("it waits for leave"),
            began = &mut bench.began => began.unwrap(),
        }
        drop(running);
        assert!(
            bench
                .held
                .try_recv()
                .is_err_and(|left| left == oneshot::error::TryRecvError::Empty)
        );
        bench.go_on.send(()).unwrap();
        assert!(bench.held.await.is_err(), "it is dropped, once the work is over");
        assert_eq!(bench.looked.recv().unwrap(), Err(GivenUp));
    }

    #[tokio::test]
    async fn the_deadline_is_told_while_the_work_goes_on() {
        let deadline = Instant::now() + Duration::from_millis(1);
        let (mut bench, running) = bench(Some(deadline));
        let failure = running.await.unwrap_err();
        assert_eq!(failure.kind(), ErrorKind::DeadlineExceeded);
        assert!(
            bench
                .held
                .try_recv()
                .is_err_and(|left| left == oneshot::error::TryRecvError::Empty)
        );
        bench.go_on.send(()).unwrap();
        assert!(bench.held.await.is_err());
        assert_eq!(bench.looked.recv().unwrap(), Err(GivenUp));
    }

    #[tokio::test]
    async fn work_that_fails_or_breaks_holds_nothing() {
        for breaks in [false, true] {
            let (holding, held) = oneshot::channel::<()>();
            let failure = run(holding, None, move |_| -> Result<(), ChatError> {
                assert!(!breaks, "a mistake");
                Err(ChatError::invalid("a", "b"))
            });
            let kind = failure.await.unwrap_err().kind();
            let expected = if breaks {
                ErrorKind::Internal
            } else {
                ErrorKind::InvalidRequest
            };
            assert_eq!(kind, expected);
            assert!(held.await.is_err());
        }
    }
}
