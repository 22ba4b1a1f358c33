//! Whether a schema is structural: the type of every field stands outside of `allOf`, `anyOf`, `oneOf` and `not`, and what
//! stands inside of them only narrows values. Kubernetes' rules, in Kubernetes' words.

use crate::{
    custom::{
        schema::pattern,
        source::{Extra, Source},
    },
    validate::{Causes, Path},
};

/// Where a schema stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

pub(super) fn check(causes: &mut Causes, root: Source<'_>, at: &Path<'_>) {
    invariants(causes, root, Level::Root, at);
    complete(causes, root, Some(root), at, at);
}

fn invariants(causes: &mut Causes, source: Source<'_>, level: Level, at: &Path<'_>) {
    match source.schema("items") {
        Some(items) => invariants(causes, items, Level::Item, &at.field("items")),
        None if source.text("type") == "array" => causes.required(&at.field("items"), "must be specified"),
        None => {}
    }
    for (name, property) in source.named("properties") {
        invariants(causes, property, Level::Field, &at.field("properties").key(name));
    }
    let additional = at.field("additionalProperties");
    match source.additional() {
        Extra::Unsaid => {}
        Extra::Any(_) | Extra::Schema(_) if level == Level::Root => {
            causes.forbidden(&additional, "must not be used at the root")
        }
        Extra::Any(_) => {}
        Extra::Schema(schema) => invariants(causes, schema, Level::Field, &additional),
    }
    extensions(causes, source, at);
    let first_of_all = source.schemas("allOf").next().is_some_and(Source::is_int_or_string);
    junctors(causes, source, source.is_int_or_string(), first_of_all, at);
    own_type(causes, source, level, at);
    resource(causes, source, level, at);
}

fn extensions(causes: &mut Causes, source: Source<'_>, at: &Path<'_>) {
    for word in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] {
        if source.flag("x-kubernetes-int-or-string") && source.flag(word) {
            causes.invalid(&at.field(word), true, "must be false if x-kubernetes-int-or-string is true");
        }
    }
}

fn own_type(causes: &mut Causes, source: Source<'_>, level: Level, at: &Path<'_>) {
    let (word, at) = (source.text("type"), at.field("type"));
    let free = source.flag("x-kubernetes-int-or-string") || source.flag("x-kubernetes-preserve-unknown-fields");
    if source.flag("x-kubernetes-embedded-resource") && word != "object" {
        let why = "must be object if x-kubernetes-embedded-resource is true";
        if word.is_empty() { causes.required(&at, why) } else { causes.invalid(&at, word, why) }
    } else if word.is_empty() && !free {
        causes.required(
            &at,
            match level {
                Level::Root => "must not be empty at the root",
                Level::Item => "must not be empty for specified array items",
                Level::Field => "must not be empty for specified object fields",
            },
        );
    }
    if level == Level::Root && !word.is_empty() && word != "object" {
        causes.invalid(&at, word, "must be object at the root");
    }
}

/// What an object with metadata may say of itself.
fn resource(causes: &mut Causes, source: Source<'_>, level: Level, at: &Path<'_>) {
    let embedded = source.flag("x-kubernetes-embedded-resource");
    if embedded && source.has("additionalProperties") {
        let why = "must not be used if x-kubernetes-embedded-resource is set";
        causes.forbidden(&at.field("additionalProperties"), why);
    }
    let properties = at.field("properties");
    let no_properties = source.named("properties").next().is_none();
    if embedded && !source.flag("x-kubernetes-preserve-unknown-fields") && no_properties {
        let why =
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        causes.required(&properties, why);
    }
    if level != Level::Root && !embedded {
        return;
    }
    for (name, wanted) in [("kind", "string"), ("apiVersion", "string"), ("metadata", "object")] {
        let word = source.property(name).map(|property| property.text("type"));
        if let Some(word) = word.filter(|word| *word != wanted) {
            causes.invalid(&properties.key(name).field("type"), word, format_args!("must be {wanted}"));
        }
    }
    if level == Level::Root {
        metadata(causes, source, &properties.key("metadata"));
    }
}

/// At the root metadata are Kubernetes' own: only names may be narrowed.
fn metadata(causes: &mut Causes, source: Source<'_>, at: &Path<'_>) {
    let Some(metadata) = source.property("metadata") else { return };
    let mut names = metadata.named("properties").map(|(name, _)| name);
    // A default is refused by `keywords`, with its own words.
    let only_names = names.all(|name| matches!(name, "name" | "generateName"));
    if !only_names || metadata.words().any(|word| !matches!(word, "type" | "properties" | "default")) {
        let why = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        causes.forbidden(at, why);
    }
}

