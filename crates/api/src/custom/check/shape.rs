//! The outer form of a schema: keywords that exist, each with a value of its type, and no more of anything than is allowed.

use serde_json::Value;

use crate::{
    custom::{shown::Shown, source::Source},
    json::whole,
    validate::{Causes, Path},
};

/// How deep schemas may be nested: as deep as objects.
pub const SCHEMA_DEPTH_MAX: usize = 64;

/// The most schemas within one: the largest that people use have some thousands.
pub const SCHEMAS_MAX: usize = 32_768;

/// The most rules of one schema: each is run on each value that the schema is for.
pub const SCHEMA_RULES_MAX: usize = 256;

/// What stands behind a keyword.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Flag,
    Number,
    /// How many of something there may be.
    Count,
    Any,
    Values,
    Texts,
    Schema,
    Schemas,
    /// Schemas by name.
    Named,
    SchemaOrFlag,
    /// A schema, or a list of them, which Kubernetes knows and refuses.
    SchemaOrList,
    Rules,
    /// Something that Kubernetes knows and refuses whatever it is.
    Refused,
}

/// Every keyword that Kubernetes knows.
const KEYWORDS: [(&str, Form); 43] = [
    ("$ref", Form::Refused),
    ("$schema", Form::Text),
    ("additionalItems", Form::Refused),
    ("additionalProperties", Form::SchemaOrFlag),
    ("allOf", Form::Schemas),
    ("anyOf", Form::Schemas),
    ("default", Form::Any),
    ("definitions", Form::Refused),
    ("dependencies", Form::Refused),
    ("description", Form::Text),
    ("enum", Form::Values),
    ("example", Form::Any),
    ("exclusiveMaximum", Form::Flag),
    ("exclusiveMinimum", Form::Flag),
    ("externalDocs", Form::Any),
    ("format", Form::Text),
    ("id", Form::Refused),
    ("items", Form::SchemaOrList),
    ("maxItems", Form::Count),
    ("maxLength", Form::Count),
    ("maxProperties", Form::Count),
    ("maximum", Form::Number),
    ("minItems", Form::Count),
    ("minLength", Form::Count),
    ("minProperties", Form::Count),
    ("minimum", Form::Number),
    ("multipleOf", Form::Number),
    ("not", Form::Schema),
    ("nullable", Form::Flag),
    ("oneOf", Form::Schemas),
    ("pattern", Form::Text),
    ("patternProperties", Form::Refused),
    ("properties", Form::Named),
    ("required", Form::Texts),
    ("title", Form::Text),
    ("type", Form::Text),
    ("uniqueItems", Form::Flag),
    ("x-kubernetes-embedded-resource", Form::Flag),
    ("x-kubernetes-int-or-string", Form::Flag),
    ("x-kubernetes-list-map-keys", Form::Texts),
    ("x-kubernetes-list-type", Form::Text),
    ("x-kubernetes-map-type", Form::Text),
    ("x-kubernetes-preserve-unknown-fields", Form::Flag),
];
/// The keyword with the rules.
const RULES: &str = "x-kubernetes-validations";
const RULE: [(&str, Form); 6] = [
    ("fieldPath", Form::Text),
    ("message", Form::Text),
    ("messageExpression", Form::Text),
    ("optionalOldSelf", Form::Flag),
    ("reason", Form::Text),
    ("rule", Form::Text),
];

/// The schema, if nothing is wrong with its form.
pub(super) fn check<'a>(causes: &mut Causes, value: &'a Value, at: &Path<'_>) -> Option<Source<'a>> {
    let mut shape = Shape { causes, schemas: 0 };
    shape.schema(value, at, 1);
    let good = shape.causes.is_empty();
    Source::of(value).filter(|_| good)
}

/// Looks at a schema and those within.
struct Shape<'c> {
    causes: &'c mut Causes,
    schemas: usize,
}

