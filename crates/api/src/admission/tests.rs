//! Which requests rules are about, and what policies say of them.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{About, Broken, Change, Labelled, MutatingPolicy, Operation, Selection, Subject, ValidatingPolicy, doubts};
use crate::{
    Kind, Object, Reason, Served,
    admissionregistration_v1::{MatchResources, MutatingAdmissionPolicy, ValidatingAdmissionPolicy},
    json::{self, Strictness},
    meta_v1::LabelSelector,
    object::Version,
};

fn served(group: &str, version: &str, plural: &str) -> Served {
    Served::from_resource(group, version, plural).unwrap()
}

fn subject<'a>(operation: Operation, served: Served, subresource: &'a str, namespace: &'a str) -> Subject<'a> {
    Subject { operation, served, versions: &[], subresource, namespace, name: "a" }
}

fn validating(spec: Value) -> ValidatingAdmissionPolicy {
    let value = json!({"metadata": {"name": "p", "generation": 1}, "spec": spec});
    let object = json::decode(Kind::ValidatingAdmissionPolicy, &value, Strictness::Strict).unwrap().object;
    object.get::<ValidatingAdmissionPolicy>().unwrap().clone()
}

fn resources(value: Value) -> MatchResources {
    validating(json!({ "matchConstraints": value })).spec.unwrap().match_constraints.unwrap()
}

fn rule(operations: &[&str], groups: &[&str], versions: &[&str], resources: &[&str]) -> Value {
    json!({"operations": operations, "apiGroups": groups, "apiVersions": versions, "resources": resources})
}

#[test]
fn rules_match_operations_groups_versions_and_resources() {
    let (pods, deployments) = (served("", "v1", "pods"), served("apps", "v1", "deployments"));
    let found = |rule: &Value, subject: Subject<'_>| {
        let selection = Selection::of_resources(Some(&resources(json!({ "resourceRules": [rule] }))));
        let may = selection.may_find(subject.operation, subject.served.kind());
        let found = selection.find(&subject, &Labelled::default()).is_some();
        assert!(may || !found, "{rule}: what is found was expected");
        found
    };
    let create = |served: Served, part: &'static str| subject(Operation::Create, served, part, "default");
    for (text, of_pods, of_status, of_deployments) in [
        (rule(&["CREATE"], &[""], &["v1"], &["pods"]), true, false, false),
        (rule(&["*"], &["*"], &["*"], &["*"]), true, false, true),
        (rule(&["*"], &["*"], &["*"], &["*/*"]), true, true, true),
        (rule(&["*"], &["*"], &["*"], &["pods/*"]), true, true, false),
        (rule(&["*"], &["*"], &["*"], &["*/status"]), false, true, false),
        (rule(&["UPDATE"], &["*"], &["*"], &["*/*"]), false, false, false),
        (rule(&["*"], &["apps"], &["v1"], &["pods", "deployments"]), false, false, true),
        (rule(&["*"], &["*"], &["v2"], &["*"]), false, false, false),
    ] {
        let said = [(pods, ""), (pods, "status"), (deployments, "")].map(|(of, part)| found(&text, create(of, part)));
        assert_eq!(said, [of_pods, of_status, of_deployments], "{text}");
    }
}

#[test]
fn scopes_and_names_narrow_rules() {
    let (pods, nodes, namespaces) =
        (served("", "v1", "pods"), served("", "v1", "nodes"), served("", "v1", "namespaces"));
    let all = |extra: Value| {
        let mut rule = rule(&["*"], &["*"], &["*"], &["*"]);
        rule.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        Selection::of_resources(Some(&resources(json!({ "resourceRules": [rule] }))))
    };
    let asked = [(pods, "default"), (nodes, ""), (namespaces, "a")];
    for (extra, wanted) in [
        (json!({"scope": "Namespaced"}), [true, false, false]),
        (json!({"scope": "Cluster"}), [false, true, true]),
        (json!({"scope": "*"}), [true, true, true]),
        (json!({"resourceNames": ["a"]}), [true, true, true]),
        (json!({"resourceNames": ["b"]}), [false, false, false]),
    ] {
        let selection = all(extra.clone());
        let found = asked.map(|(of, namespace)| {
            let subject = subject(Operation::Update, of, "", namespace);
            selection.find(&subject, &Labelled::default()).is_some()
        });
        assert_eq!(found, wanted, "{extra}");
    }
}

#[test]
fn a_rule_may_name_another_version_of_what_a_request_names() {
    let (core, events) = (served("", "v1", "events"), Served::Converted(Version::EventsV1));
    let one = |policy: &str| {
        let rules = [rule(&["CREATE"], &["events.k8s.io"], &["v1"], &["events"])];
        Selection::of_resources(Some(&resources(json!({ "resourceRules": rules, "matchPolicy": policy }))))
    };
    let found = |policy: &str, of: Served| {
        one(policy).find(&subject(Operation::Create, of, "", "default"), &Labelled::default())
    };
    assert_eq!(found("Equivalent", core), Some(events));
    assert_eq!(found("Equivalent", events), Some(events));
    assert_eq!(found("Exact", core), None);
    assert!(one("Exact").may_find(Operation::Create, Kind::Event));
}

