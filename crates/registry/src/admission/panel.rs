//! Who is asked: every webhook and policy that is in force, compiled, with a table of what they can be asked about.
//!
//! It is made anew when one of its configurations has changed, which the tables of the state tell without a look at any object.

use std::{collections::HashSet, sync::Arc, time::Duration};

use api::{
    Kind,
    admission::{Conditions, FailurePolicy, MutatingPolicy, Operation, Scope, Selection, ValidatingPolicy},
    admissionregistration_v1::{
        MutatingAdmissionPolicyBinding, MutatingWebhook, MutatingWebhookConfiguration, ParamRef,
        ValidatingAdmissionPolicyBinding, ValidatingWebhook, ValidatingWebhookConfiguration, WebhookClientConfig,
    },
    kinds::Resource,
};
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use store::{Objects, View};

/// The kinds that say who is asked. Nobody is asked about them: a webhook that fails must be removable.
const KINDS: [Kind; 6] = [
    Kind::ValidatingWebhookConfiguration,
    Kind::MutatingWebhookConfiguration,
    Kind::ValidatingAdmissionPolicyBinding,
    Kind::MutatingAdmissionPolicyBinding,
    Kind::ValidatingAdmissionPolicy,
    Kind::MutatingAdmissionPolicy,
];

/// How many of them put somebody into force: a policy without a binding does nothing.
const IN_FORCE: usize = 4;

/// How long a webhook may take that does not say it, in seconds.
const TIMEOUT_SECONDS: i32 = 10;

/// The port of a Service that does not say it.
const PORT: i32 = 443;

/// The panel of the state at which somebody looked last.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    current: ArcSwapOption<Panel>,
}

/// Everybody who is asked.
#[derive(Debug)]
pub(crate) struct Panel {
    tables: Vec<Objects>,
    concerns: HashSet<(Kind, Operation)>,
    /// Those that may change objects, in order.
    pub(super) mutators: Vec<Mutator>,
    pub(super) judges: Vec<Bound<ValidatingPolicy>>,
    pub(super) validators: Vec<Hook>,
}

/// Somebody who may change objects.
#[derive(Debug)]
pub(super) enum Mutator {
    Policy(Bound<MutatingPolicy>),
    Webhook(Hook),
}

/// A policy where a binding puts it into force.
#[derive(Debug)]
pub(super) struct Bound<P> {
    pub(super) policy_name: String,
    pub(super) binding_name: String,
    pub(super) policy: Arc<P>,
    pub(super) selection: Selection,
    pub(super) params: Option<ParamRef>,
    pub(super) actions: Vec<Action>,
}

/// A binding, and the name of the policy that it binds.
type OfPolicy = (String, Bound<()>);

/// What happens when a rule is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Deny,
    Warn,
    Audit,
}

/// A webhook.
#[derive(Debug)]
pub(super) struct Hook {
    pub(super) configuration: String,
    pub(super) name: String,
    pub(super) target: Target,
    pub(super) ca_bundle: Bytes,
    pub(super) selection: Selection,
    pub(super) conditions: Conditions,
    pub(super) failure_policy: FailurePolicy,
    pub(super) timeout: Duration,
    pub(super) version: ReviewVersion,
    pub(super) takes_dry_runs: bool,
    pub(super) is_reinvoked: bool,
}

/// Where a webhook answers.
#[derive(Debug)]
pub(super) enum Target {
    Url(String),
    Service { namespace: String, name: String, port: i32, path: String },
}

/// In which version a webhook is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReviewVersion {
    V1,
    V1Beta1,
}

impl Admission {
    /// Whoever may have to be asked about such a write; `None` if nobody has.
    pub(crate) fn panel(&self, view: &View, kind: Kind, operation: Operation) -> Option<Arc<Panel>> {
        if KINDS[..IN_FORCE].iter().all(|kind| view.count(*kind) == 0) {
            return None;
        }
        let panel = self.current(view);
        panel.may_concern(kind, operation).then_some(panel)
    }

    fn current(&self, view: &View) -> Arc<Panel> {
        if let Some(panel) = self.current.load_full().filter(|panel| panel.is_of(view)) {
            return panel;
        }
        let panel = Arc::new(Panel::new(view));
        self.current.store(Some(panel.clone()));
        panel
    }
}

