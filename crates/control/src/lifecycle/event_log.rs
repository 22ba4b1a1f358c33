//! Events: what controllers said, for people to read. The same said again is counted, and what is old is forgotten.

use std::time::Duration;

use api::{Key, Object, Subresource, Timestamp, Write, core_v1, event, kinds::Resource};

use crate::{
    plan::{Note, Plan},
    world::{Shift, World},
};

/// How long an Event is kept after it was last seen, and at least after it was stored, since some tell of times long past:
/// Kubernetes' `event-ttl`.
const KEPT: Duration = Duration::from_secs(60 * 60);

/// Forgets an Event when its time has come.
pub(crate) fn reconcile(world: &World, key: &Key, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(event) = world.get::<core_v1::Event>(key) else { return plan };
    let Some(meta) = event.metadata.as_ref().filter(|meta| meta.deletion_timestamp.is_none()) else { return plan };
    let created = meta.creation_timestamp.as_ref().map(Timestamp::from);
    // What claims to come from the future would never be forgotten.
    let seen = event::last_seen(event).filter(|seen| *seen <= now);
    let Some(expiry) = created.max(seen).map(|at| at.after(KEPT)) else { return plan };
    if now >= expiry {
        plan.delete(event);
    } else {
        plan.again_at(expiry);
    }
    plan
}

pub(crate) fn concerns(_world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    if let Some(key) = shift.key_of::<core_v1::Event>() {
        look(key.clone());
    }
}

/// The write that records a note: a new Event, or one more count of the Event that says the same.
pub(crate) fn record(world: &World, note: &Note, component: &str, now: Timestamp) -> Write {
    let Note { about, kind, reason, message } = note;
    let new = event::new(event::reference(about), *kind, reason, message, component, now);
    let Some(present) = world.get::<core_v1::Event>(&new.key()) else { return Write::Create(new.into()) };
    let mut present = present.clone();
    event::repeat(&mut present, now);
    // Nobody else counts under this name, so there is nothing to be careful about.
    present.metadata_mut().resource_version.clear();
    Write::Update(Object::from(present), Subresource::None)
}
