//! Nobody gives more than it has: whoever writes a role must have all its rights, or the right to `escalate` it; whoever writes
//! a binding must have all rights of its role, or the right to `bind` it. As in Kubernetes, administrators are not asked.
//! Whoever writes a User, or makes a token of it, must have the right to `impersonate` it and each of its groups: it could act as
//! that user anyhow.

use api::{
    Error, Key, Kind, Object, Reason, identity_v1,
    kinds::Resource as _,
    rbac_v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef},
    rights::{self, ALL},
};

use super::{
    attributes::ResourceAttributes,
    roles::{KINDS, RoleName, Roles},
};
use crate::access::User;

/// The verbs without which nobody gives what it does not have.
const ESCALATE: &str = "escalate";
const BIND: &str = "bind";
const IMPERSONATE: &str = "impersonate";

/// A role, binding or User that somebody writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant<'a> {
    /// As it would be stored.
    pub(crate) new: &'a Object,
    /// As it is, if it is there.
    pub(crate) old: Option<&'a Object>,
}

impl User {
    /// Allows somebody to write a role, binding or User, or says what it gives that its writer does not have. All other objects
    /// pass.
    pub(crate) fn may_grant(&self, grant: Grant<'_>, roles: &Roles) -> Result<(), Error> {
        if self.is_master() || grant.is_upkeep() {
            return Ok(());
        }
        let (new, key) = (grant.new, grant.new.key());
        if let Some(role) = new.get::<ClusterRole>() {
            return self
                .may_write(grant, &key, &role.rules, roles)
                .and_then(|()| self.may_aggregate(grant, &key, roles));
        }
        if let Some(role) = new.get::<Role>() {
            return self.may_write(grant, &key, &role.rules, roles);
        }
        if let Some(user) = new.get::<identity_v1::User>() {
            return self.may_be(&key, user, roles);
        }
        let everywhere = new.get::<ClusterRoleBinding>().map(|binding| &binding.role_ref);
        match everywhere.or_else(|| new.get::<RoleBinding>().map(|binding| &binding.role_ref)) {
            Some(Some(role)) => self.may_bind(role, &key, roles),
            Some(None) | None => Ok(()),
        }
    }

    /// Allows somebody to have power over a User, or says as whom it might not act.
    pub(crate) fn may_be(&self, key: &Key, user: &identity_v1::User, roles: &Roles) -> Result<(), Error> {
        if self.is_master() {
            return Ok(());
        }
        let groups = user.spec.as_ref().map(|spec| spec.groups.as_slice()).unwrap_or_default();
        let whom = std::iter::once(("users", &*key.name)).chain(groups.iter().map(|group| ("groups", group.as_str())));
        let may_not = |(resource, name): &(&str, &str)| {
            let asked = ResourceAttributes { verb: IMPERSONATE, resource, name, ..ResourceAttributes::default() };
            roles.decide(self, &asked.into()).is_none()
        };
        let missing: Vec<(&str, &str)> = whom.filter(may_not).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let told: Vec<String> = missing
            .iter()
            .map(|(resource, name)| {
                format!(
                    "{{APIGroups:[\"\"], Resources:[{resource:?}], ResourceNames:[{name:?}], Verbs:[{IMPERSONATE:?}]}}"
                )
            })
            .collect();
        let (name, groups) = (&self.name, rights::quoted(&self.groups));
        let why = format!(
            "user {name:?} (groups={groups}) is attempting to make somebody as whom it may not act; that takes all of:\n{}",
            told.join("\n")
        );
        Err(forbidden(key, &why))
    }

    fn may_write(&self, grant: Grant<'_>, key: &Key, rules: &[PolicyRule], roles: &Roles) -> Result<(), Error> {
        if self.may_escalate(grant, key, roles) { Ok(()) } else { self.has_all(rules, key, roles) }
    }

