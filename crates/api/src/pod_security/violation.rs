//! What is wrong with a Pod, in Kubernetes' words.

use std::{collections::BTreeSet, fmt};

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    /// What, in a word.
    pub(super) reason: &'static str,
    /// Where, and what would be right.
    pub(super) detail: String,
}

impl Violation {
    pub(super) fn new(reason: &'static str, detail: impl fmt::Display) -> Self {
        Self { reason, detail: detail.to_string() }
    }
}

/// What all checks of a level found; nothing if the Pod meets it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations(pub(super) Vec<Violation>);

impl Violations {
    /// Whether the Pod meets the level.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is wrong, without saying where: for many Pods together.
    #[must_use]
    pub fn reasons(&self) -> String {
        self.0.iter().map(|violation| violation.reason).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, violation) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{} ({})", violation.reason, violation.detail)?;
        }
        Ok(())
    }
}

/// Several words in quotes.
pub(super) fn quoted<T: AsRef<str>>(words: impl IntoIterator<Item = T>) -> String {
    let quoted = words.into_iter().map(|word| format!("\"{}\"", word.as_ref()));
    quoted.collect::<Vec<_>>().join(", ")
}

/// The word for one or for several.
pub(super) fn counted(one: &'static str, several: &'static str, count: usize) -> &'static str {
    if count == 1 { one } else { several }
}

/// `container "a"` or `containers "a", "b"`.
pub(super) fn containers(names: &[&str]) -> String {
    format!("{} {}", counted("container", "containers", names.len()), quoted(names))
}

/// Who says something wrong: the Pod for all its containers, or some of them; `None` if nobody does.
pub(super) fn setters(pod: bool, names: &[&str]) -> Option<String> {
    match (pod, names) {
        (false, []) => None,
        (true, []) => Some("pod".to_owned()),
        (false, names) => Some(containers(names)),
        (true, names) => Some(format!("pod and {}", containers(names))),
    }
}

/// Values, each once and in order.
pub(super) type Values = BTreeSet<String>;
