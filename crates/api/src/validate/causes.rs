//! Where in an object something is, and what is wrong there: Kubernetes' words, so that tools and people know them.

use std::fmt;

use super::{limits::CONDITIONS_MAX, names::Syntax};
use crate::{Kind, conditions::Condition, error::Cause};

/// A place in an object, written out only if something is wrong there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Path<'a> {
    /// The object itself.
    Root,
    /// A field of the place before.
    Field(&'a Path<'a>, &'a str),
    /// An element of the list before.
    Index(&'a Path<'a>, usize),
    /// An entry of the map before.
    Key(&'a Path<'a>, &'a str),
}

impl<'a> Path<'a> {
    pub(crate) fn field(&'a self, name: &'a str) -> Self {
        Path::Field(self, name)
    }

    pub(crate) fn index(&'a self, index: usize) -> Self {
        Path::Index(self, index)
    }

    pub(crate) fn key(&'a self, key: &'a str) -> Self {
        Path::Key(self, key)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Path::Root, name) => f.write_str(clipped(name)),
            Self::Field(before, name) => write!(f, "{before}.{}", clipped(name)),
            Self::Index(before, index) => write!(f, "{before}[{index}]"),
            Self::Key(before, key) => write!(f, "{before}[{}]", clipped(key)),
        }
    }
}

/// The most problems that are told of one object; the others are counted. More would help nobody, and an error must not be
/// larger than what caused it.
pub const CAUSES_MAX: usize = 64;

/// How much of a wrong value, or of a key in a path, is shown.
const SHOWN_CHARS_MAX: usize = 256;

/// What stands in an error in the place of a value that is nobody's to see.
const HIDDEN: &str = "\"<secret contents redacted>\"";

/// What was found wrong so far.
#[derive(Debug, Default)]
pub(crate) struct Causes {
    pub(crate) found: Vec<Cause>,
    /// Whether values are left out: some belong into no log.
    hides: bool,
    /// Problems beyond [`CAUSES_MAX`].
    untold: usize,
}

fn clipped(text: &str) -> &str {
    text.char_indices().nth(SHOWN_CHARS_MAX).map_or(text, |(end, _)| &text[..end])
}

impl Causes {
    /// Of an object of a kind, so far nothing.
    pub(crate) fn of(kind: Kind) -> Self {
        Self { hides: kind.hides_values(), ..Self::default() }
    }

    /// All that was found, and how much more there is.
    pub(crate) fn told(mut self) -> Vec<Cause> {
        if self.untold > 0 {
            let message = format!("and {} more problems", self.untold);
            self.found.push(Cause { reason: "FieldValueInvalid", field: "(object)".to_owned(), message });
        }
        self.found
    }

    fn shown(&self, value: impl fmt::Debug) -> String {
        if self.hides {
            return HIDDEN.to_owned();
        }
        let shown = format!("{value:?}");
        match clipped(&shown) {
            whole if whole.len() == shown.len() => shown,
            start => format!("{start}…"),
        }
    }

    fn push(&mut self, reason: &'static str, at: &Path<'_>, message: impl FnOnce(&Self) -> String) {
        if self.found.len() >= CAUSES_MAX {
            self.untold += 1;
            return;
        }
        let message = message(self);
        self.found.push(Cause { reason, field: at.to_string(), message });
    }

    /// Whether a list is short enough to be looked at; said if not.
    pub(crate) fn at_most(&mut self, at: &Path<'_>, count: usize, count_max: usize) -> bool {
        if count > count_max {
            self.too_many(at, count, count_max);
        }
        count <= count_max
    }

    /// Something must be there. `why` may be empty.
    pub(crate) fn required(&mut self, at: &Path<'_>, why: &str) {
        let colon = if why.is_empty() { "" } else { ": " };
        self.push("FieldValueRequired", at, |_| format!("Required value{colon}{why}"));
    }

    /// The value is of the right kind but wrong.
    pub(crate) fn invalid(&mut self, at: &Path<'_>, value: impl fmt::Debug, why: impl fmt::Display) {
        self.push("FieldValueInvalid", at, |this| format!("Invalid value: {}: {why}", this.shown(value)));
    }

    /// As [`Causes::invalid`], of a value that is too large to be shown.
    pub(crate) fn invalid_as(&mut self, at: &Path<'_>, why: impl fmt::Display) {
        self.push("FieldValueInvalid", at, |_| format!("Invalid value: {why}"));
    }

    /// The value is of another type than the one that belongs here.
    pub(crate) fn mistyped(&mut self, at: &Path<'_>, value: impl fmt::Debug, why: impl fmt::Display) {
        self.push("FieldValueTypeInvalid", at, |this| format!("Invalid value: {}: {why}", this.shown(value)));
    }

