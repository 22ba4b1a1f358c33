//! Whom the checks look at: a Pod, or the template from which Pods are made.

use std::collections::BTreeMap;

use crate::{
    Kind, Object,
    apps_v1::{Deployment, ReplicaSet},
    core_v1::{
        Container, ContainerPort, EphemeralContainerCommon, Lifecycle, Pod, PodSecurityContext, PodSpec, PodTemplate,
        PodTemplateSpec, Probe, ReplicationController, SecurityContext,
    },
};

/// A Pod that is or could be, as the checks see it.
#[derive(Debug)]
pub struct Subject<'a> {
    pub(super) annotations: &'a BTreeMap<String, String>,
    pub(super) spec: &'a PodSpec,
    /// Those that run first, the others, and those that would be added later.
    pub(super) parts: Vec<Part<'a>>,
}

/// What checks look at in a container of any sort.
#[derive(Debug)]
pub(super) struct Part<'a> {
    pub(super) name: &'a str,
    pub(super) security: Option<&'a SecurityContext>,
    pub(super) ports: &'a [ContainerPort],
    pub(super) probes: [Option<&'a Probe>; 3],
    pub(super) lifecycle: Option<&'a Lifecycle>,
}

impl<'a> Subject<'a> {
    /// A Pod.
    #[must_use]
    pub fn of_pod(pod: &'a Pod) -> Self {
        Self::new(pod.metadata.as_ref().map(|meta| &meta.annotations), pod.spec.as_ref())
    }

    /// The template that an object makes Pods from; `None` if it makes none.
    #[must_use]
    pub fn of_template(object: &'a Object) -> Option<Self> {
        let template = template(object)?;
        Some(Self::new(template.metadata.as_ref().map(|meta| &meta.annotations), template.spec.as_ref()))
    }

    /// Whether objects of a kind make Pods from a template.
    #[must_use]
    pub fn has_template(kind: Kind) -> bool {
        [Kind::PodTemplate, Kind::ReplicationController, Kind::ReplicaSet, Kind::Deployment].contains(&kind)
    }

    fn new(annotations: Option<&'a BTreeMap<String, String>>, spec: Option<&'a PodSpec>) -> Self {
        static NOTHING: BTreeMap<String, String> = BTreeMap::new();
        static EMPTY: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);
        let spec = spec.unwrap_or(&EMPTY);
        let own = spec.init_containers.iter().chain(&spec.containers).map(Part::from);
        let added = spec.ephemeral_containers.iter().filter_map(|one| one.ephemeral_container_common.as_ref());
        let parts = own.chain(added.map(Part::from)).collect();
        Self { annotations: annotations.unwrap_or(&NOTHING), spec, parts }
    }

    /// What is said for all containers.
    pub(super) fn security(&self) -> Option<&'a PodSecurityContext> {
        self.spec.security_context.as_ref()
    }

    /// Whether it is for Windows, where some fields may not be set.
    pub(super) fn is_for_windows(&self) -> bool {
        self.spec.os.as_ref().is_some_and(|os| os.name == "windows")
    }

    /// Whether its users are not those of the node.
    pub(super) fn has_own_users(&self) -> bool {
        self.spec.host_users == Some(false)
    }

    /// The names of the containers of which something holds.
    pub(super) fn those(&self, mut holds: impl FnMut(&Part<'a>) -> bool) -> Vec<&'a str> {
        self.parts.iter().filter(|part| holds(part)).map(|part| part.name).collect()
    }

    /// As [`Subject::those`], of what containers say for themselves about their security.
    pub(super) fn secured(&self, mut holds: impl FnMut(&'a SecurityContext) -> bool) -> Vec<&'a str> {
        self.those(|part| part.security.is_some_and(&mut holds))
    }
}

fn template(object: &Object) -> Option<&PodTemplateSpec> {
    if let Some(template) = object.get::<PodTemplate>() {
        return template.template.as_ref();
    }
    if let Some(controller) = object.get::<ReplicationController>() {
        return controller.spec.as_ref()?.template.as_ref();
    }
    if let Some(set) = object.get::<ReplicaSet>() {
        return set.spec.as_ref()?.template.as_ref();
    }
    object.get::<Deployment>()?.spec.as_ref()?.template.as_ref()
}

impl<'a> From<&'a Container> for Part<'a> {
    fn from(container: &'a Container) -> Self {
        Self {
            name: &container.name,
            security: container.security_context.as_deref(),
            ports: &container.ports,
            probes: [&container.liveness_probe, &container.readiness_probe, &container.startup_probe]
                .map(Option::as_deref),
            lifecycle: container.lifecycle.as_deref(),
        }
    }
}

impl<'a> From<&'a EphemeralContainerCommon> for Part<'a> {
    fn from(container: &'a EphemeralContainerCommon) -> Self {
        Self {
            name: &container.name,
            security: container.security_context.as_ref(),
            ports: &container.ports,
            probes: [&container.liveness_probe, &container.readiness_probe, &container.startup_probe]
                .map(Option::as_ref),
            lifecycle: container.lifecycle.as_ref(),
        }
    }
}
