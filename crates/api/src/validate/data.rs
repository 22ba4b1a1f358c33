//! ConfigMaps and Secrets.

use std::collections::BTreeMap;

use super::{
    causes::{Causes, Path},
    limits::DATA_KEYS_MAX,
    names,
};
use crate::core_v1::{ConfigMap, Secret};

/// All values of a ConfigMap or Secret together, in bytes: Kubernetes' limit, which keeps log entries small.
pub const DATA_BYTES_MAX: usize = 1 << 20;

pub(super) fn config_map(causes: &mut Causes, map: &ConfigMap) {
    let (data, binary) = (Path::Root.field("data"), Path::Root.field("binaryData"));
    keys(causes, &map.data, &data);
    keys(causes, &map.binary_data, &binary);
    for key in map.binary_data.keys().filter(|key| map.data.contains_key(*key)) {
        causes.invalid(&data.key(key), key, "duplicate of key present in binaryData");
    }
    let texts = map.data.values().map(String::len);
    size(causes, texts.chain(map.binary_data.values().map(bytes::Bytes::len)).sum());
}

pub(super) fn secret(causes: &mut Causes, secret: &Secret) {
    let data = Path::Root.field("data");
    keys(causes, &secret.data, &data);
    size(causes, secret.data.values().map(bytes::Bytes::len).sum());
    for key in needed_keys(&secret.r#type) {
        if !secret.data.contains_key(*key) {
            causes.required(&data.key(key), &format!("a Secret of type {} has it", secret.r#type));
        }
    }
    let (".dockerconfigjson" | ".dockercfg", Some(key)) = first_key(secret) else { return };
    let json = secret.data.get(key).is_some_and(|value| serde_json::from_slice::<serde::de::IgnoredAny>(value).is_ok());
    if !json && secret.data.contains_key(key) {
        causes.invalid(&data.key(key), "<secret contents redacted>", "must be valid JSON");
    }
}

fn first_key(secret: &Secret) -> (&'static str, Option<&'static str>) {
    let first = needed_keys(&secret.r#type).first().copied();
    (first.unwrap_or_default(), first)
}

/// The keys without which a Secret of a type is of no use.
fn needed_keys(r#type: &str) -> &'static [&'static str] {
    match r#type {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        _ => &[],
    }
}

fn keys<V>(causes: &mut Causes, data: &BTreeMap<String, V>, at: &Path<'_>) {
    if !causes.at_most(at, data.len(), DATA_KEYS_MAX) {
        return;
    }
    for key in data.keys() {
        causes.syntax(&at.key(key), key, names::config_key);
    }
}

fn size(causes: &mut Causes, bytes: usize) {
    if bytes > DATA_BYTES_MAX {
        causes.too_long(&Path::Root.field("data"), DATA_BYTES_MAX);
    }
}

pub(super) fn update_config_map(causes: &mut Causes, old: &ConfigMap, new: &ConfigMap) {
    let same = [("data", old.data == new.data), ("binaryData", old.binary_data == new.binary_data)];
    immutable(causes, old.immutable, new.immutable, &same);
}

pub(super) fn update_secret(causes: &mut Causes, old: &Secret, new: &Secret) {
    if old.r#type != new.r#type {
        causes.invalid(&Path::Root.field("type"), &new.r#type, "field is immutable");
    }
    immutable(causes, old.immutable, new.immutable, &[("data", old.data == new.data)]);
}

fn immutable(causes: &mut Causes, old: Option<bool>, new: Option<bool>, same: &[(&'static str, bool)]) {
    if old != Some(true) {
        return;
    }
    let why = "field is immutable when `immutable` is set; delete the object and create it anew";
    if new != Some(true) {
        causes.forbidden(&Path::Root.field("immutable"), why);
    }
    for (field, _) in same.iter().filter(|(_, same)| !same) {
        causes.forbidden(&Path::Root.field(field), why);
    }
}
