//! What can stand in a path or behind its question mark.

use serde_json::{Value, json};

use super::definitions::Dialect;

/// A parameter of a query.
#[derive(Debug)]
pub(super) struct Parameter {
    name: &'static str,
    holds: &'static str,
    says: &'static str,
}

const fn text(name: &'static str, says: &'static str) -> Parameter {
    Parameter { name, holds: "string", says }
}

const fn flag(name: &'static str, says: &'static str) -> Parameter {
    Parameter { name, holds: "boolean", says }
}

const fn count(name: &'static str, says: &'static str) -> Parameter {
    Parameter { name, holds: "integer", says }
}

/// Of every request.
pub(super) const PRETTY: Parameter = text("pretty", "Accepted; the answer is the same.");

/// Which objects, and of which state.
pub(super) const LIST: &[Parameter] = &[
    text("continue", "The token of the page before."),
    text("fieldSelector", "Only objects whose fields have these values."),
    text("labelSelector", "Only objects with these labels."),
    count("limit", "The most objects of a page."),
    text("resourceVersion", "The state that is meant; see resourceVersionMatch."),
    text("resourceVersionMatch", "Exact or NotOlderThan: how resourceVersion is meant."),
    flag("sendInitialEvents", "Whether a watch begins with everything that exists and says when that is told."),
    count("timeoutSeconds", "After how long a watch ends."),
];

/// Whether a list is watched, and how.
pub(super) const WATCH: &[Parameter] = &[
    flag("allowWatchBookmarks", "Whether a watch says now and then how far it is."),
    flag("watch", "Whether the answer goes on with what changes."),
];

/// Of everything that changes something.
pub(super) const DRY_RUN: &[Parameter] = &[text("dryRun", "All: do everything but store the result.")];

/// Of objects that are sent.
pub(super) const WRITE: &[Parameter] = &[
    text("fieldManager", "Who writes."),
    text("fieldValidation", "Strict, Warn or Ignore: what becomes of fields that nobody knows or that stand twice."),
];

/// Of server-side apply.
pub(super) const FORCE: &[Parameter] = &[flag("force", "Whether fields of other managers are taken over.")];

/// How objects are deleted.
pub(super) const DELETE: &[Parameter] = &[
    count("gracePeriodSeconds", "Seconds until the end by force."),
    flag("orphanDependents", "Older form of propagationPolicy."),
    text("propagationPolicy", "Background, Foreground or Orphan: what becomes of owned objects."),
];

/// Which lines of a log.
pub(super) const LOG: &[Parameter] = &[
    text("container", "The container, if there are several."),
    flag("follow", "Whether the answer goes on with what is written."),
    count("limitBytes", "The most bytes."),
    flag("previous", "Whether the run before is meant."),
    count("sinceSeconds", "Only lines of the last seconds."),
    text("sinceTime", "Only lines since then."),
    count("tailLines", "Only the last lines."),
    flag("timestamps", "Whether each line begins with its time."),
];

impl Parameter {
    /// As it stands in an operation.
    pub(super) fn query(&self, dialect: Dialect) -> Value {
        parameter("query", self.name, self.holds, self.says, dialect)
    }
}

/// A parameter of a path.
pub(super) fn in_path(name: &str, says: &str, dialect: Dialect) -> Value {
    let mut parameter = parameter("path", name, "string", says, dialect);
    parameter["required"] = true.into();
    parameter
}

fn parameter(place: &str, name: &str, holds: &str, says: &str, dialect: Dialect) -> Value {
    let mut parameter = json!({"in": place, "name": name, "description": says});
    match dialect {
        Dialect::V2 => {
            parameter["type"] = holds.into();
            parameter["uniqueItems"] = true.into();
        }
        Dialect::V3 => parameter["schema"] = json!({"type": holds, "uniqueItems": true}),
    }
    parameter
}
