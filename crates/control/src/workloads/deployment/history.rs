//! Revisions: the set of a new template, the numbers by which users go back, and how many old sets are kept.

use std::collections::BTreeMap;

use api::{
    Kind, Object,
    apps_v1::{Deployment, ReplicaSet, ReplicaSetSpec},
    core_v1::PodTemplateSpec,
    kinds::{Resource, apps::deployment::REVISION_HISTORY_LIMIT},
    meta_v1::{LabelSelector, ObjectMeta},
    well_known::{LAST_APPLIED_ANNOTATION, REVISION_ANNOTATION},
};

use super::{
    annotations,
    family::{Edits, Family, HASH_LABEL, mark},
    wanted,
};
use crate::{
    names, owners,
    plan::{Note, Plan},
};

/// The numbers that a template had before it came back.
const REVISIONS_BEFORE: &str = "deployment.kubernetes.io/revision-history";

/// Annotations of a Deployment that its sets do not repeat: they speak about the one object that carries them.
const OWN_ANNOTATIONS: [&str; 5] =
    [LAST_APPLIED_ANNOTATION, REVISION_ANNOTATION, REVISIONS_BEFORE, super::family::DESIRED, super::family::MAX];

/// What tells a template from another.
pub(super) fn hash(template: &PodTemplateSpec, collisions: i32) -> String {
    let spec = ReplicaSetSpec { template: Some(template.clone()), ..ReplicaSetSpec::default() };
    let bytes = Object::from(ReplicaSet { spec: Some(spec), ..ReplicaSet::default() }).encode_bytes();
    names::template_hash(&bytes, collisions)
}

/// Gives the newest set the highest number, and returns it.
pub(super) fn number(family: &Family<'_>, edits: &mut Edits) -> Option<String> {
    let set = family.new?;
    let edited = edits.of(set);
    let number = renumber(edited, next_revision(family)).to_string();
    let meta = edited.metadata_mut();
    meta.annotations.extend(inherited(family.meta));
    edited.spec.get_or_insert_default().min_ready_seconds = family.spec.min_ready_seconds;
    Some(number)
}

/// The Deployment with the number of its newest set.
pub(super) fn numbered(family: &Family<'_>, number: Option<String>) -> Deployment {
    let mut deployment = Deployment::clone(family.deployment);
    if let Some(number) = number {
        deployment.metadata_mut().annotations.insert(REVISION_ANNOTATION.to_owned(), number);
    }
    deployment
}

/// Raises a set's number to `least`, remembering the one it had.
fn renumber(set: &mut ReplicaSet, least: i64) -> i64 {
    let current = revision(set);
    if current >= least {
        return current;
    }
    let meta = set.metadata_mut();
    if current > 0 {
        let before = meta.annotations.entry(REVISIONS_BEFORE.to_owned()).or_default();
        let comma = if before.is_empty() { "" } else { "," };
        *before = format!("{before}{comma}{current}");
    }
    meta.annotations.insert(REVISION_ANNOTATION.to_owned(), least.to_string());
    least
}

fn revision(set: &ReplicaSet) -> i64 {
    annotations(set).get(REVISION_ANNOTATION).and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn next_revision(family: &Family<'_>) -> i64 {
    family.old.iter().map(|set| revision(set)).max().unwrap_or(0) + 1
}

fn inherited(meta: &ObjectMeta) -> BTreeMap<String, String> {
    let repeated = |(key, _): &(&String, &String)| !OWN_ANNOTATIONS.contains(&key.as_str());
    meta.annotations.iter().filter(repeated).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Creates the set of the present template.
pub(super) fn create(family: &Family<'_>, size: i32, plan: &mut Plan) {
    let name = &family.new_name;
    let hash = name.rsplit('-').next().unwrap_or_default().to_owned();
    let mut template = family.template.clone();
    template.metadata.get_or_insert_default().labels.insert(HASH_LABEL.to_owned(), hash.clone());
    let labels = template.metadata.as_ref().map(|meta| meta.labels.clone()).unwrap_or_default();
    let mut selector: LabelSelector = family.spec.selector.clone().unwrap_or_default();
    selector.match_labels.insert(HASH_LABEL.to_owned(), hash);
    let mut metadata = ObjectMeta {
        name: name.clone(),
        namespace: family.meta.namespace.clone(),
        labels,
        annotations: inherited(family.meta),
        owner_references: vec![owners::controller_reference(Kind::Deployment, family.meta)],
        ..ObjectMeta::default()
    };
    metadata.annotations.insert(REVISION_ANNOTATION.to_owned(), next_revision(family).to_string());
    mark(&mut metadata, family.limits());
    let spec = ReplicaSetSpec {
        replicas: Some(size),
        selector: Some(selector),
        template: Some(template),
        min_ready_seconds: family.spec.min_ready_seconds,
    };
    let step = plan.create(ReplicaSet { metadata: Some(metadata), spec: Some(spec), status: None });
    let failed = format!("Failed to create new replica set \"{name}\"");
    step.or(Note::warning(family.object, "ReplicaSetCreateError", failed));
    if size > 0 {
        let message = format!("Scaled up replica set {name} from 0 to {size}");
        step.then(Note::normal(family.object, "ScalingReplicaSet", message));
    }
}

/// Deletes the oldest sets without Pods beyond the number that is kept.
pub(super) fn clean_up(family: &Family<'_>, plan: &mut Plan) {
    let kept = usize::try_from(family.spec.revision_history_limit.unwrap_or(REVISION_HISTORY_LIMIT)).unwrap_or(0);
    let alive = |set: &&&ReplicaSet| set.metadata.as_ref().is_some_and(|meta| meta.deletion_timestamp.is_none());
    let mut candidates: Vec<&ReplicaSet> = family.old.iter().filter(alive).copied().collect();
    candidates.sort_by_key(|set| revision(set));
    let excess = candidates.len().saturating_sub(kept);
    for set in candidates.into_iter().take(excess).filter(|set| is_idle(set)) {
        plan.delete(set);
    }
}

/// Whether a set has no Pods, wants none, and knows it.
fn is_idle(set: &ReplicaSet) -> bool {
    let generation = set.metadata.as_ref().map_or(0, |meta| meta.generation);
    let status = set.status.clone().unwrap_or_default();
    wanted(set) == 0 && status.replicas == 0 && status.observed_generation >= generation && !set.uid().is_empty()
}
