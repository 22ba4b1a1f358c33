//! The floor plan: which crate may know which. ARCHITECTURE.md draws it; this is the same table as data.

use std::{fs, path::Path};

/// Each crate and the crates of ours that it may depend on, also for its tests.
const PLAN: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("consensus", &[]),
    ("sandbox", &[]),
    ("store", &["consensus", "api"]),
    ("rpc", &["api"]),
    ("kapelle-client", &["rpc", "api"]),
    ("proxy", &["api"]),
    ("images", &["rpc", "api"]),
    ("registry", &["store", "consensus", "rpc", "api"]),
    ("apiserver", &["registry", "images", "rpc", "api"]),
    ("control", &["api"]),
    ("agent", &["sandbox", "proxy", "rpc", "api"]),
    ("cli", &["kapelle-client", "rpc", "api"]),
    (
        "kapelle",
        &[
            "agent",
            "api",
            "apiserver",
            "cli",
            "consensus",
            "control",
            "images",
            "kapelle-client",
            "proxy",
            "registry",
            "rpc",
            "sandbox",
            "store",
        ],
    ),
    ("testkit", &["agent", "api", "apiserver", "consensus", "control", "images", "registry", "rpc", "store"]),
    ("xtask", &[]),
];

/// Outside crates that only one room may know.
const OWNED: &[(&str, &str)] =
    &[("wasmtime", "sandbox"), ("wasmtime-wasi", "sandbox"), ("wasmtime-wasi-http", "sandbox"), ("raft", "consensus")];

/// Rooms that know no language: how a request was written is not theirs to know.
const MUTE: &[&str] = &["consensus", "control", "registry", "store"];

/// Families of outside crates that speak HTTP: each with all whose names begin so.
const HTTP: &[&str] = &["axum", "http", "hyper", "tonic"];

/// Edges that the plan does not have, and rooms that it does not name.
pub(crate) fn problems(root: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    let crates = fs::read_dir(root.join("crates")).expect("crates/ stands beside this crate");
    for name in crates.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
        let manifest = fs::read_to_string(root.join("crates").join(&name).join("Cargo.toml")).unwrap_or_default();
        match PLAN.iter().find(|(planned, _)| *planned == name) {
            None => problems
                .push(format!("crates/{name}: not in the floor plan; put it there, with its law, or make it a module")),
            Some((_, allowed)) => problems.extend(edges(&name, &manifest, allowed)),
        }
    }
    problems
}

fn edges(name: &str, manifest: &str, allowed: &[&str]) -> Vec<String> {
    let ours = |dependency: &str| PLAN.iter().any(|(planned, _)| *planned == dependency);
    let speaks =
        |dependency: &str| MUTE.contains(&name) && HTTP.contains(&dependency.split('-').next().unwrap_or_default());
    let taken = |dependency: &str| OWNED.iter().find(|(owned, owner)| *owned == dependency && *owner != name);
    dependencies(manifest)
        .filter_map(|dependency| {
            if ours(dependency) && !allowed.contains(&dependency) {
                Some(format!("crates/{name}: depends on `{dependency}`, which the floor plan does not allow"))
            } else if speaks(dependency) {
                Some(format!("crates/{name}: `{dependency}` speaks HTTP, which this room must not know"))
            } else {
                taken(dependency).map(|(_, owner)| format!("crates/{name}: only `{owner}` may know `{dependency}`"))
            }
        })
        .collect()
}

/// The names in all dependency tables of a manifest; ours are all written `name.workspace = true`.
fn dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    let mut within = false;
    manifest.lines().filter_map(move |line| {
        if line.starts_with('[') {
            within = line.contains("dependencies");
            return None;
        }
        line.split(['.', ' ', '=']).next().filter(|name| within && !name.is_empty() && !name.starts_with('#'))
    })
}