impl Panel {
    fn is_of(&self, view: &View) -> bool {
        KINDS.iter().zip(&self.tables).all(|(kind, objects)| objects.are_those_of(view, *kind))
    }

    pub(super) fn new(view: &View) -> Self {
        let policies = bound(view, MutatingPolicy::compile, Bound::of_mutating);
        let webhooks = configured::<MutatingWebhookConfiguration>(view).flat_map(|(name, configuration)| {
            configuration.webhooks.iter().map(|hook| Hook::mutating(&name, hook)).collect::<Vec<_>>()
        });
        let mutators = policies.into_iter().map(Mutator::Policy).chain(webhooks.map(Mutator::Webhook)).collect();
        let validators = configured::<ValidatingWebhookConfiguration>(view).flat_map(|(name, configuration)| {
            configuration.webhooks.iter().map(|hook| Hook::validating(&name, hook)).collect::<Vec<_>>()
        });
        let mut panel = Self {
            tables: KINDS.iter().map(|kind| view.objects(*kind)).collect(),
            concerns: HashSet::new(),
            mutators,
            judges: bound(view, ValidatingPolicy::compile, Bound::of_validating),
            validators: validators.collect(),
        };
        panel.concerns = panel.concerned();
        panel
    }

    /// Whether somebody may have to be asked. The kinds that users define come and go, and are held against every rule.
    fn may_concern(&self, kind: Kind, operation: Operation) -> bool {
        if let Kind::Custom(_) = kind {
            return self.selections().any(|selection| selection.may_find(operation, kind));
        }
        self.concerns.contains(&(kind, operation))
    }

    /// What the rules of all are about. A policy is asked where both it and its binding say so; one of them is enough here.
    fn selections(&self) -> impl Iterator<Item = &Selection> {
        let of_mutators = self.mutators.iter().map(|mutator| match mutator {
            Mutator::Policy(bound) => &bound.policy.selection,
            Mutator::Webhook(hook) => &hook.selection,
        });
        let of_judges = self.judges.iter().map(|bound| &bound.policy.selection);
        of_mutators.chain(of_judges).chain(self.validators.iter().map(|hook| &hook.selection))
    }

    fn concerned(&self) -> HashSet<(Kind, Operation)> {
        let all = Kind::ALL.iter().filter(|kind| !KINDS.contains(kind)).copied();
        let all = all.flat_map(|kind| Operation::ALL.map(|operation| (kind, operation)));
        all.filter(|(kind, operation)| self.selections().any(|selection| selection.may_find(*operation, *kind)))
            .collect()
    }
}

/// The objects of a kind of configuration, by name.
fn configured<T: Resource + Clone>(view: &View) -> impl Iterator<Item = (String, T)> {
    let records: Vec<_> = view.list(T::KIND, None, None).cloned().collect();
    records.into_iter().filter_map(|record| {
        let object = record.object();
        object.get::<T>().map(|found| (record.key.name.to_string(), found.clone()))
    })
}

/// The policies of a kind with each of their bindings. A binding without a policy does nothing.
fn bound<P: Resource + Clone, B: Resource + Clone, C>(
    view: &View,
    compile: fn(&P) -> C,
    bind: fn(&str, &B) -> Option<OfPolicy>,
) -> Vec<Bound<C>> {
    let bindings: Vec<_> = configured::<B>(view).filter_map(|(name, binding)| bind(&name, &binding)).collect();
    let mut all = Vec::new();
    for (name, policy) in configured::<P>(view) {
        let mut compiled = None;
        for (_, binding) in bindings.iter().filter(|(policy, _)| *policy == name) {
            let policy = compiled.get_or_insert_with(|| Arc::new(compile(&policy))).clone();
            all.push(Bound {
                policy_name: name.clone(),
                binding_name: binding.binding_name.clone(),
                policy,
                selection: binding.selection.clone(),
                params: binding.params.clone(),
                actions: binding.actions.clone(),
            });
        }
    }
    all
}

