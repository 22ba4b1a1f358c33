//! Patches and manifests: writes that are made from the present state of the object.

use std::borrow::Cow;

use api::{
    ApplyOutcome, Error, Key, Kind, Object, PatchKind, Reason, Served, Subresource, Verb, Write,
    json::{self, Decoded, Strictness},
    patch,
    well_known::LAST_APPLIED_ANNOTATION,
};
use serde_json::Value;
use store::{Record, View};

use crate::{Registry, access::Access};

use super::{WriteOptions, Written};

/// Where the last manifest is kept that was applied, so that what the next one lacks can be removed: within the JSON of an
/// object, [`LAST_APPLIED_ANNOTATION`]. The annotation is Kubernetes', so that both tools can be used on one object.
const LAST_APPLIED_POINTER: &str = "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";

impl Registry {
    /// Changes parts of an object. A `metadata.resourceVersion` in the patch is a precondition.
    ///
    /// # Errors
    /// If the object does not exist, the patch does not fit it, or as [`Registry::submit`].
    pub async fn patch(
        &self,
        key: &Key,
        kind: PatchKind,
        patch: Value,
        subresource: Subresource,
        options: WriteOptions,
    ) -> Result<Written, Error> {
        self.authorise(Access::to_subresource(Verb::Patch, key, subresource)).await?;
        let served = options.served(key.kind);
        let mut unknown = Vec::new();
        let make = |view: &View| {
            let record = view.get(key).ok_or_else(|| Error::not_found(key))?;
            let value = patched(record, served, kind, &patch)?;
            let made = json::decode_made(served, &value, options.field_validation)?;
            Ok(Cow::Owned(Write::Update(decoded(key, made, &mut unknown)?, subresource)))
        };
        let written = self.settle(key, served, options.dry_run, make).await?;
        Ok(with_unknown(written, &unknown))
    }

    /// Makes an object as a manifest says: creates it, or changes what the manifest says and removes what the manifest
    /// applied before said and this one does not.
    ///
    /// # Errors
    /// If the manifest is of no known kind or has no name, if a field is unknown and `options` are strict, or as
    /// [`Registry::submit`].
    pub async fn apply(
        &self,
        manifest: Value,
        default_namespace: &str,
        options: WriteOptions,
    ) -> Result<(Written, ApplyOutcome), Error> {
        let served = served_as(&manifest)?;
        let (key, manifest) = prepared(served.kind(), manifest, default_namespace)?;
        for verb in [Verb::Create, Verb::Patch] {
            self.authorise(Access::to(verb, &key)).await?;
        }
        let mut unknown = Vec::new();
        let make = |view: &View| {
            // A misspelt field would be lost in a patch; reading the manifest as a whole finds it.
            let sent = json::decode(served, &manifest, options.field_validation)?;
            let sent = decoded(&key, sent, &mut unknown)?;
            let write = match view.get(&key) {
                None => Write::Create(sent),
                Some(record) => {
                    let made = json::decode_made(served, &merged(record, served, &manifest)?, Strictness::Ignore)?;
                    Write::Update(decoded(&key, made, &mut Vec::new())?, Subresource::None)
                }
            };
            Ok(Cow::Owned(write))
        };
        let written = with_unknown(self.settle(&key, served, options.dry_run, make).await?, &unknown);
        let outcome = match (written.created, written.unchanged) {
            (true, _) => ApplyOutcome::Created,
            (false, true) => ApplyOutcome::Unchanged,
            (false, false) => ApplyOutcome::Configured,
        };
        Ok((written, outcome))
    }
}

fn patched(record: &Record, served: Served, kind: PatchKind, patch: &Value) -> Result<Value, Error> {
    let mut value = json::encode_as(served, &record.object());
    match kind {
        PatchKind::Json => patch::json(&mut value, patch)?,
        PatchKind::Merge => patch::merge(&mut value, patch),
        PatchKind::Strategic => patch::strategic(served.info().message, &mut value, patch)?,
    }
    Ok(value)
}

/// What was read, if it is the object that is meant.
fn decoded(key: &Key, decoded: Decoded, unknown: &mut Vec<String>) -> Result<Object, Error> {
    *unknown = decoded.unknown;
    if decoded.object.key() != *key {
        let message = format!("metadata: name and namespace of {key} cannot be changed; create another object");
        return Err(Error::bad_request(message).about(key));
    }
    Ok(decoded.object)
}

fn with_unknown(mut written: Written, unknown: &[String]) -> Written {
    written.warnings.splice(0..0, unknown.iter().cloned());
    written
}

/// The object that a manifest means, and the manifest with its namespace and a copy of itself in it.
fn prepared(kind: Kind, mut manifest: Value, default_namespace: &str) -> Result<(Key, Value), Error> {
    let text = |value: &Value, field: &str| value["metadata"][field].as_str().unwrap_or_default().to_owned();
    let name = text(&manifest, "name");
    if name.is_empty() {
        return Err(Error::bad_request("metadata.name: name the object; what is applied cannot have a generated name"));
    }
    let mut namespace = text(&manifest, "namespace");
    if kind.info().namespaced && namespace.is_empty() {
        default_namespace.clone_into(&mut namespace);
        manifest["metadata"]["namespace"] = namespace.clone().into();
    }
    remember(&mut manifest);
    Ok((Key::namespaced(kind, namespace, name), manifest))
}

fn served_as(manifest: &Value) -> Result<Served, Error> {
    let text = |field: &str| manifest.get(field).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if let Some(served) = Served::from_api_version(api_version, kind) {
        return Ok(served);
    }
    let known = Kind::from_name(kind).map(|kind| format!("; {kind} is in apiVersion {}", kind.api_version()));
    let message = format!("no matches for kind \"{kind}\" in version \"{api_version}\"{}", known.unwrap_or_default());
    Err(Error::new(Reason::NotFound, message))
}

/// Puts a copy of the manifest, without such a copy, into its annotations. Ends with a line feed, as `kubectl` writes it.
fn remember(manifest: &mut Value) {
    if let Some(annotations) = manifest.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED_ANNOTATION);
    }
    let copy = format!("{manifest}\n");
    let annotations = &mut manifest["metadata"]["annotations"];
    if !annotations.is_object() {
        *annotations = Value::Object(serde_json::Map::new());
    }
    annotations[LAST_APPLIED_ANNOTATION] = copy.into();
}

fn merged(record: &Record, served: Served, manifest: &Value) -> Result<Value, Error> {
    let message = served.info().message;
    let mut value = json::encode_as(served, &record.object());
    let last = value.pointer(LAST_APPLIED_POINTER).and_then(Value::as_str);
    let last: Option<Value> = last.and_then(|text| serde_json::from_str(text).ok());
    let patch = patch::three_way(message, last.as_ref(), &value, manifest);
    patch::strategic(message, &mut value, &patch)?;
    Ok(value)
}
