//! Those that may refuse what would be stored: policies, then webhooks, all of which are asked at once.

use std::fmt;

use api::{
    Error, Object, Reason,
    admission::{About, Broken, FailurePolicy, ValidatingPolicy, Verdict},
    error::Cause,
};
use futures::future::join_all;
use serde_json::{Value, json};

use super::{
    Asking,
    panel::{Action, Bound},
    policies::Misfit,
    webhooks::forbidden,
};

/// The most broken rules that are told in one audit annotation, as in Kubernetes.
const FAILURES_MAX: usize = 50;

/// What is denied, and by whom.
struct Denied {
    reason: Reason,
    message: String,
}

/// What policies found so far.
#[derive(Default)]
struct Found {
    denied: Option<Denied>,
    failures: Vec<Value>,
    warnings: Vec<String>,
    annotations: Vec<(String, String)>,
}

impl Asking<'_> {
    /// Asks whether an object may be stored or go.
    ///
    /// # Errors
    /// If somebody refuses, or must be asked and does not answer.
    pub(super) async fn validate(&mut self, new: Option<&Object>, old: Option<&Object>) -> Result<(), Error> {
        let mut found = Found::default();
        for bound in &self.panel.judges {
            self.judge(bound, new, old, &mut found);
        }
        self.tell(found)?;
        self.ask_webhooks(new, old).await
    }

    async fn ask_webhooks(&mut self, new: Option<&Object>, old: Option<&Object>) -> Result<(), Error> {
        let mut hooks = Vec::new();
        for hook in &self.panel.validators {
            hooks.extend(self.shown(hook, new, old)?.map(|shown| (hook, shown)));
        }
        let this = &*self;
        let asked = hooks.into_iter().map(|(hook, shown)| async move { (hook, this.ask(hook, shown, false).await) });
        let answers = join_all(asked).await;
        let mut first = Ok(());
        for (hook, answer) in answers {
            let outcome = match answer {
                Ok(mut answer) => self.heard(hook, &mut answer),
                Err(failure) => self.failed(hook, failure, "validating"),
            };
            first = first.and(outcome);
        }
        first
    }

    fn judge(&self, bound: &Bound<ValidatingPolicy>, new: Option<&Object>, old: Option<&Object>, into: &mut Found) {
        let subject = self.matter.subject();
        let found = self.labelled(new, old, |labelled| {
            let found = bound.policy.selection.find(&subject, labelled)?;
            bound.selection.find(&subject, labelled).map(|_| found)
        });
        let Some(found) = found else { return };
        let params = match self.params(bound.policy.param_kind.as_ref(), bound.params.as_ref()) {
            Ok(params) => params,
            Err(misfit) => return into.unfit(bound, &misfit),
        };
        let shown = |object: Option<&Object>| object.map_or(Value::Null, |object| self.told(object, found));
        let (object, old) = (shown(new), shown(old.filter(|_| self.matter.has_old())));
        let (request, namespace) = (self.matter.request(found), self.namespace());
        for params in &params {
            let about = About { object: &object, old_object: &old, request: &request, namespace: &namespace, params };
            into.take(bound, bound.policy.judge(about));
        }
    }

    /// Tells what policies found.
    fn tell(&mut self, found: Found) -> Result<(), Error> {
        let Found { denied, mut failures, warnings, annotations } = found;
        self.warn(warnings);
        annotations.iter().for_each(|(key, text)| self.note(key, text));
        failures.truncate(FAILURES_MAX);
        if !failures.is_empty() {
            self.note("validation.policy.admission.k8s.io/validation_failure", &Value::Array(failures).to_string());
        }
        let Some(Denied { reason, message }) = denied else { return Ok(()) };
        let told = forbidden(self.matter, &message);
        let cause = Cause { reason: "", field: String::new(), message };
        Err(Error { reason, causes: vec![cause], ..told })
    }
}

impl Found {
    fn deny(&mut self, bound: &Bound<ValidatingPolicy>, reason: Reason, why: impl fmt::Display) {
        let Bound { policy_name, binding_name, .. } = bound;
        self.denied.get_or_insert_with(|| {
            let by = format!("ValidatingAdmissionPolicy '{policy_name}' with binding '{binding_name}'");
            Denied { reason, message: format!("{by} denied request: {why}") }
        });
    }

    fn unfit(&mut self, bound: &Bound<ValidatingPolicy>, misfit: &Misfit) {
        match (bound.policy.failure_policy, misfit) {
            (FailurePolicy::Ignore, _) => {}
            (FailurePolicy::Fail, Misfit::Binding(_)) => self.deny(bound, Reason::Invalid, misfit),
            (FailurePolicy::Fail, Misfit::Policy(_)) => {
                let message = format!("ValidatingAdmissionPolicy '{}' denied request: {misfit}", bound.policy_name);
                self.denied.get_or_insert(Denied { reason: Reason::Invalid, message });
            }
        }
    }

    fn take(&mut self, bound: &Bound<ValidatingPolicy>, verdict: Verdict) {
        let Bound { policy_name, binding_name, actions, .. } = bound;
        for Broken { index, message, reason } in verdict.broken {
            for action in actions {
                match action {
                    Action::Deny => self.deny(bound, reason, &message),
                    Action::Warn => self.warnings.push(format!(
                        "Validation failed for ValidatingAdmissionPolicy '{policy_name}' with binding '{binding_name}': {message}"
                    )),
                    Action::Audit => self.failures.push(json!({
                        "message": message, "policy": policy_name, "binding": binding_name, "expressionIndex": index,
                        "validationActions": actions.iter().map(|action| action.word()).collect::<Vec<_>>(),
                    })),
                }
            }
        }
        verdict.untold.into_iter().for_each(|why| self.deny(bound, Reason::Invalid, why));
        let told = verdict.annotations.into_iter().map(|(key, text)| (format!("{policy_name}/{key}"), text));
        for (key, text) in told {
            match self.annotations.iter_mut().find(|(known, _)| *known == key) {
                Some((_, texts)) if texts.split(", ").any(|known| known == text) => {}
                Some((_, texts)) => *texts = format!("{texts}, {text}"),
                None => self.annotations.push((key, text)),
            }
        }
    }
}

impl Action {
    fn word(self) -> &'static str {
        match self {
            Self::Deny => "Deny",
            Self::Warn => "Warn",
            Self::Audit => "Audit",
        }
    }
}
