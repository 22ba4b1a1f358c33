//! Checks an expression against the types of its variables, and finds the functions that it calls.

use std::collections::BTreeSet;

use super::{
    Problem, Variables,
    ast::{Call, Expr, Fold, FoldKind, Node},
    cost::{self, Cost},
    functions,
    names::unescape,
    types::Type,
};

/// The type of objects that expressions make.
pub(super) const OBJECT: &str = "Object";

/// The type of operations of a patch.
pub(super) const PATCH: &str = "JSONPatch";

/// Names of types that are values.
const TYPE_NAMES: [&str; 13] = [
    "bool",
    "bytes",
    "double",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "type",
    "uint",
    "google.protobuf.Duration",
    "google.protobuf.Timestamp",
    "optional_type",
];

/// What a check tells.
pub(super) struct Checked {
    pub(super) result: Type,
    /// The most steps that running it may take.
    pub(super) cost: u64,
    /// The variables that are named.
    pub(super) names: Vec<&'static str>,
    /// Of variables that are objects, the fields that are named.
    pub(super) selected: Vec<(&'static str, String)>,
    /// The variables that are looked at as a whole.
    pub(super) whole: Vec<&'static str>,
}

pub(super) fn check(expr: &mut Expr, variables: &Variables) -> Result<Checked, Problem> {
    let Variables { names: variables, patches } = variables;
    let scope = variables.iter().map(|(name, of)| ((*name).to_owned(), of.clone())).collect();
    let mut checker = Checker {
        scope,
        uses: vec![Uses::default(); variables.len()],
        selected: BTreeSet::new(),
        patches: *patches,
        mixes: false,
        cost: Cost::default(),
    };
    let result = checker.expr(expr)?;
    let named = |wanted: fn(&Uses) -> bool| {
        let uses = variables.iter().zip(&checker.uses);
        uses.filter(move |(_, uses)| wanted(uses)).map(|((name, _), _)| *name).collect()
    };
    let (names, whole) = (named(|uses| uses.all > 0), named(|uses| uses.all > uses.selects));
    let selected = checker.selected.into_iter();
    let selected = selected.filter_map(|(place, field)| variables.get(place).map(|(name, _)| (*name, field))).collect();
    Ok(Checked { result, names, selected, whole, cost: checker.cost.steps })
}

/// How often a variable is named.
#[derive(Clone, Copy, Default)]
struct Uses {
    all: usize,
    /// With a field of it.
    selects: usize,
}

struct Checker {
    /// What is named, the innermost last: at its place on the stack.
    scope: Vec<(String, Type)>,
    uses: Vec<Uses>,
    /// Places of variables, with a field that is named.
    selected: BTreeSet<(usize, String)>,
    /// Whether objects and patches may be made.
    patches: bool,
    /// Whether lists may have elements of several types here: what is formatted may.
    mixes: bool,
    cost: Cost,
}

impl Checker {
    fn expr(&mut self, expr: &mut Expr) -> Result<Type, Problem> {
        let at = expr.at;
        if let Some(node) = self.resolved(&expr.node) {
            expr.node = node;
        }
        self.cost.of(&expr.node);
        Ok(match &mut expr.node {
            Node::Null => Type::Null,
            Node::Bool(_) => Type::Bool,
            Node::Int(_) => Type::Int,
            Node::Uint(_) => Type::Uint,
            Node::Double(_) => Type::Double,
            Node::Text(text) => Type::String(text.len() as u64),
            Node::Bytes(bytes) => Type::Bytes(bytes.len() as u64),
            Node::TypeName(_) => Type::Type,
            Node::Variable(place) => {
                self.uses.get_mut(*place).into_iter().for_each(|uses| uses.all += 1);
                self.scope.get(*place).map_or(Type::Dyn, |(_, of)| of.clone())
            }
            Node::Name(name) => {
                return Err(Problem::new(at, format!("undeclared reference to '{name}' (in container '')")));
            }
            Node::Select { of, field, optional } => self.select(at, of, field, *optional)?,
            Node::Has { of, field } => {
                self.select(at, of, field, false)?;
                Type::Bool
            }
            Node::Index { of, index, optional } => self.index(at, of, index, *optional)?,
            Node::List(items) => self.list(items)?,
            Node::Map(entries) => self.map(entries)?,
            Node::Struct { name, fields } => self.made(at, name, fields)?,
            Node::All(terms) => self.logic(at, "&&", terms)?,
            Node::Any(terms) => self.logic(at, "||", terms)?,
            Node::If(parts) => self.condition(at, parts)?,
            Node::Call(call) => self.call(at, call)?,
            Node::Fold(fold) => self.fold(fold)?,
            Node::OptMap { of, name, then, flat } => self.opt_map(at, of, name, then, *flat)?,
        })
    }

