//! Request bodies that come encoded (`Content-Encoding`): one coding is undone, within the limit that holds for plain
//! bodies.

use std::io::{self, BufRead, Read};

use axum::body::Bytes;
use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::{Crc, Decompress, FlushDecompress, Status};
use http::{HeaderMap, header};
use memchr::memchr;

use super::apart::{self, GivenUp, Look};
use crate::engine::error::{ChatError, ErrorKind};

/// The codings that are understood, as `Accept-Encoding` names them.
pub(super) const UNDERSTOOD: &str = "gzip, deflate, br, zstd";
/// The binary logarithm of the largest window of zstd, 8 MiB: more needs no client (RFC 9659).
const LARGEST_WINDOW: u32 = 23;
/// So much is decoded between two looks at whether anybody waits for it: milliseconds, even of what is made to take long.
const INPUT_PIECE: usize = 8 * 1024;
const OUTPUT_PIECE: usize = 64 * 1024;

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
        let undoing = apart::run((), None, move |look| self.undo_here(&encoded, limit, look));
        let (decoded, ()) = undoing.await?;
        Ok(decoded.into())
    }

    /// The body behind the coding, as [`Self::undo`] has it, on this thread.
    pub(super) fn undo_here(
        self,
        encoded: &[u8],
        limit: usize,
        look: Look<'_>,
    ) -> Result<Vec<u8>, ChatError> {
        let decoded = self.decode(encoded, limit, look);
        // Of work that is given up nobody reads the failure.
        let decoded = decoded.map_err(|failure| self.broken(&failure))?;
        if decoded.len() > limit {
            return Err(too_large(limit));
        }
        Ok(decoded)
    }

    /// The decoded body, or its first `limit + 1` bytes.
    fn decode(self, encoded: &[u8], limit: usize, look: Look<'_>) -> io::Result<Vec<u8>> {
        let input = Input { rest: encoded, look };
        match self {
            Self::Gzip => read_all(Gunzipping::new(input), limit, look),
            Self::Deflate => read_all(Inflating::new(input), limit, look),
            Self::Brotli => read_all(Unbrotling::new(input), limit, look),
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(input)?;
                decoder.window_log_max(LARGEST_WINDOW)?;
                read_all(decoder, limit, look)
            }
        }
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

fn broken(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Ends a stream, which must be the end of its bytes.
fn end(rest: &[u8]) -> io::Result<()> {
    if rest.is_empty() {
        return Ok(());
    }
    Err(broken("something comes after the stream's end"))
}

/// All that comes, or its first `limit + 1` bytes.
fn read_all(from: impl Read, limit: usize, look: Look<'_>) -> io::Result<Vec<u8>> {
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut from = from.take(most);
    let (mut piece, mut decoded) = (vec![0; OUTPUT_PIECE], Vec::new());
    loop {
        look()?;
        let length = from.read(&mut piece)?;
        if length == 0 {
            return Ok(decoded);
        }
        decoded.extend_from_slice(piece.get(..length).unwrap_or_default());
    }
}

/// An encoded body, given to its decoder in pieces: some codings can go on for long without a byte of output.
struct Input<'a> {
    rest: &'a [u8],
    look: Look<'a>,
}

impl<'a> Input<'a> {
    fn piece(&mut self) -> Result<&'a [u8], GivenUp> {
        (self.look)()?;
        Ok(self.rest.get(..INPUT_PIECE).unwrap_or(self.rest))
    }

    /// Passes over so many bytes of it.
    fn pass(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let (passed, rest) = self.rest.split_at_checked(count).ok_or_else(broke_off)?;
        self.rest = rest;
        Ok(passed)
    }

    fn pass_text(&mut self) -> io::Result<()> {
        let end = memchr(0, self.rest).ok_or_else(broke_off)?;
        self.pass(end + 1).map(|_| ())
    }

    /// Inflates some of it: so much was given, and whether the stream ended with that. flate2's own readers take one that
    /// breaks off for a whole one.
    fn inflate(&mut self, inflate: &mut Decompress, given: &mut [u8]) -> io::Result<(usize, bool)> {
        loop {
            let piece = self.piece()?;
            let (taken, made) = (inflate.total_in(), inflate.total_out());
            let status = inflate.decompress(piece, given, FlushDecompress::None)?;
            let taken = advanced(taken, inflate.total_in());
            let made = advanced(made, inflate.total_out());
            self.pass(taken)?;
            match status {
                Status::StreamEnd => return Ok((made, true)),
                Status::Ok | Status::BufError if made > 0 => return Ok((made, false)),
                Status::Ok | Status::BufError if taken == 0 => return Err(broke_off()),
                Status::Ok | Status::BufError => {}
            }
        }
    }
}

impl Read for Input<'_> {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(piece)?;
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Input<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.piece()?)
    }

    fn consume(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }
}

