//! How a refusal reads: Kubernetes' sentence, and how somebody who may would allow what was asked.
//!
//! Whoever is refused learns of no role that it may not list, but of those that every cluster has, which are no secret.

use std::{
    fmt::Write as _,
    sync::{Arc, LazyLock},
};

use api::{
    Error, Kind, Reason,
    kinds::Resource as _,
    rbac_v1::{ClusterRole, PolicyRule, Role},
    rights::{self, ALL},
    users::as_service_account,
};

use super::{
    attributes::{Attributes, ResourceAttributes},
    roles::{Allowed, RoleName, Roles},
    rules::{self, RuleSet},
};
use crate::access::User;

/// The most ClusterRoles, and Roles of a namespace, that are looked through for one that would allow what was refused, so that a
/// refusal costs little more than a decision.
pub(super) const LOOKED_THROUGH_MAX: usize = 64;

/// How many words a `*` is worth: whoever needs one right should not be told of a role that gives all.
const ALL_WORDS: usize = 64;

/// The roles for users that every cluster has, but for the one that gives everything.
static USERS_ROLES: LazyLock<[RoleName; 3]> =
    LazyLock::new(|| ["view", "edit", "admin"].map(|name| RoleName { namespace: "".into(), name: name.into() }));

/// Who is told of roles.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reader<'a> {
    /// Somebody who may know all of them.
    Administrator,
    /// Somebody who has what roles give.
    User(&'a User),
}

impl Reader<'_> {
    fn may_list(self, kind: Kind, namespace: &str, roles: &Roles) -> bool {
        let Self::User(user) = self else { return true };
        let info = kind.info();
        let (verb, group, resource) = ("list", info.group, info.plural);
        let asked = ResourceAttributes { verb, group, resource, namespace, ..ResourceAttributes::default() };
        roles.decide(user, &asked.into()).is_some()
    }
}

/// Says that no role allows something to somebody.
pub(super) fn refusal(user: &User, asked: &Attributes<'_>, roles: &Roles) -> Error {
    let sentence = match asked {
        Attributes::Resource(asked) => sentence(&user.name, asked),
        Attributes::NonResource { verb, path } => {
            format!("forbidden: User {:?} cannot {verb} path {path:?}", user.name)
        }
    };
    let remedy = remedy(user, asked, roles, Reader::User(user));
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

/// The smallest role that would allow it, and the command that gives it; or how to make one.
pub(super) fn remedy(user: &User, asked: &Attributes<'_>, roles: &Roles, reader: Reader<'_>) -> String {
    let namespace = asked.namespace();
    match smallest(asked, roles, reader) {
        Some(role) => {
            let name =
                if user.name.contains(['/', '%']) { "NAME" } else { user.name.rsplit(':').next().unwrap_or("NAME") };
            let binding = word(&format!("{name}-{}", role.name));
            let of = if role.namespace.is_empty() { "clusterrole" } else { "role" };
            let bind = bind(&binding, of, &role.name, user, namespace);
            format!("the {role} would allow it: {bind}")
        }
        None => {
            let (make, of) = make(asked);
            format!("a role of its own would allow it: {make}; {}", bind("NAME", of, "NAME", user, namespace))
        }
    }
}

/// The command that gives a role to somebody.
fn bind(binding: &str, of: &str, role: &str, user: &User, namespace: &str) -> String {
    let to = match as_service_account(&user.name) {
        Some((namespace, name)) => format!("--serviceaccount={}", word(&format!("{namespace}:{name}"))),
        None => format!("--user={}", word(&user.name)),
    };
    let (what, place) = match namespace {
        "" => ("clusterrolebinding", String::new()),
        namespace => ("rolebinding", format!(" --namespace={}", word(namespace))),
    };
    format!("kubectl create {what} {binding} --{of}={} {to}{place}", word(role))
}

/// The command that makes a role, and of which kind it is.
fn make(asked: &Attributes<'_>) -> (String, &'static str) {
    match asked {
        Attributes::NonResource { verb, path } => {
            let (verb, path) = (word(verb), word(path));
            (format!("kubectl create clusterrole NAME --verb={verb} --non-resource-url={path}"), "clusterrole")
        }
        Attributes::Resource(ResourceAttributes { verb, group, resource, subresource, namespace, name: _ }) => {
            let mut what = (*resource).to_owned();
            for (mark, text) in [('.', group), ('/', subresource)].into_iter().filter(|(_, text)| !text.is_empty()) {
                let _ = write!(what, "{mark}{text}");
            }
            let (verb, what) = (word(verb), word(&what));
            match *namespace {
                "" => (format!("kubectl create clusterrole NAME --verb={verb} --resource={what}"), "clusterrole"),
                namespace => {
                    let namespace = word(namespace);
                    let make =
                        format!("kubectl create role NAME --verb={verb} --resource={what} --namespace={namespace}");
                    (make, "role")
                }
            }
        }
    }
}

/// A word as a shell reads it.
fn word(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@%+=:,./_-".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// Of the roles that may be told of, the smallest that would allow it and does not allow everything.
fn smallest<'a>(asked: &Attributes<'_>, roles: &'a Roles, reader: Reader<'_>) -> Option<&'a RoleName> {
    let namespace = asked.namespace();
    let here = (!namespace.is_empty() && reader.may_list(Role::KIND, namespace, roles))
        .then(|| roles.for_users(namespace).take(LOOKED_THROUGH_MAX));
    let everywhere =
        reader.may_list(ClusterRole::KIND, "", roles).then(|| roles.for_users("").take(LOOKED_THROUGH_MAX));
    let given = USERS_ROLES.iter().filter_map(|name| roles.rules.get_key_value(name));
    let allowing = |(_, rules): &(&RoleName, &Arc<RuleSet>)| rules.allow(asked) && !rules.iter().any(is_everything);
    let found = here.into_iter().flatten().chain(everywhere.into_iter().flatten()).chain(given).filter(allowing);
    found.min_by_key(|(_, rules)| rules.iter().map(size).sum::<usize>()).map(|(role, _)| role)
}

