//! Admission by others: webhooks and policies are asked before something is written.
//!
//! The Registry decides whom to ask (`panel`), what to tell them (`review`), what follows from their answers (`answer`, `draft`)
//! and from their expressions (`policies`); the calls themselves are made by a [`Calls`] that it is handed, since nothing here
//! knows HTTP. Nobody is asked unless a rule matches, and finding that out takes a look at the numbers of configurations, or into
//! a table.
//!
//! As in Kubernetes, those that may change the object come first, one after the other; then the write is decided, with defaults
//! and validation of what they made of it; then those that may refuse it judge what would be stored. Whoever changed the object
//! in the meantime makes all of this begin anew.

mod answer;
mod calls;
mod draft;
mod mutate;
mod panel;
mod policies;
mod review;
mod services;
mod validate;
mod webhooks;

use std::time::Duration;

use api::{
    DeleteOptions, Error, Key, Object, ReadAt, Reason, Served, Subresource, Write, authentication_v1::TokenRequest,
    json, policy_v1::Eviction,
};
use prost::Message;
use serde_json::Value;
use store::View;

pub use calls::{ANSWER_BYTES_MAX, Call, CallError, Calls};
pub(crate) use panel::{Admission, Panel};
pub(crate) use review::{Manner, Matter};

use crate::{
    Registry,
    decide::{self, Decision, Sent, Stamp},
};
use draft::Draft;
use review::Stands;

/// How long all that are asked about one request may take together, as in Kubernetes.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// The most warnings that one webhook may give to one request, and the longest of them in bytes.
const WARNINGS_MAX: usize = 64;
const WARNING_BYTES_MAX: usize = 1 << 10;

/// Whether bytes are what a webhook may answer to a question with a uid.
pub(crate) fn is_answer(bytes: &[u8], uid: &str) -> bool {
    let read = |version, mutating| answer::read(bytes, answer::Asked { uid, version, mutating }).is_ok();
    [true, false]
        .into_iter()
        .any(|mutating| read(panel::ReviewVersion::V1, mutating) || read(panel::ReviewVersion::V1Beta1, mutating))
}

/// What is asked about one write.
pub(crate) struct Asking<'a> {
    registry: &'a Registry,
    panel: &'a Panel,
    view: &'a View,
    matter: &'a Matter<'a>,
    /// What is asked of the object, as others have made it so far.
    question: Value,
    warnings: Vec<String>,
}

/// A write that is decided with the help of others.
pub(crate) struct Admitted<'a> {
    pub(crate) panel: &'a Panel,
    pub(crate) view: &'a View,
    pub(crate) write: &'a Write,
    pub(crate) sent: Sent<'a>,
    pub(crate) stamp: &'a Stamp,
}

impl Registry {
    /// Decides a write, and asks those about it whom its kind concerns.
    ///
    /// # Errors
    /// As [`decide::decide`], if somebody refuses it, or if somebody who must be asked does not answer.
    pub(crate) async fn admitted(&self, admitted: Admitted<'_>, matter: &Matter<'_>) -> Result<Decision, Error> {
        let Admitted { panel, view, write, sent, stamp } = admitted;
        let mut asking = Asking::new(self, panel, view, matter);
        let outcome = asking.decided(write, sent, stamp).await;
        let warnings = std::mem::take(&mut asking.warnings);
        match outcome {
            Ok(mut decision) => {
                decision.warnings.extend(warnings);
                Ok(decision)
            }
            Err(error) => Err(error.warning(warnings)),
        }
    }
}

impl Registry {
    /// Asks others whether somebody may be connected with an object by one of its subresources. `question` says how, such as a
    /// `PodExecOptions`, which nobody may change. Answers what the asker should know.
    ///
    /// # Errors
    /// If there is no such object, if somebody refuses, or if somebody who must be asked does not answer.
    pub async fn admit_question(
        &self,
        key: &Key,
        subresource: Subresource,
        question: impl FnOnce() -> Value,
    ) -> Result<Vec<String>, Error> {
        let asked = self.admit_request(key, subresource, question, Ok).await?;
        Ok(asked.map(|Settled { warnings, .. }| warnings).unwrap_or_default())
    }

