//! What must be true after every step, whatever went wrong before.

use std::{collections::BTreeMap, time::Duration};

use api::{
    Change, Key, Kind, Timestamp,
    core_v1::{Node, Pod},
    discovery_v1::EndpointSlice,
    kinds::Resource,
    pod::{self, Resources},
    quantity::Quantity,
};
use store::View;

use crate::worker::{self, Worker};

/// How long an endpoint may be announced as ready after its Pod has ceased to be: what seeing it and saying so may take in
/// the worst weather, a refused write included.
const LAG_MAX: Duration = Duration::from_secs(20);

/// Remembers what it needs to judge, and the first thing that was wrong.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    /// Where each Pod was put, by uid.
    places: BTreeMap<String, String>,
    /// Until when each Pod was ready, by uid; the end of time for those that are.
    ready: BTreeMap<String, Timestamp>,
    /// How many Pods of each application must be ready.
    floors: BTreeMap<String, usize>,
    broken: Option<String>,
}

impl Checker {
    /// From now on at least so many Pods labelled `app: NAME` must be ready at every step.
    pub(crate) fn hold(&mut self, name: &str, least: usize) {
        self.floors.insert(name.to_owned(), least);
    }

    pub(crate) fn verdict(&self) -> Result<(), String> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// Takes in what was written, at the moment it was.
    pub(crate) fn changed(&mut self, view: &View, changes: &[Change], now: Timestamp) {
        for change in changes {
            if let Some(pod) = change.object.get::<Pod>() {
                self.pod(view, pod, now);
                self.floor(view, pod);
            }
            if let Some(slice) = change.object.get::<EndpointSlice>() {
                self.slice(slice, now);
            }
        }
    }

    /// No Pod may run in two places.
    pub(crate) fn running(&mut self, workers: &BTreeMap<String, Worker>) {
        if let Some((node, uid)) = worker::double(workers) {
            self.fail(format!("the Pod with uid {uid} runs on {node} and elsewhere"));
        }
    }

    fn pod(&mut self, view: &View, pod: &Pod, now: Timestamp) {
        if pod::is_ready(pod) {
            self.ready.insert(pod.uid().to_owned(), Timestamp(i64::MAX));
        } else if let Some(until) = self.ready.get_mut(pod.uid()) {
            *until = (*until).min(now);
        }
        let Some(node) = pod::node_name(pod) else { return };
        let place = self.places.entry(pod.uid().to_owned()).or_insert_with(|| node.to_owned());
        if place != node {
            let message = format!("{} moved from {place} to {node}", pod.key());
            self.fail(message);
        }
        self.room(view, node);
    }

    /// A rollout may not take more Pods away than it was allowed to.
    fn floor(&mut self, view: &View, pod: &Pod) {
        let app = |pod: &Pod| pod.metadata.as_ref().and_then(|meta| meta.labels.get("app").cloned());
        let Some((name, least)) = app(pod).and_then(|name| self.floors.get_key_value(&name)) else { return };
        let serves = |pod: &Pod| app(pod).as_ref() == Some(name) && pod::is_ready(pod) && pod::is_active(pod);
        let pods = view.list(Kind::Pod, None, None);
        let ready = pods.filter(|record| record.object().get().is_some_and(serves)).count();
        if ready < *least {
            let message = format!("{name} has {ready} ready Pods, must have {least}");
            self.fail(message);
        }
    }

    /// No node may be promised more than it has.
    fn room(&mut self, view: &View, node: &str) {
        let Some(record) = view.get(&Key::cluster(Kind::Node, node)) else { return };
        let room = record.object().get::<Node>().and_then(|node| node.status.clone()).unwrap_or_default().allocatable;
        let on = |pod: &&Pod| pod::node_name(pod) == Some(node) && !pod::is_terminal(pod);
        let objects: Vec<_> = view.list(Kind::Pod, None, None).map(|record| record.object()).collect();
        let pods: Vec<&Pod> = objects.iter().filter_map(|object| object.get::<Pod>()).filter(on).collect();
        let used: Resources = pods.iter().map(|pod| pod::requests(pod)).sum();
        let most = room.get("pods").and_then(|pods| Quantity::try_from(pods).ok()).map_or(110, Quantity::whole);
        if !Resources::of(&room).holds(used) || i128::try_from(pods.len()).unwrap_or(i128::MAX) > most {
            self.fail(format!(
                "{node} is over-committed: {} Pods want {used:?} of {:?}",
                pods.len(),
                Resources::of(&room)
            ));
        }
    }

    /// Only Pods that are ready, or were a moment ago, may be announced as ready.
    fn slice(&mut self, slice: &EndpointSlice, now: Timestamp) {
        for endpoint in &slice.endpoints {
            let Some(target) = &endpoint.target_ref else { continue };
            if !endpoint.conditions.is_some_and(|conditions| conditions.ready()) {
                continue;
            }
            let key = Key::namespaced(Kind::Pod, target.namespace.as_str(), target.name.as_str());
            if self.ready.get(&target.uid).is_none_or(|until| now.since(*until) > LAG_MAX) {
                self.fail(format!("{} sends requests to {key}, which is not ready", slice.key()));
            }
        }
    }

    fn fail(&mut self, message: String) {
        self.broken.get_or_insert(message);
    }
}
