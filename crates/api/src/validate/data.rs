//! What ConfigMaps and Secrets have in common: keys that become names of files, a limit, and that they may be frozen.

use std::collections::BTreeMap;

use super::{
    causes::{Causes, Path},
    limits::DATA_KEYS_MAX,
    names,
};

/// All values of a ConfigMap or Secret together, in bytes: Kubernetes' limit, which keeps log entries small.
pub const DATA_BYTES_MAX: usize = 1 << 20;

pub(crate) fn keys<V>(causes: &mut Causes, data: &BTreeMap<String, V>, at: &Path<'_>) {
    if !causes.at_most(at, data.len(), DATA_KEYS_MAX) {
        return;
    }
    for key in data.keys() {
        causes.syntax(&at.key(key), key, names::config_key);
    }
}

pub(crate) fn size(causes: &mut Causes, bytes: usize) {
    if bytes > DATA_BYTES_MAX {
        causes.too_long(&Path::Root.field("data"), DATA_BYTES_MAX);
    }
}

pub(crate) fn immutable(causes: &mut Causes, old: Option<bool>, new: Option<bool>, same: &[(&'static str, bool)]) {
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
