//! Ids of clusters and members: as text, and new ones.

use api::Error;
use consensus::{ClusterId, MemberId, Role, Status};

/// Reads a cluster's id, 32 hexadecimal digits.
#[must_use]
pub fn cluster_id(text: &str) -> Option<ClusterId> {
    u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32).map(ClusterId)
}

/// Reads a member's id, 16 hexadecimal digits.
#[must_use]
pub fn member_id(text: &str) -> Option<MemberId> {
    u64::from_str_radix(text, 16).ok().filter(|_| text.len() == 16).map(MemberId)
}

/// Whether a member takes no part in its group any more.
#[must_use]
pub fn is_over(status: &Status) -> bool {
    status.role == Role::Stopped
}

/// A new member's id: random and never zero, so that none is ever given twice.
///
/// # Errors
/// If the system has no randomness.
pub fn fresh_member() -> Result<u64, Error> {
    let random = getrandom::u64().map_err(|error| Error::internal(format!("no randomness: {error}")))?;
    Ok(random.max(1))
}
