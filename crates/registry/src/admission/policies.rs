//! What bindings give to their policies, and what is told of the Namespace.

use std::fmt;

use api::{
    Key, Served,
    admissionregistration_v1::{ParamKind, ParamRef},
    json,
    kinds::Source,
    selector::Labels,
};
use serde_json::Value;
use store::Record;

use super::Asking;
use crate::defined::Form;

/// The most objects that a selector may give to a policy, which is run with each of them.
pub(super) const PARAMS_MAX: usize = 256;

/// Why a policy or a binding cannot be asked as it is set up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    Policy(String),
    Binding(String),
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(why) => write!(f, "failed to configure policy: {why}"),
            Self::Binding(why) => write!(f, "failed to configure binding: {why}"),
        }
    }
}

impl Asking<'_> {
    /// The objects with which a policy is run, one after the other; `null` for a policy that takes none.
    ///
    /// # Errors
    /// If there are none and some are needed, or the policy and the binding do not go together.
    pub(super) fn params(&self, kind: Option<&ParamKind>, reference: Option<&ParamRef>) -> Result<Vec<Value>, Misfit> {
        let (Some(kind), Some(reference)) = (kind, reference) else { return Ok(vec![Value::Null]) };
        let definitions = self.registry.inner.defined.of(self.view);
        let served = Served::from_api_version(&kind.api_version, &kind.kind)
            .or_else(|| definitions.from_api_version(&kind.api_version, &kind.kind));
        let served = served.filter(|served| served.info().source == Source::State).ok_or_else(|| {
            let ParamKind { api_version, kind } = kind;
            Misfit::Policy(format!("failed to find resource referenced by paramKind: '{api_version}, Kind={kind}'"))
        })?;
        let definition = self.registry.definition(self.view, served.kind());
        let form = Form::of(served, definition.as_deref());
        let namespace = self.params_namespace(served, reference).map_err(|why| Misfit::Binding(why.to_owned()))?;
        let found = if reference.name.is_empty() {
            self.selected(form, namespace, reference)?
        } else {
            let key = Key::namespaced(served.kind(), namespace, reference.name.as_str());
            self.view.get(&key).map(|record| told(form, record)).into_iter().collect()
        };
        if found.is_empty() && reference.parameter_not_found_action == "Deny" {
            let why = "no params found for policy binding with `Deny` parameterNotFoundAction";
            return Err(Misfit::Binding(why.to_owned()));
        }
        Ok(found)
    }

    fn params_namespace<'a>(&'a self, served: Served, reference: &'a ParamRef) -> Result<&'a str, &'static str> {
        match (served.info().namespaced, reference.namespace.as_str(), self.matter.namespace()) {
            (false, "", _) => Ok(""),
            (false, _, _) => Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`"),
            (true, "", "") => {
                Err("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources")
            }
            (true, "", own) => Ok(own),
            (true, named, _) => Ok(named),
        }
    }

    fn selected(&self, form: Form<'_>, namespace: &str, reference: &ParamRef) -> Result<Vec<Value>, Misfit> {
        let labels = Labels::from_optional(reference.selector.as_ref());
        let labels = labels.map_err(|error| Misfit::Binding(error.to_string()))?;
        let kind = form.served.kind();
        let within = kind.info().namespaced.then_some(namespace);
        let records = self.view.list(kind, within, None);
        let mut records = records.filter(|record| labels.matches_stored(&record.bytes));
        let found: Vec<Value> = records.by_ref().take(PARAMS_MAX).map(|record| told(form, record)).collect();
        match records.next() {
            Some(_) => Err(Misfit::Binding(format!("the selector finds more than {PARAMS_MAX} params"))),
            None => Ok(found),
        }
    }

    /// The Namespace of the object, as expressions see it: without what only its owners need.
    pub(super) fn namespace(&self) -> Value {
        let found = self.matter.namespace_object(self.view);
        let mut value = found.map_or(Value::Null, |object| json::encode(&object));
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
            metadata.remove("ownerReferences");
        }
        value
    }
}

/// What a binding gives, as expressions see it; `null` if its kind is served no more.
fn told(form: Form<'_>, record: &Record) -> Value {
    form.shown(record).unwrap_or_default()
}
