//! Between the words of the API and those of the wire.

use api::{
    ChangeType, DeleteOptions, Error, Key, Kind, Object, PatchKind, Propagation, ReadAt, Revision, Subresource, Write,
    encoded, meta_v1,
};

use crate::{Carried, services};

/// The key as requests carry it.
#[must_use]
pub fn key_to_wire(key: &Key) -> services::ObjectKey {
    services::ObjectKey {
        kind: kind_to_wire(key.kind),
        namespace: key.namespace.to_string(),
        name: key.name.to_string(),
    }
}

/// The kind as requests name it: as in manifests, and with its group if a user has defined it.
#[must_use]
pub fn kind_to_wire(kind: Kind) -> String {
    if let Kind::Custom(_) = kind { kind.qualified_name() } else { kind.to_string() }
}

/// Reads a key. `kind` finds the kind of a name.
///
/// # Errors
/// If there is none, its kind is unknown, or it has no name.
pub fn key_from_wire(
    key: Option<services::ObjectKey>,
    kind: impl FnOnce(&str) -> Result<Kind, Error>,
) -> Result<Key, Error> {
    let key = key.ok_or_else(|| Error::bad_request("key: name the object"))?;
    if key.name.is_empty() {
        return Err(Error::bad_request("key.name: name the object"));
    }
    Ok(Key::namespaced(kind(&key.kind)?, key.namespace, key.name))
}

/// Finds a kind of the table by its name.
///
/// # Errors
/// If there is none; the message lists those that exist.
pub fn kind_from_wire(kind: &str) -> Result<Kind, Error> {
    Kind::from_name(kind).ok_or_else(|| {
        let known: Vec<String> = Kind::ALL.iter().map(ToString::to_string).collect();
        Error::bad_request(format!("kind: \"{kind}\" is unknown; use one of {}", known.join(", ")))
    })
}

/// The object in a message.
///
/// # Errors
/// If there is none.
pub fn object_from_wire(object: Option<Carried>) -> Result<Object, Error> {
    if object.as_ref().is_some_and(Carried::is_refused) {
        let message = format!("object: it has more than {} parts", encoded::MESSAGES_MAX);
        return Err(Error::bad_request(message));
    }
    let missing = || Error::bad_request("object: send an object of a known kind");
    object.and_then(Carried::into_object).ok_or_else(missing)
}

/// The object in a master's answer, which knows what it is also if a user has defined that.
///
/// # Errors
/// If there is none.
pub fn object_from_answer(object: Option<Carried>) -> Result<Object, Error> {
    let mut object = object_from_wire(object)?;
    if let Some(object) = object.custom_mut() {
        object.believe();
    }
    Ok(object)
}

/// The part that a request to change an object names.
///
/// # Errors
/// If there is no such part, or nothing can be written to it.
pub fn subresource_from_wire(word: &str) -> Result<Subresource, Error> {
    Subresource::from_word(word).filter(|part| part.is_written()).ok_or_else(|| {
        let message = "use status, scale, binding, finalize or owners, or nothing for the object itself";
        Error::bad_request(format!("subresource: \"{word}\" is unknown; {message}"))
    })
}

/// Which state a reader wants, as requests carry it.
#[must_use]
pub fn read_at_to_wire(at: ReadAt) -> String {
    match at {
        ReadAt::Latest => String::new(),
        ReadAt::Any => "0".to_owned(),
        ReadAt::NotOlderThan(revision) => revision.to_string(),
    }
}

/// Which state a reader wants.
///
/// # Errors
/// If it is not a revision of ours.
pub fn read_at_from_wire(text: &str) -> Result<ReadAt, Error> {
    Ok(match revision_from_wire(text)? {
        None => ReadAt::Latest,
        Some(Revision(0)) => ReadAt::Any,
        Some(revision) => ReadAt::NotOlderThan(revision),
    })
}

/// A revision, if the text is not empty.
///
/// # Errors
/// If it is not a number.
pub fn revision_from_wire(text: &str) -> Result<Option<Revision>, Error> {
    let wrong = |_| Error::bad_request(format!("resource_version: \"{text}\" is not one of this cluster's"));
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(wrong) }
}

/// How to delete, as requests carry it.
#[must_use]
pub fn delete_to_wire(options: &DeleteOptions) -> meta_v1::DeleteOptions {
    let policy = match options.propagation {
        Propagation::Background => "Background",
        Propagation::Foreground => "Foreground",
        Propagation::Orphan => "Orphan",
    };
    let resource_version = options.resource_version.map(|revision| revision.to_string());
    let preconditions = meta_v1::Preconditions { uid: options.uid.clone(), resource_version };
    meta_v1::DeleteOptions {
        grace_period_seconds: options.grace_period_s,
        preconditions: (preconditions != meta_v1::Preconditions::default()).then_some(preconditions),
        propagation_policy: Some(policy.to_owned()),
        dry_run: if options.dry_run { vec!["All".to_owned()] } else { Vec::new() },
        ..Default::default()
    }
}

