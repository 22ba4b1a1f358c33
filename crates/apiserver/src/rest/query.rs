//! Query parameters, read once into values. What would change the meaning of a request if it were ignored is refused when
//! it is not understood; the rest (`pretty`, `timeout`, unknown names) is passed over, as Kubernetes does.

use std::time::Duration;

use api::{DeleteOptions, Error, Propagation, Reason, Revision, json::Strictness, meta_v1};
use rpc::url;

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
}

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

    /// The state that `resourceVersion` and `resourceVersionMatch` ask for.
    pub(crate) fn state(&self) -> Result<State, Error> {
        let revision = self.revision()?;
        Ok(match (self.text("resourceVersionMatch"), revision) {
            ("", None) => State::Latest,
            ("" | "NotOlderThan", Some(Revision(0))) => State::Any,
            ("" | "NotOlderThan", Some(revision)) => State::NotOlderThan(revision),
            ("Exact", Some(revision)) if revision.0 > 0 => State::Exactly(revision),
            ("Exact", Some(_)) => return Err(wrong("resourceVersionMatch", "Exact", "NotOlderThan for revision 0")),
            ("Exact" | "NotOlderThan", None) => {
                return Err(Error::bad_request("resourceVersionMatch needs resourceVersion"));
            }
            (other, _) => return Err(wrong("resourceVersionMatch", other, "Exact or NotOlderThan")),
        })
    }

    /// Whether the request is a watch.
    pub(crate) fn is_watch(&self) -> Result<bool, Error> {
        self.flag("watch")
    }

    /// Where the watch begins.
    pub(crate) fn watch_start(&self) -> Result<WatchStart, Error> {
        let revision = self.revision()?;
        let state = match revision {
            None => State::Latest,
            Some(Revision(0)) => State::Any,
            Some(revision) => State::NotOlderThan(revision),
        };
        let initial = self.has("sendInitialEvents");
        let matching = self.text("resourceVersionMatch");
        if initial != (matching == "NotOlderThan") || !matches!(matching, "" | "NotOlderThan") {
            let message =
                "a watch takes sendInitialEvents and resourceVersionMatch=NotOlderThan together or not at all";
            return Err(Error::new(Reason::Invalid, message));
        }
        Ok(match (initial, self.flag("sendInitialEvents")?, state) {
            (true, true, state) => WatchStart::ExistingMarked(state),
            (true, false, State::Latest | State::Any) => WatchStart::Now,
            (_, _, State::NotOlderThan(revision) | State::Exactly(revision)) => WatchStart::After(revision),
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
        Ok(WriteParams { dry_run: self.dry_run()?, field_manager: self.text("fieldManager").to_owned(), strictness })
    }

    /// How to delete: the body's options, with the query's where the body says nothing.
    pub(crate) fn delete(&self, body: &meta_v1::DeleteOptions) -> Result<DeleteOptions, Error> {
        let grace = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
        let grace_period_s = match body.grace_period_seconds {
            Some(seconds) if seconds < 0 => return Err(wrong("gracePeriodSeconds", &seconds.to_string(), "0 or more")),
            Some(seconds) => Some(seconds),
            None => self.count("gracePeriodSeconds")?.map(grace),
        };
        let policy = body.propagation_policy.as_deref().unwrap_or_else(|| self.text("propagationPolicy"));
        let orphan = body.orphan_dependents.unwrap_or(self.flag("orphanDependents")?);
        let preconditions = body.preconditions.clone().unwrap_or_default();
        let resource_version = preconditions.resource_version.filter(|version| !version.is_empty());
        let resource_version = resource_version.map(|version| {
            version.parse().map_err(|_| wrong("preconditions.resourceVersion", &version, "one of an earlier answer"))
        });
        Ok(DeleteOptions {
            grace_period_s,
            propagation: if orphan { Propagation::Orphan } else { propagation(policy)? },
            uid: preconditions.uid.filter(|uid| !uid.is_empty()),
            resource_version: resource_version.transpose()?,
            dry_run: self.dry_run()? || dry_run(body.dry_run.iter().map(String::as_str))?,
        })
    }
}

fn propagation(policy: &str) -> Result<Propagation, Error> {
    match policy {
        "" | "Background" => Ok(Propagation::Background),
        "Foreground" => Ok(Propagation::Foreground),
        "Orphan" => Ok(Propagation::Orphan),
        other => Err(wrong("propagationPolicy", other, "Background, Foreground or Orphan")),
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

fn wrong(name: &str, value: &str, right: &str) -> Error {
    Error::bad_request(format!("{name}: \"{value}\" is not supported; use {right}"))
}

#[cfg(test)]
mod tests {
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
        for refused in
            ["resourceVersionMatch=Exact", "resourceVersion=0&resourceVersionMatch=Exact", "resourceVersion=-1"]
        {
            assert!(query(refused).state().is_err(), "{refused}");
        }
        assert!(query("includeObject=All").include().is_err());
    }

    #[test]
    fn the_body_of_a_deletion_goes_before_the_query() {
        let body = meta_v1::DeleteOptions { grace_period_seconds: Some(0), ..Default::default() };
        let options = query("gracePeriodSeconds=9&propagationPolicy=Orphan").delete(&body).expect("options");
        assert_eq!((options.grace_period_s, options.propagation), (Some(0), Propagation::Orphan));
        assert!(query("propagationPolicy=orphan").delete(&body).is_err());
    }
}
