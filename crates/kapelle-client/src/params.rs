//! Which objects, which part of a log, and how to change something.

use api::{PatchKind, Revision};
use rpc::services::LogRequest;
use serde_json::Value;

/// Which objects, for lists and watches.
///
/// ```
/// use kapelle_client::ListParams;
///
/// let running = ListParams::default().labels("app=web,tier!=db").fields("status.phase=Running").limit(50);
/// # assert_eq!(running.limit, 50);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListParams {
    /// Conditions on labels, as `kubectl get -l` takes them; empty for none.
    pub labels: String,
    /// Conditions on fields, as `kubectl get --field-selector` takes them; empty for none.
    pub fields: String,
    /// The most objects of a page.
    pub limit: u32,
    /// Where a watch goes on: after this revision, without what exists already.
    pub after: Option<Revision>,
}

/// The most objects of a page unless somebody says otherwise.
const PAGE_SIZE: u32 = 500;

impl Default for ListParams {
    fn default() -> Self {
        Self { labels: String::new(), fields: String::new(), limit: PAGE_SIZE, after: None }
    }
}

impl ListParams {
    /// Only objects with such labels.
    #[must_use]
    pub fn labels(mut self, selector: &str) -> Self {
        selector.clone_into(&mut self.labels);
        self
    }

    /// Only objects with such fields.
    #[must_use]
    pub fn fields(mut self, selector: &str) -> Self {
        selector.clone_into(&mut self.fields);
        self
    }

    /// At most so many objects a page; 0 is as many as fit.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }

    /// A watch of what happens after a revision, such as that of a list. See [`watcher`](crate::watcher()).
    #[must_use]
    pub fn after(mut self, revision: Revision) -> Self {
        self.after = Some(revision);
        self
    }
}

/// How an object is applied.
///
/// ```
/// use kapelle_client::ApplyParams;
///
/// let usual = ApplyParams::default();
/// let controller = ApplyParams::manager("shop-controller").force();
/// # assert!(controller.force && !usual.force);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplyParams {
    /// Who applies, and owns what is named; the client's field manager, if it is empty.
    pub field_manager: String,
    /// Take over what others own, as controllers do; without it their fields are conflicts.
    pub force: bool,
}

impl ApplyParams {
    /// Under a name of its own.
    #[must_use]
    pub fn manager(name: &str) -> Self {
        Self { field_manager: name.to_owned(), force: false }
    }

    /// The same, taking over what others own.
    #[must_use]
    pub fn force(mut self) -> Self {
        self.force = true;
        self
    }
}

/// How to change parts of an object.
///
/// ```
/// use kapelle_client::{Patch, json};
///
/// let merge = Patch::Merge(json!({"metadata": {"labels": {"tier": "web", "old": null}}}));
/// let json = Patch::Json(json!([{"op": "replace", "path": "/spec/replicas", "value": 3}]));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Patch {
    /// A list of operations, RFC 6902.
    Json(Value),
    /// A document in which `null` deletes, RFC 7386.
    Merge(Value),
    /// As merge, but lists with keys are merged too: Kubernetes' strategic merge patch.
    Strategic(Value),
}

impl Patch {
    pub(crate) fn of_kind(&self) -> (PatchKind, &Value) {
        match self {
            Self::Json(patch) => (PatchKind::Json, patch),
            Self::Merge(patch) => (PatchKind::Merge, patch),
            Self::Strategic(patch) => (PatchKind::Strategic, patch),
        }
    }
}

/// Which part of a container's log. The log of the only container, from its beginning to its present end, if nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogParams {
    /// The container; may be empty if the Pod has only one.
    pub container: String,
    /// Keep reading as the container writes, until it ends for good.
    pub follow: bool,
    /// The log of the container's previous run.
    pub previous: bool,
    /// Only the last so many lines.
    pub tail_lines: Option<u32>,
    /// Only lines younger than so many seconds.
    pub since_seconds: Option<u32>,
    /// Put an RFC 3339 time before each line.
    pub timestamps: bool,
    /// Stop after so many bytes.
    pub limit_bytes: Option<u32>,
}

impl LogParams {
    pub(crate) fn of_pod(&self, namespace: &str, pod: &str) -> LogRequest {
        LogRequest {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            container: self.container.clone(),
            follow: self.follow,
            previous: self.previous,
            tail_lines: self.tail_lines.map(i64::from),
            since_seconds: self.since_seconds.map(i64::from),
            since_time: None,
            timestamps: self.timestamps,
            limit_bytes: self.limit_bytes.map(i64::from),
        }
    }
}
