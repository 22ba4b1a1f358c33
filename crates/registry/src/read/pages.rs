//! Lists in pages: the token that asks for the next page, and the states that tokens refer to.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use api::{Error, Key, Kind, Reason, Revision, Timestamp, object::KindName};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use store::View;

use super::ListQuery;

/// The most states that are kept for pages. Each shares with the present state whatever has not changed since.
const PINS_MAX: usize = 256;

/// How long a state is kept after the first page of it was read: Kubernetes' five minutes.
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
    pub(crate) fn new(query: &ListQuery, revision: Revision, last: &Key, left: Option<u64>) -> Self {
        Self {
            revision: revision.0,
            kind: query.kind.info().code,
            within: query.namespace.clone(),
            last: (last.namespace.to_string(), last.name.to_string()),
            left,
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

    /// Goes on behind the same object, but in the present state, in which what is left has to be counted anew.
    fn in_the_present(&self) -> Self {
        Self { revision: 0, left: None, ..self.clone() }
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

/// The states from which further pages may be read and since when, the one that was used least recently first.
#[derive(Debug, Default)]
pub(crate) struct Pins(Mutex<VecDeque<(Timestamp, View)>>);

impl Pins {
    pub(crate) fn keep(&self, view: View, now: Timestamp) {
        let mut pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pins.retain(|(since, _)| now.since(*since) < PIN_AGE_MAX);
        let same = pins.iter().position(|(_, kept)| kept.revision() == view.revision());
        let since = same.and_then(|index| pins.remove(index)).map_or(now, |(since, _)| since);
        pins.push_back((since, view));
        if pins.len() > PINS_MAX {
            pins.pop_front();
        }
    }

    /// The state of the pages before. If it is gone, the error tells how to go on without it.
    pub(crate) fn get(&self, revision: Revision, token: &Token, now: Timestamp) -> Result<View, Error> {
        let pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pin = pins.iter().find(|(since, view)| view.revision() == revision && now.since(*since) < PIN_AGE_MAX);
        pin.map(|(_, view)| view.clone()).ok_or_else(|| {
            let message = "The provided continue parameter is too old to display a consistent list result; \
                           start a new list without the continue parameter, or get the rest as it is now with the \
                           continue token of this answer";
            let continue_ = Some(token.in_the_present().to_string().into());
            Error { continue_, ..Error::new(Reason::Expired, message) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_kept_for_a_while_however_often_it_is_read() {
        let (_machine, store) = store::new();
        let pins = Pins::default();
        let token = Token { revision: 7, kind: 1, within: None, last: Default::default(), left: None, custom: None };
        let get = |second: i64| pins.get(store.view().revision(), &token, Timestamp(second * 1000)).map(|_| ());
        for second in [0, 100, 299] {
            pins.keep(store.view(), Timestamp(second * 1000));
            assert_eq!(get(second), Ok(()));
        }
        let expired = get(300).map_err(|error| (error.reason, error.continue_.is_some()));
        assert_eq!(expired, Err((Reason::Expired, true)));
        pins.keep(store.view(), Timestamp(300_000));
        assert_eq!(get(300), Ok(()));
    }
}
