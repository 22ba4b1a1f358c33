//! What can be asked about the server itself: which groups, versions and resources there are. These types stand here and not in
//! `proto/`: nothing of them is stored, sent as protobuf or patched.

use serde_json::{Map, Value, json};

use super::definitions::{Definitions, Dialect};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// What a member holds.
#[derive(Clone, Copy, Debug)]
enum Holds {
    Text,
    Flag,
    Texts,
    One(&'static str),
    Many(&'static str),
}

/// A member of an answer: its name, what it holds, whether it is always there, and what it is.
type Member = (&'static str, Holds, bool, &'static str);

/// The answers of discovery and what they are made of.
const TYPES: [(&str, &str, &[Member]); 7] = [
    (
        "APIVersions",
        "The versions of the core group.",
        &[
            ("versions", Holds::Texts, true, "The versions."),
            (
                "serverAddressByClientCIDRs",
                Holds::Many("ServerAddressByClientCIDR"),
                true,
                "Where the server is reached.",
            ),
        ],
    ),
    ("APIGroupList", "All groups but the core one.", &[("groups", Holds::Many("APIGroup"), true, "The groups.")]),
    (
        "APIGroup",
        "A group and its versions.",
        &[
            ("name", Holds::Text, true, "The group."),
            ("versions", Holds::Many("GroupVersionForDiscovery"), true, "Its versions."),
            (
                "preferredVersion",
                Holds::One("GroupVersionForDiscovery"),
                false,
                "The version to use if there is a choice.",
            ),
            (
                "serverAddressByClientCIDRs",
                Holds::Many("ServerAddressByClientCIDR"),
                false,
                "Where the server is reached.",
            ),
        ],
    ),
    (
        "APIResourceList",
        "The resources of a group and version.",
        &[
            ("groupVersion", Holds::Text, true, "The group and version, such as `apps/v1`."),
            ("resources", Holds::Many("APIResource"), true, "Its resources."),
        ],
    ),
    (
        "APIResource",
        "What is served under one name.",
        &[
            ("name", Holds::Text, true, "The name in URLs; of a part of an object `deployments/scale`."),
            ("singularName", Holds::Text, true, "The name in prose."),
            ("namespaced", Holds::Flag, true, "Whether its objects live in namespaces."),
            ("group", Holds::Text, false, "The group of what is answered, if it is another one."),
            ("version", Holds::Text, false, "The version of what is answered, if it is another one."),
            ("kind", Holds::Text, true, "The kind of what is answered."),
            ("verbs", Holds::Texts, true, "What can be done with it."),
            ("shortNames", Holds::Texts, false, "What people type."),
            ("categories", Holds::Texts, false, "Groups of resources such as `all`."),
        ],
    ),
    (
        "GroupVersionForDiscovery",
        "A version of a group.",
        &[
            ("groupVersion", Holds::Text, true, "The group and version, such as `apps/v1`."),
            ("version", Holds::Text, true, "The version alone."),
        ],
    ),
    (
        "ServerAddressByClientCIDR",
        "Where clients reach the server.",
        &[
            ("clientCIDR", Holds::Text, true, "The clients, by their addresses."),
            ("serverAddress", Holds::Text, true, "The server's address."),
        ],
    ),
];

/// The types that are answers by themselves.
const ANSWERS: [&str; 4] = ["APIVersions", "APIGroupList", "APIGroup", "APIResourceList"];

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
        let types = ["application/json", "application/yaml", "application/cbor"];
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
    for (of, says, members) in TYPES {
        let properties: Map<String, Value> = members
            .iter()
            .map(|(name, holds, _, says)| ((*name).to_owned(), property(*holds, says, dialect)))
            .collect();
        let required: Vec<&str> = members.iter().filter(|member| member.2).map(|member| member.0).collect();
        let definition = json!({"type": "object", "description": says, "properties": properties, "required": required});
        definitions.insert(&name(of), definition);
    }
    for kind in ANSWERS {
        definitions.identify(&name(kind), vec![super::paths::identity("", "v1", kind)]);
    }
}

fn property(holds: Holds, says: &str, dialect: Dialect) -> Value {
    let list = |of: Value| json!({"type": "array", "items": of, "x-kubernetes-list-type": "atomic"});
    let mut property = match holds {
        Holds::Text => json!({"type": "string"}),
        Holds::Flag => json!({"type": "boolean"}),
        Holds::Texts => list(json!({"type": "string"})),
        Holds::One(of) => dialect.value(&name(of)),
        Holds::Many(of) => list(dialect.reference(&name(of))),
    };
    property["description"] = says.into();
    property
}
