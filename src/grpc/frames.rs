//! What surrounds messages on the wire: how they are compressed, and what their trailers say.

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use http_body_util::BodyExt;
use tonic::codec::CompressionEncoding;

use crate::telemetry::CallRecord;

/// What messages may be compressed with, both ways.
pub(super) const ENCODINGS: [CompressionEncoding; 2] = [CompressionEncoding::Gzip, CompressionEncoding::Zstd];

const ENCODING: &str = "grpc-encoding";
pub(super) const ACCEPT_ENCODING: &str = "grpc-accept-encoding";
const REQUEST_ID: &str = "x-request-id";

/// Settles how the answer is compressed: as the call was; otherwise with the first encoding that the client names and
/// the gateway knows. Clients that would rather not have it compressed name `identity` first.
pub(super) fn agree_on_encoding(headers: &mut HeaderMap) {
    let known = |name: &str| matches!(name, "gzip" | "zstd" | "identity");
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let asked = text(ENCODING)
        .map(str::trim)
        .filter(|name| known(name) && *name != "identity");
    let accepted = text(ACCEPT_ENCODING).unwrap_or_default();
    let first = accepted.split(',').map(str::trim).find(|name| known(name));
    match asked.or(first).map(HeaderValue::from_str) {
        Some(Ok(chosen)) => drop(headers.insert(ACCEPT_ENCODING, chosen)),
        Some(Err(_)) | None => drop(headers.remove(ACCEPT_ENCODING)),
    }
}

/// Puts the request's id into the trailers, for clients that keep only those. A status that came alone is head and
/// trailers at once, and has the id already.
pub(super) fn with_id_in_trailers(response: Response, record: CallRecord) -> Response {
    response.map(|body| {
        Body::new(body.map_frame(move |frame| match frame.into_trailers() {
            Ok(mut trailers) => {
                if let Ok(id) = HeaderValue::from_str(record.request_id()) {
                    trailers.insert(REQUEST_ID, id);
                }
                Frame::trailers(trailers)
            }
            Err(frame) => frame,
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_compressed_as_its_call_or_as_the_client_likes_best() {
        for (asked, accepted, chosen) in [
            (None, None, None),
            (None, Some("gzip"), Some("gzip")),
            (None, Some("deflate, zstd,gzip"), Some("zstd")),
            (None, Some("identity, deflate, gzip"), Some("identity")),
            (None, Some("snappy"), None),
            (Some("gzip"), Some("identity, deflate, gzip"), Some("gzip")),
            (Some("identity"), Some("gzip"), Some("gzip")),
            (Some("snappy"), Some("gzip"), Some("gzip")),
            (Some("zstd"), None, Some("zstd")),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [(ENCODING, asked), (ACCEPT_ENCODING, accepted)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            agree_on_encoding(&mut headers);
            let left = headers.get(ACCEPT_ENCODING).map(|value| value.to_str().unwrap());
            assert_eq!(left, chosen, "{asked:?} {accepted:?}");
        }
    }
}
