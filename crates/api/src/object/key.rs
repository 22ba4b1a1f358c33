//! Names of objects and positions in their history.

use std::{fmt, num::ParseIntError, str::FromStr, sync::Arc};

use super::Kind;

/// Names one object: kind, namespace (empty for kinds that have none) and name.
///
/// Ordered by kind, then namespace, then name, which is the order of lists. Cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What it is.
    pub kind: Kind,
    /// Where it is; empty for kinds without namespaces.
    pub namespace: Arc<str>,
    /// What it is called there.
    pub name: Arc<str>,
}

impl Key {
    /// A key in a namespace.
    pub fn namespaced(kind: Kind, namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }

    /// A key of a kind that has no namespace.
    pub fn cluster(kind: Kind, name: impl Into<Arc<str>>) -> Self {
        Self { kind, namespace: Arc::from(""), name: name.into() }
    }
}

impl fmt::Display for Key {
    /// `Pod default/web-1`, or `Node n1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, namespace, name } = self;
        if namespace.is_empty() { write!(f, "{kind} {name}") } else { write!(f, "{kind} {namespace}/{name}") }
    }
}

/// A position in the cluster's history: the number of changes up to and including one. Grows by one a change, never falls,
/// is the same on every master, and is what `metadata.resourceVersion` carries in decimal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Revision {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}
