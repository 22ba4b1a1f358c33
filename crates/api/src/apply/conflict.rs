//! What stands against applying: fields that others own.

use std::collections::BTreeMap;

use super::owners::{Manager, Operation};
use crate::{
    Error, Reason,
    error::{Cause, FIELD_MANAGER_CONFLICT},
    fieldset::{Path, Set},
};

/// A field that would be changed, and who owns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Who owns it.
    pub manager: Manager,
    /// The field.
    pub path: Path,
}

impl Conflict {
    /// All fields of some conflicts.
    pub(super) fn fields(conflicts: &[Self]) -> Set {
        conflicts.iter().fold(Set::default(), |set, conflict| set.with(&conflict.path))
    }

    /// The conflicts as Kubernetes tells them: 409, each field with its owner as a cause.
    #[must_use]
    pub fn error(conflicts: &[Self]) -> Error {
        let cause = |conflict: &Self| Cause {
            reason: FIELD_MANAGER_CONFLICT,
            message: format!("conflict with {}", told(&conflict.manager)),
            field: conflict.path.to_string(),
        };
        Error { causes: conflicts.iter().map(cause).collect(), ..Error::new(Reason::Conflict, message(conflicts)) }
    }
}

fn message(conflicts: &[Conflict]) -> String {
    if let [Conflict { manager, path }] = conflicts {
        return format!("Apply failed with 1 conflict: conflict with {}: {path}", told(manager));
    }
    let mut by_manager: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Conflict { manager, path } in conflicts {
        by_manager.entry(told(manager)).or_default().push(format!("- {path}"));
    }
    let lines = by_manager.iter().map(|(manager, paths)| format!("conflicts with {manager}:\n{}", paths.join("\n")));
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.collect::<Vec<_>>().join("\n"))
}

fn told(manager: &Manager) -> String {
    let Manager { name, operation, api_version, subresource } = manager;
    let part = if subresource.is_empty() { String::new() } else { format!(" with subresource {subresource:?}") };
    match operation {
        Operation::Apply => format!("{name:?}{part}"),
        Operation::Update => format!("{name:?}{part} using {api_version}"),
    }
}
