//! What this node knows of its own state, for its Node's conditions.

use api::core_v1::Node;
use tokio::sync::watch;

/// The state of this node, told to whoever waits for it to change.
pub(crate) struct Health {
    state: watch::Sender<State>,
}

/// What is known at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    /// Why Pods elsewhere do not reach this node, or it does not reach them.
    pub(crate) network: Option<Trouble>,
    /// The nodes that have no route to this one.
    pub(crate) unrouted_by: Vec<String>,
    /// The nodes to which this one has no route.
    pub(crate) unrouted: Vec<String>,
    /// How many other nodes there are.
    pub(crate) others: usize,
    /// Why nothing more should be written to its disk.
    pub(crate) disk: Option<Trouble>,
    /// Why the address of some Service is not listened on.
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

impl State {
    /// Why Pods elsewhere do not reach this node, or it does not reach them. One node without a route to it proves nothing:
    /// the fault may be there.
    pub(crate) fn network_trouble(&self) -> Option<Trouble> {
        let most = 2 * self.unrouted_by.len() > self.others;
        let unreached = || Trouble {
            reason: "NoRouteFromNodes",
            message: format!(
                "{} have no route to this node's address; give it one on the network of the others with --address",
                self.unrouted_by.join(", ")
            ),
        };
        self.network.clone().or_else(|| (most && !self.unrouted_by.is_empty()).then(unreached))
    }
}

impl Health {
    pub(crate) fn new() -> Self {
        Self { state: watch::Sender::default() }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Whether the routes to the other nodes could be set, to which they could not, and how many others there are.
    pub(crate) fn network(&self, trouble: Option<Trouble>, unrouted: Vec<String>, others: usize) {
        self.change(|state| (state.network, state.unrouted, state.others) = (trouble, unrouted, others));
    }

    /// A master says who has no route to this node.
    pub(crate) fn unrouted_by(&self, nodes: Vec<String>) {
        self.change(|state| state.unrouted_by = nodes);
    }

    /// The nodes to which this one has no route.
    pub(crate) fn unrouted(&self) -> Vec<String> {
        self.state.borrow().unrouted.clone()
    }

    pub(crate) fn disk(&self, trouble: Option<Trouble>) {
        self.change(|state| state.disk = trouble);
    }

    pub(crate) fn listening(&self, trouble: Option<Trouble>) {
        self.change(|state| state.listening = trouble);
    }

    /// This node as the masters tell of it; `None` if they do not.
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

#[cfg(test)]
mod tests {
    use super::State;

    #[test]
    fn a_node_is_not_reached_if_most_others_say_so() {
        let reason = |by: &[&str], others| {
            let unrouted_by = by.iter().map(ToString::to_string).collect();
            State { unrouted_by, others, ..State::default() }.network_trouble().map(|trouble| trouble.reason)
        };
        assert_eq!(reason(&[], 0), None);
        assert_eq!(reason(&["n1"], 2), None);
        assert_eq!(reason(&["n1", "n2"], 3), Some("NoRouteFromNodes"));
        assert_eq!(reason(&["n1"], 1), Some("NoRouteFromNodes"));
    }
}
