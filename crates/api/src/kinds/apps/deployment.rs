//! Deployments.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    Subresource, Timestamp,
    apps_v1::{self, Deployment, DeploymentSpec, RollingUpdateDeployment},
    defaults::{self, REPLICAS},
    int_or_string::Value,
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    meta_v1::IntOrString,
    selector::print,
    table::{
        self, Cell, Column, Common,
        columns::{AGE, CONTAINERS, IMAGES, NAME, SELECTOR, integer, text},
    },
    validate::{
        Causes, Path,
        limits::CONDITIONS_MAX,
        names::{self, Syntax},
        workload,
    },
    warnings::Warnings,
};

/// How many old ReplicaSets stay for `rollout undo`, if nobody says.
pub const REVISION_HISTORY_LIMIT: i32 = 10;
/// After how many seconds without progress a rollout is reported as failed, if nobody says.
pub const PROGRESS_DEADLINE_SECONDS: i32 = 600;
/// How far a rolling update may go above and below the wanted number.
const ROLLING_UPDATE_STEP: &str = "25%";

const COLUMNS: &[Column] = &[
    NAME,
    text("Ready", "How many of the wanted Pods are ready."),
    integer("Up-to-date", "How many Pods are made from the current template."),
    integer("Available", "How many Pods have been ready for long enough."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

const SAMPLE: &str = "\
apiVersion: apps/v1
kind: Deployment
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
        ports:
        - containerPort: 8080
";

pub(crate) struct DeploymentStrategy;

impl Strategy for DeploymentStrategy {
    type Object = Deployment;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, deployment: &mut Deployment) {
        apply_defaults(deployment);
    }

    fn validate(&self, causes: &mut Causes, deployment: &Deployment) {
        validate(causes, deployment);
    }

    fn validate_update(&self, causes: &mut Causes, old: &Deployment, new: &Deployment) {
        let (Some(old), Some(new)) = (&old.spec, &new.spec) else { return };
        workload::immutable_selector(causes, old.selector.as_ref(), new.selector.as_ref());
    }

    fn validate_status(&self, causes: &mut Causes, deployment: &Deployment) {
        let Some(status) = &deployment.status else { return };
        let at = Path::Root.field("status");
        let counts = [
            ("replicas", Some(status.replicas)),
            ("updatedReplicas", Some(status.updated_replicas)),
            ("readyReplicas", Some(status.ready_replicas)),
            ("availableReplicas", Some(status.available_replicas)),
            ("unavailableReplicas", Some(status.unavailable_replicas)),
        ];
        workload::numbers(causes, &at, counts);
        causes.at_most(&at.field("conditions"), status.conditions.len(), CONDITIONS_MAX);
    }

    fn warn(&self, warnings: &mut Warnings, deployment: &Deployment) {
        warnings.template(deployment.spec.as_ref().and_then(|spec| spec.template.as_ref()));
    }

    fn prepare_for_create(&self, deployment: &mut Deployment) {
        deployment.status = Some(Default::default());
    }

    fn prepare_for_update(&self, new: &mut Deployment, old: &Deployment) {
        new.status.clone_from(&old.status);
    }

    /// Its controller keeps a number in the annotations, which would count as a change of what is wanted if it came another way.
    fn update_status(&self, deployment: &mut Deployment, sent: &Deployment) {
        let annotations = sent.metadata.as_ref().map(|meta| meta.annotations.clone()).unwrap_or_default();
        deployment.metadata.get_or_insert_default().annotations = annotations;
        deployment.status.clone_from(&sent.status);
    }

    fn scale(&self, deployment: &Deployment) -> Option<Scale> {
        let spec = deployment.spec.as_ref();
        let selector = spec.and_then(|spec| spec.selector.as_ref());
        Some(Scale {
            wanted: spec.and_then(|spec| spec.replicas),
            present: deployment.status.as_ref().map_or(0, |status| status.replicas),
            selector: selector.map(|selector| print(Some(selector))).unwrap_or_default(),
        })
    }

    fn set_replicas(&self, deployment: &mut Deployment, replicas: i32) {
        deployment.spec.get_or_insert_default().replicas = Some(replicas);
    }

    /// Annotations count as what is wanted, since its ReplicaSets have them too. Kubernetes' rule, and of Deployments only.
    fn is_new_generation(&self, old: Option<&Deployment>, new: &Deployment, part: Subresource) -> bool {
        let Some(old) = old else { return true };
        let annotated = part == Subresource::None && annotations(old) != annotations(new);
        annotated || old.spec != new.spec
    }

    fn allocation<'a>(&self, _: &'a mut Deployment) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &Deployment) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(
        &self,
        deployment: &mut Deployment,
        _: Option<i64>,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        deletion::mark_now(&mut deployment.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &Deployment) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, deployment: &Deployment, common: Common, _: Timestamp) -> Vec<Cell> {
        row(deployment, common)
    }

    fn fields(&self) -> Vec<&str> {
        Vec::new()
    }

    fn field<'a>(&self, _: &'a Deployment, _: usize) -> Cow<'a, str> {
        Cow::default()
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}

