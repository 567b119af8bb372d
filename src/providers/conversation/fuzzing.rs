//! What the fuzz targets reach: an answer's bytes, read in many splits.

use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};

use super::body::Reader;
use crate::engine::{event::Event, provider::UpstreamError};

/// Reads `body` whole, byte by byte, and in pieces of the given `sizes`, over and over.
///
/// # Panics
/// When the split changes what comes of it.
pub fn answer(body: &[u8], sizes: &[u8]) {
    let whole = read([body]);
    assert_eq!(read(body.chunks(1)), whole, "byte by byte");
    let (mut rest, mut pieces) = (body, Vec::new());
    for size in sizes.iter().cycle().take(body.len() * sizes.len()) {
        let (piece, after) = rest.split_at(rest.len().min(usize::from(*size)));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    assert_eq!(read(pieces), whole, "in pieces of {sizes:?}");
}

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Result<Event, UpstreamError>> {
    let pieces: Vec<_> = pieces
        .into_iter()
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    let mut reader = Reader::new(Box::pin(stream::iter(pieces)));
    std::iter::from_fn(|| reader.next().now_or_never().flatten()).collect()
}
