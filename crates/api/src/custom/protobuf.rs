//! Schemas as Kubernetes' clients send them in protobuf. There they are messages, one field a keyword; `proto/` and everything
//! else here has them as the JSON in which people write them.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::check::{SCHEMA_DEPTH_MAX, SCHEMAS_MAX};
use crate::{
    Error,
    json::whole,
    wire::{Payload, Reader, put_bytes, put_number},
};

/// The fields that lead from a definition to the schemas of its versions, and to whom a webhook is.
const TO_SCHEMAS: [u32; 4] = [2, 7, 4, 1];
const TO_WEBHOOK: [u32; 4] = [2, 9, 2, 1];

/// The number of the text in `RawExtension`, and in Kubernetes' `JSON`.
const RAW_FIELD: u32 = 1;

/// What stands in a field.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Flag,
    Int,
    Double,
    Json,
    Jsons,
    Texts,
    Schema,
    Schemas,
    /// Schemas by name.
    Named,
    /// A schema, or several.
    SchemaOrList,
    /// Whether anything may be there, or a schema.
    FlagOrSchema,
    Rules,
    /// Something that is refused whatever it is.
    Refused,
}

/// The fields of `JSONSchemaProps`.
const FIELDS: [(u32, &str, Form); 44] = [
    (1, "id", Form::Text),
    (2, "$schema", Form::Text),
    (3, "$ref", Form::Text),
    (4, "description", Form::Text),
    (5, "type", Form::Text),
    (6, "format", Form::Text),
    (7, "title", Form::Text),
    (8, "default", Form::Json),
    (9, "maximum", Form::Double),
    (10, "exclusiveMaximum", Form::Flag),
    (11, "minimum", Form::Double),
    (12, "exclusiveMinimum", Form::Flag),
    (13, "maxLength", Form::Int),
    (14, "minLength", Form::Int),
    (15, "pattern", Form::Text),
    (16, "maxItems", Form::Int),
    (17, "minItems", Form::Int),
    (18, "uniqueItems", Form::Flag),
    (19, "multipleOf", Form::Double),
    (20, "enum", Form::Jsons),
    (21, "maxProperties", Form::Int),
    (22, "minProperties", Form::Int),
    (23, "required", Form::Texts),
    (24, "items", Form::SchemaOrList),
    (25, "allOf", Form::Schemas),
    (26, "oneOf", Form::Schemas),
    (27, "anyOf", Form::Schemas),
    (28, "not", Form::Schema),
    (29, "properties", Form::Named),
    (30, "additionalProperties", Form::FlagOrSchema),
    (31, "patternProperties", Form::Named),
    (32, "dependencies", Form::Refused),
    (33, "additionalItems", Form::FlagOrSchema),
    (34, "definitions", Form::Named),
    (35, "externalDocs", Form::Refused),
    (36, "example", Form::Json),
    (37, "nullable", Form::Flag),
    (38, "x-kubernetes-preserve-unknown-fields", Form::Flag),
    (39, "x-kubernetes-embedded-resource", Form::Flag),
    (40, "x-kubernetes-int-or-string", Form::Flag),
    (41, "x-kubernetes-list-map-keys", Form::Texts),
    (42, "x-kubernetes-list-type", Form::Text),
    (43, "x-kubernetes-map-type", Form::Text),
    (44, "x-kubernetes-validations", Form::Rules),
];

/// The texts of `ValidationRule`. Its last field says whether it runs without an old value.
const RULE: [(u32, &str); 5] = [(1, "rule"), (2, "message"), (3, "messageExpression"), (4, "reason"), (5, "fieldPath")];
const OPTIONAL_OLD_SELF: u32 = 6;

