//! `crd-conversion-webhook`: turns `hostPort` into `host` and `port`, and back, over TLS.

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use crate::flags::Flags;
use crate::serving::{self, Answer, Request};
use crate::tls;

pub async fn main(flags: &Flags) {
    let listener = serving::listen(flags.port("port", 443));
    serving::serve(listener, tls::from_flags(flags), |request| async move { respond(&request) }).await
}

fn respond(request: &Request) -> Answer {
    match request.path.as_str() {
        "/readyz" => serving::ok("ok"),
        "/crdconvert" => match serde_json::from_slice(&request.body) {
            Ok(review) => serving::typed(StatusCode::OK, "application/json", reviewed(&review).to_string()),
            Err(error) => serving::bad(format!("failed to deserialize body: {error}")),
        },
        _ => serving::text(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}

fn reviewed(review: &Value) -> Value {
    let asked = &review["request"];
    let version = asked["desiredAPIVersion"].as_str().unwrap_or_default();
    let objects = asked["objects"].as_array().into_iter().flatten();
    let converted: Result<Vec<Value>, String> = objects.map(|object| convert(object, version)).collect();
    let mut response = match converted {
        Ok(objects) => json!({"convertedObjects": objects, "result": {"status": "Success"}}),
        Err(why) => json!({"convertedObjects": [], "result": {"status": "Failure", "message": why}}),
    };
    response["uid"] = asked["uid"].clone();
    json!({"kind": "ConversionReview", "apiVersion": review["apiVersion"], "response": response})
}

fn convert(object: &Value, version: &str) -> Result<Value, String> {
    let from = object["apiVersion"].as_str().unwrap_or_default();
    if from == version {
        return Err(format!("conversion from a version to itself should not call the webhook: {version}"));
    }
    let mut object = object.as_object().cloned().unwrap_or_default();
    match (from, version) {
        ("stable.example.com/v1", "stable.example.com/v2") => part(&mut object),
        ("stable.example.com/v2", "stable.example.com/v1") => join(&mut object),
        (_, other) => return Err(format!("unexpected conversion version {other:?}")),
    }
    object.insert("apiVersion".to_owned(), version.into());
    Ok(object.into())
}

fn part(object: &mut Map<String, Value>) {
    if let Some(Value::String(both)) = object.remove("hostPort") {
        let (host, port) = both.split_once(':').unwrap_or((&both, ""));
        object.insert("host".to_owned(), host.into());
        object.insert("port".to_owned(), port.into());
    }
}

fn join(object: &mut Map<String, Value>) {
    let (host, port) = (object.remove("host"), object.remove("port"));
    if host.is_some() || port.is_some() {
        let text = |value: Option<Value>| value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
        object.insert("hostPort".to_owned(), format!("{}:{}", text(host), text(port)).into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_go_to_the_other_version_and_back() {
        let first = json!({"apiVersion": "stable.example.com/v1", "hostPort": "localhost:80"});
        let second = json!({"apiVersion": "stable.example.com/v2", "host": "localhost", "port": "80"});
        assert_eq!(convert(&first, "stable.example.com/v2"), Ok(second.clone()));
        assert_eq!(convert(&second, "stable.example.com/v1"), Ok(first.clone()));
        assert!(convert(&first, "stable.example.com/v1").is_err());
        let review =
            json!({"apiVersion": "v1", "request": {"uid": "u", "desiredAPIVersion": "v3", "objects": [first]}});
        assert_eq!(reviewed(&review)["response"]["result"]["status"], "Failure");
    }
}
