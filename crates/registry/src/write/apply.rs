//! Server-side apply: what somebody wants of an object, merged into what is there.

use std::borrow::Cow;

use api::{
    ApplyOutcome, Error, Key, Kind, Object, Reason, Served, Subresource, Timestamp, Verb, Write,
    apply::{self, Applied, BuiltInKind, Conflict, Operation, Refusal, Request, Versions},
    custom::JsonPath,
    error::Cause,
    json::{Decoded, Parsed, Strictness},
    meta_v1::ManagedFieldsEntry,
};
use serde_json::{Value, json};
use store::View;

use super::{
    WriteOptions, Written,
    modify::{decoded, judged, with_unknown},
};
use crate::{Registry, access::Access, decide::Sent, defined::Form};

/// What is applied.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// All that its sender wants to say of the object, and the fields that stand in it twice.
    pub manifest: Parsed,
    /// Which part of it is meant.
    pub subresource: Subresource,
    /// Take over fields that others own.
    pub force: bool,
}

impl Registry {
    /// Applies a manifest to an object, which comes into being if it is not there.
    ///
    /// # Errors
    /// If nobody says who applies, if others own what would be changed, if the manifest is not one of the object, or as
    /// [`Registry::submit`].
    pub async fn apply_to(&self, key: &Key, wanted: Wanted, options: WriteOptions) -> Result<Written, Error> {
        let verbs: &[Verb] =
            if self.state().get(key).is_some() { &[Verb::Patch] } else { &[Verb::Patch, Verb::Create] };
        for verb in verbs {
            self.authorise(Access::to_subresource(*verb, key, wanted.subresource)).await?;
        }
        named(&options)?;
        let now = self.now();
        let mut unknown = Vec::new();
        let sent = Sent { operation: Operation::Apply, ..options.sent(key.kind) };
        let make = |view: &View, form: Form<'_>| {
            let application = Application { key, form, wanted: &wanted, options: &options, now };
            application.write(view, &mut unknown).map(Cow::Owned)
        };
        let written = self.settle(key, sent, &options, make).await?;
        Ok(with_unknown(written, &unknown))
    }

    /// As [`Registry::apply_to`], where the manifest says which object it is about.
    ///
    /// # Errors
    /// If the manifest is of no known kind or has no name, or as [`Registry::apply_to`].
    pub async fn apply(
        &self,
        mut wanted: Wanted,
        default_namespace: &str,
        options: WriteOptions,
    ) -> Result<(Written, ApplyOutcome), Error> {
        let served = self.served_as(&wanted.manifest.value)?;
        let key = meant(served.kind(), &mut wanted.manifest.value, default_namespace)?;
        let written = self.apply_to(&key, wanted, options.sent_as(served)).await?;
        let outcome = match (written.created, written.unchanged) {
            (true, _) => ApplyOutcome::Created,
            (false, true) => ApplyOutcome::Unchanged,
            (false, false) => ApplyOutcome::Configured,
        };
        Ok((written, outcome))
    }

    fn served_as(&self, manifest: &Value) -> Result<Served, Error> {
        let text = |field: &str| manifest.get(field).and_then(Value::as_str).unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let defined = || self.definitions().from_api_version(api_version, kind);
        let missing = || {
            let known = Kind::from_name(kind).map(|kind| format!("; {kind} is in apiVersion {}", kind.api_version()));
            let known = known.unwrap_or_default();
            Error::new(Reason::NotFound, format!("no matches for kind \"{kind}\" in version \"{api_version}\"{known}"))
        };
        Served::from_api_version(api_version, kind).or_else(defined).ok_or_else(missing)
    }
}

/// One application, as often as it is decided.
struct Application<'a> {
    key: &'a Key,
    form: Form<'a>,
    wanted: &'a Wanted,
    options: &'a WriteOptions,
    now: Timestamp,
}

