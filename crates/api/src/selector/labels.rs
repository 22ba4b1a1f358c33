//! Label selectors: `app=web,tier in (a,b),!debug`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use super::{few, short};
use crate::{Error, encoded, meta_v1, names};

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// The label is there and its value is one of the values: `k=v`, `k in (v,w)`.
    In,
    /// The label is absent or its value is none of the values: `k!=v`, `k notin (v,w)`.
    NotIn,
    /// The label is there: `k`.
    Exists,
    /// The label is absent: `!k`.
    DoesNotExist,
    /// The value is a whole number greater than the one given: `k>1`.
    Gt,
    /// The value is a whole number less than the one given: `k<1`.
    Lt,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what.
    pub values: BTreeSet<String>,
}

/// Conditions on labels, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Labels {
    requirements: Vec<Requirement>,
    /// Set for the absent selector, which is not the empty one.
    nothing: bool,
}

impl Labels {
    /// Selects every object.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }

    /// Selects no object: what an absent `LabelSelector` means.
    #[must_use]
    pub fn nothing() -> Self {
        Self { requirements: Vec::new(), nothing: true }
    }

    /// Reads the text of a `labelSelector` parameter; empty selects everything.
    ///
    /// # Errors
    /// [`crate::Reason::BadRequest`] if it is not understood; the message says where and why.
    pub fn parse(text: &str) -> Result<Self, Error> {
        short("labelSelector", text)?;
        let mut parser = Parser { text, rest: text };
        let labels = parser.selector().map_err(|why| Error::bad_request(parser.complain(&why)))?;
        few("labelSelector", labels.requirements.len())?;
        Ok(labels)
    }

    /// All labels with the given values: a `matchLabels`, a `nodeSelector`. Empty selects everything; for a Service, whose
    /// empty selector selects nothing, that is for the caller to see.
    #[must_use]
    pub fn from_map(labels: &BTreeMap<String, String>) -> Self {
        Self { requirements: labels.iter().map(|(key, value)| equals(key, value)).collect(), nothing: false }
    }

    /// The selector of a Deployment, ReplicaSet or spread constraint. Empty selects everything.
    ///
    /// # Errors
    /// [`crate::Reason::BadRequest`] if an operator is unknown, or has too many or too few values.
    pub fn from_selector(selector: &meta_v1::LabelSelector) -> Result<Self, Error> {
        let mut labels = Self::from_map(&selector.match_labels);
        for expression in &selector.match_expressions {
            labels.requirements.push(expression_of(expression)?);
        }
        Ok(labels.sorted())
    }

    /// As [`Labels::from_selector`]; an absent selector selects nothing.
    ///
    /// # Errors
    /// As [`Labels::from_selector`].
    pub fn from_optional(selector: Option<&meta_v1::LabelSelector>) -> Result<Self, Error> {
        selector.map_or_else(|| Ok(Self::nothing()), Self::from_selector)
    }

    /// Whether an object with these labels is meant.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.nothing && self.requirements.iter().all(|requirement| requirement.matches(labels))
    }

    /// As [`Labels::matches`], of the bytes of an object.
    #[must_use]
    pub fn matches_stored(&self, bytes: &[u8]) -> bool {
        let admits = |requirement: &Requirement| requirement.admits(encoded::label(bytes, &requirement.key));
        !self.nothing && self.requirements.iter().all(admits)
    }

    /// Whether every object is meant.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// Whether no object is meant, whatever its labels.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.nothing
    }

    /// The conditions, in order of their labels.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    fn sorted(mut self) -> Self {
        self.requirements.sort();
        self
    }
}

impl Requirement {
    /// Whether an object with these labels satisfies it.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.admits(labels.get(&self.key).map(String::as_str))
    }

    /// Whether it is satisfied by the value of its label.
    fn admits(&self, value: Option<&str>) -> bool {
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Gt => self.compare(value).is_some_and(std::cmp::Ordering::is_gt),
            Operator::Lt => self.compare(value).is_some_and(std::cmp::Ordering::is_lt),
        }
    }

    fn compare(&self, value: Option<&str>) -> Option<std::cmp::Ordering> {
        let value: i64 = value?.parse().ok()?;
        let limit: i64 = self.values.first()?.parse().ok()?;
        Some(value.cmp(&limit))
    }
}

fn equals(key: &str, value: &str) -> Requirement {
    Requirement { key: key.to_owned(), operator: Operator::In, values: BTreeSet::from([value.to_owned()]) }
}

fn expression_of(expression: &meta_v1::LabelSelectorRequirement) -> Result<Requirement, Error> {
    let meta_v1::LabelSelectorRequirement { key, operator, values } = expression;
    let (operator, with_values) = match operator.as_str() {
        "In" => (Operator::In, true),
        "NotIn" => (Operator::NotIn, true),
        "Exists" => (Operator::Exists, false),
        "DoesNotExist" => (Operator::DoesNotExist, false),
        _ => {
            let why = format!("{operator:?} is no label selector operator; use In, NotIn, Exists or DoesNotExist");
            return Err(Error::bad_request(why));
        }
    };
    if with_values == values.is_empty() {
        let need = if with_values { "at least one value" } else { "no values" };
        return Err(Error::bad_request(format!("label selector on {key:?}: the operator takes {need}")));
    }
    Ok(Requirement { key: key.clone(), operator, values: values.iter().cloned().collect() })
}

