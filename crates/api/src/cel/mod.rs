//! CEL, the Common Expression Language, as Kubernetes uses it: rules of kinds that users define, and of policies.
//!
//! An expression is read (`parse`), checked against the types of what it is about (`check`), and can then be run as often as
//! one likes ([`Program::run`]). Running costs fuel, which is counted, so that it ends whatever the expression says and
//! whatever it is about. Nothing here reads a clock or a random number: the same program says the same everywhere.

#![cfg_attr(
    not(test),
    expect(
        clippy::wildcard_enum_match_arm,
        reason = "what a function does not take is one error, whichever of the other types it is of"
    )
)]

mod ast;
mod check;
mod cost;
mod eval;
mod fuel;
mod functions;
mod json;
mod lex;
mod names;
mod parse;
mod types;
mod value;

#[cfg(test)]
mod tests;

use std::fmt;

pub use ast::DEPTH_MAX;
pub use check::{is_made_object, is_made_patch};
pub use cost::JSON_BYTES_MAX;
pub use fuel::{Fault, Fuel};
pub use names::{escape, is_name};
pub use parse::EXPRESSION_BYTES_MAX;
pub use types::{ListOf, MapOf, Object, Type, Unique};
pub use value::Value;

/// The longest line of an expression that is shown with a problem.
const SHOWN_BYTES_MAX: usize = 256;

/// What an expression may name: each variable with its type.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    names: Vec<(&'static str, Type)>,
    patches: bool,
}

impl Variables {
    /// These.
    #[must_use]
    pub fn new(variables: impl IntoIterator<Item = (&'static str, Type)>) -> Self {
        Self { names: variables.into_iter().collect(), patches: false }
    }

    /// These, in expressions that make objects and patches: `Object{…}` and `JSONPatch{…}`.
    #[must_use]
    pub fn with_patches(self) -> Self {
        Self { patches: true, ..self }
    }
}

/// An expression that was read and checked.
#[derive(Clone, Debug)]
pub struct Program {
    root: ast::Expr,
    /// Which of the variables it names.
    names: Vec<&'static str>,
    /// Of variables that are objects, the fields that it names.
    selected: Vec<(&'static str, String)>,
    /// Those of them that it looks at as a whole.
    whole: Vec<&'static str>,
    result: Type,
    cost: u64,
}

/// Why a text is no expression about these variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// Where: the byte at which it begins.
    pub at: usize,
}

impl Problem {
    fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }

    /// The problem with the line in which it is, in the form that users of CEL know.
    #[must_use]
    pub fn told(&self, text: &str) -> String {
        let at = text.floor_char_boundary(self.at);
        let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
        let line = text[start..].lines().next().unwrap_or_default();
        let (row, column) = (text[..at].matches('\n').count() + 1, text[start..at].chars().count());
        if line.len() > SHOWN_BYTES_MAX {
            return format!("ERROR: <input>:{row}:{}: {}", column + 1, self.message);
        }
        format!("ERROR: <input>:{row}:{}: {}\n | {line}\n | {}^", column + 1, self.message, ".".repeat(column))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Program {
    /// Reads and checks an expression, whose value must be of a type.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn compile(text: &str, variables: &Variables) -> Result<(Self, ResultType), Problem> {
        let mut root = parse::parse(text)?;
        let checked = check::check(&mut root, variables)?;
        let result = match checked.result {
            Type::Bool => ResultType::Bool,
            Type::String(_) => ResultType::String,
            _ => ResultType::Other,
        };
        let check::Checked { result: of, cost, names, selected, whole } = checked;
        Ok((Self { root, names, selected, whole, result: of, cost }, result))
    }

    /// The type of what it says.
    #[must_use]
    pub fn result(&self) -> &Type {
        &self.result
    }

    /// Whether it names a variable.
    #[must_use]
    pub fn uses(&self, variable: &str) -> bool {
        self.names.contains(&variable)
    }

    /// Whether it names a field of a variable, or may look at all of them.
    #[must_use]
    pub fn uses_field(&self, variable: &str, field: &str) -> bool {
        self.whole.contains(&variable) || self.selected.iter().any(|(of, name)| *of == variable && name == field)
    }

    /// The most steps that running it once may take, as far as the types of its variables tell.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// Runs it with the variables' values, in the order in which they were declared.
    ///
    /// # Errors
    /// If it has no value for these, or takes more fuel than there is.
    pub fn run<'a>(&'a self, variables: Vec<Value<'a>>, fuel: &mut Fuel) -> Result<Value<'a>, Fault> {
        eval::run(&self.root, variables, fuel)
    }
}

/// What an expression says, as far as its users must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultType {
    /// Yes or no.
    Bool,
    /// A text.
    String,
    /// Something else, or something that only running it will show.
    Other,
}
