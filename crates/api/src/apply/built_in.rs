//! Server-side apply for the kinds of `proto/`: their types, what of a manifest counts, and how owners are shown.

use std::borrow::Cow;

use prost::Message as _;
use serde_json::Value;

use super::{
    Conflict, Request, Versions,
    owners::{Owners, TOPMOST},
    spell,
    typed::BuiltIn,
    value,
};
use crate::{
    Kind, Object, Served, Subresource,
    encoded::{self, METADATA_FIELD},
    fieldset::Set,
    json::{self, Strictness},
    meta_v1::{ObjectMeta, Time},
    schema::Schema,
    well_known::LAST_APPLIED_ANNOTATION,
    wire::{Payload, Reader, put_bytes},
};

/// The number of `managedFields` in the metadata.
const MANAGED_FIELDS_FIELD: u32 = 17;

/// The number of `fieldsType` in an entry of it.
const FIELDS_TYPE_FIELD: u32 = 6;

/// The managers that kept what they applied in an annotation before, and apply here now.
const MIGRATED: [&str; 2] = ["kubectl", "kapelle"];

/// What the API server and the controllers fill in on behalf of whoever creates an object: taking such a field out of a manifest
/// must not take it from the object.
const GIVEN: [(Kind, &[&[&str]]); 3] = [
    (Kind::Pod, &[&["spec", "nodeName"], &["spec", "serviceAccount"]]),
    (
        Kind::Service,
        &[&["spec", "clusterIP"], &["spec", "clusterIPs"], &["spec", "ipFamilies"], &["spec", "ipFamilyPolicy"]],
    ),
    (Kind::Deployment, &[&["metadata", "annotations", "deployment.kubernetes.io/revision"]]),
];

/// A kind of the table.
#[derive(Clone, Copy, Debug)]
pub struct BuiltInKind(pub Kind);

impl BuiltInKind {
    fn served(self, api_version: &str) -> Option<Served> {
        Served::of(self.0, api_version)
    }
}

impl Versions for BuiltInKind {
    type Type = BuiltIn;

    fn root(&self, api_version: &str) -> Option<BuiltIn> {
        Schema::get().message(self.served(api_version)?.info().message).map(BuiltIn::Message)
    }

    fn empty(&self, api_version: &str) -> Value {
        let info = self.served(api_version).unwrap_or_else(|| self.0.into()).info();
        let mut empty = json::encode_message(info.message, &[]).unwrap_or_default();
        let topmost = Schema::get().message(info.message).into_iter().flat_map(|message| &message.fields);
        for field in topmost.filter(|field| TOPMOST.contains(&field.json.as_str())) {
            empty[&field.json] = json::zero_value(field);
        }
        empty
    }

    fn given(&self) -> &[&[&str]] {
        GIVEN.iter().find(|(kind, _)| *kind == self.0).map(|(_, paths)| *paths).unwrap_or_default()
    }

    fn converted(&self, object: &Value, from: &str, to: &str) -> Option<Value> {
        let object = json::decode_made(self.served(from)?, object, Strictness::Ignore).ok()?.object;
        Some(json::encode_as(self.served(to)?, &object))
    }

    fn has_status(&self) -> bool {
        self.0.has(Subresource::Status)
    }
}

/// Of a manifest what counts: the fields that its message has.
#[must_use]
pub fn config(served: Served, manifest: &Value) -> Value {
    Schema::get()
        .message(served.info().message)
        .map_or_else(|| manifest.clone(), |message| value::known(BuiltIn::Message(message), manifest))
}

/// Whether conflicts are those of somebody who applied on the client's side before: each of the fields is as the last manifest,
/// which `kubectl` and `kapelle` keep in an annotation, wanted it. Answers the conflicts that remain.
#[must_use]
pub fn migrates(request: &Request<'_, BuiltInKind>, live: &Value, conflicts: Vec<Conflict>) -> Vec<Conflict> {
    let allowed = MIGRATED.contains(&request.manager).then(|| last_applied(request, live)).flatten();
    let Some(allowed) = allowed else { return conflicts };
    let left = Conflict::fields(&conflicts).difference(&allowed).paths();
    conflicts.into_iter().filter(|conflict| left.contains(&conflict.path)).collect()
}

/// The fields of the last manifest that are still as it wanted them.
fn last_applied(request: &Request<'_, BuiltInKind>, live: &Value) -> Option<Set> {
    let last: Value = serde_json::from_str(annotation(live)?).ok()?;
    if last["apiVersion"] != request.api_version {
        return None;
    }
    let root = request.kind.root(request.api_version)?;
    let change = value::difference(root, &last, live);
    let fields = value::fields(root, &last);
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

/// The bytes of an object as others see it: with the fields of each owner.
#[must_use]
pub fn shown(served: Served, bytes: &[u8]) -> Cow<'_, [u8]> {
    let parts = encoded::parts(bytes);
    if !has_rest(parts.metadata) {
        return Cow::Borrowed(bytes);
    }
    let Ok(metadata) = ObjectMeta::decode(parts.metadata) else { return Cow::Borrowed(bytes) };
    let info = served.info();
    let (Some(message), Ok(owners)) = (Schema::get().message(info.message), Owners::stored(&metadata.managed_fields))
    else {
        return Cow::Borrowed(bytes);
    };
    let api_version = info.api_version();
    let kind = BuiltInKind(served.kind());
    let managed_fields =
        owners.told(kind.has_status(), &api_version, |part| spell::fields(message, bytes, part, kind.given()));
    let managed_fields = managed_fields.unwrap_or_else(|| {
        let request =
            Request { kind: &kind, api_version: &api_version, manager: "", subresource: "", now: Time::default() };
        let object = json::encode_message(info.message, bytes).unwrap_or_default();
        request.spelled_out(owners, &object).entries()
    });
    let metadata = ObjectMeta { managed_fields, ..metadata };
    let mut shown = Vec::with_capacity(bytes.len() * 2);
    put_bytes(METADATA_FIELD, &metadata.encode_to_vec(), &mut shown);
    shown.extend_from_slice(parts.rest);
    Cow::Owned(shown)
}

/// As [`shown`], of an object that is at hand as a value.
#[must_use]
pub fn shown_object(served: Served, object: &Object) -> Object {
    let bytes = served.encode_bytes(object);
    let shown = served.decode_bytes(shown(served, &bytes).into_owned().into());
    shown.unwrap_or_else(|_| object.clone())
}

/// Whether an owner's fields are not told, seen from the bytes of the metadata.
fn has_rest(metadata: &[u8]) -> bool {
    let entries = Reader::new(metadata).filter(|(number, _)| *number == MANAGED_FIELDS_FIELD);
    entries.map(|(_, payload)| payload.bytes()).any(|entry| {
        !Reader::new(entry).any(|(number, payload)| {
            number == FIELDS_TYPE_FIELD && matches!(payload, Payload::Bytes(text) if !text.is_empty())
        })
    })
}
