//! `x-kubernetes-validations`: rules that values must follow, written in CEL.
//!
//! Rules are compiled against the types that the schema gives, so that a rule which names a field that is not there is refused
//! with its definition. What a rule may take is judged then too. When an object is judged, rules share a number of steps.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value as Json;

use super::{
    path::JsonPath,
    schema::{ListType, MapType, Rule, Schema, Type},
    shown::{Shown, type_of},
};
use crate::{
    cel::{self, Fault, Fuel, Program, ResultType, Value, Variables},
    validate::{Causes, Path},
};

/// The most steps that one rule may take for one value, as in Kubernetes.
pub const RULE_STEPS_MAX: u64 = 1_000_000;
/// The most steps that all rules may take for one object, as in Kubernetes.
pub const OBJECT_STEPS_MAX: u64 = 10_000_000;
/// The most steps that a rule may be expected to take for one object, as in Kubernetes.
pub const RULE_COST_MAX: u64 = 10_000_000;
/// The most steps that all rules of a schema may be expected to take for one object, as in Kubernetes.
pub const SCHEMA_COST_MAX: u64 = 100_000_000;
/// The longest message that an expression may make, in bytes, as in Kubernetes.
pub const MESSAGE_BYTES_MAX: usize = 5 << 10;

/// Names of variables in rules.
const SELF: &str = "self";
const OLD_SELF: &str = "oldSelf";

/// The rules of a schema and of those within it.
#[derive(Debug)]
pub(super) struct Rules {
    of: cel::Type,
    own: Vec<Compiled>,
    properties: BTreeMap<Box<str>, Rules>,
    entries: Option<Box<Rules>>,
    items: Option<Box<Rules>>,
    /// Whether fields of an object are matched with those before.
    granular: bool,
}

#[derive(Debug)]
struct Compiled {
    rule: Rule,
    program: Program,
    message: Option<Program>,
    path: Vec<String>,
}

/// What a schema becomes.
struct Built {
    /// The type of its values; `None` if expressions cannot name them.
    of: Option<cel::Type>,
    /// The fewest bytes that such a value takes as JSON.
    least: u64,
    /// `None` if neither it nor those within have any.
    rules: Option<Rules>,
}

/// What the schemas around one say.
#[derive(Clone, Copy)]
struct Around<'a> {
    /// How many such values there are at most in an object; `None` if nothing limits them.
    times: Option<u64>,
    /// Where the schema stands in which values cannot be matched with those before.
    uncorrelated: Option<&'a Path<'a>>,
}

/// Compiles the rules of a schema, if it has any.
pub(super) fn compile(causes: &mut Causes, schema: &Schema, at: &Path<'_>) -> Option<Rules> {
    if !has_rules(schema) {
        return None;
    }
    let mut builder = Builder { causes, total: 0 };
    let built = builder.schema(schema, true, Around { times: Some(1), uncorrelated: None }, at);
    let total = builder.total;
    if total > SCHEMA_COST_MAX {
        let name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        causes.forbidden(at, too_dear(name, total, SCHEMA_COST_MAX));
    }
    built.rules
}

fn has_rules(schema: &Schema) -> bool {
    !schema.rules.is_empty()
        || schema.items().is_some_and(has_rules)
        || schema.entries().is_some_and(has_rules)
        || schema.properties().any(|(_, schema)| has_rules(schema))
}

fn too_dear(name: &str, cost: u64, cost_max: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a factor for people to read")]
    let factor = cost as f64 / cost_max as f64;
    let factor = match factor {
        factor if factor > 100.0 => "more than 100x".to_owned(),
        factor if factor < 1.5 => format!("{factor:.6}x"),
        factor => format!("{factor:.1}x"),
    };
    format!(
        "{name} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and \
         maxLength where arrays, maps, and strings are declared)"
    )
}

struct Builder<'c> {
    causes: &'c mut Causes,
    /// What all rules take together.
    total: u64,
}

