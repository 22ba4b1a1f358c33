//! How bytes get to Pods and from them: what the proxy routes by, the routes of this host, and what a guest can reach.
//!
//! [`routes`] follows the Nodes and keeps the ranges of addresses that [`map`] finds as routes of this host; [`tables`] follows
//! the Services. Both believe only what fits the [`surroundings`] of this node. [`hosts`] tells the proxy which addresses are
//! no Pod's; [`listening`] keeps the cluster's addresses to the proxy and says where it cannot listen; [`network`] is what one
//! Pod gets of all this.

pub(crate) mod hosts;
pub(crate) mod listening;
pub(crate) mod map;
pub(crate) mod network;
pub(crate) mod routes;
pub(crate) mod surroundings;
pub(crate) mod tables;
