//! Those who applied on their own side before, and apply on the server's side now.
//!
//! They kept what they had applied in an annotation. What stands there still as they wanted it is theirs.

use serde_json::Value;

use super::{Conflict, Request, Versions, owners::owned, value};
use crate::{fieldset::Set, well_known::LAST_APPLIED_ANNOTATION};

/// The managers that kept what they applied in an annotation before, and apply here now.
const MIGRATED: [&str; 2] = ["kubectl", "kapelle"];

/// Whether conflicts are those of somebody who applied on the client's side before: each of the fields is as the last manifest,
/// which `kubectl` and `kapelle` keep in an annotation, wanted it. Answers the conflicts that remain.
#[must_use]
pub fn migrates<K: Versions>(request: &Request<'_, K>, live: &Value, conflicts: Vec<Conflict>) -> Vec<Conflict> {
    let Some(allowed) = inherited(request, live) else { return conflicts };
    let left = Conflict::fields(&conflicts).difference(&allowed).paths();
    conflicts.into_iter().filter(|conflict| left.contains(&conflict.path)).collect()
}

/// What whoever applies now has applied on its own side before, if nobody says who owns which fields: the object is of a time
/// when nobody was told. It goes over to it, so that what the manifest no longer names is taken away.
pub(super) fn inherited<K: Versions>(request: &Request<'_, K>, live: &Value) -> Option<Set> {
    MIGRATED.contains(&request.manager).then(|| last_applied(request, live)).flatten()
}

/// The fields of the last manifest that are still as it wanted them.
fn last_applied<K: Versions>(request: &Request<'_, K>, live: &Value) -> Option<Set> {
    let last: Value = serde_json::from_str(annotation(live)?).ok()?;
    if last["apiVersion"] != request.api_version {
        return None;
    }
    let root = request.kind.root(request.api_version)?;
    let change = value::difference(root, &last, live);
    let fields = owned(&value::fields(root, &last));
    Some(fields.difference(&change.modified).difference(&change.added).difference(&change.removed))
}

fn annotation(object: &Value) -> Option<&str> {
    object.get("metadata")?.get("annotations")?.get(LAST_APPLIED_ANNOTATION)?.as_str().filter(|text| !text.is_empty())
}

/// An object that was applied, where the annotation of whoever applied on the client's side before tells the new manifest, so
/// that the way back is open.
#[must_use]
pub fn synced(manager: &str, mut object: Value, manifest: &Value) -> Value {
    if !MIGRATED.contains(&manager) || annotation(&object).is_none() {
        return object;
    }
    let mut copy = manifest.clone();
    if let Some(annotations) = copy.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED_ANNOTATION);
    }
    object["metadata"]["annotations"][LAST_APPLIED_ANNOTATION] = format!("{copy}\n").into();
    object
}
