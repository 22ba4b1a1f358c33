//! Rights by roles: what Roles and ClusterRoles give to whom RoleBindings and ClusterRoleBindings name.
//!
//! `roles` keeps every role and binding of the state in an index, which follows the state by what has changed and is read without
//! a lock; `rules` reads one rule as Kubernetes does; `attributes` is what is asked, in the words of rules; `refusal` says no, and
//! `escalation` keeps whoever writes roles and bindings from giving more than it has. `review` answers who asks what it may do.
//! A decision is a pure function of these. The rules of aggregated ClusterRoles are written into them by a controller, so that
//! what is shown is what is in force.

mod attributes;
mod escalation;
mod refusal;
mod review;
mod roles;
mod rules;
mod samples;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use api::{Error, Reason};

pub use attributes::{Attributes, ResourceAttributes};
pub(crate) use escalation::Grant;
pub use review::{RulesOf, Verdict};
pub(crate) use roles::Rights;
pub use roles::Roles;
pub(crate) use samples::reads_secrets;

use super::{Access, User};

impl User {
    /// Allows what somebody wants to do who has what roles give, or says why not. `roles` are taken only if they matter.
    pub(crate) fn authorise(&self, access: Access<'_>, roles: impl FnOnce() -> Arc<Roles>) -> Result<(), Error> {
        let cannot = |what: &str| {
            Err(Error::new(Reason::Forbidden, format!("User {:?} cannot {what}: no role can allow it", self.name)))
        };
        match access {
            Access::Public | Access::Inside | Access::SomeImages(_) => Ok(()),
            Access::Renew => cannot("renew the certificate of a node"),
            Access::Admit => cannot("join the group of masters"),
            Access::Heartbeat(_) => cannot("send the heartbeat of a node"),
            Access::Administer(_) if self.is_master() => Ok(()),
            Access::Administer(what) => cannot(what),
            Access::Objects(asked) => {
                self.may(asked.attributes().into(), &roles()).map_err(|error| error.about(asked.key))
            }
            Access::Resource(asked) => self.may(asked.into(), &roles()),
            Access::Images(verb, repository) => {
                self.may(ResourceAttributes::of_images(verb, repository).into(), &roles())
            }
            Access::SeeMasters => self.may(ResourceAttributes::of_masters().into(), &roles()),
        }
    }

    fn may(&self, asked: Attributes<'_>, roles: &Roles) -> Result<(), Error> {
        if roles.allows(self, &asked) { Ok(()) } else { Err(refusal::refusal(self, &asked, roles)) }
    }
}
