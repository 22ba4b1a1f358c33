//! Bearer tokens: who sends a request that shows one.
//!
//! `Authorization` is looked at with the head of a request, in every language, before a byte of the body is read. A token that
//! is wrong or malformed is refused and never ignored, whomever the connection's certificate names. The header is taken away
//! here, so that nothing else sees it.
//!
//! There are two sorts. Those that a server was started with are known here, and none of them is withdrawn while it runs. Those
//! of ServiceAccounts and Users are signed; whose they are the Registry knows, and when they count no more, what was answered to them ends
//! (`revocable`).

use std::sync::Arc;

use api::{Error, Reason};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{
    HeaderMap, HeaderValue,
    header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL},
};
use rpc::identity::{BearerHash, Subject};

use crate::upgrade;

/// The scheme of tokens.
const SCHEME: &str = "Bearer";

/// What stands before a token among the protocols of a WebSocket.
const PROTOCOL_PREFIX: &str = "base64url.bearer.authorization.k8s.io.";

/// What somebody has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// A token that this server was started with, for somebody.
    Own(Subject),
    /// What looks like a token that is signed. Nobody has looked at the signature yet.
    Signed(String),
}

/// The tokens that a server takes, known by their hashes, and for whom each is. Unless it is told of any it takes none.
#[derive(Clone, Debug, Default)]
pub struct Bearers(Arc<[(BearerHash, Subject)]>);

impl Bearers {
    /// A server that takes one token.
    #[must_use]
    pub fn one(hash: BearerHash, subject: Subject) -> Self {
        Self(Arc::new([(hash, subject)]))
    }

    /// Takes the token out of a request's head; `None` if the request shows none.
    ///
    /// # Errors
    /// 401 if what it shows can be no token of this server.
    pub(crate) fn take(&self, headers: &mut HeaderMap) -> Result<Option<Shown>, Error> {
        let among_protocols = take_from_protocols(headers)?;
        let mut shown = headers.get_all(AUTHORIZATION).iter().cloned().chain(among_protocols);
        let (first, second) = (shown.next(), shown.next());
        headers.remove(AUTHORIZATION);
        match (first, second) {
            (None, _) => Ok(None),
            (Some(header), None) => self.shown(token(&header)?).map(Some),
            (Some(_), Some(_)) => Err(unauthorized("Authorization: given twice; give it once")),
        }
    }

    /// Of which sort a token is.
    fn shown(&self, token: &str) -> Result<Shown, Error> {
        // The tokens of a server have none of what stands between the parts of one that is signed.
        if token.contains('.') {
            return Ok(Shown::Signed(token.to_owned()));
        }
        if self.0.is_empty() {
            let message = "this server takes no bearer tokens but those of ServiceAccounts and Users; show one, or a client \
                           certificate of the cluster";
            return Err(unauthorized(message));
        }
        let known = self.0.iter().find(|(hash, _)| hash.is_of(token));
        let unknown = "the bearer token is none of this cluster; show the one in its kubeconfig";
        known.map(|(_, subject)| Shown::Own(subject.clone())).ok_or_else(|| unauthorized(unknown))
    }
}

/// Takes a token out of the protocols of a WebSocket, where programs show one that cannot set headers. It comes as the header
/// that they would have set.
fn take_from_protocols(headers: &mut HeaderMap) -> Result<Option<HeaderValue>, Error> {
    let words = || upgrade::words(headers, &SEC_WEBSOCKET_PROTOCOL);
    let shown: Vec<&str> = words().filter_map(|word| word.strip_prefix(PROTOCOL_PREFIX)).collect();
    let shown = match shown[..] {
        [] => return Ok(None),
        [shown] => shown,
        [..] => return Err(unauthorized("Sec-WebSocket-Protocol: a token given twice; give it once")),
    };
    let token = BASE64_URL_SAFE_NO_PAD.decode(shown).ok().and_then(|token| String::from_utf8(token).ok());
    let value = token.and_then(|token| HeaderValue::from_str(&format!("{SCHEME} {token}")).ok());
    let wrong = || unauthorized("Sec-WebSocket-Protocol: the token is not base64url without padding");
    let value = value.ok_or_else(wrong)?;
    let rest: Vec<&str> = words().filter(|word| !word.starts_with(PROTOCOL_PREFIX)).collect();
    let rest = HeaderValue::from_str(&rest.join(", ")).map_err(Error::internal)?;
    if rest.is_empty() {
        return Err(unauthorized("Sec-WebSocket-Protocol: name the protocol to be spoken beside the token"));
    }
    headers.insert(SEC_WEBSOCKET_PROTOCOL, rest);
    Ok(Some(value))
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
    fn take(bearers: &Bearers, shown: &[&[u8]]) -> Result<Option<Shown>, String> {
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
            assert_eq!(take(&bearers, &[good.as_bytes()]), Ok(Some(Shown::Own(ann()))), "{good}");
        }
        let signed = Shown::Signed("a.b.c".to_owned());
        assert_eq!(take(&bearers, &[b"Bearer a.b.c"]), Ok(Some(signed)), "somebody else looks at it");
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
    fn a_token_among_the_protocols_of_a_websocket_is_taken_out() {
        let bearers = Bearers::one(BearerHash::of(TOKEN), ann());
        let take = |protocols: &str, header: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_str(protocols).unwrap());
            headers.extend(header.map(|header| (AUTHORIZATION, HeaderValue::from_static(header))));
            let taken = bearers.take(&mut headers).map_err(|error| error.message)?;
            Ok::<_, String>((taken, headers[SEC_WEBSOCKET_PROTOCOL].to_str().unwrap().to_owned()))
        };
        let shown = format!("{PROTOCOL_PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(TOKEN));
        assert_eq!(
            take(&format!("{shown}, binary.k8s.io"), None),
            Ok((Some(Shown::Own(ann())), "binary.k8s.io".to_owned()))
        );
        assert_eq!(take("binary.k8s.io", None), Ok((None, "binary.k8s.io".to_owned())));
        assert!(take(&format!("{shown}, {shown}, x"), None).unwrap_err().contains("given twice"));
        assert!(take(&shown, None).unwrap_err().contains("beside the token"));
        assert!(take(&format!("{PROTOCOL_PREFIX}!, x"), None).unwrap_err().contains("base64url"));
        let other = format!("{PROTOCOL_PREFIX}{}, x", BASE64_URL_SAFE_NO_PAD.encode("other"));
        assert!(take(&other, None).unwrap_err().contains("none of this cluster"));
        assert!(take(&format!("{shown}, x"), Some("Bearer kapelle_admin_c0ffee")).unwrap_err().contains("given twice"));
    }

    #[test]
    fn a_server_without_tokens_takes_none() {
        assert_eq!(take(&Bearers::default(), &[]), Ok(None));
        let message = take(&Bearers::default(), &[b"Bearer kapelle_admin_c0ffee"]).unwrap_err();
        assert!(message.contains("takes no bearer tokens"), "{message}");
        assert!(take(&Bearers::default(), &[b"Basic YTpi"]).is_err());
    }
}
