//! How numbers of different crates depend on each other. This crate sees all of them, and does not compile if they disagree.

use std::time::Duration;

use agent::driver::{BATCH_WRITES_MAX, MODULE_BYTES_MAX};
use consensus::{ELECTION_TICKS_MAX, TICK_MS, WAITING_CALLS_MAX};
use control::limits::{BURST_MAX, DOUBT, GRACE, LATE_AFTER, SILENCE_MAX};
use images::BLOB_BYTES_MAX;
use registry::{AGREEMENT_TIMEOUT, LEASE_SECONDS, MERGED_WITHIN, SHARE_EVERY};
use rpc::{BEAT_EVERY, client::ANSWER_TIMEOUT, retry::NO_LEADER_TIMEOUT};

const fn ms(duration: Duration) -> u128 {
    duration.as_millis()
}

/// The longest that followers wait for their leader before they elect another.
const ELECTION_MS_MAX: u128 = ELECTION_TICKS_MAX as u128 * TICK_MS as u128;

// Nodes that fall silent.
const _: () =
    assert!(ms(MERGED_WITHIN) < ms(BEAT_EVERY), "one beat must not be taken for another that was told already");
const _: () = assert!(
    2 * ms(BEAT_EVERY) + ms(SHARE_EVERY) <= ms(LATE_AFTER),
    "a node is late when two beats are missing, also if another master heard it"
);
const _: () = assert!(
    ms(LATE_AFTER) + ms(BEAT_EVERY) <= ms(SILENCE_MAX),
    "who judges the first silent node must see that others follow, which spoke up to one beat later"
);
const _: () = assert!(4 * ms(BEAT_EVERY) <= ms(SILENCE_MAX), "three beats may be missed, and one be late");
const _: () = assert!(LEASE_SECONDS as u64 == GRACE.as_secs(), "a Lease lasts until its node's Pods are evicted");

// Writes whose outcome is unknown.
const _: () = assert!(ms(AGREEMENT_TIMEOUT) < ms(DOUBT), "controllers give a write up after the masters have");
const _: () = assert!(ms(AGREEMENT_TIMEOUT) < ms(ANSWER_TIMEOUT), "masters give a write up before its client does");
const _: () = assert!(3 * ELECTION_MS_MAX <= ms(NO_LEADER_TIMEOUT), "clients wait for several elections");

// Bursts.
const _: () = assert!(BURST_MAX < WAITING_CALLS_MAX, "the log takes a burst of a controller in one piece");

// What workers send and pull.
const _: () = assert!(BATCH_WRITES_MAX <= apiserver::BATCH_WRITES_MAX, "masters take the batches of workers");
const _: () = assert!(MODULE_BYTES_MAX as u64 >= BLOB_BYTES_MAX, "workers pull whatever the masters' registry takes");
