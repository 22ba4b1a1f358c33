//! Namespaces.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    Subresource, Timestamp,
    core_v1::Namespace,
    defaults,
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    selector::{self, Field},
    table::{
        Cell, Column, Common,
        columns::{AGE, NAME, text},
    },
    validate::{
        Causes, Path,
        limits::CONDITIONS_MAX,
        meta,
        names::{self, Syntax},
    },
    warnings::Warnings,
    well_known::{NAMESPACE_NAME_LABEL, NAMESPACES},
};

/// What keeps a Namespace in `spec.finalizers` until it is empty.
const FINALIZER: &str = "kubernetes";

const ACTIVE: &str = "Active";
const TERMINATING: &str = "Terminating";

const COLUMNS: &[Column] = &[NAME, text("Status", "Active, or Terminating while its objects are deleted."), AGE];

static FIELDS: &[Field<Namespace>] = selector::selectable! { namespace: Namespace;
    "status.phase" => Some(namespace.status.as_ref()?.phase.as_str().into());
};

const SAMPLE: &str = "\
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {team: shop}
";

pub(crate) struct NamespaceStrategy;

impl Strategy for NamespaceStrategy {
    type Object = Namespace;

    fn name_syntax(&self) -> Syntax {
        names::dns_label
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, namespace: &mut Namespace) {
        apply_defaults(namespace);
    }

    fn validate(&self, causes: &mut Causes, namespace: &Namespace) {
        validate_finalizers(causes, namespace);
    }

    fn validate_update(&self, _: &mut Causes, _: &Namespace, _: &Namespace) {}

    fn validate_status(&self, causes: &mut Causes, namespace: &Namespace) {
        let count = namespace.status.as_ref().map_or(0, |status| status.conditions.len());
        causes.at_most(&Path::Root.field("status").field("conditions"), count, CONDITIONS_MAX);
    }

    fn warn(&self, _: &mut Warnings, _: &Namespace) {}

    fn prepare_for_create(&self, namespace: &mut Namespace) {
        namespace.status = None;
    }

    /// The spec has nothing but finalizers, which have a part of their own.
    fn prepare_for_update(&self, new: &mut Namespace, old: &Namespace) {
        new.spec.clone_from(&old.spec);
        new.status.clone_from(&old.status);
    }

    /// Kubernetes lets whoever reports on a Namespace annotate it in the same write.
    fn update_status(&self, namespace: &mut Namespace, sent: &Namespace) {
        let annotations = sent.metadata.as_ref().map(|meta| meta.annotations.clone()).unwrap_or_default();
        namespace.metadata.get_or_insert_default().annotations = annotations;
        namespace.status.clone_from(&sent.status);
    }

    fn scale(&self, _: &Namespace) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut Namespace, _: i32) {}

    fn is_new_generation(&self, _: Option<&Namespace>, _: &Namespace, _: Subresource) -> bool {
        false
    }

    fn allocation<'a>(&self, _: &'a mut Namespace) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &Namespace) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(&self, namespace: &mut Namespace, _: Option<i64>, now: Timestamp) -> Result<(), &'static str> {
        if namespace.metadata.as_ref().is_some_and(|meta| NAMESPACES.contains(&meta.name.as_str())) {
            return Err("this namespace may not be deleted");
        }
        deletion::mark_now(&mut namespace.metadata, now);
        TERMINATING.clone_into(&mut namespace.status.get_or_insert_default().phase);
        Ok(())
    }

    /// Its controller empties it first.
    fn is_held(&self, namespace: &Namespace) -> bool {
        namespace.spec.as_ref().is_some_and(|spec| !spec.finalizers.is_empty())
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, namespace: &Namespace, common: Common, _: Timestamp) -> Vec<Cell> {
        let phase = namespace.status.as_ref().map_or("", |status| &status.phase);
        vec![common.name, phase.into(), common.age]
    }

    fn fields(&self) -> Vec<&str> {
        selector::paths(FIELDS)
    }

    fn field<'a>(&self, namespace: &'a Namespace, index: usize) -> Cow<'a, str> {
        selector::read(FIELDS, index, namespace)
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}

fn apply_defaults(namespace: &mut Namespace) {
    let meta = namespace.metadata.get_or_insert_default();
    if !meta.name.is_empty() {
        meta.labels.insert(NAMESPACE_NAME_LABEL.to_owned(), meta.name.clone());
    }
    let going = meta.deletion_timestamp.is_some();
    let spec = namespace.spec.get_or_insert_default();
    if spec.finalizers.is_empty() && !going {
        spec.finalizers.push(FINALIZER.to_owned());
    }
    let phase = if going { TERMINATING } else { ACTIVE };
    defaults::text(&mut namespace.status.get_or_insert_default().phase, phase);
}

/// What `spec.finalizers` may say.
pub(crate) fn validate_finalizers(causes: &mut Causes, namespace: &Namespace) {
    let at = Path::Root.field("spec");
    let at = at.field("finalizers");
    let finalizers = namespace.spec.as_ref().map(|spec| spec.finalizers.as_slice()).unwrap_or_default();
    meta::finalizers(causes, finalizers, &[FINALIZER], &at);
}

/// What the part `finalize` does: it says anew what the Namespace waits for.
#[must_use]
pub fn finalize(old: &Namespace, sent: &Namespace) -> Namespace {
    let mut new = old.clone();
    new.spec.get_or_insert_default().finalizers = sent.spec.clone().unwrap_or_default().finalizers;
    new
}
