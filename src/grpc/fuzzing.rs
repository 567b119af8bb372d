//! What the fuzz targets reach: the message of a chat's call.

use prost::Message;

use super::{
    Unsupported, error,
    proto::CreateChatCompletionRequest,
    request::{self, Reading},
};
use crate::{
    engine::provider::Capabilities,
    telemetry::{CallRecord, Door},
};

/// Reads a call's message as the door does, up to the engine or to the status that its client would see.
///
/// # Panics
/// When what passes is no request, or what fails is not told as the client's mistake.
pub fn chat(bytes: &[u8]) {
    let Ok(wire) = CreateChatCompletionRequest::decode(bytes) else {
        return;
    };
    let reading = Reading::new(Capabilities::default(), Unsupported::Refuse);
    match request::read(wire, reading) {
        Ok((request, _)) => assert!(request.check().is_ok()),
        Err(failure) => {
            assert!(failure.kind().is_callers(), "{failure:?}");
            let record = CallRecord::new(Door::Grpc, "fuzz".to_owned());
            let status = error::render(&failure, &record).into_http::<axum::body::Body>();
            assert!(status.headers().contains_key("grpc-status"));
        }
    }
}
