//! Environment variables and where their values come from.

use std::collections::HashMap;

use super::{
    causes::{Causes, Path},
    limits::{ENV_FROM_MAX, ENV_MAX},
    names, resources,
};
use crate::{
    core_v1::{Container, EnvFromSource, EnvVar, EnvVarSource, ObjectFieldSelector, ResourceFieldSelector},
    downward::{BYTE_DIVISORS, CPU_DIVISORS},
    expansion::{ENVIRONMENT_BYTES_MAX, Piece, TooLarge, pieces},
    meta_v1,
};

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
    let (single, whole) = (at.field("env"), at.field("envFrom"));
    if causes.at_most(&single, container.env.len(), ENV_MAX) {
        for (index, variable) in container.env.iter().enumerate() {
            self::variable(causes, variable, &single.index(index));
        }
        expanded(causes, container, at);
    }
    if causes.at_most(&whole, container.env_from.len(), ENV_FROM_MAX) {
        for (index, source) in container.env_from.iter().enumerate() {
            env_from(causes, source, &whole.index(index));
        }
    }
}

/// Refuses what certainly takes too much when the container starts. What ConfigMaps and Secrets hold counts nothing here.
fn expanded(causes: &mut Causes, container: &Container, at: &Path<'_>) {
    // The agent sets it to what is not known here.
    let known = HashMap::from([("HOSTNAME", 0)]);
    let mut lengths = Lengths { known, open: !container.env_from.is_empty(), sum: "HOSTNAME".len() };
    for (index, variable) in container.env.iter().enumerate() {
        let length = if variable.value_from.is_some() { 0 } else { lengths.of(&variable.value) };
        if lengths.set(&variable.name, length) > ENVIRONMENT_BYTES_MAX {
            return causes.forbidden(&at.field("env").index(index).field("value"), TooLarge);
        }
    }
    for (field, words) in [("command", &container.command), ("args", &container.args)] {
        for (index, word) in words.iter().enumerate() {
            lengths.sum = lengths.sum.saturating_add(lengths.of(word));
            if lengths.sum > ENVIRONMENT_BYTES_MAX {
                return causes.forbidden(&at.field(field).index(index), TooLarge);
            }
        }
    }
}

/// How long variables are at least.
struct Lengths<'a> {
    known: HashMap<&'a str, usize>,
    /// Whether there may be variables that are not known here.
    open: bool,
    sum: usize,
}

impl<'a> Lengths<'a> {
    fn of(&self, text: &str) -> usize {
        let length = |piece| match piece {
            Piece::Text(text) => text.len(),
            Piece::Reference(whole, name) => match self.known.get(name) {
                Some(length) => *length,
                None if self.open => 0,
                None => whole.len(),
            },
        };
        pieces(text).map(length).fold(0, usize::saturating_add)
    }

    /// All together, with this one.
    fn set(&mut self, name: &'a str, length: usize) -> usize {
        let added = name.len().saturating_add(length);
        let before = self.known.insert(name, length).map_or(0, |before| name.len() + before);
        self.sum = (self.sum - before).saturating_add(added);
        self.sum
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
        self::divisor(causes, divisor, &field.resource, &at.field("divisor"));
    }
}

/// Only single units, as in Kubernetes. Nothing means that none was named.
fn divisor(causes: &mut Causes, divisor: &meta_v1::Quantity, resource: &str, at: &Path<'_>) {
    let Some(found) = resources::quantity(causes, divisor, at).filter(|found| !found.is_zero()) else { return };
    let known: &[&str] = if resource.ends_with(".cpu") { &CPU_DIVISORS } else { &BYTE_DIVISORS };
    if !known.iter().any(|unit| unit.parse() == Ok(found)) {
        causes.unsupported(at, &divisor.string, known);
    }
}