/// The fewest bytes that a value takes as JSON: `""`, `true`, `1`, `[]`, `{}`.
const LEAST_TEXT: u64 = 2;
const LEAST_BOOL: u64 = 4;
const LEAST_NUMBER: u64 = 1;
const LEAST_CONTAINER: u64 = 2;
const LEAST_DATE: u64 = 12;
const LEAST_TIME: u64 = 22;
const LEAST_DURATION: u64 = 4;

impl Builder<'_> {
    fn schema(&mut self, schema: &Schema, is_resource: bool, around: Around<'_>, at: &Path<'_>) -> Built {
        let (items, items_rules) = self.items(schema, around, at);
        let (entries, entries_rules) = self.entries(schema, around, at);
        let (fields, mut least, properties) = self.properties(schema, around, at);
        let of = match (schema.int_or_string, schema.r#type) {
            (true, _) => Some(cel::Type::Dyn),
            (false, Some(Type::Array)) => items.map(|(of, least)| list(schema, of, least)),
            (false, Some(Type::Object)) if schema.entries().is_some() => {
                entries.map(|(of, least)| map(schema, of, least))
            }
            (false, Some(Type::Object)) => Some(object(fields, is_resource)),
            (false, scalar) => scalar.map(|scalar| self::scalar(schema, scalar)),
        };
        if !matches!((schema.int_or_string, schema.r#type), (false, Some(Type::Object))) {
            least = least_of(schema);
        }
        let own = match &of {
            Some(of) => self.own(schema, of, least, around, at),
            None if schema.rules.is_empty() => Vec::new(),
            None => {
                let at = at.field("x-kubernetes-validations");
                self.causes.invalid(
                    &at,
                    "",
                    "rules cannot be checked where the schema gives no type to all that is within",
                );
                Vec::new()
            }
        };
        let any = !own.is_empty() || items_rules.is_some() || entries_rules.is_some() || !properties.is_empty();
        let rules = any.then(|| Rules {
            of: of.clone().unwrap_or(cel::Type::Dyn),
            own,
            properties,
            entries: entries_rules.map(Box::new),
            items: items_rules.map(Box::new),
            granular: schema.map == MapType::Granular,
        });
        Built { of, least, rules }
    }

    fn items(
        &mut self,
        schema: &Schema,
        around: Around<'_>,
        at: &Path<'_>,
    ) -> (Option<(cel::Type, u64)>, Option<Rules>) {
        let Some(items) = schema.items() else { return (None, None) };
        let most = schema.checks.as_deref().and_then(|checks| checks.max_items);
        let uncorrelated =
            if schema.list == ListType::Map { around.uncorrelated } else { around.uncorrelated.or(Some(at)) };
        let inside = Around { times: times(around.times, most), uncorrelated };
        let built = self.schema(items, items.is_resource, inside, &at.field("items"));
        (built.of.map(|of| (of, built.least)), built.rules)
    }

    fn entries(
        &mut self,
        schema: &Schema,
        around: Around<'_>,
        at: &Path<'_>,
    ) -> (Option<(cel::Type, u64)>, Option<Rules>) {
        let Some(entries) = schema.entries() else { return (None, None) };
        let most = schema.checks.as_deref().and_then(|checks| checks.max_properties);
        let inside = Around { times: times(around.times, most), ..around };
        let built = self.schema(entries, entries.is_resource, inside, &at.field("additionalProperties"));
        (built.of.map(|of| (of, built.least)), built.rules)
    }

    fn properties(
        &mut self,
        schema: &Schema,
        around: Around<'_>,
        at: &Path<'_>,
    ) -> (BTreeMap<String, cel::Type>, u64, BTreeMap<Box<str>, Rules>) {
        let uncorrelated =
            if schema.map == MapType::Granular { around.uncorrelated } else { around.uncorrelated.or(Some(at)) };
        let (mut fields, mut least, mut rules) = (BTreeMap::new(), LEAST_CONTAINER, BTreeMap::new());
        for (name, property) in schema.properties() {
            let properties = at.field("properties");
            let built =
                self.schema(property, property.is_resource, Around { uncorrelated, ..around }, &properties.key(name));
            let required = schema.checks.iter().flat_map(|checks| &checks.required).any(|required| &**required == name);
            if required && property.default.is_none() {
                least += name.len() as u64 + built.least + 4;
            }
            if let Some(of) = built.of.filter(|_| cel::escape(name).is_some()) {
                fields.insert(name.to_owned(), of);
            }
            if let Some(found) = built.rules {
                rules.insert(name.into(), found);
            }
        }
        (fields, least, rules)
    }

    /// The schema's own rules.
    fn own(&mut self, schema: &Schema, of: &cel::Type, least: u64, around: Around<'_>, at: &Path<'_>) -> Vec<Compiled> {
        let times = around.times.unwrap_or(cel::JSON_BYTES_MAX / (least + 1));
        let mut own = Vec::new();
        for (index, rule) in schema.rules.iter().enumerate() {
            let at = at.field("x-kubernetes-validations");
            let at = at.index(index);
            own.extend(self.rule(rule, of, times, around, &at));
        }
        own
    }

    fn rule(&mut self, rule: &Rule, of: &cel::Type, times: u64, around: Around<'_>, at: &Path<'_>) -> Option<Compiled> {
        let old = if rule.optional_old_self == Some(true) { cel::Type::optional(of.clone()) } else { of.clone() };
        let variables = Variables::new([(SELF, of.clone()), (OLD_SELF, old)]);
        let program = self.program(&rule.rule, "rule", ResultType::Bool, &variables, times, at)?;
        let message = match rule.message_expression.trim() {
            "" => None,
            _ => self.program(&rule.message_expression, "messageExpression", ResultType::String, &variables, 1, at),
        };
        match (program.uses(OLD_SELF), around.uncorrelated, rule.optional_old_self) {
            (true, Some(within), _) => {
                let why =
                    format_args!("oldSelf cannot be used on the uncorrelatable portion of the schema within {within}");
                self.causes.invalid(&at.field("rule"), &rule.rule, why);
            }
            (false, _, Some(optional)) => {
                let why = "may not be set if oldSelf is not used in rule";
                self.causes.invalid(&at.field("optionalOldSelf"), optional, why);
            }
            (true, None, _) | (false, _, None) => {}
        }
        let path = JsonPath::parse(rule.field_path.trim()).map(|path| path.names().map(str::to_owned).collect());
        Some(Compiled { rule: rule.clone(), program, message, path: path.unwrap_or_default() })
    }

    fn program(
        &mut self,
        text: &str,
        field: &str,
        wanted: ResultType,
        variables: &Variables,
        times: u64,
        at: &Path<'_>,
    ) -> Option<Program> {
        let at = at.field(field);
        let is_message = wanted == ResultType::String;
        match Program::compile(text, variables) {
            Err(problem) => {
                let name = if is_message { "messageExpression compilation failed" } else { "compilation failed" };
                self.causes.invalid(&at, text, format_args!("{name}: {}", problem.told(text)));
                None
            }
            Ok((_, found)) if found != wanted => {
                let why = if is_message {
                    "messageExpression must evaluate to a string"
                } else {
                    "cel expression must evaluate to a bool"
                };
                self.causes.invalid(&at, text, why);
                None
            }
            Ok((program, _)) => {
                let cost = program.cost().saturating_mul(times);
                self.total = self.total.saturating_add(cost);
                if cost > RULE_COST_MAX {
                    let name = if is_message { "estimated messageExpression cost" } else { "estimated rule cost" };
                    self.causes.forbidden(&at, too_dear(name, cost, RULE_COST_MAX));
                }
                Some(program)
            }
        }
    }
}

