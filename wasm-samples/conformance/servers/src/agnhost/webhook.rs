//! `webhook`: judges and changes objects that are about to be written, as an admission webhook over TLS.

use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::flags::Flags;
use crate::serving::{self, Answer, Request};
use crate::tls;

/// The label or key by which objects say what they expect.
const ASKS: &str = "webhook-e2e-test";
const DISALLOW: &str = "webhook-disallow";

pub async fn main(flags: &Flags) {
    let sidecar: Rc<str> = flags.text("sidecar-image").unwrap_or_default().into();
    let listener = serving::listen(flags.port("port", 443));
    serving::serve(listener, tls::from_flags(flags), move |request| respond(request, sidecar.clone())).await
}

async fn respond(request: Request, sidecar: Rc<str>) -> Answer {
    if request.path == "/readyz" {
        return serving::ok("ok");
    }
    let review: Value = match serde_json::from_slice(&request.body) {
        Ok(review) => review,
        Err(error) => return serving::bad(format!("Request could not be decoded: {error}")),
    };
    println!("{}: {} {}", request.path, review["request"]["operation"], review["request"]["resource"]);
    let asked = &review["request"];
    let mut response = match request.path.as_str() {
        "/always-allow-delay-5s" => {
            tokio::time::sleep(Duration::from_secs(5)).await;
            allow()
        }
        "/always-deny" => deny("message", "this webhook denies all requests"),
        "/add-label" => add_label(asked),
        "/pods" => pods(asked).await,
        "/pods/attach" => attaching(asked),
        "/mutating-pods" => mutate_pods(asked),
        "/mutating-pods-sidecar" => add_sidecar(asked, &sidecar),
        "/configmaps" => data(asked, "configmap", "unwanted key and value"),
        "/custom-resource" => data(asked, "custom resource", "unwanted data"),
        "/mutating-configmaps" | "/mutating-custom-resource" => mutate_data(asked),
        "/crd" => definition(asked),
        _ => return serving::text(StatusCode::NOT_FOUND, "404 page not found\n"),
    };
    response["uid"] = asked["uid"].clone();
    let review = json!({"kind": "AdmissionReview", "apiVersion": review["apiVersion"], "response": response});
    serving::typed(StatusCode::OK, "application/json", review.to_string())
}

fn allow() -> Value {
    json!({"allowed": true})
}

/// A refusal whose status says why in one of its fields.
fn deny(field: &str, why: &str) -> Value {
    json!({"allowed": false, "status": {field: why}})
}

fn patch(operations: &Value) -> Value {
    json!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(operations.to_string())})
}

/// The object as it is to be, or as it was if it is to go.
fn object(asked: &Value) -> &Value {
    if asked["operation"] == "DELETE" { &asked["oldObject"] } else { &asked["object"] }
}

fn is_resource(asked: &Value, resource: &str) -> bool {
    asked["resource"]["resource"] == resource
}

fn add_label(asked: &Value) -> Value {
    let labels = asked["object"]["metadata"]["labels"].as_object();
    match labels.filter(|labels| !labels.is_empty()).map(|labels| labels.get("added-label")) {
        None => patch(&json!([{"op": "add", "path": "/metadata/labels", "value": {"added-label": "yes"}}])),
        Some(None) => patch(&json!([{"op": "add", "path": "/metadata/labels/added-label", "value": "yes"}])),
        Some(Some(label)) if label != "yes" => {
            patch(&json!([{"op": "replace", "path": "/metadata/labels/added-label", "value": "yes"}]))
        }
        Some(Some(_)) => allow(),
    }
}

async fn pods(asked: &Value) -> Value {
    if !is_resource(asked, "pods") {
        return deny("message", "expect resource to be pods");
    }
    let pod = &asked["object"];
    let mut why = Vec::new();
    match pod["metadata"]["labels"][ASKS].as_str() {
        Some("wait-forever") => std::future::pending().await,
        Some(DISALLOW) => why.push("the pod contains unwanted label;"),
        _ => {}
    }
    if names(pod, "containers").any(|name| name.contains(DISALLOW)) {
        why.push("the pod contains unwanted container name;");
    }
    if why.is_empty() { allow() } else { deny("message", &why.join(" ")) }
}

fn names<'a>(pod: &'a Value, containers: &str) -> impl Iterator<Item = &'a str> {
    pod["spec"][containers].as_array().into_iter().flatten().filter_map(|container| container["name"].as_str())
}

