//! Runs a checked expression.

use std::{collections::BTreeMap, rc::Rc};

use super::{
    ast::{Expr, Fold, FoldKind, Node},
    fuel::{Fault, Fuel},
    value::{Key, List, Map, Text, Value},
};

pub(super) fn run<'a>(root: &'a Expr, variables: Vec<Value<'a>>, fuel: &mut Fuel) -> Result<Value<'a>, Fault> {
    Run { stack: variables, fuel }.expr(root)
}

struct Run<'a, 'f> {
    /// The variables, the innermost last.
    stack: Vec<Value<'a>>,
    fuel: &'f mut Fuel,
}

type Outcome<'a> = Result<Value<'a>, Fault>;

impl<'a> Run<'a, '_> {
    fn expr(&mut self, expr: &'a Expr) -> Outcome<'a> {
        self.fuel.burn(1)?;
        match &expr.node {
            Node::Null => Ok(Value::Null),
            Node::Bool(flag) => Ok(Value::Bool(*flag)),
            Node::Int(number) => Ok(Value::Int(*number)),
            Node::Uint(number) => Ok(Value::Uint(*number)),
            Node::Double(number) => Ok(Value::Double(*number)),
            Node::Text(text) => Ok(Value::Text(Text::Kept(text))),
            Node::Bytes(bytes) => {
                self.fuel.bytes(bytes.len())?;
                Ok(Value::Bytes(bytes.as_slice().into()))
            }
            Node::TypeName(name) => Ok(Value::Type(name)),
            Node::Variable(place) => self.stack.get(*place).cloned().ok_or_else(|| Fault::value("no such variable")),
            Node::Name(name) => Err(Fault::value(format!("no such attribute: {name}"))),
            Node::Select { of, field, optional } => {
                let of = self.expr(of)?;
                select(of, field, *optional)
            }
            Node::Has { of, field } => self.has(of, field),
            Node::Index { of, index, optional } => {
                let (of, index) = (self.expr(of)?, self.expr(index)?);
                at_index(of, &index, *optional)
            }
            Node::List(items) => self.list(items),
            Node::Map(entries) => self.map(entries),
            Node::Struct { fields, .. } => self.made(fields),
            Node::All(terms) => self.logic(terms, false),
            Node::Any(terms) => self.logic(terms, true),
            Node::If(parts) => {
                let [condition, yes, no] = &**parts;
                if self.flag(condition)? { self.expr(yes) } else { self.expr(no) }
            }
            Node::Call(call) => self.call(call),
            Node::Fold(fold) => self.fold(fold),
            Node::OptMap { of, then, flat, .. } => self.opt_map(of, then, *flat),
        }
    }

    fn flag(&mut self, expr: &'a Expr) -> Result<bool, Fault> {
        match self.expr(expr)? {
            Value::Bool(flag) => Ok(flag),
            _ => Err(Fault::overload()),
        }
    }

    fn has(&mut self, of: &'a Expr, field: &'a str) -> Outcome<'a> {
        Ok(Value::Bool(match self.expr(of)? {
            Value::Map(map) => map.field(field).is_some(),
            Value::Optional(Some(of)) => matches!(&*of, Value::Map(map) if map.field(field).is_some()),
            Value::Optional(None) => false,
            _ => return Err(Fault::overload()),
        }))
    }

    fn list(&mut self, items: &'a [(Expr, bool)]) -> Outcome<'a> {
        let mut list = Vec::new();
        for (item, optional) in items {
            list.extend(present(self.expr(item)?, *optional)?);
        }
        Ok(list.into())
    }

    fn map(&mut self, entries: &'a [(Expr, Expr, bool)]) -> Outcome<'a> {
        let mut map = BTreeMap::new();
        for (key, value, optional) in entries {
            let key = self.key(key)?;
            if let Some(value) = present(self.expr(value)?, *optional)? {
                insert(&mut map, key, value)?;
            }
        }
        Ok(Value::Map(Map::Made(Rc::new(map))))
    }

    fn made(&mut self, fields: &'a [(String, Expr, bool)]) -> Outcome<'a> {
        let mut map = BTreeMap::new();
        for (name, value, optional) in fields {
            if let Some(value) = present(self.expr(value)?, *optional)? {
                insert(&mut map, Key::Text(name.clone()), value)?;
            }
        }
        Ok(Value::Map(Map::Made(Rc::new(map))))
    }

    fn key(&mut self, expr: &'a Expr) -> Result<Key, Fault> {
        let value = self.expr(expr)?;
        if let Value::Text(text) = &value {
            self.fuel.bytes(text.len())?;
        }
        value.key().ok_or_else(|| Fault::value("unsupported key type"))
    }

    /// Terms with `&&` or `||` between them: one that decides makes up for others that have no value.
    fn logic(&mut self, terms: &'a [Expr], decides: bool) -> Outcome<'a> {
        let mut fault = None;
        for term in terms {
            match self.flag(term) {
                Ok(flag) if flag == decides => return Ok(Value::Bool(decides)),
                Ok(_) => {}
                Err(Fault::Fuel) => return Err(Fault::Fuel),
                Err(other) => fault = fault.or(Some(other)),
            }
        }
        fault.map_or(Ok(Value::Bool(!decides)), Err)
    }

    fn call(&mut self, call: &'a super::ast::Call) -> Outcome<'a> {
        let function = call.function.ok_or_else(|| Fault::value(format!("no such function: {}", call.name)))?;
        // What comes after the value that there is, is not looked at.
        if let ("or" | "orValue", [first, other]) = (call.name.as_str(), call.args.as_slice()) {
            return match (self.expr(first)?, call.name.as_str()) {
                (Value::Optional(Some(value)), "orValue") => Ok((*value).clone()),
                (found @ Value::Optional(Some(_)), _) => Ok(found),
                (Value::Optional(None), _) => self.expr(other),
                _ => Err(Fault::overload()),
            };
        }
        let args = call.args.iter().map(|arg| self.expr(arg)).collect::<Result<Vec<_>, _>>()?;
        (function.run)(&args, self.fuel)
    }

    fn opt_map(&mut self, of: &'a Expr, then: &'a Expr, flat: bool) -> Outcome<'a> {
        let inner = match self.expr(of)? {
            Value::Optional(Some(inner)) => (*inner).clone(),
            Value::Optional(None) => return Ok(Value::Optional(None)),
            _ => return Err(Fault::overload()),
        };
        self.stack.push(inner);
        let result = self.expr(then);
        self.stack.pop();
        let result = result?;
        Ok(if flat { result } else { Value::Optional(Some(Rc::new(result))) })
    }

    fn fold(&mut self, fold: &'a Fold) -> Outcome<'a> {
        let range = match self.expr(&fold.range)? {
            Value::List(list) => Range::List(list),
            Value::Map(map) => Range::Map(map.keys(), map),
            _ => return Err(Fault::overload()),
        };
        self.fuel.burn(range.len())?;
        let elements = Elements { range, pairs: fold.names.len() == 2, next: 0 };
        let before = self.stack.len();
        let result = self.folded(fold, elements);
        self.stack.truncate(before);
        result
    }

    fn folded(&mut self, fold: &'a Fold, elements: Elements<'a>) -> Outcome<'a> {
        match fold.kind {
            FoldKind::All => self.any_of(fold, elements, false),
            FoldKind::Exists => self.any_of(fold, elements, true),
            FoldKind::ExistsOne => {
                let mut count = 0;
                for element in elements {
                    count += usize::from(self.with(element, |run| run.flag(&fold.body))?);
                }
                Ok(Value::Bool(count == 1))
            }
            FoldKind::Filter => {
                let mut kept = Vec::new();
                for element in elements {
                    let first = element.0.clone();
                    if self.with(element, |run| run.flag(&fold.body))? {
                        kept.push(first);
                    }
                }
                Ok(kept.into())
            }
            FoldKind::Map => {
                let mut list = Vec::new();
                for element in elements {
                    list.extend(self.with(element, |run| run.filtered(fold))?);
                }
                Ok(list.into())
            }
            FoldKind::TransformMap | FoldKind::TransformMapEntry => self.transformed(fold, elements),
            FoldKind::SortBy => self.sorted(fold, elements),
        }
    }

    fn with<T>(&mut self, element: Element<'a>, then: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        let before = self.stack.len();
        self.stack.push(element.0);
        self.stack.extend(element.1);
        let result = then(self);
        self.stack.truncate(before);
        result
    }

    /// As [`Run::logic`], of one expression for all elements.
    fn any_of(&mut self, fold: &'a Fold, elements: Elements<'a>, decides: bool) -> Outcome<'a> {
        let mut fault = None;
        for element in elements {
            match self.with(element, |run| run.flag(&fold.body)) {
                Ok(flag) if flag == decides => return Ok(Value::Bool(decides)),
                Ok(_) => {}
                Err(Fault::Fuel) => return Err(Fault::Fuel),
                Err(other) => fault = fault.or(Some(other)),
            }
        }
        fault.map_or(Ok(Value::Bool(!decides)), Err)
    }

    /// What the body makes of an element that counts.
    fn filtered(&mut self, fold: &'a Fold) -> Result<Option<Value<'a>>, Fault> {
        let counts = fold.filter.as_ref().map_or(Ok(true), |filter| self.flag(filter))?;
        if counts { self.expr(&fold.body).map(Some) } else { Ok(None) }
    }

    fn transformed(&mut self, fold: &'a Fold, elements: Elements<'a>) -> Outcome<'a> {
        let mut map = BTreeMap::new();
        for element in elements {
            let key = element.0.key();
            let Some(made) = self.with(element, |run| run.filtered(fold))? else { continue };
            match (fold.kind, made, key) {
                (FoldKind::TransformMapEntry, Value::Map(entries), _) => {
                    for key in entries.keys().iter().filter_map(Value::key) {
                        if let Some(value) = entries.get(&key) {
                            insert(&mut map, key, value)?;
                        }
                    }
                }
                (FoldKind::TransformMapEntry, ..) | (_, _, None) => return Err(Fault::overload()),
                (_, made, Some(key)) => insert(&mut map, key, made)?,
            }
        }
        Ok(Value::Map(Map::Made(Rc::new(map))))
    }

    fn sorted(&mut self, fold: &'a Fold, elements: Elements<'a>) -> Outcome<'a> {
        let mut keyed = Vec::new();
        for element in elements {
            let first = element.0.clone();
            keyed.push((self.with(element, |run| run.expr(&fold.body))?, first));
        }
        super::functions::sort(&mut keyed, self.fuel)?;
        Ok(keyed.into_iter().map(|(_, item)| item).collect::<Vec<_>>().into())
    }
}

/// What a fold goes through.
enum Range<'a> {
    List(List<'a>),
    Map(Vec<Value<'a>>, Map<'a>),
}

/// What the first name stands for, and the second if there are two.
type Element<'a> = (Value<'a>, Option<Value<'a>>);

/// What the names stand for, in turn.
struct Elements<'a> {
    range: Range<'a>,
    pairs: bool,
    next: usize,
}

