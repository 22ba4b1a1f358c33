//! Judges objects by the schema of their kind, in Kubernetes' words.
//!
//! On an update, what is as it was is not judged again: an object that was stored under another schema stays writable where
//! nobody touches what that schema let pass.

use std::fmt;

use serde_json::Value;

use super::{
    embedded, lists,
    schema::{Additional, Checks, ListType, MapType, Pattern, Schema, Type},
    shown::{Shown, type_of},
};
use crate::{
    formats,
    validate::{Causes, Path},
};

/// The most steps that judging one object may take: a step is one look at one value by one schema, or at a KiB of a text by a
/// pattern. The largest objects of the largest kinds take some hundred thousand.
pub const STEPS_MAX: usize = 10_000_000;

/// Bytes of a text that a pattern looks at within one step.
const BYTES_A_STEP: usize = 1 << 10;

/// What is wrong with an object that replaces another.
pub(super) fn check_update(causes: &mut Causes, old: &Value, new: &Value, schema: &Schema) {
    embedded::check(causes, new, schema, &Path::Root);
    judge(causes, new, Some(old), schema, &Path::Root);
    let mut doubles = Causes::default();
    lists::check(&mut doubles, new, schema, &Path::Root);
    if doubles.is_empty() {
        return;
    }
    let mut before = Causes::default();
    lists::check(&mut before, old, schema, &Path::Root);
    if before.is_empty() {
        causes.absorb(doubles);
    }
}

/// All that can be wrong with a value of a schema: its embedded objects, itself, and its lists.
pub(super) fn check(causes: &mut Causes, value: &Value, schema: &Schema, at: &Path<'_>) {
    embedded::check(causes, value, schema, at);
    judge(causes, value, None, schema, at);
    lists::check(causes, value, schema, at);
}

fn judge(causes: &mut Causes, value: &Value, old: Option<&Value>, schema: &Schema, at: &Path<'_>) {
    let mut judge = Judge { causes: std::mem::take(causes), steps: 0, passed: 0 };
    judge.value(value, old, schema, at);
    *causes = judge.causes;
    if judge.steps > STEPS_MAX {
        let why = "the object takes too long to validate; make it smaller, or its schema simpler";
        causes.forbidden(at, why);
    }
}

/// Looks at values, counting.
struct Judge {
    causes: Causes,
    steps: usize,
    /// How many checks were passed: of several schemas that do not fit, the nearest has most.
    passed: usize,
}

