//! Where the objects of a kind come from.

/// Where the objects of a kind come from. The table of kinds says it, and the Registry looks there for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The state that the masters agreed on.
    State,
    /// How the master that is asked finds the parts of the control plane at that moment. Nothing is stored.
    Health,
}
