//! Lists in pages: the token that asks for the next page, and the states that tokens refer to.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use api::{Error, Key, Kind, Reason, Revision, Timestamp};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use store::View;

use super::ListQuery;

/// The most states that are kept for pages. Each shares with the present state whatever has not changed since.
const PINS_MAX: usize = 256;

/// How long a state is kept after a page of it was read: Kubernetes' five minutes.
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
}

impl Token {
    pub(crate) fn new(query: &ListQuery, revision: Revision, last: &Key, left: Option<u64>) -> Self {
        Self {
            revision: revision.0,
            kind: query.kind.info().code,
            within: query.namespace.clone(),
            last: (last.namespace.to_string(), last.name.to_string()),
            left,
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
        if self.kind == query.kind.info().code && self.within == query.namespace {
            return Ok(());
        }
        Err(Error::bad_request("continue key is not valid: it belongs to the list of another kind or namespace"))
    }

    /// The kind and namespace of its list.
    pub(crate) fn list(&self) -> Option<(Kind, Option<String>)> {
        Some((Kind::from_code(self.kind)?, self.within.clone()))
    }

    pub(crate) fn revision(&self) -> Revision {
        Revision(self.revision)
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

/// The states from which further pages may be read, the one that was used least recently first.
#[derive(Debug, Default)]
pub(crate) struct Pins(Mutex<VecDeque<(Timestamp, View)>>);

impl Pins {
    pub(crate) fn keep(&self, view: View, now: Timestamp) {
        let mut pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pins.retain(|(used, kept)| now.since(*used) < PIN_AGE_MAX && kept.revision() != view.revision());
        pins.push_back((now, view));
        if pins.len() > PINS_MAX {
            pins.pop_front();
        }
    }

    pub(crate) fn get(&self, revision: Revision, now: Timestamp) -> Result<View, Error> {
        let pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pin = pins.iter().find(|(used, view)| view.revision() == revision && now.since(*used) < PIN_AGE_MAX);
        pin.map(|(_, view)| view.clone()).ok_or_else(|| {
            let message = "The provided continue parameter is too old to display a consistent list result; \
                           start a new list without the continue parameter";
            Error::new(Reason::Expired, message)
        })
    }
}
