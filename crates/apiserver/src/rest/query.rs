//! Query parameters, read once into values. What would change the meaning of a request if it were ignored is refused when
//! it is not understood; the rest (`pretty`, `timeout`, unknown names) is passed over, as Kubernetes does.

use std::time::Duration;

use api::{DeleteOptions, Error, Reason, Revision, error::Cause, json::Strictness, meta_v1};
use rpc::url;

const MATCH: &str = "resourceVersionMatch";
const INITIAL: &str = "sendInitialEvents";
const EXACT: &str = "Exact";
const NOT_OLDER_THAN: &str = "NotOlderThan";

/// What [`MATCH`] can be for a list, and for a watch.
const LIST_MATCHES: &[&str] = &[EXACT, NOT_OLDER_THAN, ""];
const WATCH_MATCHES: &[&str] = &[NOT_OLDER_THAN];

/// The parameters of one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

/// Which state a reader wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The latest that the masters agreed on.
    Latest,
    /// Whatever is known here.
    Any,
    /// Not older than this.
    NotOlderThan(Revision),
}

/// Which state a list is to be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListState {
    /// One that a reader of an object could want as well.
    Of(State),
    /// Exactly this.
    Exactly(Revision),
}

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WatchStart {
    /// With everything that exists, as additions.
    Existing(State),
    /// As [`WatchStart::Existing`], followed by a bookmark that says so.
    ExistingMarked(State),
    /// With what changes from now on.
    Now,
    /// With what changed after a revision.
    After(Revision),
}

/// How to write.
#[derive(Clone, Debug)]
pub(crate) struct WriteParams {
    /// Do everything but store.
    pub(crate) dry_run: bool,
    /// Who writes.
    pub(crate) field_manager: String,
    /// What to do with fields that nobody knows.
    pub(crate) strictness: Strictness,
    /// Take over fields that others own; `None` if nothing is said.
    pub(crate) force: Option<bool>,
}

/// The longest name of a field manager, in bytes. As in Kubernetes.
pub(crate) const FIELD_MANAGER_BYTES_MAX: usize = 128;

/// How much of each object a table's rows carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Include {
    /// Nothing.
    None,
    /// The metadata.
    Metadata,
    /// All of it.
    Object,
}

impl Query {
    /// Reads what follows the `?`.
    pub(crate) fn parse(query: Option<&str>) -> Result<Self, Error> {
        let broken = || Error::bad_request("the query has a broken percent escape; write % as %25");
        url::pairs(query.unwrap_or_default()).map(Self).ok_or_else(broken)
    }

