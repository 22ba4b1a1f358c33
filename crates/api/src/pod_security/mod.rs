//! Pod Security: what the labels of a Namespace demand of its Pods, and whether a Pod meets it.
//!
//! The checks are Kubernetes' own, one small function each, by the revision that a version of the policy has of it
//! ([`checks`]). Nothing here knows what a sandbox does with the fields: a manifest that is refused elsewhere is refused here.

mod checks;
mod confinement;
mod host;
mod privileges;
mod standard;
mod subject;
#[cfg(test)]
mod tests;
mod users;
mod violation;

pub use checks::violations;
pub use standard::{LABEL_PREFIX, Level, Policy, Standard, Version};
pub use subject::Subject;
pub use violation::Violations;
