//! Who belongs to the cluster: the group of masters and the nodes, how they are let in, who lives, and who has left.

mod components;
mod group;
pub(crate) mod heartbeats;
mod ids;
mod joining;
mod leases;
mod masters;
mod presence;
pub(crate) mod routes;
mod tokens;

pub use heartbeats::{Heartbeat, MERGED_WITHIN, SHARE_EVERY, Sign};
pub use ids::{cluster_id, fresh_member, is_over, member_id};
pub use joining::Worker;
pub use leases::LEASE_SECONDS;
pub use masters::{Masters, PEER_PROTOCOL};
pub use routes::UNROUTED_MAX;
pub use tokens::{Invitation, JoinAs, Presented, TOKEN_LIFE, TOKEN_LIFE_MAX};
