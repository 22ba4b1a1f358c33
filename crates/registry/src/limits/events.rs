//! Limits of Events. They are for people, and every node writes them: a node that writes too many must neither fill the state
//! nor keep others out.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use api::{Error, Kind, Reason, Timestamp, Write};
use store::View;

use crate::access::Caller;

/// The most Events that are kept. They are deleted after an hour, so that a cluster may write 27 a second.
pub const EVENTS_MAX: usize = 100_000;

/// The most that all Events may take, in percent of the quota.
const QUOTA_PERCENT: usize = 10;

/// Percent of those two limits up to which nodes may write; the rest is for the controllers.
const NODES_PERCENT: usize = 80;

/// The most Events that a node may write at once: enough for a node whose Pods are all started anew.
pub const NODE_BURST: u64 = 5_000;

/// How often a node may write an Event in the long run, a second.
pub const NODE_PER_SECOND: u64 = 5;

/// Seconds after which a node that was refused may try again.
const RETRY_AFTER_S: u16 = 10;

/// The most nodes whose writes are remembered; those that have been silent are forgotten first.
const NODES_MAX: usize = 10_000;

/// How many Events each node may still write.
#[derive(Debug, Default)]
pub(crate) struct Events(Mutex<HashMap<String, Left>>);

/// How much one node may still write, counted in milliseconds of silence that writes use up.
#[derive(Clone, Copy, Debug)]
struct Left {
    millis: u64,
    at: Timestamp,
}

/// Milliseconds of silence that one write uses up.
const WRITE_MILLIS: u64 = 1_000 / NODE_PER_SECOND;

/// The most milliseconds of silence that count.
const FULL_MILLIS: u64 = WRITE_MILLIS * NODE_BURST;

impl Left {
    fn now(self, now: Timestamp) -> u64 {
        let silent = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        self.millis.saturating_add(silent).min(FULL_MILLIS)
    }
}

impl Events {
    /// Counts a write of a node, if it is one of an Event.
    ///
    /// # Errors
    /// 429 if the node writes too many.
    pub(crate) fn count(&self, caller: &Caller, write: Kind, now: Timestamp) -> Result<(), Error> {
        let (Caller::Node { name, .. }, Kind::Event) = (caller, write) else { return Ok(()) };
        let mut nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if nodes.len() >= NODES_MAX {
            nodes.retain(|_, left| left.now(now) < FULL_MILLIS);
        }
        let left = nodes.get(name).map_or(FULL_MILLIS, |left| left.now(now));
        let Some(millis) = left.checked_sub(WRITE_MILLIS) else {
            return Err(refused(format!(
                "node {name} has written more than {NODE_BURST} Events at once or {NODE_PER_SECOND} a second"
            )));
        };
        nodes.insert(name.clone(), Left { millis, at: now });
        Ok(())
    }
}

/// Refuses an Event when there are too many. Administrators have what the quota leaves.
pub(crate) fn check(view: &View, caller: &Caller, write: &Write, quota_bytes: usize) -> Result<(), Error> {
    let (Write::Create(object) | Write::Update(object, _)) = write else { return Ok(()) };
    let percent = match caller {
        _ if object.kind() != Kind::Event => return Ok(()),
        Caller::Admin { .. } | Caller::Newcomer { .. } | Caller::Nobody => return Ok(()),
        Caller::Node { .. } | Caller::User(_) => NODES_PERCENT,
        Caller::Cluster | Caller::Master { .. } => 100,
    };
    let (count_max, bytes_max) = (EVENTS_MAX / 100 * percent, quota_bytes / 100 * QUOTA_PERCENT / 100 * percent);
    let (count, bytes) = (view.count(Kind::Event), view.bytes_of(Kind::Event));
    if count < count_max && bytes < bytes_max {
        return Ok(());
    }
    Err(refused(format!("there are {count} Events of {bytes} bytes, and room for {count_max} of {bytes_max} bytes")))
}

fn refused(why: String) -> Error {
    let message = format!("{why}; old ones are forgotten after an hour");
    Error { retry_after_s: Some(RETRY_AFTER_S), ..Error::new(Reason::TooManyRequests, message) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use super::*;

    #[test]
    fn a_node_says_so_much_and_after_a_while_more() {
        let events = Events::default();
        let node = |name: &str| Caller::Node { name: name.to_owned(), uid: String::new(), from: None };
        let start = Timestamp(1_000_000);
        for _ in 0..NODE_BURST {
            events.count(&node("w1"), Kind::Event, start).unwrap();
        }
        let error = events.count(&node("w1"), Kind::Event, start).unwrap_err();
        assert_eq!((error.reason, error.retry_after_s), (Reason::TooManyRequests, Some(RETRY_AFTER_S)));
        assert!(error.message.contains("w1") && error.message.contains(&NODE_BURST.to_string()), "{error}");
        assert!(events.count(&node("w1"), Kind::Pod, start).is_ok(), "statuses are no Events");
        assert!(events.count(&node("w2"), Kind::Event, start).is_ok(), "another node is heard");
        assert!(events.count(&Caller::Admin { name: "a".to_owned() }, Kind::Event, start).is_ok());
        let later = start.after(Duration::from_secs(1));
        let said = (0_u64..).take_while(|_| events.count(&node("w1"), Kind::Event, later).is_ok()).count();
        assert_eq!(said as u64, NODE_PER_SECOND);
    }

    #[test]
    fn silent_nodes_are_forgotten_first() {
        let events = Events::default();
        for n in 0..=NODES_MAX {
            let now = Timestamp(i64::try_from(n).unwrap() * 1_000);
            let node = Caller::Node { name: format!("w{n}"), uid: String::new(), from: None };
            events.count(&node, Kind::Event, now).unwrap();
        }
        assert!(events.0.lock().unwrap().len() < 3);
    }
}
