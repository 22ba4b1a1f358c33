//! A kind in a group and version in which it is not stored: Events in `events.k8s.io`.

use super::{Body, TABLE, Value, enveloped, json, start};

const STORED: &str = "/api/v1/namespaces/default/events";
const SERVED: &str = "/apis/events.k8s.io/v1/namespaces/default/events";

fn event(name: &str, note: &str) -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": { "name": name },
        "eventTime": "2026-11-23T12:00:00.000000Z", "regarding": { "kind": "Pod", "namespace": "default", "name": "p" },
        "type": "Normal", "action": "Note", "reason": "Noted", "note": note,
        "reportingController": "example.com/me", "reportingInstance": "me-1",
    })
}

#[tokio::test]
async fn one_object_has_two_names_from_its_creation_to_its_deletion() {
    let server = start().await;
    let created = server.post(SERVED, &event("e", "something")).await;
    let said = ["/apiVersion", "/kind", "/note", "/regarding/name", "/deprecatedSource"];
    let words = |words: [&str; 4]| words.map(Value::from).into_iter().chain([Value::Null]).collect::<Vec<_>>();
    assert_eq!(created.shows(&said), (201, words(["events.k8s.io/v1", "Event", "something", "p"])));
    let stored = server.get(&format!("{STORED}/e")).await;
    let said = ["/apiVersion", "/kind", "/message", "/involvedObject/name", "/note"];
    assert_eq!(stored.shows(&said), (200, words(["v1", "Event", "something", "p"])));
    assert_eq!(server.get(&format!("{SERVED}/e")).await.json(), created.json());

    let one = format!("{SERVED}/e");
    let patch = r#"{"series":{"count":2,"lastObservedTime":"2026-11-23T12:01:00.000000Z"}}"#;
    for media in ["strategic-merge-patch", "merge-patch"] {
        let media = format!("content-type: application/{media}+json");
        let patched = server.ask(&format!("PATCH {one}"), &[&media], patch).await;
        assert_eq!(patched.shows(&["/series/count", "/note"]), (200, vec![json!(2), json!("something")]));
    }
    let mut replaced = server.get(&one).await.json();
    replaced["metadata"]["labels"] = json!({ "a": "b" });
    let put = server.ask(&format!("PUT {one}"), &[], replaced.to_string()).await;
    assert_eq!(put.shows(&["/metadata/labels/a"]), (200, vec![json!("b")]));
    replaced["metadata"]["resourceVersion"] = Value::Null;
    replaced["note"] = "otherwise".into();
    let refused = server.ask(&format!("PUT {one}"), &[], replaced.to_string()).await;
    assert_eq!(refused.shows(&["/details/causes/0/field"]), (422, vec![json!("note")]));

    let gone = server.ask(&format!("DELETE {one}"), &[], Body::empty()).await;
    let details = ["/status", "/details/group", "/details/kind", "/details/name"];
    let expected = ["Success", "events.k8s.io", "events", "e"].map(Value::from).to_vec();
    assert_eq!(gone.shows(&details), (200, expected));
    assert_eq!(server.get(&format!("{STORED}/e")).await.code, 404);
}

#[tokio::test]
async fn each_name_has_its_own_rules() {
    let server = start().await;
    let mut old = event("e", "something");
    old["eventTime"] = Value::Null;
    let refused = server.post(SERVED, &old).await;
    assert_eq!(refused.shows(&["/details/causes/0/field"]), (422, vec![json!("eventTime")]));
    let old = json!({ "metadata": { "name": "e" }, "involvedObject": { "namespace": "default" }, "message": "old" });
    assert_eq!(server.post(STORED, &old).await.code, 201);
    let wrong = server.post(STORED, &event("f", "something")).await;
    assert_eq!(wrong.code, 400);
    let mut both = event("f", "something");
    both["message"] = "twice".into();
    let unknown = server.post(&format!("{SERVED}?fieldValidation=Strict"), &both).await;
    assert!(unknown.json()["message"].as_str().unwrap().contains("unknown field \"message\""), "{:?}", unknown.body);
}