impl Range<'_> {
    fn len(&self) -> usize {
        match self {
            Self::List(list) => list.len(),
            Self::Map(keys, _) => keys.len(),
        }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let place = self.next;
        self.next += 1;
        match (&self.range, self.pairs) {
            (Range::List(list), false) => Some((list.get(place)?, None)),
            (Range::List(list), true) => {
                Some((Value::Int(i64::try_from(place).unwrap_or(i64::MAX)), Some(list.get(place)?)))
            }
            (Range::Map(keys, _), false) => Some((keys.get(place)?.clone(), None)),
            (Range::Map(keys, map), true) => {
                let key = keys.get(place)?;
                let value = key.key().and_then(|key| map.get(&key)).unwrap_or(Value::Null);
                Some((key.clone(), Some(value)))
            }
        }
    }
}

fn insert<'a>(map: &mut BTreeMap<Key, Value<'a>>, key: Key, value: Value<'a>) -> Result<(), Fault> {
    match map.insert(key, value) {
        None => Ok(()),
        Some(_) => Err(Fault::value("insert failed: key already exists")),
    }
}

/// An element that is there.
fn present(value: Value<'_>, optional: bool) -> Result<Option<Value<'_>>, Fault> {
    match (optional, value) {
        (false, value) => Ok(Some(value)),
        (true, Value::Optional(inner)) => Ok(inner.map(|inner| (*inner).clone())),
        (true, _) => Err(Fault::overload()),
    }
}

/// A value that was looked for, in the form that the expression asked for.
fn found<'a>(value: Option<Value<'a>>, optional: bool, missing: impl FnOnce() -> Fault) -> Outcome<'a> {
    if optional { Ok(Value::Optional(value.map(Rc::new))) } else { value.ok_or_else(missing) }
}

