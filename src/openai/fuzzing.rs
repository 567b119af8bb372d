//! What the fuzz targets reach: the body of a chat's request.

use super::{
    Unsupported, body, error,
    fields::CHAT,
    request::{self, Reading},
};
use crate::engine::provider::Capabilities;

/// Reads a request as the door does, up to the engine or to the error that its client would see.
///
/// # Panics
/// When what passes is no request, or what fails is not told as the client's mistake.
pub fn chat(bytes: &[u8]) {
    let capabilities = Capabilities::default();
    for unsupported in [Unsupported::Refuse, Unsupported::LeaveOut] {
        let reading = Reading::new(&capabilities, unsupported);
        let read = body::parse(bytes, CHAT, &|| Ok(())).and_then(|body| request::read(body, reading));
        match read {
            Ok(asked) => assert!(asked.request.check().is_ok()),
            Err(failure) => {
                assert!(failure.kind().is_callers(), "{failure:?}");
                assert!(error::body(&failure)["error"]["message"].is_string());
            }
        }
    }
}
