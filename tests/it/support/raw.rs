//! gRPC calls without a client library, for what a well-behaved client never sends.

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::HeaderMap;
use http_body::Body as _;
use http_body_util::BodyExt;
use tonic::Status;

use super::{Gateway, KEY};

/// The response of a call.
#[derive(Debug)]
pub(crate) struct RawAnswer {
    pub(crate) status: Status,
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A message in gRPC's framing, uncompressed.
pub(crate) fn frame(message: &[u8]) -> Vec<u8> {
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    framed.extend_from_slice(message);
    framed
}

/// Posts `body` to a method with a valid key, and reads the response to its end.
pub(crate) async fn raw_call(
    gateway: &Gateway,
    path: &str,
    headers: &[(&'static str, &str)],
    body: impl Into<reqwest::Body>,
) -> RawAnswer {
    let mut request = gateway
        .raw
        .post(gateway.grpc_url(path))
        .bearer_auth(KEY)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.body(body).send().await.unwrap();
    assert_eq!(response.status(), 200, "gRPC tells failures in its own status");
    let (parts, body) = http::Response::<reqwest::Body>::from(response).into_parts();
    // Clients accept a status in the head only if the head also ends the stream.
    let is_told = parts.headers.contains_key("grpc-status");
    assert!(
        !is_told || body.is_end_stream(),
        "more comes after the status: {parts:?}"
    );
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let status = Status::from_header_map(&parts.headers).or_else(|| Status::from_header_map(&trailers));
    RawAnswer {
        status: status.expect("a gRPC status"),
        headers: parts.headers,
        trailers,
        body: collected.to_bytes(),
    }
}

/// A body that never ends after its beginning.
pub(crate) fn unfinished(beginning: Vec<u8>) -> reqwest::Body {
    let beginning = stream::iter([Ok::<_, std::io::Error>(Bytes::from(beginning))]);
    reqwest::Body::wrap_stream(beginning.chain(stream::pending()))
}
