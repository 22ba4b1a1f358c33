//! The functions that expressions may call: CEL's own, its extensions as far as Kubernetes has them, and Kubernetes' own.
//!
//! Each is a line of a table: how it is called and with what, and what it does. A line may stand for several functions with one
//! name; what is done then looks at what it was given.

mod lists;
mod net;
mod numbers;
mod quantities;
mod text;
mod times;
mod versions;

use std::{collections::HashMap, sync::LazyLock};

use super::{
    fuel::{Fault, Fuel},
    types::Type,
    value::Value,
};
pub(super) use lists::sort;
pub(crate) use net::Url;
pub(crate) use times::{duration, timestamp};
pub(crate) use versions::Semver;

/// What a function does.
pub(super) type Run = for<'a> fn(&[Value<'a>], &mut Fuel) -> Result<Value<'a>, Fault>;

/// Functions with one name.
#[derive(Debug)]
pub(super) struct Function {
    overloads: Vec<Overload>,
    pub(super) run: Run,
}

#[derive(Debug)]
struct Overload {
    is_method: bool,
    args: Vec<Pattern>,
    result: Pattern,
}

/// A type with places that any type may take.
#[derive(Debug)]
enum Pattern {
    Any(usize),
    List(Box<Pattern>),
    Map(Box<[Pattern; 2]>),
    Optional(Box<Pattern>),
    Plain(Type),
}

/// A line of the table: signatures, such as `string:contains(string) bool` for the method of a text, and what is done.
type Line = (&'static [&'static str], Run);

static FUNCTIONS: LazyLock<HashMap<&'static str, Function>> = LazyLock::new(|| {
    let tables =
        [numbers::TABLE, text::TABLE, lists::TABLE, times::TABLE, quantities::TABLE, net::TABLE, versions::TABLE];
    let mut functions = HashMap::new();
    for (signatures, run) in tables.into_iter().flatten() {
        for signature in *signatures {
            let (name, overload) = read(signature);
            let function = functions.entry(name).or_insert_with(|| Function { overloads: Vec::new(), run: *run });
            function.overloads.push(overload);
        }
    }
    functions
});

/// The functions of a name.
pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.get(name)
}

impl Function {
    /// The type of what it answers for arguments of some types; `None` if it does not take them.
    pub(super) fn result(&self, is_method: bool, args: &[Type]) -> Option<Type> {
        let fitting: Vec<Type> =
            self.overloads.iter().filter_map(|overload| overload.result(is_method, args)).collect();
        let first = fitting.first()?;
        Some(if fitting.iter().all(|other| first.agrees(other)) { first.clone() } else { Type::Dyn })
    }
}

impl Overload {
    fn result(&self, is_method: bool, args: &[Type]) -> Option<Type> {
        if self.is_method != is_method || self.args.len() != args.len() {
            return None;
        }
        let mut bound = [None, None];
        let fits = self.args.iter().zip(args).all(|(pattern, arg)| pattern.fits(arg, &mut bound));
        fits.then(|| self.result.filled(&bound))
    }
}

impl Pattern {
    fn fits(&self, arg: &Type, bound: &mut [Option<Type>; 2]) -> bool {
        match (self, arg) {
            (Self::Any(place), arg) => {
                let joined = match &bound[*place] {
                    None => arg.clone(),
                    Some(before) if before.agrees(arg) => before.joined(arg),
                    Some(_) => return false,
                };
                bound[*place] = Some(joined);
                true
            }
            (_, Type::Dyn) => true,
            (Self::List(of), Type::List(list)) => of.fits(&list.of, bound),
            (Self::Map(of), Type::Map(map)) => of[0].fits(&map.key, bound) && of[1].fits(&map.value, bound),
            (Self::Optional(of), Type::Optional(inner)) => of.fits(inner, bound),
            (Self::Plain(of), arg) => {
                of.agrees(arg) && !matches!(arg, Type::Null) || matches!((of, arg), (Type::Null, Type::Null))
            }
            (Self::List(_) | Self::Map(_) | Self::Optional(_), _) => false,
        }
    }

    fn filled(&self, bound: &[Option<Type>; 2]) -> Type {
        match self {
            Self::Any(place) => bound[*place].clone().unwrap_or(Type::Dyn),
            Self::List(of) => Type::list(of.filled(bound)),
            Self::Map(of) => Type::map(of[0].filled(bound), of[1].filled(bound)),
            Self::Optional(of) => Type::optional(of.filled(bound)),
            Self::Plain(of) => of.clone(),
        }
    }
}

/// Reads a line's signature. A mistake in the table shows in the first test.
fn read(signature: &'static str) -> (&'static str, Overload) {
    let (head, result) = signature.rsplit_once(") ").expect("a signature ends with its result");
    let (name, args) = head.split_once('(').expect("a signature has arguments");
    let (receiver, name) = name.split_once(':').map_or((None, name), |(receiver, name)| (Some(receiver), name));
    let args = receiver.into_iter().chain(split(args)).map(pattern).collect();
    (name, Overload { is_method: receiver.is_some(), args, result: pattern(result) })
}

/// Types with commas between them, but for those within brackets.
fn split(types: &'static str) -> impl Iterator<Item = &'static str> {
    let mut depth = 0;
    let parts = types.split(move |char| {
        depth += i32::from(char == '<') - i32::from(char == '>');
        char == ',' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty())
}

fn pattern(word: &'static str) -> Pattern {
    let inside = word.strip_suffix('>').and_then(|word| word.split_once('<'));
    match inside {
        Some(("list", of)) => return Pattern::List(Box::new(pattern(of))),
        Some(("optional", of)) => return Pattern::Optional(Box::new(pattern(of))),
        Some(("map", of)) => {
            let mut parts = split(of).map(pattern);
            let mut next = || parts.next().expect("a map has keys and values");
            return Pattern::Map(Box::new([next(), next()]));
        }
        Some(_) | None => {}
    }
    Pattern::Plain(match word {
        "A" => return Pattern::Any(0),
        "B" => return Pattern::Any(1),
        "dyn" => Type::Dyn,
        "null" => Type::Null,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::TEXT,
        "bytes" => Type::Bytes(u64::MAX),
        "timestamp" => Type::Timestamp,
        "duration" => Type::Duration,
        "type" => Type::Type,
        "quantity" => Type::Opaque("kubernetes.Quantity"),
        "url" => Type::Opaque("kubernetes.URL"),
        "ip" => Type::Opaque("net.IP"),
        "cidr" => Type::Opaque("net.CIDR"),
        "semver" => Type::Opaque("kubernetes.Semver"),
        "format" => Type::Opaque("kubernetes.NamedFormat"),
        other => unreachable!("no type is called {other}"),
    })
}
