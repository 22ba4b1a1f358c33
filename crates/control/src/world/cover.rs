//! What one decided write will make of an object, until it is known.

use std::sync::Arc;

use api::{Object, Revision, Subresource, Timestamp, Write, core_v1::Pod};

/// What one decided write will make of an object.
#[derive(Debug)]
pub(super) enum Cover {
    /// It will exist.
    Created(Arc<Object>),
    /// It will be this, unless somebody changes it before: then the write will be refused.
    Replaced { by: Arc<Object>, base: Revision },
    /// It will be bound to a node.
    Bound(String),
    /// It will be gone, or going.
    Deleted {
        at: Timestamp,
        /// What was observed when it was decided.
        base: Revision,
        /// Whether the deletion was written and only its effect has not been observed.
        written: bool,
    },
}

impl Cover {
    pub(super) fn of(write: &Write, base: Revision, now: Timestamp) -> Self {
        match write {
            Write::Create(object) => Self::Created(Arc::new(object.clone())),
            Write::Update(object, Subresource::Binding) => {
                let node = object.get::<Pod>().and_then(api::pod::node_name).unwrap_or_default();
                Self::Bound(node.to_owned())
            }
            Write::Update(
                object,
                Subresource::None
                | Subresource::Status
                | Subresource::Scale
                | Subresource::Finalize
                | Subresource::Owners
                | Subresource::Eviction
                | Subresource::Log
                | Subresource::Portforward
                | Subresource::Exec
                | Subresource::Attach
                | Subresource::Proxy
                | Subresource::Token
                | Subresource::Approval,
            ) => Self::Replaced { by: Arc::new(object.clone()), base },
            Write::Delete(..) => Self::Deleted { at: now, base, written: false },
        }
    }

    /// Whether any observation of the object says more than the cover.
    pub(super) fn is_spent_by_observation(&self) -> bool {
        match self {
            Self::Created(_) | Self::Deleted { written: true, .. } => true,
            Self::Replaced { .. } | Self::Bound(_) | Self::Deleted { written: false, .. } => false,
        }
    }

    /// What is seen of an object through the cover.
    pub(super) fn over(&self, observed: Option<&Arc<Object>>) -> Option<Arc<Object>> {
        let Some(observed) = observed else {
            return if let Self::Created(object) = self { Some(object.clone()) } else { None };
        };
        match self {
            Self::Created(_) => Some(observed.clone()),
            Self::Replaced { by, base } if super::revision(Some(observed)) == *base => Some(by.clone()),
            Self::Replaced { .. } => Some(observed.clone()),
            Self::Bound(node) => Some(bound(observed, node)),
            Self::Deleted { at, .. } => Some(deleted(observed, *at)),
        }
    }
}

fn bound(observed: &Arc<Object>, node: &str) -> Arc<Object> {
    let Some(pod) = observed.get::<Pod>().filter(|pod| api::pod::node_name(pod).is_none()) else {
        return observed.clone();
    };
    let mut pod = pod.clone();
    pod.spec.get_or_insert_default().node_name = node.to_owned();
    Arc::new(pod.into())
}

/// Nobody counts on an object that is being deleted, and it keeps its room until it is seen to be gone.
fn deleted(observed: &Arc<Object>, at: Timestamp) -> Arc<Object> {
    if observed.metadata().is_some_and(|meta| meta.deletion_timestamp.is_some()) {
        return observed.clone();
    }
    let mut object = Object::clone(observed);
    object.metadata_mut().deletion_timestamp = Some(at.into());
    Arc::new(object)
}
