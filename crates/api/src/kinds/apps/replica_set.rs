//! ReplicaSets.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    Subresource, Timestamp,
    apps_v1::{ReplicaSet, ReplicaSetSpec},
    defaults::{self, REPLICAS},
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    selector::{self, Field, print},
    table::{self, Cell, Column, Common, Counts, columns::REPLICA_COLUMNS},
    validate::{
        Causes, Path,
        limits::CONDITIONS_MAX,
        names::{self, Syntax},
        workload,
    },
    warnings::Warnings,
};

static FIELDS: &[Field<ReplicaSet>] = selector::selectable! { set: ReplicaSet;
    "status.replicas" => Some(set.status.as_ref().map_or(0, |status| status.replicas).to_string().into());
};

const SAMPLE: &str = "\
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: hello
  namespace: default
spec:
  replicas: 3
  selector:
    matchLabels: {app: hello}
  template:
    metadata:
      labels: {app: hello}
    spec:
      containers:
      - name: hello
        image: registry.example.com/hello:v1
";

pub(crate) struct ReplicaSetStrategy;

impl Strategy for ReplicaSetStrategy {
    type Object = ReplicaSet;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, set: &mut ReplicaSet) {
        let spec = set.spec.get_or_insert_default();
        spec.replicas.get_or_insert(REPLICAS);
        defaults::template(spec.template.as_mut());
    }

    fn validate(&self, causes: &mut Causes, set: &ReplicaSet) {
        validate(causes, set);
    }

    fn validate_update(&self, causes: &mut Causes, old: &ReplicaSet, new: &ReplicaSet) {
        let (Some(old), Some(new)) = (&old.spec, &new.spec) else { return };
        workload::immutable_selector(causes, old.selector.as_ref(), new.selector.as_ref());
    }

    fn validate_status(&self, causes: &mut Causes, set: &ReplicaSet) {
        let Some(status) = &set.status else { return };
        let at = Path::Root.field("status");
        let counts = [
            ("replicas", Some(status.replicas)),
            ("fullyLabeledReplicas", Some(status.fully_labeled_replicas)),
            ("readyReplicas", Some(status.ready_replicas)),
            ("availableReplicas", Some(status.available_replicas)),
        ];
        workload::numbers(causes, &at, counts);
        causes.at_most(&at.field("conditions"), status.conditions.len(), CONDITIONS_MAX);
    }

    fn warn(&self, warnings: &mut Warnings, set: &ReplicaSet) {
        warnings.template(set.spec.as_ref().and_then(|spec| spec.template.as_ref()));
    }

    fn prepare_for_create(&self, set: &mut ReplicaSet) {
        set.status = Some(Default::default());
    }

    fn prepare_for_update(&self, new: &mut ReplicaSet, old: &ReplicaSet) {
        new.status.clone_from(&old.status);
    }

    fn update_status(&self, set: &mut ReplicaSet, sent: &ReplicaSet) {
        set.status.clone_from(&sent.status);
    }

    fn scale(&self, set: &ReplicaSet) -> Option<Scale> {
        let spec = set.spec.as_ref();
        let selector = spec.and_then(|spec| spec.selector.as_ref());
        Some(Scale {
            wanted: spec.and_then(|spec| spec.replicas),
            present: set.status.as_ref().map_or(0, |status| status.replicas),
            selector: selector.map(|selector| print(Some(selector))).unwrap_or_default(),
        })
    }

    fn set_replicas(&self, set: &mut ReplicaSet, replicas: i32) {
        set.spec.get_or_insert_default().replicas = Some(replicas);
    }

    fn is_new_generation(&self, old: Option<&ReplicaSet>, new: &ReplicaSet, _: Subresource) -> bool {
        old.is_none_or(|old| old.spec != new.spec)
    }

    fn allocation<'a>(&self, _: &'a mut ReplicaSet) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &ReplicaSet) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(&self, set: &mut ReplicaSet, _: Option<i64>, now: Timestamp) -> Result<(), &'static str> {
        deletion::mark_now(&mut set.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &ReplicaSet) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        REPLICA_COLUMNS
    }

    fn row(&self, set: &ReplicaSet, common: Common, _: Timestamp) -> Vec<Cell> {
        row(set, common)
    }

    fn fields(&self) -> Vec<&str> {
        selector::paths(FIELDS)
    }

    fn field<'a>(&self, set: &'a ReplicaSet, index: usize) -> Cow<'a, str> {
        selector::read(FIELDS, index, set)
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}

fn validate(causes: &mut Causes, set: &ReplicaSet) {
    let at = Path::Root.field("spec");
    let Some(spec) = &set.spec else { return causes.required(&at, "") };
    workload::numbers(causes, &at, [("replicas", spec.replicas), ("minReadySeconds", Some(spec.min_ready_seconds))]);
    workload::selector(causes, spec.selector.as_ref(), "replicaset", &at.field("selector"));
    workload::template(causes, spec.template.as_ref(), spec.selector.as_ref(), &at.field("template"));
}

fn row(set: &ReplicaSet, common: Common) -> Vec<Cell> {
    let none = ReplicaSetSpec::default();
    let spec = set.spec.as_ref().unwrap_or(&none);
    let status = set.status.clone().unwrap_or_default();
    let counts = Counts { wanted: spec.replicas.unwrap_or(1), present: status.replicas, ready: status.ready_replicas };
    table::replicas(common, counts, spec.template.as_ref(), spec.selector.as_ref())
}
