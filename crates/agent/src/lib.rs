//! Makes this node's sandboxes equal to the Pods bound to it.