/// How many values there are, if each of those around has no more than so many.
fn times(around: Option<u64>, most: Option<u64>) -> Option<u64> {
    Some(around?.saturating_mul(most?))
}

fn list(schema: &Schema, of: cel::Type, least: u64) -> cel::Type {
    let most = schema.checks.as_deref().and_then(|checks| checks.max_items);
    let unique = match schema.list {
        ListType::Atomic => cel::Unique::Place,
        ListType::Set => cel::Unique::Value,
        ListType::Map => cel::Unique::Keys(schema.map_keys().map(str::to_owned).collect()),
    };
    let most = most.unwrap_or((cel::JSON_BYTES_MAX - LEAST_CONTAINER) / (least + 1));
    cel::Type::List(Arc::new(cel::ListOf { of, unique, most }))
}

fn map(schema: &Schema, value: cel::Type, least: u64) -> cel::Type {
    let most = schema.checks.as_deref().and_then(|checks| checks.max_properties);
    let most = most.unwrap_or((cel::JSON_BYTES_MAX - LEAST_CONTAINER) / (least + 6));
    cel::Type::Map(Arc::new(cel::MapOf { key: cel::Type::String(cel::JSON_BYTES_MAX), value, most }))
}

/// An object; of a resource Kubernetes' own fields are there too.
fn object(mut fields: BTreeMap<String, cel::Type>, is_resource: bool) -> cel::Type {
    if is_resource {
        let text = || cel::Type::String(cel::JSON_BYTES_MAX);
        let names = ["name", "generateName"].map(|name| (name.to_owned(), text())).into();
        fields.insert("apiVersion".to_owned(), text());
        fields.insert("kind".to_owned(), text());
        fields.insert("metadata".to_owned(), cel::Type::Object(Arc::new(cel::Object { fields: names })));
    }
    cel::Type::Object(Arc::new(cel::Object { fields }))
}