#[test]
fn labels_of_namespaces_and_objects_narrow_rules() {
    let selector =
        |key: &str| LabelSelector { match_labels: [(key.to_owned(), "1".to_owned())].into(), ..Default::default() };
    let matched = MatchResources {
        namespace_selector: Some(selector("n")),
        object_selector: Some(selector("o")),
        ..MatchResources::default()
    };
    let selection = Selection::of_resources(Some(&matched));
    let subject = subject(Operation::Update, served("", "v1", "pods"), "", "default");
    let labels = |key: &str| BTreeMap::from([(key.to_owned(), "1".to_owned())]);
    let (namespace, object, other) = (labels("n"), labels("o"), labels("x"));
    let find = |namespace, old, new| selection.find(&subject, &Labelled { namespace, old, new }).is_some();
    assert!(find(Some(&namespace), Some(&other), Some(&object)));
    assert!(find(Some(&namespace), Some(&object), Some(&other)), "those before the write count as well");
    assert!(!find(Some(&namespace), Some(&other), Some(&other)));
    assert!(!find(Some(&other), None, Some(&object)));
    assert!(find(None, None, Some(&object)), "what lives in no namespace is in every one");
}

/// What a policy says of an object.
fn judged(spec: Value, object: &Value) -> super::Verdict {
    let policy = ValidatingPolicy::compile(&validating(spec));
    let request = json!({"operation": "CREATE", "userInfo": {"username": "ada", "groups": []}});
    let (params, namespace) = (json!({"data": {"most": "3"}}), json!({"metadata": {"name": "default", "labels": {}}}));
    policy.judge(About { object, old_object: &Value::Null, request: &request, namespace: &namespace, params: &params })
}

fn broken(index: usize, message: &str) -> Broken {
    Broken { index, message: message.to_owned(), reason: Reason::Invalid }
}

#[test]
fn a_policy_says_which_rules_are_broken() {
    let object = json!({"metadata": {"name": "web"}, "spec": {"replicas": 7}});
    let spec = json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "variables": [
            {"name": "most", "expression": "int(params.data.most)"},
            {"name": "over", "expression": "object.spec.replicas - variables.most"},
            {"name": "never", "expression": "object.spec.absent.x"},
        ],
        "validations": [
            {"expression": "object.spec.replicas <= 10"},
            {"expression": "variables.over <= 0", "messageExpression": "'too many by ' + string(variables.over)"},
            {"expression": "object.spec.replicas < 5", "message": " at most four ", "reason": "Forbidden"},
            {"expression": "request.userInfo.username != 'ada' && namespaceObject.metadata.name == 'default'"},
            {"expression": "variables.never == 1"},
        ],
        "auditAnnotations": [
            {"key": "over", "valueExpression": "string(variables.over)"},
            {"key": "none", "valueExpression": "null"},
        ],
    });
    let verdict = judged(spec.clone(), &object);
    let fault = "composited variable \"never\" fails to evaluate: expression 'object.spec.absent.x' resulted in error: no such \
                 key: absent";
    assert_eq!(
        verdict.broken,
        [
            broken(1, "too many by 4"),
            Broken { reason: Reason::Forbidden, ..broken(2, "at most four") },
            broken(
                3,
                "failed expression: request.userInfo.username != 'ada' && namespaceObject.metadata.name == 'default'"
            ),
            broken(4, &format!("expression 'variables.never == 1' resulted in error: {fault}")),
        ]
    );
    assert_eq!(verdict.annotations, [("over".to_owned(), "4".to_owned())]);
    let mut ignoring = spec;
    ignoring["failurePolicy"] = "Ignore".into();
    assert_eq!(judged(ignoring, &object).broken.len(), 3, "what has no value is nobody's fault");
}

#[test]
fn conditions_decide_whether_a_policy_is_asked() {
    let object = json!({"metadata": {"name": "web"}});
    let spec = |conditions: Value, failure: &str| {
        json!({
            "matchConditions": conditions, "failurePolicy": failure, "validations": [{"expression": "false"}],
        })
    };
    let condition = |text: &str| json!({"name": "c", "expression": text});
    let asked = |conditions: Value, failure: &str| judged(spec(conditions, failure), &object).broken;
    assert_eq!(
        asked(json!([condition("object.metadata.name == 'web'")]), "Fail"),
        [broken(0, "failed expression: false")]
    );
    let (faulty, no) = (condition("object.spec.x"), condition("object.metadata.name == 'other'"));
    assert_eq!(asked(json!([faulty.clone(), no]), "Fail"), [], "one that is false makes up for others");
    let why = "must evaluate to bool";
    assert_eq!(asked(json!([faulty]), "Fail"), [broken(0, why)]);
    let dividing = condition("1 / 0 == 1");
    assert_eq!(asked(json!([dividing.clone()]), "Ignore"), []);
    let why = "expression '1 / 0 == 1' resulted in error: division by zero";
    assert_eq!(asked(json!([dividing]), "Fail"), [broken(0, why)]);
}