/// A gzip stream that is read, member by member. All are inflated by one state: flate2's own reader makes another for each,
/// of tens of kilobytes, and a member may have 20 bytes.
struct Gunzipping<'a> {
    input: Input<'a>,
    inflate: Decompress,
    /// What the member that is under way has come to so far.
    sum: Option<Crc>,
    begun: bool,
}

impl<'a> Gunzipping<'a> {
    fn new(input: Input<'a>) -> Self {
        Self {
            input,
            inflate: Decompress::new(false),
            sum: None,
            begun: false,
        }
    }

    /// Passes over a member's head.
    fn begin(&mut self) -> io::Result<()> {
        const HEAD: usize = 10;
        const CHECKED: u8 = 2;
        const EXTRA: u8 = 4;
        const NAMED: u8 = 8;
        const COMMENTED: u8 = 16;
        const RESERVED: u8 = 0xe0;
        let whole = self.input.rest;
        let &[0x1f, 0x8b, 8, flags, ..] = self.input.pass(HEAD)? else {
            return Err(broken("no member of gzip begins so"));
        };
        if flags & RESERVED != 0 {
            return Err(broken("a reserved flag is set"));
        }
        if flags & EXTRA != 0 {
            let length = self.input.pass(2)?.iter().rev();
            let length = length.fold(0, |length, byte| length << 8 | usize::from(*byte));
            self.input.pass(length)?;
        }
        for text in [NAMED, COMMENTED] {
            if flags & text != 0 {
                self.input.pass_text()?;
            }
        }
        if flags & CHECKED != 0 {
            let mut sum = Crc::new();
            let length = whole.len() - self.input.rest.len();
            sum.update(whole.get(..length).unwrap_or_default());
            let [low, high, ..] = sum.sum().to_le_bytes();
            if self.input.pass(2)? != [low, high] {
                return Err(broken("a head's sum is wrong"));
            }
        }
        if self.begun {
            self.inflate.reset(false);
        }
        self.begun = true;
        self.sum = Some(Crc::new());
        Ok(())
    }

    /// Passes over a member's tail, which tells what it should have come to.
    fn conclude(&mut self, sum: &Crc) -> io::Result<()> {
        let told = [sum.sum().to_le_bytes(), sum.amount().to_le_bytes()].concat();
        if self.input.pass(told.len())? != told {
            return Err(broken("a member's sum is wrong"));
        }
        Ok(())
    }
}

impl Read for Gunzipping<'_> {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        if piece.is_empty() {
            return Ok(0);
        }
        loop {
            let Some(mut sum) = self.sum.take() else {
                if self.begun && self.input.rest.is_empty() {
                    return Ok(0);
                }
                self.begin()?;
                continue;
            };
            let (given, ended) = self.input.inflate(&mut self.inflate, piece)?;
            sum.update(piece.get(..given).unwrap_or_default());
            if ended {
                self.conclude(&sum)?;
            } else {
                self.sum = Some(sum);
            }
            if given > 0 {
                return Ok(given);
            }
        }
    }
}

/// A deflate stream that is read.
struct Inflating<'a> {
    input: Input<'a>,
    inflate: Decompress,
    ended: bool,
}

impl<'a> Inflating<'a> {
    fn new(input: Input<'a>) -> Self {
        Self {
            inflate: Decompress::new(has_zlib_head(input.rest)),
            input,
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
        let (given, ended) = self.input.inflate(&mut self.inflate, piece)?;
        self.ended = ended;
        if ended {
            end(self.input.rest)?;
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
    input: Input<'a>,
    state: Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>,
    ended: bool,
}

impl<'a> Unbrotling<'a> {
    fn new(input: Input<'a>) -> Self {
        let memory = StandardAlloc::default;
        Self {
            input,
            state: Box::new(BrotliState::new_strict(memory(), memory(), memory())),
            ended: false,
        }
    }
}

impl Read for Unbrotling<'_> {
    fn read(&mut self, given: &mut [u8]) -> io::Result<usize> {
        if self.ended || given.is_empty() {
            return Ok(0);
        }
        loop {
            let piece = self.input.piece()?;
            let (mut left, mut room) = (piece.len(), given.len());
            let (mut taken, mut made, mut total) = (0, 0, 0);
            let result = BrotliDecompressStream(
                &mut left,
                &mut taken,
                piece,
                &mut room,
                &mut made,
                given,
                &mut total,
                &mut self.state,
            );
            self.input.pass(taken)?;
            match result {
                BrotliResult::ResultSuccess => {
                    self.ended = true;
                    end(self.input.rest)?;
                    return Ok(made);
                }
                BrotliResult::ResultFailure => return Err(broken("the stream is broken")),
                BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput if made > 0 => return Ok(made),
                BrotliResult::NeedsMoreInput if self.input.rest.is_empty() => return Err(broke_off()),
                BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
            }
        }
    }
}

#[cfg(test)]
#[path = "coding_tests.rs"]
mod tests;
