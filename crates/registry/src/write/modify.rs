//! Patches: writes that are made from the present state of the object.

use std::borrow::Cow;

use api::{
    Error, Key, Object, PatchKind, Reason, Subresource, Verb, Write,
    json::{Decoded, Parsed, Strictness},
    patch,
};
use serde_json::{Map, Value, json};
use store::{Record, View};

use crate::{Registry, access::Access, defined::Form};

use super::{WriteOptions, Written};

impl Registry {
    /// Changes parts of an object. A `metadata.resourceVersion` in the patch is a precondition.
    ///
    /// # Errors
    /// If the object does not exist, the patch does not fit it or, if `options` are strict, has fields that stand twice or that
    /// nobody knows, or as [`Registry::submit`].
    pub async fn patch(
        &self,
        key: &Key,
        kind: PatchKind,
        patch: impl Into<Parsed>,
        subresource: Subresource,
        options: WriteOptions,
    ) -> Result<Written, Error> {
        self.authorise(Access::to_subresource(Verb::Patch, key, subresource)).await?;
        let options = self.named(options);
        let strictness = options.field_validation;
        let Parsed { value: patch, duplicates } = patch.into();
        let mut unknown = Vec::new();
        let make = |view: &View, form: Form<'_>| {
            let record = view.get(key).ok_or_else(|| Error::not_found(key))?;
            let value = patched(record, form, kind, &patch)?;
            let made = judged(form.decode_made(&value, strictness.noting())?, &duplicates, strictness)?;
            Ok(Cow::Owned(Write::Update(decoded(key, made, &mut unknown)?, subresource)))
        };
        let written = self.settle(key, options.sent(key.kind), &options, make).await?;
        Ok(with_unknown(written, &unknown))
    }
}

fn patched(record: &Record, form: Form<'_>, kind: PatchKind, patch: &Value) -> Result<Value, Error> {
    // Who changes what is said of owners must see all of it; nobody else needs to.
    let mut value = if tells_owners(kind, patch) { form.shown(record)? } else { form.present(record)? };
    match kind {
        PatchKind::Json => with_status(&mut value, form, |value| patch::json(value, patch))?,
        PatchKind::Merge => patch::merge(&mut value, patch),
        PatchKind::Strategic if form.definition.is_some() => return Err(not_strategic()),
        PatchKind::Strategic => patch::strategic(form.served.info().message, &mut value, patch)?,
    }
    Ok(value)
}

/// Has something done to an object that has a status, if its kind does, empty or not: in Kubernetes it is never left out, so that
/// the path of an operation may lead into it. Of a status that is still empty nothing is kept.
fn with_status(
    value: &mut Value,
    form: Form<'_>,
    change: impl FnOnce(&mut Value) -> Result<(), Error>,
) -> Result<(), Error> {
    const STATUS: &str = "status";
    let is_defined = form.definition.is_some();
    let has_one = !is_defined && form.served.info().subresources.contains(&Subresource::Status);
    if let Some(fields) = value.as_object_mut().filter(|fields| has_one && !fields.contains_key(STATUS)) {
        fields.insert(STATUS.to_owned(), Value::Object(Map::new()));
    }
    change(value)?;
    if let Some(fields) = value.as_object_mut().filter(|fields| has_one && fields.get(STATUS) == Some(&json!({}))) {
        fields.remove(STATUS);
    }
    Ok(())
}

/// Whether a patch says something of `metadata.managedFields`.
fn tells_owners(kind: PatchKind, patch: &Value) -> bool {
    const OWNERS: &str = "/metadata/managedFields";
    match kind {
        PatchKind::Merge | PatchKind::Strategic => patch.pointer(OWNERS).is_some(),
        PatchKind::Json => {
            let path = |operation: &Value, name: &str| {
                operation.get(name).and_then(Value::as_str).is_some_and(|path| path.starts_with(OWNERS))
            };
            patch.as_array().into_iter().flatten().any(|one| path(one, "path") || path(one, "from"))
        }
    }
}

/// How to merge lists no definition says so that this kind of patch would know it.
fn not_strategic() -> Error {
    let message = "the body of the request was in an unknown format - accepted media types include: \
                   application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
    Error::new(Reason::UnsupportedMediaType, message)
}

/// What was read with all its mistakes noted, if they may be there.
pub(super) fn judged(read: Decoded, duplicates: &[String], strictness: Strictness) -> Result<Decoded, Error> {
    let unknown = strictness.judge([duplicates, &read.unknown].concat())?;
    Ok(Decoded { unknown, ..read })
}

/// What was read, if it is the object that is meant.
pub(super) fn decoded(key: &Key, decoded: Decoded, unknown: &mut Vec<String>) -> Result<Object, Error> {
    *unknown = decoded.unknown;
    if decoded.object.key() != *key {
        let message = format!("metadata: name and namespace of {key} cannot be changed; create another object");
        return Err(Error::bad_request(message).about(key));
    }
    Ok(decoded.object)
}

pub(super) fn with_unknown(mut written: Written, unknown: &[String]) -> Written {
    written.warnings.splice(0..0, unknown.iter().cloned());
    written
}