impl Bound<()> {
    fn of_validating(name: &str, binding: &ValidatingAdmissionPolicyBinding) -> Option<OfPolicy> {
        let spec = binding.spec.as_ref()?;
        let action = |text: &String| match text.as_str() {
            "Deny" => Some(Action::Deny),
            "Warn" => Some(Action::Warn),
            "Audit" => Some(Action::Audit),
            _ => None,
        };
        let actions = spec.validation_actions.iter().filter_map(action).collect();
        let selection = Selection::of_resources(spec.match_resources.as_ref());
        Some((spec.policy_name.clone(), Self::new(name, selection, spec.param_ref.clone(), actions)))
    }

    fn of_mutating(name: &str, binding: &MutatingAdmissionPolicyBinding) -> Option<OfPolicy> {
        let spec = binding.spec.as_ref()?;
        let selection = Selection::of_resources(spec.match_resources.as_ref());
        Some((spec.policy_name.clone(), Self::new(name, selection, spec.param_ref.clone(), Vec::new())))
    }

    fn new(name: &str, selection: Selection, params: Option<ParamRef>, actions: Vec<Action>) -> Self {
        let (policy_name, binding_name) = (String::new(), name.to_owned());
        Self { policy_name, binding_name, policy: Arc::new(()), selection, params, actions }
    }
}

impl Hook {
    fn mutating(configuration: &str, hook: &MutatingWebhook) -> Self {
        let (namespaces, objects) = (hook.namespace_selector.as_ref(), hook.object_selector.as_ref());
        Self {
            configuration: configuration.to_owned(),
            name: hook.name.clone(),
            target: target(hook.client_config.as_ref()),
            ca_bundle: ca_bundle(hook.client_config.as_ref()),
            selection: Selection::of_rules(&hook.rules, &hook.match_policy, namespaces, objects),
            conditions: Conditions::compile(&hook.match_conditions, &Scope::of_webhooks()),
            failure_policy: FailurePolicy::of(&hook.failure_policy),
            timeout: timeout(hook.timeout_seconds),
            version: version(&hook.admission_review_versions),
            takes_dry_runs: takes_dry_runs(&hook.side_effects),
            is_reinvoked: hook.reinvocation_policy == "IfNeeded",
        }
    }

    fn validating(configuration: &str, hook: &ValidatingWebhook) -> Self {
        let (namespaces, objects) = (hook.namespace_selector.as_ref(), hook.object_selector.as_ref());
        Self {
            configuration: configuration.to_owned(),
            name: hook.name.clone(),
            target: target(hook.client_config.as_ref()),
            ca_bundle: ca_bundle(hook.client_config.as_ref()),
            selection: Selection::of_rules(&hook.rules, &hook.match_policy, namespaces, objects),
            conditions: Conditions::compile(&hook.match_conditions, &Scope::of_webhooks()),
            failure_policy: FailurePolicy::of(&hook.failure_policy),
            timeout: timeout(hook.timeout_seconds),
            version: version(&hook.admission_review_versions),
            takes_dry_runs: takes_dry_runs(&hook.side_effects),
            is_reinvoked: false,
        }
    }
}

fn target(config: Option<&WebhookClientConfig>) -> Target {
    let config = config.cloned().unwrap_or_default();
    match config.service {
        Some(service) => Target::Service {
            namespace: service.namespace,
            name: service.name,
            port: service.port.unwrap_or(PORT),
            path: service.path.unwrap_or_default(),
        },
        None => Target::Url(config.url.unwrap_or_default()),
    }
}

fn ca_bundle(config: Option<&WebhookClientConfig>) -> Bytes {
    config.map(|config| config.ca_bundle.clone()).unwrap_or_default()
}

fn timeout(seconds: Option<i32>) -> Duration {
    Duration::from_secs(seconds.unwrap_or(TIMEOUT_SECONDS).unsigned_abs().into())
}

fn version(versions: &[String]) -> ReviewVersion {
    let known = |version: &String| match version.as_str() {
        "v1" => Some(ReviewVersion::V1),
        "v1beta1" => Some(ReviewVersion::V1Beta1),
        _ => None,
    };
    versions.iter().find_map(known).unwrap_or(ReviewVersion::V1)
}

fn takes_dry_runs(side_effects: &str) -> bool {
    matches!(side_effects, "None" | "NoneOnDryRun")
}
