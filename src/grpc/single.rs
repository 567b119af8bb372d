//! Calls that take one message: a second one is an error, and so is none.

use axum::{BoxError, body::Body};
use futures::stream;
use http_body_util::{BodyExt, StreamBody};

use super::error;
use crate::{
    engine::error::{ChatError, ErrorKind},
    telemetry::{CallRecord, Outcome, OutcomeClass},
};

/// The head of a message: whether it is compressed, and its length in four bytes.
const HEAD: usize = 5;

/// How far a body is in its first message.
#[derive(Debug, Default)]
struct First {
    head: Vec<u8>,
    /// What is still to come of the message, once its head is here.
    left: Option<usize>,
}

impl First {
    /// Whether it goes on behind its first message.
    fn is_exceeded_by(&mut self, data: &[u8]) -> bool {
        let missing = HEAD.saturating_sub(self.head.len()).min(data.len());
        let (head, rest) = data.split_at(missing);
        self.head.extend_from_slice(head);
        let [_, length @ ..] = self.head.as_slice() else {
            return false;
        };
        let Ok(length) = <[u8; HEAD - 1]>::try_from(length) else {
            return false;
        };
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        let left = self.left.get_or_insert(length);
        let is_beyond = rest.len() > *left;
        *left = left.saturating_sub(rest.len());
        is_beyond
    }
}

/// A body that must hold one message; otherwise it fails with the status that the call is to end with.
pub(super) fn one_message(body: Body, record: CallRecord) -> Body {
    let frames = stream::unfold(Some((body, First::default())), move |state| {
        let record = record.clone();
        async move {
            let (mut body, mut first) = state?;
            match body.frame().await {
                Some(Ok(frame)) => {
                    let is_second = frame.data_ref().is_some_and(|data| first.is_exceeded_by(data));
                    if is_second {
                        let message = "The call has more than one message, and its method takes one.";
                        return Some((Err(broken(message, &record)), None));
                    }
                    Some((Ok(frame), Some((body, first))))
                }
                Some(Err(error)) => Some((Err(error.into()), None)),
                None if first.head.is_empty() => {
                    let message = "The call has no message, and its method takes one.";
                    Some((Err(broken(message, &record)), None))
                }
                None => None,
            }
        }
    });
    Body::new(StreamBody::new(frames))
}

/// The status is INTERNAL, as grpc-go and grpc-java answer it; the fault is the caller's all the same.
fn broken(message: &str, record: &CallRecord) -> BoxError {
    record.conclude(Outcome {
        name: ErrorKind::InvalidRequest.name(),
        class: OutcomeClass::CallersFault,
    });
    tracing::debug!(error.detail = message, "a call was malformed");
    error::render(&ChatError::new(ErrorKind::Internal, message), record).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_behind_the_first_message_is_seen_however_it_comes() {
        let message = [&[0, 0, 0, 0, 3], b"abc".as_slice()].concat();
        let twice = message.repeat(2);
        for pieces in 1..=twice.len() {
            let mut first = First::default();
            let seen: Vec<bool> = twice
                .chunks(pieces)
                .map(|piece| first.is_exceeded_by(piece))
                .collect();
            let until = message.len() / pieces;
            assert_eq!(seen.iter().position(|seen| *seen), Some(until), "{pieces}");
        }
        assert!(!First::default().is_exceeded_by(&message));
        let mut empty = First::default();
        assert!(!empty.is_exceeded_by(&[0; HEAD]));
        assert!(empty.is_exceeded_by(&[0]), "an empty message is one too");
    }
}
