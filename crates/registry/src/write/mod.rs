//! Writes: decide, propose, and decide again if the state has changed in between.

mod apply;
mod bootstrap;
mod charge;
mod issue;
mod modify;
mod requester;

use std::{borrow::Cow, time::Duration};

use api::{
    DeleteOptions, Error, Key, Kind, Object, Reason, Served, Subresource, Verb, Write, WriteOutcome, admission,
    apply::Operation, json::Strictness,
};
use bytes::Bytes;
use futures::future::join_all;
use store::{Applied, Refusal, Txn, View};
use tokio::time::Instant;
use tracing::debug;

pub use apply::Wanted;
pub(crate) use charge::Turns;

use crate::{
    Registry,
    access::{Access, Asked, Caller, Certifying, Grant},
    admission::{Admitted, Manner, Matter, REQUEST_TIMEOUT, late},
    decide::{self, Bill, Decision, Fate, Sent, Stamp},
    defined::{self, Form},
    limits::quota,
    read::{Found, ListPage, ListQuery},
    refused,
};

/// How often a write is decided, each time because others were faster, before its sender is told to try again.
pub(crate) const ATTEMPTS_MAX: u32 = 16;

/// How long a write may take to be agreed on. Longer means that the masters cannot reach each other; the outcome is then
/// unknown.
pub const AGREEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// Under which name the masters' own controllers own what they write.
const CONTROLLERS: &str = "kapelle-controllers";

/// Under which name a worker does.
const AGENT: &str = "kapelle-agent";

/// How to write.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// Do everything but store the result.
    pub dry_run: bool,
    /// Who writes.
    pub field_manager: String,
    /// What to do with fields that nobody knows.
    pub field_validation: Strictness,
    /// In which version of its kind the object is sent, by whose rules it is judged; `None` for the one in which it is stored.
    pub served: Option<Served>,
    /// Of a deletion, through which subresource it is asked for.
    pub through: Subresource,
}

impl WriteOptions {
    /// The same for an object that is sent in a version of its kind.
    #[must_use]
    pub fn sent_as(self, served: Served) -> Self {
        Self { served: Some(served), ..self }
    }

    /// The same for whoever is asked about the write.
    fn manner(&self) -> Manner<'_> {
        let Self { dry_run, field_manager, field_validation, served: _, through } = self;
        Manner { dry_run: *dry_run, field_manager, field_validation: *field_validation, through: *through }
    }

    fn served(&self, kind: Kind) -> Served {
        self.served.unwrap_or_else(|| kind.into())
    }

    fn sent(&self, kind: Kind) -> Sent<'_> {
        Sent { form: self.served(kind).into(), manager: &self.field_manager, operation: Operation::Update }
    }
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self {
            dry_run: false,
            field_manager: String::new(),
            field_validation: Strictness::Warn,
            served: None,
            through: Subresource::None,
        }
    }
}

/// What a write did.
#[derive(Clone, Debug)]
pub struct Written {
    /// The object as stored; for a deletion that left nothing, its last state.
    pub object: Found,
    /// It did not exist before.
    pub created: bool,
    /// It does not exist any more.
    pub gone: bool,
    /// It was as wanted already; nothing was stored.
    pub unchanged: bool,
    /// What the writer should know, such as fields that mean nothing to a Wasm Pod.
    pub warnings: Vec<String>,
}

impl Registry {
    /// Carries out one write.
    ///
    /// # Errors
    /// If it may not be done, if its preconditions do not hold, or if the masters cannot agree at the moment.
    pub async fn submit(&self, write: Write, options: WriteOptions) -> Result<Written, Error> {
        self.authorise(Access::Objects(Asked::of(&write, &place(&write)).through(options.through))).await?;
        self.carry_out(write, options).await
    }

    /// Carries out a write that was allowed.
    async fn carry_out(&self, write: Write, options: WriteOptions) -> Result<Written, Error> {
        let key = write.key();
        let dry_run = options.dry_run || matches!(&write, Write::Delete(_, options) if options.dry_run);
        let options = WriteOptions { dry_run, ..self.named(options) };
        self.settle(&key, options.sent(key.kind), &options, |_, _| Ok(Cow::Borrowed(&write))).await
    }

    /// The options with a name for whoever writes: processes of the cluster need not say theirs.
    pub(crate) fn named(&self, mut options: WriteOptions) -> WriteOptions {
        if options.field_manager.is_empty() {
            let name = match self.caller() {
                Caller::Cluster => CONTROLLERS,
                Caller::Node { .. } => AGENT,
                Caller::Master { .. }
                | Caller::Newcomer { .. }
                | Caller::Admin { .. }
                | Caller::User(_)
                | Caller::Nobody => "",
            };
            name.clone_into(&mut options.field_manager);
        }
        options
    }

