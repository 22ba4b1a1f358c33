//! How a refusal reads: Kubernetes' sentence, and which role would allow what was asked.

use api::{Error, Reason, rbac_v1::PolicyRule, rights::ALL};

use super::{
    attributes::{Attributes, ResourceAttributes},
    roles::{RoleName, Roles},
};
use crate::access::User;

/// The most ClusterRoles, and Roles of a namespace, that are looked through for one that would allow what was refused, so that
/// a refusal costs no more than a list. A cluster has some hundred of them.
pub(super) const LOOKED_THROUGH_MAX: usize = 512;

/// How many words a `*` is worth: whoever needs one right should not be told of a role that gives all.
const ALL_WORDS: usize = 64;

/// Says that no role allows something to somebody.
pub(super) fn refusal(user: &User, asked: &Attributes<'_>, roles: &Roles) -> Error {
    let sentence = match asked {
        Attributes::Resource(asked) => sentence(&user.name, asked),
        Attributes::NonResource { verb, path } => {
            format!("forbidden: User {:?} cannot {verb} path {path:?}", user.name)
        }
    };
    let remedy = remedy(asked, roles).unwrap_or_else(|| "no role allows it yet".to_owned());
    Error::new(Reason::Forbidden, format!("{sentence}: {remedy}"))
}

/// Kubernetes' words.
fn sentence(user: &str, asked: &ResourceAttributes<'_>) -> String {
    let ResourceAttributes { verb, group, resource, subresource, namespace, name } = *asked;
    let what = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
    let which = if name.is_empty() { String::new() } else { format!(" {name:?}") };
    let part = if subresource.is_empty() { resource.to_owned() } else { format!("{resource}/{subresource}") };
    let place = if namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {namespace:?}")
    };
    format!("{what}{which} is forbidden: User {user:?} cannot {verb} resource {part:?} in API group {group:?} {place}")
}

/// The smallest role that would allow it, a Role of the namespace before a ClusterRole.
fn remedy(asked: &Attributes<'_>, roles: &Roles) -> Option<String> {
    let namespace = match asked {
        Attributes::Resource(asked) => asked.namespace,
        Attributes::NonResource { .. } => "",
    };
    let here = (!namespace.is_empty()).then(|| smallest(namespace, asked, roles)).flatten();
    let role = here.or_else(|| smallest("", asked, roles))?;
    let binding = if namespace.is_empty() { "ClusterRoleBinding" } else { "RoleBinding" };
    Some(format!("the {role} would allow it, by a {binding}"))
}

fn smallest<'a>(namespace: &str, asked: &Attributes<'_>, roles: &'a Roles) -> Option<&'a RoleName> {
    let first = RoleName { namespace: namespace.into(), name: "".into() };
    let within = roles.rules.range(first..).take_while(|(role, _)| *role.namespace == *namespace);
    let allowing = within.take(LOOKED_THROUGH_MAX).filter(|(role, _)| roles.allowing(role, asked));
    allowing.min_by_key(|(_, rules)| rules.iter().map(size).sum::<usize>()).map(|(role, _)| role)
}

/// How much a rule allows, roughly.
fn size(rule: &PolicyRule) -> usize {
    let words = |words: &[String]| words.iter().map(|word| if word == ALL { ALL_WORDS } else { 1 }).sum::<usize>();
    words(&rule.verbs) * (words(&rule.api_groups) * words(&rule.resources) + words(&rule.non_resource_urls))
}
