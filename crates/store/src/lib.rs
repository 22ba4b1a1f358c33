//! What the cluster knows: objects, revisions, history for watchers.
