//! No message of a chat's call over gRPC breaks the door; what is refused is told as the client's mistake.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| duogate::grpc::fuzzing::chat(data));
