//! Where each keyword may stand, and with what. Kubernetes' rules, in Kubernetes' words.

use crate::{
    custom::{
        path::JsonPath,
        schema::{Rule, Type},
        source::{Extra, Source},
    },
    validate::{Causes, Path},
};

/// The keywords that may stand at the root of a schema whose kind has the part `status`, as Kubernetes names them.
const WITH_STATUS: [(&str, &str); 22] = [
    ("description", "Description"),
    ("type", "Type"),
    ("format", "Format"),
    ("title", "Title"),
    ("maximum", "Maximum"),
    ("exclusiveMaximum", "ExclusiveMaximum"),
    ("minimum", "Minimum"),
    ("exclusiveMinimum", "ExclusiveMinimum"),
    ("maxLength", "MaxLength"),
    ("minLength", "MinLength"),
    ("pattern", "Pattern"),
    ("maxItems", "MaxItems"),
    ("minItems", "MinItems"),
    ("uniqueItems", "UniqueItems"),
    ("multipleOf", "MultipleOf"),
    ("required", "Required"),
    ("items", "Items"),
    ("properties", "Properties"),
    ("externalDocs", "ExternalDocs"),
    ("example", "Example"),
    ("x-kubernetes-preserve-unknown-fields", "XPreserveUnknownFields"),
    ("x-kubernetes-validations", "XValidations"),
];

/// Keywords of JSON schema that Kubernetes has no use for.
const REFUSED: [&str; 6] = ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"];

/// The reasons that a rule may give.
const REASONS: [&str; 4] = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// The fields of an object that are no part of its kind's own schema.
const META: [&str; 3] = ["metadata", "kind", "apiVersion"];

/// What the schemas around say of the one that is looked at.
#[derive(Clone, Copy, Default)]
struct Around<'a> {
    is_root: bool,
    in_meta: bool,
    /// Why no default may stand here.
    no_defaults: Option<&'a str>,
}

/// Judges the schema of a kind, whole.
pub(super) fn root(causes: &mut Causes, source: Source<'_>, at: &Path<'_>, has_status: bool) {
    if has_status {
        beside_status(causes, source, at);
    }
    if source.flag("nullable") {
        causes.forbidden(&at.field("nullable"), "nullable cannot be true at the root");
    }
    schema(causes, source, Around { is_root: true, ..Around::default() }, at);
}

fn beside_status(causes: &mut Causes, source: Source<'_>, at: &Path<'_>) {
    if source.has("type") && source.text("type") != "object" {
        let why =
            "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        causes.invalid(&at.field("type"), source.text("type"), why);
    }
    let word = source.words().find(|word| WITH_STATUS.iter().all(|(allowed, _)| allowed != word));
    if let Some(word) = word {
        let allowed: Vec<&str> = WITH_STATUS.iter().map(|(_, name)| *name).collect();
        let why = format_args!(
            "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
            allowed.join(" ")
        );
        causes.invalid(at, word, why);
    }
}

fn schema(causes: &mut Causes, source: Source<'_>, around: Around<'_>, at: &Path<'_>) {
    own(causes, source, around, at);
    let inside = Around { is_root: false, ..around };
    let additional = at.field("additionalProperties");
    match source.additional() {
        Extra::Unsaid => {}
        Extra::Any(any) => additional_beside_properties(causes, source, !any, &additional),
        Extra::Schema(of) => {
            additional_beside_properties(causes, source, true, &additional);
            let why = "inside additionalProperties applying to object metadata";
            let no_defaults = if around.in_meta { Some(why) } else { around.no_defaults };
            schema(causes, of, Around { no_defaults, ..inside }, &additional);
        }
    }
    for (name, property) in source.named("properties") {
        let reason = format!("in top-level {name}");
        let meta = META.contains(&name) && (around.is_root || source.flag("x-kubernetes-embedded-resource"));
        let no_defaults = if meta && around.is_root { Some(reason.as_str()) } else { around.no_defaults };
        let around = Around { in_meta: around.in_meta || meta, no_defaults, ..inside };
        schema(causes, property, around, &at.field("properties").key(name));
    }
    for word in ["not", "items"] {
        if let Some(of) = source.schema(word) {
            schema(causes, of, inside, &at.field(word));
        }
    }
    for word in ["allOf", "oneOf", "anyOf"] {
        for (index, of) in source.schemas(word).enumerate() {
            schema(causes, of, inside, &at.field(word).index(index));
        }
    }
}

