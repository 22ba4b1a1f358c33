//! Writes: decide, propose, and decide again if the state has changed in between.

use std::{borrow::Cow, time::Duration};

use api::{Error, Key, Reason, Write, WriteOutcome};
use bytes::Bytes;
use futures::future::join_all;
use store::{Applied, Refusal, Txn, View};
use tracing::debug;

use super::{Found, Registry, WriteOptions, Written, events, refused};
use crate::access::{Access, Asked};
use crate::caller::Caller;
use crate::door::{self, Decision, Fate, Stamp};

/// How often a write is decided anew because others were faster, before its sender is told to try again.
pub(super) const ATTEMPTS_MAX: u32 = 16;

/// How long a write may take to be agreed on. Longer means that the masters cannot reach each other; the outcome is then
/// unknown.
const AGREEMENT_TIMEOUT: Duration = Duration::from_secs(10);

impl Registry {
    /// Carries out one write.
    ///
    /// # Errors
    /// If it may not be done, if its preconditions do not hold, or if the masters cannot agree at the moment.
    pub async fn submit(&self, write: Write, options: WriteOptions) -> Result<Written, Error> {
        let key = write.key();
        self.authorise(Access::Objects(Asked::of(&write, &key))).await?;
        let dry_run = options.dry_run || matches!(&write, Write::Delete(_, options) if options.dry_run);
        self.settle(&key, dry_run, |_| Ok(Cow::Borrowed(&write))).await
    }

    /// Carries out many independent writes at once; they share the log's group commit. The answers are in their order.
    pub async fn submit_all(&self, writes: Vec<Write>) -> Vec<WriteOutcome> {
        let submit = |write| async move {
            self.submit(write, WriteOptions::default()).await.map(|written| written.object.object())
        };
        join_all(writes.into_iter().map(submit)).await
    }

    /// Makes a write that was authorised from the present state, decides and proposes it; starts over as long as the state changes meanwhile.
    ///
    /// A precondition that no longer holds ends this: deciding again on the newer state says so.
    pub(super) async fn settle<'a>(
        &self,
        key: &Key,
        dry_run: bool,
        mut make: impl FnMut(&View) -> Result<Cow<'a, Write>, Error>,
    ) -> Result<Written, Error> {
        self.inner.events.count(&self.caller, key.kind, self.now())?;
        for attempt in 0..ATTEMPTS_MAX {
            let room;
            let decision = {
                let view = self.state();
                let write = make(&view)?;
                self.caller.admit(&view, &write)?;
                self.stays(&write)?;
                room = self.room(&view, &write)?;
                match door::decide(&view, &write, &self.stamp(attempt)?, &self.inner.rules) {
                    Err(error) if error.reason == Reason::AlreadyExists && generated(&write) => continue,
                    decision => decision?,
                }
            };
            let decision = warned(decision, room);
            if dry_run || decision.txn.ops.is_empty() {
                return Ok(planned(decision));
            }
            match self.propose(decision.txn.encode()).await? {
                Ok(applied) => return Ok(written(decision, &applied)),
                Err(refusal) => debug!(%key, attempt, %refusal, "decided on a state that has changed"),
            }
        }
        Err(Error::conflict(key, "too many others write at the same moment; please try again"))
    }

    /// Proposes what is no write of an object. Only for a master that nobody else uses.
    pub(crate) async fn step(&self, txn: Txn) -> Result<(), Error> {
        self.propose(txn.encode()).await?.map(drop).map_err(Error::internal)
    }

    pub(super) async fn propose(&self, command: Bytes) -> Result<Result<Applied, Refusal>, Error> {
        let proposed = tokio::time::timeout(AGREEMENT_TIMEOUT, self.inner.consensus.propose(command)).await;
        let late =
            |_| Error::new(Reason::Timeout, "the masters did not agree in time; the write may or may not happen");
        proposed.map_err(late)?.map_err(|error| refused(&error))
    }

    pub(super) fn stamp(&self, attempt: u32) -> Result<Stamp, Error> {
        let random = getrandom::u64().map_err(|error| Error::internal(format!("no randomness: {error}")))?;
        Ok(Stamp { now: self.now(), uid: uuid::Uuid::new_v4().to_string(), random, attempt })
    }
}

/// Whether another name would do as well.
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

/// How full the state is, where that is worth a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Nearly {
    percent: usize,
    quota_bytes: usize,
}

/// Writers are warned from so many percent of the quota on: the first of the two alarms before it is full.
const WARNING_PERCENT: usize = 80;

/// Nodes and controllers may go on to so many percent: what they write makes room again.
const SYSTEM_PERCENT: usize = 110;

impl Registry {
    /// Refuses what would make a full state larger. Deletions are always taken.
    fn room(&self, view: &View, write: &Write) -> Result<Option<Nearly>, Error> {
        let quota_bytes = self.inner.options.quota_bytes;
        let percent = view.bytes().saturating_mul(100) / quota_bytes.max(1);
        events::room(view, &self.caller, write, quota_bytes)?;
        let limit = if matches!(*self.caller, Caller::Admin { .. }) { 100 } else { SYSTEM_PERCENT };
        match write {
            Write::Create(_) | Write::Update(..) if percent >= limit => Err(full(view.bytes(), quota_bytes)),
            Write::Create(_) | Write::Update(..) => {
                Ok((percent >= WARNING_PERCENT).then_some(Nearly { percent, quota_bytes }))
            }
            Write::Delete(..) => Ok(None),
        }
    }
}

fn full(bytes: usize, quota_bytes: usize) -> Error {
    let message = format!(
        "the state is full: {bytes} of {quota_bytes} bytes; delete what is not needed, or start the masters with a larger \
         --quota-bytes. Reads and deletions go on"
    );
    Error::new(Reason::Forbidden, message)
}

fn warned(mut decision: Decision, room: Option<Nearly>) -> Decision {
    decision.warnings.extend(room.map(|Nearly { percent, quota_bytes }| {
        format!("the state has reached {percent} % of its {quota_bytes} bytes; at 100 % only deletions are taken")
    }));
    decision
}
