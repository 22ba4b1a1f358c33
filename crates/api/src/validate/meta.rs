//! What holds for the metadata of every kind, and for labels and selectors wherever they stand.

use std::collections::BTreeMap;

use super::{
    causes::{Causes, Path},
    limits::{FINALIZERS_MAX, LABELS_MAX, OWNERS_MAX, TERM_VALUES_MAX, TERMS_MAX},
    names,
};
use crate::{
    Kind,
    meta_v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta, OwnerReference},
    well_known::{FOREGROUND_FINALIZER, ORPHAN_FINALIZER},
};

/// All keys and values of an object's annotations together, in bytes: Kubernetes' limit.
pub const ANNOTATIONS_BYTES_MAX: usize = 256 << 10;
/// Finalizers that need no domain before their name.
const STANDARD_FINALIZERS: [&str; 2] = [ORPHAN_FINALIZER, FOREGROUND_FINALIZER];

pub(crate) fn object(causes: &mut Causes, kind: Kind, meta: Option<&ObjectMeta>) {
    let at = Path::Root.field("metadata");
    let Some(meta) = meta else { return causes.required(&at, "name the object in metadata.name") };
    name(causes, kind, meta, &at);
    namespace(causes, kind, meta, &at);
    labels(causes, &meta.labels, &at.field("labels"));
    lists(causes, kind, Some(meta));
}

/// What also a write to a part of an object may bring.
pub(crate) fn lists(causes: &mut Causes, kind: Kind, meta: Option<&ObjectMeta>) {
    let Some(meta) = meta else { return };
    let at = Path::Root.field("metadata");
    annotations(causes, &meta.annotations, &at.field("annotations"));
    owners(causes, &meta.owner_references, &at.field("ownerReferences"));
    let at = at.field("finalizers");
    if matches!(kind, Kind::Custom(_) | Kind::CustomResourceDefinition) {
        finalizer_names(causes, &meta.finalizers, &at);
    } else {
        finalizers(causes, &meta.finalizers, &STANDARD_FINALIZERS, &at);
    }
}

fn name(causes: &mut Causes, kind: Kind, meta: &ObjectMeta, at: &Path<'_>) {
    let check = kind.name_syntax();
    if !meta.generate_name.is_empty() {
        // What follows the prefix is letters and digits, so one of them stands for all.
        for why in check(&format!("{}x", meta.generate_name)) {
            causes.invalid(&at.field("generateName"), &meta.generate_name, why);
        }
    }
    if !meta.name.is_empty() {
        causes.syntax(&at.field("name"), &meta.name, check);
    } else if meta.generate_name.is_empty() {
        causes.required(&at.field("name"), "name or generateName is required");
    }
}

fn namespace(causes: &mut Causes, kind: Kind, meta: &ObjectMeta, at: &Path<'_>) {
    let at = at.field("namespace");
    match (kind.info().namespaced, meta.namespace.is_empty()) {
        (true, true) => causes.required(&at, ""),
        (true, false) => causes.syntax(&at, &meta.namespace, names::dns_label),
        (false, false) => causes.forbidden(&at, format_args!("objects of kind {kind} have no namespace; leave it out")),
        (false, true) => {}
    }
}

pub(crate) fn labels(causes: &mut Causes, labels: &BTreeMap<String, String>, at: &Path<'_>) {
    if !causes.at_most(at, labels.len(), LABELS_MAX) {
        return;
    }
    for (key, value) in labels {
        causes.syntax(at, key, names::qualified);
        causes.syntax(&at.key(key), value, names::label_value);
    }
}

pub(crate) fn annotations(causes: &mut Causes, annotations: &BTreeMap<String, String>, at: &Path<'_>) {
    let bytes: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > ANNOTATIONS_BYTES_MAX {
        return causes.too_long(at, ANNOTATIONS_BYTES_MAX);
    }
    for key in annotations.keys() {
        // Capital letters are allowed even in the domain.
        for why in names::qualified(&key.to_ascii_lowercase()) {
            causes.invalid(at, key, why);
        }
    }
}

/// Names of what holds an object. Those that are not standard here say in a domain who takes them away.
pub(crate) fn finalizers(causes: &mut Causes, finalizers: &[String], standard: &[&str], at: &Path<'_>) {
    finalizer_names(causes, finalizers, at);
    for (index, name) in finalizers.iter().enumerate().take(FINALIZERS_MAX) {
        let at = at.index(index);
        if !name.contains('/') && !standard.contains(&name.as_str()) {
            causes.invalid(&at, name, "name is neither a standard finalizer name nor is it fully qualified");
        }
    }
}

