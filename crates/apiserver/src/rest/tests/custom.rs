//! Kinds that users define, over REST: from the definition to the objects and back.

use super::*;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";
const MERGE: &str = "content-type: application/merge-patch+json";

/// A definition with all that a version can say.
fn definition() -> Value {
    let schema = json!({
        "type": "object",
        "required": ["spec"],
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "size": {"type": "integer", "minimum": 1, "default": 1},
                    "color": {"type": "string", "enum": ["red", "blue"]},
                },
                "x-kubernetes-validations": [
                    {"rule": "self.size < 10 || self.color == 'red'", "message": "large ones are red"},
                    {"rule": "self.size >= oldSelf.size", "message": "they do not shrink"},
                ],
            },
            "status": {"type": "object", "properties": {"size": {"type": "integer"}, "selector": {"type": "string"}}},
        },
    });
    let version = |name: &str, storage: bool| {
        json!({
            "name": name, "served": true, "storage": storage, "schema": {"openAPIV3Schema": schema},
            "subresources": {
                "status": {},
                "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size", "labelSelectorPath": ".status.selector"},
            },
            "additionalPrinterColumns": [
                {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "priority": 1},
            ],
            "selectableFields": [{"jsonPath": ".spec.color"}],
        })
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]},
            "versions": [version("v1beta1", false), version("v1", true)],
        },
    })
}

/// What the controller says of a definition whose names nobody else has.
fn established(names: &Value) -> Value {
    json!({"status": {
        "acceptedNames": names,
        "conditions": [{"type": "NamesAccepted", "status": "True"}, {"type": "Established", "status": "True"}],
    }})
}

/// A server that serves Widgets.
async fn with_widgets() -> Server {
    let server = start().await;
    let created = server.post(DEFINITIONS, &definition()).await;
    assert_eq!(created.code, 201, "{:?}", created.body);
    assert_eq!(created.json()["status"]["storedVersions"], json!(["v1"]));
    assert_eq!(server.get(WIDGETS).await.code, 404, "its names are not accepted yet");
    let status = format!("PATCH {DEFINITIONS}/widgets.example.com/status");
    let answer = server.ask(&status, &[MERGE], established(&created.json()["spec"]["names"]).to_string()).await;
    assert_eq!(answer.code, 200, "{:?}", answer.body);
    server
}

