//! What this server offers, read off the table of kinds and what users have defined beside it: discovery in its legacy and its
//! aggregated form.

use std::collections::HashMap;

use api::{Served, Subresource, Verb, kinds::KindInfo, object::TypeName, reviews::REVIEWS};
use serde_json::{Value, json};

use super::accept::DiscoveryVersion;

/// The type of every object of discovery in its legacy form.
const LEGACY_VERSION: &str = "v1";

/// What one subresource of a kind answers, and to which verbs.
struct SubresourceInfo {
    name: &'static str,
    answers: TypeName,
    verbs: Vec<&'static str>,
}

/// Everything that is served, by group: a cluster may have thousands of kinds.
pub(crate) struct Catalogue {
    /// The core group (with the empty name) first, then in the order of the table.
    groups: Vec<(&'static str, Vec<&'static KindInfo>)>,
    /// Where each of them stands.
    places: HashMap<&'static str, usize>,
}

impl Catalogue {
    /// `all` come in the order in which they are listed; what is only answered, and never an object, comes after them.
    pub(crate) fn of(all: impl Iterator<Item = Served>) -> Self {
        let mut catalogue = Self { groups: vec![("", Vec::new())], places: HashMap::from([("", 0)]) };
        for info in all.map(Served::info).chain(&REVIEWS) {
            let Self { groups, places } = &mut catalogue;
            let place = *places.entry(info.group).or_insert(groups.len());
            if place == groups.len() {
                groups.push((info.group, Vec::new()));
            }
            groups[place].1.push(info);
        }
        catalogue
    }

    /// Every group once.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &'static str> {
        self.groups.iter().map(|(group, _)| *group)
    }

    /// The versions of a group, in the order of preference.
    pub(crate) fn versions(&self, group: &str) -> Vec<&'static str> {
        let mut versions = Vec::new();
        for info in self.of_group(group) {
            if !versions.contains(&info.version) {
                versions.push(info.version);
            }
        }
        versions
    }

    fn of_group(&self, group: &str) -> &[&'static KindInfo] {
        self.places.get(group).map_or(&[], |place| &self.groups[*place].1)
    }

    fn kinds(&self, group: &str, version: &str) -> impl Iterator<Item = &'static KindInfo> {
        self.of_group(group).iter().copied().filter(move |info| info.version == version)
    }
}

/// `apps/v1`, or `v1`.
pub(crate) fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// `apis/apps/v1`, or `api/v1`.
pub(crate) fn api_path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// `/api`: the versions of the core group. `host` is where the client reached us.
pub(crate) fn core_group(all: &Catalogue, host: &str) -> Value {
    let address = json!({ "clientCIDR": "0.0.0.0/0", "serverAddress": host });
    json!({ "kind": "APIVersions", "versions": all.versions(""), "serverAddressByClientCIDRs": [address] })
}

/// `/apis`: every group but the core one.
pub(crate) fn group_list(all: &Catalogue) -> Value {
    let named = all.groups().filter(|group| !group.is_empty());
    let groups: Vec<Value> = named.map(|group| group_entry(all, group)).collect();
    json!({ "kind": "APIGroupList", "apiVersion": LEGACY_VERSION, "groups": groups })
}

/// `/apis/GROUP`.
pub(crate) fn group(all: &Catalogue, name: &str) -> Value {
    let mut entry = group_entry(all, name);
    entry["kind"] = "APIGroup".into();
    entry["apiVersion"] = LEGACY_VERSION.into();
    entry
}

fn group_entry(all: &Catalogue, name: &str) -> Value {
    let version = |version| json!({ "groupVersion": group_version(name, version), "version": version });
    let versions: Vec<Value> = all.versions(name).into_iter().map(version).collect();
    json!({ "name": name, "preferredVersion": versions.first(), "versions": versions })
}

/// `/api/v1`, `/apis/GROUP/VERSION`: the resources of one version.
pub(crate) fn resource_list(all: &Catalogue, group: &str, version: &str) -> Value {
    let resources: Vec<Value> = all.kinds(group, version).flat_map(resources).collect();
    json!({
        "kind": "APIResourceList",
        "apiVersion": LEGACY_VERSION,
        "groupVersion": group_version(group, version),
        "resources": resources,
    })
}