    /// Whoever says which roles are gathered in one can gather everything.
    fn may_aggregate(&self, grant: Grant<'_>, key: &Key, roles: &Roles) -> Result<(), Error> {
        let gathers = |object: &Object| object.get::<ClusterRole>().is_some_and(|role| role.aggregation_rule.is_some());
        if !(gathers(grant.new) || grant.old.is_some_and(gathers)) || self.may_escalate(grant, key, roles) {
            return Ok(());
        }
        let why = "must have cluster-admin privileges to use the aggregationRule";
        self.has_all(&everything(), key, roles).map_err(|_| forbidden(key, why))
    }

    fn may_escalate(&self, grant: Grant<'_>, key: &Key, roles: &Roles) -> bool {
        // The URL of a creation names no object.
        let name = if grant.old.is_some() { &*key.name } else { "" };
        self.has(ESCALATE, key.kind, (&key.namespace, name), roles)
    }

    fn may_bind(&self, role: &RoleRef, key: &Key, roles: &Roles) -> Result<(), Error> {
        let role = Roles::meant(role, &key.namespace);
        let kind = role.kind();
        if self.has(BIND, kind, (&key.namespace, &role.name), roles) {
            return Ok(());
        }
        let missing = || Error::not_found(&Key { kind, namespace: role.namespace.clone(), name: role.name.clone() });
        self.has_all(roles.rules.get(&role).ok_or_else(missing)?, key, roles)
    }

    fn has(&self, verb: &str, kind: Kind, (namespace, name): (&str, &str), roles: &Roles) -> bool {
        let info = kind.info();
        let (group, resource) = (info.group, info.plural);
        let asked = ResourceAttributes { verb, group, resource, subresource: "", namespace, name };
        roles.decide(self, &asked.into()).is_some()
    }

    /// Whether the user has all rights of some rules where an object is.
    fn has_all(&self, rules: &[PolicyRule], key: &Key, roles: &Roles) -> Result<(), Error> {
        let held: Vec<PolicyRule> =
            roles.of(self, &key.namespace).flat_map(|grant| grant.rules.iter()).cloned().collect();
        let missing = rights::missing(&held, rules);
        if missing.is_empty() {
            return Ok(());
        }
        let (name, groups, missing) = (&self.name, rights::quoted(&self.groups), rights::told(&missing).join("\n"));
        let why = format!(
            "user {name:?} (groups={groups}) is attempting to grant RBAC permissions not currently held:\n{missing}"
        );
        Err(forbidden(key, &why))
    }
}

impl Grant<'_> {
    /// Whether objects of a kind say who may do what, or who is in which groups.
    pub(crate) fn is_of(kind: Kind) -> bool {
        kind == Kind::User || KINDS.contains(&kind)
    }

    /// Whether nothing changes but what garbage collection goes by.
    pub(crate) fn is_upkeep(self) -> bool {
        let bare = |object: &Object| {
            let mut object = object.clone();
            let metadata = object.metadata_mut();
            (metadata.resource_version, metadata.generation) = Default::default();
            metadata.owner_references.clear();
            metadata.finalizers.clear();
            metadata.managed_fields.clear();
            object
        };
        self.old.is_some_and(|old| bare(old) == bare(self.new))
    }
}

impl RoleName {
    fn kind(&self) -> Kind {
        if self.namespace.is_empty() { ClusterRole::KIND } else { Role::KIND }
    }
}

/// All rights, of resources and of paths.
fn everything() -> [PolicyRule; 2] {
    let all = || vec![ALL.to_owned()];
    let of_resources = PolicyRule { verbs: all(), api_groups: all(), resources: all(), ..PolicyRule::default() };
    [of_resources, PolicyRule { verbs: all(), non_resource_urls: all(), ..PolicyRule::default() }]
}

fn forbidden(key: &Key, why: &str) -> Error {
    let message = format!("{} {:?} is forbidden: {why}", key.kind.resource_name(), key.name);
    Error::new(Reason::Forbidden, message).about(key)
}

#[cfg(test)]
mod tests;
