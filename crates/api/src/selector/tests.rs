//! What selectors mean, how they print, and what is refused.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Fields, Labels, print};
use crate::{
    Kind, Object, Reason, core_v1,
    meta_v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta},
};

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn label_selectors_match_what_they_say() {
    let web = labels(&[("app", "web"), ("tier", "a"), ("n", "5"), ("example.com/x", "")]);
    let cases = [
        ("", "", true),
        ("app=web", "app=web", true),
        ("app==web", "app=web", true),
        (" app = web , tier in ( b , a ) ", "app=web,tier in (a,b)", true),
        ("app!=web", "app!=web", false),
        ("color!=red", "color!=red", true),
        ("tier notin (b,c)", "tier notin (b,c)", true),
        ("tier notin (a)", "tier!=a", false),
        ("color notin (red,blue)", "color notin (blue,red)", true),
        ("app,!debug", "app,!debug", true),
        ("!app", "!app", false),
        ("example.com/x=", "example.com/x=", true),
        ("example.com/x", "example.com/x", true),
        ("n>4,n<6", "n>4,n<6", true),
        ("n>5", "n>5", false),
        ("app>1", "app>1", false),
        ("app in (web)", "app=web", true),
        ("tier in (a,)", "tier in (,a)", true),
    ];
    for (text, canonical, matches) in cases {
        let selector = Labels::parse(text).unwrap();
        assert_eq!(selector.matches(&web), matches, "{text}");
        assert_eq!(selector.to_string(), canonical, "{text}");
        assert_eq!(Labels::parse(&selector.to_string()).unwrap(), selector, "{text} read again");
    }
}

#[test]
fn a_label_selector_that_is_not_understood_is_refused() {
    for text in [
        "app=web,",
        ",app",
        "app in web",
        "app in (web",
        "app in",
        "app web",
        "=web",
        "!",
        "app=a b",
        "app=web;x",
        "app~web",
        "app=ä",
        "-app",
        "a/b/c",
        "/x",
        "app=web tier=a",
        "n>many",
        "!app=web",
        "(app)",
        "app=web)",
    ] {
        let error = Labels::parse(text).unwrap_err();
        assert_eq!(error.reason, Reason::BadRequest, "{text}");
        assert!(error.message.contains("unable to parse label selector"), "{}", error.message);
    }
    let error = Labels::parse("app near (web)").unwrap_err().message;
    assert!(error.contains("\"near\" is no operator; use =, ==, !=, in, notin"), "{error}");
}

