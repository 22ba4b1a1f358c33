//! What this node knows of its own state, for its Node's conditions.

use api::core_v1::Node;
use tokio::sync::watch;

/// The state of this node, told to whoever waits for it to change.
pub(crate) struct Health {
    state: watch::Sender<State>,
}

/// What is known at a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    /// Why Pods elsewhere do not reach this node, or it does not reach them.
    pub(crate) network: Option<Trouble>,
    /// Why nothing more should be written to its disk.
    pub(crate) disk: Option<Trouble>,
    /// Why some Service is not answered for on this node.
    pub(crate) listening: Option<Trouble>,
    /// This node as the masters told of it last.
    pub(crate) node: Option<Node>,
    /// How often the masters said that they do not know this node.
    pub(crate) forgotten: u64,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// One word for programs.
    pub(crate) reason: &'static str,
    /// What people read.
    pub(crate) message: String,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self { state: watch::Sender::default() }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    pub(crate) fn network(&self, trouble: Option<Trouble>) {
        self.change(|state| state.network = trouble);
    }

    pub(crate) fn disk(&self, trouble: Option<Trouble>) {
        self.change(|state| state.disk = trouble);
    }

    pub(crate) fn listening(&self, trouble: Option<Trouble>) {
        self.change(|state| state.listening = trouble);
    }

    /// The masters told of this node.
    pub(crate) fn saw(&self, node: Option<&Node>) {
        self.change(|state| state.node = node.cloned());
    }

    /// A master does not know this node.
    pub(crate) fn forget(&self) {
        self.change(|state| state.forgotten += 1);
    }

    /// Why nothing more should be written to the disk.
    pub(crate) fn disk_trouble(&self) -> Option<Trouble> {
        self.state.borrow().disk.clone()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        self.state.send_if_modified(|state| {
            let before = state.clone();
            change(state);
            *state != before
        });
    }
}