fn is_everything(rule: &PolicyRule) -> bool {
    let all = |words: &[String]| words.iter().any(|word| word == ALL);
    all(&rule.verbs) && (all(&rule.api_groups) && all(&rule.resources) || all(&rule.non_resource_urls))
}

/// How much a rule allows, roughly.
fn size(rule: &PolicyRule) -> usize {
    let words = |words: &[String]| words.iter().map(|word| if word == ALL { ALL_WORDS } else { 1 }).sum::<usize>();
    words(&rule.verbs) * (words(&rule.api_groups) * words(&rule.resources) + words(&rule.non_resource_urls))
}

impl Roles {
    /// Why somebody may do something, with the rule that says so; or how it could be allowed, and what of it is allowed already.
    pub(super) fn explain(&self, user: &User, asked: &Attributes<'_>, reader: Reader<'_>) -> (bool, String) {
        match self.decide(user, asked) {
            Some(Allowed::Masters) => (true, Allowed::Masters.to_string()),
            Some(allowed @ Allowed::Role(grant)) => {
                let asked: Vec<Attributes<'_>> = asked.everywhere().collect();
                let says_so = |rule: &&PolicyRule| asked.iter().any(|asked| rules::allows(rule, asked));
                let rule =
                    grant.rules.iter().find(says_so).map(|rule| rights::told(std::slice::from_ref(rule)).join(""));
                (true, format!("{allowed}: {}", rule.unwrap_or_default()))
            }
            None => {
                let remedy = remedy(user, asked, self, reader);
                let nearest = self.nearest(user, asked).map(|nearest| format!("; {nearest}")).unwrap_or_default();
                (false, format!("{remedy}{nearest}"))
            }
        }
    }

    /// A role that somebody has which allows something else with the same resource.
    fn nearest(&self, user: &User, asked: &Attributes<'_>) -> Option<String> {
        let near = |rule: &&PolicyRule| rules::concerns(rule, asked);
        self.of(user, asked.namespace()).find_map(|grant| {
            let rules: Vec<PolicyRule> = grant.rules.iter().filter(near).cloned().collect();
            let told = rights::told(&rules).join(" ");
            (!rules.is_empty()).then(|| format!("nearest comes {grant}, which allows {told}"))
        })
    }
}