fn scalar(schema: &Schema, of: Type) -> cel::Type {
    let checks = schema.checks.as_deref();
    let format = checks.map_or("", |checks| &*checks.format);
    // A character has up to four bytes.
    let most = checks.and_then(|checks| checks.max_length).map(|chars| chars.saturating_mul(4));
    let listed = checks.and_then(|checks| checks.values.iter().filter_map(Json::as_str).map(str::len).max());
    let most = most.or(listed.map(|bytes| bytes as u64)).unwrap_or(cel::JSON_BYTES_MAX);
    match (of, format) {
        (Type::String, "byte") => cel::Type::Bytes(most),
        (Type::String, "duration") => cel::Type::Duration,
        (Type::String, "date" | "datetime") => cel::Type::Timestamp,
        (Type::String, _) => cel::Type::String(most),
        (Type::Boolean, _) => cel::Type::Bool,
        (Type::Integer, _) => cel::Type::Int,
        (Type::Number, _) => cel::Type::Double,
        (Type::Array | Type::Object, _) => cel::Type::Dyn,
    }
}

fn least_of(schema: &Schema) -> u64 {
    let format = schema.checks.as_deref().map_or("", |checks| &*checks.format);
    match (schema.r#type, format) {
        (Some(Type::Array | Type::Object), _) => LEAST_CONTAINER,
        (Some(Type::Boolean), _) => LEAST_BOOL,
        (Some(Type::String), "date") => LEAST_DATE,
        (Some(Type::String), "datetime") => LEAST_TIME,
        (Some(Type::String), "duration") => LEAST_DURATION,
        (Some(Type::String), _) => LEAST_TEXT,
        (Some(Type::Integer | Type::Number) | None, _) => LEAST_NUMBER,
    }
}

impl Rules {
    /// Runs the rules on an object, and tells which of them it does not follow.
    pub(super) fn run(&self, causes: &mut Causes, object: &Json, old: Option<&Json>) {
        let mut run = Run { causes, left: OBJECT_STEPS_MAX };
        // Whoever finds that there are no steps left has said so.
        let _ = run.rules(self, object, Before { value: old, is_kept: false }, &Path::Root);
    }

