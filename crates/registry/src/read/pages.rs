//! Lists in pages: the token that asks for the next page, and the states that tokens refer to.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::{Error, Key, Kind, Reason, Revision, Timestamp, error::Aside, object::KindName};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use store::View;

use super::ListQuery;

/// The most states that are kept for pages. Each shares with the present state whatever has not changed since.
const PINS_MAX: usize = 256;

/// For how long after its first page a list goes on in the state of that page: Kubernetes' five minutes. So long a state is kept.
const PIN_AGE_MAX: Duration = Duration::from_secs(300);

/// Where the next page begins, in which state, and of which list. Opaque to clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Token {
    #[serde(rename = "rev")]
    revision: u64,
    kind: u32,
    #[serde(rename = "in")]
    within: Option<String>,
    /// Namespace and name of the last object of the page before.
    last: (String, String),
    left: Option<u64>,
    /// When the first page was read, in milliseconds.
    #[serde(default)]
    since: i64,
    /// The kind, if a user has defined it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    custom: Option<(String, String, String, bool)>,
}

fn custom(kind: Kind) -> Option<(String, String, String, bool)> {
    let Kind::Custom(kind) = kind else { return None };
    let KindName { group, plural, kind, namespaced } = kind.name();
    Some((group, plural, kind, namespaced))
}

impl Token {
    /// `since` is when the first page of its list was read.
    pub(crate) fn new(query: &ListQuery, revision: Revision, since: Timestamp, last: &Key, left: Option<u64>) -> Self {
        Self {
            revision: revision.0,
            kind: query.kind.info().code,
            within: query.namespace.clone(),
            last: (last.namespace.to_string(), last.name.to_string()),
            left,
            since: since.0,
            custom: custom(query.kind),
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        let token = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        token
            .ok_or_else(|| Error::bad_request("continue key is not valid: use the one of the previous page, unchanged"))
    }

    /// A token continues the list that it came from and no other.
    pub(crate) fn check(&self, query: &ListQuery) -> Result<(), Error> {
        let same_kind = self.kind == query.kind.info().code && self.custom == custom(query.kind);
        if same_kind && self.within == query.namespace {
            return Ok(());
        }
        Err(Error::bad_request("continue key is not valid: it belongs to the list of another kind or namespace"))
    }

    /// The kind and namespace of its list, if the kind is one of the table: what a token says is nobody's definition.
    pub(crate) fn list(&self) -> Option<(Kind, Option<String>)> {
        Some((Kind::from_code(self.kind)?, self.within.clone()))
    }

    /// The state of its list; `None` for the present one, whichever that is.
    pub(crate) fn revision(&self) -> Option<Revision> {
        Some(Revision(self.revision)).filter(|revision| revision.0 > 0)
    }

    /// When the first page of its list was read; of a list that goes on in the present, this is the one that comes now.
    pub(crate) fn since(&self, now: Timestamp) -> Timestamp {
        if self.revision().is_some() { Timestamp(self.since) } else { now }
    }

    /// Whether the list may still go on in its state.
    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        now.since(self.since(now)) < PIN_AGE_MAX
    }

    /// Goes on behind the same object, but in the present state, in which what is left has to be counted anew.
    fn in_the_present(&self) -> Self {
        Self { revision: 0, left: None, since: 0, ..self.clone() }
    }

    /// The refusal of a token whose state is forgotten: it tells how to go on without it.
    pub(crate) fn expired(&self) -> Error {
        let message = "The provided continue parameter is too old to display a consistent list result; \
                       start a new list without the continue parameter, or get the rest as it is now with the \
                       continue token of this answer";
        let continue_ = Some(self.in_the_present().to_string());
        let aside = Some(Box::new(Aside { continue_, ..Aside::default() }));
        Error { aside, ..Error::new(Reason::Expired, message) }
    }

    pub(crate) fn after(&self, kind: Kind) -> Key {
        Key::namespaced(kind, self.last.0.as_str(), self.last.1.as_str())
    }