fn resources(info: &'static KindInfo) -> Vec<Value> {
    let mut whole = json!({
        "name": info.plural,
        "singularName": info.singular,
        "namespaced": info.namespaced,
        "kind": info.kind,
        "verbs": words(info.verbs),
    });
    if !info.short_names.is_empty() {
        whole["shortNames"] = json!(info.short_names);
    }
    if !info.categories.is_empty() {
        whole["categories"] = json!(info.categories);
    }
    let entry = |subresource: SubresourceInfo| {
        json!({
            "name": format!("{}/{}", info.plural, subresource.name),
            "singularName": "",
            "namespaced": info.namespaced,
            "group": subresource.answers.group,
            "version": subresource.answers.version,
            "kind": subresource.answers.kind,
            "verbs": subresource.verbs,
        })
    };
    std::iter::once(whole).chain(subresources(info).map(entry)).collect()
}

fn words(verbs: &[Verb]) -> Vec<&'static str> {
    verbs.iter().map(|verb| verb.word()).collect()
}

fn own(info: &KindInfo) -> TypeName {
    TypeName { group: info.group, version: info.version, kind: info.kind, message: info.message }
}

fn subresources(info: &'static KindInfo) -> impl Iterator<Item = SubresourceInfo> {
    let entry = |subresource: &Subresource| SubresourceInfo {
        name: subresource.word(),
        answers: subresource.type_name(info.kind).unwrap_or_else(|| own(info)),
        verbs: words(subresource.verbs()),
    };
    info.subresources.iter().map(entry)
}

/// `/api` and `/apis` in one document each: the groups with everything in them.
pub(crate) fn aggregated(all: &Catalogue, groups: &[&str], version: DiscoveryVersion) -> Value {
    let items: Vec<Value> = groups.iter().map(|group| aggregated_group(all, group)).collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{}", version.word()),
        "metadata": {},
        "items": items,
    })
}

fn aggregated_group(all: &Catalogue, group: &str) -> Value {
    let version = |version| {
        let resources: Vec<Value> = all.kinds(group, version).map(aggregated_resource).collect();
        json!({ "version": version, "freshness": "Current", "resources": resources })
    };
    let versions: Vec<Value> = all.versions(group).into_iter().map(version).collect();
    json!({ "metadata": { "name": group, "creationTimestamp": null }, "versions": versions })
}

fn aggregated_resource(info: &'static KindInfo) -> Value {
    let type_name = |of: &TypeName| json!({ "group": of.group, "version": of.version, "kind": of.kind });
    let entry = |subresource: SubresourceInfo| {
        let answers = type_name(&subresource.answers);
        json!({ "subresource": subresource.name, "responseKind": answers, "verbs": subresource.verbs })
    };
    let mut resource = json!({
        "resource": info.plural,
        "responseKind": type_name(&own(info)),
        "scope": if info.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": info.singular,
        "verbs": words(info.verbs),
    });
    for (field, words) in [("shortNames", info.short_names), ("categories", info.categories)] {
        if !words.is_empty() {
            resource[field] = json!(words);
        }
    }
    if !info.subresources.is_empty() {
        resource["subresources"] = subresources(info).map(entry).collect();
    }
    resource
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_name_every_kind() {
        let served = Catalogue::of(Served::all());
        let groups: Vec<&str> = served.groups().collect();
        let all = aggregated(&served, &groups, DiscoveryVersion::V2).to_string();
        for info in Served::all().map(Served::info) {
            assert!(all.contains(&format!("\"resource\":\"{}\"", info.plural)), "{}", info.kind);
            let legacy = resource_list(&served, info.group, info.version).to_string();
            assert!(legacy.contains(&format!("\"name\":\"{}\"", info.plural)), "{}", info.kind);
        }
    }

    #[test]
    fn a_kind_offers_what_its_row_says() {
        let list = resource_list(&Catalogue::of(Served::all()), "", "v1");
        let verbs = |name: &str| {
            let found =
                list["resources"].as_array().and_then(|all| all.iter().find(|resource| resource["name"] == name));
            found.map(|resource| resource["verbs"].clone())
        };
        assert_eq!(verbs("componentstatuses"), Some(json!(["get", "list"])));
        let all = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
        assert_eq!(verbs("pods"), Some(json!(all)));
        let one_by_one: Vec<&str> = all.into_iter().filter(|verb| *verb != "deletecollection").collect();
        assert_eq!(verbs("namespaces"), Some(json!(one_by_one)));
    }

    #[test]
    fn drain_finds_eviction_where_it_looks() {
        let list = resource_list(&Catalogue::of(Served::all()), "", "v1");
        let found = list["resources"].as_array().and_then(|all| all.iter().find(|r| r["name"] == "pods/eviction"));
        assert_eq!(found.map(|r| (&r["group"], &r["kind"])), Some((&json!("policy"), &json!("Eviction"))));
    }
}