impl Judge {
    fn value(&mut self, value: &Value, old: Option<&Value>, schema: &Schema, at: &Path<'_>) {
        if !self.goes_on(1) || old == Some(value) {
            return;
        }
        if !self.r#type(value, schema, at) {
            return;
        }
        let checks = schema.checks.as_deref();
        if let Some(checks) = checks {
            self.junctors(value, checks, at);
            match value {
                Value::String(text) => self.text(text, schema, checks, at),
                Value::Number(number) => self.number(value, number, schema, checks, at),
                Value::Array(_) | Value::Object(_) | Value::Null | Value::Bool(_) => {}
            }
        }
        if let Value::Array(items) = value {
            self.items(items, old, schema, at);
        }
        if let Some(checks) = checks {
            self.listed(value, checks, at);
        }
        if let Value::Object(fields) = value {
            self.fields(fields, old, schema, at);
        }
    }

    /// Counts steps; answers whether there are any left.
    fn goes_on(&mut self, steps: usize) -> bool {
        self.steps = self.steps.saturating_add(steps);
        self.steps <= STEPS_MAX
    }

    fn expect(&mut self, holds: bool, at: &Path<'_>, value: impl fmt::Debug, why: impl fmt::Display) {
        if holds {
            self.passed += 1;
        } else {
            self.causes.invalid(at, value, format_args!("{at} in body {why}"));
        }
    }

    /// Whether the value is of the schema's type, and more is to be asked of it.
    fn r#type(&mut self, value: &Value, schema: &Schema, at: &Path<'_>) -> bool {
        let wanted = match (schema.r#type, schema.int_or_string) {
            (_, true) => "integer,string",
            (Some(wanted), false) => wanted.word(),
            (None, false) => return !value.is_null(),
        };
        if value.is_null() && schema.nullable {
            return false;
        }
        let fits = match (schema.int_or_string, schema.r#type) {
            (true, _) => is_of(value, Type::Integer) || is_of(value, Type::String),
            (false, wanted) => wanted.is_none_or(|wanted| is_of(value, wanted)),
        };
        if fits {
            self.passed += 1;
        } else {
            let found = type_of(value);
            let why = format_args!("{at} in body must be of type {wanted}: {found:?}");
            self.causes.mistyped(at, found, why);
        }
        fits
    }

    fn junctors(&mut self, value: &Value, checks: &Checks, at: &Path<'_>) {
        if !checks.any_of.is_empty() {
            self.any_of(value, checks, at);
        }
        if !checks.one_of.is_empty() {
            self.one_of(value, checks, at);
        }
        if !checks.all_of.is_empty() {
            self.all_of(value, checks, at);
        }
        if let Some(not) = &checks.not
            && self.attempt(value, not, at).causes.is_empty()
            && self.goes_on(0)
        {
            self.causes.invalid(at, "", format_args!("\"{at}\" must not validate the schema (not)"));
        }
    }

    /// What another schema says of the same value.
    fn attempt(&mut self, value: &Value, schema: &Schema, at: &Path<'_>) -> Self {
        let mut other = Self { causes: Causes::default(), steps: self.steps, passed: 0 };
        other.value(value, None, schema, at);
        self.steps = other.steps;
        other
    }

    fn any_of(&mut self, value: &Value, checks: &Checks, at: &Path<'_>) {
        let mut nearest: Option<Self> = None;
        for schema in &checks.any_of {
            let attempt = self.attempt(value, schema, at);
            if attempt.causes.is_empty() {
                self.passed += attempt.passed;
                return;
            }
            nearest = nearer(nearest, attempt);
        }
        self.causes.invalid(at, "", format_args!("\"{at}\" must validate at least one schema (anyOf)"));
        self.take_over(nearest);
    }

    fn one_of(&mut self, value: &Value, checks: &Checks, at: &Path<'_>) {
        let mut nearest: Option<Self> = None;
        let mut fitting = 0;
        for schema in &checks.one_of {
            let attempt = self.attempt(value, schema, at);
            if attempt.causes.is_empty() {
                fitting += 1;
                self.passed += attempt.passed;
            } else {
                nearest = nearer(nearest, attempt);
            }
        }
        let found = match fitting {
            1 => return,
            0 => "Found none valid".to_owned(),
            more => format!("Found {more} valid alternatives"),
        };
        let why = format_args!("\"{at}\" must validate one and only one schema (oneOf). {found}");
        self.causes.invalid(at, "", why);
        self.take_over(nearest.filter(|_| fitting == 0));
    }

    fn all_of(&mut self, value: &Value, checks: &Checks, at: &Path<'_>) {
        let mut fitting = 0;
        for schema in &checks.all_of {
            let attempt = self.attempt(value, schema, at);
            fitting += usize::from(attempt.causes.is_empty());
            self.take_over(Some(attempt));
        }
        if fitting < checks.all_of.len() {
            let none = if fitting == 0 { ". None validated" } else { "" };
            self.causes.invalid(at, "", format_args!("\"{at}\" must validate all the schemas (allOf){none}"));
        }
    }

    fn take_over(&mut self, attempt: Option<Self>) {
        let Some(attempt) = attempt else { return };
        self.passed += attempt.passed;
        self.causes.absorb(attempt.causes);
    }

    fn text(&mut self, text: &str, schema: &Schema, checks: &Checks, at: &Path<'_>) {
        if checks.max_length.is_some() || checks.min_length.is_some() {
            let chars = text.chars().count() as u64;
            if let Some(max) = checks.max_length.filter(|max| chars > *max) {
                self.causes.too_long(at, usize::try_from(max).unwrap_or(usize::MAX));
            }
            if let Some(min) = checks.min_length {
                self.expect(chars >= min, at, text, format_args!("should be at least {min} chars long"));
            }
        }
        if let Some(pattern) = &checks.pattern {
            self.pattern(text, pattern, at);
        }
        let of_text = schema.int_or_string || matches!(schema.r#type, None | Some(Type::String));
        if of_text && !checks.format.is_empty() && !formats::fits(&checks.format, text) {
            let why = format_args!("{at} in body must be of type {}: {text:?}", checks.format);
            self.causes.mistyped(at, text, why);
        }
    }

    fn pattern(&mut self, text: &str, pattern: &Pattern, at: &Path<'_>) {
        if self.goes_on(text.len() / BYTES_A_STEP * (1 + pattern.text.len() / BYTES_A_STEP)) {
            let found = pattern.is_found_in(text);
            self.expect(found, at, text, format_args!("should match '{}'", pattern.text));
        }
    }

    fn number(&mut self, value: &Value, number: &serde_json::Number, schema: &Schema, checks: &Checks, at: &Path<'_>) {
        self.range(number, schema, checks, at);
        let Some(number) = number.as_f64() else { return };
        let shown = Shown(value);
        if let Some(of) = checks.multiple_of {
            let holds = of > 0.0 && (if of < 1.0 { 1.0 / of * number } else { number / of }).fract() == 0.0;
            self.expect(holds, at, shown, format_args!("should be a multiple of {of}"));
        }
        if let Some(max) = checks.maximum {
            let (holds, or_equal) =
                if checks.exclusive_maximum { (number < max, "") } else { (number <= max, " or equal to") };
            self.expect(holds, at, shown, format_args!("should be less than{or_equal} {max}"));
        }
        if let Some(min) = checks.minimum {
            let (holds, or_equal) =
                if checks.exclusive_minimum { (number > min, "") } else { (number >= min, " or equal to") };
            self.expect(holds, at, shown, format_args!("should be greater than{or_equal} {min}"));
        }
    }

    /// Whether a number fits into as many bits as its format says.
    fn range(&mut self, number: &serde_json::Number, schema: &Schema, checks: &Checks, at: &Path<'_>) {
        let (r#type, format) = (schema.r#type.map_or("number", Type::word), &*checks.format);
        let fits = match format {
            "int32" if r#type == "integer" => {
                number.as_f64().is_some_and(|number| (-2_147_483_648.0..=2_147_483_647.0).contains(&number))
            }
            "int64" if r#type == "integer" => !number.is_u64() || number.is_i64(),
            "float" if r#type == "number" => number.as_f64().is_some_and(|number| number.abs() <= f64::from(f32::MAX)),
            _ => true,
        };
        if !fits {
            let why = format_args!("Checked value must be of type {type} with format {format} in {at}");
            self.causes.invalid(at, "", why);
        }
    }

    fn items(&mut self, items: &[Value], old: Option<&Value>, schema: &Schema, at: &Path<'_>) {
        let old = old.and_then(Value::as_array).filter(|_| schema.list == ListType::Map);
        if let Some(of) = schema.items() {
            for (index, item) in items.iter().enumerate() {
                if self.steps > STEPS_MAX {
                    return;
                }
                let before = old.and_then(|old| self.twin(old, index, item, schema));
                self.value(item, before, of, &at.index(index));
            }
        }
        let Some(checks) = schema.checks.as_deref() else { return };
        let count = items.len() as u64;
        if let Some(min) = checks.min_items {
            self.expect(count >= min, at, count, format_args!("should have at least {min} items"));
        }
        if let Some(max) = checks.max_items.filter(|max| count > *max) {
            self.causes.too_many(at, items.len(), usize::try_from(max).unwrap_or(usize::MAX));
        }
    }

    /// The element of the list before that has the same keys: most stay where they were.
    fn twin<'a>(&mut self, old: &'a [Value], index: usize, item: &Value, schema: &Schema) -> Option<&'a Value> {
        let keys = lists::keys(item, schema);
        let same = |other: &&Value| lists::keys(other, schema) == keys;
        if let Some(before) = old.get(index).filter(same) {
            return Some(before);
        }
        self.goes_on(old.len()).then(|| old.iter().find(same))?
    }

    /// Whether the value is one of those that are listed.
    fn listed(&mut self, value: &Value, checks: &Checks, at: &Path<'_>) {
        if checks.values.is_empty() || !self.goes_on(checks.values.len()) {
            return;
        }
        if checks.values.iter().any(|listed| same(listed, value)) {
            self.passed += 1;
            return;
        }
        let words: Vec<String> =
            checks.values.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.causes.unsupported_of(at, Shown(value), &words);
    }

    fn fields(&mut self, fields: &serde_json::Map<String, Value>, old: Option<&Value>, schema: &Schema, at: &Path<'_>) {
        let old = old.and_then(Value::as_object).filter(|_| schema.map == MapType::Granular);
        if let Some(checks) = schema.checks.as_deref() {
            self.counted(fields.len(), checks, at);
        }
        for (name, value) in fields {
            if self.steps > STEPS_MAX {
                return;
            }
            let before = old.and_then(|old| old.get(name));
            match (schema.properties.get(name.as_str()), &schema.additional) {
                (Some(schema), _) => self.value(value, before, schema, &at.field(name)),
                (None, Additional::Schema(schema)) => self.value(value, before, schema, &at.field(name)),
                (None, Additional::Any(false)) => {
                    self.causes.invalid(at, name, format_args!("{at}.{name} in body is a forbidden property"));
                }
                (None, Additional::Any(true) | Additional::Unsaid) => {}
            }
        }
        for name in schema.checks.iter().flat_map(|checks| &checks.required) {
            if fields.contains_key(&**name) {
                self.passed += 1;
            } else {
                self.causes.required(&at.field(name), "");
            }
        }
    }

    fn counted(&mut self, fields: usize, checks: &Checks, at: &Path<'_>) {
        let count = fields as u64;
        if let Some(min) = checks.min_properties {
            self.expect(count >= min, at, count, format_args!("should have at least {min} properties"));
        }
        if let Some(max) = checks.max_properties.filter(|max| count > *max) {
            self.causes.too_many(at, fields, usize::try_from(max).unwrap_or(usize::MAX));
        }
    }
}

/// The attempt of two that passed more; of equals the first.
fn nearer(before: Option<Judge>, attempt: Judge) -> Option<Judge> {
    match before {
        Some(before) if before.passed >= attempt.passed => Some(before),
        Some(_) | None => Some(attempt),
    }
}

fn is_of(value: &Value, wanted: Type) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(_) => wanted == Type::Boolean,
        Value::Number(number) if wanted == Type::Integer => {
            number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        Value::Number(_) => wanted == Type::Number,
        Value::String(_) => wanted == Type::String,
        Value::Array(_) => wanted == Type::Array,
        Value::Object(_) => wanted == Type::Object,
    }
}

/// Whether two values are the same, also if one of them is written as 1.0 and the other as 1.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (one, other) => one == other,
    }
}