#[test]
fn a_policy_that_takes_too_much_is_told() {
    let endless = "lists.range(1000).all(a, lists.range(1000).all(b, lists.range(1000).all(c, true)))";
    let spec = json!({"validations": [{"expression": endless}, {"expression": endless}]});
    let broken = judged(spec, &json!({})).broken;
    assert_eq!(broken.len(), 2);
    assert!(broken[0].message.ends_with("operation cancelled: actual cost limit exceeded"), "{}", broken[0].message);
}

#[test]
fn a_policy_makes_changes() {
    let policy = |mutations: Value| {
        let spec = json!({"mutations": mutations, "reinvocationPolicy": "IfNeeded"});
        let value = json!({"metadata": {"name": "p"}, "spec": spec});
        let object = json::decode(Kind::MutatingAdmissionPolicy, &value, Strictness::Strict).unwrap().object;
        MutatingPolicy::compile(object.get::<MutatingAdmissionPolicy>().unwrap())
    };
    let apply = |text: &str| json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": text}});
    let patch = |text: &str| json!({"patchType": "JSONPatch", "jsonPatch": {"expression": text}});
    let object = json!({"metadata": {"name": "web"}});
    let null = Value::Null;
    let about = About { object: &object, old_object: &null, request: &null, namespace: &null, params: &null };
    let policy = policy(json!([
        apply(
            "Object{metadata: Object.metadata{labels: {'of': object.metadata.name}}, spec: Object.spec{replicas: 3}}"
        ),
        patch("[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b~c'), value: 1}]"),
        patch("has(object.spec) ? [JSONPatch{op: 'remove', path: '/spec'}] : []"),
        apply("Object{spec: Object.wrong{}}"),
        apply("object"),
    ]));
    let labels = json!({"metadata": {"labels": {"of": "web"}}, "spec": {"replicas": 3}});
    assert_eq!(policy.change(0, &about), Ok(Change::Apply(labels)));
    let operations = json!([{"op": "add", "path": "/metadata/labels/a~1b~0c", "value": 1}]);
    assert_eq!(policy.change(1, &about), Ok(Change::Patch(operations)));
    assert_eq!(policy.change(2, &about), Ok(Change::Patch(json!([]))));
    let why = policy.change(3, &about).unwrap_err();
    assert!(why.contains("unexpected type name \"Object.wrong\", expected \"Object.spec\""), "{why}");
    assert_eq!(policy.change(4, &about), Err("must evaluate to Object".to_owned()));
    assert!(policy.is_reinvoked && policy.changes() == 5);
}

#[test]
fn what_an_expression_makes_is_bounded() {
    let doubling = "[['x', 'x']]".to_owned() + &".map(x, [x, x])".repeat(30);
    let spec = json!({"mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {
        "expression": format!("Object{{spec: Object.spec{{a: {doubling}}}}}")
    }}]});
    let value = json!({"metadata": {"name": "p"}, "spec": spec});
    let object: Object = json::decode(Kind::MutatingAdmissionPolicy, &value, Strictness::Strict).unwrap().object;
    let policy = MutatingPolicy::compile(object.get::<MutatingAdmissionPolicy>().unwrap());
    let null = Value::Null;
    let about = About { object: &null, old_object: &null, request: &null, namespace: &null, params: &null };
    let why = policy.change(0, &about).unwrap_err();
    assert!(why.ends_with("what the expression makes is too large"), "{why}");
}

#[test]
fn doubtful_fields_are_told_of_kinds_that_are_named() {
    let policy = |resources: &[&str], text: &str| {
        validating(json!({
            "matchConstraints": {"resourceRules": [rule(&["*"], &["apps"], &["v1"], resources)]},
            "validations": [{"expression": "true"}, {"expression": text}],
        }))
    };
    let found = doubts(&policy(&["deployments", "replicasets"], "object.spec.strategy.type == 'Recreate'"));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].field_ref, "spec.validations[1].expression");
    assert!(found[0].warning.starts_with("apps/v1, Kind=ReplicaSet: "), "{}", found[0].warning);
    assert!(found[0].warning.contains("undefined field 'strategy'"));
    assert_eq!(doubts(&policy(&["deployments"], "object.spec.replicas > 1 && object.metadata.name != ''")), []);
    assert_eq!(doubts(&policy(&["*"], "object.spec.nothing")), [], "whatever it is about is not known");
}