/// How to delete.
///
/// # Errors
/// If a value is not understood: a deletion must never do more than was meant.
pub fn delete_from_wire(options: meta_v1::DeleteOptions) -> Result<DeleteOptions, Error> {
    let wrong = |field: &str, value: &str, right: &str| {
        Error::bad_request(format!("options.{field}: \"{value}\" is not supported; use {right}"))
    };
    if let Some(seconds) = options.grace_period_seconds.filter(|seconds| *seconds < 0) {
        return Err(wrong("gracePeriodSeconds", &seconds.to_string(), "0 or more"));
    }
    if let Some(value) = options.dry_run.iter().find(|value| *value != "All") {
        return Err(wrong("dryRun", value, "All"));
    }
    let propagation = match options.propagation_policy.as_deref().unwrap_or_default() {
        _ if options.orphan_dependents == Some(true) => Propagation::Orphan,
        "" | "Background" => Propagation::Background,
        "Foreground" => Propagation::Foreground,
        "Orphan" => Propagation::Orphan,
        other => return Err(wrong("propagationPolicy", other, "Background, Foreground or Orphan")),
    };
    let preconditions = options.preconditions.unwrap_or_default();
    Ok(DeleteOptions {
        grace_period_s: options.grace_period_seconds,
        propagation,
        uid: preconditions.uid.filter(|uid| !uid.is_empty()),
        resource_version: revision_from_wire(&preconditions.resource_version.unwrap_or_default())?,
        dry_run: !options.dry_run.is_empty(),
    })
}

/// A write as batches carry it.
#[must_use]
pub fn write_to_wire(write: Write, options: &services::WriteOptions) -> services::Write {
    let options = Some(options.clone());
    let write = match write {
        Write::Create(object) => {
            services::write::Write::Create(services::CreateRequest { object: Some(object.into()), options })
        }
        Write::Update(object, part) => services::write::Write::Update(services::UpdateRequest {
            object: Some(object.into()),
            subresource: part.word().to_owned(),
            options,
        }),
        Write::Delete(key, delete) => services::write::Write::Delete(services::DeleteRequest {
            key: Some(key_to_wire(&key)),
            options: Some(delete_to_wire(&delete)),
        }),
    };
    services::Write { write: Some(write) }
}

/// A write, and its options if it has any. `kind` finds the kind of a name.
///
/// # Errors
/// If it is empty or a part of it is not understood.
pub fn write_from_wire(
    write: services::Write,
    kind: impl FnOnce(&str) -> Result<Kind, Error>,
) -> Result<(Write, services::WriteOptions), Error> {
    match write.write.ok_or_else(|| Error::bad_request("writes: each is a create, an update or a delete"))? {
        services::write::Write::Create(create) => {
            Ok((Write::Create(object_from_wire(create.object)?), create.options.unwrap_or_default()))
        }
        services::write::Write::Update(update) => {
            let part = subresource_from_wire(&update.subresource)?;
            Ok((Write::Update(object_from_wire(update.object)?, part), update.options.unwrap_or_default()))
        }
        services::write::Write::Delete(delete) => {
            let options = delete_from_wire(delete.options.unwrap_or_default())?;
            Ok((Write::Delete(key_from_wire(delete.key, kind)?, options), services::WriteOptions::default()))
        }
    }
}

/// How to read a patch, as requests carry it.
#[must_use]
pub fn patch_kind_to_wire(kind: PatchKind) -> services::patch_request::Type {
    match kind {
        PatchKind::Json => services::patch_request::Type::Json,
        PatchKind::Merge => services::patch_request::Type::Merge,
        PatchKind::Strategic => services::patch_request::Type::Strategic,
    }
}

/// How to read a patch.
///
/// # Errors
/// If the request does not say.
pub fn patch_kind_from_wire(kind: services::patch_request::Type) -> Result<PatchKind, Error> {
    match kind {
        services::patch_request::Type::Json => Ok(PatchKind::Json),
        services::patch_request::Type::Merge => Ok(PatchKind::Merge),
        services::patch_request::Type::Strategic => Ok(PatchKind::Strategic),
        services::patch_request::Type::Unspecified => Err(Error::bad_request("type: use JSON, MERGE or STRATEGIC")),
    }
}

/// A change as watches carry it.
#[must_use]
pub fn change_to_wire(change: ChangeType, object: Carried, revision: Revision) -> services::WatchEvent {
    let r#type = match change {
        ChangeType::Added => services::watch_event::Type::Added,
        ChangeType::Modified => services::watch_event::Type::Modified,
        ChangeType::Deleted => services::watch_event::Type::Deleted,
    };
    services::WatchEvent {
        r#type: r#type.into(),
        object: Some(object),
        resource_version: revision.to_string(),
        initial_events_end: false,
    }
}
