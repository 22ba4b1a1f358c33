//! Compiles `proto/` into Rust types and keeps the descriptors (with comments) for the codecs and `explain`.

use std::path::Path;

use prost::Message as _;

/// The files whose messages become types of this crate; the services are compiled by `rpc`.
const FILES: [&str; 11] = [
    "kapelle/options/v1/options.proto",
    "kapelle/meta/v1/meta.proto",
    "kapelle/core/v1/core.proto",
    "kapelle/apps/v1/apps.proto",
    "kapelle/discovery/v1/discovery.proto",
    "kapelle/coordination/v1/coordination.proto",
    "kapelle/events/v1/events.proto",
    "kapelle/autoscaling/v1/autoscaling.proto",
    "kapelle/rbac/v1/rbac.proto",
    "kapelle/storagemigration/v1/storagemigration.proto",
    "kapelle/api/v1/object.proto",
];

/// Fields that few objects have and that are large: in a box they take a word where they are absent. A node keeps thousands
/// of Pods. A message stands for all of its fields.
const BOXED: [&str; 10] = [
    ".kapelle.api.v1.Object",
    ".kapelle.core.v1.Container.lifecycle",
    ".kapelle.core.v1.Container.liveness_probe",
    ".kapelle.core.v1.Container.readiness_probe",
    ".kapelle.core.v1.Container.security_context",
    ".kapelle.core.v1.Container.startup_probe",
    ".kapelle.core.v1.ContainerStatus.last_state",
    ".kapelle.core.v1.ContainerStatus.state",
    ".kapelle.core.v1.EnvVar.value_from",
    ".kapelle.core.v1.VolumeSource",
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
    let mut config = prost_build::Config::new();
    config.bytes(["."]).btree_map(["."]).include_file("pb.rs");
    BOXED.into_iter().for_each(|field| _ = config.boxed(field));
    config.compile_fds(prost_types_set(&descriptors.encode_to_vec())?)?;
    Ok(())
}

/// Decodes the set again into the version of the descriptor types that the code generator links.
fn prost_types_set(bytes: &[u8]) -> Result<prost_types::FileDescriptorSet, prost::DecodeError> {
    prost::Message::decode(bytes)
}