fn attaching(asked: &Value) -> Value {
    let options = &asked["object"];
    let is_refused = asked["name"] == "to-be-attached-pod"
        && is_resource(asked, "pods")
        && asked["subResource"] == "attach"
        && options["stdin"] == true
        && options["container"] == "container1";
    if is_refused { deny("message", "attaching to pod 'to-be-attached-pod' is not allowed") } else { allow() }
}

fn mutate_pods(asked: &Value) -> Value {
    let (pod, name) = (&asked["object"], "webhook-added-init-container");
    if pod["metadata"]["name"] != "webhook-to-be-mutated" || names(pod, "initContainers").any(|known| known == name) {
        return allow();
    }
    let container = json!({"image": "webhook-added-image", "name": name, "resources": {}});
    patch(&json!([{"op": "add", "path": "/spec/initContainers", "value": [container]}]))
}

fn add_sidecar(asked: &Value, image: &str) -> Value {
    let name = "webhook-added-sidecar";
    if image.is_empty() {
        return deny("message", "No image specified by the sidecar-image parameter");
    }
    if names(&asked["object"], "containers").any(|known| known == name) {
        return allow();
    }
    patch(
        &json!([{"op": "add", "path": "/spec/containers/-", "value": {"image": image, "name": name, "resources": {}}}]),
    )
}

/// Judges what has data. Why not is said in the reason, as upstream does.
fn data(asked: &Value, what: &str, unwanted: &str) -> Value {
    let is_going = asked["operation"] == "DELETE";
    match object(asked)["data"][ASKS].as_str() {
        Some(DISALLOW) if !is_going => deny("reason", &format!("the {what} contains {unwanted}")),
        Some("webhook-nondeletable") if is_going => {
            deny("reason", &format!("the {what} cannot be deleted because it contains unwanted key and value"))
        }
        _ => allow(),
    }
}

/// Two steps, each of which the step before asks for.
fn mutate_data(asked: &Value) -> Value {
    let data = &asked["object"]["data"];
    let stage = match () {
        () if data["mutation-stage-1"] == "yes" => "/data/mutation-stage-2",
        () if data["mutation-start"] == "yes" => "/data/mutation-stage-1",
        () => return allow(),
    };
    patch(&json!([{"op": "add", "path": stage, "value": "yes"}]))
}

fn definition(asked: &Value) -> Value {
    if !is_resource(asked, "customresourcedefinitions") {
        return deny("message", "expect resource to be customresourcedefinitions");
    }
    match asked["object"]["metadata"]["labels"][ASKS].as_str() {
        Some(DISALLOW) => deny("message", "the crd contains unwanted label"),
        _ => allow(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(response: &Value) -> String {
        let patch = response["patch"].as_str().expect("there is a patch");
        String::from_utf8(STANDARD.decode(patch).expect("it is base64")).expect("it is text")
    }

    #[test]
    fn labels_are_added_however_many_there_are() {
        let with = |labels: Value| add_label(&json!({"object": {"metadata": {"labels": labels}}}));
        assert!(applied(&with(Value::Null)).contains(r#""value":{"added-label":"yes"}"#));
        assert!(applied(&with(json!({"a": "b"}))).contains(r#""path":"/metadata/labels/added-label""#));
        assert!(applied(&with(json!({"added-label": "no"}))).contains("replace"));
        assert_eq!(with(json!({"added-label": "yes"})), allow());
    }

    #[test]
    fn data_is_judged_by_what_is_done_with_it() {
        let asked = |operation: &str, value: &str| {
            let object = json!({"data": {ASKS: value}});
            let asked = json!({"operation": operation, "object": object, "oldObject": object});
            data(&asked, "configmap", "unwanted key and value")["allowed"].clone()
        };
        assert_eq!((asked("CREATE", DISALLOW), asked("DELETE", DISALLOW)), (json!(false), json!(true)));
        assert_eq!(
            (asked("DELETE", "webhook-nondeletable"), asked("UPDATE", "webhook-nondeletable")),
            (json!(false), json!(true))
        );
    }

    #[test]
    fn one_change_leads_to_the_next() {
        let stage = |data: Value| mutate_data(&json!({"object": {"data": data}}));
        assert!(applied(&stage(json!({"mutation-start": "yes"}))).contains("mutation-stage-1"));
        let second = json!({"mutation-start": "yes", "mutation-stage-1": "yes"});
        assert!(applied(&stage(second)).contains("mutation-stage-2"));
        assert_eq!(stage(json!({})), allow());
    }
}
