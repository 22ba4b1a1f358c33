//! Compiles `proto/` into Rust types and keeps the descriptors (with comments) for the codecs and `explain`.

use std::path::Path;

use prost::Message as _;

/// The files whose messages become types of this crate; the services are compiled by `rpc`.
const FILES: [&str; 8] = [
    "kapelle/options/v1/options.proto",
    "kapelle/meta/v1/meta.proto",
    "kapelle/core/v1/core.proto",
    "kapelle/apps/v1/apps.proto",
    "kapelle/discovery/v1/discovery.proto",
    "kapelle/coordination/v1/coordination.proto",
    "kapelle/autoscaling/v1/autoscaling.proto",
    "kapelle/api/v1/object.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut compiler = protox::Compiler::new([root])?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES)?;
    let descriptors = compiler.file_descriptor_set();
    let out = std::env::var("OUT_DIR")?;
    // The options of fields are extensions: only the compiler's own encoding keeps them.
    std::fs::write(Path::new(&out).join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    prost_build::Config::new()
        .bytes(["."])
        .btree_map(["."])
        .include_file("pb.rs")
        .compile_fds(prost_types_set(&descriptors.encode_to_vec())?)?;
    Ok(())
}

/// Decodes the set again into the version of the descriptor types that the code generator links.
fn prost_types_set(bytes: &[u8]) -> Result<prost_types::FileDescriptorSet, prost::DecodeError> {
    prost::Message::decode(bytes)
}
