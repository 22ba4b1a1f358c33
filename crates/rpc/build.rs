//! Compiles the services of `proto/`. The objects in them are `api`'s types, carried by one of ours; only requests and
//! answers are made here.

use std::path::Path;

use prost::Message as _;

/// What `api` has already: everything but the messages that only the services speak.
const EXTERN: [(&str, &str); 10] = [
    (".kapelle.options.v1", "::api::pb::kapelle::options::v1"),
    (".kapelle.meta.v1", "::api::meta_v1"),
    (".kapelle.core.v1", "::api::core_v1"),
    (".kapelle.apps.v1", "::api::apps_v1"),
    (".kapelle.authentication.v1", "::api::authentication_v1"),
    (".kapelle.authorization.v1", "::api::authorization_v1"),
    (".kapelle.discovery.v1", "::api::discovery_v1"),
    (".kapelle.coordination.v1", "::api::coordination_v1"),
    (".kapelle.autoscaling.v1", "::api::autoscaling_v1"),
    (".kapelle.api.v1.Object", "crate::Carried"),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut compiler = protox::Compiler::new([root])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(["kapelle/api/v1/services.proto", "kapelle/api/v1/cluster.proto"])?;
    // Encoded and decoded once, into the version of the descriptor types that the code generator links.
    let descriptors = prost::Message::decode(compiler.file_descriptor_set().encode_to_vec().as_slice())?;
    let mut builder =
        tonic_prost_build::configure().bytes(".").btree_map(".").boxed(".kapelle.api.v1.WriteResult.result.error");
    for (package, path) in EXTERN {
        builder = builder.extern_path(package, path);
    }
    builder.compile_fds(descriptors)?;
    // Reflection answers from this, and from what `api` has of the files that these import.
    let out = std::env::var("OUT_DIR")?;
    let own = compiler.include_imports(false).encode_file_descriptor_set();
    std::fs::write(Path::new(&out).join("services.bin"), own)?;
    Ok(())
}
