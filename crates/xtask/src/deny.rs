//! What `deny.toml` demands of outside crates, as far as it can be told on every machine: no two versions of one crate that the
//! file does not name, no crate that it bans, licences that it allows, and one registry. `cargo deny` reads the same file
//! where it is installed, and knows more.

use serde::Deserialize;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::Path,
    process::Command,
};

/// Where every crate that is not ours comes from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[derive(Deserialize)]
struct Rules {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Named>,
    skip: Vec<Named>,
}

/// A crate, with or without the beginning of its version behind `@`.
#[derive(Deserialize)]
struct Named {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

/// What `cargo metadata` prints, as far as it is asked here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
    workspace_members: Vec<String>,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<EdgeKind>,
}

#[derive(Deserialize)]
struct EdgeKind {
    kind: Option<String>,
}

/// What of the crates that are built here `deny.toml` does not allow.
pub(crate) fn problems(root: &Path) -> Vec<String> {
    let rules: Rules = match fs::read_to_string(root.join("deny.toml")).map(|text| toml::from_str(&text)) {
        Ok(Ok(rules)) => rules,
        Ok(Err(error)) => return vec![format!("deny.toml: {error}")],
        Err(error) => return vec![format!("deny.toml: {error}")],
    };
    let metadata = match metadata(root) {
        Ok(metadata) => metadata,
        Err(error) => return vec![error],
    };
    let packages = built(&metadata);
    let mut problems = licences(&packages, &rules.licenses.allow);
    problems.extend(sources(&packages));
    problems.extend(banned(&packages, &rules.bans.deny));
    problems.extend(doubles(&packages, &rules.bans.skip));
    problems
}

/// The crates as Cargo resolves them for this host.
fn metadata(root: &Path) -> Result<Metadata, String> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--filter-platform", &target])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))
}

/// What ours are built from, without what only the tests of single crates need.
fn built(metadata: &Metadata) -> Vec<&Package> {
    let nodes: HashMap<&str, &Node> = metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let mut seen = HashSet::new();
    let mut open: Vec<&str> = metadata.workspace_members.iter().map(String::as_str).collect();
    while let Some(id) = open.pop() {
        if seen.insert(id) {
            let edges = nodes.get(id).into_iter().flat_map(|node| &node.deps);
            let shipped = edges.filter(|edge| edge.dep_kinds.iter().any(|kind| kind.kind.as_deref() != Some("dev")));
            open.extend(shipped.map(|edge| edge.pkg.as_str()));
        }
    }
    metadata.packages.iter().filter(|package| seen.contains(package.id.as_str())).collect()
}

fn licences(packages: &[&Package], allowed: &[String]) -> Vec<String> {
    let allowed: Vec<spdx::Licensee> = allowed.iter().filter_map(|name| spdx::Licensee::parse(name).ok()).collect();
    let may = |licence: &str| {
        spdx::Expression::parse_mode(licence, spdx::ParseMode::LAX)
            .is_ok_and(|expression| expression.evaluate(|asked| allowed.iter().any(|one| one.satisfies(asked))))
    };
    let refused = packages.iter().filter(|package| !may(package.license.as_deref().unwrap_or_default()));
    refused
        .map(|package| {
            let licence = package.license.as_deref().unwrap_or("none");
            format!("{} {}: its licence, {licence}, is not in deny.toml", package.name, package.version)
        })
        .collect()
}

fn sources(packages: &[&Package]) -> Vec<String> {
    let foreign = packages.iter().filter(|package| package.source.as_deref().is_some_and(|source| source != REGISTRY));
    foreign.map(|package| format!("{} {}: does not come from the registry", package.name, package.version)).collect()
}

fn banned(packages: &[&Package], deny: &[Named]) -> Vec<String> {
    let named = deny.iter().filter(|named| packages.iter().any(|package| named.is(package)));
    named.map(|named| format!("{}: banned by deny.toml: {}", named.name, named.reason)).collect()
}

