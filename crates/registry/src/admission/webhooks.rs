//! One webhook and one request: whether it is asked, what it is sent, and what its silence means.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use api::{
    Error, Kind, Object, Reason, Served,
    admission::{About, FailurePolicy, Labelled},
};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    Asking, Matter,
    answer::{self, Answer, Asked},
    calls::{Call, CallError},
    panel::{Hook, ReviewVersion, Target},
    services,
};
use crate::{Caller, Endpoint};

/// Whose turn it is among the endpoints of Services.
static TURN: AtomicUsize = AtomicUsize::new(0);

/// Why a webhook gave no answer that counts.
pub(super) enum Failure {
    /// It did not answer, or nonsense: its failure policy says what follows.
    Calling(String),
    /// It was not asked, or refuses.
    Refused(Error),
}

/// What a webhook is shown.
pub(super) struct Shown {
    pub(super) found: Served,
    pub(super) object: Value,
    pub(super) old: Value,
}

impl Asking<'_> {
    /// What a webhook is asked about, if it is asked at all.
    ///
    /// # Errors
    /// If its conditions have no value and it must be asked.
    pub(super) fn shown(
        &self,
        hook: &Hook,
        new: Option<&Object>,
        old: Option<&Object>,
    ) -> Result<Option<Shown>, Error> {
        let matter = self.matter;
        let found = self.labelled(new, old, |labelled| hook.selection.find(&matter.subject(), labelled));
        let Some(found) = found else { return Ok(None) };
        let shown = |object: Option<&Object>| object.map_or(Value::Null, |object| self.told(object, found));
        let shown = Shown { found, object: shown(new), old: shown_old(matter, old, found) };
        if hook.conditions.is_empty() {
            return Ok(Some(shown));
        }
        let (request, null) = (matter.request(found), Value::Null);
        let about =
            About { object: &shown.object, old_object: &shown.old, request: &request, namespace: &null, params: &null };
        match (hook.conditions.are_met(&about), hook.failure_policy) {
            (Ok(true), _) => Ok(Some(shown)),
            (Ok(false), _) | (Err(_), FailurePolicy::Ignore) => Ok(None),
            (Err(why), FailurePolicy::Fail) => Err(forbidden(matter, why)),
        }
    }

    /// The labels by which a request is selected.
    pub(super) fn labelled<T>(
        &self,
        new: Option<&Object>,
        old: Option<&Object>,
        look: impl FnOnce(&Labelled<'_>) -> T,
    ) -> T {
        let (new, old) = (new.map(labels), old.map(labels));
        let namespace = self.matter.namespace_object(self.view);
        let is_namespace = self.matter.key.kind == Kind::Namespace;
        let namespace = if is_namespace { new.or(old) } else { namespace.as_deref().map(labels) };
        look(&Labelled { namespace, old, new })
    }

    /// Asks a webhook.
    ///
    /// # Errors
    /// If it refuses, or gives no answer that counts.
    pub(super) async fn ask(&self, hook: &Hook, shown: Shown, mutating: bool) -> Result<Answer, Failure> {
        if self.matter.dry_run && !hook.takes_dry_runs {
            let message = format!("admission webhook {:?} does not support dry run", hook.name);
            return Err(Failure::Refused(Error::bad_request(message)));
        }
        let uid = uuid::Uuid::new_v4().to_string();
        let body = self.review(&uid, hook.version, shown);
        let (url, at) = self.place(&hook.target);
        let posted = |why: &dyn std::fmt::Display| {
            let seconds = hook.timeout.as_secs();
            Failure::Calling(format!("failed to call webhook: Post \"{url}?timeout={seconds}s\": {why}"))
        };
        let at = at.map_err(|why| posted(&why))?;
        let Some(calls) = self.registry.inner.calls.get() else {
            return Err(posted(&"this master cannot call anybody"));
        };
        let ways = self.registry.for_caller(Caller::Cluster);
        let (url, ca_bundle) = (url.clone(), hook.ca_bundle.clone());
        let call = Call { url, at, ways, ca_bundle, body, timeout: hook.timeout };
        let bytes = calls.call(call).await.map_err(|error| match error {
            CallError::Status(_) => Failure::Calling(format!("failed to call webhook: {error}")),
            CallError::Timeout | CallError::Broken(_) | CallError::TooLong => posted(&error),
        })?;
        let answer = answer::read(&bytes, Asked { uid: &uid, version: hook.version, mutating });
        answer.map_err(Failure::Calling)
    }

    fn review(&self, uid: &str, version: ReviewVersion, shown: Shown) -> Bytes {
        let mut request = self.matter.request(shown.found);
        request["uid"] = uid.into();
        request["object"] = shown.object;
        request["oldObject"] = shown.old;
        let version = match version {
            ReviewVersion::V1 => "admission.k8s.io/v1",
            ReviewVersion::V1Beta1 => "admission.k8s.io/v1beta1",
        };
        json!({"apiVersion": version, "kind": "AdmissionReview", "request": request}).to_string().into()
    }

    /// The URL of a webhook, and where its host is if the cluster knows it.
    fn place(&self, target: &Target) -> (String, Result<Option<Vec<Endpoint>>, String>) {
        match target {
            Target::Url(url) => (url.clone(), Ok(None)),
            Target::Service { namespace, name, port, path } => {
                let slash = if path.starts_with('/') { "" } else { "/" };
                let url = format!("https://{name}.{namespace}.svc:{port}{slash}{path}");
                let turn = TURN.fetch_add(1, Ordering::Relaxed);
                (url, services::endpoints(self.view, namespace, name, *port, turn).map(Some))
            }
        }
    }

    /// Keeps what an answer says beside its verdict, and answers the refusal, if it is one.
    pub(super) fn heard(&mut self, hook: &Hook, answer: &mut Answer) -> Result<(), Error> {
        self.warn(std::mem::take(&mut answer.warnings));
        for (key, value) in &answer.annotations {
            self.note(&format!("{}/{key}", hook.name), value);
        }
        answer.denial.as_ref().map_or(Ok(()), |denied| Err(denied.told(&hook.name)))
    }

    /// What follows if a webhook gave no answer that counts.
    pub(super) fn failed(&self, hook: &Hook, failure: Failure, kind: &str) -> Result<(), Error> {
        let why = match failure {
            Failure::Refused(error) => return Err(error),
            Failure::Calling(why) => format!("failed calling webhook {:?}: {why}", hook.name),
        };
        match hook.failure_policy {
            FailurePolicy::Fail => Err(Error::internal(format!("Internal error occurred: {why}"))),
            FailurePolicy::Ignore => {
                tracing::warn!(configuration = hook.configuration, "{why}; going on without it");
                self.note(&format!("failed-open.{kind}.webhook.admission.k8s.io/{}", hook.configuration), &hook.name);
                Ok(())
            }
        }
    }
}

fn labels(object: &Object) -> &BTreeMap<String, String> {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    object.metadata().map_or(&NONE, |meta| &meta.labels)
}

/// The object before the write. Of a binding and an eviction there is none.
fn shown_old(matter: &Matter<'_>, old: Option<&Object>, found: Served) -> Value {
    if !matter.has_old() {
        return Value::Null;
    }
    old.map_or(Value::Null, |old| matter.shown(old, found))
}

/// Kubernetes' words for a write that somebody does not let in.
pub(super) fn forbidden(matter: &Matter<'_>, why: impl std::fmt::Display) -> Error {
    let (resource, name) = (matter.key.kind.resource_name(), &matter.key.name);
    let message = format!("{resource} \"{name}\" is forbidden: {why}");
    Error::new(Reason::Forbidden, message).about(&matter.key)
}