fn widget(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn objects_are_pruned_given_defaults_and_judged() {
    let server = with_widgets().await;
    let sent = widget("a", &json!({"color": "red", "colour": "blue"}));
    let created = server.post(WIDGETS, &sent).await;
    assert_eq!(
        created.shows(&["/apiVersion", "/kind", "/spec", "/metadata/generation", "/metadata/namespace"]),
        (
            201,
            vec![
                json!("example.com/v1"),
                json!("Widget"),
                json!({"size": 1, "color": "red"}),
                json!(1),
                json!("default")
            ]
        )
    );
    assert!(created.header("warning").contains("unknown field \\\"spec.colour\\\""), "{:?}", created.headers);
    let strict = server.post(&format!("{WIDGETS}?fieldValidation=Strict"), &widget("b", &json!({"colour": 1}))).await;
    assert_eq!(strict.code, 400, "{:?}", strict.body);

    let wrong = server.post(WIDGETS, &widget("b", &json!({"size": 0, "color": "green"}))).await;
    assert_eq!(wrong.shows(&["/reason", "/details/kind", "/details/group"]).1, ["Invalid", "Widget", "example.com"]);
    let fields: Vec<String> =
        wrong.json()["details"]["causes"].as_array().unwrap().iter().map(|cause| cause["field"].to_string()).collect();
    assert_eq!(fields, ["\"spec.color\"", "\"spec.size\""]);
    let ruled = server.post(WIDGETS, &widget("b", &json!({"size": 12, "color": "blue"}))).await;
    assert!(ruled.json()["message"].as_str().unwrap().contains("large ones are red"), "{:?}", ruled.body);
    let missing = server.post(WIDGETS, &json!({"metadata": {"name": "b"}})).await;
    assert!(missing.json()["message"].as_str().unwrap().contains("spec: Required value"), "{:?}", missing.body);
    assert_eq!(server.post("/apis/example.com/v1/namespaces/nowhere/widgets", &sent).await.code, 404);
}

#[tokio::test]
async fn objects_are_read_written_and_deleted_as_others() {
    let server = with_widgets().await;
    let one = format!("{WIDGETS}/a");
    let created = server.post(WIDGETS, &widget("a", &json!({"size": 3, "color": "red"}))).await.json();
    assert_eq!(server.post(WIDGETS, &widget("a", &json!({}))).await.code, 409);
    assert_eq!(server.get(&one).await.json(), created);
    let elder = server.get("/apis/example.com/v1beta1/namespaces/default/widgets/a").await.json();
    assert_eq!((&elder["apiVersion"], &elder["spec"]), (&json!("example.com/v1beta1"), &created["spec"]));

    let patched = server.ask(&format!("PATCH {one}"), &[MERGE], json!({"spec": {"size": 5}}).to_string()).await;
    assert_eq!(patched.shows(&["/spec/size", "/metadata/generation"]), (200, vec![json!(5), json!(2)]));
    let ops = json!([{"op": "replace", "path": "/spec/size", "value": 2}]).to_string();
    let shrunk = server.ask(&format!("PATCH {one}"), &["content-type: application/json-patch+json"], ops).await;
    assert!(shrunk.json()["message"].as_str().unwrap().contains("they do not shrink"), "{:?}", shrunk.body);
    let strategic = ["content-type: application/strategic-merge-patch+json"];
    assert_eq!(server.ask(&format!("PATCH {one}"), &strategic, "{}").await.code, 415);
    let protobuf = server.ask(&format!("GET {one}"), &["accept: application/vnd.kubernetes.protobuf"], "").await;
    assert_eq!(protobuf.code, 406);

    let stale = server.ask(&format!("PUT {one}"), &[], created.to_string()).await;
    assert_eq!(stale.code, 409, "{:?}", stale.body);
    let blue = widget("b", &json!({"color": "blue"}));
    server.post(WIDGETS, &blue).await;
    let names = |list: &Value| {
        list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].clone()).collect::<Vec<_>>()
    };
    let list = server.get("/apis/example.com/v1/widgets").await.json();
    assert_eq!((&list["kind"], names(&list)), (&json!("WidgetList"), vec![json!("a"), json!("b")]));
    assert_eq!(list["items"][0]["kind"], "Widget");
    let selected = server.get(&format!("{WIDGETS}?fieldSelector=spec.color%3Dblue")).await.json();
    assert_eq!(names(&selected), ["b"]);
    assert_eq!(server.get(&format!("{WIDGETS}?fieldSelector=spec.size%3D1")).await.code, 400);
    let page = server.get(&format!("{WIDGETS}?limit=1")).await.json();
    let next = page["metadata"]["continue"].as_str().unwrap();
    assert_eq!(names(&server.get(&format!("{WIDGETS}?limit=1&continue={next}")).await.json()), ["b"]);

    let table = server.ask(&format!("GET {WIDGETS}"), &[&format!("accept: {TABLE}")], "").await;
    assert_eq!(
        table.shows(&["/columnDefinitions/1/name", "/rows/0/cells/0", "/rows/0/cells/1", "/rows/0/object/kind"]).1,
        [json!("Size"), json!("a"), json!(5), json!("PartialObjectMetadata")]
    );
    let gone = server.ask(&format!("DELETE {one}"), &[], "").await;
    assert_eq!(gone.shows(&["/status", "/details/kind"]), (200, vec![json!("Success"), json!("widgets")]));
    assert_eq!(server.get(&one).await.code, 404);
    assert_eq!(server.ask(&format!("DELETE {WIDGETS}"), &[], "").await.code, 200);
    assert_eq!(names(&server.get(WIDGETS).await.json()), Vec::<Value>::new());
}

