//! A Deployment and its ReplicaSets, and what is to change in them.

use std::{collections::BTreeMap, sync::Arc};

use api::{
    Key, Object,
    apps_v1::{Deployment, DeploymentSpec, ReplicaSet},
    core_v1::PodTemplateSpec,
    int_or_string::Rounding,
    kinds::Resource,
    meta_v1::{IntOrString, ObjectMeta},
};

use super::{annotations, rolling::Limits, wanted};
use crate::{
    plan::{Note, Plan},
    workloads::owned::Owner,
    world::World,
};

/// The label that tells the Pods of one template from those of another.
pub(super) const HASH_LABEL: &str = "pod-template-hash";

/// What the Deployment wanted when the set was last sized. If it wants something else now, the user has scaled it.
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";

/// How many Pods there could be in all when the set was last sized: what its share is computed from.
pub(super) const MAX: &str = "deployment.kubernetes.io/max-replicas";

/// A Deployment and its ReplicaSets.
pub(super) struct Family<'a> {
    pub(super) object: &'a Arc<Object>,
    pub(super) deployment: &'a Deployment,
    pub(super) meta: &'a ObjectMeta,
    pub(super) spec: &'a DeploymentSpec,
    pub(super) template: &'a PodTemplateSpec,
    /// The set with the present template, the oldest if there are several.
    pub(super) new: Option<&'a ReplicaSet>,
    /// The others, the oldest first.
    pub(super) old: Vec<&'a ReplicaSet>,
    /// How the set of the present template is called if it has to be made.
    pub(super) new_name: String,
    /// Whether that set has to be made and something else has its name.
    pub(super) name_is_taken: bool,
    /// Whether sets are still made and changed.
    pub(super) in_charge: bool,
    /// Why the last write for the Deployment was refused.
    pub(super) trouble: Option<&'a str>,
}

impl<'a> Family<'a> {
    /// Finds the sets, adopts those that match and belong to nobody, and releases those that no longer match.
    pub(super) fn gather(world: &'a World, key: &Key, plan: &mut Plan) -> Option<Self> {
        let (object, deployment) = world.find::<Deployment>(key)?;
        let (meta, spec) = (deployment.metadata.as_ref()?, deployment.spec.as_ref()?);
        let template = spec.template.as_ref()?;
        let owner = Owner::of(deployment)?;
        let (controlled, orphans) = (world.controlled(owner.uid()), world.orphans(owner.namespace()));
        let mut sets: Vec<&ReplicaSet> = owner.claim(controlled, orphans, plan);
        sets.sort_by(|a, b| age(a).cmp(&age(b)));
        let new = sets.iter().copied().find(|set| has_template(set, template));
        let old: Vec<_> = sets.into_iter().filter(|set| new.is_none_or(|new| new.name() != set.name())).collect();
        let collisions = deployment.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
        let new_name = format!("{}-{}", meta.name, super::history::hash(template, collisions));
        let name_is_taken = new.is_none() && world.named::<ReplicaSet>(&meta.namespace, &new_name).is_some();
        let (in_charge, trouble) = (owner.is_in_charge(world), world.trouble(key));
        Some(Self { object, deployment, meta, spec, template, new, old, new_name, name_is_taken, in_charge, trouble })
    }