/// Named fields are for structs, others for maps; both at once would keep what nobody knows.
fn additional_beside_properties(causes: &mut Causes, source: Source<'_>, says_something: bool, at: &Path<'_>) {
    if says_something && source.named("properties").next().is_some() {
        causes.forbidden(at, "additionalProperties and properties are mutual exclusive");
    }
}

fn own(causes: &mut Causes, source: Source<'_>, around: Around<'_>, at: &Path<'_>) {
    let word = source.text("type");
    if word == "null" {
        causes.forbidden(&at.field("type"), "type cannot be set to null, use nullable as an alternative");
    } else if !word.is_empty() && Type::from_word(word).is_none() {
        causes.unsupported(&at.field("type"), word, &Type::ALL.map(Type::word));
    }
    if let Some(reason) = around.no_defaults.filter(|_| source.has("default")) {
        causes.forbidden(&at.field("default"), format_args!("must not be set {reason}"));
    }
    for word in REFUSED.into_iter().filter(|word| source.has(word)) {
        causes.forbidden(&at.field(word), format_args!("{word} is not supported"));
    }
    if source.value("items").is_some_and(serde_json::Value::is_array) {
        causes.forbidden(&at.field("items"), "items must be a schema object and not an array");
    }
    if around.in_meta && source.flag("x-kubernetes-embedded-resource") {
        causes.forbidden(&at.field("x-kubernetes-embedded-resource"), "must not be used inside of resource meta");
    }
    if source.flag("uniqueItems") {
        let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        causes.forbidden(&at.field("uniqueItems"), why);
    }
    let keeps = "x-kubernetes-preserve-unknown-fields";
    if source.has(keeps) && !source.flag(keeps) {
        causes.invalid(&at.field(keeps), false, "must be true or undefined");
    }
    map_type(causes, source, at);
    list_type(causes, source, at);
    if source.text("x-kubernetes-list-type") == "map" {
        map_keys(causes, source, at);
    }
    merged_items(causes, source, at);
    rules(causes, source, at);
}

fn map_type(causes: &mut Causes, source: Source<'_>, at: &Path<'_>) {
    let keyword = "x-kubernetes-map-type";
    if source.has(keyword) {
        only_with_type(causes, source, "object", keyword, at);
        causes.one_of(&at.field(keyword), source.text(keyword), &["atomic", "granular"]);
    }
}

fn only_with_type(causes: &mut Causes, source: Source<'_>, wanted: &str, keyword: &str, at: &Path<'_>) {
    let (word, at) = (source.text("type"), at.field("type"));
    let why = format!("must be {wanted} if {keyword} is specified");
    if word.is_empty() {
        causes.required(&at, &why);
    } else if word != wanted {
        causes.invalid(&at, word, why);
    }
}

fn list_type(causes: &mut Causes, source: Source<'_>, at: &Path<'_>) {
    let keyword = "x-kubernetes-list-type";
    let list = source.text(keyword);
    if source.has(keyword) {
        only_with_type(causes, source, "array", keyword, at);
        causes.one_of(&at.field(keyword), list, &["atomic", "set", "map"]);
    }
    if list == "set" {
        set_of_atomic(causes, source, at);
    }
    if source.texts("x-kubernetes-list-map-keys").next().is_some() && list != "map" {
        let why = "must be map if x-kubernetes-list-map-keys is non-empty";
        if list.is_empty() {
            causes.required(&at.field(keyword), why)
        } else {
            causes.invalid(&at.field(keyword), list, why)
        }
    }
}

/// The elements of a set are compared whole.
fn set_of_atomic(causes: &mut Causes, source: Source<'_>, at: &Path<'_>) {
    let Some(items) = source.schema("items") else { return };
    let keyword = match items.text("type") {
        "array" if !matches!(items.text("x-kubernetes-list-type"), "" | "atomic") => "x-kubernetes-list-type",
        "object" if items.text("x-kubernetes-map-type") != "atomic" => "x-kubernetes-map-type",
        _ => return,
    };
    let why = "must be atomic as item of a list with x-kubernetes-list-type=set";
    causes.invalid(&at.field("items").field(keyword), items.text(keyword), why);
}

