//! Words as expressions: CEL's grammar, by recursive descent.

use super::{
    Problem,
    ast::{Call, DEPTH_MAX, Expr, Fold, FoldKind, Node},
    lex::{self, Token},
    names::RESERVED,
};

/// The longest expression, in bytes.
pub const EXPRESSION_BYTES_MAX: usize = 100_000;

/// Operators between two operands, by how tightly they bind, the loosest first.
const LEVELS: [&[&str]; 3] = [&["==", "!=", "<=", ">=", "<", ">", "in"], &["+", "-"], &["*", "/", "%"]];

pub(super) fn parse(text: &str) -> Result<Expr, Problem> {
    if text.len() > EXPRESSION_BYTES_MAX {
        return Err(Problem::new(0, format!("the expression is longer than {EXPRESSION_BYTES_MAX} bytes")));
    }
    let mut parser = Parser { words: lex::words(text)?, next: 0, depth: 0 };
    let expr = parser.expression()?;
    match parser.peek() {
        Token::End => Ok(expr),
        _ => Err(parser.unexpected()),
    }
}

struct Parser {
    words: Vec<(usize, Token)>,
    next: usize,
    depth: usize,
}

type Parsed = Result<Expr, Problem>;

impl Parser {
    fn peek(&self) -> &Token {
        self.words.get(self.next).map_or(&Token::End, |(_, token)| token)
    }

