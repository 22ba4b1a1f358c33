//! RFC 6902: a list of operations on a document, all or none.
//!
//! A short patch can ask for a lot: each `copy` may double what is there. What a patch makes is counted while it is made,
//! before the memory is taken. Errors name the operation and its place, never what stands there: the document may be a
//! Secret.

use serde_json::{Map, Value};

use crate::{Error, Reason};

/// The most operations of one patch: Kubernetes' limit.
pub const OPERATIONS_MAX: usize = 10_000;

/// The most that all `copy` operations of one patch may copy together, in bytes: Kubernetes' limit, as long as the longest
/// body that makes the same without copying.
pub const COPIED_BYTES_MAX: usize = 3 << 20;

/// How deep a patch may nest a document, in levels: what a reader of JSON takes, and what any stack has room for.
pub const DEPTH_MAX: usize = 128;

/// The most values that the operations of one patch may look at or shift in lists: a tenth of a second of work.
const STEPS_MAX: usize = 20_000_000;

/// What a value counts beside its texts, in bytes: the most that a list spends on an element.
const VALUE_BYTES: usize = 32;

/// Carries out a patch on `target`. After an error, or a test that finds something else, `target` may be changed in part; what
/// the test found is answered.
pub(super) fn apply(target: &mut Value, patch: &Value) -> Result<Option<Error>, Error> {
    let Value::Array(operations) = patch else {
        return Err(Error::bad_request("not a JSON patch: it must be a list of operations"));
    };
    if operations.len() > OPERATIONS_MAX {
        let message = format!("the JSON patch has {} operations, at most {OPERATIONS_MAX} are taken", operations.len());
        return Err(Error::new(Reason::RequestEntityTooLarge, message));
    }
    let operations: Vec<Operation<'_>> =
        operations.iter().enumerate().map(Operation::read).collect::<Result<_, _>>()?;
    let mut document = Document { root: target, copied_bytes: 0, steps: 0 };
    for operation in &operations {
        match document.change(operation) {
            Ok(()) => {}
            Err(misfit) if matches!(operation.what, What::Test(_)) && misfit.reason == Reason::Invalid => {
                return Ok(Some(operation.located(misfit)));
            }
            Err(misfit) => return Err(operation.located(misfit)),
        }
    }
    Ok(None)
}

/// One operation, read.
struct Operation<'a> {
    index: usize,
    path: &'a str,
    to: Pointer,
    what: What<'a>,
}

enum What<'a> {
    Add(&'a Value),
    Replace(&'a Value),
    Test(&'a Value),
    Remove,
    Move(Pointer),
    Copy(Pointer),
}

impl<'a> Operation<'a> {
    fn read((index, value): (usize, &'a Value)) -> Result<Self, Error> {
        let malformed = |why: String| Error::bad_request(format!("not a JSON patch: operation {index}: {why}"));
        let member = |name: &str| value.get(name);
        let text = |name: &str| {
            let found = member(name).and_then(Value::as_str);
            found.ok_or_else(|| malformed(format!("{name:?} must be given, as a string")))
        };
        let pointer = |name: &str| Pointer::parse(text(name)?).map_err(|why| malformed(format!("{name:?} {why}")));
        let sent = || member("value").ok_or_else(|| malformed("\"value\" must be given".to_owned()));
        let path = text("path")?;
        let what = match text("op")? {
            "add" => What::Add(sent()?),
            "replace" => What::Replace(sent()?),
            "test" => What::Test(sent()?),
            "remove" => What::Remove,
            "move" => What::Move(pointer("from")?),
            "copy" => What::Copy(pointer("from")?),
            _ => return Err(malformed("\"op\" must be one of add, remove, replace, move, copy, test".to_owned())),
        };
        Ok(Self { index, path, to: pointer("path")?, what })
    }

    fn located(&self, error: Misfit) -> Error {
        let Self { index, path, what, .. } = self;
        let op = what.word();
        let path: String = path.chars().take(PATH_CHARS_MAX).collect();
        let message =
            format!("the JSON patch does not fit the object: operation {index} ({op} {path:?}): {}", error.why);
        Error::new(error.reason, message)
    }
}

/// How much of a path is shown in an error.
const PATH_CHARS_MAX: usize = 256;

impl What<'_> {
    fn word(&self) -> &'static str {
        match self {
            Self::Add(_) => "add",
            Self::Replace(_) => "replace",
            Self::Test(_) => "test",
            Self::Remove => "remove",
            Self::Move(_) => "move",
            Self::Copy(_) => "copy",
        }
    }
}

/// Why an operation cannot be carried out.
struct Misfit {
    reason: Reason,
    why: String,
}

fn misfit(why: &str) -> Misfit {
    Misfit { reason: Reason::Invalid, why: why.to_owned() }
}

fn too_much(why: String) -> Misfit {
    Misfit { reason: Reason::RequestEntityTooLarge, why }
}

/// RFC 6901: the way to a place, a name or an index for each step.
struct Pointer(Vec<String>);

impl Pointer {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let steps = text.strip_prefix('/').ok_or("must be empty or begin with \"/\"")?;
        let step = |step: &str| {
            let mut escapes = step.split('~').skip(1);
            let known = escapes.all(|rest| rest.starts_with(['0', '1']));
            known.then(|| step.replace("~1", "/").replace("~0", "~")).ok_or("has a \"~\" that is neither ~0 nor ~1")
        };
        Ok(Self(steps.split('/').map(step).collect::<Result<_, _>>()?))
    }

    /// Whether `other` lies within the place.
    fn holds(&self, other: &Self) -> bool {
        self.0.len() < other.0.len() && other.0.starts_with(&self.0)
    }

    /// The place within which it is, and the last step there.
    fn split(&self) -> Option<(&[String], &str)> {
        self.0.split_last().map(|(last, before)| (before, last.as_str()))
    }
}