/// As [`finalizers`], of kinds whose owners have used other names for long.
fn finalizer_names(causes: &mut Causes, finalizers: &[String], at: &Path<'_>) {
    if causes.at_most(at, finalizers.len(), FINALIZERS_MAX) {
        let each = finalizers.iter().enumerate();
        each.for_each(|(index, name)| causes.syntax(&at.index(index), name, names::qualified));
    }
}

fn owners(causes: &mut Causes, owners: &[OwnerReference], at: &Path<'_>) {
    if !causes.at_most(at, owners.len(), OWNERS_MAX) {
        return;
    }
    for (index, owner) in owners.iter().enumerate() {
        let at = at.index(index);
        for (field, value) in
            [("apiVersion", &owner.api_version), ("kind", &owner.kind), ("name", &owner.name), ("uid", &owner.uid)]
        {
            if value.is_empty() {
                causes.required(&at.field(field), "must not be empty");
            }
        }
        if Kind::from_api_version(&owner.api_version, &owner.kind) == Some(Kind::Event) {
            causes.invalid(&at, &owner.kind, "is disallowed from being an owner");
        }
    }
    let mut controllers = owners.iter().filter(|owner| owner.controller == Some(true));
    if let (Some(first), Some(second)) = (controllers.next(), controllers.next()) {
        let names = [&first.name, &second.name];
        causes.invalid(at, names, "only one reference can have controller set to true");
    }
}

/// A selector over labels. `None` is for the caller to judge.
pub(crate) fn selector(causes: &mut Causes, selector: &LabelSelector, at: &Path<'_>) {
    labels(causes, &selector.match_labels, &at.field("matchLabels"));
    let at = at.field("matchExpressions");
    if !causes.at_most(&at, selector.match_expressions.len(), TERMS_MAX) {
        return;
    }
    for (index, expression) in selector.match_expressions.iter().enumerate() {
        let at = at.index(index);
        requirement(causes, expression, &at);
        causes.one_of(&at.field("operator"), &expression.operator, &OPERATORS);
    }
}

/// How a requirement compares.
pub(crate) const OPERATORS: [&str; 4] = ["In", "NotIn", "Exists", "DoesNotExist"];

/// A requirement on a label. Whether there is such an operator is for the caller to judge.
pub(crate) fn requirement(causes: &mut Causes, requirement: &LabelSelectorRequirement, at: &Path<'_>) {
    let LabelSelectorRequirement { key, operator, values } = requirement;
    causes.required_syntax(&at.field("key"), key, names::qualified);
    let at = at.field("values");
    if operands(causes, operator, values, &at) {
        let each = values.iter().enumerate();
        each.for_each(|(index, value)| causes.syntax(&at.index(index), value, names::label_value));
    }
}

/// What an operator compares with, if it is one. Returns whether there are few enough to be looked at.
pub(crate) fn operands(causes: &mut Causes, operator: &str, values: &[String], at: &Path<'_>) -> bool {
    match operator {
        "In" | "NotIn" if values.is_empty() => {
            causes.required(at, "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            causes.forbidden(at, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        _ => {}
    }
    causes.at_most(at, values.len(), TERM_VALUES_MAX)
}

/// What may not change in the metadata of an existing object. What the new one leaves out is not a change.
pub(crate) fn update(causes: &mut Causes, old: Option<&ObjectMeta>, new: Option<&ObjectMeta>) {
    let (Some(old), Some(new)) = (old, new) else { return };
    let at = Path::Root.field("metadata");
    for (field, old, new) in
        [("name", &old.name, &new.name), ("namespace", &old.namespace, &new.namespace), ("uid", &old.uid, &new.uid)]
    {
        if !new.is_empty() && !old.is_empty() && old != new {
            causes.invalid(&at.field(field), new, "field is immutable");
        }
    }
    if new.creation_timestamp.is_some() && old.creation_timestamp.is_some_and(|old| new.creation_timestamp != Some(old))
    {
        let time = new.creation_timestamp.as_ref().map(|time| crate::Timestamp::from(time).to_string());
        causes.invalid(&at.field("creationTimestamp"), time.unwrap_or_default(), "field is immutable");
    }
    // Who learns late of a deletion must not be able to put it off.
    let added = new.finalizers.iter().any(|name| !old.finalizers.contains(name));
    if old.deletion_timestamp.is_some() && added {
        causes.forbidden(&at.field("finalizers"), "no new finalizers can be added if the object is being deleted");
    }
}
