//! Pod Security: what the labels of a Namespace refuse, and what they make its writers hear.
//!
//! A pure function of the state and of what was decided. It costs a look at the labels of the Namespace, and nothing more where
//! they demand nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use api::{
    Error, Key, Kind, Object, Subresource, Write,
    core_v1::{Namespace, Pod, PodSpec},
    pod_security::{LABEL_PREFIX, Policy, Standard, Subject, Violations, violations},
};
use store::View;

use super::{Decision, Fate, forbidden, valid};

/// The most Pods of a Namespace that are looked at when more is demanded of them, as in Kubernetes.
const PODS_MAX: usize = 3_000;

/// Under which name violations stand in the log of audits.
pub const AUDIT_VIOLATIONS: &str = "pod-security.kubernetes.io/audit-violations";

/// What is said of a write that is not refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advice {
    /// To whoever writes.
    pub warnings: Vec<String>,
    /// To whoever reads the log of audits.
    pub audit: Option<String>,
}

/// Judges what was decided by the Namespace in which it is to be.
///
/// # Errors
/// If the Namespace enforces what a Pod does not meet, or if the labels of a Namespace say nothing that is understood.
pub fn secure(view: &View, write: &Write, decision: &Decision) -> Result<Advice, Error> {
    if !matches!(write, Write::Create(_) | Write::Update(_, Subresource::None))
        || !matches!(decision.fate, Fate::Created | Fate::Changed)
    {
        return Ok(Advice::default());
    }
    let (key, new) = (decision.object.key(), &*decision.object);
    let old = view.get(&key).map(|record| record.object());
    if let Some(namespace) = new.get::<Namespace>() {
        return labels(view, &key, old.as_deref(), namespace);
    }
    let policy = || policy_of(view, &key.namespace);
    if let Some(pod) = new.get::<Pod>() {
        let old = old.as_deref().and_then(Object::get::<Pod>);
        let policy = policy().filter(|policy| !policy.is_privileged() && is_significant(old, pod));
        return policy.map_or_else(|| Ok(Advice::default()), |policy| admit(&key, &policy, &Subject::of_pod(pod)));
    }
    if !Subject::has_template(key.kind) {
        return Ok(Advice::default());
    }
    let advise = |policy: Policy| Some(advise(&policy, &Subject::of_template(new)?));
    Ok(policy().and_then(advise).unwrap_or_default())
}

/// What the labels of a Namespace demand; `None` if none of them is about this.
fn policy_of(view: &View, namespace: &str) -> Option<Policy> {
    let record = view.get(&Key::cluster(Kind::Namespace, namespace))?;
    let object = record.object();
    let labels = &object.metadata()?.labels;
    is_labelled(labels).then(|| Policy::of(labels).0)
}

fn is_labelled(labels: &BTreeMap<String, String>) -> bool {
    let from = (Bound::Included(LABEL_PREFIX), Bound::Unbounded);
    labels.range::<str, _>(from).next().is_some_and(|(key, _)| key.starts_with(LABEL_PREFIX))
}

/// A Pod that violates what is enforced is refused.
fn admit(key: &Key, policy: &Policy, subject: &Subject<'_>) -> Result<Advice, Error> {
    let found = violations(subject, policy.enforce);
    if !found.is_empty() {
        return Err(forbidden(key, format_args!("violates PodSecurity \"{}\": {found}", policy.enforce)));
    }
    Ok(advise(policy, subject))
}

/// What is said of a Pod, or of a template from which Pods would be made.
fn advise(policy: &Policy, subject: &Subject<'_>) -> Advice {
    let told = |standard: Standard, found: &Violations| {
        (!found.is_empty()).then(|| format!("would violate PodSecurity \"{standard}\": {found}"))
    };
    let audit = told(policy.audit, &violations(subject, policy.audit));
    let warn = told(policy.warn, &violations(subject, policy.warn));
    Advice { warnings: warn.into_iter().collect(), audit }
}