/// A CustomResourceDefinition as Kubernetes' clients send it, as the message of `proto/`: with schemas as JSON.
///
/// # Errors
/// If it is no such message, or a schema is larger than any may be.
pub fn definition_from_protobuf(bytes: &[u8]) -> Result<Bytes, Error> {
    let raw = |text: &str| {
        let mut raw = Vec::new();
        put_bytes(RAW_FIELD, text.as_bytes(), &mut raw);
        raw
    };
    let mut schemas = Schemas { left: SCHEMAS_MAX };
    let with_schemas =
        rewritten(bytes, &TO_SCHEMAS, &mut |schema| Ok(raw(&schemas.schema(schema, SCHEMA_DEPTH_MAX)?.to_string())))?;
    // Webhooks are refused whoever they are.
    Ok(rewritten(&with_schemas, &TO_WEBHOOK, &mut |_| Ok(raw("{}")))?.into())
}

/// A message in which something else stands at the end of a path.
fn rewritten(
    bytes: &[u8],
    path: &[u32],
    change: &mut impl FnMut(&[u8]) -> Result<Vec<u8>, Error>,
) -> Result<Vec<u8>, Error> {
    let Some((next, rest)) = path.split_first() else { return change(bytes) };
    let mut into = Vec::with_capacity(bytes.len());
    let mut reader = Reader::new(bytes);
    for (number, payload) in reader.by_ref() {
        match payload {
            Payload::Varint(value) => put_number(number, value, &mut into),
            Payload::Bytes(content) if number == *next => {
                put_bytes(number, &rewritten(content, rest, change)?, &mut into);
            }
            Payload::Bytes(content) => put_bytes(number, content, &mut into),
            // No field on the way is one.
            Payload::Fixed(_) => {}
        }
    }
    if reader.finished() { Ok(into) } else { Err(unreadable()) }
}

fn unreadable() -> Error {
    Error::bad_request("the body is not a CustomResourceDefinition: a message in it ends too early")
}

/// Reads schemas, counting.
struct Schemas {
    left: usize,
}

impl Schemas {
    fn schema(&mut self, bytes: &[u8], deeper: usize) -> Result<Value, Error> {
        if self.left == 0 || deeper == 0 {
            let message = format!(
                "schemas: those of a definition may be {SCHEMAS_MAX} in all, nested no deeper than {SCHEMA_DEPTH_MAX}"
            );
            return Err(Error::bad_request(message));
        }
        self.left -= 1;
        let mut schema = Map::new();
        let mut reader = Reader::new(bytes);
        for (number, payload) in reader.by_ref() {
            if let Some((_, word, form)) = FIELDS.iter().find(|(known, ..)| *known == number) {
                self.field(word, *form, payload, deeper, &mut schema)?;
            }
        }
        if reader.finished() { Ok(Value::Object(schema)) } else { Err(unreadable()) }
    }

    /// Go writes empty texts and flags that are not set as well: both are as good as absent.
    fn field(
        &mut self,
        word: &str,
        form: Form,
        payload: Payload<'_>,
        deeper: usize,
        schema: &mut Map<String, Value>,
    ) -> Result<(), Error> {
        let value = match form {
            Form::Text => Some(text(payload)).filter(|text| !text.is_empty()).map(Value::from),
            Form::Flag => (payload.varint() != 0).then_some(Value::Bool(true)),
            Form::Int => Some(payload.int64().into()),
            Form::Double => Some(number(payload)),
            Form::Json => Some(raw(payload)?),
            Form::Schema => Some(self.schema(payload.bytes(), deeper - 1)?),
            Form::Jsons => push(schema, word, raw(payload)?),
            Form::Texts => push(schema, word, text(payload).into()),
            Form::Schemas => {
                let value = self.schema(payload.bytes(), deeper - 1)?;
                push(schema, word, value)
            }
            Form::Rules => push(schema, word, rule(payload.bytes())),
            Form::Named => return self.named(word, payload.bytes(), deeper, schema),
            Form::SchemaOrList => Some(self.one_or_several(payload.bytes(), deeper)?),
            Form::FlagOrSchema => Some(self.flag_or_schema(payload.bytes(), deeper)?),
            Form::Refused => Some(json!({})),
        };
        if let Some(value) = value {
            schema.insert(word.to_owned(), value);
        }
        Ok(())
    }

