//! The state under consensus, and the handle that readers hold.

use std::{
    io::{self, Read, Write},
    sync::Arc,
};

use api::{Kind, Revision};
use bytes::Bytes;

use crate::{
    Applied, Event, Expired, Op, Refusal, State, Txn, View, Watch,
    history::{Looked, wake},
    shared::Shared,
    snapshot,
};

/// The state as `consensus` drives it: applies what was agreed, in order, on one thread.
#[derive(Debug)]
pub struct Machine {
    state: State,
    shared: Arc<Shared>,
    /// What was applied and nobody sees yet.
    unseen: Vec<Arc<Event>>,
}

/// What readers hold. Cloning is O(1); nothing here waits for a writer.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

/// An empty state: the half that is driven and the half that is read.
#[must_use]
pub fn new() -> (Machine, Store) {
    let state = State::default();
    let shared = Arc::new(Shared::new(state.view()));
    (Machine { state, shared: shared.clone(), unseen: Vec::new() }, Store { shared })
}

impl Store {
    /// The state as it is now.
    #[must_use]
    pub fn view(&self) -> View {
        self.shared.view()
    }

    /// The state as it was at a revision, as far as one kind goes: the present one, with the changes since then taken back.
    /// Other kinds are in it as they are now. It costs a moment for each of those changes, of which history has
    /// [`crate::EVENTS_MAX`] at most, and shares all else with the present.
    ///
    /// # Errors
    /// [`Expired`] if the history no longer reaches back that far.
    pub fn view_at(&self, kind: Kind, revision: Revision) -> Result<View, Expired> {
        let view = self.view();
        let since = self.shared.lane(kind.row()).all_after(Looked::At(kind), (revision, view.revision()))?;
        Ok(view.without(&since, revision))
    }

    /// The changes of some kinds after a revision.
    ///
    /// # Errors
    /// [`Expired`] if the history no longer reaches back that far.
    pub fn watch(&self, kinds: &[Kind], after: Revision) -> Result<Watch, Expired> {
        Watch::new(self.shared.clone(), kinds.iter().map(|kind| Looked::At(*kind)).collect(), after)
    }

    /// The changes of all kinds after a revision, those included that somebody defines only then.
    ///
    /// # Errors
    /// As [`Store::watch`].
    pub fn watch_all(&self, after: Revision) -> Result<Watch, Expired> {
        let stored = Kind::ALL.iter().map(|kind| Looked::At(*kind));
        Watch::new(self.shared.clone(), stored.chain([Looked::AtAllCustom]).collect(), after)
    }
}

impl Machine {
    /// Ends the history: watches from before a revision must list again.
    fn forget(&self, floor: Revision) {
        (0..Kind::ROWS).for_each(|row| self.shared.lane(row).restart(floor));
    }

    fn install(&mut self, state: State) {
        let revision: Revision = state.view().revision();
        self.state = state;
        self.unseen.clear();
        self.forget(revision);
        self.shared.publish(self.state.view());
    }
}

impl consensus::Machine for Machine {
    type Output = Result<Applied, Refusal>;

    /// A command that is not a transaction was agreed on by a majority, so every master meets it: stopping is the only
    /// answer that cannot make them differ.
    fn apply(&mut self, index: u64, command: Bytes) -> Self::Output {
        let txn = Txn::decode(command).unwrap_or_else(|error| panic!("log entry {index}: {error}"));
        let ends_history = txn.ops.iter().any(|op| matches!(op, Op::Advance { .. }));
        if ends_history {
            self.show();
        }
        let applied = self.state.apply(&txn)?;
        if ends_history {
            self.forget(applied.revision);
        }
        self.unseen.extend(applied.events.iter().cloned());
        Ok(applied)
    }

    /// First the history, then the state, then the watchers are woken, so that a watcher who sees a revision finds every
    /// event up to it. Until then nobody else holds the newest nodes of the maps, so that they are changed in place.
    fn show(&mut self) {
        let mut kinds = Vec::new();
        for event in self.unseen.drain(..) {
            let kind = event.record.key.kind;
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
            self.shared.lane(kind.row()).push(event);
        }
        self.shared.publish(self.state.view());
        for kind in kinds {
            let watchers = self.shared.lane(kind.row()).watchers(kind);
            wake(&watchers);
        }
    }

    fn snapshot(&self) -> Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + Send> {
        let view = self.state.view();
        Box::new(move |to| snapshot::write(&view, to))
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()> {
        self.install(State::from_root(snapshot::read(snapshot)?));
        Ok(())
    }

    fn digest(&self) -> u64 {
        self.state.digest()
    }
}