/// An index as RFC 6901 writes it: no sign, no leading zero.
fn index(step: &str) -> Option<usize> {
    let plain = step == "0" || (!step.starts_with('0') && step.bytes().all(|byte| byte.is_ascii_digit()));
    if plain { step.parse().ok() } else { None }
}

fn find<'a>(root: &'a Value, steps: &[String]) -> Option<&'a Value> {
    steps.iter().try_fold(root, |at, step| match at {
        Value::Object(fields) => fields.get(step),
        Value::Array(items) => items.get(index(step)?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

fn find_mut<'a>(root: &'a mut Value, steps: &[String]) -> Option<&'a mut Value> {
    steps.iter().try_fold(root, |at, step| match at {
        Value::Object(fields) => fields.get_mut(step),
        Value::Array(items) => items.get_mut(index(step)?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

/// What a list or an object is asked to hold.
enum Holder<'a> {
    Fields(&'a mut Map<String, Value>),
    Items(&'a mut Vec<Value>),
}

/// A document while it is patched, and what that has cost so far.
struct Document<'a> {
    root: &'a mut Value,
    copied_bytes: usize,
    steps: usize,
}

impl Document<'_> {
    fn change(&mut self, operation: &Operation<'_>) -> Result<(), Misfit> {
        let to = &operation.to;
        match &operation.what {
            What::Add(value) => self.add(to, (*value).clone()),
            What::Replace(value) => self.replace(to, value),
            What::Test(value) => self.test(to, value),
            What::Remove => self.remove(to).map(drop),
            What::Move(from) if from.holds(to) => Err(misfit("a value cannot be moved into itself")),
            What::Move(from) => {
                let value = self.remove(from)?;
                self.add(to, value)
            }
            What::Copy(from) => {
                let value = self.copied(from)?;
                self.add(to, value)
            }
        }
    }

    fn add(&mut self, to: &Pointer, value: Value) -> Result<(), Misfit> {
        self.deep(to, &value)?;
        let Some((within, last)) = to.split() else {
            *self.root = value;
            return Ok(());
        };
        match self.holder(within)? {
            Holder::Fields(fields) => {
                fields.insert(last.to_owned(), value);
                Ok(())
            }
            Holder::Items(items) => {
                let at = if last == "-" { Some(items.len()) } else { index(last) };
                let at = at.filter(|at| *at <= items.len()).ok_or_else(|| misfit("the list has no such place"))?;
                let shifted = items.len() - at;
                items.insert(at, value);
                self.step(shifted)
            }
        }
    }

    fn replace(&mut self, to: &Pointer, value: &Value) -> Result<(), Misfit> {
        self.deep(to, value)?;
        let place = find_mut(self.root, &to.0).ok_or_else(|| misfit("there is nothing to replace"))?;
        *place = value.clone();
        Ok(())
    }

    /// What is not there is as good as `null`, which clients ask for to find out that nothing is there.
    fn test(&mut self, to: &Pointer, value: &Value) -> Result<(), Misfit> {
        self.measure(value)?;
        let found = find(self.root, &to.0).unwrap_or(&Value::Null);
        if same(found, value) { Ok(()) } else { Err(misfit("the value there did not match")) }
    }

    fn remove(&mut self, from: &Pointer) -> Result<Value, Misfit> {
        let nothing = || misfit("there is nothing to take away");
        let Some((within, last)) = from.split() else {
            return Err(misfit("the whole object cannot be taken away; delete it instead"));
        };
        match self.holder(within)? {
            Holder::Fields(fields) => fields.remove(last).ok_or_else(nothing),
            Holder::Items(items) => {
                let at = index(last).filter(|at| *at < items.len()).ok_or_else(nothing)?;
                let shifted = items.len() - at;
                let value = items.remove(at);
                self.step(shifted)?;
                Ok(value)
            }
        }
    }

    /// A copy, which is counted before it is made.
    fn copied(&mut self, from: &Pointer) -> Result<Value, Misfit> {
        let value = find(self.root, &from.0).ok_or_else(|| misfit("there is nothing to copy"))?;
        let Measured { bytes, values, .. } = measured(value);
        self.copied_bytes = self.copied_bytes.saturating_add(bytes);
        if self.copied_bytes > COPIED_BYTES_MAX {
            return Err(too_much(format!("more than {COPIED_BYTES_MAX} bytes would be copied")));
        }
        let copy = value.clone();
        self.step(values)?;
        Ok(copy)
    }

    fn holder(&mut self, steps: &[String]) -> Result<Holder<'_>, Misfit> {
        match find_mut(self.root, steps) {
            Some(Value::Object(fields)) => Ok(Holder::Fields(fields)),
            Some(Value::Array(items)) => Ok(Holder::Items(items)),
            Some(_) => Err(misfit("neither an object nor a list is there to hold it")),
            None => Err(misfit("there is nothing at the place that should hold it")),
        }
    }

    /// Refuses what would be nested too deep at a place.
    fn deep(&mut self, to: &Pointer, value: &Value) -> Result<(), Misfit> {
        let depth = to.0.len() + self.measure(value)?;
        if depth > DEPTH_MAX {
            return Err(too_much(format!("the object would be nested {depth} levels deep, more than {DEPTH_MAX}")));
        }
        Ok(())
    }

    /// How deep a value is nested.
    fn measure(&mut self, value: &Value) -> Result<usize, Misfit> {
        let Measured { values, depth, .. } = measured(value);
        self.step(values)?;
        Ok(depth)
    }

    fn step(&mut self, values: usize) -> Result<(), Misfit> {
        self.steps = self.steps.saturating_add(values);
        if self.steps > STEPS_MAX {
            return Err(too_much(format!("the patch moves or compares more than {STEPS_MAX} values")));
        }
        Ok(())
    }
}

/// Whether two values are the same to RFC 6902, for which 1 is 1.0.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) if one.is_f64() || other.is_f64() => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let known = |(name, value): (&String, &Value)| other.get(name).is_some_and(|other| same(value, other));
            one.len() == other.len() && one.iter().all(known)
        }
        (one, other) => one == other,
    }
}

/// How much a value is.
#[derive(Clone, Copy)]
struct Measured {
    bytes: usize,
    values: usize,
    depth: usize,
}

/// Nothing is nested deeper than [`DEPTH_MAX`]: a reader takes no more, and a patch makes no more.
fn measured(value: &Value) -> Measured {
    let leaf = |text: usize| Measured { bytes: VALUE_BYTES + text, values: 1, depth: 1 };
    let with = |sum: Measured, name: usize, inner: Measured| Measured {
        bytes: sum.bytes + name + inner.bytes,
        values: sum.values + inner.values,
        depth: sum.depth.max(inner.depth + 1),
    };
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => leaf(0),
        Value::String(text) => leaf(text.len()),
        Value::Array(items) => items.iter().fold(leaf(0), |sum, item| with(sum, 0, measured(item))),
        Value::Object(fields) => {
            fields.iter().fold(leaf(0), |sum, (name, item)| with(sum, VALUE_BYTES + name.len(), measured(item)))
        }
    }
}

#[cfg(test)]
mod tests;
