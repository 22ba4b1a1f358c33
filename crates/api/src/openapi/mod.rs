//! OpenAPI: what `kubectl apply` asks for before it sends, `kubectl explain` shows, and generators make clients from. In
//! version 3 there is a document for each group and version, in version 2 one for all of them.
//!
//! [`definitions`] says what objects are made of, [`paths`] what can be done with them, [`server`] what can be asked about all.
//! They follow from `proto/` and the table of kinds, and from what users have defined, under the names that Kubernetes publishes.

mod defined;
mod definitions;
mod gnostic;
mod parameters;
mod paths;
mod server;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

use crate::{custom, object::KindInfo, reviews};
use definitions::{Definitions, Dialect};
use paths::{Described, capitalised, identity};

pub use defined::{write_v2, write_v2_protobuf};
pub use gnostic::{v2::encode as encode_v2, v3::encode as encode_v3};

/// The document of one group and version: the paths of its kinds and the schemas of everything that they are made of. `defined`
/// is what users have defined in it.
#[must_use]
pub fn document<'a>(group: &str, version: &str, defined: impl IntoIterator<Item = &'a custom::Version>) -> Value {
    let of_table = reviews::served().filter(|info| info.group == group && info.version == version);
    let kinds = of_table.map(Subject::OfTable).chain(defined.into_iter().map(Subject::Defined));
    let mut described = Description::new(Dialect::V3);
    described.add(kinds);
    let (paths, definitions) = described.finish();
    json!({
        "openapi": "3.0.0",
        "info": info(),
        "paths": paths,
        "components": {"schemas": definitions, "securitySchemes": security_schemes()},
    })
}

/// The document of all groups and versions of the table of kinds, in OpenAPI 2.
#[must_use]
pub fn document_v2() -> Value {
    let mut described = Description::new(Dialect::V2);
    described.add(reviews::served().map(Subject::OfTable));
    let (paths, definitions) = described.finish();
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

/// What is described.
#[derive(Clone, Copy, Debug)]
enum Subject<'a> {
    /// A row of the table, in one of its versions.
    OfTable(&'static KindInfo),
    /// A version of what a user has defined.
    Defined(&'a custom::Version),
}

impl Subject<'_> {
    fn info(self) -> &'static KindInfo {
        match self {
            Self::OfTable(info) => info,
            Self::Defined(version) => version.version.info(),
        }
    }

    /// Adds the definition of its objects; answers its name.
    fn definition(self, definitions: &mut Definitions) -> String {
        match self {
            Self::OfTable(info) => definitions.message(info.message),
            Self::Defined(version) => definitions.schema(version),
        }
    }
}

/// The paths of some kinds, and the definitions of everything that they are made of.
struct Description {
    dialect: Dialect,
    paths: Map<String, Value>,
    definitions: Definitions,
}

impl Description {
    fn new(dialect: Dialect) -> Self {
        Self { dialect, paths: Map::new(), definitions: Definitions::new(dialect) }
    }

    /// Adds all kinds of a document, and what belongs to it whatever the kinds are.
    fn add<'a>(&mut self, kinds: impl Iterator<Item = Subject<'a>>) {
        let mut versions: Vec<(&str, &str)> = Vec::new();
        for kind in kinds {
            let of = self.kind(kind);
            if !versions.contains(&(of.group, of.version)) {
                versions.push((of.group, of.version));
                self.paths.extend(discovery(&of, self.dialect));
            }
        }
        common(&versions, &mut self.definitions, self.dialect);
    }

    /// Adds a kind.
    fn kind(&mut self, kind: Subject<'_>) -> Described<'static> {
        let info = kind.info();
        let of = Described {
            group: info.group,
            version: info.version,
            kind: info.kind,
            list_kind: info.list_kind,
            plural: info.plural,
            namespaced: info.namespaced,
            verbs: info.verbs,
            subresources: info.subresources,
            definition: kind.definition(&mut self.definitions),
        };
        define(&of, &mut self.definitions);
        self.paths.extend(paths::paths(&of, self.dialect));
        of
    }

    fn finish(self) -> (Value, Value) {
        (self.paths.into(), self.definitions.finish())
    }
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
    // What is only asked and answered is never listed.
    if !of.list_kind.is_empty() {
        let list = definitions.list(&of.definition, kind);
        definitions.identify(&list, vec![identity(group, version, of.list_kind)]);
    }
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