    fn named(&mut self, word: &str, entry: &[u8], deeper: usize, schema: &mut Map<String, Value>) -> Result<(), Error> {
        let (mut name, mut content) = (String::new(), &[][..]);
        for (number, payload) in Reader::new(entry) {
            match number {
                1 => name = text(payload),
                2 => content = payload.bytes(),
                _ => {}
            }
        }
        let value = self.schema(content, deeper - 1)?;
        if let Value::Object(named) = schema.entry(word).or_insert_with(|| json!({})) {
            named.insert(name, value);
        }
        Ok(())
    }

    fn one_or_several(&mut self, bytes: &[u8], deeper: usize) -> Result<Value, Error> {
        let mut several = Vec::new();
        for (number, payload) in Reader::new(bytes) {
            let schema = self.schema(payload.bytes(), deeper - 1)?;
            if number == 1 {
                return Ok(schema);
            }
            several.push(schema);
        }
        Ok(several.into())
    }

    fn flag_or_schema(&mut self, bytes: &[u8], deeper: usize) -> Result<Value, Error> {
        let mut allows = false;
        for (number, payload) in Reader::new(bytes) {
            match number {
                1 => allows = payload.varint() != 0,
                2 => return self.schema(payload.bytes(), deeper - 1),
                _ => {}
            }
        }
        Ok(allows.into())
    }
}

/// Adds an element to a list; what is to be set instead of a list is nothing.
fn push(schema: &mut Map<String, Value>, word: &str, value: Value) -> Option<Value> {
    if let Value::Array(list) = schema.entry(word).or_insert_with(|| json!([])) {
        list.push(value);
    }
    None
}

fn text(payload: Payload<'_>) -> String {
    String::from_utf8_lossy(payload.bytes()).into_owned()
}

/// A number that is whole is written as such, as people write it.
fn number(payload: Payload<'_>) -> Value {
    let Payload::Fixed(bits) = payload else { return Value::Null };
    let number = f64::from_bits(bits);
    whole(number).map_or_else(|| number.into(), Value::from)
}

/// The value in Kubernetes' message `JSON`.
fn raw(payload: Payload<'_>) -> Result<Value, Error> {
    let raw = Reader::new(payload.bytes()).find(|(number, _)| *number == RAW_FIELD);
    let text = raw.map_or(&[][..], |(_, payload)| payload.bytes());
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(text)
        .map_err(|error| Error::bad_request(format!("a value in a schema is not JSON: {error}")))
}

