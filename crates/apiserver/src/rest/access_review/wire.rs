//! Questions about rights as Kubernetes protobuf, in which `kubectl` sends them, as the JSON that they stand for. They are no
//! objects and nothing keeps them, so that `proto/` does not declare them; the numbers of the fields are Kubernetes'.

use std::collections::BTreeMap;

use api::{Error, envelope};
use bytes::Bytes;
use prost::Message;
use serde_json::{Value, json};

#[derive(Clone, PartialEq, Message)]
struct AccessReview {
    #[prost(message, optional, tag = "2")]
    spec: Option<AccessSpec>,
}

/// Of a review of oneself only the first two fields are there.
#[derive(Clone, PartialEq, Message)]
struct AccessSpec {
    #[prost(message, optional, tag = "1")]
    resource: Option<ResourceSpec>,
    #[prost(message, optional, tag = "2")]
    path: Option<PathSpec>,
    #[prost(string, tag = "3")]
    user: String,
    #[prost(string, repeated, tag = "4")]
    groups: Vec<String>,
    #[prost(btree_map = "string, message", tag = "5")]
    extra: BTreeMap<String, ExtraValue>,
    #[prost(string, tag = "6")]
    uid: String,
}

#[derive(Clone, PartialEq, Message)]
struct ExtraValue {
    #[prost(string, repeated, tag = "1")]
    items: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpec {
    #[prost(string, tag = "1")]
    namespace: String,
    #[prost(string, tag = "2")]
    verb: String,
    #[prost(string, tag = "3")]
    group: String,
    #[prost(string, tag = "4")]
    version: String,
    #[prost(string, tag = "5")]
    resource: String,
    #[prost(string, tag = "6")]
    subresource: String,
    #[prost(string, tag = "7")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct PathSpec {
    #[prost(string, tag = "1")]
    path: String,
    #[prost(string, tag = "2")]
    verb: String,
}

#[derive(Clone, PartialEq, Message)]
struct RulesReview {
    #[prost(message, optional, tag = "2")]
    spec: Option<RulesSpec>,
}

#[derive(Clone, PartialEq, Message)]
struct RulesSpec {
    #[prost(string, tag = "1")]
    namespace: String,
}

/// The question as it would be in JSON.
pub(crate) fn value(body: &Bytes) -> Result<Value, Error> {
    let envelope::Envelope { kind, raw, .. } = envelope::decode(body)?;
    let wrong = |error| Error::bad_request(format!("{kind}: the message cannot be read: {error}"));
    match kind.as_str() {
        "SelfSubjectReview" => Ok(json!({})),
        "SelfSubjectRulesReview" => {
            let namespace = RulesReview::decode(raw).map_err(wrong)?.spec.unwrap_or_default().namespace;
            Ok(json!({ "spec": { "namespace": namespace } }))
        }
        _ => Ok(json!({ "spec": spec(AccessReview::decode(raw).map_err(wrong)?.spec.unwrap_or_default()) })),
    }
}

fn spec(sent: AccessSpec) -> Value {
    let AccessSpec { resource, path, user, groups, extra, uid } = sent;
    let mut told = json!({});
    if let Some(ResourceSpec { namespace, verb, group, version, resource, subresource, name }) = resource {
        told["resourceAttributes"] = json!({
            "namespace": namespace, "verb": verb, "group": group, "version": version, "resource": resource,
            "subresource": subresource, "name": name,
        });
    }
    if let Some(PathSpec { path, verb }) = path {
        told["nonResourceAttributes"] = json!({ "path": path, "verb": verb });
    }
    if !user.is_empty() || !groups.is_empty() {
        let extra: BTreeMap<String, Vec<String>> = extra.into_iter().map(|(key, value)| (key, value.items)).collect();
        (told["user"], told["groups"]) = (user.into(), json!(groups));
        (told["extra"], told["uid"]) = (json!(extra), uid.into());
    }
    told
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn told(kind: &str, message: &impl Message) -> Value {
        let api_version = "authorization.k8s.io/v1".to_owned();
        let raw = message.encode_to_vec().into();
        value(&envelope::encode(&envelope::Envelope { api_version, kind: kind.to_owned(), raw })).unwrap()
    }

    #[test]
    fn messages_say_what_their_json_says() {
        let resource = ResourceSpec { verb: "get".into(), resource: "pods".into(), ..ResourceSpec::default() };
        let spec = AccessSpec { resource: Some(resource), ..AccessSpec::default() };
        let own = told("SelfSubjectAccessReview", &AccessReview { spec: Some(spec.clone()) });
        assert_eq!(own["spec"]["resourceAttributes"]["resource"], "pods");
        assert_eq!(own["spec"].as_object().unwrap().len(), 1);
        let extra = [("k".to_owned(), ExtraValue { items: vec!["v".to_owned()] })].into();
        let of_ann = AccessSpec { user: "ann".to_owned(), extra, ..spec };
        let others = told("SubjectAccessReview", &AccessReview { spec: Some(of_ann) });
        assert_eq!((&others["spec"]["user"], &others["spec"]["extra"]), (&json!("ann"), &json!({"k": ["v"]})));
        let rules = RulesReview { spec: Some(RulesSpec { namespace: "a".to_owned() }) };
        assert_eq!(told("SelfSubjectRulesReview", &rules), json!({"spec": {"namespace": "a"}}));
        assert!(value(&Bytes::from_static(b"{}")).is_err());
    }
}
