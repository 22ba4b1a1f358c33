//! Bearer tokens: who sends a request that shows one.
//!
//! `Authorization` is looked at with the head of a request, in every language, before a byte of the body is read. A token that
//! is wrong or malformed is refused and never ignored, whomever the connection's certificate names. The header is taken away
//! here, so that nothing else sees it.
//!
//! Today's tokens are those that a server was started with. None is withdrawn while it runs, so no open watch has to be cut
//! for one. Tokens that are signed, or kept in the state, will be looked up in [`Bearers::subject`].

use std::sync::Arc;

use api::{Error, Reason};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use rpc::identity::{BearerHash, Subject};

/// The scheme of tokens.
const SCHEME: &str = "Bearer";

/// The tokens that a server takes, known by their hashes, and for whom each is. Unless it is told of any it takes none.
#[derive(Clone, Debug, Default)]
pub struct Bearers(Arc<[(BearerHash, Subject)]>);

impl Bearers {
    /// A server that takes one token.
    #[must_use]
    pub fn one(hash: BearerHash, subject: Subject) -> Self {
        Self(Arc::new([(hash, subject)]))
    }

    /// Takes the token out of a request's head. Answers for whom it is; `None` if the request shows none.
    ///
    /// # Errors
    /// 401 if what it shows is no token of this server.
    pub(crate) fn take(&self, headers: &mut HeaderMap) -> Result<Option<Subject>, Error> {
        let mut shown = headers.get_all(AUTHORIZATION).iter().cloned();
        let (first, second) = (shown.next(), shown.next());
        headers.remove(AUTHORIZATION);
        match (first, second) {
            (None, _) => Ok(None),
            (Some(header), None) => self.subject(token(&header)?).map(Some),
            (Some(_), Some(_)) => Err(unauthorized("Authorization: given twice; give it once")),
        }
    }

    /// For whom a token is.
    fn subject(&self, token: &str) -> Result<Subject, Error> {
        if self.0.is_empty() {
            return Err(unauthorized("this server takes no bearer tokens; show a client certificate of the cluster"));
        }
        let known = self.0.iter().find(|(hash, _)| hash.is_of(token));
        let unknown = "the bearer token is none of this cluster; show the one in its kubeconfig";
        known.map(|(_, subject)| subject.clone()).ok_or_else(|| unauthorized(unknown))
    }
}

/// The token within a header.
fn token(header: &HeaderValue) -> Result<&str, Error> {
    let (scheme, token) = header.to_str().ok().and_then(|text| text.split_once(' ')).unwrap_or_default();
    let is_bearer = scheme.eq_ignore_ascii_case(SCHEME) && !token.trim().is_empty();
    is_bearer.then(|| token.trim()).ok_or_else(|| unauthorized("Authorization: not \"Bearer TOKEN\""))
}

fn unauthorized(why: &str) -> Error {
    Error::new(Reason::Unauthorized, format!("Unauthorized: {why}"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const TOKEN: &str = "kapelle_admin_c0ffee";

    fn ann() -> Subject {
        Subject::Admin { name: "ann".to_owned() }
    }

    /// What becomes of some `Authorization` headers, and whether they are gone.
    fn take(bearers: &Bearers, shown: &[&[u8]]) -> Result<Option<Subject>, String> {
        let mut headers = HeaderMap::new();
        for value in shown {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        let taken = bearers.take(&mut headers);
        assert!(headers.is_empty(), "nobody behind this place sees the header");
        taken.map_err(|error| {
            assert_eq!(error.reason, Reason::Unauthorized);
            assert!(!error.message.contains("c0ffee"), "no error repeats what was shown: {error}");
            error.message
        })
    }

    #[test]
    fn what_is_shown_is_for_somebody_or_refused() {
        let bearers = Bearers::one(BearerHash::of(TOKEN), ann());
        assert_eq!(take(&bearers, &[]), Ok(None));
        for good in ["Bearer kapelle_admin_c0ffee", "bearer kapelle_admin_c0ffee", "BEARER   kapelle_admin_c0ffee "] {
            assert_eq!(take(&bearers, &[good.as_bytes()]), Ok(Some(ann())), "{good}");
        }
        let refused = |shown: &[&[u8]], why: &str| {
            let message = take(&bearers, shown).unwrap_err();
            assert!(message.contains(why), "{shown:?}: {message}");
        };
        for wrong in ["Bearer kapelle_admin_c0ffe", "Bearer kapelle_admin_c0ffee0", "Bearer c0ffee", "Bearer a b"] {
            refused(&[wrong.as_bytes()], "none of this cluster");
        }
        let malformed: [&[u8]; 8] =
            [b"", b" ", b"Bearer", b"Bearer  ", b"kapelle_admin_c0ffee", b"Basic YTpi", b"\xff c0ffee", b"Bearer\tx"];
        for malformed in malformed {
            refused(&[malformed], "not \"Bearer TOKEN\"");
        }
        refused(&[b"Bearer kapelle_admin_c0ffee", b"Bearer kapelle_admin_c0ffee"], "given twice");
    }

    #[test]
    fn a_server_without_tokens_takes_none() {
        assert_eq!(take(&Bearers::default(), &[]), Ok(None));
        let message = take(&Bearers::default(), &[b"Bearer kapelle_admin_c0ffee"]).unwrap_err();
        assert!(message.contains("takes no bearer tokens"), "{message}");
        assert!(take(&Bearers::default(), &[b"Basic YTpi"]).is_err());
    }
}
