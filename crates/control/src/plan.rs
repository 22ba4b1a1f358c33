//! What a controller wants: writes, and the reasons as data.

use std::{fmt, sync::Arc};

use api::{
    DeleteOptions, Key, Object, Propagation, Subresource, Timestamp, Write,
    event::EventType,
    kinds::{Resource, certificates::certificate_signing_request::Approval},
    x509::Order,
};

/// The most objects that one look creates or deletes: a batch that the masters take in one piece. The rest follows when these
/// are settled.
pub const BURST_MAX: usize = 2000;

/// What should happen to bring one object closer to what is wanted. Nothing in it is an effect yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// What to write. Steps for different objects may happen in any order; at most one a key is under way at a time.
    pub(crate) steps: Vec<Step>,
    /// The certificate to sign.
    pub(crate) order: Option<Order>,
    /// The request for a certificate to approve, if who sent it may have it.
    pub(crate) approval: Option<Approval>,
    /// What to tell the users, whatever becomes of the writes.
    pub(crate) notes: Vec<Note>,
    /// When to look again although nothing changed.
    pub(crate) again: Option<Timestamp>,
}

/// One write, and what is said about it.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) write: Write,
    /// Said once the write has happened.
    pub(crate) done: Option<Note>,
    /// Said, with the error, if the write is refused.
    pub(crate) refused: Option<Note>,
}

/// A reason: what becomes an Event.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    pub(crate) about: Arc<Object>,
    pub(crate) kind: EventType,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Note {
    pub(crate) fn normal(about: &Arc<Object>, reason: &'static str, message: impl Into<String>) -> Self {
        Self { about: about.clone(), kind: EventType::Normal, reason, message: message.into() }
    }

    pub(crate) fn warning(about: &Arc<Object>, reason: &'static str, message: impl Into<String>) -> Self {
        Self { about: about.clone(), kind: EventType::Warning, reason, message: message.into() }
    }
}

impl Plan {
    /// A new object.
    pub(crate) fn create(&mut self, object: impl Into<Object>) -> &mut Step {
        self.step(Write::Create(object.into()))
    }

    /// Everything but the status. The object's resourceVersion is the precondition.
    pub(crate) fn update(&mut self, object: impl Into<Object>) -> &mut Step {
        self.step(Write::Update(object.into(), Subresource::None))
    }

    /// Only the status. The object's resourceVersion is the precondition.
    pub(crate) fn update_status(&mut self, object: impl Into<Object>) -> &mut Step {
        self.step(Write::Update(object.into(), Subresource::Status))
    }

    /// Deletes exactly this incarnation, with the grace that it asks for.
    pub(crate) fn delete<T: Resource>(&mut self, object: &T) -> &mut Step {
        self.delete_with(object.key(), object.uid(), DeleteOptions::default())
    }

    /// Deletes exactly this incarnation at once: nobody is there to stop it gracefully.
    pub(crate) fn delete_now<T: Resource>(&mut self, object: &T) -> &mut Step {
        let options = DeleteOptions { grace_period_s: Some(0), ..DeleteOptions::default() };
        self.delete_with(object.key(), object.uid(), options)
    }

    /// Deletes exactly this incarnation, of whatever kind.
    pub(crate) fn delete_object(&mut self, object: &Object, propagation: Propagation) -> &mut Step {
        let uid = object.metadata().map_or("", |meta| &meta.uid);
        self.delete_with(object.key(), uid, DeleteOptions { propagation, ..DeleteOptions::default() })
    }

    /// Signs a certificate and stores it with its request, whose resourceVersion is the precondition.
    pub(crate) fn sign(&mut self, order: Order) {
        self.order = Some(order);
    }

    /// Approves a request for a certificate, whose resourceVersion is the precondition, if who sent it may have it.
    pub(crate) fn approve(&mut self, approval: Approval) {
        self.approval = Some(approval);
    }

    /// Tells the users something.
    pub(crate) fn note(&mut self, note: Note) {
        self.notes.push(note);
    }

    /// Looks again at `time`, or earlier if something else asked for that.
    pub(crate) fn again_at(&mut self, time: Timestamp) {
        self.again = Some(self.again.map_or(time, |earlier| earlier.min(time)));
    }

    pub(crate) fn step(&mut self, write: Write) -> &mut Step {
        self.steps.push(Step { write, done: None, refused: None });
        let last = self.steps.len() - 1;
        &mut self.steps[last]
    }

    fn delete_with(&mut self, key: Key, uid: &str, options: DeleteOptions) -> &mut Step {
        let uid = Some(uid.to_owned()).filter(|uid| !uid.is_empty());
        self.step(Write::Delete(key, DeleteOptions { uid, ..options }))
    }
}

impl Step {
    /// Whether it only tells how things are.
    pub(crate) fn is_report(&self) -> bool {
        matches!(self.write, Write::Update(_, Subresource::Status))
    }

    /// Says `note` once the write has happened.
    pub(crate) fn then(&mut self, note: Note) -> &mut Self {
        self.done = Some(note);
        self
    }

    /// Says `note` and the error if the write is refused.
    pub(crate) fn or(&mut self, note: Note) -> &mut Self {
        self.refused = Some(note);
        self
    }
}

impl fmt::Display for Plan {
    /// One line a step, note and wake-up: what tests compare.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        if let Some(order) = &self.order {
            writeln!(f, "sign {}", order.request.key())?;
        }
        for note in &self.notes {
            writeln!(f, "say {note}")?;
        }
        self.again.map_or(Ok(()), |again| writeln!(f, "again at {}ms", again.0))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.write.key();
        match &self.write {
            Write::Create(_) => write!(f, "create {key}")?,
            Write::Update(_, Subresource::None) => write!(f, "update {key}")?,
            Write::Update(object, Subresource::Binding) => {
                let node = object.get::<api::core_v1::Pod>().and_then(api::pod::node_name).unwrap_or_default();
                write!(f, "bind {key} to {node}")?;
            }
            Write::Update(_, Subresource::Status) => write!(f, "status {key}")?,
            Write::Update(_, Subresource::Scale) => write!(f, "scale {key}")?,
            Write::Update(_, Subresource::Approval) => write!(f, "approval of {key}")?,
            Write::Update(_, Subresource::Finalize) => write!(f, "finalize {key}")?,
            Write::Update(_, Subresource::Owners) => write!(f, "owners of {key}")?,
            Write::Update(
                _,
                part @ (Subresource::Eviction
                | Subresource::Log
                | Subresource::Portforward
                | Subresource::Exec
                | Subresource::Attach
                | Subresource::Proxy
                | Subresource::Token),
            ) => write!(f, "{} of {key}", part.word())?,
            Write::Delete(_, options) => {
                write!(f, "delete {key}")?;
                if options.grace_period_s == Some(0) {
                    f.write_str(" now")?;
                }
            }
        }
        self.done.as_ref().map_or(Ok(()), |note| write!(f, ", then say {note}"))
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.kind.word(), self.reason, self.message)
    }
}
