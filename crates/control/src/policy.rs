//! What is told of policies, so that whoever wrote them knows what they will do.

pub(crate) mod policy_status;
