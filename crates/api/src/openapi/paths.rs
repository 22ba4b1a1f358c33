//! What can be asked under which path: the operations of a kind with their parameters, bodies and answers. `kubectl` looks
//! there for what it may send, `explain` for the kind behind a resource, generators for the methods of their clients.

use serde_json::{Map, Value, json};

use super::{
    definitions::Dialect,
    parameters::{self, Parameter},
};
use crate::{Subresource, Verb};

/// What is served under one plural of a group and version.
#[derive(Clone, Debug)]
pub(super) struct Described<'a> {
    pub(super) group: &'a str,
    pub(super) version: &'a str,
    pub(super) kind: &'a str,
    pub(super) list_kind: &'a str,
    pub(super) plural: &'a str,
    pub(super) namespaced: bool,
    pub(super) verbs: &'a [Verb],
    pub(super) subresources: &'a [Subresource],
    /// The name of the definition of its objects.
    pub(super) definition: String,
}

/// What an operation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// The objects of a namespace, or all objects of a kind without namespaces.
    Collection,
    /// The objects of all namespaces.
    Everywhere,
    /// One object.
    Object,
    /// A part of one object.
    Part(Subresource),
}

/// What is sent or answered.
#[derive(Clone, Copy, Debug)]
enum Content<'a> {
    /// A definition.
    Of(&'a str),
    /// Lines of text.
    Text,
}

/// In what form everything can be asked for.
const TYPES: &[&str] =
    &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "application/cbor"];

/// In what form a watch can be.
const STREAM_TYPES: &[&str] =
    &["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch", "application/cbor-seq"];

/// In what form a patch can be.
const PATCH_TYPES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
    "application/apply-patch+cbor",
];

/// The definition of a patch, which may be anything.
pub(super) const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";

const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";

const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

/// The group, version and kind as clients look for it.
pub(super) fn identity(group: &str, version: &str, kind: &str) -> Value {
    json!({"group": group, "version": version, "kind": kind})
}

/// The paths of a kind, with the operations of each.
pub(super) fn paths(of: &Described<'_>, dialect: Dialect) -> Vec<(String, Value)> {
    let (root, plural) = (of.root(), of.plural);
    let place = if of.namespaced { "/namespaces/{namespace}" } else { "" };
    let whole = format!("{root}{place}/{plural}");
    let mut paths = vec![
        (whole.clone(), of.item(Scope::Collection, &[Verb::List, Verb::Create, Verb::DeleteCollection], dialect)),
        (
            format!("{whole}/{{name}}"),
            of.item(Scope::Object, &[Verb::Get, Verb::Update, Verb::Patch, Verb::Delete], dialect),
        ),
    ];
    if of.namespaced {
        paths.push((format!("{root}/{plural}"), of.item(Scope::Everywhere, &[Verb::List], dialect)));
    }
    for part in of.subresources.iter().filter(|part| !part.is_connection()) {
        let path = format!("{whole}/{{name}}/{}", part.word());
        paths.push((path, of.item(Scope::Part(*part), part.verbs(), dialect)));
    }
    // Nothing is to be found under a path at which nothing can be done.
    paths.retain(|(_, item)| item.as_object().is_some_and(|item| item.keys().any(|key| key != "parameters")));
    paths
}

