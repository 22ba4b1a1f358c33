//! Expressions as trees.

use super::functions::Function;

/// How deep an expression may be nested: deeper than anybody can read, shallow enough for any stack.
pub const DEPTH_MAX: usize = 64;

/// One expression.
#[derive(Clone, Debug)]
pub(super) struct Expr {
    /// The byte of the text at which it stands.
    pub(super) at: usize,
    /// How deep what is in it is nested.
    pub(super) depth: usize,
    pub(super) node: Node,
}

/// What an expression is.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    /// A name; the check replaces it by a variable, a type or part of a function's name.
    Name(String),
    /// A variable, by its place on the stack.
    Variable(usize),
    /// The name of a type as a value.
    TypeName(&'static str),
    /// `of.field`, or `of.?field`.
    Select {
        of: Box<Expr>,
        field: String,
        optional: bool,
    },
    /// `has(of.field)`.
    Has {
        of: Box<Expr>,
        field: String,
    },
    /// `of[at]`, or `of[?at]`.
    Index {
        of: Box<Expr>,
        index: Box<Expr>,
        optional: bool,
    },
    /// A list; elements with `?` are there only if they have a value.
    List(Vec<(Expr, bool)>),
    /// A map, likewise.
    Map(Vec<(Expr, Expr, bool)>),
    /// `Name{field: value}`, an object of a type that has this name; fields with `?` are there only if they have a value.
    Struct {
        name: String,
        fields: Vec<(String, Expr, bool)>,
    },
    /// `a && b && …`.
    All(Vec<Expr>),
    /// `a || b || …`.
    Any(Vec<Expr>),
    /// `condition ? yes : no`.
    If(Box<[Expr; 3]>),
    /// Everything else that has operands: operators too.
    Call(Call),
    /// A macro that goes through a list or a map.
    Fold(Box<Fold>),
    /// `of.optMap(name, then)`; `flat` if `then` is optional itself.
    OptMap {
        of: Box<Expr>,
        name: String,
        then: Box<Expr>,
        flat: bool,
    },
}

/// A call of a function or an operator.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) name: String,
    /// Whether the first argument stood before the dot.
    pub(super) is_method: bool,
    pub(super) args: Vec<Expr>,
    /// Found by the check.
    pub(super) function: Option<&'static Function>,
}

/// Goes through a range, with one name or two for what it finds there.
#[derive(Clone, Debug)]
pub(super) struct Fold {
    pub(super) kind: FoldKind,
    pub(super) range: Expr,
    pub(super) names: Vec<String>,
    /// Which elements count, for those that have both.
    pub(super) filter: Option<Expr>,
    pub(super) body: Expr,
}

/// What becomes of the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FoldKind {
    All,
    Exists,
    ExistsOne,
    Filter,
    /// `map`, and `transformList`, which has two names.
    Map,
    TransformMap,
    TransformMapEntry,
    SortBy,
}

impl Expr {
    pub(super) fn new(at: usize, node: Node) -> Self {
        let depth = 1 + node.children().map(|child| child.depth).max().unwrap_or_default();
        Self { at, depth, node }
    }
}

impl Node {
    /// A name, or names with dots between them, as one text.
    pub(super) fn dotted(&self) -> Option<String> {
        match self {
            Self::Name(name) => Some(name.clone()),
            Self::Select { of, field, optional: false } => Some(format!("{}.{field}", of.node.dotted()?)),
            _ => None,
        }
    }

    fn children(&self) -> Box<dyn Iterator<Item = &Expr> + '_> {
        match self {
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Uint(_)
            | Self::Double(_)
            | Self::Text(_)
            | Self::Bytes(_)
            | Self::Name(_)
            | Self::Variable(_)
            | Self::TypeName(_) => Box::new(std::iter::empty()),
            Self::Select { of, .. } | Self::Has { of, .. } => Box::new(std::iter::once(&**of)),
            Self::Index { of, index, .. } => Box::new([&**of, &**index].into_iter()),
            Self::List(items) => Box::new(items.iter().map(|(item, _)| item)),
            Self::Map(entries) => Box::new(entries.iter().flat_map(|(key, value, _)| [key, value])),
            Self::Struct { fields, .. } => Box::new(fields.iter().map(|(_, value, _)| value)),
            Self::All(terms) | Self::Any(terms) => Box::new(terms.iter()),
            Self::If(parts) => Box::new(parts.iter()),
            Self::Call(call) => Box::new(call.args.iter()),
            Self::Fold(fold) => Box::new([&fold.range, &fold.body].into_iter().chain(&fold.filter)),
            Self::OptMap { of, then, .. } => Box::new([&**of, &**then].into_iter()),
        }
    }
}
