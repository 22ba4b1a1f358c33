//! FlowSchemas.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    Subresource, Timestamp,
    flow_control::{self, ANY, BY_NAMESPACE, BY_USER, DANGLING, EXEMPT},
    flowcontrol_v1::{
        FlowSchema, FlowSchemaSpec, NonResourcePolicyRule, PolicyRulesWithSubjects, ResourcePolicyRule,
        ServiceAccountSubject, Subject,
    },
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    table::{
        Cell, Column, Common, NONE,
        columns::{AGE, NAME, integer, text},
    },
    validate::{
        Causes, Path,
        limits::{RULE_WORDS_MAX, RULES_MAX, SUBJECTS_MAX},
        names::{self, Syntax},
    },
    warnings::Warnings,
};

/// The precedence of a schema that does not say it.
const PRECEDENCE: i32 = 1_000;

/// The last precedence.
const PRECEDENCE_MAX: i32 = 10_000;

const VERBS: [&str; 9] = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

const COLUMNS: &[Column] = &[
    NAME,
    text("PriorityLevel", "The level to which the requests belong."),
    integer("MatchingPrecedence", "Of all schemas that match, that with the smallest number counts."),
    text("DistinguisherMethod", "By what the flows of the schema are told apart."),
    AGE,
    text("MissingPL", "Whether the level does not exist."),
];

const SAMPLE: &str = "\
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata:
  name: reports