impl Described<'_> {
    pub(super) fn root(&self) -> String {
        let Self { group, version, .. } = self;
        if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") }
    }

    /// `core`, or the group without the domain of Kubernetes, as one word: `rbacAuthorization`.
    pub(super) fn group_word(&self) -> String {
        let group = if self.group.is_empty() { "core" } else { self.group.trim_end_matches(".k8s.io") };
        let (first, rest) = group.split_once('.').unwrap_or((group, ""));
        rest.split('.').fold(first.to_owned(), |word, part| word + &capitalised(part))
    }

    /// All operations under one path, of those that the kind offers.
    fn item(&self, scope: Scope, verbs: &[Verb], dialect: Dialect) -> Value {
        let is_part = matches!(scope, Scope::Part(_));
        let offered = verbs.iter().filter(|verb| is_part || self.verbs.contains(verb));
        let operations = offered.map(|verb| (method(*verb).to_owned(), self.operation(scope, *verb, dialect)));
        let mut item: Map<String, Value> = operations.collect();
        let mut shared = Vec::new();
        if matches!(scope, Scope::Object | Scope::Part(_)) {
            shared.push(parameters::in_path("name", &format!("The name of the {}.", self.kind), dialect));
        }
        if self.namespaced && scope != Scope::Everywhere {
            shared.push(parameters::in_path("namespace", "The namespace.", dialect));
        }
        shared.push(parameters::PRETTY.query(dialect));
        item.insert("parameters".to_owned(), shared.into());
        item.into()
    }

    fn operation(&self, scope: Scope, verb: Verb, dialect: Dialect) -> Value {
        let (own, identity) = self.type_of(scope);
        let list = format!("{own}List");
        let answers: &[(&str, Content<'_>)] = match verb {
            Verb::Get if scope == Scope::Part(Subresource::Log) => &[("200", Content::Text)],
            Verb::List => &[("200", Content::Of(&list))],
            Verb::Get | Verb::Watch | Verb::Log => &[("200", Content::Of(&own))],
            Verb::Update | Verb::Patch => &[("200", Content::Of(&own)), ("201", Content::Of(&own))],
            Verb::Create => &[("200", Content::Of(&own)), ("201", Content::Of(&own)), ("202", Content::Of(&own))],
            Verb::Delete => &[("200", Content::Of(STATUS)), ("202", Content::Of(STATUS))],
            Verb::DeleteCollection => &[("200", Content::Of(STATUS))],
        };
        let mut operation = json!({
            "operationId": self.id(scope, verb),
            "description": self.says(scope, verb),
            "tags": [format!("{}_{}", self.group_word(), self.version)],
            "x-kubernetes-action": action(verb),
            "x-kubernetes-group-version-kind": identity,
        });
        let types = types(verb, answers);
        operation["responses"] = responses(answers, &types, dialect);
        let mut parameters: Vec<Value> = query(scope, verb).map(|parameter| parameter.query(dialect)).collect();
        if let Some((sent, accepted, is_required)) = body(verb, &own) {
            let schema = dialect.reference(sent);
            match dialect {
                Dialect::V2 => {
                    let mut body = json!({"in": "body", "name": "body", "schema": schema});
                    if is_required {
                        body["required"] = true.into();
                    }
                    parameters.insert(0, body);
                }
                Dialect::V3 => operation["requestBody"] = request_body(&schema, accepted, is_required),
            }
        }
        if dialect == Dialect::V2 {
            operation["consumes"] = json!(if verb == Verb::Patch { PATCH_TYPES } else { &["*/*"] });
            operation["produces"] = json!(types);
            operation["schemes"] = json!(["https"]);
        }
        if !parameters.is_empty() {
            operation["parameters"] = parameters.into();
        }
        operation
    }

    /// The definition of what stands under a path, and what it is.
    fn type_of(&self, scope: Scope) -> (String, Value) {
        let part = if let Scope::Part(part) = scope { part.type_name(self.kind) } else { None };
        match part {
            Some(part) => (super::definitions::name(part.message), identity(part.group, part.version, part.kind)),
            None => (self.definition.clone(), identity(self.group, self.version, self.kind)),
        }
    }

    /// Kubernetes' name of the operation, from which generators make the names of methods.
    fn id(&self, scope: Scope, verb: Verb) -> String {
        let group = capitalised(&self.group_word()) + &capitalised(self.version);
        let place = if self.namespaced && scope != Scope::Everywhere { "Namespaced" } else { "" };
        let kind = self.kind;
        match (verb, scope) {
            (Verb::DeleteCollection, _) => format!("delete{group}Collection{place}{kind}"),
            (_, Scope::Everywhere) => format!("{}{group}{kind}ForAllNamespaces", word(verb)),
            (_, Scope::Part(part)) => format!("{}{group}{place}{kind}{}", word(verb), capitalised(part.word())),
            (_, Scope::Collection | Scope::Object) => format!("{}{group}{place}{kind}", word(verb)),
        }
    }

    fn says(&self, scope: Scope, verb: Verb) -> String {
        let what = match scope {
            Scope::Collection | Scope::Everywhere => format!("objects of kind {}", self.kind),
            Scope::Object => format!("one {}", self.kind),
            Scope::Part(part) => format!("{} of one {}", part.word(), self.kind),
        };
        match verb {
            Verb::Create if scope == Scope::Collection => format!("create a {}", self.kind),
            Verb::List => format!("list or watch {what}"),
            Verb::Get
            | Verb::Watch
            | Verb::Log
            | Verb::Create
            | Verb::Update
            | Verb::Patch
            | Verb::Delete
            | Verb::DeleteCollection => {
                format!("{} {what}", if verb == Verb::DeleteCollection { "delete" } else { word(verb) })
            }
        }
    }
}