impl Application<'_> {
    fn write(&self, view: &View, unknown: &mut Vec<String>) -> Result<Write, Error> {
        let Wanted { manifest, subresource, .. } = self.wanted;
        // A misspelt field would be lost in the merge; reading the manifest as a whole finds it.
        let sent = decoded(self.key, self.read(manifest)?, unknown)?;
        let sent = sent.metadata().cloned().unwrap_or_default();
        if !sent.managed_fields.is_empty() {
            return Err(Error::bad_request("metadata.managedFields must be nil"));
        }
        let Some(record) = view.get(self.key) else {
            self.may_create(&sent.uid)?;
            return Ok(Write::Create(self.merged(&Value::Object(serde_json::Map::new()), &[])?));
        };
        let live = record.object();
        let owners = live.metadata().map(|metadata| metadata.managed_fields.as_slice()).unwrap_or_default();
        Ok(Write::Update(self.merged(&self.form.present(record)?, owners)?, *subresource))
    }

    /// The manifest as an object.
    fn read(&self, manifest: &Parsed) -> Result<Decoded, Error> {
        let strictness = self.options.field_validation;
        let read = self.form.decode(&manifest.value, strictness.noting())?;
        if self.form.definition.is_some() && strictness == Strictness::Strict && !read.unknown.is_empty() {
            return Err(self.untyped(&read.unknown, &manifest.duplicates));
        }
        judged(read, &manifest.duplicates, strictness)
    }

    /// What the schema of a kind does not have that users define is told as Kubernetes tells it here, with all other mistakes.
    fn untyped(&self, unknown: &[String], duplicates: &[String]) -> Error {
        let field = |unknown: &String| match unknown.split('"').nth(1) {
            Some(field) => format!(".{field}: field not declared in schema"),
            None => unknown.clone(),
        };
        let mistakes: Vec<String> = duplicates.iter().cloned().chain(unknown.iter().map(field)).collect();
        let info = self.form.served().info();
        let (place, version) = (format!("{}/{}", self.key.namespace, self.key.name), info.api_version());
        let kind = info.kind;
        let mistakes = mistakes.join(", ");
        Error::bad_request(format!("failed to create typed patch object ({place}; {version}, Kind={kind}): {mistakes}"))
    }

    fn may_create(&self, uid: &str) -> Result<(), Error> {
        if self.wanted.subresource != Subresource::None {
            return Err(Error::not_found(self.key));
        }
        if uid.is_empty() {
            return Ok(());
        }
        let why = format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
        Err(Error::conflict(self.key, why))
    }

    /// The object with what is wanted, and who owns what then.
    fn merged(&self, live: &Value, owners: &[ManagedFieldsEntry]) -> Result<Object, Error> {
        let applied = self.applied(live, owners)?;
        let object = if self.wanted.subresource == Subresource::None {
            apply::synced(&self.options.field_manager, applied.object, &self.wanted.manifest.value)
        } else {
            applied.object
        };
        let mut object = decoded(self.key, self.form.decode_made(&object, Strictness::Ignore)?, &mut Vec::new())?;
        object.metadata_mut().managed_fields = applied.owners;
        Ok(object)
    }

    /// Of the manifest what counts.
    fn config(&self) -> Result<Value, Error> {
        let manifest = &self.wanted.manifest.value;
        if self.wanted.subresource == Subresource::Scale {
            self.form.config(&scale_only(manifest, &self.form.served().replicas_at()))
        } else {
            self.form.config(manifest)
        }
    }

    fn applied(&self, live: &Value, owners: &[ManagedFieldsEntry]) -> Result<Applied, Error> {
        match self.form.kind() {
            Some(kind) => self.applied_as(&&kind, live, owners),
            None => self.applied_as(&BuiltInKind(self.key.kind), live, owners),
        }
    }

    fn applied_as<K: Versions>(&self, kind: &K, live: &Value, owners: &[ManagedFieldsEntry]) -> Result<Applied, Error> {
        let api_version = self.form.served().info().api_version();
        let request = Request {
            kind,
            api_version: &api_version,
            manager: &self.options.field_manager,
            subresource: self.wanted.subresource.word(),
            now: self.now.into(),
        };
        let config = self.config()?;
        let apply = |force| apply::apply(&request, live, owners, &config, force);
        let applied = match apply(self.wanted.force) {
            Err(Refusal::Conflicts(conflicts)) => match apply::migrates(&request, live, conflicts).as_slice() {
                [] => apply(true),
                left => return Err(Conflict::error(left)),
            },
            other => other,
        };
        applied.map_err(|refusal| match refusal {
            Refusal::Conflicts(conflicts) => Conflict::error(&conflicts),
            Refusal::Unmergeable(why) => Error::bad_request(format!("the manifest cannot be merged: {why}")),
        })
    }
}

/// Of a manifest what counts for the part `scale`: how many replicas there should be, and of which object.
fn scale_only(manifest: &Value, replicas_at: &JsonPath) -> Value {
    let mut scale = json!({ "metadata": {} });
    for field in ["apiVersion", "kind"] {
        scale[field] = manifest[field].clone();
    }
    for field in ["name", "namespace", "uid", "resourceVersion"] {
        if let Some(value) = manifest["metadata"].get(field) {
            scale["metadata"][field] = value.clone();
        }
    }
    if let Some(replicas) = replicas_at.get(manifest) {
        replicas_at.set(&mut scale, replicas.clone());
    }
    scale
}

/// Whoever applies must say who it is, since it owns what it names.
fn named(options: &WriteOptions) -> Result<(), Error> {
    if !options.field_manager.is_empty() {
        return Ok(());
    }
    let message = "is required for apply patch".to_owned();
    let cause = Cause { reason: "FieldValueRequired", field: "fieldManager".to_owned(), message };
    let message = "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch";
    Err(Error { causes: vec![cause], ..Error::new(Reason::Invalid, message) })
}

/// The object that a manifest means. The manifest gets its namespace, if it names none.
fn meant(kind: Kind, manifest: &mut Value, default_namespace: &str) -> Result<Key, Error> {
    let text = |value: &Value, field: &str| value["metadata"][field].as_str().unwrap_or_default().to_owned();
    let name = text(manifest, "name");
    if name.is_empty() {
        return Err(Error::bad_request("metadata.name: name the object; what is applied cannot have a generated name"));
    }
    let mut namespace = text(manifest, "namespace");
    if kind.info().namespaced && namespace.is_empty() {
        default_namespace.clone_into(&mut namespace);
        manifest["metadata"]["namespace"] = namespace.clone().into();
    }
    Ok(Key::namespaced(kind, namespace, name))
}
