//! A schema as it stands in a definition: JSON whose keywords have the right types, because `shape` has looked.

use serde_json::{Map, Value};

/// One schema. What is asked for and not there is empty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Source<'a>(&'a Map<String, Value>);

/// The keyword `additionalProperties`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Extra<'a> {
    Unsaid,
    Any(bool),
    Schema(Source<'a>),
}

impl<'a> Source<'a> {
    pub(super) fn of(value: &'a Value) -> Option<Self> {
        value.as_object().map(Self)
    }

    /// What stands behind a keyword; `null` is nothing.
    pub(super) fn value(self, word: &str) -> Option<&'a Value> {
        self.0.get(word).filter(|value| !value.is_null())
    }

    pub(super) fn has(self, word: &str) -> bool {
        self.value(word).is_some()
    }

    pub(super) fn has_any(self, words: &[&str]) -> bool {
        words.iter().any(|word| self.has(word))
    }

    /// Every keyword with something behind it.
    pub(super) fn words(self) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(|(_, value)| !value.is_null()).map(|(word, _)| word.as_str())
    }

    pub(super) fn text(self, word: &str) -> &'a str {
        self.value(word).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn flag(self, word: &str) -> bool {
        self.value(word).and_then(Value::as_bool).unwrap_or_default()
    }

    pub(super) fn number(self, word: &str) -> Option<f64> {
        self.value(word).and_then(Value::as_f64)
    }

    pub(super) fn integer(self, word: &str) -> Option<i64> {
        let value = self.value(word)?;
        value.as_i64().or_else(|| value.as_f64().and_then(crate::json::whole))
    }

    pub(super) fn values(self, word: &str) -> &'a [Value] {
        self.value(word).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn texts(self, word: &str) -> impl Iterator<Item = &'a str> {
        self.values(word).iter().filter_map(Value::as_str)
    }

    pub(super) fn schema(self, word: &str) -> Option<Self> {
        self.value(word).and_then(Self::of)
    }

    pub(super) fn schemas(self, word: &str) -> impl Iterator<Item = Self> {
        self.values(word).iter().filter_map(Self::of)
    }

    /// Schemas by name, as behind `properties`.
    pub(super) fn named(self, word: &str) -> impl Iterator<Item = (&'a str, Self)> {
        let map = self.value(word).and_then(Value::as_object);
        map.into_iter().flatten().filter_map(|(name, value)| Some((name.as_str(), Self::of(value)?)))
    }

    pub(super) fn property(self, name: &str) -> Option<Self> {
        self.value("properties")?.get(name).and_then(Self::of)
    }

    pub(super) fn additional(self) -> Extra<'a> {
        match self.value("additionalProperties") {
            None => Extra::Unsaid,
            Some(value) => match Self::of(value) {
                Some(schema) => Extra::Schema(schema),
                None => Extra::Any(value.as_bool().unwrap_or_default()),
            },
        }
    }

    /// Whether it says nothing but a type, and this one.
    fn is_bare(self, word: &str) -> bool {
        self.text("type") == word && self.words().count() == 1
    }

    /// Whether its `anyOf` is the one that Kubernetes lets stand beside `x-kubernetes-int-or-string`.
    pub(super) fn is_int_or_string(self) -> bool {
        let mut of = self.schemas("anyOf");
        let first = of.next().is_some_and(|schema| schema.is_bare("integer"));
        first && of.next().is_some_and(|schema| schema.is_bare("string")) && of.next().is_none()
    }
}