fn rule(bytes: &[u8]) -> Value {
    let mut rule = Map::new();
    for (number, payload) in Reader::new(bytes) {
        if number == OPTIONAL_OLD_SELF {
            rule.insert("optionalOldSelf".to_owned(), (payload.varint() != 0).into());
        }
        if let Some((_, word)) = RULE.iter().find(|(known, _)| *known == number) {
            let said = text(payload);
            if !said.is_empty() {
                rule.insert((*word).to_owned(), said.into());
            }
        }
    }
    rule.into()
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::{
        apiextensions_v1::CustomResourceDefinition,
        custom::schema_of,
        envelope::{self, Envelope},
        wire::put_varint,
    };

    fn field(number: u32, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_bytes(number, content, &mut bytes);
        bytes
    }

    fn varint(number: u32, value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_number(number, value, &mut bytes);
        bytes
    }

    fn double(number: u32, value: f64) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_varint(u64::from(number) << 3 | 1, &mut bytes);
        bytes.extend(value.to_le_bytes());
        bytes
    }

    fn of_type(word: &str) -> Vec<u8> {
        field(5, word.as_bytes())
    }

    fn named(name: &str, schema: &[u8]) -> Vec<u8> {
        field(29, &[field(1, name.as_bytes()), field(2, schema)].concat())
    }

    /// A definition with one version of this schema, beside fields that are kept as they are.
    fn definition(schema: &[u8]) -> Vec<u8> {
        let version = [field(1, b"v1"), varint(2, 1), field(4, &field(1, schema))].concat();
        let conversion = [field(1, b"Webhook"), field(2, &field(1, &field(3, b"https://x")))].concat();
        [
            field(1, &field(1, b"a")),
            field(2, &[field(1, b"example.com"), field(7, &version), field(9, &conversion)].concat()),
        ]
        .concat()
    }

    #[test]
    fn every_keyword_is_found_again() {
        let rule = [field(1, b"self > 1"), field(2, b""), varint(6, 0)].concat();
        let schema = [
            field(1, b""),
            of_type("object"),
            double(9, 3.0),
            varint(10, 0),
            varint(37, 0),
            named(
                "size",
                &[of_type("integer"), field(8, &field(1, b"7")), double(9, 10.0), double(11, 0.5), varint(13, 0)]
                    .concat(),
            ),
            named(
                "list",
                &[of_type("array"), field(24, &field(1, &of_type("string"))), field(41, b"a"), field(41, b"b")]
                    .concat(),
            ),
            named("map", &[of_type("object"), field(30, &field(2, &of_type("string")))].concat()),
            named(
                "free",
                &[varint(38, 1), field(30, &varint(1, 1)), field(20, &field(1, b"\"x\"")), field(28, &varint(37, 1))]
                    .concat(),
            ),
            field(23, b"size"),
            field(44, &rule),
        ]
        .concat();
        let (api_version, kind) = ("apiextensions.k8s.io/v1".to_owned(), "CustomResourceDefinition".to_owned());
        let body = envelope::encode(&Envelope { api_version, kind, raw: definition(&schema).into() });
        let sent = envelope::decode(&body).expect("an envelope").raw;
        let bytes = definition_from_protobuf(&sent).expect("a definition");
        let read = CustomResourceDefinition::decode(bytes).expect("a definition");
        let spec = read.spec.as_ref().expect("a spec");
        assert_eq!(
            schema_of(&spec.versions[0]),
            Some(json!({
                "type": "object",
                "maximum": 3,
                "properties": {
                    "size": {"type": "integer", "default": 7, "maximum": 10, "minimum": 0.5, "maxLength": 0},
                    "list": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-map-keys": ["a", "b"]},
                    "map": {"type": "object", "additionalProperties": {"type": "string"}},
                    "free": {
                        "x-kubernetes-preserve-unknown-fields": true, "additionalProperties": true, "enum": ["x"],
                        "not": {"nullable": true},
                    },
                },
                "required": ["size"],
                "x-kubernetes-validations": [{"rule": "self > 1", "optionalOldSelf": false}],
            }))
        );
        assert_eq!((spec.group.as_str(), spec.versions[0].served), ("example.com", true));
        assert_eq!(read.metadata.map(|metadata| metadata.name), Some("a".to_owned()));
        assert!(spec.conversion.as_ref().is_some_and(|conversion| conversion.webhook.is_some()));
    }

    #[test]
    fn what_is_no_schema_or_too_large_is_refused() {
        let mut deep = of_type("object");
        for _ in 0..SCHEMA_DEPTH_MAX {
            deep = field(28, &deep);
        }
        let many = field(25, &[]).repeat(SCHEMAS_MAX);
        for (schema, why) in [
            (deep, "no deeper"),
            (many, "in all"),
            (field(8, &field(1, b"{")), "not JSON"),
            (b"\x2a\x09a".to_vec(), "too early"),
        ] {
            let error = definition_from_protobuf(&definition(&schema)).expect_err(why);
            assert!(error.message.contains(why), "{error}");
        }
    }
}
