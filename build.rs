//! Compiles `proto/` with a compiler written in Rust, so that a build needs no `protoc`: the generated
//! code for the services, and the descriptor set that reflection serves.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    // Reflection must answer for imported files too, and shows the comments to whoever explores.
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(["duogate/v1/chat.proto"])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR for build scripts")?);
    fs::write(
        out.join("duogate_descriptor.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    tonic_prost_build::configure().compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