#[tokio::test]
async fn status_and_scale_are_parts_of_their_own() {
    let server = with_widgets().await;
    let one = format!("{WIDGETS}/a");
    let mut sent = widget("a", &json!({"size": 3, "color": "red"}));
    sent["status"] = json!({"size": 9});
    let created = server.post(WIDGETS, &sent).await.json();
    assert_eq!(created.get("status"), None, "its creator does not say it");
    let status = json!({"status": {"size": 2, "selector": "app=a", "other": 1}, "spec": {"size": 4}}).to_string();
    let answer = server.ask(&format!("PATCH {one}/status"), &[MERGE], status).await;
    assert_eq!(
        answer.shows(&["/status", "/spec/size", "/metadata/generation"]),
        (200, vec![json!({"size": 2, "selector": "app=a"}), json!(3), json!(1)])
    );
    let wrong =
        server.ask(&format!("PATCH {one}/status"), &[MERGE], json!({"status": {"size": "x"}}).to_string()).await;
    assert_eq!(wrong.code, 422, "{:?}", wrong.body);
    let kept = server.ask(&format!("PATCH {one}"), &[MERGE], json!({"status": {"size": 7}}).to_string()).await;
    assert_eq!(kept.shows(&["/status/size"]).1, [json!(2)]);

    let scale = server.get(&format!("{one}/scale")).await;
    assert_eq!(
        scale.shows(&["/kind", "/spec/replicas", "/status/replicas", "/status/selector"]),
        (200, vec![json!("Scale"), json!(3), json!(2), json!("app=a")])
    );
    let scaled =
        server.ask(&format!("PATCH {one}/scale"), &[MERGE], json!({"spec": {"replicas": 6}}).to_string()).await;
    assert_eq!(scaled.shows(&["/spec/replicas"]), (200, vec![json!(6)]));
    assert_eq!(server.get(&one).await.shows(&["/spec/size", "/metadata/generation"]).1, [json!(6), json!(2)]);
}