    /// Carries out many independent writes at once; they share the log's group commit. The answers are in their order.
    pub async fn submit_all(&self, writes: Vec<Write>) -> Vec<WriteOutcome> {
        let submit = |write| async move {
            self.submit(write, WriteOptions::default()).await.map(|written| written.object.object())
        };
        join_all(writes.into_iter().map(submit)).await
    }

    /// Deletes what a query selects, and answers what that was.
    ///
    /// # Errors
    /// As [`Registry::list`], or if one of the objects cannot be deleted.
    pub async fn delete_all(&self, query: &ListQuery, options: &DeleteOptions) -> Result<ListPage, Error> {
        let asked = Key::namespaced(query.kind, query.namespace.as_deref().unwrap_or_default(), "");
        self.authorise(Access::to_many(Verb::DeleteCollection, &asked, &query.fields)).await?;
        let page = self.listed(query).await?;
        let delete = |found: &Found| self.carry_out(deletion(&found.object(), options), WriteOptions::default());
        for outcome in join_all(page.items.iter().map(delete)).await {
            match outcome {
                Err(error) if !matches!(error.reason, Reason::NotFound | Reason::Conflict) => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(page)
    }

    /// Makes a write that was authorised from the present state, decides and proposes it; starts over as long as the state
    /// changes meanwhile.
    ///
    /// A precondition that no longer holds ends this: deciding again on the newer state says so.
    pub(crate) async fn settle<'a>(
        &self,
        key: &Key,
        sent: Sent<'_>,
        options: &WriteOptions,
        mut make: impl FnMut(&View, Form<'_>) -> Result<Cow<'a, Write>, Error>,
    ) -> Result<Written, Error> {
        self.inner.events.count(&self.caller, key.kind, self.now())?;
        let mut deadline = None;
        let turn = self.turn_to_count(key).await?;
        for attempt in 0..ATTEMPTS_MAX {
            let nearly_full;
            let definition;
            let bill;
            let decision = {
                let view = self.state();
                definition = self.definition(&view, key.kind);
                let form = Form { definition: definition.as_deref(), ..sent.form };
                // Whoever looks at the object that is there shares one decoded value.
                let _present = view.get(key).map(|record| record.object());
                let write = self.recounted(&view, requester::told(make(&view, form)?, &self.caller));
                self.caller.admit(&view, &write)?;
                self.stays(&write)?;
                defined::has_room(&write)?;
                nearly_full = quota::check(&view, &self.caller, &write, self.inner.options.quota_bytes)?;
                let (sent, stamp) = (Sent { form, ..sent }, self.stamp(attempt)?);
                let decided = match self.inner.admission.panel(&view, key.kind, operation(&write, options)) {
                    None => decide::decide(&view, &write, sent, &stamp, &self.inner.rules),
                    Some(panel) => {
                        let until = *deadline.get_or_insert_with(|| Instant::now() + REQUEST_TIMEOUT);
                        let admitted = Admitted { panel: &panel, view: &view, write: &write, sent, stamp: &stamp };
                        Box::pin(self.asked(admitted, options, until)).await
                    }
                };
                let decision = match decided {
                    Err(error) if error.reason == Reason::AlreadyExists && generated(&write) => continue,
                    decision => self.secured(&view, &write, self.granted(&view, &write, decision?)?)?,
                };
                bill = Bill::of(&view, &write, &decision);
                self.conditioned(&view, &write, decision)
            };
            let mut decision = quota::warned(decision, nearly_full);
            if options.dry_run {
                bill.map_or(Ok(Vec::new()), |bill| bill.charge(&self.state(), self.now()))?;
                return Ok(planned(decision));
            }
            if decision.txn.ops.is_empty() {
                return Ok(planned(decision));
            }
            match self.charged(&mut decision, bill.as_ref(), turn.is_some()).await? {
                Ok(applied) => {
                    let written = written(decision, &applied);
                    return Ok(Written { object: written.object.defined(definition.as_ref()), ..written });
                }
                Err(refusal) => debug!(%key, attempt, %refusal, "decided on a state that has changed"),
            }
        }
        Err(Error::conflict(key, "too many others write at the same moment; please try again"))
    }

    /// A decision, unless it is to store a role, binding or User that gives more than its writer has, or something about
    /// certificates that the writer may not say.
    fn granted(&self, view: &View, write: &Write, decision: Decision) -> Result<Decision, Error> {
        let (Write::Create(_) | Write::Update(..), kind) = (write, decision.object.kind()) else { return Ok(decision) };
        if !(Grant::is_of(kind) || Certifying::is_of(kind)) {
            return Ok(decision);
        }
        let old = view.get(&decision.object.key()).map(|record| record.object());
        let (new, old) = (&*decision.object, old.as_deref());
        let certifying = Certifying { write, new, old };
        certifying.check(&self.caller)?;
        if let Caller::User(user) = self.caller() {
            let roles = self.inner.rights.of(view);
            user.may_grant(Grant { new, old }, &roles)?;
            user.may_certify(certifying, &roles)?;
        }
        Ok(decision)
    }

    /// A decision with what Pod Security says of it, unless the Namespace refuses it.
    fn secured(&self, view: &View, write: &Write, mut decision: Decision) -> Result<Decision, Error> {
        let advice = decide::secure(view, write, &decision)?;
        if let Some(value) = advice.audit {
            let (object, user) = (decision.object.key(), self.caller().user());
            tracing::info!(target: "audit", %object, user, key = decide::AUDIT_VIOLATIONS, value);
        }
        decision.warnings.extend(advice.warnings);
        Ok(decision)
    }

    /// Decides a write with the help of others, who have until some time.
    async fn asked(&self, admitted: Admitted<'_>, options: &WriteOptions, until: Instant) -> Result<Decision, Error> {
        let key = decide::key_of(admitted.write, admitted.stamp);
        let matter = Matter::new(admitted.write, key, admitted.sent.form, &self.caller, options.manner());
        tokio::time::timeout_at(until, self.admitted(admitted, &matter)).await.map_err(|_| late())?
    }

    /// Proposes a transaction that is no write of an object. Only for a master that serves nobody yet.
    pub(crate) async fn step(&self, txn: Txn) -> Result<(), Error> {
        self.propose(txn.encode()).await?.map(drop).map_err(Error::internal)
    }

    pub(crate) async fn propose(&self, command: Bytes) -> Result<Result<Applied, Refusal>, Error> {
        let proposed = tokio::time::timeout(AGREEMENT_TIMEOUT, self.inner.consensus.propose(command)).await;
        let late =
            |_| Error::new(Reason::Timeout, "the masters did not agree in time; the write may or may not happen");
        proposed.map_err(late)?.map_err(|error| refused(&error))
    }

    pub(crate) fn stamp(&self, attempt: u32) -> Result<Stamp, Error> {
        let random = getrandom::u64().map_err(|error| Error::internal(format!("no randomness: {error}")))?;
        Ok(Stamp { now: self.now(), uid: uuid::Uuid::new_v4().to_string(), random, attempt })
    }
}

/// What leave is asked for: the object, or the collection in which a new one is to be, since no URL names it.
fn place(write: &Write) -> Key {
    let key = write.key();
    match write {
        Write::Create(_) => Key { name: "".into(), ..key },
        Write::Update(..) | Write::Delete(..) => key,
    }
}

/// Of a selection exactly what was seen is deleted: a namesake that came later is another object.
fn deletion(object: &Object, options: &DeleteOptions) -> Write {
    let uid = object.metadata().map(|meta| meta.uid.clone());
    Write::Delete(object.key(), DeleteOptions { uid, ..options.clone() })
}

/// What a write does, as rules of webhooks call it.
fn operation(write: &Write, options: &WriteOptions) -> admission::Operation {
    use admission::Operation;
    match (write, options.through) {
        (Write::Create(_), _)
        | (Write::Update(_, Subresource::Binding), _)
        | (Write::Delete(..), Subresource::Eviction) => Operation::Create,
        (Write::Update(..), _) => Operation::Update,
        (Write::Delete(..), _) => Operation::Delete,
    }
}

/// Whether the name was generated, so that another one would do as well.
fn generated(write: &Write) -> bool {
    let Write::Create(object) = write else { return false };
    object.metadata().is_some_and(|meta| meta.name.is_empty() && !meta.generate_name.is_empty())
}

fn planned(decision: Decision) -> Written {
    Written {
        object: decision.object.into(),
        created: decision.fate == Fate::Created,
        gone: decision.fate == Fate::Gone,
        unchanged: decision.fate == Fate::Unchanged,
        warnings: decision.warnings,
    }
}

/// As decided, with the object as the state has it.
fn written(decision: Decision, applied: &Applied) -> Written {
    let stored = applied.records.iter().flatten().next().map(Found::from);
    let planned = planned(decision);
    Written { object: stored.unwrap_or(planned.object), ..planned }
}