fn map_keys(causes: &mut Causes, source: Source<'_>, at: &Path<'_>) {
    let keyword = at.field("x-kubernetes-list-map-keys");
    let keys: Vec<&str> = source.texts("x-kubernetes-list-map-keys").collect();
    if keys.is_empty() {
        causes.required(&keyword, "must not be empty if x-kubernetes-list-type is map");
    }
    let Some(items) = source.schema("items") else {
        return causes.required(&at.field("items"), "must have a schema if x-kubernetes-list-type is map");
    };
    let at = at.field("items");
    if items.text("type") != "object" {
        let why = "must be object if parent array's x-kubernetes-list-type is map";
        return causes.invalid(&at.field("type"), items.text("type"), why);
    }
    for (index, key) in keys.iter().enumerate() {
        match items.property(key).map(|property| property.text("type")) {
            Some("array" | "object") => {
                let why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                causes.invalid(&at.field("properties").key(key).field("type"), items.text("type"), why);
            }
            Some(_) => {}
            None => causes.invalid(&keyword, &keys, "entries must all be names of item properties"),
        }
        if keys.iter().take(index).any(|before| before == key) {
            causes.invalid(&keyword, &keys, "must not contain duplicate entries");
        }
    }
}

/// What tells elements apart must be there.
fn merged_items(causes: &mut Causes, source: Source<'_>, at: &Path<'_>) {
    let list = source.text("x-kubernetes-list-type");
    let Some(items) = source.schema("items").filter(|_| matches!(list, "set" | "map")) else { return };
    let at = at.field("items");
    if items.flag("nullable") {
        let why = format_args!("cannot be nullable when x-kubernetes-list-type is {list}");
        causes.forbidden(&at.field("nullable"), why);
    }
    for key in source.texts("x-kubernetes-list-map-keys").filter(|_| list == "map") {
        let Some(property) = items.property(key) else { continue };
        let at = at.field("properties");
        if !property.has("default") && items.texts("required").all(|required| required != key) {
            let why =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            causes.required(&at.key(key).field("default"), why);
        }
        if property.flag("nullable") {
            let why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            causes.forbidden(&at.key(key).field("nullable"), why);
        }
    }
}

/// The words around an expression; the expression itself is for who runs it.
fn rules(causes: &mut Causes, source: Source<'_>, at: &Path<'_>) {
    let breaks: &[char] = &['\n', '\r'];
    for (index, rule) in source.schemas("x-kubernetes-validations").map(Rule::read).enumerate() {
        let at = at.field("x-kubernetes-validations");
        let at = at.index(index);
        let (text, message) = (rule.rule.trim(), rule.message.trim());
        if text.is_empty() {
            causes.required(&at.field("rule"), "rule is not specified");
        } else if !rule.message.is_empty() && message.is_empty() {
            causes.invalid(&at.field("message"), &rule.message, "must be non-empty if specified");
        } else if message.contains(breaks) {
            causes.invalid(&at.field("message"), &rule.message, "must not contain line breaks");
        } else if text.contains(breaks) && message.is_empty() {
            causes.required(&at.field("message"), "message must be specified if rule contains line breaks");
        }
        if !rule.message_expression.is_empty() && rule.message_expression.trim().is_empty() {
            let why = "messageExpression must be non-empty if specified";
            causes.required(&at.field("messageExpression"), why);
        }
        if !rule.reason.is_empty() {
            causes.one_of(&at.field("reason"), &rule.reason, &REASONS);
        }
        if !rule.field_path.is_empty() {
            field_path(causes, source, &rule.field_path, &at.field("fieldPath"));
        }
    }
}

fn field_path(causes: &mut Causes, source: Source<'_>, text: &str, at: &Path<'_>) {
    if text.trim().is_empty() {
        causes.invalid(at, text, "must be non-empty if specified");
    } else if text.contains(['\n', '\r']) {
        causes.invalid(at, text, "must not contain line breaks");
    } else if JsonPath::parse(text).is_ok_and(|path| leads_somewhere(source, &path)) {
        return;
    }
    causes.invalid(at, text, "must be a valid path");
}

/// Whether a path leads through fields that the schema has.
fn leads_somewhere(source: Source<'_>, path: &JsonPath) -> bool {
    path.names().try_fold(source, step).is_some()
}

fn step<'a>(source: Source<'a>, name: &str) -> Option<Source<'a>> {
    if source.named("properties").next().is_some() {
        return source.property(name);
    }
    match source.additional() {
        Extra::Schema(schema) => Some(schema),
        Extra::Unsaid | Extra::Any(_) => None,
    }
}
