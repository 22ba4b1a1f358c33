//! What a backend says that it offers, read from the list that Kubernetes' clients understand too. Nothing of it is believed
//! beyond its form: it comes from somebody else's program.

use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};

/// The most resources of one version, subresources included.
const RESOURCES_MAX: usize = 1_000;

/// What a backend offers: resources as aggregated discovery lists them.
#[derive(Debug, PartialEq)]
pub(crate) struct Offered(pub(super) Vec<Value>);

/// `APIResourceList`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    group_version: String,
    resources: Option<Vec<Resource>>,
}

/// `APIResource`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    name: String,
    #[serde(default)]
    singular_name: String,
    #[serde(default)]
    namespaced: bool,
    kind: String,
    #[serde(default)]
    group: String,
    #[serde(default)]
    version: String,
    verbs: Option<Vec<String>>,
    short_names: Option<Vec<String>>,
    categories: Option<Vec<String>>,
}

/// Reads a list of what a version of a group offers.
///
/// # Errors
/// Why it is none.
pub(crate) fn read(group: &str, version: &str, bytes: &[u8]) -> Result<Offered, String> {
    let list: List = serde_json::from_slice(bytes).map_err(|error| format!("no APIResourceList: {error}"))?;
    let wanted = format!("{group}/{version}");
    if list.group_version != wanted {
        return Err(format!("groupVersion: {:?}, where {wanted:?} was asked for", list.group_version));
    }
    let resources = list.resources.unwrap_or_default();
    if resources.len() > RESOURCES_MAX {
        return Err(format!("resources: more than {RESOURCES_MAX}"));
    }
    if let Some(nameless) = resources.iter().position(|resource| resource.name.is_empty() || resource.kind.is_empty()) {
        return Err(format!("resources[{nameless}]: without a name or a kind"));
    }
    let own = resources.iter().filter(|resource| !resource.name.contains('/'));
    Ok(Offered(own.map(|resource| entry(resource, &resources, (group, version))).collect()))
}

/// Whether a document of schemas is JSON.
///
/// # Errors
/// Why not.
pub(super) fn check_document(bytes: &[u8]) -> Result<(), String> {
    serde_json::from_slice::<IgnoredAny>(bytes).map(drop).map_err(|error| format!("no OpenAPI document: {error}"))
}

fn entry(resource: &Resource, all: &[Resource], own: (&str, &str)) -> Value {
    let mut entry = json!({
        "resource": resource.name,
        "responseKind": response_kind(resource, own),
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular_name,
        "verbs": resource.verbs.as_deref().unwrap_or_default(),
    });
    for (field, words) in [("shortNames", &resource.short_names), ("categories", &resource.categories)] {
        if let Some(words) = words.as_ref().filter(|words| !words.is_empty()) {
            entry[field] = json!(words);
        }
    }
    let below = |other: &Resource| {
        let name = other.name.strip_prefix(&resource.name)?.strip_prefix('/')?;
        let verbs = other.verbs.as_deref().unwrap_or_default();
        Some(json!({ "subresource": name, "responseKind": response_kind(other, own), "verbs": verbs }))
    };
    let subresources: Vec<Value> = all.iter().filter_map(below).collect();
    if !subresources.is_empty() {
        entry["subresources"] = Value::Array(subresources);
    }
    entry
}

fn response_kind(resource: &Resource, (group, version): (&str, &str)) -> Value {
    let is_own = resource.version.is_empty();
    let (group, version) = if is_own { (group, version) } else { (&*resource.group, &*resource.version) };
    json!({ "group": group, "version": version, "kind": resource.kind })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn refused(list: &str) -> String {
        read("g", "v1", list.as_bytes()).unwrap_err()
    }

    #[test]
    fn a_list_becomes_what_aggregated_discovery_shows() {
        let list = json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "g/v1",
            "resources": [
                {"name": "things", "singularName": "thing", "namespaced": true, "kind": "Thing", "verbs": ["get"],
                 "shortNames": ["th"], "storageVersionHash": "x"},
                {"name": "things/scale", "kind": "Scale", "group": "autoscaling", "version": "v1", "verbs": ["update"]},
                {"name": "thingsmore", "kind": "Thing"},
            ],
        });
        let offered = read("g", "v1", list.to_string().as_bytes()).unwrap();
        let expected = json!([
            {
                "resource": "things", "responseKind": {"group": "g", "version": "v1", "kind": "Thing"},
                "scope": "Namespaced", "singularResource": "thing", "verbs": ["get"], "shortNames": ["th"],
                "subresources": [{
                    "subresource": "scale",
                    "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"}, "verbs": ["update"],
                }],
            },
            {
                "resource": "thingsmore", "responseKind": {"group": "g", "version": "v1", "kind": "Thing"},
                "scope": "Cluster", "singularResource": "", "verbs": [],
            },
        ]);
        assert_eq!(Value::Array(offered.0), expected);
        assert_eq!(read("g", "v1", br#"{"groupVersion": "g/v1", "resources": null}"#), Ok(Offered(Vec::new())));
    }

    #[test]
    fn what_is_no_list_is_refused_with_the_reason() {
        assert!(refused("<html>").starts_with("no APIResourceList"));
        assert!(refused(r#"{"groupVersion": "g/v1", "resources": [{"name": 7}]}"#).starts_with("no APIResourceList"));
        assert!(refused(r#"{"groupVersion": "apps/v1", "resources": []}"#).starts_with("groupVersion"));
        let nameless =
            r#"{"groupVersion": "g/v1", "resources": [{"name": "a", "kind": "A"}, {"name": "", "kind": "B"}]}"#;
        assert!(refused(nameless).starts_with("resources[1]"));
        let many = vec![json!({"name": "a", "kind": "A"}); RESOURCES_MAX + 1];
        let many = json!({"groupVersion": "g/v1", "resources": many}).to_string();
        assert!(refused(&many).starts_with("resources: more than"));
        assert!(check_document(b"{}").is_ok() && check_document(b"{").is_err());
    }
}