/// Crates in two versions of which neither is named, and names that are needed no more.
fn doubles(packages: &[&Package], skip: &[Named]) -> Vec<String> {
    let mut versions: BTreeMap<&str, Vec<&Package>> = BTreeMap::new();
    packages.iter().for_each(|package| versions.entry(&package.name).or_default().push(package));
    versions.retain(|_, packages| packages.len() > 1);
    let skipped = |package: &&Package| skip.iter().any(|named| named.is(package));
    let new = versions.iter().filter_map(|(name, packages)| {
        let new: Vec<&str> =
            packages.iter().filter(|package| !skipped(package)).map(|package| package.version.as_str()).collect();
        (new.len() > 1).then(|| {
            let versions = new.join(" and ");
            format!("{name}: built in versions {versions}; move to one, or name the elder in deny.toml with its reason")
        })
    });
    let old = skip.iter().filter(|named| !versions.values().flatten().any(|package| named.is(package)));
    new.chain(old.map(|named| format!("deny.toml: `{}` is the only version now; take its line out", named.name)))
        .collect()
}

impl Named {
    /// Whether this is the crate, in a version that begins like the one that is named.
    fn is(&self, package: &Package) -> bool {
        let (name, version) = self.name.split_once('@').unwrap_or((&self.name, ""));
        let rest = package.version.strip_prefix(version);
        name == package.name && rest.is_some_and(|rest| version.is_empty() || rest.is_empty() || rest.starts_with('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, license: &str) -> Package {
        let licence = (!license.is_empty()).then(|| license.to_owned());
        let source = Some(REGISTRY.to_owned());
        Package {
            id: format!("{name}@{version}"),
            name: name.into(),
            version: version.into(),
            license: licence,
            source,
        }
    }

    fn named(name: &str) -> Named {
        Named { name: name.into(), reason: "a test".into() }
    }

    #[test]
    fn a_second_version_needs_a_line() {
        let packages =
            [package("rand", "0.8.8", "MIT"), package("rand", "0.10.4", "MIT"), package("rope", "1.0.0", "MIT")];
        let packages: Vec<&Package> = packages.iter().collect();
        assert_eq!(
            doubles(&packages, &[]),
            ["rand: built in versions 0.8.8 and 0.10.4; move to one, or name the elder in deny.toml with its reason"]
        );
        assert_eq!(
            doubles(&packages, &[named("rand@0.8"), named("rand@0.1"), named("rope@1")]),
            [
                "deny.toml: `rand@0.1` is the only version now; take its line out",
                "deny.toml: `rope@1` is the only version now; take its line out",
            ],
            "0.10 does not begin like 0.1, and there is one rope"
        );
    }

    #[test]
    fn licences_are_expressions() {
        let allow = ["MIT".to_owned(), "MPL-2.0".to_owned(), "Unicode-3.0".to_owned()];
        for (licence, may) in [
            ("MIT", true),
            ("MIT/Apache-2.0", true),
            ("GPL-3.0 OR MIT", true),
            ("GPL-3.0 AND MIT", false),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("MPL-2.0+", true),
            ("GPL-3.0", false),
            ("", false),
        ] {
            assert_eq!(licences(&[&package("it", "1.0.0", licence)], &allow).is_empty(), may, "{licence}");
        }
    }

    #[test]
    fn a_crate_that_is_banned_or_comes_from_elsewhere_is_told() {
        let mut it = package("openssl-sys", "0.9.1", "MIT");
        assert_eq!(banned(&[&it], &[named("openssl-sys")]), ["openssl-sys: banned by deny.toml: a test"]);
        assert!(sources(&[&it]).is_empty());
        it.source = Some("git+https://example.org/openssl".into());
        assert_eq!(sources(&[&it]), ["openssl-sys 0.9.1: does not come from the registry"]);
    }
}
