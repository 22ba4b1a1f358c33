//! Those that may change the object, one after the other; those that want it once more if others changed the object after them.

use std::collections::BTreeSet;

use api::{
    Error, Object, Reason, Served,
    admission::{About, Change, FailurePolicy, MutatingPolicy},
    patch,
};
use serde_json::Value;

use super::{
    Asking, Matter,
    draft::Draft,
    panel::{Bound, Hook, Mutator},
    policies::Misfit,
    webhooks::forbidden,
};

impl Mutator {
    fn is_reinvoked(&self) -> bool {
        match self {
            Self::Policy(bound) => bound.policy.is_reinvoked,
            Self::Webhook(hook) => hook.is_reinvoked,
        }
    }
}

impl Asking<'_> {
    /// Lets others change an object; answers whether they did.
    ///
    /// # Errors
    /// If one of them refuses, must be asked and does not answer, or makes something that is no such object.
    pub(super) async fn mutate(&mut self, draft: &mut Draft, old: Option<&Object>) -> Result<bool, Error> {
        let (mut is_changed, mut asked, mut due) = (false, Vec::new(), BTreeSet::new());
        for again in [false, true] {
            for (index, mutator) in self.panel.mutators.iter().enumerate() {
                if again && !due.remove(&index) {
                    continue;
                }
                let Some(changed) = self.changed_by(mutator, draft, old).await? else { continue };
                if changed {
                    is_changed = true;
                    due.extend(asked.drain(..));
                }
                if mutator.is_reinvoked() {
                    asked.push(index);
                }
            }
            if due.is_empty() {
                break;
            }
        }
        Ok(is_changed)
    }

    /// Whether somebody changed the object; `None` if it was not asked.
    async fn changed_by(
        &mut self,
        mutator: &Mutator,
        draft: &mut Draft,
        old: Option<&Object>,
    ) -> Result<Option<bool>, Error> {
        match mutator {
            Mutator::Policy(bound) => self.changed_by_policy(bound, draft, old),
            Mutator::Webhook(hook) => self.changed_by_webhook(hook, draft, old).await,
        }
    }

    async fn changed_by_webhook(
        &mut self,
        hook: &Hook,
        draft: &mut Draft,
        old: Option<&Object>,
    ) -> Result<Option<bool>, Error> {
        let Some(shown) = self.shown(hook, draft.object(), old)? else { return Ok(None) };
        let (found, mut value) = (shown.found, shown.object.clone());
        let mut answer = match self.ask(hook, shown, true).await {
            Ok(answer) => answer,
            Err(failure) => return self.failed(hook, failure, "mutation").map(|()| Some(false)),
        };
        self.heard(hook, &mut answer)?;
        let Some(patch) = answer.patch else { return Ok(Some(false)) };
        if draft.object().is_none() {
            let what = "attempted to modify the object, which is not supported for this operation";
            return Err(internal(format!("admission webhook {:?} {what}", hook.name)));
        }
        match patch::json(&mut value, &patch) {
            Ok(()) => {}
            Err(error) if error.reason == Reason::BadRequest => {
                let why = format!("received undecodable patch in webhook response: {error}");
                let failure = super::webhooks::Failure::Calling(why);
                return self.failed(hook, failure, "mutation").map(|()| Some(false));
            }
            Err(error) => return Err(internal(format!("admission webhook {:?}: {error}", hook.name))),
        }
        let replaced = self.replace(draft, found, &value);
        let (changed, unknown) =
            replaced.map_err(|error| internal(format!("admission webhook {:?}: {error}", hook.name)))?;
        self.warn(unknown.into_iter().map(|field| format!("admission webhook {:?}: {field}", hook.name)));
        Ok(Some(changed))
    }

    fn changed_by_policy(
        &mut self,
        bound: &Bound<MutatingPolicy>,
        draft: &mut Draft,
        old: Option<&Object>,
    ) -> Result<Option<bool>, Error> {
        if draft.object().is_none() {
            return Ok(None);
        }
        let subject = self.matter.subject();
        let found = self.labelled(draft.object(), old, |labelled| {
            let found = bound.policy.selection.find(&subject, labelled)?;
            bound.selection.find(&subject, labelled).map(|_| found)
        });
        let Some(found) = found else { return Ok(None) };
        let params = match self.params(bound.policy.param_kind.as_ref(), bound.params.as_ref()) {
            Ok(params) => params,
            Err(misfit) => return self.unfit(bound, &misfit).map(|()| None),
        };
        let mut outcome = None;
        for params in &params {
            let changed = self.apply_policy(bound, draft, old, found, params)?;
            outcome = changed.map(|changed| changed || outcome.unwrap_or_default()).or(outcome);
        }
        Ok(outcome)
    }

    /// The changes of a policy with what one of its bindings gives to it.
    fn apply_policy(
        &mut self,
        bound: &Bound<MutatingPolicy>,
        draft: &mut Draft,
        old: Option<&Object>,
        found: Served,
        params: &Value,
    ) -> Result<Option<bool>, Error> {
        let request = self.matter.request(found);
        let old = old.filter(|_| self.matter.has_old()).map_or(Value::Null, |old| self.matter.shown(old, found));
        let namespace = self.namespace();
        let others = About { object: &old, old_object: &old, request: &request, namespace: &namespace, params };
        let mut object = self.drafted(draft, found);
        match bound.policy.is_about(&About { object: &object, ..others }) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(why) => return self.denied_by(bound, &why).map(|()| Some(false)),
        }
        let mut is_changed = false;
        for index in 0..bound.policy.changes() {
            let mut value = object.clone();
            let change = bound.policy.change(index, &About { object: &object, ..others });
            let applied = change.and_then(|change| applied(self.matter, found, &mut value, change));
            match applied {
                Ok(true) => {}
                // A patch whose test finds something else does nothing.
                Ok(false) => continue,
                Err(why) => {
                    self.denied_by(bound, &why)?;
                    continue;
                }
            }
            match self.replace(draft, found, &value) {
                Ok((changed, unknown)) => {
                    is_changed |= changed;
                    let name = &bound.policy_name;
                    self.warn(unknown.into_iter().map(|field| format!("MutatingAdmissionPolicy '{name}': {field}")));
                }
                Err(error) => self.denied_by(bound, &error.to_string())?,
            }
            object = self.drafted(draft, found);
        }
        Ok(Some(is_changed))
    }

    fn denied_by(&self, bound: &Bound<MutatingPolicy>, why: &str) -> Result<(), Error> {
        let message =
            format!("policy '{}' with binding '{}' denied request: {why}", bound.policy_name, bound.binding_name);
        match bound.policy.failure_policy {
            FailurePolicy::Ignore => Ok(()),
            FailurePolicy::Fail => Err(Error::new(Reason::Invalid, message).about(&self.matter.key)),
        }
    }

    fn unfit(&self, bound: &Bound<MutatingPolicy>, misfit: &Misfit) -> Result<(), Error> {
        match bound.policy.failure_policy {
            FailurePolicy::Ignore => Ok(()),
            FailurePolicy::Fail => {
                let by = format!("policy '{}' with binding '{}'", bound.policy_name, bound.binding_name);
                Err(forbidden(self.matter, format_args!("{by} denied request: {misfit}")))
            }
        }
    }
}

/// Whether a change was made.
fn applied(matter: &Matter<'_>, found: Served, object: &mut Value, change: Change) -> Result<bool, String> {
    match change {
        Change::Patch(operations) => patch::json_if(object, &operations).map_err(|error| error.to_string()),
        Change::Apply(configuration) => {
            let configured = matter.configure(found, object, &configuration);
            configured.map(|()| true).map_err(|why| format!("error applying patch: {why}"))
        }
    }
}

fn internal(why: String) -> Error {
    Error::internal(format!("Internal error occurred: {why}"))
}
