//! How much running an expression may take, judged by the types of what it is about: nothing runs for it.
//!
//! It is a bound to be told to whoever writes an expression. What an expression really takes is counted when it runs.

use super::{
    ast::Node,
    types::{ListOf, Type},
};
use std::sync::Arc;

/// The most bytes of JSON that an object has. Where a schema gives no limit, this one is left.
pub const JSON_BYTES_MAX: u64 = 3 << 20;

/// The most bytes of a text that a number or a time becomes.
const WORD_BYTES_MAX: u64 = 64;

/// Adds up what is looked at.
#[derive(Debug)]
pub(super) struct Cost {
    pub(super) steps: u64,
    /// How often what is looked at is run.
    times: u64,
}

impl Default for Cost {
    fn default() -> Self {
        Self { steps: 0, times: 1 }
    }
}

impl Cost {
    fn add(&mut self, steps: u64) {
        self.steps = self.steps.saturating_add(steps.saturating_mul(self.times));
    }

    /// One step for whatever is no literal and no test.
    pub(super) fn of(&mut self, node: &Node) {
        match node {
            Node::Null
            | Node::Bool(_)
            | Node::Int(_)
            | Node::Uint(_)
            | Node::Double(_)
            | Node::Text(_)
            | Node::Bytes(_)
            | Node::TypeName(_)
            | Node::Has { .. }
            | Node::All(_)
            | Node::Any(_)
            | Node::If(_) => {}
            Node::Name(_)
            | Node::Variable(_)
            | Node::Select { .. }
            | Node::Index { .. }
            | Node::List(_)
            | Node::Map(_)
            | Node::Struct { .. }
            | Node::Call(_)
            | Node::Fold(_)
            | Node::OptMap { .. } => self.add(1),
        }
    }

    /// What a call takes because of the size of its arguments.
    pub(super) fn of_call(&mut self, name: &str, args: &[Type]) {
        let most = |place: usize| args.get(place).map_or(0, |arg| bounded(arg.most()));
        let texts = || args.iter().map(|arg| if is_text(arg) { bounded(arg.most()) } else { 0 }).sum::<u64>();
        self.add(match name {
            "@in" => most(1),
            "matches" | "find" | "findAll" => (most(0) / 10 + 1).saturating_mul(most(1) / 4 + 1),
            "_==_" | "_!=_" => most(0).min(most(1)) / 10,
            "_+_" if args.iter().any(|arg| matches!(arg, Type::List(_))) => 0,
            "isSorted" | "sum" | "min" | "max" | "join" | "distinct" | "sort" => most(0),
            "sets.contains" | "sets.equivalent" | "sets.intersects" => most(0).saturating_mul(most(1)),
            _ => texts() / 10,
        });
    }

    /// Goes into what is run for each element of a range.
    pub(super) fn enter(&mut self, range: &Type) -> u64 {
        let outside = self.times;
        self.times = outside.saturating_mul(bounded(range.most()));
        outside
    }

    pub(super) fn leave(&mut self, outside: u64) {
        self.times = outside;
    }
}

fn bounded(most: u64) -> u64 {
    most.min(JSON_BYTES_MAX)
}

fn is_text(of: &Type) -> bool {
    matches!(of, Type::String(_) | Type::Bytes(_))
}

/// The type of a call's result with the size that its arguments tell.
pub(super) fn sized(result: Type, name: &str, args: &[Type]) -> Type {
    let texts: Vec<u64> = args.iter().filter(|arg| is_text(arg)).map(|arg| bounded(arg.most())).collect();
    let sum = texts.iter().fold(0, |sum: u64, most| sum.saturating_add(*most)).min(JSON_BYTES_MAX);
    let text = match name {
        "_+_" | "replace" | "format" | "join" => sum,
        _ => texts.first().copied().unwrap_or(WORD_BYTES_MAX),
    };
    match result {
        Type::String(u64::MAX) => Type::String(text),
        Type::Bytes(u64::MAX) => Type::Bytes(text),
        Type::List(list) if list.most == u64::MAX => {
            let lists =
                args.iter().filter(|arg| matches!(arg, Type::List(_))).map(|arg| bounded(arg.most())).sum::<u64>();
            let of = if matches!(list.of, Type::String(u64::MAX)) { Type::String(text) } else { list.of.clone() };
            let most = if lists > 0 { lists } else { text };
            Type::List(Arc::new(ListOf { of, unique: list.unique.clone(), most }))
        }
        other => other,
    }
}
