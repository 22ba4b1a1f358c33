//! ResourceQuotas.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    Subresource, Timestamp,
    core_v1::{ResourceQuota, ResourceQuotaSpec, ScopedResourceSelectorRequirement},
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    meta_v1,
    quantity::Quantity,
    resources::{LIMITS_PREFIX, REQUESTS_PREFIX, Scope, is_quota},
    table::{
        Cell, Column, Common,
        columns::{AGE, NAME, text},
    },
    validate::{
        Causes, Path,
        limits::{SMALL_LIST_MAX, TERM_VALUES_MAX, TERMS_MAX},
        names::{self, Syntax},
        resources,
    },
    warnings::Warnings,
};

/// Resources of one quota: each is looked up whenever something is charged.
const RESOURCES_MAX: usize = 1_024;

const COLUMNS: &[Column] = &[
    NAME,
    text("Request", "How much is used, and the most: objects, and what containers ask for."),
    text("Limit", "How much is used, and the most: what containers may use."),
    AGE,
];

const SAMPLE: &str = "\
apiVersion: v1
kind: ResourceQuota
metadata:
  name: team
  namespace: default
spec:
  hard:
    pods: 20
    requests.cpu: 4
    limits.memory: 8Gi
    count/deployments.apps: 5
";

/// Of these a quota may limit both what is asked for and what may be used.
const BOTH: [&str; 4] = ["cpu", "memory", "storage", "ephemeral-storage"];

type Amounts = BTreeMap<String, meta_v1::Quantity>;

pub(crate) struct ResourceQuotaStrategy;

impl Strategy for ResourceQuotaStrategy {
    type Object = ResourceQuota;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, _: &mut ResourceQuota) {}

    fn validate(&self, causes: &mut Causes, quota: &ResourceQuota) {
        let Some(spec) = &quota.spec else { return };
        let at = Path::Root.field("spec");
        amounts(causes, &spec.hard, &at.field("hard"));
        validate_scopes(causes, spec, &at.field("scopes"));
        validate_selector(causes, spec, &at.field("scopeSelector").field("matchExpressions"));
    }

    fn validate_update(&self, causes: &mut Causes, old: &ResourceQuota, new: &ResourceQuota) {
        let none = ResourceQuotaSpec::default();
        let scopes = |quota: &ResourceQuota| -> BTreeSet<String> {
            quota.spec.as_ref().unwrap_or(&none).scopes.iter().cloned().collect()
        };
        if scopes(old) != scopes(new) {
            let scopes = &new.spec.as_ref().unwrap_or(&none).scopes;
            causes.invalid(&Path::Root.field("spec").field("scopes"), scopes, "field is immutable");
        }
    }

    fn validate_status(&self, causes: &mut Causes, quota: &ResourceQuota) {
        let Some(status) = &quota.status else { return };
        let at = Path::Root.field("status");
        amounts(causes, &status.hard, &at.field("hard"));
        amounts(causes, &status.used, &at.field("used"));
    }

    fn warn(&self, warnings: &mut Warnings, quota: &ResourceQuota) {
        warn(warnings, quota);
    }

    fn prepare_for_create(&self, quota: &mut ResourceQuota) {
        quota.status = None;
    }

    fn prepare_for_update(&self, new: &mut ResourceQuota, old: &ResourceQuota) {
        new.status.clone_from(&old.status);
    }

    fn update_status(&self, quota: &mut ResourceQuota, sent: &ResourceQuota) {
        quota.status.clone_from(&sent.status);
    }

    fn scale(&self, _: &ResourceQuota) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut ResourceQuota, _: i32) {}

    fn is_new_generation(&self, _: Option<&ResourceQuota>, _: &ResourceQuota, _: Subresource) -> bool {
        false
    }

    fn allocation<'a>(&self, _: &'a mut ResourceQuota) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &ResourceQuota) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(&self, quota: &mut ResourceQuota, _: Option<i64>, now: Timestamp) -> Result<(), &'static str> {
        deletion::mark_now(&mut quota.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &ResourceQuota) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, quota: &ResourceQuota, common: Common, _: Timestamp) -> Vec<Cell> {
        let status = quota.status.clone().unwrap_or_default();
        let zero = meta_v1::Quantity::from(Quantity::ZERO);
        let shown = |of_limits: bool| {
            let names = status.hard.iter().filter(|(name, _)| name.starts_with(LIMITS_PREFIX) == of_limits);
            let cells = names.map(|(name, hard)| {
                let used = status.used.get(name).unwrap_or(&zero);
                format!("{name}: {}/{}", used.string, hard.string)
            });
            Cell::Text(cells.collect::<Vec<_>>().join(", "))
        };
        vec![common.name, shown(false), shown(true), common.age]
    }

    fn fields(&self) -> Vec<&str> {
        Vec::new()
    }

    fn field<'a>(&self, _: &'a ResourceQuota, _: usize) -> Cow<'a, str> {
        Cow::default()
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}

