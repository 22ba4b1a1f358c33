//! ReplicationControllers.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    Subresource, Timestamp,
    core_v1::{ReplicationController, ReplicationControllerSpec},
    defaults::{self, REPLICAS},
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    meta_v1::LabelSelector,
    selector::{self, Field, Labels},
    table::{self, Cell, Column, Common, Counts, columns::REPLICA_COLUMNS},
    validate::{
        Causes, Path,
        limits::CONDITIONS_MAX,
        meta,
        names::{self, Syntax},
        workload,
    },
    warnings::Warnings,
};

static FIELDS: &[Field<ReplicationController>] = selector::selectable! { controller: ReplicationController;
    "status.replicas" => Some(controller.status.as_ref().map_or(0, |status| status.replicas).to_string().into());
};

const SAMPLE: &str = "\
apiVersion: v1
kind: ReplicationController
metadata:
  name: hello
  namespace: default
spec:
  replicas: 3
  selector: {app: hello}
  template:
    metadata:
      labels: {app: hello}
    spec:
      containers:
      - name: hello
        image: registry.example.com/hello:v1
";

pub(crate) struct ReplicationControllerStrategy;

impl Strategy for ReplicationControllerStrategy {
    type Object = ReplicationController;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, controller: &mut ReplicationController) {
        let spec = controller.spec.get_or_insert_default();
        spec.replicas.get_or_insert(REPLICAS);
        defaults::template(spec.template.as_mut());
        let labels = spec.template.as_ref().and_then(|template| template.metadata.as_ref()).map(|meta| &meta.labels);
        let Some(labels) = labels.filter(|labels| !labels.is_empty()) else { return };
        if spec.selector.is_empty() {
            spec.selector.clone_from(labels);
        }
        let own = &mut controller.metadata.get_or_insert_default().labels;
        if own.is_empty() {
            own.clone_from(labels);
        }
    }

    fn validate(&self, causes: &mut Causes, controller: &ReplicationController) {
        validate(causes, controller);
    }

    fn validate_update(&self, _: &mut Causes, _: &ReplicationController, _: &ReplicationController) {}

    fn validate_status(&self, causes: &mut Causes, controller: &ReplicationController) {
        let Some(status) = &controller.status else { return };
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

    fn warn(&self, warnings: &mut Warnings, controller: &ReplicationController) {
        warnings.template(controller.spec.as_ref().and_then(|spec| spec.template.as_ref()));
    }

    fn prepare_for_create(&self, controller: &mut ReplicationController) {
        controller.status = Some(Default::default());
    }

    fn prepare_for_update(&self, new: &mut ReplicationController, old: &ReplicationController) {
        new.status.clone_from(&old.status);
    }

    fn update_status(&self, controller: &mut ReplicationController, sent: &ReplicationController) {
        controller.status.clone_from(&sent.status);
    }

    fn scale(&self, controller: &ReplicationController) -> Option<Scale> {
        let spec = controller.spec.as_ref();
        Some(Scale {
            wanted: spec.and_then(|spec| spec.replicas),
            present: controller.status.as_ref().map_or(0, |status| status.replicas),
            selector: spec.map(|spec| Labels::from_map(&spec.selector).to_string()).unwrap_or_default(),
        })
    }

    fn set_replicas(&self, controller: &mut ReplicationController, replicas: i32) {
        controller.spec.get_or_insert_default().replicas = Some(replicas);
    }

    fn is_new_generation(
        &self,
        old: Option<&ReplicationController>,
        new: &ReplicationController,
        _: Subresource,
    ) -> bool {
        old.is_none_or(|old| old.spec != new.spec)
    }

    fn allocation<'a>(&self, _: &'a mut ReplicationController) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &ReplicationController) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(
        &self,
        controller: &mut ReplicationController,
        _: Option<i64>,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        deletion::mark_now(&mut controller.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &ReplicationController) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        REPLICA_COLUMNS
    }

    fn row(&self, controller: &ReplicationController, common: Common, _: Timestamp) -> Vec<Cell> {
        row(controller, common)
    }

    fn fields(&self) -> Vec<&str> {
        selector::paths(FIELDS)
    }

    fn field<'a>(&self, controller: &'a ReplicationController, index: usize) -> Cow<'a, str> {
        selector::read(FIELDS, index, controller)
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}

fn validate(causes: &mut Causes, controller: &ReplicationController) {
    let at = Path::Root.field("spec");
    let Some(spec) = &controller.spec else { return causes.required(&at, "") };
    workload::numbers(causes, &at, [("replicas", spec.replicas), ("minReadySeconds", Some(spec.min_ready_seconds))]);
    if spec.selector.is_empty() {
        causes.required(&at.field("selector"), "");
    }
    meta::labels(causes, &spec.selector, &at.field("selector"));
    workload::template(causes, spec.template.as_ref(), Some(&by_labels(&spec.selector)), &at.field("template"));
}

/// The selector of Pods with these labels among others, as newer kinds write it.
fn by_labels(labels: &BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: labels.clone(), match_expressions: Vec::new() }
}

fn row(controller: &ReplicationController, common: Common) -> Vec<Cell> {
    let none = ReplicationControllerSpec::default();
    let spec = controller.spec.as_ref().unwrap_or(&none);
    let status = controller.status.clone().unwrap_or_default();
    let counts = Counts { wanted: spec.replicas.unwrap_or(1), present: status.replicas, ready: status.ready_replicas };
    table::replicas(common, counts, spec.template.as_ref(), Some(&by_labels(&spec.selector)))
}
