//! However an answer's bytes are split, what comes of them is the same.
//!
//! The first byte says how many bytes after it are sizes of pieces; the rest is the body.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((count, rest)) = data.split_first() else {
        return;
    };
    let count = usize::from(count % 8).min(rest.len());
    let (sizes, body) = rest.split_at(count);
    duogate::providers::conversation::fuzzing::answer(body, sizes);
});
