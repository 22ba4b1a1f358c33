//! Stories about manifests.
#![expect(clippy::unwrap_used, reason = "tests")]

use expect_test::expect;
use proptest::prelude::{any, prop_assert_eq, proptest};
use serde_json::{Value, json};

use super::{DOCUMENT_BYTES_MAX, DOCUMENTS_MAX, documents, parse, to_string};
use crate::{
    json::{self, Strictness, random},
    schema::Schema,
};

fn one(text: &str) -> Value {
    documents(text).unwrap().pop().unwrap()
}

fn error(text: &str) -> String {
    documents(text).unwrap_err().message
}

#[test]
fn documents_and_lists_come_one_by_one() {
    let text = "---\n# nothing\n---\na: 1\n---\nkind: List\nitems:\n- b: 2\n- c: {d: [x, 3.5, true, null]}\n...\n";
    assert_eq!(
        documents(text).unwrap(),
        [json!({"a": 1}), json!({"b": 2}), json!({"c": {"d": ["x", 3.5, true, null]}})]
    );
    assert_eq!(documents("\u{feff}{\"a\": \"json\"}\n{\"b\":\t1}").unwrap(), [json!({"a": "json"}), json!({"b": 1})]);
    assert_eq!(one("{a: flow,\n b: [1]}"), json!({"a": "flow", "b": [1]}));
    let odd = "%YAML 1.1\n--- # first\r\na: 1\r\nb: x y\r\n---\r\n\r\n--- {c: 2}\n--- |\n  text\n...\n# end";
    assert_eq!(documents(odd).unwrap(), [json!({"a": 1, "b": "x y"}), json!({"c": 2}), json!("text\n")]);
    assert!(documents("").unwrap().is_empty() && documents("# only words\n---\n").unwrap().is_empty());
}

#[test]
fn plain_scalars_mean_what_they_mean_to_kubectl() {
    for (text, value) in [
        ("0644", json!(420)),
        ("0o644", json!(420)),
        ("0x1F", json!(31)),
        ("-12", json!(-12)),
        ("+12", json!(12)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("18446744073709551615", json!(u64::MAX)),
        ("1_000", json!(1000)),
        ("0x_1", json!(1)),
        ("0b11", json!(3)),
        ("-0644", json!(-420)),
        ("0o8", json!("0o8")),
        ("1e400", json!("1e400")),
        ("1.", json!(1)),
        ("-0", json!(0)),
        ("y", json!(true)),
        ("N", json!(false)),
        ("!!binary aGk=", json!("hi")),
        ("0899", json!(899)),
        ("1.0", json!(1)),
        ("0.5", json!(0.5)),
        (".5", json!(0.5)),
        ("1e3", json!(1000)),
        ("yes", json!(true)),
        ("Off", json!(false)),
        ("~", json!(null)),
        ("", json!(null)),
        ("1.2.3", json!("1.2.3")),
        ("100m", json!("100m")),
        ("64Mi", json!("64Mi")),
        ("--1", json!("--1")),
        ("0x", json!("0x")),
        ("e3", json!("e3")),
        ("2026-11-23", json!("2026-11-23")),
        ("2026-11-23T01:10:01Z", json!("2026-11-23T01:10:01Z")),
        ("12:30:45", json!("12:30:45")),
        ("127.0.0.1", json!("127.0.0.1")),
        ("yess", json!("yess")),
        ("'0644'", json!("0644")),
        ("\"yes\"", json!("yes")),
        ("!!str 5", json!("5")),
        ("!!int '5'", json!(5)),
        ("|\n  a\n  b", json!("a\nb\n")),
        (">-\n  a\n  b", json!("a b")),
    ] {
        assert_eq!(one(&format!("a: {text}\n"))["a"], value, "{text}");
    }
    let keys = one("1: a\non: b\n\"2\": c\n0644: d\n1.5: e\n");
    assert_eq!(keys, json!({"1": "a", "true": "b", "2": "c", "420": "d", "1.5": "e"}));
}

#[test]
fn anchors_and_merge_keys_are_followed() {
    let text = "x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz: {<<: [*x, *y], a: 0}\nw: {<<: *y}\nv: [*x]\n";
    let value = one(text);
    assert_eq!(value["z"], json!({"a": 0, "b": 2, "c": 4}));
    assert_eq!((&value["w"], &value["v"]), (&json!({"b": 3, "c": 4}), &json!([{"a": 1, "b": 2}])));
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let wrong = [
        "a: 1\n---\nb: [1\n",
        "a:\n\tb: 1\n",
        "a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n",
        "{{ name }}: x\n",
        "~: x\n",
        "a: !thing 1\n",
        "a: .inf\n",
        "a: !!int x\n",
        "a: &a [*a]\n",
        "a: *nothing\n",
        "<<: 1\n",
        "a: \"open\n",
    ];
    let told: Vec<String> = wrong.iter().map(|text| format!("{text:?}\n  {}\n", error(text))).collect();
    expect![[r#"
        "a: 1\n---\nb: [1\n"
          document 2, line 4, column 1: not YAML: while parsing a flow sequence, expected ',' or ']'
        "a:\n\tb: 1\n"
          document 1, line 2, column 2: not YAML: tabs disallowed within this context (block indentation)
        "a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n"
          document 1, line 5: key "c" already set in map; remove one
        "{{ name }}: x\n"
          document 1, line 1: a key must be a text, not a list or a mapping; is a template not filled in?
        "~: x\n"
          document 1, line 1: a key cannot be empty or null; put it in quotes
        "a: !thing 1\n"
          document 1, line 1: the tag !thing means nothing here; remove it
        "a: .inf\n"
          document 1, line 1: .inf is a number that JSON does not have; put it in quotes if it is a text
        "a: !!int x\n"
          document 1, line 1: "x" is not a !!int
        "a: &a [*a]\n"
          document 1, line 1: an alias stands within what it is an alias of
        "a: *nothing\n"
          document 1, line 1, column 4: not YAML: while parsing node, found unknown anchor
        "<<: 1\n"
          document 1, line 1: the key << takes an alias of a mapping, or a list of them
        "a: \"open\n"
          document 1, line 1, column 4: not YAML: while scanning a quoted scalar, found unexpected end of stream
    "#]]
    .assert_eq(&told.concat());
}

#[test]
fn a_document_that_expands_without_end_is_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        bomb.push_str(&format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(", ")));
    }
    assert!(error(&bomb).contains("aliases expanded"), "{}", error(&bomb));
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 1000].join(", "));
    assert!(error(&long).contains("aliases expanded"), "{}", error(&long));
}

