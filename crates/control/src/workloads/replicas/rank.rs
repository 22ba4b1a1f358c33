//! Which Pods go first when there are too many: those that nobody misses.

use std::{cmp::Reverse, collections::HashMap};

use api::{
    Timestamp,
    conditions::READY,
    core_v1::Pod,
    kinds::Resource,
    pod::{self, Phase},
};

/// What users write on a Pod to have it deleted later (greater) or earlier (less, also negative) than its siblings.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// How many Pods of one family run on each node.
pub(super) type Crowds<'a> = HashMap<&'a str, usize>;

/// Counts a family by nodes: of two equal Pods the one in the greater crowd goes.
pub(super) fn crowds<'a>(family: impl Iterator<Item = &'a Pod>) -> Crowds<'a> {
    let mut crowds = Crowds::new();
    for node in family.filter(|pod| pod::is_active(pod)).filter_map(pod::node_name) {
        *crowds.entry(node).or_default() += 1;
    }
    crowds
}

/// The Pods in the order in which Kubernetes deletes them.
pub(super) fn first_to_go<'a>(active: &[&'a Pod], crowds: &Crowds<'_>, now: Timestamp) -> Vec<&'a Pod> {
    let mut pods = active.to_vec();
    pods.sort_by_cached_key(|pod| Standing::of(pod, crowds, now));
    pods
}

/// Why a Pod should stay, the weightiest reason first. The least goes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Standing {
    bound: bool,
    started: Started,
    ready: bool,
    cost: i32,
    crowd: Reverse<usize>,
    ready_for: Magnitude,
    restarts: Reverse<i64>,
    age: Magnitude,
    /// Makes the order total, and the same on every look.
    uid: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Started {
    No,
    Unknown,
    Yes,
}

/// A duration by its order of magnitude: seconds that differ by less than half are as good as equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Magnitude(u32);

impl Standing {
    fn of(pod: &Pod, crowds: &Crowds<'_>, now: Timestamp) -> Self {
        let node = pod::node_name(pod);
        let meta = pod.metadata.as_ref();
        let ready_since = pod::condition(pod, READY).filter(|ready| ready.status == "True");
        let cost = meta.and_then(|meta| meta.annotations.get(DELETION_COST));
        Self {
            bound: node.is_some(),
            started: match pod::phase(pod) {
                Phase::Pending => Started::No,
                Phase::Unknown => Started::Unknown,
                Phase::Running | Phase::Succeeded | Phase::Failed => Started::Yes,
            },
            ready: ready_since.is_some(),
            cost: cost.and_then(|cost| cost.parse().ok()).unwrap_or(0),
            crowd: Reverse(node.and_then(|node| crowds.get(node)).copied().unwrap_or(0)),
            ready_for: Magnitude::since(ready_since.and_then(|ready| ready.last_transition_time.as_ref()), now),
            restarts: Reverse(pod::restarts(pod)),
            age: Magnitude::since(meta.and_then(|meta| meta.creation_timestamp.as_ref()), now),
            uid: pod.uid().to_owned(),
        }
    }
}

impl Magnitude {
    fn since(time: Option<&api::meta_v1::Time>, now: Timestamp) -> Self {
        let seconds = time.map_or(0, |time| now.since(time.into()).as_secs());
        Self(seconds.checked_ilog2().map_or(0, |log| log + 1))
    }
}