#[tokio::test]
async fn what_is_defined_is_discovered_and_described() {
    let server = with_widgets().await;
    let group = server.get("/apis/example.com").await;
    assert_eq!(group.shows(&["/preferredVersion/version", "/versions/1/version"]).1, ["v1", "v1beta1"]);
    let resources = server.get("/apis/example.com/v1").await.json();
    let told = |name: &str| {
        let found = resources["resources"].as_array().unwrap().iter().find(|resource| resource["name"] == name);
        found.cloned().unwrap_or_default()
    };
    assert_eq!((&told("widgets")["shortNames"], &told("widgets")["categories"]), (&json!(["wd"]), &json!(["all"])));
    assert_eq!((&told("widgets/status")["kind"], &told("widgets/scale")["kind"]), (&json!("Widget"), &json!("Scale")));
    let aggregated = ["accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"];
    for _ in 0..2 {
        let all = server.ask("GET /apis", &aggregated, "").await.json().to_string();
        assert!(all.contains("\"resource\":\"widgets\""), "{all}");
    }
    let url = "/openapi/v3/apis/example.com/v1";
    let index = server.get("/openapi/v3").await.json();
    let hash = index["paths"]["apis/example.com/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    assert!(hash.starts_with(url), "{hash}");
    let document = server.get(url).await;
    let schema = "/components/schemas/com.example.v1.Widget";
    assert_eq!(
        document.shows(&[
            &format!("{schema}/properties/spec/properties/size/minimum"),
            &format!("{schema}/x-kubernetes-group-version-kind/0/kind"),
            "/paths/~1apis~1example.com~1v1~1namespaces~1{namespace}~1widgets~1{name}/get/x-kubernetes-group-version-kind/kind",
        ]).1,
        [json!(1), json!("Widget"), json!("Widget")]
    );
    let mut changed = definition();
    changed["spec"]["versions"][1]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["size"]["maximum"] =
        json!(100);
    changed["spec"]["versions"][0]["served"] = json!(false);
    let path = format!("{DEFINITIONS}/widgets.example.com");
    changed["metadata"]["resourceVersion"] = server.get(&path).await.json()["metadata"]["resourceVersion"].clone();
    assert_eq!(server.ask(&format!("PUT {path}"), &[], changed.to_string()).await.code, 200);
    let index = server.get("/openapi/v3").await.json();
    assert_ne!(index["paths"]["apis/example.com/v1"]["serverRelativeURL"], hash, "another document, another URL");
    assert_eq!(server.get("/apis/example.com/v1beta1/namespaces/default/widgets").await.code, 404);
    assert_eq!(server.get("/apis/example.com/v1beta1").await.code, 404);
}

#[tokio::test]
async fn a_definition_changes_while_objects_exist() {
    let server = with_widgets().await;
    let (one, path) = (format!("{WIDGETS}/a"), format!("{DEFINITIONS}/widgets.example.com"));
    let created = server.post(WIDGETS, &widget("a", &json!({"size": 3, "color": "red"}))).await.json();
    let mut lines = server.watch(&format!("{WIDGETS}?watch=true"), &[]).await;
    assert_eq!(lines.next().await.unwrap()["type"], "ADDED");
    // The field goes, and another one with a default comes.
    let mut changed = definition();
    for version in changed["spec"]["versions"].as_array_mut().unwrap() {
        let spec = &mut version["schema"]["openAPIV3Schema"]["properties"]["spec"];
        spec["properties"] = json!({"size": {"type": "integer"}, "shape": {"type": "string", "default": "round"}});
        spec.as_object_mut().unwrap().remove("x-kubernetes-validations");
        version.as_object_mut().unwrap().remove("selectableFields");
    }
    changed["metadata"]["resourceVersion"] = server.get(&path).await.json()["metadata"]["resourceVersion"].clone();
    let answer = server.ask(&format!("PUT {path}"), &[], changed.to_string()).await;
    assert_eq!(answer.code, 200, "{:?}", answer.body);
    assert_eq!(lines.next().await, None, "whoever watches begins anew");
    let shown = json!({"size": 3, "shape": "round"});
    let read = server.get(&one).await.json();
    assert_eq!((&read["spec"], &read["metadata"]), (&shown, &created["metadata"]));
    assert_eq!(server.get(WIDGETS).await.json()["items"][0]["spec"], shown);
    let mut lines = server.watch(&format!("{WIDGETS}?watch=true"), &[]).await;
    assert_eq!(lines.next().await.unwrap()["object"]["spec"], shown);
    let patched =
        server.ask(&format!("PATCH {one}"), &[MERGE], json!({"metadata": {"labels": {"a": "b"}}}).to_string()).await;
    assert_eq!(patched.shows(&["/spec", "/metadata/labels/a"]), (200, vec![shown, json!("b")]));
}

#[tokio::test]
async fn a_definition_that_is_deleted_takes_no_new_objects() {
    let server = with_widgets().await;
    let path = format!("{DEFINITIONS}/widgets.example.com");
    server.post(WIDGETS, &widget("a", &json!({}))).await;
    let going = server.ask(&format!("DELETE {path}"), &[], "").await;
    assert_eq!(going.shows(&["/metadata/finalizers/0"]).1, ["customresourcecleanup.apiextensions.k8s.io"]);
    let refused = server.post(WIDGETS, &widget("b", &json!({}))).await;
    assert_eq!(refused.code, 405, "{:?}", refused.body);
    assert_eq!(server.get(&format!("{WIDGETS}/a")).await.code, 200, "what there is can be seen");
    // The controller, which does not run here, deletes the objects and takes the finalizer away.
    server.ask(&format!("DELETE {WIDGETS}/a"), &[], "").await;
    server.ask(&format!("PATCH {path}"), &[MERGE], json!({"metadata": {"finalizers": null}}).to_string()).await;
    assert_eq!(server.get(&path).await.code, 404);
    assert_eq!(server.get(WIDGETS).await.code, 404);
    assert_eq!(server.get("/apis/example.com").await.code, 404);
}

#[tokio::test]
async fn a_definition_that_cannot_be_served_is_refused_with_all_its_faults() {
    let server = start().await;
    let mut bad = definition();
    bad["metadata"]["name"] = json!("widgets.example.org");
    let version = &mut bad["spec"]["versions"][0];
    version["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"] =
        json!([{"rule": "self.nothing > 1"}]);
    bad["spec"]["versions"][1]["storage"] = json!(false);
    bad["spec"]["conversion"] = json!({"strategy": "Webhook"});
    let refused = server.post(DEFINITIONS, &bad).await;
    let fields: Vec<Value> =
        refused.json()["details"]["causes"].as_array().unwrap().iter().map(|cause| cause["field"].clone()).collect();
    for field in [
        "metadata.name",
        "spec.versions[0].schema.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule",
        "spec.versions",
        "spec.conversion.strategy",
    ] {
        assert!(fields.contains(&json!(field)), "{field} of {fields:?}");
    }
    assert_eq!(server.get(DEFINITIONS).await.json()["items"], json!([]));
}

const APPLY: &str = "content-type: application/apply-patch+yaml";

#[tokio::test]
async fn objects_are_applied_and_every_writer_owns_what_it_wrote() {
    let server = with_widgets().await;
    let one = format!("{WIDGETS}/a");
    let apply = async |part: &str, query: &str, body: Value| {
        server.ask(&format!("PATCH {one}{part}?fieldManager={query}"), &[APPLY], body.to_string()).await
    };
    let made = apply("", "one", widget("a", &json!({"size": 3, "color": "red"}))).await;
    assert_eq!(made.code, 201, "{:?}", made.body);
    let owner = |answer: &Value, at: usize| answer["metadata"]["managedFields"][at].clone();
    let first = owner(&made.json(), 0);
    assert_eq!(
        (&first["manager"], &first["operation"], &first["apiVersion"], &first["fieldsV1"]),
        (&json!("one"), &json!("Apply"), &json!("example.com/v1"), &json!({"f:spec": {"f:color": {}, "f:size": {}}}))
    );
    let same = apply("", "one", widget("a", &json!({"size": 3, "color": "red"}))).await;
    assert_eq!((same.code, same.json()), (200, made.json()), "the same again is no write");

    let conflict = apply("", "two", widget("a", &json!({"size": 4}))).await;
    assert_eq!(
        conflict.shows(&["/message"]),
        (409, vec![json!("Apply failed with 1 conflict: conflict with \"one\": .spec.size")])
    );
    let unruly = apply("", "one", widget("a", &json!({"size": 12, "color": "blue"}))).await;
    assert_eq!(unruly.code, 422, "{:?}", unruly.body);
    let misspelt = apply("", "one&fieldValidation=Strict", widget("a", &json!({"sise": 4}))).await;
    assert!(
        misspelt.json()["message"].as_str().unwrap().contains(".spec.sise: field not declared in schema"),
        "{:?}",
        misspelt.body
    );

    let status = json!({"apiVersion": "example.com/v1", "kind": "Widget", "status": {"size": 2}});
    let told = apply("/status", "watcher", status).await;
    assert_eq!(told.shows(&["/status/size", "/spec/size"]), (200, vec![json!(2), json!(3)]));
    assert_eq!(owner(&told.json(), 1)["fieldsV1"], json!({"f:status": {"f:size": {}}}));
    let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": 5}});
    assert_eq!(apply("/scale", "scaler", scale.clone()).await.code, 409, "it is the first one's");
    let scaled = apply("/scale", "scaler&force=true", scale).await;
    assert_eq!(scaled.shows(&["/spec/replicas"]), (200, vec![json!(5)]), "{:?}", scaled.body);
    let read = server.get(&one).await.json();
    let owners = read["metadata"]["managedFields"].as_array().unwrap();
    let of = |manager: &str| owners.iter().find(|owner| owner["manager"] == manager).cloned().unwrap_or_default();
    assert_eq!(of("one")["fieldsV1"], json!({"f:spec": {"f:color": {}}}));
    assert_eq!(
        (&of("scaler")["fieldsV1"], &of("scaler")["subresource"]),
        (&json!({"f:spec": {"f:size": {}}}), &json!("scale"))
    );

    let patched =
        server.ask(&format!("PATCH {one}?fieldManager=m"), &[MERGE], json!({"spec": {"size": 6}}).to_string()).await;
    assert_eq!(patched.code, 200, "{:?}", patched.body);
    let mut put = patched.json();
    put["spec"]["color"] = json!("blue");
    let put = server.ask(&format!("PUT {one}?fieldManager=p"), &[], put.to_string()).await;
    let owners = put.json()["metadata"]["managedFields"].as_array().unwrap().clone();
    let of = |manager: &str| owners.iter().find(|owner| owner["manager"] == manager).cloned().unwrap_or_default();
    assert_eq!(of("m")["fieldsV1"], json!({"f:spec": {"f:size": {}}}), "{owners:?}");
    assert_eq!(of("p")["fieldsV1"], json!({"f:spec": {"f:color": {}}}));
    assert_eq!((of("one"), of("scaler")), (Value::Null, Value::Null), "nothing is theirs any more");
}

#[tokio::test]
async fn the_elder_document_has_what_users_define() {
    let server = with_widgets().await;
    let document = server.get("/openapi/v2").await;
    let definition = "/definitions/com.example.v1.Widget";
    assert_eq!(
        document.shows(&[
            &format!("{definition}/properties/spec/properties/size/minimum"),
            &format!("{definition}/x-kubernetes-group-version-kind/0/kind"),
            "/definitions/com.example.v1.WidgetList/properties/items/items/$ref",
            "/paths/~1apis~1example.com~1v1~1namespaces~1{namespace}~1widgets/post/x-kubernetes-group-version-kind/kind",
            "/paths/~1api~1v1~1pods/get/x-kubernetes-action",
            "/swagger",
        ]),
        (
            200,
            vec![
                json!(1),
                json!("Widget"),
                json!("#/definitions/com.example.v1.Widget"),
                json!("Widget"),
                json!("list"),
                json!("2.0")
            ]
        )
    );
    let path = format!("{DEFINITIONS}/widgets.example.com");
    server.ask(&format!("DELETE {path}"), &[], "").await;
    server.ask(&format!("PATCH {path}"), &[MERGE], json!({"metadata": {"finalizers": null}}).to_string()).await;
    assert_eq!(server.get("/openapi/v2").await.shows(&[definition]).1, [Value::Null]);
}

#[tokio::test]
async fn their_documents_come_in_both_forms_and_are_kept_under_the_url_that_names_them() {
    let server = with_widgets().await;
    let index = server.get("/openapi/v3").await.json();
    let url = index["paths"]["apis/example.com/v1"]["serverRelativeURL"].as_str().unwrap();
    for media in ["application/json", "application/com.github.proto-openapi.spec.v3.v1.0+protobuf"] {
        let accept = [&*format!("accept: {media}")];
        let kept = server.ask(&format!("GET {url}"), &accept, "").await;
        assert_eq!((kept.code, kept.header(header::CONTENT_TYPE)), (200, media));
        assert!(kept.header(header::CACHE_CONTROL).contains("immutable"), "{media}");
        let moved = server.ask("GET /openapi/v3/apis/example.com/v1?hash=0123", &accept, "").await;
        assert_eq!((moved.code, moved.header(header::LOCATION)), (301, url));
    }
}

#[tokio::test]
async fn whoever_applies_strictly_hears_of_all_mistakes_at_once() {
    let server = with_widgets().await;
    let manifest = "apiVersion: example.com/v1\nkind: Widget\nspec:\n  sise: 4\n  size: 1\n  size: 2\n";
    let apply = async |strictness: &str| {
        let line = format!("PATCH {WIDGETS}/a?fieldManager=one&fieldValidation={strictness}");
        server.ask(&line, &["content-type: application/apply-patch+yaml"], manifest).await
    };
    let refused = apply("Strict").await;
    let message = refused.json()["message"].as_str().unwrap().to_owned();
    for mistake in ["line 6: key \"size\" already set in map", ".spec.sise: field not declared in schema"] {
        assert!(refused.code == 400 && message.contains(mistake), "{message}");
    }
    let made = apply("Warn").await;
    assert_eq!(made.shows(&["/spec/size", "/spec/sise"]), (201, vec![json!(2), Value::Null]));
}
