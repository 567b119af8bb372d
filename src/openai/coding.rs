//! Request bodies that come encoded (`Content-Encoding`): one coding is undone, within the limit that holds for plain
//! bodies.

use std::io::{self, Read};

use axum::body::Bytes;
use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::{Decompress, FlushDecompress, Status, bufread::MultiGzDecoder};
use http::{HeaderMap, header};

use crate::engine::error::{ChatError, ErrorKind};

/// The codings that are understood, as `Accept-Encoding` names them.
pub(super) const UNDERSTOOD: &str = "gzip, deflate, br, zstd";
/// The binary logarithm of the largest window of zstd, 8 MiB: more needs no client (RFC 9659).
const LARGEST_WINDOW: u32 = 23;

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`, `x-gzip`: one member or several.
    Gzip,
    /// `deflate`: in zlib's form, or bare as some clients send it.
    Deflate,
    /// `br`.
    Brotli,
    /// `zstd`: one frame or several.
    Zstd,
}

impl Coding {
    /// The coding that a request's headers name; `identity` is none.
    ///
    /// # Errors
    /// `unsupported_media_type` for a coding that is not understood, and for more than one.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, ChatError> {
        let values = headers.get_all(header::CONTENT_ENCODING).into_iter();
        let mut names = values
            // What is no text is no coding's name either.
            .flat_map(|value| value.to_str().unwrap_or("?").split(','))
            .map(str::trim)
            .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity"));
        let (Some(name), more) = (names.next(), names.next()) else {
            return Ok(None);
        };
        let coding = match name.to_ascii_lowercase().as_str() {
            _ if more.is_some() => None,
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "br" => Some(Self::Brotli),
            "zstd" => Some(Self::Zstd),
            _ => None,
        };
        coding.map(Some).ok_or_else(|| {
            let message = format!(
                "Unsupported content encoding. The body may be encoded once, as one of {UNDERSTOOD}, but you specified \
                 another in the Content-Encoding header."
            );
            ChatError::new(ErrorKind::UnsupportedMediaType, message)
                .with_field(header::CONTENT_ENCODING.as_str())
        })
    }

    /// The most bytes that a body of `limit` bytes can have once it is encoded: what cannot be compressed grows a little.
    #[must_use]
    pub fn most_encoded(limit: usize) -> usize {
        limit.saturating_add(limit / 512 + 1024)
    }

    /// The body behind the coding, on a thread that nobody waits for. No more of it is made than `limit` and a byte.
    ///
    /// # Errors
    /// `request_too_large` for a body of more than `limit` bytes, `invalid_request` for one that is broken, breaks off, or
    /// goes on behind its end.
    pub async fn undo(self, encoded: Bytes, limit: usize) -> Result<Bytes, ChatError> {
        let undone = tokio::task::spawn_blocking(move || self.decode(&encoded, limit)).await;
        let decoded = undone.map_err(|failure| {
            let message = "The gateway failed at decoding the request's body.";
            ChatError::new(ErrorKind::Internal, message).with_detail(failure.to_string())
        })?;
        let decoded = decoded.map_err(|failure| self.broken(&failure))?;
        if decoded.len() > limit {
            return Err(too_large(limit));
        }
        Ok(decoded.into())
    }

    /// The decoded body, or its first `limit + 1` bytes.
    fn decode(self, encoded: &[u8], limit: usize) -> io::Result<Vec<u8>> {
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let mut decoded = Vec::new();
        match self {
            Self::Gzip => MultiGzDecoder::new(encoded)
                .take(most)
                .read_to_end(&mut decoded)?,
            Self::Deflate => Inflating::new(encoded).take(most).read_to_end(&mut decoded)?,
            Self::Brotli => Unbrotling::new(encoded).take(most).read_to_end(&mut decoded)?,
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(encoded)?;
                decoder.window_log_max(LARGEST_WINDOW)?;
                decoder.take(most).read_to_end(&mut decoded)?
            }
        };
        Ok(decoded)
    }

    fn broken(self, failure: &io::Error) -> ChatError {
        let what = match self {
            Self::Gzip => "whole gzip stream",
            Self::Deflate => "whole deflate stream",
            Self::Brotli => "whole br stream",
            Self::Zstd => "whole zstd stream with a window of at most 8 MiB",
        };
        let message = format!(
            "We could not decode the body of your request: it is no {what}, as its Content-Encoding header says."
        );
        ChatError::new(ErrorKind::InvalidRequest, message)
            .with_field(header::CONTENT_ENCODING.as_str())
            .with_detail(failure.to_string())
    }
}

/// Says that a body is larger than it may be, as it stands or decoded.
#[must_use]
pub fn too_large(limit: usize) -> ChatError {
    let message = format!("The request's body is larger than the limit of {limit} bytes.");
    ChatError::new(ErrorKind::RequestTooLarge, message)
}

fn broke_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the stream breaks off")
}

/// Ends a stream, which must be the end of its bytes.
fn end(rest: &[u8]) -> io::Result<()> {
    if rest.is_empty() {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        "something comes after the stream's end",
    ))
}

/// A deflate stream that is read. flate2's own readers take one that breaks off for a whole one.
struct Inflating<'a> {
    inflate: Decompress,
    rest: &'a [u8],
    ended: bool,
}

impl<'a> Inflating<'a> {
    fn new(encoded: &'a [u8]) -> Self {
        Self {
            inflate: Decompress::new(has_zlib_head(encoded)),
            rest: encoded,
            ended: false,
        }
    }
}

/// Whether a deflate stream begins as zlib's do. A bare one does not, unless it begins with a stored block and with padding
/// that is not zero, which nobody writes.
fn has_zlib_head(encoded: &[u8]) -> bool {
    matches!(encoded, [method, flags, ..]
        if method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]) % 31 == 0)
}

impl Read for Inflating<'_> {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        if self.ended || piece.is_empty() {
            return Ok(0);
        }
        let (taken, given) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(self.rest, piece, FlushDecompress::None)?;
        self.rest = self
            .rest
            .get(advanced(taken, self.inflate.total_in())..)
            .unwrap_or_default();
        let given = advanced(given, self.inflate.total_out());
        match status {
            Status::StreamEnd => {
                self.ended = true;
                end(self.rest)?;
            }
            Status::Ok | Status::BufError if given == 0 => return Err(broke_off()),
            Status::Ok | Status::BufError => {}
        }
        Ok(given)
    }
}

/// How far a count went, which is no farther than a slice is long.
fn advanced(from: u64, to: u64) -> usize {
    usize::try_from(to - from).unwrap_or(usize::MAX)
}

/// A brotli stream that is read. The library's own reader does not say where the stream ended.
struct Unbrotling<'a> {
    state: Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>,
    rest: &'a [u8],
    ended: bool,
}

impl<'a> Unbrotling<'a> {
    fn new(encoded: &'a [u8]) -> Self {
        let memory = StandardAlloc::default;
        Self {
            state: Box::new(BrotliState::new_strict(memory(), memory(), memory())),
            rest: encoded,
            ended: false,
        }
    }
}

impl Read for Unbrotling<'_> {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        if self.ended || piece.is_empty() {
            return Ok(0);
        }
        let (mut left, mut room) = (self.rest.len(), piece.len());
        let (mut taken, mut given, mut total) = (0, 0, 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut taken,
            self.rest,
            &mut room,
            &mut given,
            piece,
            &mut total,
            &mut self.state,
        );
        self.rest = self.rest.get(taken..).unwrap_or_default();
        match result {
            BrotliResult::ResultSuccess => {
                self.ended = true;
                end(self.rest)?;
            }
            BrotliResult::NeedsMoreInput if given == 0 => return Err(broke_off()),
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
            BrotliResult::ResultFailure => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the stream is broken"));
            }
        }
        Ok(given)
    }
}

#[cfg(test)]
#[path = "coding_tests.rs"]
mod tests;