    /// What a name, or names with dots, stand for.
    fn resolved(&self, node: &Node) -> Option<Node> {
        let name = node.dotted()?;
        let variable = self.scope.iter().rposition(|(known, _)| *known == name);
        let type_name = || TYPE_NAMES.into_iter().find(|known| *known == name).map(Node::TypeName);
        variable.map(Node::Variable).or_else(type_name)
    }

    fn select(&mut self, at: usize, from: &mut Expr, field: &mut String, optional: bool) -> Result<Type, Problem> {
        let of = self.expr(from)?;
        if let Node::Variable(place) = from.node
            && let Some(uses) = self.uses.get_mut(place)
        {
            uses.selects += 1;
            self.selected.insert((place, unescape(field)));
        }
        let (of, was_optional) = match &of {
            Type::Optional(inner) => ((**inner).clone(), true),
            _ => (of, false),
        };
        let found = match &of {
            Type::Dyn => Type::Dyn,
            Type::Map(map) => map.value.clone(),
            Type::Object(object) => {
                let name = unescape(field);
                let found = object.fields.get(&name).cloned();
                *field = name;
                found.ok_or_else(|| Problem::new(at, format!("undefined field '{field}'")))?
            }
            other => return Err(Problem::new(at, format!("type '{other}' does not support field selection"))),
        };
        Ok(if was_optional || optional { Type::optional(found) } else { found })
    }

    fn index(&mut self, at: usize, of: &mut Expr, index: &mut Expr, optional: bool) -> Result<Type, Problem> {
        let (of, by) = (self.expr(of)?, self.expr(index)?);
        let (inner, was_optional) = match &of {
            Type::Optional(inner) => ((**inner).clone(), true),
            _ => (of.clone(), false),
        };
        let found = match &inner {
            Type::Dyn => Some(Type::Dyn),
            Type::List(list) if by.agrees(&Type::Int) || by.agrees(&Type::Uint) || by.agrees(&Type::Double) => {
                Some(list.of.clone())
            }
            Type::Map(map) if by.agrees(&map.key) => Some(map.value.clone()),
            _ => None,
        };
        let found = found.ok_or_else(|| no_overload(at, "_[_]", &[of, by]))?;
        Ok(if was_optional || optional { Type::optional(found) } else { found })
    }

    fn list(&mut self, items: &mut [(Expr, bool)]) -> Result<Type, Problem> {
        let count = items.len() as u64;
        let mut of: Option<Type> = None;
        for (item, optional) in items {
            let next = self.element(item, *optional)?;
            of = Some(self.alike(item.at, of, next)?);
        }
        Ok(Type::list_of_at_most(of.unwrap_or(Type::Dyn), count))
    }

    /// The type of an element; of one that need not be there, what is in it.
    fn element(&mut self, item: &mut Expr, optional: bool) -> Result<Type, Problem> {
        let of = self.expr(item)?;
        match (optional, &of) {
            (false, _) | (true, Type::Dyn) => Ok(of),
            (true, Type::Optional(inner)) => Ok((**inner).clone()),
            (true, other) => Err(Problem::new(item.at, format!("expected type 'optional_type' but found '{other}'"))),
        }
    }

    /// Elements of a list that an expression writes are of one type.
    fn alike(&self, at: usize, of: Option<Type>, next: Type) -> Result<Type, Problem> {
        match of {
            None => Ok(next),
            Some(of) if of.agrees(&next) => Ok(of.joined(&next)),
            Some(_) if self.mixes => Ok(Type::Dyn),
            Some(of) => Err(Problem::new(at, format!("expected type '{of}' but found '{next}'"))),
        }
    }