    pub(super) fn sets(&self) -> impl Iterator<Item = &'a ReplicaSet> {
        self.old.iter().copied().chain(self.new)
    }

    /// The sets that have or are to have Pods, the oldest first.
    pub(super) fn active(&self) -> Vec<&'a ReplicaSet> {
        self.sets().filter(|set| wanted(set) > 0).collect()
    }

    pub(super) fn recreates(&self) -> bool {
        self.spec.strategy.as_ref().is_some_and(|strategy| strategy.r#type == "Recreate")
    }

    /// How many Pods there should be, and by how many there may be more or fewer meanwhile.
    pub(super) fn limits(&self) -> Limits {
        let replicas = self.spec.replicas.unwrap_or(1);
        if self.recreates() {
            return Limits { replicas, surge: 0, unavailable: replicas };
        }
        let rolling = self.spec.strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
        let limit = |limit: Option<&IntOrString>, rounding| {
            let default = IntOrString::text("25%");
            limit.unwrap_or(&default).scaled(replicas, rounding).unwrap_or(0).max(0)
        };
        let surge = limit(rolling.and_then(|rolling| rolling.max_surge.as_ref()), Rounding::Up);
        let unavailable = limit(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()), Rounding::Down);
        // With neither room above nor below nothing could ever move.
        let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
        Limits { replicas, surge, unavailable: unavailable.min(replicas) }
    }
}

/// Changes of ReplicaSets, collected so that each set is written once.
#[derive(Default)]
pub(super) struct Edits {
    sets: BTreeMap<String, ReplicaSet>,
}

impl Edits {
    /// The set as it will be, to be changed further.
    pub(super) fn of(&mut self, set: &ReplicaSet) -> &mut ReplicaSet {
        self.sets.entry(set.name().to_owned()).or_insert_with(|| set.clone())
    }

    /// Gives a set another size. A set that keeps its size is left alone.
    pub(super) fn resize(&mut self, family: &Family<'_>, set: &ReplicaSet, size: i32) {
        if wanted(set) != size {
            self.resize_anyway(family, set, size);
        }
    }

    /// Gives a set a size and notes for which total it was meant.
    pub(super) fn resize_anyway(&mut self, family: &Family<'_>, set: &ReplicaSet, size: i32) {
        let edited = self.of(set);
        edited.spec.get_or_insert_default().replicas = Some(size);
        mark(edited.metadata_mut(), family.limits());
    }

    /// Adds the changes to the plan, each with the reason.
    pub(super) fn write(self, family: &Family<'_>, plan: &mut Plan) {
        for set in family.sets().filter(|set| set.metadata.as_ref().is_some_and(|m| m.deletion_timestamp.is_none())) {
            let Some(edited) = self.sets.get(set.name()).filter(|edited| *edited != set) else { continue };
            let (from, to) = (wanted(set), wanted(edited));
            let step = plan.update(edited.clone());
            if from != to {
                let direction = if to > from { "up" } else { "down" };
                let message = format!("Scaled {direction} replica set {} from {from} to {to}", set.name());
                step.then(Note::normal(family.object, "ScalingReplicaSet", message));
            }
        }
    }
}

/// Notes on a set for which total it was sized.
pub(super) fn mark(meta: &mut ObjectMeta, limits: Limits) {
    meta.annotations.insert(DESIRED.to_owned(), limits.replicas.to_string());
    meta.annotations.insert(MAX.to_owned(), (limits.replicas + limits.surge).to_string());
}

/// A number that an earlier look noted on a set.
pub(super) fn marked(set: &ReplicaSet, annotation: &str) -> Option<i32> {
    annotations(set).get(annotation)?.parse().ok()
}

/// Oldest first; sets of the same second by name.
fn age(set: &ReplicaSet) -> (i64, &str) {
    let meta = set.metadata.as_ref();
    // A set that was not created yet is the youngest.
    let created = meta.and_then(|meta| meta.creation_timestamp.as_ref()).map_or(i64::MAX, |time| time.seconds);
    (created, set.name())
}

/// Whether a set was made from a template. The hash label is the set's own addition.
fn has_template(set: &ReplicaSet, template: &PodTemplateSpec) -> bool {
    let Some(own) = set.spec.as_ref().and_then(|spec| spec.template.as_ref()) else { return false };
    if own.spec != template.spec {
        return false;
    }
    let bare = |template: &PodTemplateSpec| {
        let mut meta = template.metadata.clone().unwrap_or_default();
        meta.labels.remove(HASH_LABEL);
        meta
    };
    bare(own) == bare(template)
}