/// Whether a Pod is new, or something else would run in it than before.
fn is_significant(old: Option<&Pod>, new: &Pod) -> bool {
    let Some(old) = old else { return true };
    let nothing = PodSpec::default();
    let [old, new] = [old, new].map(|pod| pod.spec.as_ref().unwrap_or(&nothing));
    let images = |spec: &PodSpec| -> [Vec<String>; 2] {
        [&spec.containers, &spec.init_containers]
            .map(|containers| containers.iter().map(|container| container.image.clone()).collect())
    };
    let later = |spec: &PodSpec| -> BTreeSet<(String, String)> {
        let all = spec.ephemeral_containers.iter().filter_map(|one| one.ephemeral_container_common.as_ref());
        all.map(|container| (container.name.clone(), container.image.clone())).collect()
    };
    images(old) != images(new) || !later(new).is_subset(&later(old))
}

/// Judges the labels of a Namespace, and tells of Pods that would not be let in any more.
fn labels(view: &View, key: &Key, old: Option<&Object>, new: &Namespace) -> Result<Advice, Error> {
    let nothing = BTreeMap::new();
    let new = new.metadata.as_ref().map_or(&nothing, |meta| &meta.labels);
    if !is_labelled(new) {
        return Ok(Advice::default());
    }
    let (policy, wrong) = Policy::of(new);
    let Some(old) = old else { return valid(key, wrong).map(|()| Advice::default()) };
    let (before, known) = Policy::of(old.metadata().map_or(&nothing, |meta| &meta.labels));
    // What was wrong before there was a rule must not keep a Namespace from being changed.
    if wrong != known {
        valid(key, wrong)?;
    }
    let tightened = policy.enforce.may_tighten(before.enforce);
    let warnings = if tightened { standing(view, &key.name, policy.enforce) } else { Vec::new() };
    Ok(Advice { warnings, audit: None })
}

/// What Pods have in common that violate a standard: how many they are, and the first of them by name.
#[derive(Default)]
struct Common {
    count: usize,
    first: String,
}

/// What is said of the Pods that a Namespace has.
fn standing(view: &View, namespace: &str, standard: Standard) -> Vec<String> {
    let (pods, total) = prioritized(view, namespace);
    let mut found: BTreeMap<String, Common> = BTreeMap::new();
    for object in &pods {
        let (Some(pod), Some(meta)) = (object.get::<Pod>(), object.metadata()) else { continue };
        let violations = violations(&Subject::of_pod(pod), standard);
        if !violations.is_empty() {
            let common = found.entry(violations.reasons()).or_default();
            common.count += 1;
            if common.first.is_empty() || meta.name < common.first {
                common.first.clone_from(&meta.name);
            }
        }
    }
    let mut warnings = Vec::new();
    if pods.len() < total {
        let checked = pods.len();
        warnings.push(format!(
            "new PodSecurity enforce level only checked against the first {checked} of {total} existing pods"
        ));
    }
    if !found.is_empty() {
        warnings.push(format!(
            "existing pods in namespace \"{namespace}\" violate the new PodSecurity enforce level \"{standard}\""
        ));
    }
    let mut of_pods: Vec<_> = found.into_iter().map(|(reasons, common)| common.told(&reasons)).collect();
    of_pods.sort_unstable();
    warnings.extend(of_pods);
    warnings
}

impl Common {
    fn told(&self, reasons: &str) -> String {
        let Self { count, first } = self;
        match count.saturating_sub(1) {
            0 => format!("{first}: {reasons}"),
            1 => format!("{first} (and 1 other pod): {reasons}"),
            others => format!("{first} (and {others} other pods): {reasons}"),
        }
    }
}

/// The Pods at which to look, and how many there are: those come first that have no namesake of the same owner before them,
/// because what one owner makes is alike.
fn prioritized(view: &View, namespace: &str) -> (Vec<Arc<Object>>, usize) {
    let mut owners = BTreeSet::new();
    let (mut first, mut alike) = (Vec::new(), Vec::new());
    let mut total = 0;
    for record in view.list(Kind::Pod, Some(namespace), None) {
        total += 1;
        if first.len() >= PODS_MAX {
            continue;
        }
        let object = record.object();
        let owner = object.metadata().and_then(|meta| {
            meta.owner_references.iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.clone())
        });
        let is_new = owner.is_none_or(|uid| owners.insert(uid));
        let list = if is_new { &mut first } else { &mut alike };
        if list.len() < PODS_MAX {
            list.push(object);
        }
    }
    first.extend(alike);
    first.truncate(PODS_MAX);
    (first, total)
}