#[tokio::test]
async fn lists_tables_and_selections_know_the_other_names() {
    let server = start().await;
    for name in ["a", "b"] {
        server.post(SERVED, &event(name, name)).await;
    }
    let list = server.get("/apis/events.k8s.io/v1/events").await;
    let said = ["/kind", "/apiVersion", "/items/1/note", "/items/1/message"];
    let expected = vec![json!("EventList"), json!("events.k8s.io/v1"), json!("b"), Value::Null];
    assert_eq!(list.shows(&said), (200, expected));

    let accept = format!("accept: {TABLE}");
    let table = server.ask(&format!("GET {SERVED}?includeObject=Object"), &[&accept], Body::empty()).await;
    let said = ["/columnDefinitions/0/name", "/rows/0/cells/6", "/rows/0/object/regarding/name"];
    assert_eq!(table.shows(&said), (200, vec![json!("Last Seen"), json!("a"), json!("p")]));

    for (selector, count) in [
        ("regarding.name=p,regarding.kind=Pod", 2),
        ("regarding.name=q", 0),
        ("reportingController=example.com/me,reason=Noted", 2),
        ("metadata.name=a", 1),
    ] {
        let selector = selector.replace('=', "%3D");
        let found = server.get(&format!("{SERVED}?fieldSelector={selector}")).await.json();
        assert_eq!(found["items"].as_array().unwrap().len(), count, "{selector}");
    }
    for (path, selector) in [(SERVED, "involvedObject.name=p"), (STORED, "regarding.name=p"), (SERVED, "source=me")] {
        let selector = selector.replace('=', "%3D");
        let refused = server.get(&format!("{path}?fieldSelector={selector}")).await;
        assert_eq!(refused.code, 400, "{selector}");
    }

    let deleted = server.ask(&format!("DELETE {SERVED}?fieldSelector=reason%3DNoted"), &[], Body::empty()).await;
    assert_eq!(deleted.shows(&["/apiVersion", "/items/0/note"]), (200, vec![json!("events.k8s.io/v1"), json!("a")]));
    assert_eq!(server.get(STORED).await.shows(&["/items"]), (200, vec![json!([])]));
}

#[tokio::test]
async fn a_watch_tells_each_in_the_words_that_he_knows() {
    let server = start().await;
    let mut served = server.watch(&format!("{SERVED}?watch=true"), &[]).await;
    let mut stored = server.watch(&format!("{STORED}?watch=true"), &[]).await;
    let created = server.post(SERVED, &event("e", "something")).await.json();
    assert_eq!(served.next().await.unwrap(), json!({ "type": "ADDED", "object": created }));
    assert_eq!(stored.next().await.unwrap()["object"], server.get(&format!("{STORED}/e")).await.json());
    let query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut marked = server.watch(&format!("{SERVED}?{query}"), &[]).await;
    assert_eq!(marked.next().await.unwrap()["object"], created);
    let bookmark = marked.next().await.unwrap();
    assert_eq!((&bookmark["type"], &bookmark["object"]["apiVersion"]), (&json!("BOOKMARK"), &created["apiVersion"]));
}

#[tokio::test]
async fn protobuf_has_the_numbers_of_its_group() {
    let server = start().await;
    let protobuf = ["content-type: application/vnd.kubernetes.protobuf", "accept: application/json"];
    let regarding = api::core_v1::ObjectReference { namespace: "default".to_owned(), ..Default::default() };
    let sent = api::events_v1::Event {
        metadata: Some(api::meta_v1::ObjectMeta { name: "e".to_owned(), ..Default::default() }),
        event_time: Some(api::meta_v1::MicroTime { seconds: 1_795_000_000, nanos: 5_000 }),
        regarding: Some(regarding),
        r#type: "Normal".to_owned(),
        action: "Note".to_owned(),
        reason: "Noted".to_owned(),
        note: "something".to_owned(),
        reporting_controller: "example.com/me".to_owned(),
        reporting_instance: "me-1".to_owned(),
        // What Go writes although nobody has set it.
        deprecated_source: Some(Default::default()),
        deprecated_first_timestamp: Some(Default::default()),
        ..Default::default()
    };
    let created = server.ask(&format!("POST {SERVED}"), &protobuf, enveloped("events.k8s.io/v1", "Event", &sent)).await;
    assert_eq!(created.shows(&["/note", "/reportingInstance"]), (201, vec![json!("something"), json!("me-1")]));
    let wrong = server.ask(&format!("POST {SERVED}"), &protobuf, enveloped("v1", "Event", &sent)).await;
    assert_eq!(wrong.code, 400);
}

#[tokio::test]
async fn it_is_told_by_discovery_and_described() {
    let server = start().await;
    assert!(server.get("/apis").await.json()["groups"].to_string().contains("\"events.k8s.io\""));
    let resources = server.get("/apis/events.k8s.io/v1").await;
    let said = ["/groupVersion", "/resources/0/name", "/resources/0/shortNames/0"];
    assert_eq!(resources.shows(&said), (200, vec![json!("events.k8s.io/v1"), json!("events"), json!("ev")]));
    let described = server.get("/openapi/v3/apis/events.k8s.io/v1").await.json();
    let event = &described["components"]["schemas"]["io.k8s.api.events.v1.Event"];
    assert!(event["properties"]["regarding"].is_object() && event["properties"]["involvedObject"].is_null());
}
