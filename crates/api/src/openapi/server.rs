//! What can be asked about the server itself: which groups, versions and resources there are.

use serde_json::{Map, Value, json};

use super::definitions::{Definitions, Dialect};
use crate::discovery::{Holds, LEGACY};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

fn name(of: &str) -> String {
    format!("{META}.{of}")
}

/// A path that answers one of the types.
struct Question {
    path: String,
    id: String,
    tag: String,
    says: &'static str,
    answer: &'static str,
}

impl Question {
    fn item(&self, dialect: Dialect) -> (String, Value) {
        let schema = dialect.reference(&name(self.answer));
        let types = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "application/cbor"];
        let mut operation = json!({"operationId": self.id, "description": self.says, "tags": [self.tag]});
        let ok = match dialect {
            Dialect::V2 => {
                operation["consumes"] = json!(types);
                operation["produces"] = json!(types);
                operation["schemes"] = json!(["https"]);
                json!({"description": "OK", "schema": schema})
            }
            Dialect::V3 => {
                let content: Map<_, _> =
                    types.iter().map(|one| ((*one).to_owned(), json!({"schema": schema}))).collect();
                json!({"description": "OK", "content": content})
            }
        };
        operation["responses"] = json!({"200": ok, "401": {"description": "Unauthorized"}});
        (self.path.clone(), json!({"get": operation}))
    }
}

/// `/apis/GROUP/VERSION/`, which lists the resources. `words` is group and version as one word, and `tag` as a tag.
pub(super) fn resources(root: &str, words: &str, tag: &str, dialect: Dialect) -> (String, Value) {
    let (path, id) = (format!("{root}/"), format!("get{words}APIResources"));
    Question { path, id, tag: tag.to_owned(), says: "get available resources", answer: "APIResourceList" }.item(dialect)
}

/// `/apis/GROUP/`, which lists the versions; of the core group `/api/`.
pub(super) fn versions(group: &str, words: &str, tag: &str, dialect: Dialect) -> (String, Value) {
    let (path, id, says, answer) = if group.is_empty() {
        ("/api/".to_owned(), format!("get{words}APIVersions"), "get available API versions", "APIVersions")
    } else {
        (format!("/apis/{group}/"), format!("get{words}APIGroup"), "get information of a group", "APIGroup")
    };
    Question { path, id, tag: tag.to_owned(), says, answer }.item(dialect)
}

/// `/apis/`, which lists the groups.
pub(super) fn groups(dialect: Dialect) -> (String, Value) {
    let (path, id, tag) = ("/apis/".to_owned(), "getAPIVersions".to_owned(), "apis".to_owned());
    Question { path, id, tag, says: "get available API groups", answer: "APIGroupList" }.item(dialect)
}

/// Adds the definitions.
pub(super) fn define(definitions: &mut Definitions, dialect: Dialect) {
    for of in LEGACY {
        let properties: Map<String, Value> = of
            .members
            .iter()
            .map(|member| (member.name.to_owned(), property(member.holds, member.says, dialect)))
            .collect();
        let required: Vec<&str> =
            of.members.iter().filter(|member| member.required).map(|member| member.name).collect();
        let definition =
            json!({"type": "object", "description": of.says, "properties": properties, "required": required});
        definitions.insert(&name(of.name), definition);
        if of.is_answer {
            definitions.identify(&name(of.name), vec![super::paths::identity("", "v1", of.name)]);
        }
    }
}

fn property(holds: Holds, says: &str, dialect: Dialect) -> Value {
    let list = |of: Value| json!({"type": "array", "items": of, "x-kubernetes-list-type": "atomic"});
    let mut property = match holds {
        Holds::Text => json!({"type": "string"}),
        Holds::Flag => json!({"type": "boolean"}),
        Holds::Texts | Holds::Verbs => list(json!({"type": "string"})),
        Holds::One(of) => dialect.value(&name(of)),
        Holds::Many(of) => list(dialect.reference(&name(of))),
    };
    property["description"] = says.into();
    property
}
