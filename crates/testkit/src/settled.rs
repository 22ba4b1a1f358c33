//! What must be true once nobody disturbs the cluster any more.

use std::{collections::BTreeSet, time::Duration};

use api::{
    Kind, Object,
    apps_v1::{Deployment, ReplicaSet},
    core_v1::{Endpoints, Pod, Service},
    discovery_v1::EndpointSlice,
    kinds::{
        Resource,
        core::service::{KUBERNETES, is_kubernetes},
    },
    pod,
    well_known::DEFAULT_NAMESPACE,
};

use crate::Cluster;

/// For how long nothing may change in a cluster that has come to rest. Longer than any retry.
const REST: Duration = Duration::from_secs(60);

impl Cluster {
    /// Everything has become what was wanted, and nobody does anything any more.
    ///
    /// # Errors
    /// Says what is otherwise.
    pub fn settled(&self) -> Result<(), String> {
        if self.quiet_for() < REST {
            return Err(format!("somebody still writes: the last change was {:?} ago", self.quiet_for()));
        }
        self.all::<Deployment>().iter().try_for_each(|deployment| self.rolled_out(deployment))?;
        self.all::<Service>().iter().try_for_each(|service| self.announced(service))?;
        if self.masters() > 0 {
            self.leads_to_masters()?;
        }
        self.all::<Pod>().iter().try_for_each(|pod| self.owned(&pod.clone().into()))?;
        self.all::<ReplicaSet>().iter().try_for_each(|set| self.owned(&set.clone().into()))
    }

    /// All Pods of a Deployment are of its template and ready, and it says so.
    fn rolled_out(&self, deployment: &Deployment) -> Result<(), String> {
        let key = deployment.key();
        let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let status = deployment.status.clone().unwrap_or_default();
        let generation = deployment.metadata.as_ref().map_or(0, |meta| meta.generation);
        let counts = [status.replicas, status.updated_replicas, status.ready_replicas, status.available_replicas];
        if counts != [wanted; 4] || status.observed_generation != generation {
            return Err(format!("{key} wants {wanted} Pods and has {counts:?} (all, updated, ready, available)"));
        }
        let sets = self.all::<ReplicaSet>();
        let own: BTreeSet<&str> =
            sets.iter().filter(|set| controls(deployment, (*set).clone().into())).map(Resource::uid).collect();
        let pods = self.all::<Pod>();
        let active = pods.iter().filter(|pod| pod::is_active(pod) && owner(pod).is_some_and(|uid| own.contains(uid)));
        let active = active.count();
        if i32::try_from(active) == Ok(wanted) {
            Ok(())
        } else {
            Err(format!("{key} has {active} Pods, wants {wanted}"))
        }
    }

    /// The slices of a Service list exactly its ready Pods as ready.
    fn announced(&self, service: &Service) -> Result<(), String> {
        let selector = service.spec.as_ref().map(|spec| spec.selector.clone()).unwrap_or_default();
        let selected = |pod: &&Pod| {
            let labels = pod.metadata.as_ref().map(|meta| meta.labels.clone()).unwrap_or_default();
            !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        };
        let pods = self.all::<Pod>();
        let ready = pods.iter().filter(selected).filter(|pod| pod::is_ready(pod) && pod::is_active(pod));
        let ready: BTreeSet<&str> = ready.map(Resource::uid).collect();
        let slices = self.all::<EndpointSlice>();
        let own = slices.iter().filter(|slice| controls(service, (*slice).clone().into()));
        let endpoints = own.flat_map(|slice| &slice.endpoints);
        let announced: BTreeSet<&str> = endpoints
            .filter(|endpoint| endpoint.conditions.is_some_and(|conditions| conditions.ready()))
            .filter_map(|endpoint| endpoint.target_ref.as_ref().map(|target| target.uid.as_str()))
            .collect();
        if ready != announced {
            return Err(format!("{}: ready are {ready:?}, announced are {announced:?}", service.key()));
        }
        if selector.is_empty() { Ok(()) } else { self.listed(service, &ready) }
    }

    /// The Endpoints of a Service list its ready Pods as well.
    fn listed(&self, service: &Service, ready: &BTreeSet<&str>) -> Result<(), String> {
        let all = self.all::<Endpoints>();
        let is_own =
            |endpoints: &&Endpoints| endpoints.namespace() == service.namespace() && endpoints.name() == service.name();
        let own = all.iter().find(is_own).ok_or_else(|| format!("{} has no Endpoints", service.key()))?;
        let addresses = own.subsets.iter().flat_map(|subset| &subset.addresses);
        let listed: BTreeSet<&str> =
            addresses.filter_map(|address| address.target_ref.as_ref()).map(|target| target.uid.as_str()).collect();
        if listed == *ready {
            return Ok(());
        }
        Err(format!("{}: ready are {ready:?}, listed are {listed:?}", service.key()))
    }

    /// The Service `kubernetes` and the slices behind it are there.
    fn leads_to_masters(&self) -> Result<(), String> {
        let services = self.all::<Service>();
        services.iter().find(|service| is_kubernetes(&service.key())).ok_or("there is no Service kubernetes")?;
        let slices = self.all::<EndpointSlice>();
        let own = slices.iter().find(|slice| slice.namespace() == DEFAULT_NAMESPACE && slice.name() == KUBERNETES);
        let endpoints = own.map_or(0, |slice| slice.endpoints.len());
        if endpoints == self.masters() { Ok(()) } else { Err(format!("{endpoints} masters are announced")) }
    }

    /// Nothing is left behind by an owner that is gone.
    fn owned(&self, object: &Object) -> Result<(), String> {
        let owners = object.metadata().map(|meta| meta.owner_references.clone()).unwrap_or_default();
        let alive = |uid: &str| {
            let kinds = [Kind::Deployment, Kind::ReplicaSet, Kind::Service];
            let view = self.view();
            kinds.iter().any(|kind| {
                view.list(*kind, None, None)
                    .any(|record| record.object().metadata().is_some_and(|meta| meta.uid == uid))
            })
        };
        match owners.iter().find(|owner| !alive(&owner.uid)) {
            Some(owner) => Err(format!("{} is left behind by {} {}", object.key(), owner.kind, owner.name)),
            None => Ok(()),
        }
    }
}

fn controls<T: Resource>(owner: &T, object: Object) -> bool {
    object.metadata().and_then(pod::controller_of).is_some_and(|reference| reference.uid == owner.uid())
}

fn owner(pod: &Pod) -> Option<&str> {
    pod.metadata.as_ref().and_then(pod::controller_of).map(|owner| owner.uid.as_str())
}