    /// Takes over what was found by somebody else.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.untold += other.untold;
        for cause in other.found {
            if self.found.len() < CAUSES_MAX { self.found.push(cause) } else { self.untold += 1 }
        }
    }

    /// Takes over what was found and is told already.
    pub(crate) fn take(&mut self, cause: Cause) {
        self.push(cause.reason, &Path::Field(&Path::Root, &cause.field), |_| cause.message.clone());
    }

    /// Whether nothing was found.
    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The value is none of those that exist.
    pub(crate) fn unsupported(&mut self, at: &Path<'_>, value: &str, supported: &[&str]) {
        self.unsupported_of(at, value, supported);
    }

    /// As [`Causes::unsupported`], for a value of any type.
    pub(crate) fn unsupported_of(&mut self, at: &Path<'_>, value: impl fmt::Debug, supported: &[&str]) {
        let supported: Vec<String> = supported.iter().map(|value| format!("{value:?}")).collect();
        self.push("FieldValueNotSupported", at, |this| {
            format!("Unsupported value: {}: supported values: {}", this.shown(value), supported.join(", "))
        });
    }

    /// This may not be set here, or not changed now.
    pub(crate) fn forbidden(&mut self, at: &Path<'_>, why: impl fmt::Display) {
        self.push("FieldValueForbidden", at, |_| format!("Forbidden: {why}"));
    }

    /// Another element has this value already.
    pub(crate) fn duplicate(&mut self, at: &Path<'_>, value: impl fmt::Debug) {
        self.push("FieldValueDuplicate", at, |this| format!("Duplicate value: {}", this.shown(value)));
    }

    /// The value refers to something that is not there.
    pub(crate) fn not_found(&mut self, at: &Path<'_>, value: &str) {
        self.push("FieldValueNotFound", at, |this| format!("Not found: {}", this.shown(value)));
    }

    /// More bytes than the limit.
    pub(crate) fn too_long(&mut self, at: &Path<'_>, bytes_max: usize) {
        self.push("FieldValueTooLong", at, |_| format!("Too long: may not be more than {bytes_max} bytes"));
    }

    /// More elements than the limit.
    pub(crate) fn too_many(&mut self, at: &Path<'_>, count: usize, count_max: usize) {
        self.push("FieldValueTooMany", at, |_| format!("Too many: {count}: must have at most {count_max} items"));
    }

    /// Runs one of the checks of [`super::names`] over a text.
    pub(crate) fn syntax(&mut self, at: &Path<'_>, value: &str, check: Syntax) {
        for why in check(value) {
            self.invalid(at, value, why);
        }
    }

    /// As [`Causes::syntax`], for a text that must be there.
    pub(crate) fn required_syntax(&mut self, at: &Path<'_>, value: &str, check: Syntax) {
        if value.is_empty() {
            self.required(at, "");
        } else {
            self.syntax(at, value, check);
        }
    }

    /// The value must be one of those that exist.
    pub(crate) fn one_of(&mut self, at: &Path<'_>, value: &str, supported: &[&str]) {
        if !supported.contains(&value) {
            self.unsupported(at, value, supported);
        }
    }

    /// As [`Causes::one_of`], for a text that must be there.
    pub(crate) fn required_one_of(&mut self, at: &Path<'_>, value: &str, supported: &[&str]) {
        if value.is_empty() {
            self.required(at, &format!("one of {}", supported.join(", ")));
        } else {
            self.one_of(at, value, supported);
        }
    }

    /// Conditions of a status: few, and each of a type of its own.
    pub(crate) fn conditions<C: Condition>(&mut self, at: &Path<'_>, conditions: &[C]) {
        let few = self.at_most(at, conditions.len(), CONDITIONS_MAX);
        for (index, condition) in conditions.iter().enumerate().filter(|_| few) {
            let (kind, at) = (condition.kind(), at.index(index));
            if kind.is_empty() {
                self.required(&at.field("type"), "must not be empty");
            }
            if conditions[..index].iter().any(|before| before.kind() == kind) {
                self.duplicate(&at.field("type"), kind);
            }
        }
    }

    /// The number must not be less than nothing.
    pub(crate) fn not_negative(&mut self, at: &Path<'_>, value: i64) {
        if value < 0 {
            self.invalid(at, value, "must be greater than or equal to 0");
        }
    }

    /// The number must be that of a port.
    pub(crate) fn port(&mut self, at: &Path<'_>, value: i32) {
        if !(1..=65_535).contains(&value) {
            self.invalid(at, value, "must be between 1 and 65535, inclusive");
        }
    }
}