/// The schemas behind `allOf` and its like.
fn junctors(causes: &mut Causes, source: Source<'_>, any_is_known: bool, all_is_known: bool, at: &Path<'_>) {
    if !any_is_known {
        nested_all(causes, source, "anyOf", at);
    }
    for (index, schema) in source.schemas("allOf").enumerate() {
        nested(causes, schema, all_is_known && index == 0, &at.field("allOf").index(index));
    }
    nested_all(causes, source, "oneOf", at);
    if let Some(schema) = source.schema("not") {
        nested(causes, schema, false, &at.field("not"));
    }
    let text = source.text("pattern");
    if let Some(Err(why)) = (!text.is_empty()).then(|| pattern(text)) {
        let why = format_args!("must be a valid regular expression, but isn't: {why}");
        causes.invalid(&at.field("pattern"), text, why);
    }
}

fn nested_all(causes: &mut Causes, source: Source<'_>, word: &str, at: &Path<'_>) {
    for (index, schema) in source.schemas(word).enumerate() {
        nested(causes, schema, false, &at.field(word).index(index));
    }
}

/// What may not stand in a schema that only narrows values.
fn nested(causes: &mut Causes, source: Source<'_>, any_is_known: bool, at: &Path<'_>) {
    junctors(causes, source, any_is_known, false, at);
    if let Some(items) = source.schema("items") {
        nested(causes, items, false, &at.field("items"));
    }
    for (name, property) in source.named("properties") {
        nested(causes, property, false, &at.field("properties").key(name));
    }
    for (word, why) in [
        ("type", "must be empty to be structural"),
        ("additionalProperties", "must be undefined to be structural"),
        ("default", "must be undefined to be structural"),
        ("title", "must be empty to be structural"),
        ("description", "must be empty to be structural"),
        ("nullable", "must be false to be structural"),
        ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
        ("x-kubernetes-embedded-resource", "must be false to be structural"),
        ("x-kubernetes-int-or-string", "must be false to be structural"),
        ("x-kubernetes-list-map-keys", "must be empty to be structural"),
        ("x-kubernetes-list-type", "must be undefined to be structural"),
        ("x-kubernetes-map-type", "must be undefined to be structural"),
        ("x-kubernetes-validations", "must be empty to be structural"),
    ] {
        let nothing = source.value(word).is_none_or(|value| match value {
            serde_json::Value::Bool(flag) => !flag && word != "default",
            serde_json::Value::String(text) => text.is_empty() && word != "default",
            serde_json::Value::Array(list) => list.is_empty() && word != "default",
            serde_json::Value::Null | serde_json::Value::Number(_) | serde_json::Value::Object(_) => false,
        });
        if !nothing {
            causes.forbidden(&at.field(word), why);
        }
    }
    if source.property("metadata").is_some() {
        let at = at.field("properties");
        causes.forbidden(&at.key("metadata"), "must not be specified in a nested context");
    }
}

/// Whether what a schema narrows is also there: `spine` is the schema outside of the junctors, at the place `there`.
fn complete(causes: &mut Causes, source: Source<'_>, spine: Option<Source<'_>>, there: &Path<'_>, at: &Path<'_>) {
    let Some(spine) = spine else {
        return causes.required(there, &format!("because it is defined in {at}"));
    };
    if let Some(not) = source.schema("not") {
        complete_nested(causes, not, Some(spine), there, &at.field("not"));
    }
    for word in ["allOf", "anyOf", "oneOf"] {
        for (index, schema) in source.schemas(word).enumerate() {
            complete_nested(causes, schema, Some(spine), there, &at.field(word).index(index));
        }
    }
}

fn complete_nested(
    causes: &mut Causes,
    source: Source<'_>,
    spine: Option<Source<'_>>,
    there: &Path<'_>,
    at: &Path<'_>,
) {
    complete(causes, source, spine, there, at);
    let Some(spine) = spine else { return };
    if let Some(items) = source.schema("items") {
        complete_nested(causes, items, spine.schema("items"), &there.field("items"), &at.field("items"));
    }
    for (name, property) in source.named("properties") {
        let (there, at) = (there.field("properties"), at.field("properties"));
        complete_nested(causes, property, spine.property(name), &there.key(name), &at.key(name));
    }
}
