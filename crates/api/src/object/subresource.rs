//! The parts of objects that have URLs of their own.

/// What of an object is meant: itself, or one of the words that can follow its name in a URL. The table of kinds says which
/// kind has which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Subresource {
    /// The object itself. A write changes everything but `status`.
    #[default]
    None,
    /// Only `status` (and, for Pods, what the node reports).
    Status,
    /// Only `spec.replicas`.
    Scale,
    /// Only `spec.nodeName` of a Pod that has none: what the scheduler writes.
    Binding,
    /// Not a part that could be written: deletes a Pod.
    Eviction,
    /// Only `spec.finalizers` of a Namespace.
    Finalize,
    /// Not a part that could be written: what a Pod's containers print.
    Log,
    /// Only `metadata.ownerReferences` and `metadata.finalizers`: what the garbage collector writes, who does not know the
    /// rest of every object. It has no URL.
    Owners,
}

impl Subresource {
    /// Every one.
    pub const ALL: [Self; 8] =
        [Self::None, Self::Status, Self::Scale, Self::Binding, Self::Eviction, Self::Finalize, Self::Log, Self::Owners];

    /// The word in URLs and requests; empty for the object itself.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Status => "status",
            Self::Scale => "scale",
            Self::Binding => "binding",
            Self::Eviction => "eviction",
            Self::Finalize => "finalize",
            Self::Log => "log",
            Self::Owners => "owners",
        }
    }

    /// Whether an update can change it.
    #[must_use]
    pub fn is_written(self) -> bool {
        match self {
            Self::None | Self::Status | Self::Scale | Self::Binding | Self::Finalize | Self::Owners => true,
            Self::Eviction | Self::Log => false,
        }
    }

    /// Finds one by its word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.word() == word)
    }
}
