//! Operations on resources, and the selectors beside them.

use super::{ALL, Causes, MATCH_POLICIES, Path, limits, meta, names};
use crate::{
    admissionregistration_v1::{MatchResources, NamedRuleWithOperations, Rule, RuleWithOperations},
    defaults::text,
};

const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES: [&str; 3] = ["*", "Cluster", "Namespaced"];

/// What is meant where a list of resources says nothing.
pub(crate) fn default_match_resources(resources: &mut MatchResources) {
    text(&mut resources.match_policy, "Equivalent");
    resources.namespace_selector.get_or_insert_default();
    resources.object_selector.get_or_insert_default();
    let named = resources.resource_rules.iter_mut().chain(&mut resources.exclude_resource_rules);
    named.filter_map(|named| named.rule_with_operations.as_mut()).for_each(default_rule);
}

pub(super) fn default_rule(rule: &mut RuleWithOperations) {
    text(&mut rule.rule.get_or_insert_default().scope, ALL);
}

pub(crate) fn match_resources(causes: &mut Causes, resources: &MatchResources, at: &Path<'_>) {
    causes.required_one_of(&at.field("matchPolicy"), &resources.match_policy, &MATCH_POLICIES);
    for (field, selector) in
        [("namespaceSelector", &resources.namespace_selector), ("objectSelector", &resources.object_selector)]
    {
        match selector {
            Some(selector) => meta::selector(causes, selector, &at.field(field)),
            None => causes.required(&at.field(field), ""),
        }
    }
    for (field, rules) in
        [("resourceRules", &resources.resource_rules), ("excludeResourceRules", &resources.exclude_resource_rules)]
    {
        let at = at.field(field);
        if causes.at_most(&at, rules.len(), limits::RULES_MAX) {
            rules.iter().enumerate().for_each(|(index, named)| named_rule(causes, named, &at.index(index)));
        }
    }
}

fn named_rule(causes: &mut Causes, named: &NamedRuleWithOperations, at: &Path<'_>) {
    let field = at.field("resourceNames");
    if causes.at_most(&field, named.resource_names.len(), limits::RULE_WORDS_MAX) {
        let mut known = std::collections::BTreeSet::new();
        for (index, name) in named.resource_names.iter().enumerate() {
            causes.syntax(&field.index(index), name, names::path_segment);
            if !known.insert(name) {
                causes.duplicate(&field.index(index), name);
            }
        }
    }
    rule_with_operations(causes, &named.rule_with_operations.clone().unwrap_or_default(), at);
}

pub(super) fn rule_with_operations(causes: &mut Causes, rule: &RuleWithOperations, at: &Path<'_>) {
    let field = at.field("operations");
    if causes.at_most(&field, rule.operations.len(), limits::RULE_WORDS_MAX) {
        if rule.operations.is_empty() {
            causes.required(&field, "");
        }
        alone(causes, &rule.operations, "operations", &field);
        let each = rule.operations.iter().enumerate();
        each.for_each(|(index, operation)| causes.one_of(&field.index(index), operation, &OPERATIONS));
    }
    self::rule(causes, &rule.rule.clone().unwrap_or_default(), at);
}

fn rule(causes: &mut Causes, rule: &Rule, at: &Path<'_>) {
    for (field, what, words) in
        [("apiGroups", "API groups", &rule.api_groups), ("apiVersions", "API versions", &rule.api_versions)]
    {
        let at = at.field(field);
        if !causes.at_most(&at, words.len(), limits::RULE_WORDS_MAX) {
            continue;
        }
        if words.is_empty() {
            causes.required(&at, "");
        }
        alone(causes, words, what, &at);
    }
    let versions = at.field("apiVersions");
    for (index, _) in rule.api_versions.iter().enumerate().filter(|(_, version)| version.is_empty()) {
        causes.required(&versions.index(index), "");
    }
    let resources = at.field("resources");
    if causes.at_most(&resources, rule.resources.len(), limits::RULE_WORDS_MAX) {
        self::resources(causes, &rule.resources, &resources);
    }
    if !rule.scope.is_empty() {
        causes.one_of(&at.field("scope"), &rule.scope, &SCOPES);
    }
}

/// `*` stands for all others, so none may stand beside it.
fn alone(causes: &mut Causes, words: &[String], what: &str, at: &Path<'_>) {
    if words.len() > 1 && words.iter().any(|word| word == ALL) {
        causes.invalid(at, words, format_args!("if '*' is present, must not specify other {what}"));
    }
}

fn resources(causes: &mut Causes, resources: &[String], at: &Path<'_>) {
    if resources.is_empty() {
        causes.required(at, "");
    }
    let (mut of_all, mut all_of) = (Vec::new(), Vec::new());
    for (index, resource) in resources.iter().enumerate() {
        let at = at.index(index);
        if resource.is_empty() {
            causes.required(&at, "");
        }
        let Some((name, part)) = resource.split_once('/') else { continue };
        if all_of.contains(&name) {
            causes.invalid(&at, resource, format_args!("if '{name}/*' is present, must not specify {resource}"));
        }
        if of_all.contains(&part) {
            causes.invalid(&at, resource, format_args!("if '*/{part}' is present, must not specify {resource}"));
        }
        all_of.extend((part == ALL).then_some(name));
        of_all.extend((name == ALL).then_some(part));
    }
    if resources.len() > 1 && resources.iter().any(|resource| resource == "*/*") {
        causes.invalid(at, resources, "if '*/*' is present, must not specify other resources");
    }
    let plain = |resource: &&String| !resource.contains('/');
    if resources.iter().any(|resource| resource == ALL) && resources.iter().filter(plain).count() > 1 {
        let why = "if '*' is present, must not specify other resources without subresources";
        causes.invalid(at, resources, why);
    }
}
