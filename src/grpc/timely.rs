//! Messages that trickle in: a call's message must be here in time.

use axum::body::Body;
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use tokio::time::{Instant, timeout_at};

use super::error;
use crate::{
    engine::error::{ChatError, ErrorKind},
    telemetry::CallRecord,
};

/// A body that must have ended `by` then; otherwise it fails with the status that the call is to end with.
pub(super) fn timely(body: Body, by: Instant, record: CallRecord) -> Body {
    let frames = stream::unfold(Some((body, record)), move |state| async move {
        let (mut body, record) = state?;
        match timeout_at(by, body.frame()).await {
            Ok(frame) => Some((frame?.map_err(axum::BoxError::from), Some((body, record)))),
            Err(_) => {
                let message = "The call's message did not arrive in time.";
                let failure = ChatError::new(ErrorKind::RequestTimeout, message);
                Some((Err(error::status(&failure, &record).into()), None))
            }
        }
    });
    Body::new(StreamBody::new(frames))
}
