//! Compiles `proto/` with a compiler written in Rust, so that a build needs no `protoc`: the generated
//! code for the services, and the descriptor sets that reflection serves.

use std::{env, error::Error, fs, path::PathBuf};

/// What is always there.
const CHAT: &[&str] = &["duogate/v1/chat_service.proto"];
/// What is there only for operators.
const DIAGNOSTICS: &[&str] = &["duogate/v1/diagnostics.proto"];
/// gRPC's own health service, as it is published: not part of our contract.
const HEALTH: &[&str] = &["grpc/health/v1/health.proto"];
const OURS: &str = "proto";
const PUBLISHED: &str = "src/grpc/proto";

fn main() -> Result<(), Box<dyn Error>> {
    for directory in [OURS, PUBLISHED] {
        println!("cargo:rerun-if-changed={directory}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR for build scripts")?);
    let chat = compiled(OURS, CHAT)?.encode_file_descriptor_set();
    fs::write(out.join("duogate_descriptor.bin"), chat)?;
    let diagnostics = compiled(OURS, DIAGNOSTICS)?.encode_file_descriptor_set();
    fs::write(out.join("duogate_diagnostics_descriptor.bin"), diagnostics)?;
    let all = compiled(OURS, &[CHAT, DIAGNOSTICS].concat())?;
    tonic_prost_build::configure()
        // It holds a token, and gets a `Debug` that does not show it.
        .skip_debug(["duogate.v1.AddTokenRequest"])
        .compile_fds(all.file_descriptor_set())?;
    let health = compiled(PUBLISHED, HEALTH)?;
    fs::write(
        out.join("health_descriptor.bin"),
        health.encode_file_descriptor_set(),
    )?;
    tonic_prost_build::configure()
        .build_client(false)
        .compile_fds(health.file_descriptor_set())?;
    Ok(())
}

fn compiled(root: &str, files: &[&str]) -> Result<protox::Compiler, protox::Error> {
    let mut compiler = protox::Compiler::new([root])?;
    // Reflection must answer for imported files too, and shows the comments to whoever explores.
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(files)?;
    Ok(compiler)
}