    pub(crate) fn remaining(&self) -> Option<u64> {
        self.left
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_vec(self).map_err(|_| fmt::Error)?;
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(json))
    }
}

/// The states from which further pages may be read, the one that was used least recently first. One that is dropped can be
/// rebuilt, as long as history reaches back to it; this costs more than to keep it.
#[derive(Debug, Default)]
pub(crate) struct Pins(Mutex<VecDeque<Pin>>);

/// A state that is kept for the pages of a kind. Of other kinds it may have something else.
#[derive(Debug)]
struct Pin {
    kind: Kind,
    view: View,
    since: Timestamp,
}

impl Pin {
    fn is_of(&self, kind: Kind, revision: Revision) -> bool {
        self.kind == kind && self.view.revision() == revision
    }

    fn is_fresh(&self, now: Timestamp) -> bool {
        now.since(self.since) < PIN_AGE_MAX
    }
}

impl Pins {
    pub(crate) fn keep(&self, kind: Kind, view: View, now: Timestamp) {
        let mut pins = self.lock();
        pins.retain(|pin| pin.is_fresh(now));
        let same = pins.iter().position(|pin| pin.is_of(kind, view.revision()));
        let since = same.and_then(|index| pins.remove(index)).map_or(now, |pin| pin.since);
        pins.push_back(Pin { kind, view, since });
        if pins.len() > PINS_MAX {
            pins.pop_front();
        }
    }

    /// A state, if it is kept.
    pub(crate) fn get(&self, kind: Kind, revision: Revision, now: Timestamp) -> Option<View> {
        let pins = self.lock();
        let pin = pins.iter().find(|pin| pin.is_of(kind, revision) && pin.is_fresh(now));
        pin.map(|pin| pin.view.clone())
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Pin>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use consensus::Machine as _;
    use store::{Op, Txn};

    use super::*;

    #[test]
    fn a_state_is_kept_for_a_while_however_often_it_is_read() {
        let (_machine, store) = store::new();
        let pins = Pins::default();
        let get = |kind, second: i64| pins.get(kind, store.view().revision(), Timestamp(second * 1000)).is_some();
        for second in [0, 100, 299] {
            pins.keep(Kind::Pod, store.view(), Timestamp(second * 1000));
            assert!(get(Kind::Pod, second) && !get(Kind::Secret, second), "{second}");
        }
        assert!(!get(Kind::Pod, 300));
        pins.keep(Kind::Pod, store.view(), Timestamp(300_000));
        assert!(get(Kind::Pod, 300));
    }

    #[test]
    fn of_too_many_states_the_one_that_was_used_least_recently_goes() {
        let (mut machine, store) = store::new();
        let pins = Pins::default();
        let now = Timestamp(0);
        for _ in 0..=PINS_MAX {
            machine.apply(0, Txn { ops: vec![Op::Advance { by: 1 }] }.encode()).expect("a step forward");
            machine.show();
            pins.keep(Kind::Pod, store.view(), now);
        }
        let is_kept = |revision| pins.get(Kind::Pod, Revision(revision), now).is_some();
        let count = pins.lock().len();
        assert_eq!((count, is_kept(1), is_kept(2)), (PINS_MAX, false, true));
    }

    #[test]
    fn a_token_that_is_too_old_comes_with_one_for_the_present() {
        let last = Default::default();
        let token = Token { revision: 7, kind: 1, within: None, last, left: Some(3), since: 1000, custom: None };
        assert!(token.is_fresh(Timestamp(300_999)) && !token.is_fresh(Timestamp(301_000)));
        let error = token.expired();
        assert_eq!(error.reason, Reason::Expired);
        let next = Token::parse(error.continue_().expect("a token")).expect("one of ours");
        assert_eq!((next.revision(), next.remaining()), (None, None));
        assert!(next.is_fresh(Timestamp(301_000)), "the present is never too old");
    }
}
