//! OpenAPI: what `kubectl apply` asks for before it sends, `kubectl explain` shows, and generators make clients from. In
//! version 3 there is a document for each group and version, in version 2 one for all of them.
//!
//! [`definitions`] says what objects are made of, [`paths`] what can be done with them, [`server`] what can be asked about all. Both follow from `proto/` and the table
//! of kinds, under the names that Kubernetes publishes.

mod definitions;
mod gnostic;
mod parameters;
mod paths;
mod server;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

use crate::{Served, object::KindInfo};
use definitions::{Definitions, Dialect};
use paths::{Described, capitalised, identity};

pub use gnostic::encode as encode_v2;

/// The document of one group and version: the paths of its kinds and the schemas of everything that they are made of.
#[must_use]
pub fn document(group: &str, version: &str) -> Value {
    let kinds = || Served::all().map(Served::info).filter(move |info| info.group == group && info.version == version);
    let (paths, definitions) = described(kinds(), Dialect::V3);
    json!({
        "openapi": "3.0.0",
        "info": info(),
        "paths": paths,
        "components": {"schemas": definitions, "securitySchemes": security_schemes()},
    })
}

/// The document of all groups and versions, in OpenAPI 2.
#[must_use]
pub fn document_v2() -> Value {
    let (paths, definitions) = described(Served::all().map(Served::info), Dialect::V2);
    json!({
        "swagger": "2.0",
        "info": info(),
        "paths": paths,
        "definitions": definitions,
        "securityDefinitions": security_schemes(),
        "security": [{"BearerToken": []}],
    })
}

fn info() -> Value {
    json!({"title": "Kapelle", "version": env!("CARGO_PKG_VERSION")})
}

fn security_schemes() -> Value {
    json!({
        "BearerToken": {"type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication"},
    })
}

/// The paths of some kinds, and the definitions of everything that they are made of.
fn described(kinds: impl Iterator<Item = &'static KindInfo>, dialect: Dialect) -> (Value, Value) {
    let (mut paths, mut definitions) = (Map::new(), Definitions::new(dialect));
    let mut versions: Vec<(&str, &str)> = Vec::new();
    for info in kinds {
        let of = Described {
            group: info.group,
            version: info.version,
            kind: info.kind,
            plural: info.plural,
            namespaced: info.namespaced,
            verbs: info.verbs,
            subresources: info.subresources,
            definition: definitions.message(info.message),
        };
        define(&of, &mut definitions);
        paths.extend(paths::paths(&of, dialect));
        if !versions.contains(&(info.group, info.version)) {
            versions.push((info.group, info.version));
            paths.extend(discovery(&of, dialect));
        }
    }
    common(&versions, &mut definitions, dialect);
    (paths.into(), definitions.finish())
}

/// The paths that tell what a group and version has. What tells of more than that belongs to the document that has all.
fn discovery(of: &Described<'_>, dialect: Dialect) -> Vec<(String, Value)> {
    let (group, version) = (of.group_word(), capitalised(of.version));
    let tag = format!("{group}_{}", of.version);
    let resources = server::resources(&of.root(), &format!("{}{version}", capitalised(&group)), &tag, dialect);
    match dialect {
        Dialect::V2 => {
            let versions = server::versions(of.group, &capitalised(&group), &group, dialect);
            vec![resources, versions, server::groups(dialect)]
        }
        Dialect::V3 => vec![resources],
    }
}

/// Adds the definitions that belong to a kind: what its objects, lists and subresources are.
fn define(of: &Described<'_>, definitions: &mut Definitions) {
    let Described { group, version, kind, .. } = of;
    definitions.identify(&of.definition, vec![identity(group, version, kind)]);
    let list = definitions.list(&of.definition, kind);
    definitions.identify(&list, vec![identity(group, version, &format!("{kind}List"))]);
    let parts = of.subresources.iter().filter(|part| !part.is_connection());
    for part in parts.filter_map(|part| part.type_name(kind)) {
        let name = definitions.message(part.message);
        definitions.identify(&name, vec![identity(part.group, part.version, part.kind)]);
    }
}

/// Adds what is sent and answered whatever the kind is. Options can be sent in any group and version that is served.
fn common(versions: &[(&str, &str)], definitions: &mut Definitions, dialect: Dialect) {
    server::define(definitions, dialect);
    let status = definitions.message("kapelle.meta.v1.Status");
    definitions.identify(&status, vec![identity("", "v1", "Status")]);
    let options = definitions.message("kapelle.meta.v1.DeleteOptions");
    let everywhere = versions.iter().map(|(group, version)| identity(group, version, "DeleteOptions"));
    definitions.identify(&options, everywhere.collect());
    definitions.insert(paths::PATCH, json!({"type": "object", "description": "What is to become of an object."}));
}
