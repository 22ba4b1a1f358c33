//! Questions about what somebody may do: the asker itself, or others. Each is answered by the decision that a request would get.

pub(super) mod wire;

use std::{collections::BTreeMap, sync::Arc};

use api::{Error, Reason, rbac_v1::PolicyRule};
use registry::{Attributes, Caller, Registry, ResourceAttributes, User, Verdict};
use serde_json::{Value, json};

const GROUP: &str = "authorization.k8s.io";

/// The most groups, and values of extras, of somebody who is asked about: more than any token names.
const GROUPS_MAX: usize = 1024;

/// The right that it takes to ask about others: everywhere, or in one namespace.
pub(super) fn right(namespace: &str) -> ResourceAttributes<'_> {
    let resource = if namespace.is_empty() { "subjectaccessreviews" } else { "localsubjectaccessreviews" };
    ResourceAttributes { verb: "create", group: GROUP, resource, namespace, ..ResourceAttributes::default() }
}

/// Whether the asker may do something.
pub(super) fn own(registry: &Registry, sent: &Value) -> Result<Value, Error> {
    let kind = "SelfSubjectAccessReview";
    let verdict = registry.review(registry.caller(), &attributes(kind, &sent["spec"])?);
    Ok(answer(kind, sent, &status(&verdict)))
}

/// Whether somebody may do something, in a namespace unless that is empty.
pub(super) fn of_others(registry: &Registry, sent: &Value, namespace: &str) -> Result<Value, Error> {
    let kind = if namespace.is_empty() { "SubjectAccessReview" } else { "LocalSubjectAccessReview" };
    let (spec, asked) = (&sent["spec"], attributes(kind, &sent["spec"])?);
    if !namespace.is_empty() {
        let is_there = matches!(asked, Attributes::Resource(asked) if asked.namespace == namespace);
        if !is_there {
            return Err(invalid(kind, "spec.resourceAttributes.namespace", "must match the namespace of the request"));
        }
    }
    let groups = list(&spec["groups"]);
    let name = text(&spec["user"]);
    if name.is_empty() && groups.is_empty() {
        return Err(invalid(kind, "spec.user", "at least one of user or group must be specified"));
    }
    let extra: BTreeMap<String, Vec<String>> =
        spec["extra"].as_object().into_iter().flatten().map(|(key, values)| (key.clone(), list(values))).collect();
    if groups.len() + extra.values().map(Vec::len).sum::<usize>() > GROUPS_MAX {
        return Err(invalid(kind, "spec.groups", &format!("must have at most {GROUPS_MAX} groups and extras")));
    }
    let user = User { name: name.to_owned(), uid: text(&spec["uid"]).to_owned(), groups, extra };
    let verdict = registry.review(&Caller::User(Arc::new(user)), &asked);
    Ok(answer(kind, sent, &status(&verdict)))
}

/// What the asker may do in a namespace.
pub(super) fn own_rules(registry: &Registry, sent: &Value) -> Result<Value, Error> {
    let (kind, namespace) = ("SelfSubjectRulesReview", text(&sent["spec"]["namespace"]));
    if namespace.is_empty() {
        return Err(Error::bad_request("no namespace on request: name one in spec.namespace"));
    }
    let of = registry.rules_of(registry.caller(), namespace);
    let (paths, resources): (Vec<&PolicyRule>, Vec<&PolicyRule>) =
        of.rules.iter().partition(|rule| !rule.non_resource_urls.is_empty());
    let resource = |rule: &PolicyRule| {
        let mut told = json!({ "verbs": rule.verbs, "apiGroups": rule.api_groups, "resources": rule.resources });
        if !rule.resource_names.is_empty() {
            told["resourceNames"] = json!(rule.resource_names);
        }
        told
    };
    let path = |rule: &PolicyRule| json!({ "verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls });
    let resources: Vec<Value> = resources.into_iter().map(resource).collect();
    let paths: Vec<Value> = paths.into_iter().map(path).collect();
    let status = json!({ "resourceRules": resources, "nonResourceRules": paths, "incomplete": of.incomplete });
    Ok(answer(kind, sent, &status))
}

fn status(verdict: &Verdict) -> Value {
    let mut status = json!({ "allowed": verdict.allowed });
    if !verdict.reason.is_empty() {
        status["reason"] = verdict.reason.as_str().into();
    }
    status
}

fn answer(kind: &str, sent: &Value, status: &Value) -> Value {
    let spec = if sent["spec"].is_object() { sent["spec"].clone() } else { json!({}) };
    json!({
        "kind": kind,
        "apiVersion": format!("{GROUP}/v1"),
        "metadata": { "creationTimestamp": null },
        "spec": spec,
        "status": status,
    })
}

/// What is asked: about a resource or about a path.
fn attributes<'a>(kind: &str, spec: &'a Value) -> Result<Attributes<'a>, Error> {
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    match (resource.is_object(), path.is_object()) {
        (true, false) => Ok(Attributes::Resource(ResourceAttributes {
            verb: text(&resource["verb"]),
            group: text(&resource["group"]),
            resource: text(&resource["resource"]),
            subresource: text(&resource["subresource"]),
            namespace: text(&resource["namespace"]),
            name: text(&resource["name"]),
        })),
        (false, true) => Ok(Attributes::NonResource { verb: text(&path["verb"]), path: text(&path["path"]) }),
        (true, true) | (false, false) => {
            let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            Err(invalid(kind, "spec.resourceAttributes", why))
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|value| text(value).to_owned()).collect()
}

fn invalid(kind: &str, field: &str, why: &str) -> Error {
    Error::new(Reason::Invalid, format!("{kind}.{GROUP} \"\" is invalid: {field}: Invalid value: {why}"))
}
