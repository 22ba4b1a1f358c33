//! What roles and bindings have in common.

use super::{
    causes::{Causes, Path},
    limits::{RULE_WORDS_MAX, RULES_MAX, SUBJECTS_MAX, TERMS_MAX},
    meta, names,
};
use crate::{
    defaults::text,
    rbac_v1::{AggregationRule, PolicyRule, RoleRef, Subject},
};

/// The API group of roles, bindings, users and groups.
const GROUP: &str = "rbac.authorization.k8s.io";

/// Where the rules of a role apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// In the role's namespace.
    Namespace,
    /// Everywhere, also to what belongs to no resource.
    Cluster,
}

pub(crate) fn rules(causes: &mut Causes, rules: &[PolicyRule], scope: Scope, at: &Path<'_>) {
    let few = causes.at_most(at, rules.len(), RULES_MAX);
    for (index, rule) in rules.iter().enumerate().filter(|_| few) {
        self::rule(causes, rule, scope, &at.index(index));
    }
}

fn rule(causes: &mut Causes, rule: &PolicyRule, scope: Scope, at: &Path<'_>) {
    if rule.verbs.is_empty() {
        causes.required(&at.field("verbs"), "verbs must contain at least one value");
    }
    for (field, words) in [
        ("verbs", &rule.verbs),
        ("apiGroups", &rule.api_groups),
        ("resources", &rule.resources),
        ("resourceNames", &rule.resource_names),
        ("nonResourceURLs", &rule.non_resource_urls),
    ] {
        causes.at_most(&at.field(field), words.len(), RULE_WORDS_MAX);
    }
    if !rule.non_resource_urls.is_empty() {
        return paths(causes, rule, scope, &at.field("nonResourceURLs"));
    }
    if rule.api_groups.is_empty() {
        causes.required(&at.field("apiGroups"), "resource rules must supply at least one api group");
    }
    if rule.resources.is_empty() {
        causes.required(&at.field("resources"), "resource rules must supply at least one resource");
    }
}

fn paths(causes: &mut Causes, rule: &PolicyRule, scope: Scope, at: &Path<'_>) {
    if scope == Scope::Namespace {
        causes.invalid(at, &rule.non_resource_urls, "namespaced rules cannot apply to non-resource URLs");
    }
    if !(rule.api_groups.is_empty() && rule.resources.is_empty() && rule.resource_names.is_empty()) {
        causes.invalid(
            at,
            &rule.non_resource_urls,
            "rules cannot apply to both regular resources and non-resource URLs",
        );
    }
}

pub(crate) fn aggregation(causes: &mut Causes, rule: &AggregationRule, at: &Path<'_>) {
    let at = at.field("clusterRoleSelectors");
    if rule.cluster_role_selectors.is_empty() {
        causes.required(&at, "at least one clusterRoleSelector required if aggregationRule is non-nil");
    }
    let few = causes.at_most(&at, rule.cluster_role_selectors.len(), TERMS_MAX);
    for (index, selector) in rule.cluster_role_selectors.iter().enumerate().filter(|_| few) {
        meta::selector(causes, selector, &at.index(index));
    }
}

/// The group of a role, of users and of groups, where a manifest does not name it.
pub(crate) fn binding_defaults(subjects: &mut [Subject], role: &mut RoleRef) {
    text(&mut role.api_group, GROUP);
    for subject in subjects.iter_mut().filter(|subject| matches!(subject.kind.as_str(), "User" | "Group")) {
        text(&mut subject.api_group, GROUP);
    }
}

pub(crate) fn role_ref(causes: &mut Causes, role: &RoleRef, kinds: &[&str], at: &Path<'_>) {
    causes.one_of(&at.field("apiGroup"), &role.api_group, &[GROUP]);
    causes.one_of(&at.field("kind"), &role.kind, kinds);
    causes.required_syntax(&at.field("name"), &role.name, names::path_segment);
}

pub(crate) fn subjects(causes: &mut Causes, subjects: &[Subject], at: &Path<'_>) {
    let few = causes.at_most(at, subjects.len(), SUBJECTS_MAX);
    for (index, subject) in subjects.iter().enumerate().filter(|_| few) {
        self::subject(causes, subject, &at.index(index));
    }
}

fn subject(causes: &mut Causes, subject: &Subject, at: &Path<'_>) {
    if subject.name.is_empty() {
        causes.required(&at.field("name"), "");
    }
    match subject.kind.as_str() {
        "ServiceAccount" => {
            if !subject.name.is_empty() {
                causes.syntax(&at.field("name"), &subject.name, names::dns_subdomain);
            }
            causes.one_of(&at.field("apiGroup"), &subject.api_group, &[""]);
            if subject.namespace.is_empty() {
                causes.required(&at.field("namespace"), "");
            }
        }
        "User" | "Group" => causes.one_of(&at.field("apiGroup"), &subject.api_group, &[GROUP]),
        other => causes.unsupported(&at.field("kind"), other, &["ServiceAccount", "User", "Group"]),
    }
}

/// The names of a binding's subjects of one kind, as a table shows them.
pub(crate) fn named(subjects: &[Subject], kind: &str) -> String {
    let name = |subject: &Subject| match subject.kind.as_str() {
        "ServiceAccount" => format!("{}/{}", subject.namespace, subject.name),
        _ => subject.name.clone(),
    };
    subjects.iter().filter(|subject| subject.kind == kind).map(name).collect::<Vec<_>>().join(", ")
}
