//! The promises of what a Pod, and kinds that users define, take of a master's memory. `cargo run -p testkit --example memory` shows the parts.

use testkit::{
    fuzz::Counting,
    memory::{Weights, weigh, weigh_definitions},
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Enough that what is there once does not count, and few enough to be brought to life in seconds.
const PODS: isize = 1_000;

/// The most that a Pod takes in the state and in the world of the controllers, in bytes. History has a bound of its own,
/// whatever the number of Pods.
const POD_BYTES_MAX: isize = 4 << 10;

/// The same for all that is told of a Pod in Events while it comes to life.
const EVENTS_BYTES_MAX: isize = 4 << 10;

/// As many definitions as Crossplane brings, and the most that they may take, in bytes.
const DEFINITIONS: usize = 1_000;
const DEFINITIONS_BYTES_MAX: isize = 30 << 20;

#[test]
fn a_thousand_definitions_take_little_memory() {
    let bytes = weigh_definitions(DEFINITIONS);
    assert!(bytes <= DEFINITIONS_BYTES_MAX, "{bytes}");
}

#[test]
fn a_pod_takes_little_of_a_masters_memory() {
    let pods = PODS.cast_unsigned();
    let (alone, told) = (weigh(pods, false), weigh(pods, true));
    let (each, events) = (alone / PODS, (told - alone) / PODS);
    let lasting = |weights: Weights| weights.sum() - weights.history;
    assert!(lasting(each) <= POD_BYTES_MAX, "{each}");
    assert!(lasting(events) <= EVENTS_BYTES_MAX, "{events}");
}