    /// By which fields elements of the list are matched with those before.
    fn keys(&self) -> &[String] {
        if let cel::Type::List(of) = &self.of
            && let cel::Unique::Keys(keys) = &of.unique
        {
            return keys;
        }
        &[]
    }
}

/// There are no steps left.
struct Spent;

/// What stood at a place before.
#[derive(Clone, Copy)]
struct Before<'v> {
    /// The value, if it can be told which one it is.
    value: Option<&'v Json>,
    /// Whether what is around the place is as it was; asked only where there is no value.
    is_kept: bool,
}

impl Before<'_> {
    fn is(self, value: &Json) -> bool {
        self.value.map_or(self.is_kept, |before| before == value)
    }
}

struct Run<'c> {
    causes: &'c mut Causes,
    left: u64,
}

impl Run<'_> {
    fn rules(&mut self, rules: &Rules, value: &Json, before: Before<'_>, at: &Path<'_>) -> Result<(), Spent> {
        let same = std::cell::OnceCell::new();
        let is_as_before = || *same.get_or_init(|| before.is(value));
        for compiled in rules.own.iter().filter(|_| !value.is_null()) {
            self.one(compiled, &rules.of, value, before.value, &is_as_before, at)?;
        }
        match value {
            Json::Array(items) => {
                let Some(of) = &rules.items else { return Ok(()) };
                let list = before.value.and_then(Json::as_array).filter(|_| !rules.keys().is_empty());
                let is_kept = list.is_none() && is_as_before();
                for (index, item) in items.iter().enumerate() {
                    let value = list.map_or(Ok(None), |list| self.twin(rules.keys(), list, index, item))?;
                    self.rules(of, item, Before { value, is_kept }, &at.index(index))?;
                }
                Ok(())
            }
            Json::Object(fields) => {
                let object = before.value.and_then(Json::as_object).filter(|_| rules.granular);
                let is_kept = object.is_none() && is_as_before();
                for (name, value) in fields {
                    let before = Before { value: object.and_then(|object| object.get(name)), is_kept };
                    match (rules.properties.get(name.as_str()), &rules.entries) {
                        (Some(rules), _) => self.rules(rules, value, before, &at.field(name))?,
                        (None, Some(rules)) => self.rules(rules, value, before, &at.key(name))?,
                        (None, None) => {}
                    }
                }
                Ok(())
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Ok(()),
        }
    }

    /// The element of the list before with the same keys: most stay where they were.
    fn twin<'v>(
        &mut self,
        keys: &[String],
        list: &'v [Json],
        index: usize,
        item: &Json,
    ) -> Result<Option<&'v Json>, Spent> {
        let same = |other: &&Json| keys.iter().all(|key| other.get(key) == item.get(key));
        if let Some(before) = list.get(index).filter(same) {
            return Ok(Some(before));
        }
        match self.left.checked_sub(list.len() as u64) {
            Some(left) => {
                self.left = left;
                Ok(list.iter().find(same))
            }
            None => {
                self.spent(&Path::Root);
                Err(Spent)
            }
        }
    }

    fn one(
        &mut self,
        compiled: &Compiled,
        of: &cel::Type,
        value: &Json,
        old: Option<&Json>,
        is_as_before: &dyn Fn() -> bool,
        at: &Path<'_>,
    ) -> Result<(), Spent> {
        let about_old = compiled.program.uses(OLD_SELF);
        let optional = compiled.rule.optional_old_self == Some(true);
        if about_old && old.is_none() && !optional {
            return Ok(());
        }
        let values = || {
            let old = old.map(|old| Value::of(old, of));
            let old = if optional { Value::Optional(old.map(std::rc::Rc::new)) } else { old.unwrap_or(Value::Null) };
            vec![Value::of(value, of), old]
        };
        let said = self.fueled(|fuel| compiled.program.run(values(), fuel), at)?;
        match said {
            Ok(Value::Bool(true)) => Ok(()),
            // What nobody touches was let in by another rule.
            Ok(_) if !about_old && is_as_before() => Ok(()),
            Ok(_) => {
                let message = match &compiled.message {
                    Some(message) => {
                        self.fueled(|fuel| message.run(values(), fuel), at)?.ok().and_then(|said| told(&said))
                    }
                    None => None,
                };
                let message = message.unwrap_or_else(|| compiled.rule.told());
                self.broken(compiled, value, &message, at, &compiled.path);
                Ok(())
            }
            Err(fault) => self.faulty(compiled.rule.text(), &fault, value, at),
        }
    }

    /// Tells of a rule that has no value here.
    fn faulty(&mut self, rule: &str, fault: &Fault, value: &Json, at: &Path<'_>) -> Result<(), Spent> {
        let is = type_of(value);
        match fault {
            Fault::Fuel => {
                let why = "no further validation rules will be run due to call cost exceeds limit for rule";
                self.causes.invalid(at, is, format_args!("'{fault}': {why}: {rule}"));
                return Err(Spent);
            }
            Fault::Value(text) if text.starts_with("no such overload") => {
                let why = "call arguments did not match a supported operator, function or macro signature for rule";
                self.causes.invalid(at, is, format_args!("'{fault}': {why}: {rule}"));
            }
            Fault::Value(_) => self.causes.invalid(at, is, format_args!("{fault} evaluating rule: {rule}")),
        }
        Ok(())
    }

    fn spent(&mut self, at: &Path<'_>) {
        let why = "validation failed due to running out of cost budget, no further validation rules will be run";
        self.causes.invalid(at, "", why);
    }

    /// Runs a program with as many steps as are left, but no more than one may take.
    fn fueled<T>(
        &mut self,
        run: impl FnOnce(&mut Fuel) -> Result<T, Fault>,
        at: &Path<'_>,
    ) -> Result<Result<T, Fault>, Spent> {
        let tank = self.left.min(RULE_STEPS_MAX);
        let mut fuel = Fuel::new(tank);
        let said = run(&mut fuel);
        self.left -= tank - fuel.left();
        if matches!(said, Err(Fault::Fuel)) && tank < RULE_STEPS_MAX {
            self.spent(at);
            return Err(Spent);
        }
        Ok(said)
    }

    /// Tells of a rule that is not followed, at the place to which its path leads from `at`.
    fn broken(&mut self, compiled: &Compiled, value: &Json, why: &str, at: &Path<'_>, rest: &[String]) {
        match rest.split_first() {
            Some((name, rest)) => self.broken(compiled, value, why, &at.field(name), rest),
            None => self.tell(compiled, value, why, at),
        }
    }

    fn tell(&mut self, compiled: &Compiled, value: &Json, why: &str, at: &Path<'_>) {
        match compiled.rule.reason.as_str() {
            "FieldValueForbidden" => self.causes.forbidden(at, why),
            "FieldValueRequired" => self.causes.required(at, why),
            "FieldValueDuplicate" => self.causes.duplicate(at, Shown(value)),
            _ if value.is_object() || value.is_array() => self.causes.invalid_as(at, why),
            _ => self.causes.invalid(at, Shown(value), why),
        }
    }
}

impl Rule {
    /// The rule in a word: its message, or itself.
    fn text(&self) -> &str {
        if self.message.is_empty() { self.rule.trim() } else { self.message.trim() }
    }

    /// What is said if nothing better is.
    fn told(&self) -> String {
        if self.message.is_empty() { format!("failed rule: {}", self.text()) } else { self.text().to_owned() }
    }
}

/// A message that an expression made, if it is one.
fn told(said: &Value<'_>) -> Option<String> {
    let Value::Text(text) = said else { return None };
    let text = text.trim();
    let good = !text.is_empty() && text.len() <= MESSAGE_BYTES_MAX && !text.contains('\n');
    good.then(|| text.to_owned())
}
