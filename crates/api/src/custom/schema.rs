//! Structural schemas, compiled: what may stand at each place of an object, as OpenAPI v3 and Kubernetes' own keywords say it.
//! No more is in them than what objects are held against.

use std::{collections::BTreeMap, sync::OnceLock};

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::source::{Extra, Source};

/// The most bytes of a pattern when it is compiled. Patterns that people write take some KiB.
pub const PATTERN_BYTES_MAX: usize = 256 << 10;

/// What may stand at one place of an object.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    pub(super) r#type: Option<Type>,
    pub(super) nullable: bool,
    pub(super) preserves_unknown: bool,
    pub(super) is_resource: bool,
    pub(super) int_or_string: bool,
    pub(super) default: Option<Box<Default>>,
    pub(super) properties: BTreeMap<Box<str>, Schema>,
    pub(super) additional: Additional,
    pub(super) items: Option<Box<Schema>>,
    pub(super) list: ListType,
    pub(super) map_keys: Box<[Box<str>]>,
    pub(super) map: MapType,
    pub(super) checks: Option<Box<Checks>>,
    pub(super) rules: Box<[Rule]>,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `array`.
    Array,
    /// `boolean`.
    Boolean,
    /// `integer`.
    Integer,
    /// `number`.
    Number,
    /// `object`.
    Object,
    /// `string`.
    String,
}

/// What may stand in an object beside its named fields.
#[derive(Clone, Debug, Default)]
pub enum Additional {
    /// The schema does not say: such fields are pruned.
    #[default]
    Unsaid,
    /// Anything, or nothing.
    Any(bool),
    /// Values of a schema: the object is a map.
    Schema(Box<Schema>),
}

/// How the elements of a list are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListType {
    /// Not at all: the list is one value.
    #[default]
    Atomic,
    /// By their values.
    Set,
    /// By the fields that the schema names as keys.
    Map,
}

/// Whether the fields of an object can be written apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MapType {
    /// They can.
    #[default]
    Granular,
    /// The object is one value.
    Atomic,
}

/// What stands in a field that nobody has set.
#[derive(Clone, Debug)]
pub(super) struct Default {
    pub(super) value: Value,
    /// The length of its text: what it adds to an object.
    pub(super) bytes: usize,
}

/// One of `x-kubernetes-validations`.
#[derive(Clone, Debug, std::default::Default, PartialEq, Eq)]
pub struct Rule {
    /// The expression that must be true.
    pub rule: String,
    /// What is said if it is not.
    pub message: String,
    /// An expression that makes the message.
    pub message_expression: String,
    /// One of Kubernetes' four reasons; empty for `FieldValueInvalid`.
    pub reason: String,
    /// Which field is at fault, from the place of the rule on.
    pub field_path: String,
    /// Whether the rule also runs where there is no old value.
    pub optional_old_self: Option<bool>,
}

/// What is asked of a value beside its type.
#[derive(Clone, Debug, std::default::Default)]
pub(super) struct Checks {
    pub(super) format: Box<str>,
    pub(super) maximum: Option<f64>,
    pub(super) exclusive_maximum: bool,
    pub(super) minimum: Option<f64>,
    pub(super) exclusive_minimum: bool,
    pub(super) multiple_of: Option<f64>,
    pub(super) max_length: Option<u64>,
    pub(super) min_length: Option<u64>,
    pub(super) max_items: Option<u64>,
    pub(super) min_items: Option<u64>,
    pub(super) max_properties: Option<u64>,
    pub(super) min_properties: Option<u64>,
    pub(super) pattern: Option<Pattern>,
    pub(super) values: Box<[Value]>,
    pub(super) required: Box<[Box<str>]>,
    pub(super) all_of: Box<[Schema]>,
    pub(super) any_of: Box<[Schema]>,
    pub(super) one_of: Box<[Schema]>,
    pub(super) not: Option<Box<Schema>>,
}

/// A regular expression, compiled when a value is first held against it.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) text: Box<str>,
    compiled: OnceLock<Option<Regex>>,
}

impl Type {
    pub(super) const ALL: [Self; 6] =
        [Self::Array, Self::Boolean, Self::Integer, Self::Number, Self::Object, Self::String];

    /// The word for it in schemas.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Array => "array",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Object => "object",
            Self::String => "string",
        }
    }

    pub(super) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.word() == word)
    }
}

