//! Questions about what somebody may do: the asker itself, or others. Each is answered by the decision that a request would get,
//! in every language alike.

use std::collections::BTreeMap;

use api::{
    Error,
    authentication_v1::ExtraValue,
    authorization_v1::{
        self, NonResourceAttributes, NonResourceRule, ResourceRule, SelfSubjectAccessReviewSpec,
        SubjectAccessReviewSpec, SubjectAccessReviewStatus, SubjectRulesReviewStatus,
    },
    error::Cause,
    rbac_v1::PolicyRule,
    reviews::{
        AUTHORIZATION,
        selectors::{self, Selected},
    },
    users::{NODE_PREFIX, NODES},
};
use registry::{Access, Attributes, Caller, Registry, ResourceAttributes, RulesOf, User, Verdict};

/// The most groups, and values of extras, of somebody who is asked about: more than any token names.
const GROUPS_MAX: usize = 1024;

/// Whether the caller may ask about others: everywhere, or in one namespace.
pub(crate) async fn may_ask(registry: &Registry, namespace: &str) -> Result<(), Error> {
    let resource = if namespace.is_empty() { "subjectaccessreviews" } else { "localsubjectaccessreviews" };
    let right = ResourceAttributes {
        verb: "create",
        group: AUTHORIZATION,
        resource,
        namespace,
        ..ResourceAttributes::default()
    };
    registry.authorise(Access::Resource(right)).await
}

/// Whether the asker may do something.
pub(crate) fn own(registry: &Registry, spec: &SelfSubjectAccessReviewSpec) -> Result<SubjectAccessReviewStatus, Error> {
    let SelfSubjectAccessReviewSpec { resource_attributes, non_resource_attributes } = spec;
    let asked = attributes("SelfSubjectAccessReview", resource_attributes.as_ref(), non_resource_attributes.as_ref())?;
    let Selected { fields, evaluation_error } = selected(resource_attributes.as_ref());
    Ok(status(registry.review(registry.caller(), &asked, &fields), evaluation_error))
}

/// Whether somebody may do something, in a namespace unless that is empty.
pub(crate) fn of_others(
    registry: &Registry,
    spec: &SubjectAccessReviewSpec,
    namespace: &str,
) -> Result<SubjectAccessReviewStatus, Error> {
    let kind = if namespace.is_empty() { "SubjectAccessReview" } else { "LocalSubjectAccessReview" };
    let SubjectAccessReviewSpec { resource_attributes, non_resource_attributes, user, groups, extra, uid } = spec;
    let asked = attributes(kind, resource_attributes.as_ref(), non_resource_attributes.as_ref())?;
    if !namespace.is_empty() {
        let is_there = matches!(asked, Attributes::Resource(asked) if asked.namespace == namespace);
        if !is_there {
            return Err(invalid(kind, "spec.resourceAttributes.namespace", "must match the namespace of the request"));
        }
    }
    if user.is_empty() && groups.is_empty() {
        return Err(invalid(kind, "spec.user", "at least one of user or group must be specified"));
    }
    if groups.len() + extra.values().map(|values| values.items.len()).sum::<usize>() > GROUPS_MAX {
        return Err(invalid(kind, "spec.groups", &format!("must have at most {GROUPS_MAX} groups and extras")));
    }
    let extra: BTreeMap<String, Vec<String>> =
        extra.iter().map(|(key, ExtraValue { items })| (key.clone(), items.clone())).collect();
    let user = User { name: user.clone(), uid: uid.clone(), groups: groups.clone(), extra };
    let Selected { fields, evaluation_error } = selected(resource_attributes.as_ref());
    Ok(status(registry.explain(&as_caller(user), &asked, &fields), evaluation_error))
}

/// Who would send the requests of a user: what a node may do depends on its Pods, and on no role.
fn as_caller(user: User) -> Caller {
    let node = user.name.strip_prefix(NODE_PREFIX).filter(|_| user.groups.iter().any(|group| group == NODES));
    match node.map(str::to_owned) {
        Some(name) => Caller::Node { name, uid: user.uid, from: None },
        None => Caller::User(user.into()),
    }
}

/// What the asker may do in a namespace.
pub(crate) fn own_rules(registry: &Registry, namespace: &str) -> Result<SubjectRulesReviewStatus, Error> {
    if namespace.is_empty() {
        return Err(Error::bad_request("no namespace on request: name one in spec.namespace"));
    }
    let RulesOf { rules, incomplete } = registry.rules_of(registry.caller(), namespace);
    let (paths, resources): (Vec<PolicyRule>, Vec<PolicyRule>) =
        rules.into_iter().partition(|rule| !rule.non_resource_urls.is_empty());
    let resource = |PolicyRule { verbs, api_groups, resources, resource_names, non_resource_urls: _ }| ResourceRule {
        verbs,
        api_groups,
        resources,
        resource_names,
    };
    let path = |PolicyRule { verbs, non_resource_urls, .. }| NonResourceRule { verbs, non_resource_urls };
    Ok(SubjectRulesReviewStatus {
        resource_rules: resources.into_iter().map(resource).collect(),
        non_resource_rules: paths.into_iter().map(path).collect(),
        incomplete,
        evaluation_error: String::new(),
    })
}

fn status(Verdict { allowed, reason }: Verdict, evaluation_error: String) -> SubjectAccessReviewStatus {
    SubjectAccessReviewStatus { allowed, reason, evaluation_error, denied: false }
}

/// With which objects of many it is to be done.
fn selected(asked: Option<&authorization_v1::ResourceAttributes>) -> Selected {
    asked.map(selectors::read).unwrap_or_default()
}

/// What is asked: about a resource or about a path.
fn attributes<'a>(
    kind: &str,
    resource: Option<&'a authorization_v1::ResourceAttributes>,
    path: Option<&'a NonResourceAttributes>,
) -> Result<Attributes<'a>, Error> {
    match (resource, path) {
        (Some(asked), None) => {
            let authorization_v1::ResourceAttributes {
                namespace,
                verb,
                group,
                version: _,
                resource,
                subresource,
                name,
                field_selector: _,
                label_selector: _,
            } = asked;
            let wrong = selectors::check(asked);
            if !wrong.is_empty() {
                return Err(Error::invalid_request(&format!("{kind}.{AUTHORIZATION}"), wrong));
            }
            Ok(Attributes::Resource(ResourceAttributes { verb, group, resource, subresource, namespace, name }))
        }
        (None, Some(NonResourceAttributes { path, verb })) => Ok(Attributes::NonResource { verb, path }),
        (Some(_), Some(_)) => {
            let why = "cannot be specified in combination with resourceAttributes";
            Err(invalid(kind, "spec.nonResourceAttributes", why))
        }
        (None, None) => {
            let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            Err(invalid(kind, "spec.resourceAttributes", why))
        }
    }
}

fn invalid(kind: &str, field: &str, why: &str) -> Error {
    let message = format!("Invalid value: {why}");
    let cause = Cause { reason: "FieldValueInvalid", field: field.to_owned(), message };
    Error::invalid_request(&format!("{kind}.{AUTHORIZATION}"), vec![cause])
}