    /// As [`Registry::admit_question`], of something that others may change, such as a `TokenRequest`: `settle` says whether it
    /// is right as they have made it, and what those are shown who may refuse it. Answers that; `None` if nobody was asked.
    ///
    /// # Errors
    /// As [`Registry::admit_question`], and as `settle`.
    pub(crate) async fn admit_request(
        &self,
        key: &Key,
        subresource: Subresource,
        question: impl FnOnce() -> Value,
        settle: impl FnOnce(Value) -> Result<Value, Error>,
    ) -> Result<Option<Settled>, Error> {
        let view = self.state();
        let Some(panel) = self.inner.admission.panel(&view, key.kind, Matter::question(subresource)) else {
            return Ok(None);
        };
        let question = question();
        let record = match view.get(key) {
            Some(record) => record.clone(),
            // It may have been made by another master just now.
            None => self.view(ReadAt::Latest).await?.get(key).ok_or_else(|| Error::not_found(key))?.clone(),
        };
        let object = record.object();
        let matter = Matter::asking(key.clone(), subresource, &self.caller, question);
        let mut asking = Asking::new(self, &panel, &view, &matter);
        let asked = async {
            asking.mutate(&mut Draft::new(Some(Object::clone(&object))), None).await?;
            asking.question = settle(std::mem::take(&mut asking.question))?;
            asking.validate(Some(&object), None).await
        };
        let outcome = tokio::time::timeout(REQUEST_TIMEOUT, asked).await.unwrap_or_else(|_| Err(late()));
        let Asking { question, warnings, .. } = asking;
        outcome.map_err(|error| error.warning(warnings.clone()))?;
        Ok(Some(Settled { question, warnings }))
    }
}

/// What is asked of an object after everybody was asked about it.
pub(crate) struct Settled {
    pub(crate) question: Value,
    /// What the asker should know.
    pub(crate) warnings: Vec<String>,
}

/// They took too long together.
pub(crate) fn late() -> Error {
    Error::new(Reason::Timeout, "request did not complete within requested timeout")
}

impl<'a> Asking<'a> {
    fn new(registry: &'a Registry, panel: &'a Panel, view: &'a View, matter: &'a Matter<'a>) -> Self {
        Self { registry, panel, view, matter, question: matter.question.clone(), warnings: Vec::new() }
    }
}