spec:
  priorityLevelConfiguration:
    name: workload-low
  matchingPrecedence: 500
  distinguisherMethod:
    type: ByUser
  rules:
  - subjects:
    - kind: ServiceAccount
      serviceAccount: {namespace: reports, name: '*'}
    - kind: Group
      group: {name: reporters}
    resourceRules:
    - verbs: [list]
      apiGroups: ['*']
      resources: ['*']
      clusterScope: true
      namespaces: ['*']
    nonResourceRules:
    - verbs: [get]
      nonResourceURLs: [/openapi/*]
";

pub(crate) struct FlowSchemaStrategy;

impl Strategy for FlowSchemaStrategy {
    type Object = FlowSchema;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, schema: &mut FlowSchema) {
        if let Some(spec) = schema.spec.as_mut().filter(|spec| spec.matching_precedence == 0) {
            spec.matching_precedence = PRECEDENCE;
        }
    }

    fn validate(&self, causes: &mut Causes, schema: &FlowSchema) {
        let name = schema.metadata.as_ref().map_or("", |metadata| &metadata.name);
        let none = FlowSchemaSpec::default();
        let (spec, at) = (schema.spec.as_ref().unwrap_or(&none), Path::Root.field("spec"));
        validate_spec(causes, spec, name, &at);
        let fixed = Some(name).filter(|name| flow_control::is_mandatory(name)).and_then(flow_control::schema);
        if fixed.is_some_and(|fixed| fixed.spec != schema.spec) {
            causes.invalid_as(&at, format_args!("spec of '{name}' must equal the fixed value"));
        }
    }

    fn validate_update(&self, _: &mut Causes, _: &FlowSchema, _: &FlowSchema) {}

    fn validate_status(&self, causes: &mut Causes, schema: &FlowSchema) {
        let conditions = schema.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        causes.conditions(&Path::Root.field("status").field("conditions"), conditions);
    }

    fn warn(&self, _: &mut Warnings, _: &FlowSchema) {}

    fn prepare_for_create(&self, schema: &mut FlowSchema) {
        schema.status = None;
    }

    fn prepare_for_update(&self, new: &mut FlowSchema, old: &FlowSchema) {
        new.status.clone_from(&old.status);
    }

    fn update_status(&self, schema: &mut FlowSchema, sent: &FlowSchema) {
        schema.status.clone_from(&sent.status);
    }

    fn scale(&self, _: &FlowSchema) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut FlowSchema, _: i32) {}

    fn is_new_generation(&self, old: Option<&FlowSchema>, new: &FlowSchema, _: Subresource) -> bool {
        old.is_none_or(|old| old.spec != new.spec)
    }

    fn allocation<'a>(&self, _: &'a mut FlowSchema) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &FlowSchema) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(&self, schema: &mut FlowSchema, _: Option<i64>, now: Timestamp) -> Result<(), &'static str> {
        deletion::mark_now(&mut schema.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &FlowSchema) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, schema: &FlowSchema, common: Common, _: Timestamp) -> Vec<Cell> {
        let none = FlowSchemaSpec::default();
        let spec = schema.spec.as_ref().unwrap_or(&none);
        let conditions = schema.status.iter().flat_map(|status| &status.conditions);
        let dangling = conditions.filter(|condition| condition.r#type == DANGLING).map(|condition| &condition.status);
        vec![
            common.name,
            level(spec).into(),
            spec.matching_precedence.into(),
            spec.distinguisher_method.as_ref().map_or(NONE, |method| &method.r#type).into(),
            common.age,
            dangling.map(String::as_str).next().unwrap_or("?").into(),
        ]
    }

    fn fields(&self) -> Vec<&str> {
        Vec::new()
    }

    fn field<'a>(&self, _: &'a FlowSchema, _: usize) -> Cow<'a, str> {
        Cow::default()
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}

/// The level to which a schema belongs.
#[must_use]
pub fn level(spec: &FlowSchemaSpec) -> &str {
    spec.priority_level_configuration.as_ref().map_or("", |level| &level.name)
}

fn validate_spec(causes: &mut Causes, spec: &FlowSchemaSpec, name: &str, at: &Path<'_>) {
    let (precedence, field) = (spec.matching_precedence, at.field("matchingPrecedence"));
    match precedence {
        ..=0 => causes.invalid(&field, precedence, "must be a positive value"),
        1 if name != EXEMPT => {
            causes.invalid(&field, precedence, "only the schema named 'exempt' may have matchingPrecedence 1");
        }
        1..=PRECEDENCE_MAX => {}
        _ => causes.invalid(&field, precedence, format_args!("must not be greater than {PRECEDENCE_MAX}")),
    }
    if let Some(method) = &spec.distinguisher_method {
        causes.one_of(&at.field("distinguisherMethod").field("type"), &method.r#type, &[BY_NAMESPACE, BY_USER]);
    }
    let (named, field) = (level(spec), at.field("priorityLevelConfiguration"));
    match named {
        "" => causes.required(&field.field("name"), "must reference a priority level"),
        named => causes.syntax(&field.field("name"), named, names::dns_subdomain),
    }
    let at = at.field("rules");
    let few = causes.at_most(&at, spec.rules.len(), RULES_MAX);
    for (index, rule) in spec.rules.iter().enumerate().filter(|_| few) {
        validate_rule(causes, rule, &at.index(index));
    }
}

fn validate_rule(causes: &mut Causes, rule: &PolicyRulesWithSubjects, at: &Path<'_>) {
    let subjects = at.field("subjects");
    if rule.subjects.is_empty() {
        causes.required(&subjects, "subjects must contain at least one value");
    }
    let few = causes.at_most(&subjects, rule.subjects.len(), SUBJECTS_MAX);
    for (index, subject) in rule.subjects.iter().enumerate().filter(|_| few) {
        validate_subject(causes, subject, &subjects.index(index));
    }
    if rule.resource_rules.is_empty() && rule.non_resource_rules.is_empty() {
        causes.required(at, "at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    let field = at.field("resourceRules");
    let few = causes.at_most(&field, rule.resource_rules.len(), RULES_MAX);
    for (index, rule) in rule.resource_rules.iter().enumerate().filter(|_| few) {
        validate_resources(causes, rule, &field.index(index));
    }
    let field = at.field("nonResourceRules");
    let few = causes.at_most(&field, rule.non_resource_rules.len(), RULES_MAX);
    for (index, rule) in rule.non_resource_rules.iter().enumerate().filter(|_| few) {
        validate_paths(causes, rule, &field.index(index));
    }
}

fn validate_subject(causes: &mut Causes, subject: &Subject, at: &Path<'_>) {
    let kind = subject.kind.as_str();
    let user = subject.user.as_ref().map(|user| user.name.as_str());
    let group = subject.group.as_ref().map(|group| group.name.as_str());
    match kind {
        "User" => validate_named(causes, user, &at.field("user"), "user is required when subject kind is 'User'"),
        "Group" => validate_named(causes, group, &at.field("group"), "group is required when subject kind is 'Group'"),
        "ServiceAccount" => validate_account(causes, subject.service_account.as_ref(), &at.field("serviceAccount")),
        other => return causes.unsupported(&at.field("kind"), other, &["Group", "ServiceAccount", "User"]),
    }
    for (field, is_given, of) in [
        ("serviceAccount", subject.service_account.is_some(), "ServiceAccount"),
        ("user", user.is_some(), "User"),
        ("group", group.is_some(), "Group"),
    ] {
        if is_given && kind != of {
            causes.forbidden(&at.field(field), format_args!("{field} is forbidden when subject kind is not '{of}'"));
        }
    }
}

fn validate_named(causes: &mut Causes, name: Option<&str>, at: &Path<'_>, why: &str) {
    match name {
        None => causes.required(at, why),
        Some("") => causes.required(&at.field("name"), ""),
        Some(_) => {}
    }
}

fn validate_account(causes: &mut Causes, account: Option<&ServiceAccountSubject>, at: &Path<'_>) {
    let Some(account) = account else {
        return causes.required(at, "serviceAccount is required when subject kind is 'ServiceAccount'");
    };
    if account.name != ANY {
        causes.required_syntax(&at.field("name"), &account.name, names::dns_subdomain);
    }
    match account.namespace.as_str() {
        "" => causes.required(&at.field("namespace"), "must specify namespace for service account"),
        namespace => causes.syntax(&at.field("namespace"), namespace, names::dns_label),
    }
}

fn is_any(words: &[String]) -> bool {
    words.iter().any(|word| word == ANY)
}

fn validate_verbs(causes: &mut Causes, verbs: &[String], at: &Path<'_>) {
    if verbs.is_empty() {
        causes.required(at, "verbs must contain at least one value");
    } else if is_any(verbs) {
        alone(causes, verbs, at, "verbs");
    } else if causes.at_most(at, verbs.len(), RULE_WORDS_MAX) && !verbs.iter().all(|verb| VERBS.contains(&&**verb)) {
        causes.unsupported_of(at, verbs, &VERBS);
    }
}

/// What stands for everything stands alone.
fn alone(causes: &mut Causes, words: &[String], at: &Path<'_>, what: &str) {
    if words.len() > 1 {
        causes.invalid(at, words, format_args!("if '*' is present, must not specify other {what}"));
    }
}

/// A list that is not empty, in which `*` stands alone.
fn validate_words(causes: &mut Causes, words: &[String], at: &Path<'_>, (required, others): (&str, &str)) {
    if words.is_empty() {
        causes.required(at, required);
    } else if is_any(words) {
        alone(causes, words, at, others);
    } else {
        causes.at_most(at, words.len(), RULE_WORDS_MAX);
    }
}

fn validate_resources(causes: &mut Causes, rule: &ResourcePolicyRule, at: &Path<'_>) {
    validate_verbs(causes, &rule.verbs, &at.field("verbs"));
    let groups = ("resource rules must supply at least one api group", "api groups");
    validate_words(causes, &rule.api_groups, &at.field("apiGroups"), groups);
    let resources = ("resource rules must supply at least one resource", "resources");
    validate_words(causes, &rule.resources, &at.field("resources"), resources);
    let at = at.field("namespaces");
    if rule.namespaces.is_empty() {
        if !rule.cluster_scope {
            causes.required(&at, "resource rules that are not cluster scoped must supply at least one namespace");
        }
    } else if is_any(&rule.namespaces) {
        alone(causes, &rule.namespaces, &at, "namespaces");
    } else if causes.at_most(&at, rule.namespaces.len(), RULE_WORDS_MAX) {
        for (index, namespace) in rule.namespaces.iter().enumerate() {
            for why in names::dns_label(namespace) {
                let why = format!("each member of this list must be '*' or a DNS-1123 label; {why}");
                causes.invalid(&at.index(index), namespace, why);
            }
        }
    }
}

fn validate_paths(causes: &mut Causes, rule: &NonResourcePolicyRule, at: &Path<'_>) {
    validate_verbs(causes, &rule.verbs, &at.field("verbs"));
    let (paths, at) = (&rule.non_resource_urls, at.field("nonResourceURLs"));
    if paths.is_empty() {
        causes.required(&at, "nonResourceURLs must contain at least one value");
    } else if is_any(paths) {
        alone(causes, paths, &at, "non-resource URLs");
    } else if causes.at_most(&at, paths.len(), RULE_WORDS_MAX) {
        for (index, path) in paths.iter().enumerate() {
            if let Some(why) = fault_of_path(path) {
                causes.invalid(&at.index(index), path, why);
            }
        }
    }
}

fn fault_of_path(path: &str) -> Option<&'static str> {
    let stars = path.matches('*').count();
    Some(match path {
        "" => "must not be empty",
        "/" => return None,
        path if !path.starts_with('/') => "must start with slash",
        path if path.contains(' ') => "must not contain white-space",
        path if path.contains("//") => "must not contain double slash",
        path if stars > 1 || (stars == 1 && !path.ends_with("/*")) => "wildcard can only do suffix matching",
        _ => return None,
    })
}