pub(super) fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn method(verb: Verb) -> &'static str {
    match verb {
        Verb::Get | Verb::List | Verb::Watch | Verb::Log => "get",
        Verb::Create => "post",
        Verb::Update => "put",
        Verb::Patch => "patch",
        Verb::Delete | Verb::DeleteCollection => "delete",
    }
}

/// Kubernetes' name for what an operation does.
fn action(verb: Verb) -> &'static str {
    match verb {
        Verb::Get | Verb::Log => "get",
        Verb::List => "list",
        Verb::Watch => "watch",
        Verb::Create => "post",
        Verb::Update => "put",
        Verb::Patch => "patch",
        Verb::Delete => "delete",
        Verb::DeleteCollection => "deletecollection",
    }
}

/// With what the name of an operation begins.
fn word(verb: Verb) -> &'static str {
    match verb {
        Verb::Get | Verb::Log => "read",
        Verb::List => "list",
        Verb::Watch => "watch",
        Verb::Create => "create",
        Verb::Update => "replace",
        Verb::Patch => "patch",
        Verb::Delete => "delete",
        Verb::DeleteCollection => "deleteCollection",
    }
}

fn query(scope: Scope, verb: Verb) -> impl Iterator<Item = &'static Parameter> {
    let lists: &[&'static [Parameter]] = match verb {
        Verb::Get if scope == Scope::Part(Subresource::Log) => &[parameters::LOG],
        Verb::Get | Verb::Log => &[],
        Verb::List | Verb::Watch => &[parameters::WATCH, parameters::LIST],
        Verb::Create | Verb::Update => &[parameters::DRY_RUN, parameters::WRITE],
        Verb::Patch => &[parameters::DRY_RUN, parameters::WRITE, parameters::FORCE],
        Verb::Delete => &[parameters::DRY_RUN, parameters::DELETE],
        Verb::DeleteCollection => &[parameters::DRY_RUN, parameters::DELETE, parameters::LIST],
    };
    lists.iter().copied().flatten()
}

/// The definition of what is sent, in which types, and whether it must be.
fn body(verb: Verb, own: &str) -> Option<(&str, &'static [&'static str], bool)> {
    match verb {
        Verb::Get | Verb::List | Verb::Watch | Verb::Log => None,
        Verb::Create | Verb::Update => Some((own, &["*/*"], true)),
        Verb::Patch => Some((PATCH, PATCH_TYPES, true)),
        Verb::Delete | Verb::DeleteCollection => Some((DELETE_OPTIONS, &["*/*"], false)),
    }
}

fn request_body(schema: &Value, types: &[&str], is_required: bool) -> Value {
    let content: Map<String, Value> =
        types.iter().map(|media| ((*media).to_owned(), json!({"schema": schema}))).collect();
    let mut body = json!({"content": content});
    if is_required {
        body["required"] = true.into();
    }
    body
}

/// In what form a verb can be answered.
fn types(verb: Verb, answers: &[(&str, Content<'_>)]) -> Vec<&'static str> {
    if answers.iter().any(|(_, content)| matches!(content, Content::Text)) {
        return vec!["text/plain"];
    }
    match verb {
        Verb::List | Verb::Watch => [TYPES, STREAM_TYPES].concat(),
        Verb::Get | Verb::Log | Verb::Create | Verb::Update | Verb::Patch | Verb::Delete | Verb::DeleteCollection => {
            TYPES.to_vec()
        }
    }
}

fn responses(answers: &[(&str, Content<'_>)], types: &[&str], dialect: Dialect) -> Value {
    let mut responses = Map::new();
    for (code, content) in answers {
        let schema = match content {
            Content::Of(name) => dialect.reference(name),
            Content::Text => json!({"type": "string"}),
        };
        let says = match *code {
            "201" => "Created",
            "202" => "Accepted",
            _ => "OK",
        };
        let mut response = json!({"description": says});
        match dialect {
            Dialect::V2 => response["schema"] = schema,
            Dialect::V3 => {
                let of_type = |media: &&str| ((*media).to_owned(), json!({"schema": schema}));
                response["content"] = types.iter().map(of_type).collect::<Map<_, _>>().into();
            }
        }
        responses.insert((*code).to_owned(), response);
    }
    responses.insert("401".to_owned(), json!({"description": "Unauthorized"}));
    responses.into()
}