#[test]
fn selectors_of_objects_mean_the_same() {
    let expression = |operator: &str, values: &[&str]| LabelSelectorRequirement {
        key: "tier".to_owned(),
        operator: operator.to_owned(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    };
    let selector =
        |expressions| LabelSelector { match_labels: labels(&[("app", "web")]), match_expressions: expressions };
    let read = |expression| Labels::from_selector(&selector(vec![expression]));
    let web = labels(&[("app", "web"), ("tier", "a")]);
    assert_eq!(read(expression("In", &["b", "a"])).unwrap().to_string(), "app=web,tier in (a,b)");
    assert!(!read(expression("NotIn", &["a"])).unwrap().matches(&web));
    assert!(read(expression("Exists", &[])).unwrap().matches(&web));
    assert!(!read(expression("DoesNotExist", &[])).unwrap().matches(&web));
    for wrong in [expression("In", &[]), expression("Exists", &["a"]), expression("Near", &["a"])] {
        assert_eq!(read(wrong).unwrap_err().reason, Reason::BadRequest);
    }
    assert_eq!(print(Some(&selector(vec![expression("Exists", &[])]))), "app=web,tier");
    assert_eq!((print(None).as_str(), print(Some(&LabelSelector::default())).as_str()), ("<none>", "<none>"));
    assert!(Labels::from_selector(&LabelSelector::default()).unwrap().is_everything());
    assert!(!Labels::from_optional(None).unwrap().matches(&web), "an absent selector selects nothing");
}

fn running_pod() -> Object {
    let metadata = ObjectMeta { name: "web-1".to_owned(), namespace: "shop".to_owned(), ..Default::default() };
    let spec =
        core_v1::PodSpec { node_name: "n1".to_owned(), restart_policy: "Always".to_owned(), ..Default::default() };
    let status =
        core_v1::PodStatus { phase: "Running".to_owned(), pod_ip: "127.64.0.9".to_owned(), ..Default::default() };
    core_v1::Pod { metadata: Some(metadata), spec: Some(spec), status: Some(status) }.into()
}

#[test]
fn field_selectors_match_what_they_say() {
    let pod = running_pod();
    for (text, matches) in [
        ("", true),
        ("metadata.name=web-1", true),
        ("metadata.name==web-1,metadata.namespace=shop", true),
        ("metadata.name!=web-1", false),
        ("spec.nodeName=", false),
        ("spec.nodeName!=", true),
        ("spec.nodeName=n1,status.phase!=Failed,status.phase!=Succeeded", true),
        ("spec.hostNetwork=false", true),
        ("spec.restartPolicy=Never", false),
        ("status.podIP=127.64.0.9", true),
    ] {
        let fields = Fields::parse(Kind::Pod, text).unwrap();
        assert_eq!(fields.matches(&pod), matches, "{text}");
        let again = Fields::parse(Kind::Pod, &fields.to_string()).unwrap();
        assert_eq!(again.to_string(), fields.to_string(), "{text}");
    }
    let escaped = Fields::parse(Kind::Event, r"reason=a\,b\=c\\").unwrap();
    assert_eq!(escaped.required("reason"), Some(r"a,b=c\"));
    assert_eq!(escaped.to_string(), r"reason=a\,b\=c\\");
}

#[test]
fn other_kinds_have_fields_of_their_own() {
    let event = core_v1::Event {
        involved_object: Some(core_v1::ObjectReference { kind: "Pod".to_owned(), ..Default::default() }),
        reporting_component: "agent".to_owned(),
        ..Default::default()
    };
    let matches = |object: &Object, text| Fields::parse(object.kind(), text).unwrap().matches(object);
    let event = event.into();
    assert!(matches(&event, "involvedObject.kind=Pod,source=agent,reportingComponent=agent,type="));
    assert!(matches(&Object::empty(Kind::Node), "spec.unschedulable=false"));
    assert!(matches(&Object::empty(Kind::ReplicaSet), "status.replicas=0"));
    assert!(!matches(&Object::empty(Kind::Secret), "type=Opaque"));
    assert!(matches(&Object::empty(Kind::Service), "spec.clusterIP=,spec.type!=NodePort"));
}

#[test]
fn a_field_selector_that_is_not_understood_is_refused() {
    for text in
        ["metadata.name", "spec.image=x", "status.phase>Running", "=x", r"metadata.name=a\b", "metadata.name=a=b"]
    {
        assert_eq!(Fields::parse(Kind::Pod, text).unwrap_err().reason, Reason::BadRequest, "{text}");
    }
    let error = Fields::parse(Kind::ConfigMap, "spec.nodeName=n1").unwrap_err().message;
    let expected =
        "field label not supported for ConfigMap: \"spec.nodeName\"; supported are metadata.name, metadata.namespace";
    assert!(error.ends_with(expected), "{error}");
}

proptest! {
    #[test]
    fn any_text_is_answered(text in ".{0,40}") {
        let _ = Labels::parse(&text);
        let _ = Fields::parse(Kind::Pod, &text);
    }

    #[test]
    fn what_is_understood_prints_as_itself(text in "[a-c!=(), notin]{0,24}") {
        if let Ok(selector) = Labels::parse(&text) {
            prop_assert_eq!(Labels::parse(&selector.to_string()), Ok(selector));
        }
    }
}

#[test]
fn selectors_are_short() {
    use super::SELECTOR_BYTES_MAX;
    use crate::validate::limits::TERMS_MAX;

    let labels = |count: usize| (0..count).map(|n| format!("!k{n}")).collect::<Vec<_>>().join(",");
    assert!(Labels::parse(&labels(TERMS_MAX)).is_ok());
    let error = Labels::parse(&labels(TERMS_MAX + 1)).unwrap_err().to_string();
    assert!(error.contains("labelSelector: 65 conditions are more than the limit of 64"), "{error}");
    let error = Labels::parse(&"k".repeat(SELECTOR_BYTES_MAX + 1)).unwrap_err().to_string();
    assert!(error.contains("more than the limit of 65536"), "{error}");
    let fields = |count: usize| vec!["metadata.name!=a"; count].join(",");
    assert!(Fields::parse(Kind::Pod, &fields(TERMS_MAX)).is_ok());
    assert!(Fields::parse(Kind::Pod, &fields(TERMS_MAX + 1)).is_err());
    assert!(Fields::parse(Kind::Pod, &"k".repeat(SELECTOR_BYTES_MAX + 1)).is_err());
}
