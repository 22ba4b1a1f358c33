//! What kinds that make Pods from a template have in common.

use super::{
    causes::{Causes, Path},
    meta, pod,
};
use crate::{
    core_v1::PodTemplateSpec,
    meta_v1::LabelSelector,
    selector::{Labels, print},
};

pub(crate) fn numbers<const N: usize>(causes: &mut Causes, at: &Path<'_>, fields: [(&'static str, Option<i32>); N]) {
    for (field, value) in fields {
        causes.not_negative(&at.field(field), value.unwrap_or(0).into());
    }
}

pub(crate) fn selector(causes: &mut Causes, selector: Option<&LabelSelector>, kind: &str, at: &Path<'_>) {
    let Some(selector) = selector else { return causes.required(at, "") };
    meta::selector(causes, selector, at);
    if selector.match_labels.is_empty() && selector.match_expressions.is_empty() {
        causes.invalid(at, "", format_args!("empty selector is invalid for {kind}"));
    }
}

/// A template of Pods that are replaced when they end, and are found by `selector`.
pub(crate) fn template(
    causes: &mut Causes,
    template: Option<&PodTemplateSpec>,
    selector: Option<&LabelSelector>,
    at: &Path<'_>,
) {
    any_template(causes, template, at);
    let Some(template) = template else { return };
    let none = std::collections::BTreeMap::new();
    let labels = template.metadata.as_ref().map_or(&none, |meta| &meta.labels);
    if let Some(Ok(selector)) = selector.map(Labels::from_selector)
        && !selector.is_everything()
        && !selector.matches(labels)
    {
        let why = format!("`selector` does not match template `labels`; the selector is {selector}");
        causes.invalid(&at.field("metadata").field("labels"), labels, why);
    }
    let at = at.field("spec");
    let Some(spec) = &template.spec else { return };
    if matches!(spec.restart_policy.as_str(), "OnFailure" | "Never") {
        causes.unsupported(&at.field("restartPolicy"), &spec.restart_policy, &["Always"]);
    }
    if spec.active_deadline_seconds.is_some() {
        causes.forbidden(&at.field("activeDeadlineSeconds"), "not supported where Pods are replaced when they end");
    }
}

/// A template of any Pods.
pub(crate) fn any_template(causes: &mut Causes, template: Option<&PodTemplateSpec>, at: &Path<'_>) {
    let Some(template) = template else { return causes.required(at, "") };
    let none = std::collections::BTreeMap::new();
    let meta = template.metadata.as_ref();
    let metadata = at.field("metadata");
    meta::labels(causes, meta.map_or(&none, |meta| &meta.labels), &metadata.field("labels"));
    meta::annotations(causes, meta.map_or(&none, |meta| &meta.annotations), &metadata.field("annotations"));
    let at = at.field("spec");
    let Some(spec) = &template.spec else { return causes.required(&at, "") };
    pod::spec(causes, spec, &at);
}

pub(crate) fn immutable_selector(causes: &mut Causes, old: Option<&LabelSelector>, new: Option<&LabelSelector>) {
    if new.is_some() && old != new {
        let at = Path::Root.field("spec");
        let why = "field is immutable; delete the object and create it anew, or choose another name";
        causes.invalid(&at.field("selector"), print(new), why);
    }
}