#[test]
fn what_is_too_large_is_refused() {
    let fits = format!("a: {}\n", "x".repeat(DOCUMENT_BYTES_MAX - 10));
    assert_eq!(documents(&format!("{fits}---\n{fits}")).unwrap().len(), 2);
    assert_eq!(
        error(&format!("a: {}\n", "x".repeat(DOCUMENT_BYTES_MAX))),
        "document 1: larger than 3145728 bytes; split it"
    );
    assert!(error(&format!("{{\"a\": \"{}\"}}", "x".repeat(DOCUMENT_BYTES_MAX))).contains("split it"));
    assert!(error(&"a: 1\n---\n".repeat(DOCUMENTS_MAX + 1)).contains("in parts"));
    assert!(error(&"[".repeat(200)).contains("deeper"));
    assert!(error(&"[".repeat(100_000)).contains("recursion limit"));
    assert!(error(&format!("{}x", "- ".repeat(1_000))).contains("deeper"));
    assert!(error(&"{\"a\":".repeat(100_000)).contains("recursion limit"));
}

#[test]
fn texts_that_look_like_something_else_are_written_so_that_they_stay_texts() {
    for text in [
        "0644",
        "0o644",
        "0x1F",
        "0b1",
        "1_000",
        "0x_1",
        "0899",
        "1.",
        ".5",
        "1e3",
        "+1",
        "-0",
        "yes",
        "Off",
        "NO",
        "y",
        "N",
        "~",
        "",
        "null",
        ".inf",
        "-.NaN",
        "<<",
        "2026-11-23",
        "a: b",
        "# x",
        "true",
        "- a",
        "a:",
        "a #b",
        "1:2",
        "2026-11-23T01:10:01Z",
        "\u{85}",
        "a\u{2028}b",
        "\u{1f600}",
        "a\n",
        "a\n\nb",
        "a\n\n",
        " a\n",
        "a \nb",
        "\na",
        "a\r\nb",
        "tab\t",
        "_",
        "=",
        "!x",
        "&a",
        "*a",
        "| x",
        "%",
    ] {
        let written = to_string(&json!({"a": text, text: 1, "b": [text]}));
        let value = json!({"a": text, text: 1, "b": [text]});
        assert_eq!(one(&written), value, "{written}");
        // Whoever reads YAML 1.2 reads the same.
        assert_eq!(serde_yaml::from_str::<Value>(&written).unwrap(), value, "{written}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "([-a-z0-9:{}\\[\\]\"'&*!|>#%,?. \n]|- |: |\n  |---\n|<<: |&a |\\*a )*") {
        let _ = documents(&text);
    }

    #[test]
    fn what_is_written_is_what_is_read(seed in any::<u64>(), texts in proptest::collection::vec("(?s).{0,6}", 0..5), float: f64) {
        let mut dice = random::Dice(seed);
        let pod = random::message(Schema::get().message("kapelle.core.v1.Pod").unwrap(), &mut dice, 0);
        let value = json!({"pod": pod, "texts": texts, "float": float, "nested": [[texts, []], {}, [[[1]]], [{"a": [2]}]]});
        let text = to_string(&value);
        let read = one(&text);
        prop_assert_eq!(&read["float"].as_f64(), &value["float"].as_f64(), "{}", text);
        prop_assert_eq!(&read["nested"], &value["nested"], "{}", text);
        prop_assert_eq!(&read["pod"], &value["pod"], "{}", text);
    }
}

#[test]
fn yaml_is_written_as_kubectl_writes_it() {
    let value = json!({
        "metadata": {"name": "web", "creationTimestamp": "2026-11-23T01:10:01Z", "annotations": {"a.b/c": "yes", "json": "{\"a\":1}\n"}},
        "spec": {"args": ["-c", "80", "while: true"], "ports": [{"port": 80, "targetPort": "http"}], "empty": {}, "none": [], "on": false},
        "data": {"script": "#!/bin/sh\n  echo hi\n", "end": "a\nb"},
    });
    expect![[r#"
        data:
          end: |-
            a
            b
          script: |
            #!/bin/sh
              echo hi
        metadata:
          annotations:
            a.b/c: "yes"
            json: |
              {"a":1}
          creationTimestamp: "2026-11-23T01:10:01Z"
          name: web
        spec:
          args:
          - "-c"
          - "80"
          - "while: true"
          empty: {}
          none: []
          "on": false
          ports:
          - port: 80
            targetPort: http
    "#]]
    .assert_eq(&to_string(&value));
}

#[test]
fn of_a_body_every_key_is_told_that_stands_twice() {
    let text = "a: 1\nb: {c: 1}\na: 2\nb:\n  d: 1\n  d: 2\n";
    let said = ["line 3: key \"a\" already set in map", "line 6: key \"d\" already set in map"];
    let noted = parse(text, Strictness::Warn).unwrap();
    // What stands within comes first: its mapping ends before the key counts.
    assert_eq!(noted.duplicates, [said[0], said[1], "line 4: key \"b\" already set in map"]);
    assert_eq!(noted.value, json!({"a": 2, "b": {"d": 2}}), "the last one wins");
    assert_eq!(parse(text, Strictness::Ignore).unwrap().duplicates, [""; 0]);
    let refused = parse(text, Strictness::Strict).unwrap_err().message;
    assert!(refused.starts_with("strict decoding error: line 3: key") && refused.contains(said[1]), "{refused}");
    let many: String = (0..100).map(|_| "a: 1\n").collect();
    assert_eq!(parse(&many, Strictness::Warn).unwrap().duplicates.len(), json::DUPLICATES_MAX);

    let in_json = parse(r#"{"a": 1, "a": 2}"#, Strictness::Warn).unwrap();
    assert_eq!(in_json.duplicates, ["line 1: key \"a\" already set in map"]);
    assert_eq!(parse(r#"{"a": 1}"#, Strictness::Strict).unwrap(), json!({"a": 1}).into());
    for text in ["", "---\n", "a: 1\n---\nb: 1\n"] {
        assert!(parse(text, Strictness::Ignore).unwrap_err().message.contains("one YAML document"), "{text:?}");
    }
    assert_eq!(parse("---\na: 1\n---\n", Strictness::Strict).unwrap(), json!({"a": 1}).into());
}