    fn at(&self) -> usize {
        self.words.get(self.next).map_or(0, |(at, _)| *at)
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    /// Takes a sign if it is the next word.
    fn sign(&mut self, sign: &str) -> bool {
        let there = matches!(self.peek(), Token::Sign(next) if *next == sign);
        self.next += usize::from(there);
        there
    }

    fn need(&mut self, sign: &str) -> Result<(), Problem> {
        if self.sign(sign) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn unexpected(&self) -> Problem {
        let found = match self.peek() {
            Token::Int(value) => value.to_string(),
            Token::MinInt => "9223372036854775808".to_owned(),
            Token::Uint(value) => format!("{value}u"),
            Token::Double(value) => value.to_string(),
            Token::Text(text) => format!("{text:?}"),
            Token::Bytes(_) => "bytes".to_owned(),
            Token::Name(name) => name.clone(),
            Token::Sign(sign) => (*sign).to_owned(),
            Token::End => "<EOF>".to_owned(),
        };
        Problem::new(self.at(), format!("Syntax error: unexpected '{found}'"))
    }

    /// An expression of no more than the allowed depth.
    fn made(&self, at: usize, node: Node) -> Parsed {
        let expr = Expr::new(at, node);
        if expr.depth > DEPTH_MAX { Err(too_deep(at)) } else { Ok(expr) }
    }

    fn expression(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(too_deep(self.at()));
        }
        let condition = self.any()?;
        let at = self.at();
        let expr = if self.sign("?") {
            let yes = self.any()?;
            self.need(":")?;
            let no = self.expression()?;
            self.made(at, Node::If(Box::new([condition, yes, no])))
        } else {
            Ok(condition)
        };
        self.depth -= 1;
        expr
    }

    fn any(&mut self) -> Parsed {
        self.chain("||", Self::all, Node::Any)
    }

    fn all(&mut self) -> Parsed {
        self.chain("&&", |this| this.binary(0), Node::All)
    }

    fn chain(&mut self, sign: &str, term: fn(&mut Self) -> Parsed, node: fn(Vec<Expr>) -> Node) -> Parsed {
        let first = term(self)?;
        let at = self.at();
        let mut terms = vec![first];
        while self.sign(sign) {
            terms.push(term(self)?);
        }
        match terms.pop() {
            Some(only) if terms.is_empty() => Ok(only),
            Some(last) => {
                terms.push(last);
                self.made(at, node(terms))
            }
            None => Err(self.unexpected()),
        }
    }

    fn binary(&mut self, level: usize) -> Parsed {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        loop {
            let at = self.at();
            let found = operators.iter().find(|operator| match self.peek() {
                Token::Sign(sign) => sign == *operator,
                Token::Name(name) => name == *operator,
                _ => false,
            });
            let Some(operator) = found else { return Ok(left) };
            self.next += 1;
            let right = self.binary(level + 1)?;
            let name = if *operator == "in" { "@in".to_owned() } else { format!("_{operator}_") };
            left = self.made(at, operation(&name, vec![left, right]))?;
        }
    }

    fn unary(&mut self) -> Parsed {
        let at = self.at();
        for sign in ["!", "-"] {
            let mut count = 0;
            while self.sign(sign) {
                count += 1;
            }
            if count == 0 {
                continue;
            }
            if sign == "-"
                && let Some(number) = self.negative()
            {
                let number = self.made(at, number)?;
                let number = self.members(number)?;
                return if count % 2 == 1 { Ok(number) } else { self.made(at, operation("-_", vec![number])) };
            }
            let operand = self.member()?;
            // Twice is nothing, but the operand must still be of the type.
            let times = if count % 2 == 1 { 1 } else { 2 };
            let sign = if sign == "!" { "!_" } else { "-_" };
            return (0..times).try_fold(operand, |operand, _| self.made(at, operation(sign, vec![operand])));
        }
        self.member()
    }

    /// The number behind a minus.
    fn negative(&mut self) -> Option<Node> {
        let node = match self.peek() {
            Token::Int(value) => Node::Int(-value),
            Token::MinInt => Node::Int(i64::MIN),
            Token::Double(value) => Node::Double(-value),
            _ => return None,
        };
        self.next += 1;
        Some(node)
    }

    fn member(&mut self) -> Parsed {
        let primary = self.primary()?;
        self.members(primary)
    }

    fn members(&mut self, mut expr: Expr) -> Parsed {
        loop {
            let at = self.at();
            if self.sign(".") {
                let optional = self.sign("?");
                let Token::Name(name) = self.peek().clone() else { return Err(self.unexpected()) };
                self.next += 1;
                expr = if !optional && self.sign("(") {
                    let args = self.list(")")?;
                    self.method(at, expr, name, args)?
                } else {
                    self.made(at, Node::Select { of: Box::new(expr), field: name, optional })?
                };
            } else if let Some(name) = self.of_type(&expr) {
                let fields = self.fields()?;
                expr = self.made(at, Node::Struct { name, fields })?;
            } else if self.sign("[") {
                let optional = self.sign("?");
                let index = Box::new(self.expression()?);
                self.need("]")?;
                expr = self.made(at, Node::Index { of: Box::new(expr), index, optional })?;
            } else {
                return Ok(expr);
            }
        }
    }

    fn primary(&mut self) -> Parsed {
        let at = self.at();
        let node = match self.take() {
            Token::Int(value) => Node::Int(value),
            Token::Uint(value) => Node::Uint(value),
            Token::Double(value) => Node::Double(value),
            Token::Text(text) => Node::Text(text),
            Token::Bytes(bytes) => Node::Bytes(bytes),
            Token::Name(name) => return self.named(at, name),
            Token::Sign("(") => {
                let inside = self.expression()?;
                self.need(")")?;
                return Ok(inside);
            }
            Token::Sign("[") => Node::List(self.elements()?),
            Token::Sign("{") => Node::Map(self.entries()?),
            // A dot in front says that the name is whole, which each name here is.
            Token::Sign(".") if matches!(self.peek(), Token::Name(_)) => return self.primary(),
            Token::MinInt | Token::Sign(_) | Token::End => {
                self.next -= 1;
                return Err(self.unexpected());
            }
        };
        self.made(at, node)
    }

    fn named(&mut self, at: usize, name: String) -> Parsed {
        let node = match name.as_str() {
            "true" => Node::Bool(true),
            "false" => Node::Bool(false),
            "null" => Node::Null,
            reserved if RESERVED.contains(&reserved) => {
                return Err(Problem::new(at, format!("Syntax error: reserved identifier: {name}")));
            }
            _ if self.sign("(") => {
                let args = self.list(")")?;
                return self.call(at, name, args);
            }
            _ => Node::Name(name),
        };
        self.made(at, node)
    }

    /// Expressions up to a closing sign.
    fn list(&mut self, close: &str) -> Result<Vec<Expr>, Problem> {
        let mut items = Vec::new();
        while !self.sign(close) {
            if !items.is_empty() {
                self.need(",")?;
            }
            items.push(self.expression()?);
        }
        Ok(items)
    }

    fn elements(&mut self) -> Result<Vec<(Expr, bool)>, Problem> {
        let mut items = Vec::new();
        while !self.sign("]") {
            if !items.is_empty() {
                self.need(",")?;
                if self.sign("]") {
                    break;
                }
            }
            let optional = self.sign("?");
            items.push((self.expression()?, optional));
        }
        Ok(items)
    }

    fn entries(&mut self) -> Result<Vec<(Expr, Expr, bool)>, Problem> {
        let mut entries = Vec::new();
        while !self.sign("}") {
            if !entries.is_empty() {
                self.need(",")?;
                if self.sign("}") {
                    break;
                }
            }
            let optional = self.sign("?");
            let key = self.expression()?;
            self.need(":")?;
            entries.push((key, self.expression()?, optional));
        }
        Ok(entries)
    }

    /// The name of a type before the brace that opens an object of it; the brace is taken.
    fn of_type(&mut self, expr: &Expr) -> Option<String> {
        if !matches!(self.peek(), Token::Sign("{")) {
            return None;
        }
        let name = expr.node.dotted()?;
        self.next += 1;
        Some(name)
    }

    fn fields(&mut self) -> Result<Vec<(String, Expr, bool)>, Problem> {
        let mut fields = Vec::new();
        while !self.sign("}") {
            if !fields.is_empty() {
                self.need(",")?;
                if self.sign("}") {
                    break;
                }
            }
            let optional = self.sign("?");
            let Token::Name(name) = self.peek().clone() else { return Err(self.unexpected()) };
            self.next += 1;
            self.need(":")?;
            fields.push((name, self.expression()?, optional));
        }
        Ok(fields)
    }

    fn call(&mut self, at: usize, name: String, mut args: Vec<Expr>) -> Parsed {
        if name != "has" {
            return self.made(at, Node::Call(Call { name, is_method: false, args, function: None }));
        }
        match (args.pop().map(|arg| arg.node), args.is_empty()) {
            (Some(Node::Select { of, field, optional: false }), true) => self.made(at, Node::Has { of, field }),
            _ => Err(Problem::new(at, "invalid argument to has() macro")),
        }
    }

    /// A method, or one of the macros that look like one.
    fn method(&mut self, at: usize, of: Expr, name: String, args: Vec<Expr>) -> Parsed {
        if let Some(kind) = fold_kind(&name, args.len()) {
            return self.fold(at, kind, of, args);
        }
        if matches!((name.as_str(), args.len()), ("optMap" | "optFlatMap", 2)) {
            let mut args = args.into_iter();
            if let (Some(variable), Some(then)) = (args.next(), args.next()) {
                let node = Node::OptMap {
                    of: Box::new(of),
                    name: simple_name(&variable)?,
                    then: Box::new(then),
                    flat: name == "optFlatMap",
                };
                return self.made(at, node);
            }
            return Err(self.unexpected());
        }
        let args = std::iter::once(of).chain(args).collect();
        self.made(at, Node::Call(Call { name, is_method: true, args, function: None }))
    }

    fn fold(&mut self, at: usize, (kind, names): (FoldKind, usize), range: Expr, mut args: Vec<Expr>) -> Parsed {
        let mut rest = args.split_off(names.min(args.len()));
        let names = args.iter().map(simple_name).collect::<Result<Vec<_>, _>>()?;
        if let [one, other] = names.as_slice()
            && one == other
        {
            return Err(Problem::new(at, format!("overlapping variable name: {one}")));
        }
        let Some(body) = rest.pop() else { return Err(Problem::new(at, "the macro lacks its expression")) };
        let filter = rest.pop();
        self.made(at, Node::Fold(Box::new(Fold { kind, range, names, filter, body })))
    }
}

fn too_deep(at: usize) -> Problem {
    Problem::new(at, format!("the expression is nested deeper than {DEPTH_MAX}"))
}

/// An operator is a function with a name that nobody can write.
fn operation(name: &str, args: Vec<Expr>) -> Node {
    Node::Call(Call { name: name.to_owned(), is_method: false, args, function: None })
}

/// The macro of a name and a number of arguments, and how many of them are names.
fn fold_kind(name: &str, args: usize) -> Option<(FoldKind, usize)> {
    Some(match (name, args) {
        ("all", 2) => (FoldKind::All, 1),
        ("all", 3) => (FoldKind::All, 2),
        ("exists", 2) => (FoldKind::Exists, 1),
        ("exists", 3) => (FoldKind::Exists, 2),
        ("exists_one" | "existsOne", 2) => (FoldKind::ExistsOne, 1),
        ("exists_one" | "existsOne", 3) => (FoldKind::ExistsOne, 2),
        ("filter", 2) => (FoldKind::Filter, 1),
        ("map", 2 | 3) => (FoldKind::Map, 1),
        ("transformList", 3 | 4) => (FoldKind::Map, 2),
        ("transformMap", 3 | 4) => (FoldKind::TransformMap, 2),
        ("transformMapEntry", 3 | 4) => (FoldKind::TransformMapEntry, 2),
        ("sortBy", 2) => (FoldKind::SortBy, 1),
        _ => return None,
    })
}

fn simple_name(expr: &Expr) -> Result<String, Problem> {
    match &expr.node {
        Node::Name(name) => Ok(name.clone()),
        _ => Err(Problem::new(expr.at, "argument must be a simple name")),
    }
}