impl Shape<'_> {
    fn schema(&mut self, value: &Value, at: &Path<'_>, depth: usize) {
        self.schemas += 1;
        if depth > SCHEMA_DEPTH_MAX {
            return self.causes.forbidden(at, format_args!("schemas may not be nested deeper than {SCHEMA_DEPTH_MAX}"));
        }
        if self.schemas == SCHEMAS_MAX + 1 {
            return self
                .causes
                .forbidden(at, format_args!("one schema may not have more than {SCHEMAS_MAX} within it"));
        }
        let Some(fields) = value.as_object() else { return self.wrong(at, value, "must be a schema object") };
        let known = |word: &str| if word == RULES { Some(Form::Rules) } else { form(&KEYWORDS, word) };
        for (word, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
            if self.schemas > SCHEMAS_MAX {
                return;
            }
            match known(word) {
                Some(form) => self.keyword(form, value, &at.field(word), depth),
                None => self.causes.forbidden(&at.field(word), "unknown keyword; remove it"),
            }
        }
    }

    fn keyword(&mut self, form: Form, value: &Value, at: &Path<'_>, depth: usize) {
        match (form, value) {
            (Form::Any | Form::Refused, _)
            | (Form::Text, Value::String(_))
            | (Form::Flag | Form::SchemaOrFlag, Value::Bool(_))
            | (Form::Number, Value::Number(_))
            | (Form::Values, Value::Array(_)) => {}
            (Form::Count, Value::Number(number)) if number.as_i64().or(number.as_f64().and_then(whole)).is_some() => {}
            (Form::Texts, Value::Array(items)) => items.iter().enumerate().for_each(|(index, item)| {
                if !item.is_string() {
                    self.wrong(&at.index(index), item, "must be a string");
                }
            }),
            (Form::Schema | Form::SchemaOrFlag | Form::SchemaOrList, Value::Object(_)) => {
                self.schema(value, at, depth + 1)
            }
            (Form::Schemas | Form::SchemaOrList, Value::Array(items)) => {
                items.iter().enumerate().for_each(|(index, item)| self.schema(item, &at.index(index), depth + 1));
            }
            (Form::Named, Value::Object(map)) => {
                map.iter().for_each(|(name, schema)| self.schema(schema, &at.key(name), depth + 1));
            }
            (Form::Rules, Value::Array(rules)) => {
                if self.causes.at_most(at, rules.len(), SCHEMA_RULES_MAX) {
                    rules.iter().enumerate().for_each(|(index, rule)| self.rule(rule, &at.index(index)));
                }
            }
            (form, value) => self.wrong(at, value, expected(form)),
        }
    }

    fn rule(&mut self, rule: &Value, at: &Path<'_>) {
        let Some(fields) = rule.as_object() else { return self.wrong(at, rule, "must be an object") };
        for (word, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
            match form(&RULE, word) {
                Some(form) => self.keyword(form, value, &at.field(word), 0),
                None => self.causes.forbidden(&at.field(word), "unknown field; remove it"),
            }
        }
    }

    fn wrong(&mut self, at: &Path<'_>, value: &Value, why: &str) {
        self.causes.mistyped(at, Shown(value), why);
    }
}

fn form(table: &[(&str, Form)], word: &str) -> Option<Form> {
    table.iter().find(|(known, _)| *known == word).map(|(_, form)| *form)
}

fn expected(form: Form) -> &'static str {
    match form {
        Form::Text => "must be a string",
        Form::Flag => "must be true or false",
        Form::Number => "must be a number",
        Form::Count => "must be an integer",
        Form::Values | Form::Texts | Form::Schemas | Form::Rules => "must be a list",
        Form::Schema | Form::SchemaOrList => "must be a schema object",
        Form::Named => "must be an object with a schema for each name",
        Form::SchemaOrFlag => "must be a schema object, or true or false",
        Form::Any | Form::Refused => "must be JSON",
    }
}
