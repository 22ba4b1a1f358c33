//! Deployments and ReplicaSets.

use super::{
    causes::{Causes, Path},
    limits::CONDITIONS_MAX,
    meta, pod,
};
use crate::{
    Object,
    apps_v1::{Deployment, DeploymentSpec, DeploymentStrategy, ReplicaSet, RollingUpdateDeployment},
    core_v1::PodTemplateSpec,
    int_or_string::Value,
    meta_v1::{IntOrString, LabelSelector},
    selector::{Labels, print},
};

pub(super) fn deployment(causes: &mut Causes, deployment: &Deployment) {
    let at = Path::Root.field("spec");
    let Some(spec) = &deployment.spec else { return causes.required(&at, "") };
    numbers(
        causes,
        &at,
        [
            ("replicas", spec.replicas),
            ("minReadySeconds", Some(spec.min_ready_seconds)),
            ("revisionHistoryLimit", spec.revision_history_limit),
            ("progressDeadlineSeconds", spec.progress_deadline_seconds),
        ],
    );
    selector(causes, spec.selector.as_ref(), "deployment", &at.field("selector"));
    template(causes, spec.template.as_ref(), spec.selector.as_ref(), &at.field("template"));
    strategy(causes, spec.strategy.as_ref(), &at.field("strategy"));
    deadline(causes, spec, &at);
}

pub(super) fn replica_set(causes: &mut Causes, set: &ReplicaSet) {
    let at = Path::Root.field("spec");
    let Some(spec) = &set.spec else { return causes.required(&at, "") };
    numbers(causes, &at, [("replicas", spec.replicas), ("minReadySeconds", Some(spec.min_ready_seconds))]);
    selector(causes, spec.selector.as_ref(), "replicaset", &at.field("selector"));
    template(causes, spec.template.as_ref(), spec.selector.as_ref(), &at.field("template"));
}

/// What a write to the scale of a workload may say.
pub(super) fn replicas(causes: &mut Causes, object: &Object) {
    let replicas = match object {
        Object::Deployment(deployment) => deployment.spec.as_ref().and_then(|spec| spec.replicas),
        Object::ReplicaSet(set) => set.spec.as_ref().and_then(|spec| spec.replicas),
        other => {
            let why = format!("objects of kind {} have no scale", other.kind());
            return causes.forbidden(&Path::Root.field("spec"), why);
        }
    };
    numbers(causes, &Path::Root.field("spec"), [("replicas", replicas)]);
}

/// What a controller may report.
pub(super) fn status(causes: &mut Causes, object: &Object) {
    let at = Path::Root.field("status");
    if let Some(status) = object.get::<Deployment>().and_then(|deployment| deployment.status.as_ref()) {
        let counts = [
            ("replicas", Some(status.replicas)),
            ("updatedReplicas", Some(status.updated_replicas)),
            ("readyReplicas", Some(status.ready_replicas)),
            ("availableReplicas", Some(status.available_replicas)),
            ("unavailableReplicas", Some(status.unavailable_replicas)),
        ];
        numbers(causes, &at, counts);
        causes.at_most(&at.field("conditions"), status.conditions.len(), CONDITIONS_MAX);
    }
    if let Some(status) = object.get::<ReplicaSet>().and_then(|set| set.status.as_ref()) {
        let counts = [
            ("replicas", Some(status.replicas)),
            ("fullyLabeledReplicas", Some(status.fully_labeled_replicas)),
            ("readyReplicas", Some(status.ready_replicas)),
            ("availableReplicas", Some(status.available_replicas)),
        ];
        numbers(causes, &at, counts);
        causes.at_most(&at.field("conditions"), status.conditions.len(), CONDITIONS_MAX);
    }
}

fn numbers<const N: usize>(causes: &mut Causes, at: &Path<'_>, fields: [(&'static str, Option<i32>); N]) {
    for (field, value) in fields {
        causes.not_negative(&at.field(field), value.unwrap_or(0).into());
    }
}

fn selector(causes: &mut Causes, selector: Option<&LabelSelector>, kind: &str, at: &Path<'_>) {
    let Some(selector) = selector else { return causes.required(at, "") };
    meta::selector(causes, selector, at);
    if selector.match_labels.is_empty() && selector.match_expressions.is_empty() {
        causes.invalid(at, "", format_args!("empty selector is invalid for {kind}"));
    }
}

fn template(causes: &mut Causes, template: Option<&PodTemplateSpec>, selector: Option<&LabelSelector>, at: &Path<'_>) {
    let Some(template) = template else { return causes.required(at, "") };
    let none = std::collections::BTreeMap::new();
    let meta = template.metadata.as_ref();
    let labels = meta.map_or(&none, |meta| &meta.labels);
    let metadata = at.field("metadata");
    meta::labels(causes, labels, &metadata.field("labels"));
    meta::annotations(causes, meta.map_or(&none, |meta| &meta.annotations), &metadata.field("annotations"));
    if let Some(Ok(selector)) = selector.map(Labels::from_selector)
        && !selector.is_everything()
        && !selector.matches(labels)
    {
        let why = format!("`selector` does not match template `labels`; the selector is {selector}");
        causes.invalid(&metadata.field("labels"), labels, why);
    }
    let at = at.field("spec");
    let Some(spec) = &template.spec else { return causes.required(&at, "") };
    pod::spec(causes, spec, &at);
    if matches!(spec.restart_policy.as_str(), "OnFailure" | "Never") {
        causes.unsupported(&at.field("restartPolicy"), &spec.restart_policy, &["Always"]);
    }
    if spec.active_deadline_seconds.is_some() {
        causes.forbidden(&at.field("activeDeadlineSeconds"), "not supported where Pods are replaced when they end");
    }
}

fn strategy(causes: &mut Causes, strategy: Option<&DeploymentStrategy>, at: &Path<'_>) {
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

pub(super) fn update_deployment(causes: &mut Causes, old: &Deployment, new: &Deployment) {
    let (Some(old), Some(new)) = (&old.spec, &new.spec) else { return };
    immutable_selector(causes, old.selector.as_ref(), new.selector.as_ref());
}

pub(super) fn update_replica_set(causes: &mut Causes, old: &ReplicaSet, new: &ReplicaSet) {
    let (Some(old), Some(new)) = (&old.spec, &new.spec) else { return };
    immutable_selector(causes, old.selector.as_ref(), new.selector.as_ref());
}

fn immutable_selector(causes: &mut Causes, old: Option<&LabelSelector>, new: Option<&LabelSelector>) {
    if new.is_some() && old != new {
        let at = Path::Root.field("spec");
        let why = "field is immutable; delete the object and create it anew, or choose another name";
        causes.invalid(&at.field("selector"), print(new), why);
    }
}
