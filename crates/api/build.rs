//! Compiles `proto/` into Rust types and keeps the descriptors (with comments) for the codecs and `explain`.

use std::path::Path;

use prost::Message as _;

/// The files whose messages become types of this crate; the services are compiled by `rpc`.
const FILES: [&str; 21] = [
    "kapelle/options/v1/options.proto",
    "kapelle/meta/v1/meta.proto",
    "kapelle/core/v1/core.proto",
    "kapelle/apps/v1/apps.proto",
    "kapelle/discovery/v1/discovery.proto",
    "kapelle/coordination/v1/coordination.proto",
    "kapelle/events/v1/events.proto",
    "kapelle/autoscaling/v1/autoscaling.proto",
    "kapelle/policy/v1/policy.proto",
    "kapelle/rbac/v1/rbac.proto",
    "kapelle/authentication/v1/authentication.proto",
    "kapelle/authorization/v1/authorization.proto",
    "kapelle/certificates/v1/certificates.proto",
    "kapelle/storagemigration/v1/storagemigration.proto",
    "kapelle/admissionregistration/v1/admissionregistration.proto",
    "kapelle/apiextensions/v1/apiextensions.proto",
    "kapelle/apiregistration/v1/apiregistration.proto",
    "kapelle/flowcontrol/v1/flowcontrol.proto",
    "kapelle/identity/v1/identity.proto",
    "kapelle/scheduling/v1/scheduling.proto",
    "kapelle/api/v1/object.proto",
];

/// Fields that few objects have and that are large: in a box they take a word where they are absent. A node keeps thousands
/// of Pods. A message stands for all of its fields.
const BOXED: [&str; 11] = [
    ".kapelle.api.v1.Object",
    ".kapelle.core.v1.Container.lifecycle",
    ".kapelle.core.v1.Container.liveness_probe",
    ".kapelle.core.v1.Container.readiness_probe",
    ".kapelle.core.v1.Container.security_context",
    ".kapelle.core.v1.Container.startup_probe",
    ".kapelle.core.v1.ContainerStatus.last_state",
    ".kapelle.core.v1.ContainerStatus.state",
    ".kapelle.core.v1.EnvVar.value_from",
    ".kapelle.core.v1.VolumeProjection",
    ".kapelle.core.v1.VolumeSource",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut compiler = protox::Compiler::new([root])?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES)?;
    let descriptors = compiler.file_descriptor_set();
    let out = std::env::var("OUT_DIR")?;
    std::fs::write(Path::new(&out).join("descriptors.bin"), commented(compiler)?)?;
    let mut config = prost_build::Config::new();
    config.bytes(["."]).btree_map(["."]).include_file("pb.rs");
    // It carries what no message says: which kind it is of.
    config.extern_path(".kapelle.apiextensions.v1.CustomObject", "crate::object::CustomObject");
    BOXED.into_iter().for_each(|field| _ = config.boxed(field));
    config.compile_fds(prost_types_set(&descriptors.encode_to_vec())?)?;
    Ok(())
}

/// A set of descriptors, each as bytes.
#[derive(Clone, PartialEq, prost::Message)]
struct Files {
    #[prost(bytes = "vec", repeated, tag = "1")]
    files: Vec<Vec<u8>>,
}

/// One more field of a file's descriptor.
#[derive(Clone, PartialEq, prost::Message)]
struct Source {
    #[prost(bytes = "vec", tag = "9")]
    info: Vec<u8>,
}

/// The descriptors with the comments, and with the places of what has comments: those of all the rest would be a quarter of
/// the bytes, and nobody looks for them.
fn commented(mut compiler: protox::Compiler) -> Result<Vec<u8>, prost::DecodeError> {
    let sources = compiler.file_descriptor_set().file.into_iter().map(|file| file.source_code_info.unwrap_or_default());
    // The options of fields are extensions: only the compiler's own encoding keeps them.
    let bare = compiler.include_source_info(false).encode_file_descriptor_set();
    let mut set = Files::decode(bare.as_slice())?;
    for (file, mut source) in set.files.iter_mut().zip(sources) {
        source.location.retain(|place| {
            place.leading_comments.is_some()
                || place.trailing_comments.is_some()
                || !place.leading_detached_comments.is_empty()
        });
        file.extend(Source { info: source.encode_to_vec() }.encode_to_vec());
    }
    Ok(set.encode_to_vec())
}

/// Decodes the set again into the version of the descriptor types that the code generator links.
fn prost_types_set(bytes: &[u8]) -> Result<prost_types::FileDescriptorSet, prost::DecodeError> {
    prost::Message::decode(bytes)
}
