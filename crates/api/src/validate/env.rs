//! Environment variables and where their values come from.

use super::{
    causes::{Causes, Path},
    names, resources,
};
use crate::core_v1::{Container, EnvFromSource, EnvVar, EnvVarSource, ObjectFieldSelector, ResourceFieldSelector};

/// The fields of its own Pod that a variable can show, beside single labels and annotations.
const ENV_FIELDS: [&str; 10] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
    "metadata.labels['KEY']",
];
/// The fields of its own Pod that a file can show, beside single labels and annotations.
pub(super) const FILE_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
/// The amounts of a container that can be shown.
const AMOUNTS: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

pub(super) fn env(causes: &mut Causes, container: &Container, at: &Path<'_>) {
    for (index, variable) in container.env.iter().enumerate() {
        self::variable(causes, variable, &at.field("env").index(index));
    }
    for (index, source) in container.env_from.iter().enumerate() {
        env_from(causes, source, &at.field("envFrom").index(index));
    }
}

fn variable(causes: &mut Causes, variable: &EnvVar, at: &Path<'_>) {
    causes.required_syntax(&at.field("name"), &variable.name, names::env_name);
    let Some(from) = &variable.value_from else { return };
    let at = at.field("valueFrom");
    if !variable.value.is_empty() {
        causes.invalid(&at, &variable.name, "may not be specified when `value` is not empty");
    }
    value_from(causes, from, &at);
}

fn value_from(causes: &mut Causes, from: &EnvVarSource, at: &Path<'_>) {
    let given = [
        from.field_ref.is_some(),
        from.resource_field_ref.is_some(),
        from.config_map_key_ref.is_some(),
        from.secret_key_ref.is_some(),
        from.file_key_ref.is_some(),
    ];
    match given.iter().filter(|given| **given).count() {
        0 => {
            let sources = "one of `configMapKeyRef`, `fieldRef`, `resourceFieldRef` or `secretKeyRef`";
            causes.required(at, &format!("must specify {sources}"));
        }
        1 => {}
        _ => causes.forbidden(at, "may not have more than one field specified at a time"),
    }
    if let Some(field) = &from.field_ref {
        field_ref(causes, field, &ENV_FIELDS, &at.field("fieldRef"));
    }
    if let Some(field) = &from.resource_field_ref {
        resource_field_ref(causes, field, &at.field("resourceFieldRef"));
    }
    if let Some(source) = &from.config_map_key_ref {
        let name = source.local_object_reference.as_ref().map_or("", |reference| &reference.name);
        key_ref(causes, name, &source.key, &at.field("configMapKeyRef"));
    }
    if let Some(source) = &from.secret_key_ref {
        let name = source.local_object_reference.as_ref().map_or("", |reference| &reference.name);
        key_ref(causes, name, &source.key, &at.field("secretKeyRef"));
    }
    if from.file_key_ref.is_some() {
        causes.forbidden(&at.field("fileKeyRef"), "files are not read for variables; use a ConfigMap or a Secret");
    }
}

fn key_ref(causes: &mut Causes, name: &str, key: &str, at: &Path<'_>) {
    causes.required_syntax(&at.field("name"), name, names::dns_subdomain);
    causes.required_syntax(&at.field("key"), key, names::config_key);
}

fn env_from(causes: &mut Causes, source: &EnvFromSource, at: &Path<'_>) {
    if !source.prefix.is_empty() {
        causes.syntax(&at.field("prefix"), &source.prefix, names::env_name);
    }
    let map = source.config_map_ref.as_ref().map(|source| ("configMapRef", &source.local_object_reference));
    let secret = source.secret_ref.as_ref().map(|source| ("secretRef", &source.local_object_reference));
    match (map, secret) {
        (None, None) => causes.required(at, "must specify one of: `configMapRef` or `secretRef`"),
        (Some(_), Some(_)) => causes.forbidden(at, "may not have more than one field specified at a time"),
        (Some((field, reference)), None) | (None, Some((field, reference))) => {
            let name = reference.as_ref().map_or("", |reference| &reference.name);
            causes.required_syntax(&at.field(field).field("name"), name, names::dns_subdomain);
        }
    }
}

/// A reference to a field of the container's own Pod. `known` are the paths that can be shown there.
pub(super) fn field_ref(causes: &mut Causes, field: &ObjectFieldSelector, known: &[&str], at: &Path<'_>) {
    if !field.api_version.is_empty() && field.api_version != "v1" {
        causes.unsupported(&at.field("apiVersion"), &field.api_version, &["v1"]);
    }
    let at = at.field("fieldPath");
    let path = field.field_path.as_str();
    let Some((map, key)) = path.split_once("['").and_then(|(map, rest)| Some((map, rest.strip_suffix("']")?))) else {
        return causes.required_one_of(&at, path, known);
    };
    match map {
        "metadata.labels" => causes.syntax(&at, key, names::qualified),
        "metadata.annotations" => {
            for why in names::qualified(&key.to_ascii_lowercase()) {
                causes.invalid(&at, key, why);
            }
        }
        _ => causes.invalid(&at, path, "only metadata.labels and metadata.annotations have keys"),
    }
}

/// A reference to an amount of a container.
pub(super) fn resource_field_ref(causes: &mut Causes, field: &ResourceFieldSelector, at: &Path<'_>) {
    causes.required_one_of(&at.field("resource"), &field.resource, &AMOUNTS);
    if let Some(divisor) = &field.divisor {
        resources::quantity(causes, divisor, &at.field("divisor"));
    }
}
