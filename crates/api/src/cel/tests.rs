//! What expressions say, and which of them are none.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use proptest::prelude::{Strategy as _, any, prop, proptest};
use serde_json::{Value as Json, json};

use super::{
    DEPTH_MAX, EXPRESSION_BYTES_MAX, Fault, Fuel, ListOf, Object, Program, Type, Unique, Value, Variables, escape,
};

fn object(fields: impl IntoIterator<Item = (&'static str, Type)>) -> Type {
    let fields = fields.into_iter().map(|(name, of)| (name.to_owned(), of)).collect();
    Type::Object(Arc::new(Object { fields }))
}

/// The type of what the expressions here are about.
fn widget() -> Type {
    let port = object([("name", Type::TEXT), ("port", Type::Int)]);
    let unique = |of: Type, unique: Unique| Type::List(Arc::new(ListOf { of, unique, most: u64::MAX }));
    object([
        ("replicas", Type::Int),
        ("ratio", Type::Double),
        ("name", Type::TEXT),
        ("on", Type::Bool),
        ("when", Type::Timestamp),
        ("every", Type::Duration),
        ("either", Type::Dyn),
        ("labels", Type::map(Type::TEXT, Type::TEXT)),
        ("ports", unique(port, Unique::Keys(vec!["name".to_owned()]))),
        ("set", unique(Type::TEXT, Unique::Value)),
        ("list", Type::list(Type::Int)),
        ("a-b.c/d", Type::TEXT),
        ("namespace", Type::TEXT),
        ("maybe", object([("x", Type::Int)])),
    ])
}

fn sample() -> Json {
    json!({
        "replicas": 3, "ratio": 0.5, "name": "web-1", "on": true, "when": "2026-11-30T06:00:00Z", "every": "1h30m",
        "either": "50%", "labels": {"app": "web", "tier": "front"},
        "ports": [{"name": "http", "port": 80}, {"name": "https", "port": 443}],
        "set": ["a", "b"], "list": [1, 2, 3], "a-b.c/d": "dashed", "namespace": "default",
    })
}

fn compile(text: &str) -> Result<Program, String> {
    let widget = widget();
    let variables = Variables::new([("self", widget.clone()), ("oldSelf", widget)]);
    Program::compile(text, &variables).map(|(program, _)| program).map_err(|problem| problem.message)
}

/// What an expression says of the sample, as text.
fn said(text: &str) -> String {
    let (of, json) = (widget(), sample());
    let program = match compile(text) {
        Ok(program) => program,
        Err(problem) => return format!("refused: {problem}"),
    };
    let value = Value::of(&json, &of);
    match program.run(vec![value.clone(), value], &mut Fuel::new(100_000)) {
        Ok(Value::Bool(flag)) => flag.to_string(),
        Ok(Value::Text(text)) => text.to_string(),
        Ok(other) => format!("{other:?}"),
        Err(fault) => format!("fault: {fault}"),
    }
}

#[test]
fn expressions_say_what_kubernetes_documents() {
    let lines =
        include_str!("tests/expressions.cel").lines().filter(|line| !line.is_empty() && !line.starts_with("//"));
    let others: Vec<(&str, String)> = lines.map(|text| (text, said(text))).filter(|(_, said)| said != "true").collect();
    assert!(others.is_empty(), "{others:#?}");
    assert_eq!(said("'''a\nb''' == 'a\\nb'"), "true", "three quotes go over lines");
}

#[test]
fn what_does_not_fit_its_types_is_refused_when_it_is_compiled() {
    for (text, why) in [
        ("self.nothing == 1", "undefined field 'nothing'"),
        ("nobody == 1", "undeclared reference to 'nobody' (in container '')"),
        ("self.name == 1", "found no matching overload for '_==_' applied to '(string, int)'"),
        ("self.name + 1", "found no matching overload for '_+_' applied to '(string, int)'"),
        ("self.replicas.size() == 1", "found no matching overload for 'size' applied to 'int.()'"),
        ("self.on && 1", "found no matching overload for '_&&_' applied to '(bool, int)'"),
        (
            "self.name.all(x, true)",
            "expression of type 'string' cannot be range of a comprehension (must be list, map, or dynamic)",
        ),
        ("self.list.all(x, x)", "expected type 'bool' but found 'int'"),
        ("[1, 'a']", "expected type 'int' but found 'string'"),
        ("self.list.nothing()", "undeclared reference to 'nothing' (in container '')"),
        ("has(self)", "invalid argument to has() macro"),
        ("self.replicas ? 1 : 2", "found no matching overload for '_?_:_' applied to '(int, int, int)'"),
        ("self.list['a']", "found no matching overload for '_[_]' applied to '(list(int), string)'"),
        ("1 +", "Syntax error: unexpected '<EOF>'"),
        ("for == 1", "Syntax error: reserved identifier: for"),
        ("1 # 2", "Syntax error: token recognition error at: '#'"),
        ("'a", "Syntax error: a text does not end"),
        ("9223372036854775808", "Syntax error: unexpected '9223372036854775808'"),
        ("self.list.all(x, y, true).x", "type 'bool' does not support field selection"),
    ] {
        assert_eq!(compile(text).map(drop), Err(why.to_owned()), "{text}");
    }
    let problem = Program::compile("true &&\n  nobody", &Variables::default()).unwrap_err();
    let told = "ERROR: <input>:2:3: undeclared reference to 'nobody' (in container '')\n |   nobody\n | ..^";
    assert_eq!(problem.told("true &&\n  nobody"), told);
}

#[test]
fn what_has_no_value_says_why() {
    for (text, why) in [
        ("1 / 0 == 1", "fault: division by zero"),
        ("1 % 0 == 1", "fault: modulus by zero"),
        ("9223372036854775807 + 1 == 0", "fault: integer overflow"),
        ("self.labels['x'] == ''", "fault: no such key: x"),
        ("self.maybe.x == 1", "fault: no such key: maybe"),
        ("self.list[7] == 1", "fault: index out of bounds: 7"),
        ("self.either < 5", "fault: no such overload"),
        ("int('x') == 1", "fault: type conversion error from 'string' to 'int'"),
        ("'a'.matches('(') || false", "fault: error parsing regexp: \"(\""),
        ("optional.none().value() == 1", "fault: optional.none() dereference"),
        (
            "self.when.getHours('Europe/Paris') == 1",
            "fault: unknown time zone Europe/Paris; use UTC or an offset such as +01:00",
        ),
    ] {
        assert_eq!(said(text), why, "{text}");
    }
}

#[test]
fn every_expression_ends() {
    let cost = |text: &str, steps: u64| {
        let (of, json) = (widget(), sample());
        let program = compile(text).unwrap();
        let mut fuel = Fuel::new(steps);
        let end = program.run(vec![Value::of(&json, &of), Value::Null], &mut fuel).map(drop);
        (end, steps - fuel.left())
    };
    let endless = "lists.range(1000).all(a, lists.range(1000).all(b, lists.range(1000).all(c, true)))";
    assert_eq!(cost(endless, 1_000_000), (Err(Fault::Fuel), 1_000_000));
    let doubling = format!("['a']{}.size() > 0", ".map(x, x + x)".repeat(60));
    assert_eq!(cost(&doubling, 1_000_000).0, Err(Fault::Fuel), "texts that grow are paid for");
    let (end, steps) = cost("self.replicas > 1", 100);
    assert_eq!((end, steps), (Ok(()), 5), "a small rule costs little");
    assert_eq!(cost("self.list.all(x, x > 0) || true", 4).0, Err(Fault::Fuel), "nothing makes up for an empty tank");
}

#[test]
fn expressions_have_limits() {
    let nested = |depth: usize| format!("{}1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(compile(&nested(DEPTH_MAX - 1)).is_ok());
    assert!(compile(&nested(DEPTH_MAX)).unwrap_err().contains("nested deeper"));
    let chain = |terms: usize| vec!["1"; terms].join(" + ");
    assert!(compile(&chain(DEPTH_MAX)).is_ok());
    assert!(compile(&chain(DEPTH_MAX + 1)).unwrap_err().contains("nested deeper"));
    assert!(compile(&vec!["true"; 10_000].join(" && ")).is_ok(), "many terms are not deep");
    assert!(compile(&" ".repeat(EXPRESSION_BYTES_MAX + 1)).unwrap_err().contains("longer than"));
    for endless in ["!", "-", ".", "(", "[", "{", "a.", "a[", "?", "a?", "f(", "1 + ", "[?", "has("] {
        assert!(compile(&endless.repeat(10_000)).is_err(), "{endless}");
    }
}

#[test]
fn names_that_cel_cannot_write_are_escaped() {
    for (name, written) in [
        ("plain", Some("plain")),
        ("a-b", Some("a__dash__b")),
        ("a.b/c", Some("a__dot__b__slash__c")),
        ("a__b", Some("a__underscores__b")),
        ("namespace", Some("__namespace__")),
        ("9a", None),
        ("ä", None),
        ("$ref", None),
        ("", None),
    ] {
        assert_eq!(escape(name).as_deref(), written, "{name}");
        if let Some(written) = written {
            assert_eq!(super::names::unescape(written), name);
        }
    }
}

#[test]
fn objects_are_made_only_where_they_are_wanted_and_become_json() {
    let made = |text: &str| {
        let variables = Variables::new([("name", Type::TEXT)]).with_patches();
        let (program, _) = Program::compile(text, &variables).map_err(|problem| problem.message)?;
        let value =
            program.run(vec![Value::from("web")], &mut Fuel::new(100_000)).map_err(|fault| fault.to_string())?;
        value.json(&mut 1_000).map(|json| json.to_string()).map_err(|fault| fault.to_string())
    };
    for (text, json) in [
        ("Object{}", "{}"),
        ("Object{metadata: Object.metadata{name: name, ?labels: optional.none()}}", r#"{"metadata":{"name":"web"}}"#),
        ("Object{spec: Object.spec{list: [Object.spec.list{a__dash__b: 1}]}}", r#"{"spec":{"list":[{"a-b":1}]}}"#),
        (
            "[JSONPatch{op: 'add', path: '/a', value: {'b': [true, false]}}]",
            r#"[{"op":"add","path":"/a","value":{"b":[true,false]}}]"#,
        ),
        ("[duration('90s'), duration('-0.5s')]", r#"["90s","-0.5s"]"#),
        (
            "[timestamp('2026-11-30T06:00:00Z'), timestamp('2026-11-30T06:00:00.5Z')]",
            r#"["2026-11-30T06:00:00Z","2026-11-30T06:00:00.5Z"]"#,
        ),
        ("{1: b'ab'}", r#"{"1":"YWI="}"#),
    ] {
        assert_eq!(made(text).as_deref(), Ok(json), "{text}");
    }
    for (text, why) in [
        ("Other{}", "undeclared reference to 'Other' (in container '')"),
        ("JSONPatch{how: 'add'}", "undefined field 'how'"),
        ("JSONPatch{op: 1}", "expected type of field 'op' is 'string' but provided type is 'int'"),
        (
            "Object{spec: [Object.x{}]}",
            "type mismatch: unexpected type name \"Object.x\", expected \"Object.spec\", which matches field name path from root Object type",
        ),
        ("quantity('1')", "unsupported conversion from 'kubernetes.Quantity' to JSON"),
        ("lists.range(500)", "what the expression makes is too large"),
    ] {
        assert_eq!(made(text), Err(why.to_owned()), "{text}");
    }
    assert_eq!(compile("Object{}").map(drop), Err("undeclared reference to 'Object' (in container '')".to_owned()));
}

/// Pieces of which expressions are made, so that many of those that come out can be read.
const PIECES: [&str; 40] = [
    "self", ".name", ".list", ".labels", ".ports", ".either", "[0]", "['app']", "(", ")", "[", "]", "{", "}", ",", ":",
    "?", "&&", "||", "==", "<", "+", "-", "*", "/", "!", "1", "2u", "0.5", "'a'", "true", "null", ".all(x, ",
    ".map(x, ", "x", ".size()", "has(", " in ", ".?name", "// c",
];

proptest! {
    #[test]
    fn any_text_is_read_checked_and_run_without_a_panic(
        pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..24), noise in any::<String>().prop_map(|text| text.chars().take(20).collect::<String>())
    ) {
        let _ = said(&pieces.concat());
        let _ = said(&noise);
    }
}