impl Asking<'_> {
    async fn decided(&mut self, write: &Write, sent: Sent<'_>, stamp: &Stamp) -> Result<Decision, Error> {
        let (view, rules) = (self.view, &self.registry.inner.rules);
        let decide = |write: &Write| decide::decide(view, write, sent, stamp, rules);
        let decision = match decide(write) {
            // What is not valid may become so.
            Err(error) if error.reason != Reason::Invalid => return Err(error),
            decision => decision,
        };
        let old = self.view.get(&write.key()).map(|record| record.object());
        let changed = self.mutated(write, sent, stamp, old.as_deref()).await?;
        let decision = changed.as_ref().map_or(decision, decide)?;
        let new = match changed.as_ref().unwrap_or(write) {
            Write::Delete(..) => self.evicted(old.as_deref()),
            Write::Update(binding, Subresource::Binding) => Some(binding),
            Write::Create(_) | Write::Update(..) => Some(&*decision.object),
        };
        self.validate(new, old.as_deref()).await?;
        Ok(decision)
    }

    /// The write with what others made of its object; `None` if they changed nothing.
    async fn mutated(
        &mut self,
        write: &Write,
        sent: Sent<'_>,
        stamp: &Stamp,
        old: Option<&Object>,
    ) -> Result<Option<Write>, Error> {
        // What the garbage collector writes is no whole object that could be changed.
        if self.panel.mutators.is_empty() || matches!(write, Write::Update(_, Subresource::Owners)) {
            return Ok(None);
        }
        let drafted = decide::draft(self.view, write, sent, stamp, &self.registry.inner.rules)?;
        let mut draft = Draft::new(drafted.or_else(|| self.evicted(old).cloned()));
        if !self.mutate(&mut draft, old).await? {
            return Ok(None);
        }
        Ok(match (write, draft.into_object()) {
            (Write::Create(_), Some(object)) => Some(Write::Create(object)),
            (Write::Update(_, part), Some(object)) => Some(Write::Update(object, *part)),
            (Write::Delete(key, sent), Some(_)) if self.matter.stands == Stands::Eviction => {
                Some(Write::Delete(key.clone(), self.evicting(sent)?))
            }
            (Write::Create(_) | Write::Update(..) | Write::Delete(..), _) => None,
        })
    }

    /// How an object is to go, as others have made it.
    fn evicting(&self, sent: &DeleteOptions) -> Result<DeleteOptions, Error> {
        let (Eviction { delete_options, .. }, _) = draft::read(self.matter, &self.question)?;
        let wished = DeleteOptions::read(&delete_options.unwrap_or_default())?;
        // Whether anything is to happen at all, those who are asked have been told.
        Ok(DeleteOptions { dry_run: sent.dry_run, ..wished })
    }

    /// An object as it is told in a version, or what stands for it, as others have made it.
    fn told(&self, object: &Object, found: Served) -> Value {
        match self.matter.stands {
            Stands::Whole | Stands::Scale | Stands::Binding => self.matter.shown(object, found),
            Stands::Eviction | Stands::Question => self.question.clone(),
        }
    }

    /// As [`Asking::told`], of a draft; `null` if it has no object.
    fn drafted(&self, draft: &Draft, found: Served) -> Value {
        draft.object().map_or(Value::Null, |object| self.told(object, found))
    }

    /// Takes what somebody made of what it was told. Answers whether that is something else, and what of it nobody knows.
    fn replace(&mut self, draft: &mut Draft, found: Served, value: &Value) -> Result<(bool, Vec<String>), Error> {
        match self.matter.stands {
            Stands::Whole | Stands::Scale | Stands::Binding => draft.replace(self.matter, found, value),
            Stands::Question if *value == self.question => Ok((false, Vec::new())),
            Stands::Eviction => self.ask_otherwise::<Eviction>(value),
            Stands::Question => self.ask_otherwise::<TokenRequest>(value),
        }
    }

    fn ask_otherwise<M: Message + Default>(&mut self, value: &Value) -> Result<(bool, Vec<String>), Error> {
        let (read, unknown) = draft::read::<M>(self.matter, value)?;
        let message = self.matter.message().unwrap_or_default();
        let mut made = json::encode_message(message, &read.encode_to_vec())?;
        for field in ["apiVersion", "kind"] {
            made[field] = self.question[field].clone();
        }
        draft::is_named(self.matter, &made)?;
        if made.to_string().len() > decide::OBJECT_BYTES_MAX {
            let why = format!("what is asked would have more than the limit of {} bytes", decide::OBJECT_BYTES_MAX);
            return Err(Error::new(Reason::RequestEntityTooLarge, why).about(&self.matter.key));
        }
        let changed = made != self.question;
        self.question = made;
        Ok((changed, unknown))
    }

    /// The object that is to go, if the wish that it goes is an object of its own.
    fn evicted<'o>(&self, old: Option<&'o Object>) -> Option<&'o Object> {
        old.filter(|_| self.matter.stands == Stands::Eviction)
    }

    /// Keeps what a webhook or policy says to whoever asked.
    fn warn(&mut self, warnings: impl IntoIterator<Item = String>) {
        let clipped = |mut warning: String| {
            warning.truncate(warning.floor_char_boundary(WARNING_BYTES_MAX));
            warning
        };
        self.warnings.extend(warnings.into_iter().take(WARNINGS_MAX).map(clipped));
    }

    /// Tells what Kubernetes writes into the audit record of a request.
    fn note(&self, key: &str, value: &str) {
        tracing::info!(target: "audit", object = %self.matter.key, user = self.matter.user(), key, value);
    }
}