impl FromStr for Labels {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, operator, values } = self;
        let first = values.first().map_or("", String::as_str);
        let list = || values.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        match operator {
            Operator::In if values.len() == 1 => write!(f, "{key}={first}"),
            Operator::In => write!(f, "{key} in ({})", list()),
            Operator::NotIn if values.len() == 1 => write!(f, "{key}!={first}"),
            Operator::NotIn => write!(f, "{key} notin ({})", list()),
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::Gt => write!(f, "{key}>{first}"),
            Operator::Lt => write!(f, "{key}<{first}"),
        }
    }
}

impl fmt::Display for Labels {
    /// The canonical text: conditions by label, values in order. [`Labels::parse`] reads it again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{requirement}")?;
        }
        Ok(())
    }
}

/// A selector as `kubectl` prints it: `app=web,tier in (a,b)`; `<none>` where everything is meant or nothing is said.
#[must_use]
pub fn print(selector: Option<&meta_v1::LabelSelector>) -> String {
    match selector.map(Labels::from_selector) {
        None => "<none>".to_owned(),
        Some(Ok(labels)) if labels.is_everything() => "<none>".to_owned(),
        Some(Ok(labels)) => labels.to_string(),
        Some(Err(_)) => "<error>".to_owned(),
    }
}

/// Reads a selector from left to right.
struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
}

/// What separates words.
const PUNCTUATION: [char; 7] = ['=', '!', '(', ')', ',', '<', '>'];

impl<'a> Parser<'a> {
    fn selector(&mut self) -> Result<Labels, String> {
        let mut labels = Labels::everything();
        self.skip_blanks();
        while !self.rest.is_empty() {
            labels.requirements.push(self.requirement()?);
            if self.take(",") {
                if self.rest.is_empty() {
                    return Err("a condition must follow the last comma".to_owned());
                }
            } else if !self.rest.is_empty() {
                return Err("a comma must separate two conditions".to_owned());
            }
        }
        Ok(labels.sorted())
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let negated = self.take("!");
        let key = self.word().to_owned();
        if let Some(why) = names::qualified(&key).into_iter().next() {
            return Err(format!("{key:?} is no label: {why}"));
        }
        if negated || self.rest.is_empty() || self.rest.starts_with(',') {
            let operator = if negated { Operator::DoesNotExist } else { Operator::Exists };
            return Ok(Requirement { key, operator, values: BTreeSet::new() });
        }
        let (operator, set) = self.operator()?;
        let values = if set { self.set()? } else { BTreeSet::from([self.word().to_owned()]) };
        check_values(operator, &values)?;
        Ok(Requirement { key, operator, values })
    }

    /// The operator, and whether a list follows it.
    fn operator(&mut self) -> Result<(Operator, bool), String> {
        for (sign, operator) in [
            ("==", Operator::In),
            ("=", Operator::In),
            ("!=", Operator::NotIn),
            (">", Operator::Gt),
            ("<", Operator::Lt),
        ] {
            if self.take(sign) {
                return Ok((operator, false));
            }
        }
        match self.word() {
            "in" => Ok((Operator::In, true)),
            "notin" => Ok((Operator::NotIn, true)),
            other => Err(format!("{other:?} is no operator; use =, ==, !=, in, notin, > or <")),
        }
    }

    fn set(&mut self) -> Result<BTreeSet<String>, String> {
        if !self.take("(") {
            return Err("in and notin take a list in parentheses".to_owned());
        }
        let mut values = BTreeSet::from([self.word().to_owned()]);
        while self.take(",") {
            values.insert(self.word().to_owned());
        }
        if self.take(")") { Ok(values) } else { Err("the list does not end with a parenthesis".to_owned()) }
    }

    fn word(&mut self) -> &'a str {
        let end = self.rest.find(|c: char| c.is_whitespace() || PUNCTUATION.contains(&c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.skip_blanks();
        word
    }

    fn take(&mut self, sign: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(sign) else { return false };
        self.rest = rest;
        self.skip_blanks();
        true
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn complain(&self, why: &str) -> String {
        let at = self.text.len() - self.rest.len();
        format!("unable to parse label selector {:?} at byte {at}: {why}", self.text)
    }
}

fn check_values(operator: Operator, values: &BTreeSet<String>) -> Result<(), String> {
    for value in values {
        if let Some(why) = names::label_value(value).into_iter().next() {
            return Err(format!("{value:?} is no label value: {why}"));
        }
        if matches!(operator, Operator::Gt | Operator::Lt) && value.parse::<i64>().is_err() {
            return Err(format!("{value:?} is no whole number, which > and < compare with"));
        }
    }
    Ok(())
}
