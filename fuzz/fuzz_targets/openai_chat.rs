//! No body of a chat's request over HTTP breaks the door; what is refused is told as the client's mistake.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| duogate::openai::fuzzing::chat(data));