fn apply_defaults(deployment: &mut Deployment) {
    let spec = deployment.spec.get_or_insert_default();
    spec.replicas.get_or_insert(REPLICAS);
    spec.revision_history_limit.get_or_insert(REVISION_HISTORY_LIMIT);
    spec.progress_deadline_seconds.get_or_insert(PROGRESS_DEADLINE_SECONDS);
    let strategy = spec.strategy.get_or_insert_default();
    defaults::text(&mut strategy.r#type, "RollingUpdate");
    if strategy.r#type == "RollingUpdate" {
        let update = strategy.rolling_update.get_or_insert_default();
        update.max_surge.get_or_insert_with(|| IntOrString::text(ROLLING_UPDATE_STEP));
        update.max_unavailable.get_or_insert_with(|| IntOrString::text(ROLLING_UPDATE_STEP));
    }
    defaults::template(spec.template.as_mut());
}

fn validate(causes: &mut Causes, deployment: &Deployment) {
    let at = Path::Root.field("spec");
    let Some(spec) = &deployment.spec else { return causes.required(&at, "") };
    workload::numbers(
        causes,
        &at,
        [
            ("replicas", spec.replicas),
            ("minReadySeconds", Some(spec.min_ready_seconds)),
            ("revisionHistoryLimit", spec.revision_history_limit),
            ("progressDeadlineSeconds", spec.progress_deadline_seconds),
        ],
    );
    workload::selector(causes, spec.selector.as_ref(), "deployment", &at.field("selector"));
    workload::template(causes, spec.template.as_ref(), spec.selector.as_ref(), &at.field("template"));
    strategy(causes, spec.strategy.as_ref(), &at.field("strategy"));
    deadline(causes, spec, &at);
}

fn strategy(causes: &mut Causes, strategy: Option<&apps_v1::DeploymentStrategy>, at: &Path<'_>) {
    let Some(strategy) = strategy else { return causes.required(at, "") };
    causes.required_one_of(&at.field("type"), &strategy.r#type, &["Recreate", "RollingUpdate"]);
    let rolling = at.field("rollingUpdate");
    match (strategy.r#type.as_str(), &strategy.rolling_update) {
        ("Recreate", Some(_)) => {
            causes.forbidden(&rolling, "may not be specified when strategy `type` is 'Recreate'");
        }
        ("RollingUpdate", Some(update)) => rolling_update(causes, update, &rolling),
        ("RollingUpdate", None) => causes.required(&rolling, "this should be defaulted and never be nil"),
        _ => {}
    }
}

fn rolling_update(causes: &mut Causes, update: &RollingUpdateDeployment, at: &Path<'_>) {
    let unavailable = at.field("maxUnavailable");
    step(causes, update.max_surge.as_ref(), &at.field("maxSurge"));
    step(causes, update.max_unavailable.as_ref(), &unavailable);
    let zero = |step: Option<&IntOrString>| {
        step.is_some_and(|step| step.value() == Value::Int(0) || step.percent() == Some(0))
    };
    if zero(update.max_surge.as_ref()) && zero(update.max_unavailable.as_ref()) {
        causes.invalid(&unavailable, 0, "may not be 0 when `maxSurge` is 0");
    }
    if let Some(percent @ 101..) = update.max_unavailable.as_ref().and_then(IntOrString::percent) {
        causes.invalid(&unavailable, format!("{percent}%"), "must not be greater than 100%");
    }
}

fn step(causes: &mut Causes, step: Option<&IntOrString>, at: &Path<'_>) {
    let Some(step) = step else { return };
    match step.value() {
        Value::Int(number) => causes.not_negative(at, number.into()),
        Value::Text(text) if step.percent().is_none() => {
            let why = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '25%')";
            causes.invalid(at, text, why);
        }
        Value::Text(_) => {}
    }
}

fn deadline(causes: &mut Causes, spec: &DeploymentSpec, at: &Path<'_>) {
    if let Some(seconds) = spec.progress_deadline_seconds.filter(|seconds| *seconds <= spec.min_ready_seconds) {
        causes.invalid(&at.field("progressDeadlineSeconds"), seconds, "must be greater than minReadySeconds");
    }
}

fn row(deployment: &Deployment, common: Common) -> Vec<Cell> {
    let none = DeploymentSpec::default();
    let spec = deployment.spec.as_ref().unwrap_or(&none);
    let status = deployment.status.clone().unwrap_or_default();
    let mut row = vec![
        common.name,
        format!("{}/{}", status.ready_replicas, spec.replicas.unwrap_or(1)).into(),
        status.updated_replicas.into(),
        status.available_replicas.into(),
        common.age,
    ];
    row.extend(table::workload(spec.template.as_ref(), spec.selector.as_ref()));
    row
}

fn annotations(deployment: &Deployment) -> Option<&BTreeMap<String, String>> {
    deployment.metadata.as_ref().map(|meta| &meta.annotations).filter(|annotations| !annotations.is_empty())
}