    fn map(&mut self, entries: &mut [(Expr, Expr, bool)]) -> Result<Type, Problem> {
        let (mut keys, mut values): (Option<Type>, Option<Type>) = (None, None);
        for (key, value, optional) in entries {
            let key_type = self.expr(key)?;
            if !matches!(key_type, Type::Dyn | Type::Bool | Type::Int | Type::Uint | Type::String(_)) {
                return Err(Problem::new(key.at, format!("unsupported map key type '{key_type}'")));
            }
            let value_type = self.element(value, *optional)?;
            keys = Some(self.alike(key.at, keys, key_type)?);
            values = Some(self.alike(value.at, values, value_type)?);
        }
        Ok(Type::map(keys.unwrap_or(Type::Dyn), values.unwrap_or(Type::Dyn)))
    }

    /// An object, or an operation of a patch.
    fn made(&mut self, at: usize, name: &str, fields: &mut [(String, Expr, bool)]) -> Result<Type, Problem> {
        let is_object = name == OBJECT || name.strip_prefix(OBJECT).is_some_and(|rest| rest.starts_with('.'));
        if !self.patches || !is_object && name != PATCH {
            return Err(Problem::new(at, format!("undeclared reference to '{name}' (in container '')")));
        }
        for (field, value, optional) in fields {
            let of = self.element(value, *optional)?;
            if is_object {
                fits(value, &format!("{name}.{field}"))?;
                *field = unescape(field);
                continue;
            }
            let wanted = match field.as_str() {
                "op" | "path" | "from" => Type::TEXT,
                "value" => Type::Dyn,
                _ => return Err(Problem::new(value.at, format!("undefined field '{field}'"))),
            };
            if !of.agrees(&wanted) {
                let why = format!("expected type of field '{field}' is '{wanted}' but provided type is '{of}'");
                return Err(Problem::new(value.at, why));
            }
        }
        Ok(match name {
            OBJECT => Type::Opaque(OBJECT),
            PATCH => Type::Opaque(PATCH),
            _ => Type::Dyn,
        })
    }

    fn logic(&mut self, at: usize, sign: &str, terms: &mut [Expr]) -> Result<Type, Problem> {
        for term in terms {
            let of = self.expr(term)?;
            if !of.agrees(&Type::Bool) {
                return Err(no_overload(at, &format!("_{sign}_"), &[Type::Bool, of]));
            }
        }
        Ok(Type::Bool)
    }

    fn condition(&mut self, at: usize, parts: &mut [Expr; 3]) -> Result<Type, Problem> {
        let [condition, yes, no] = parts;
        let (of, yes, no) = (self.expr(condition)?, self.expr(yes)?, self.expr(no)?);
        if !of.agrees(&Type::Bool) || !yes.agrees(&no) {
            return Err(no_overload(at, "_?_:_", &[of, yes, no]));
        }
        Ok(yes.joined(&no))
    }

    fn call(&mut self, at: usize, call: &mut Call) -> Result<Type, Problem> {
        self.namespaced(call);
        let mixed = self.mixes;
        self.mixes |= call.is_method && call.name == "format";
        let types = call.args.iter_mut().map(|arg| self.expr(arg)).collect::<Result<Vec<_>, _>>();
        self.mixes = mixed;
        let types = types?;
        let Some(function) = functions::find(&call.name) else {
            return Err(Problem::new(at, format!("undeclared reference to '{}' (in container '')", call.name)));
        };
        call.function = Some(function);
        self.cost.of_call(&call.name, &types);
        let result = function.result(call.is_method, &types).map(|result| cost::sized(result, &call.name, &types));
        result.ok_or_else(|| match call.is_method {
            false => no_overload(at, &call.name, &types),
            true => {
                let words: Vec<String> = types.iter().skip(1).map(ToString::to_string).collect();
                let of = types.first().map(ToString::to_string).unwrap_or_default();
                let name = &call.name;
                let why = format!("found no matching overload for '{name}' applied to '{of}.({})'", words.join(", "));
                Problem::new(at, why)
            }
        })
    }

    /// `sets.contains(a, b)` looks like a method of `sets`, but is a function with a dot in its name.
    fn namespaced(&self, call: &mut Call) {
        if !call.is_method {
            return;
        }
        let Some(space) = call.args.first().and_then(|first| first.node.dotted()) else { return };
        let name = format!("{space}.{}", call.name);
        let shadowed = self.scope.iter().any(|(known, _)| *known == space);
        if !shadowed && functions::find(&name).is_some() {
            call.args.remove(0);
            call.name = name;
            call.is_method = false;
        }
    }

