//! What backends offer, put beside what the masters offer themselves: groups, resources, schemas.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::{Groups, backend::Backend, offered::Offered};
use crate::rest::discovery::{api_path, group_version};

/// The groups of backends at one moment.
#[derive(Default)]
pub(in crate::rest) struct Listing(pub(super) Arc<Groups>);

/// What one backend has said of itself. Two that are equal say the same.
pub(in crate::rest) struct Said {
    backend: Arc<Backend>,
    offered: Option<Arc<Offered>>,
    is_fresh: bool,
    /// Stands for its schemas.
    hash: Option<String>,
}

impl PartialEq for Said {
    fn eq(&self, other: &Self) -> bool {
        let kept = |said: &Self| said.offered.as_ref().map(Arc::as_ptr);
        Arc::ptr_eq(&self.backend, &other.backend)
            && (kept(self), self.is_fresh, &self.hash) == (kept(other), other.is_fresh, &other.hash)
    }
}

/// What a version of a group is as an entry.
type Entry = fn(&Backend) -> Value;

impl Listing {
    /// What all backends have said.
    pub(in crate::rest) fn said(&self) -> Vec<Said> {
        let of_backend = |backend: &Arc<Backend>| {
            let (offered, is_fresh) = backend.offered();
            let hash = backend.document().map(|document| document.hash);
            Said { backend: backend.clone(), offered, is_fresh, hash }
        };
        self.0.values().flat_map(BTreeMap::values).map(of_backend).collect()
    }

    /// Completes an `APIGroupList`.
    pub(in crate::rest) fn complete_groups(&self, list: &mut Value) {
        self.complete(&mut list["groups"], "/name", version, whole);
    }

    /// Completes the `APIGroup` of a group of which masters serve versions too.
    pub(in crate::rest) fn complete_group(&self, name: &str, group: &mut Value) {
        if let (Some(versions), Some(known)) = (self.0.get(name), group["versions"].as_array_mut()) {
            known.extend(ranked(versions).into_iter().map(version));
        }
    }

    /// Completes the `APIGroupDiscoveryList` of all groups.
    pub(in crate::rest) fn complete_aggregated(&self, list: &mut Value) {
        self.complete(
            &mut list["items"],
            "/metadata/name",
            discovered,
            |name, versions| json!({ "metadata": { "name": name, "creationTimestamp": null }, "versions": versions }),
        );
    }

    /// Completes the index of documents of OpenAPI v3.
    pub(in crate::rest) fn complete_documents(&self, index: &mut Value) {
        for backend in self.0.values().flat_map(BTreeMap::values) {
            let Some(document) = backend.document() else { continue };
            let path = api_path(&backend.spec.group, &backend.spec.version);
            let url = format!("/openapi/v3/{path}?hash={}", document.hash);
            index["paths"][path] = json!({ "serverRelativeURL": url });
        }
    }

    /// Adds groups to a list in which each has its name at a place: versions to those that are there, and others at the end,
    /// those with the highest priority first.
    fn complete(&self, list: &mut Value, name_at: &str, entry: Entry, whole: fn(&str, Vec<Value>) -> Value) {
        let Some(list) = list.as_array_mut() else { return };
        let mut groups: Vec<_> = self.0.iter().collect();
        groups.sort_by_key(|(_, versions)| Reverse(priority(versions)));
        for (name, versions) in groups {
            let entries: Vec<Value> = ranked(versions).into_iter().map(entry).collect();
            let is_it = |group: &&mut Value| group.pointer(name_at).is_some_and(|found| found == name.as_str());
            match list.iter_mut().find(is_it).and_then(|group| group["versions"].as_array_mut()) {
                Some(known) => known.extend(entries),
                None => list.push(whole(name, entries)),
            }
        }
    }
}

/// The `APIGroup` of a group that only backends serve.
pub(super) fn group(name: &str, versions: &BTreeMap<String, Arc<Backend>>) -> Value {
    let mut group = whole(name, ranked(versions).into_iter().map(version).collect());
    group["kind"] = "APIGroup".into();
    group["apiVersion"] = "v1".into();
    group
}

fn whole(name: &str, versions: Vec<Value>) -> Value {
    json!({ "name": name, "preferredVersion": versions.first(), "versions": versions })
}

fn version(backend: &Backend) -> Value {
    let spec = &backend.spec;
    json!({ "groupVersion": group_version(&spec.group, &spec.version), "version": spec.version })
}

/// What a backend said last is shown as stale while it does not answer.
fn discovered(backend: &Backend) -> Value {
    let (offered, is_fresh) = backend.offered();
    let resources = offered.map(|offered| offered.0.clone()).unwrap_or_default();
    let freshness = if is_fresh { "Current" } else { "Stale" };
    json!({ "version": backend.spec.version, "freshness": freshness, "resources": resources })
}

/// The versions of a group, those with the highest priority first.
fn ranked(versions: &BTreeMap<String, Arc<Backend>>) -> Vec<&Backend> {
    let mut ranked: Vec<&Backend> = versions.values().map(Arc::as_ref).collect();
    ranked.sort_by_key(|backend| Reverse(backend.spec.version_priority));
    ranked
}

fn priority(versions: &BTreeMap<String, Arc<Backend>>) -> i32 {
    versions.values().map(|backend| backend.spec.group_priority_minimum).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::apiregistration_v1::ApiServiceSpec;
    use rpc::identity::{Authority, FrontProxy};

    use super::*;

    fn listing(versions: &[(&str, &str, i32)]) -> Listing {
        let front = FrontProxy::new(Arc::new(Authority::found("test").unwrap()));
        let mut groups = Groups::new();
        for (group, version, priority) in versions {
            let spec = ApiServiceSpec {
                group: (*group).to_owned(),
                version: (*version).to_owned(),
                group_priority_minimum: *priority,
                version_priority: *priority,
                ..ApiServiceSpec::default()
            };
            let backend = Backend::new(String::new(), spec, &front);
            groups.entry((*group).to_owned()).or_default().insert((*version).to_owned(), Arc::new(backend));
        }
        Listing(Arc::new(groups))
    }

    #[test]
    fn groups_stand_at_the_end_by_priority_and_versions_in_the_group_that_is_there() {
        let listing = listing(&[("apps", "v9", 1), ("b.org", "v1", 10), ("c.org", "v1", 20), ("c.org", "v2", 30)]);
        let mut list = json!({ "groups": [{ "name": "apps", "versions": [{ "version": "v1" }] }] });
        listing.complete_groups(&mut list);
        let shown: Vec<String> = list["groups"]
            .as_array()
            .unwrap()
            .iter()
            .map(|group| {
                let versions: Vec<&str> =
                    group["versions"].as_array().unwrap().iter().map(|v| v["version"].as_str().unwrap()).collect();
                format!("{} {}", group["name"].as_str().unwrap(), versions.join(","))
            })
            .collect();
        assert_eq!(shown, ["apps v1,v9", "c.org v2,v1", "b.org v1"]);
        let mut items = json!({ "items": [] });
        listing.complete_aggregated(&mut items);
        assert_eq!(items["items"][0]["metadata"]["name"], "c.org");
        assert_eq!(items["items"][0]["versions"][0]["freshness"], "Stale", "nobody has asked it yet");
        assert_eq!(group("c.org", &listing.0["c.org"])["preferredVersion"]["groupVersion"], "c.org/v2");
    }
}