/// Checks a list of what quotas limit.
fn amounts(causes: &mut Causes, list: &Amounts, at: &Path<'_>) {
    if !causes.at_most(at, list.len(), RESOURCES_MAX) {
        return;
    }
    for (name, amount) in list {
        let at = at.key(name);
        resources::name(causes, name, &at);
        if !name.contains('/') && !is_quota(name) {
            causes.invalid(&at, name, "must be a standard resource for quota");
        }
        resources::amount(causes, name, amount, &at);
    }
}

/// Whether a scope exists, and can be had of everything that the quota limits.
struct Judgement {
    is_known: bool,
    misfits: usize,
}

impl Judgement {
    fn of(spec: &ResourceQuotaSpec, scope: &str) -> Self {
        let Some(known) = Scope::of(scope) else { return Self { is_known: false, misfits: 0 } };
        let misfits = spec.hard.keys().filter(|name| is_quota(name) && !known.fits(name)).count();
        Self { is_known: true, misfits }
    }
}

fn validate_scopes(causes: &mut Causes, spec: &ResourceQuotaSpec, at: &Path<'_>) {
    if !causes.at_most(at, spec.scopes.len(), SMALL_LIST_MAX) {
        return;
    }
    for scope in &spec.scopes {
        let Judgement { is_known, misfits } = Judgement::of(spec, scope);
        if !is_known {
            causes.invalid(at, &spec.scopes, "unsupported scope");
        }
        for _ in 0..misfits {
            causes.invalid(at, &spec.scopes, "unsupported scope applied to resource");
        }
    }
    let scopes = spec.scopes.iter().map(String::as_str).collect();
    validate_pairs(causes, spec, &scopes, at);
}

/// Nothing is both.
fn validate_pairs(causes: &mut Causes, spec: &ResourceQuotaSpec, scopes: &BTreeSet<&str>, at: &Path<'_>) {
    for [one, other] in [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]] {
        if scopes.contains(one) && scopes.contains(other) {
            causes.invalid(at, &spec.scopes, "conflicting scopes");
        }
    }
}

fn validate_selector(causes: &mut Causes, spec: &ResourceQuotaSpec, at: &Path<'_>) {
    let Some(selector) = &spec.scope_selector else { return };
    if !causes.at_most(at, selector.match_expressions.len(), TERMS_MAX) {
        return;
    }
    for expression in &selector.match_expressions {
        let Judgement { is_known, misfits } = Judgement::of(spec, &expression.scope_name);
        if !is_known {
            causes.invalid(&at.field("scopeName"), &expression.scope_name, "unsupported scope");
        }
        for _ in 0..misfits {
            causes.invalid_as(at, "unsupported scope applied to resource");
        }
        validate_expression(causes, expression, at);
    }
    let scopes = selector.match_expressions.iter().map(|expression| expression.scope_name.as_str()).collect();
    validate_pairs(causes, spec, &scopes, at);
}

fn validate_expression(causes: &mut Causes, expression: &ScopedResourceSelectorRequirement, at: &Path<'_>) {
    let ScopedResourceSelectorRequirement { scope_name, operator, values } = expression;
    let has_values = Scope::of(scope_name).is_none_or(Scope::has_values);
    if !has_values && operator != "Exists" {
        let why = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, \
                   ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or \
                   ResourceQuotaScopeCrossNamespacePodAffinity";
        causes.invalid(&at.field("operator"), operator, why);
    }
    let place = at.field("values");
    causes.at_most(&place, values.len(), TERM_VALUES_MAX);
    match operator.as_str() {
        "In" | "NotIn" if values.is_empty() => {
            let why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
            causes.required(&place, why);
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let why = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
            causes.invalid(&place, values, why);
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => causes.invalid(&at.field("operator"), other, "not a valid selector operator"),
    }
}

/// What is asked for cannot be more than what may be used.
fn warn(warnings: &mut Warnings, quota: &ResourceQuota) {
    let Some(spec) = &quota.spec else { return };
    for resource in BOTH {
        let mut name = format!("{REQUESTS_PREFIX}{resource}");
        if !spec.hard.contains_key(&name) && matches!(resource, "cpu" | "memory") {
            resource.clone_into(&mut name);
        }
        let limit_name = format!("{LIMITS_PREFIX}{resource}");
        let (Some(request), Some(limit)) = (spec.hard.get(&name), spec.hard.get(&limit_name)) else { continue };
        let (Ok(asked), Ok(most)) = (Quantity::try_from(request), Quantity::try_from(limit)) else { continue };
        if asked > most {
            warnings.say(format!(
                "ResourceQuota {name} ({}) should be less than {limit_name} ({})",
                request.string, limit.string
            ));
        }
    }
    let selector = spec.scope_selector.iter().flat_map(|selector| &selector.match_expressions);
    let mut scopes = spec.scopes.iter().chain(selector.map(|expression| &expression.scope_name));
    if scopes.any(|scope| Scope::of(scope) == Some(Scope::VolumeAttributesClass)) {
        warnings.say(
            "spec.scopes: VolumeAttributesClass: nothing is counted: there are no claims of storage yet".to_owned(),
        );
    }
}