impl ListType {
    const ALL: [(Self, &'static str); 3] = [(Self::Atomic, "atomic"), (Self::Set, "set"), (Self::Map, "map")];

    fn from_word(word: &str) -> Self {
        Self::ALL.into_iter().find(|(_, known)| *known == word).map_or(Self::Atomic, |(list, _)| list)
    }
}

impl Pattern {
    fn new(text: &str) -> Self {
        Self { text: text.into(), compiled: OnceLock::new() }
    }

    /// Whether it is found in a text. A pattern that cannot be compiled is found nowhere; none such is let in.
    pub(super) fn is_found_in(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| pattern(&self.text).ok());
        compiled.as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

/// A pattern of bounded size.
pub(super) fn pattern(text: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX).build();
    built.map_err(|error| {
        if let regex::Error::CompiledTooBig(bytes) = error {
            return format!("it takes more than {bytes} bytes; make its repetitions shorter");
        }
        error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })
}

impl Schema {
    pub(super) fn compile(source: Source<'_>) -> Self {
        let default =
            source.value("default").map(|value| Default { value: value.clone(), bytes: value.to_string().len() });
        Self {
            r#type: Type::from_word(source.text("type")),
            nullable: source.flag("nullable"),
            preserves_unknown: source.flag("x-kubernetes-preserve-unknown-fields"),
            is_resource: source.flag("x-kubernetes-embedded-resource"),
            int_or_string: source.flag("x-kubernetes-int-or-string"),
            default: default.map(Box::new),
            properties: source.named("properties").map(|(name, schema)| (name.into(), Self::compile(schema))).collect(),
            additional: match source.additional() {
                Extra::Unsaid => Additional::Unsaid,
                Extra::Any(any) => Additional::Any(any),
                Extra::Schema(schema) => Additional::Schema(Box::new(Self::compile(schema))),
            },
            items: source.schema("items").map(|schema| Box::new(Self::compile(schema))),
            list: ListType::from_word(source.text("x-kubernetes-list-type")),
            map_keys: source.texts("x-kubernetes-list-map-keys").map(Box::from).collect(),
            map: if source.text("x-kubernetes-map-type") == "atomic" { MapType::Atomic } else { MapType::Granular },
            checks: Checks::compile(source).map(Box::new),
            rules: source.schemas("x-kubernetes-validations").map(Rule::read).collect(),
        }
    }

    /// The same schema for the root of an object, or of an object within another, which always has metadata.
    #[must_use]
    pub fn into_resource(mut self) -> Self {
        self.is_resource = true;
        self
    }

    /// The type of the value; `None` if it may have several.
    #[must_use]
    pub fn r#type(&self) -> Option<Type> {
        self.r#type
    }

    /// How the elements of the list are told apart.
    #[must_use]
    pub fn list_type(&self) -> ListType {
        self.list
    }

    /// By which fields, if it is [`ListType::Map`].
    pub fn map_keys(&self) -> impl Iterator<Item = &str> {
        self.map_keys.iter().map(AsRef::as_ref)
    }

    /// Whether the fields of the object can be written apart.
    #[must_use]
    pub fn map_type(&self) -> MapType {
        self.map
    }

    /// Whether fields that the schema does not have are kept.
    #[must_use]
    pub fn preserves_unknown(&self) -> bool {
        self.preserves_unknown
    }

    /// Whether the value is an object with a type and metadata of its own.
    #[must_use]
    pub fn is_resource(&self) -> bool {
        self.is_resource
    }

    /// What stands in the field if nobody sets it.
    #[must_use]
    pub fn default_value(&self) -> Option<&Value> {
        self.default.as_ref().map(|default| &default.value)
    }

    /// The schema of the elements of the list.
    #[must_use]
    pub fn items(&self) -> Option<&Self> {
        self.items.as_deref()
    }

    /// The schema of a field by its name, or of the entries of a map.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).or_else(|| self.entries())
    }

    /// The fields that have names.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.properties.iter().map(|(name, schema)| (&**name, schema))
    }

    /// The schema of the entries, if the value is a map.
    #[must_use]
    pub fn entries(&self) -> Option<&Self> {
        match &self.additional {
            Additional::Schema(schema) => Some(schema),
            Additional::Unsaid | Additional::Any(_) => None,
        }
    }

    /// Its rules.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

impl Rule {
    pub(super) fn read(source: Source<'_>) -> Self {
        Self {
            rule: source.text("rule").to_owned(),
            message: source.text("message").to_owned(),
            message_expression: source.text("messageExpression").to_owned(),
            reason: source.text("reason").to_owned(),
            field_path: source.text("fieldPath").to_owned(),
            optional_old_self: source.value("optionalOldSelf").and_then(Value::as_bool),
        }
    }
}

impl Checks {
    fn compile(source: Source<'_>) -> Option<Self> {
        let schemas = |word| source.schemas(word).map(Schema::compile).collect();
        let count = |word| source.integer(word).map(|count| u64::try_from(count).unwrap_or_default());
        let pattern = source.text("pattern");
        let checks = Self {
            format: source.text("format").replace('-', "").into(),
            maximum: source.number("maximum"),
            exclusive_maximum: source.flag("exclusiveMaximum"),
            minimum: source.number("minimum"),
            exclusive_minimum: source.flag("exclusiveMinimum"),
            multiple_of: source.number("multipleOf"),
            max_length: count("maxLength"),
            min_length: count("minLength"),
            max_items: count("maxItems"),
            min_items: count("minItems"),
            max_properties: count("maxProperties"),
            min_properties: count("minProperties"),
            pattern: (!pattern.is_empty()).then(|| Pattern::new(pattern)),
            values: source.values("enum").into(),
            required: source.texts("required").map(Box::from).collect(),
            all_of: schemas("allOf"),
            any_of: schemas("anyOf"),
            one_of: schemas("oneOf"),
            not: source.schema("not").map(|schema| Box::new(Schema::compile(schema))),
        };
        source.has_any(Self::WORDS).then_some(checks)
    }

    /// The keywords that are checks.
    const WORDS: &[&str] = &[
        "allOf",
        "anyOf",
        "enum",
        "format",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "multipleOf",
        "not",
        "oneOf",
        "pattern",
        "required",
    ];
}
