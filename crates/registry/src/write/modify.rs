//! Patches: writes that are made from the present state of the object.

use std::borrow::Cow;

use api::{
    Error, Key, Object, PatchKind, Served, Subresource, Verb, Write,
    apply::shown,
    json::{self, Decoded},
    patch,
};
use serde_json::Value;
use store::{Record, View};

use crate::{Registry, access::Access};

use super::{WriteOptions, Written};

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
        let options = self.named(options);
        let served = options.served(key.kind);
        let mut unknown = Vec::new();
        let make = |view: &View| {
            let record = view.get(key).ok_or_else(|| Error::not_found(key))?;
            let value = patched(record, served, kind, &patch)?;
            let made = json::decode_made(served, &value, options.field_validation)?;
            Ok(Cow::Owned(Write::Update(decoded(key, made, &mut unknown)?, subresource)))
        };
        let written = self.settle(key, options.sent(key.kind), options.dry_run, make).await?;
        Ok(with_unknown(written, &unknown))
    }
}

fn patched(record: &Record, served: Served, kind: PatchKind, patch: &Value) -> Result<Value, Error> {
    // Who changes what is said of owners must see all of it; nobody else needs to.
    let mut value = if tells_owners(kind, patch) {
        json::encode_as(served, &shown::object(served, &record.object()))
    } else {
        present(record, served)
    };
    match kind {
        PatchKind::Json => patch::json(&mut value, patch)?,
        PatchKind::Merge => patch::merge(&mut value, patch),
        PatchKind::Strategic => patch::strategic(served.info().message, &mut value, patch)?,
    }
    Ok(value)
}

/// An object as JSON in a version of its kind, without its owners.
pub(super) fn present(record: &Record, served: Served) -> Value {
    match served {
        Served::Stored(_) => json::encode_without_owners(served, &record.bytes, Some(record.revision)),
        Served::Converted(_) => json::encode_without_owners(served, &served.encode_bytes(&record.object()), None),
    }
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