    fn fold(&mut self, fold: &mut Fold) -> Result<Type, Problem> {
        let at = fold.range.at;
        let range = self.expr(&mut fold.range)?;
        let (first, second) = match &range {
            Type::Dyn => (Type::Dyn, Type::Dyn),
            Type::List(list) if fold.names.len() == 1 => (list.of.clone(), Type::Dyn),
            Type::List(list) => (Type::Int, list.of.clone()),
            Type::Map(map) => (map.key.clone(), map.value.clone()),
            other => {
                let why = "expression of type '{}' cannot be range of a comprehension (must be list, map, or dynamic)";
                return Err(Problem::new(at, why.replace("{}", &other.to_string())));
            }
        };
        let before = self.scope.len();
        let outside = self.cost.enter(&range);
        self.scope.extend(fold.names.iter().cloned().zip([first.clone(), second]));
        if let Some(filter) = &mut fold.filter {
            self.must_be_bool(filter)?;
        }
        let body = self.expr(&mut fold.body)?;
        self.scope.truncate(before);
        self.cost.leave(outside);
        match fold.kind {
            FoldKind::All | FoldKind::Exists | FoldKind::ExistsOne => {
                expect_bool(fold.body.at, &body)?;
                Ok(Type::Bool)
            }
            FoldKind::Filter => {
                expect_bool(fold.body.at, &body)?;
                Ok(Type::list_of_at_most(first, range.most()))
            }
            FoldKind::Map => Ok(Type::list_of_at_most(body, range.most())),
            FoldKind::TransformMap => Ok(Type::map(first, body)),
            FoldKind::TransformMapEntry => Ok(body),
            FoldKind::SortBy => Ok(Type::list_of_at_most(first, range.most())),
        }
    }

    fn must_be_bool(&mut self, expr: &mut Expr) -> Result<(), Problem> {
        let of = self.expr(expr)?;
        expect_bool(expr.at, &of)
    }

    fn opt_map(&mut self, at: usize, of: &mut Expr, name: &str, then: &mut Expr, flat: bool) -> Result<Type, Problem> {
        let inner = match self.expr(of)? {
            Type::Dyn => Type::Dyn,
            Type::Optional(inner) => (*inner).clone(),
            other => {
                let name = if flat { "optFlatMap" } else { "optMap" };
                return Err(no_overload(at, name, &[other]));
            }
        };
        self.scope.push((name.to_owned(), inner));
        let result = self.expr(then);
        self.scope.pop();
        let result = result?;
        match (flat, &result) {
            (false, _) => Ok(Type::optional(result)),
            (true, Type::Dyn | Type::Optional(_)) => Ok(result),
            (true, other) => Err(Problem::new(at, format!("expected type 'optional_type' but found '{other}'"))),
        }
    }
}

/// An object within another one must be of the type of the field in which it stands.
fn fits(value: &Expr, path: &str) -> Result<(), Problem> {
    match &value.node {
        Node::Struct { name, .. } if name != path => {
            let why = format!(
                "type mismatch: unexpected type name \"{name}\", expected \"{path}\", which matches field name path from root \
                 Object type"
            );
            Err(Problem::new(value.at, why))
        }
        Node::List(items) => items.iter().try_for_each(|(item, _)| fits(item, path)),
        Node::If(parts) => parts[1..].iter().try_for_each(|part| fits(part, path)),
        _ => Ok(()),
    }
}

fn expect_bool(at: usize, of: &Type) -> Result<(), Problem> {
    if of.agrees(&Type::Bool) {
        Ok(())
    } else {
        Err(Problem::new(at, format!("expected type 'bool' but found '{of}'")))
    }
}

fn no_overload(at: usize, name: &str, types: &[Type]) -> Problem {
    let words: Vec<String> = types.iter().map(ToString::to_string).collect();
    Problem::new(at, format!("found no matching overload for '{name}' applied to '({})'", words.join(", ")))
}

/// Whether values of a type are objects that an expression made.
#[must_use]
pub fn is_made_object(of: &Type) -> bool {
    matches!(of, Type::Opaque(OBJECT))
}

/// Whether they are lists of operations.
#[must_use]
pub fn is_made_patch(of: &Type) -> bool {
    matches!(of, Type::List(list) if matches!(list.of, Type::Opaque(PATCH) | Type::Dyn))
}
