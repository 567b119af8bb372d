//! What the fuzz targets reach: the message of a chat's call.

use prost::Message;

use super::{convert, error, proto::CreateChatCompletionRequest};
use crate::telemetry::{CallRecord, Door};

/// Reads a call's message as the door does, up to the engine or to the status that its client would see.
///
/// # Panics
/// When what passes is no request, or what fails is not told as the client's mistake.
pub fn chat(bytes: &[u8]) {
    let Ok(wire) = CreateChatCompletionRequest::decode(bytes) else {
        return;
    };
    match convert::read(wire) {
        Ok(request) => assert!(request.check().is_ok()),
        Err(failure) => {
            assert!(failure.kind().is_callers(), "{failure:?}");
            let record = CallRecord::new(Door::Grpc, "fuzz".to_owned());
            let status = error::render(&failure, &record).into_http::<axum::body::Body>();
            assert!(status.headers().contains_key("grpc-status"));
        }
    }
}
