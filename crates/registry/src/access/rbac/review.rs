//! Answers to the question what somebody may do: by the same decision that a request of theirs would get.

use api::{
    Error, Key, Kind, Reason, Served, Subresource, Verb,
    certificates_v1::CertificateSigningRequestSpec,
    kinds::certificates::certificate_signing_request::{Approval, Ground},
    rbac_v1::PolicyRule,
    rights::ALL,
    selector::{Condition, Fields},
    users::MASTERS,
};

use super::{
    Attributes, ResourceAttributes,
    refusal::Reader,
    roles::{Allowed, Roles},
};
use crate::{
    Registry,
    access::{Access, Asked, Caller, User},
};

/// Whether something is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it is.
    pub allowed: bool,
    /// By which role and binding; empty if it is not, unless somebody asks about others.
    pub reason: String,
}

/// What somebody may do in a namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct RulesOf {
    /// The rules, of resources and of paths.
    pub rules: Vec<PolicyRule>,
    /// Whether there may be more that no rule tells.
    pub incomplete: bool,
}

impl Roles {
    /// Whether somebody may do something by these roles.
    #[must_use]
    pub fn allows(&self, user: &User, asked: &Attributes<'_>) -> bool {
        self.decide(user, asked).is_some()
    }

    /// Whether somebody may do something by these roles, and why.
    #[must_use]
    pub fn verdict(&self, user: &User, asked: &Attributes<'_>) -> Verdict {
        match self.decide(user, asked) {
            Some(why) => Verdict { allowed: true, reason: why.to_string() },
            None => Verdict { allowed: false, reason: String::new() },
        }
    }

    /// The first ground on which a request for a certificate may be approved by itself, if there is one. As elsewhere roles decide,
    /// of nodes too: what their Pods need is not the question.
    #[must_use]
    pub fn ground(&self, approval: &Approval) -> Option<Ground> {
        let CertificateSigningRequestSpec { username, uid, groups, extra, .. } =
            approval.request.spec.clone().unwrap_or_default();
        let extra = extra.into_iter().map(|(key, values)| (key, values.items)).collect();
        let user = User { name: username, uid, groups, extra };
        let may = |ground: &&Ground| {
            let asked = ResourceAttributes {
                verb: Verb::Create.word(),
                group: Kind::CertificateSigningRequest.info().group,
                resource: Kind::CertificateSigningRequest.info().plural,
                subresource: ground.subresource,
                ..ResourceAttributes::default()
            };
            self.allows(&user, &asked.into())
        };
        approval.grounds.iter().find(may).copied()
    }
}

impl Registry {
    /// Whether somebody may do something, of many objects with those that have some fields, and why. No role depends on fields, but
    /// what a node may see does.
    #[must_use]
    pub fn review(&self, caller: &Caller, asked: &Attributes<'_>, fields: &[Condition]) -> Verdict {
        let allowed = |reason: String| Verdict { allowed: true, reason };
        let refused = Verdict { allowed: false, reason: String::new() };
        match caller {
            Caller::Cluster | Caller::Master { .. } | Caller::Admin { .. } => allowed(Allowed::Masters.to_string()),
            Caller::User(user) => self.inner.rights.of(&self.state()).verdict(user, asked),
            Caller::Node { name, .. } => match asked {
                Attributes::Resource(asked) => match self.asked_by_node(caller, asked, fields) {
                    Ok(()) => allowed(format!("node {name:?} needs it for its Pods")),
                    Err(Error { message, .. }) => Verdict { allowed: false, reason: message },
                },
                Attributes::NonResource { .. } => Verdict {
                    allowed: false,
                    reason: "nodes have no rights to paths but those that are open".to_owned(),
                },
            },
            Caller::Newcomer { .. } | Caller::Nobody => refused,
        }
    }

    /// As [`Registry::review`], for whoever asks about others: the reason says by which rule, or how it could be allowed.
    #[must_use]
    pub fn explain(&self, caller: &Caller, asked: &Attributes<'_>, fields: &[Condition]) -> Verdict {
        let Caller::User(user) = caller else { return self.review(caller, asked, fields) };
        let reader = match self.caller() {
            Caller::User(reader) => Reader::User(reader),
            Caller::Cluster
            | Caller::Master { .. }
            | Caller::Newcomer { .. }
            | Caller::Admin { .. }
            | Caller::Node { .. }
            | Caller::Nobody => Reader::Administrator,
        };
        let (allowed, reason) = self.inner.rights.of(&self.state()).explain(user, asked, reader);
        Verdict { allowed, reason }
    }

    /// What somebody may do in a namespace, as far as rules tell.
    #[must_use]
    pub fn rules_of(&self, caller: &Caller, namespace: &str) -> RulesOf {
        match caller {
            Caller::Cluster | Caller::Master { .. } | Caller::Admin { .. } => everything(),
            Caller::User(user) if user.groups.iter().any(|group| group == MASTERS) => everything(),
            Caller::User(user) => {
                let roles = self.inner.rights.of(&self.state());
                let rules = roles.of(user, namespace).flat_map(|grant| grant.rules.iter()).cloned().collect();
                RulesOf { rules, incomplete: false }
            }
            // What a node may do depends on its Pods.
            Caller::Node { .. } | Caller::Newcomer { .. } | Caller::Nobody => {
                RulesOf { rules: Vec::new(), incomplete: true }
            }
        }
    }

    /// What a request of a node would be answered.
    fn asked_by_node(
        &self,
        caller: &Caller,
        asked: &ResourceAttributes<'_>,
        fields: &[Condition],
    ) -> Result<(), Error> {
        let no =
            |why: &str| Err(Error::new(Reason::Forbidden, format!("User {:?} cannot do this: {why}", caller.user())));
        let is_it = |served: &Served| served.info().group == asked.group && served.info().plural == asked.resource;
        let Some(kind) = Served::all().find(is_it).map(Served::kind) else {
            return no("nodes need built-in kinds alone, and this is none");
        };
        let (Some(verb), Some(subresource)) = (verb(asked.verb), Subresource::from_word(asked.subresource)) else {
            return no("nodes need no such verb or subresource");
        };
        let (verb, subresource) = match subresource {
            Subresource::Log => (Verb::Log, Subresource::None),
            // For which Pod a token is to be is not part of the question.
            Subresource::Token => {
                return no("it is given tokens bound to its Pods, of which the question does not speak");
            }
            Subresource::None
            | Subresource::Status
            | Subresource::Scale
            | Subresource::Binding
            | Subresource::Eviction
            | Subresource::Finalize
            | Subresource::Owners
            | Subresource::Portforward
            | Subresource::Exec
            | Subresource::Attach
            | Subresource::Proxy
            | Subresource::Approval => (verb, subresource),
        };
        let namespace = if kind == Kind::Namespace { "" } else { asked.namespace };
        let key = Key::namespaced(kind, namespace, asked.name);
        let fields = Fields::known(kind, fields);
        let access = Access::Objects(Asked { verb, key: &key, subresource, fields: Some(&fields) });
        caller.authorise(access, || self.state(), &self.inner.node_uses)
    }
}

fn verb(word: &str) -> Option<Verb> {
    Verb::OF_STORED.iter().copied().find(|verb| verb.word() == word)
}

fn everything() -> RulesOf {
    let all = || vec![ALL.to_owned()];
    let resources = PolicyRule { verbs: all(), api_groups: all(), resources: all(), ..PolicyRule::default() };
    let paths = PolicyRule { verbs: all(), non_resource_urls: all(), ..PolicyRule::default() };
    RulesOf { rules: vec![resources, paths], incomplete: false }
}