    /// The first value of a parameter; empty if there is none.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// Every value of a parameter.
    pub(crate) fn texts<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// A parameter that is true or false. Its name alone means true.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Error> {
        match self.text(name) {
            "true" | "True" | "TRUE" | "t" | "1" => Ok(true),
            "" => Ok(self.has(name)),
            "false" | "False" | "FALSE" | "f" | "0" => Ok(false),
            other => Err(wrong(name, other, "true or false")),
        }
    }

    /// A parameter that counts something; not negative.
    pub(crate) fn count(&self, name: &str) -> Result<Option<u64>, Error> {
        let text = self.text(name);
        if text.is_empty() {
            Ok(None)
        } else {
            text.parse().map(Some).map_err(|_| wrong(name, text, "a number from 0"))
        }
    }

    fn revision(&self) -> Result<Option<Revision>, Error> {
        let text = self.text("resourceVersion");
        let wrong = |_| wrong("resourceVersion", text, "the resourceVersion of an earlier answer");
        if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(wrong) }
    }

    /// The state of one object that `resourceVersion` asks for.
    pub(crate) fn state(&self) -> Result<State, Error> {
        Ok(match self.revision()? {
            None => State::Latest,
            Some(Revision(0)) => State::Any,
            Some(revision) => State::NotOlderThan(revision),
        })
    }

    /// The state of a list that `resourceVersion` and `resourceVersionMatch` ask for. Pages are of exactly the state that is
    /// named with their limit, unless something else is said: so clients had it before they could say it.
    pub(crate) fn list_state(&self) -> Result<ListState, Error> {
        self.fits(LIST_MATCHES)?;
        let revision = self.revision()?;
        let is_set = revision.is_some_and(|revision| revision.0 > 0);
        if is_set && !self.text("continue").is_empty() {
            let message = "specifying resource version is not allowed when using continue: the token names the state";
            return Err(Error::bad_request(message));
        }
        let is_paged = self.count("limit")?.is_some_and(|limit| limit > 0);
        Ok(match (revision, self.text(MATCH)) {
            (Some(revision), EXACT) => ListState::Exactly(revision),
            (Some(revision), "") if is_set && is_paged => ListState::Exactly(revision),
            (Some(_) | None, _) => ListState::Of(self.state()?),
        })
    }

    /// Whether what is said of the state goes together, by Kubernetes' rules. `matches` are the words that fit: those of lists,
    /// or those of watches.
    fn fits(&self, matches: &[&str]) -> Result<(), Error> {
        let (matching, revision, is_list) = (self.text(MATCH), self.text("resourceVersion"), matches == LIST_MATCHES);
        let (initial, mut causes) = (self.has(INITIAL), Vec::new());
        let mut forbidden = |field: &str, why: &str| {
            causes.push(cause("FieldValueForbidden", field, format!("Forbidden: {why}")));
        };
        if is_list && initial {
            forbidden(INITIAL, "sendInitialEvents is forbidden for list");
        }
        if !is_list && initial && matching != NOT_OLDER_THAN {
            forbidden(MATCH, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
        }
        if !matching.is_empty() {
            if is_list && revision.is_empty() {
                forbidden(MATCH, "resourceVersionMatch is forbidden unless resourceVersion is provided");
            }
            if !is_list && !initial {
                forbidden(MATCH, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
            }
            if !self.text("continue").is_empty() {
                forbidden(MATCH, "resourceVersionMatch is forbidden when continue is provided");
            }
            if is_list && matching == EXACT && revision == "0" {
                forbidden(MATCH, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
            }
            if !matches.contains(&matching) {
                let supported: Vec<String> = matches.iter().map(|word| format!("{word:?}")).collect();
                let what = format!("Unsupported value: {matching:?}: supported values: {}", supported.join(", "));
                causes.push(cause("FieldValueNotSupported", MATCH, what));
            }
        }
        if causes.is_empty() { Ok(()) } else { Err(Error::invalid_options("ListOptions", causes)) }
    }

    /// Whether the request is a watch.
    pub(crate) fn is_watch(&self) -> Result<bool, Error> {
        self.flag("watch")
    }

    /// Where the watch begins.
    pub(crate) fn watch_start(&self) -> Result<WatchStart, Error> {
        self.fits(WATCH_MATCHES)?;
        Ok(match (self.has(INITIAL), self.flag(INITIAL)?, self.state()?) {
            (true, true, state) => WatchStart::ExistingMarked(state),
            (true, false, State::Latest | State::Any) => WatchStart::Now,
            (_, _, State::NotOlderThan(revision)) => WatchStart::After(revision),
            (false, _, state) => WatchStart::Existing(state),
        })
    }

    /// How long a watch may last, if the client says so.
    pub(crate) fn watch_timeout(&self) -> Result<Option<Duration>, Error> {
        Ok(self.count("timeoutSeconds")?.filter(|seconds| *seconds > 0).map(Duration::from_secs))
    }

    /// How much of each object a table's rows carry.
    pub(crate) fn include(&self) -> Result<Include, Error> {
        Ok(match self.text("includeObject") {
            "" | "Metadata" => Include::Metadata,
            "None" => Include::None,
            "Object" => Include::Object,
            other => return Err(wrong("includeObject", other, "None, Metadata or Object")),
        })
    }

    /// `dryRun`: a value that is not understood must never become a real write.
    pub(crate) fn dry_run(&self) -> Result<bool, Error> {
        let values = self.0.iter().filter(|(key, value)| key == "dryRun" && !value.is_empty());
        dry_run(values.map(|(_, value)| value.as_str()))
    }

    /// How to write.
    pub(crate) fn write(&self) -> Result<WriteParams, Error> {
        let strictness = match self.text("fieldValidation") {
            "Strict" => Strictness::Strict,
            "" | "Warn" => Strictness::Warn,
            "Ignore" => Strictness::Ignore,
            other => return Err(wrong("fieldValidation", other, "Strict, Warn or Ignore")),
        };
        let force = if self.has("force") { Some(self.flag("force")?) } else { None };
        Ok(WriteParams { dry_run: self.dry_run()?, field_manager: self.field_manager()?, strictness, force })
    }

    fn field_manager(&self) -> Result<String, Error> {
        let name = self.text("fieldManager");
        if name.len() > FIELD_MANAGER_BYTES_MAX {
            let what = format!("fieldManager: Invalid value: may not be more than {FIELD_MANAGER_BYTES_MAX} bytes");
            return Err(Error::new(Reason::Invalid, what));
        }
        if let Some(odd) = name.chars().find(|letter| letter.is_control()) {
            let what =
                format!("fieldManager: Invalid value: {name:?}: should only contain printable characters, not {odd:?}");
            return Err(Error::new(Reason::Invalid, what));
        }
        Ok(name.to_owned())
    }

    /// How to delete: the body's options, with the query's where the body says nothing.
    pub(crate) fn delete(&self, body: &meta_v1::DeleteOptions) -> Result<DeleteOptions, Error> {
        let mut sent = body.clone();
        if sent.grace_period_seconds.is_none() {
            let grace = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
            sent.grace_period_seconds = self.count("gracePeriodSeconds")?.map(grace);
        }
        sent.propagation_policy.get_or_insert_with(|| self.text("propagationPolicy").to_owned());
        sent.orphan_dependents = Some(sent.orphan_dependents.unwrap_or(self.flag("orphanDependents")?));
        let options = DeleteOptions::read(&sent)?;
        Ok(DeleteOptions { dry_run: self.dry_run()? || options.dry_run, ..options })
    }
}

fn dry_run<'a>(values: impl Iterator<Item = &'a str>) -> Result<bool, Error> {
    let mut dry = false;
    for value in values {
        if value != "All" {
            return Err(wrong("dryRun", value, "All"));
        }
        dry = true;
    }
    Ok(dry)
}

fn cause(reason: &'static str, field: &str, message: String) -> Cause {
    Cause { reason, field: field.to_owned(), message }
}

fn wrong(name: &str, value: &str, right: &str) -> Error {
    Error::bad_request(format!("{name}: \"{value}\" is not supported; use {right}"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use api::Propagation;

    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(Some(text)).expect("a query")
    }

    #[test]
    fn watches_begin_where_clients_expect() {
        let marked = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
        let cases = [
            ("", Some(WatchStart::Existing(State::Latest))),
            ("resourceVersion=0", Some(WatchStart::Existing(State::Any))),
            ("resourceVersion=7", Some(WatchStart::After(Revision(7)))),
            (marked, Some(WatchStart::ExistingMarked(State::Latest))),
            (
                &format!("{marked}&resourceVersion=7"),
                Some(WatchStart::ExistingMarked(State::NotOlderThan(Revision(7)))),
            ),
            ("sendInitialEvents=false&resourceVersionMatch=NotOlderThan", Some(WatchStart::Now)),
            ("sendInitialEvents=true", None),
            ("resourceVersion=x", None),
        ];
        for (text, expected) in cases {
            assert_eq!(query(text).watch_start().ok(), expected, "{text}");
        }
    }

    #[test]
    fn what_would_change_the_meaning_is_refused() {
        assert!(query("dryRun=All").write().is_ok_and(|write| write.dry_run));
        for refused in ["dryRun=Some", "dryRun=All&dryRun=x", "fieldValidation=strict"] {
            assert!(query(refused).write().is_err(), "{refused}");
        }
        assert!(query("resourceVersion=-1").state().is_err());
        assert!(query("includeObject=All").include().is_err());
    }

    #[test]
    fn what_is_said_of_the_state_goes_together_or_is_refused_in_kubernetes_words() {
        let list = |text: &str| query(text).list_state().map(|state| format!("{state:?}"));
        let watch = |text: &str| query(text).watch_start().map(|start| format!("{start:?}"));
        for (text, expected) in [
            ("", "Of(Latest)"),
            ("limit=5", "Of(Latest)"),
            ("resourceVersion=0", "Of(Any)"),
            ("resourceVersion=0&limit=5", "Of(Any)"),
            ("resourceVersion=7", "Of(NotOlderThan(Revision(7)))"),
            ("resourceVersion=7&limit=0", "Of(NotOlderThan(Revision(7)))"),
            ("resourceVersion=7&limit=5", "Exactly(Revision(7))"),
            ("resourceVersion=7&limit=5&resourceVersionMatch=NotOlderThan", "Of(NotOlderThan(Revision(7)))"),
            ("resourceVersion=7&resourceVersionMatch=NotOlderThan", "Of(NotOlderThan(Revision(7)))"),
            ("resourceVersion=7&resourceVersionMatch=Exact", "Exactly(Revision(7))"),
            ("resourceVersion=0&continue=x", "Of(Any)"),
        ] {
            assert_eq!(list(text).as_deref(), Ok(expected), "{text}");
        }
        let invalid = |rest: &str| format!("ListOptions.meta.k8s.io \"\" is invalid: {rest}");
        let refused = [
            (
                list("resourceVersionMatch=Exact"),
                invalid(
                    "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
                ),
            ),
            (
                list("resourceVersion=0&resourceVersionMatch=Exact"),
                invalid(
                    "resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
                ),
            ),
            (
                list("resourceVersion=7&resourceVersionMatch=Newest"),
                invalid(
                    "resourceVersionMatch: Unsupported value: \"Newest\": supported values: \"Exact\", \"NotOlderThan\", \"\"",
                ),
            ),
            (
                list("resourceVersion=7&continue=x"),
                "specifying resource version is not allowed when using continue: the token names the state".to_owned(),
            ),
            (
                list("sendInitialEvents=true"),
                invalid("sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"),
            ),
            (
                watch("sendInitialEvents=true"),
                invalid(
                    "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                ),
            ),
            (
                watch("resourceVersionMatch=NotOlderThan"),
                invalid(
                    "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                ),
            ),
        ];
        for (answer, expected) in refused {
            assert_eq!(answer.unwrap_err().message, expected);
        }
        let error = list("resourceVersionMatch=x&continue=y").unwrap_err();
        assert_eq!((error.causes.len(), error.reason.code()), (3, 422), "{error}");
    }

    #[test]
    fn the_body_of_a_deletion_goes_before_the_query() {
        let body = meta_v1::DeleteOptions { grace_period_seconds: Some(0), ..Default::default() };
        let options = query("gracePeriodSeconds=9&propagationPolicy=Orphan").delete(&body).expect("options");
        assert_eq!((options.grace_period_s, options.propagation), (Some(0), Propagation::Orphan));
        assert!(query("propagationPolicy=orphan").delete(&body).is_err());
    }
}