fn select<'a>(of: Value<'a>, field: &'a str, optional: bool) -> Outcome<'a> {
    match of {
        Value::Map(map) => found(map.field(field), optional, || Fault::value(format!("no such key: {field}"))),
        Value::Optional(Some(of)) => select((*of).clone(), field, true),
        Value::Optional(None) => Ok(Value::Optional(None)),
        _ => Err(Fault::overload()),
    }
}

fn at_index<'a>(of: Value<'a>, index: &Value<'a>, optional: bool) -> Outcome<'a> {
    match of {
        Value::List(list) => at_place(&list, index, optional),
        Value::Map(map) => {
            let key = index.key().ok_or_else(Fault::overload)?;
            let name = || match &key {
                Key::Text(text) => text.clone(),
                Key::Bool(flag) => flag.to_string(),
                Key::Number(number) => number.to_string(),
            };
            found(map.get(&key), optional, || Fault::value(format!("no such key: {}", name())))
        }
        Value::Optional(Some(of)) => at_index((*of).clone(), index, true),
        Value::Optional(None) => Ok(Value::Optional(None)),
        _ => Err(Fault::overload()),
    }
}

fn at_place<'a>(list: &List<'a>, index: &Value<'a>, optional: bool) -> Outcome<'a> {
    let Some(Key::Number(number)) = index.key() else { return Err(Fault::overload()) };
    let item = usize::try_from(number).ok().and_then(|place| list.get(place));
    found(item, optional, || Fault::value(format!("index out of bounds: {number}")))
}
