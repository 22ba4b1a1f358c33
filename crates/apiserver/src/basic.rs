//! Logins of the OCI registry's clients, which know only names and passwords: `docker login`, `oras login`, `skopeo login`.
//!
//! The password is a token of the cluster, the name may be any. What is shown so is a bearer token from here on.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};

const SCHEME: &str = "Basic ";

/// Replaces a name and password among a request's headers by the token that the password is. What cannot be read stays, and is
/// refused by whoever reads tokens.
pub(crate) fn to_bearer(headers: &mut HeaderMap) {
    let shown: Vec<Option<HeaderValue>> = headers.get_all(AUTHORIZATION).iter().map(bearer).collect();
    // More than one is refused later, in whatever form.
    if let [Some(bearer)] = shown.as_slice() {
        headers.insert(AUTHORIZATION, bearer.clone());
    }
}

fn bearer(header: &HeaderValue) -> Option<HeaderValue> {
    let text = header.to_str().ok()?;
    let (scheme, pair) = text.split_at_checked(SCHEME.len())?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return None;
    }
    let pair = BASE64_STANDARD.decode(pair.trim()).ok().and_then(|pair| String::from_utf8(pair).ok())?;
    let (_, password) = pair.split_once(':')?;
    let mut value = HeaderValue::from_str(&format!("Bearer {password}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn shown(values: &[&str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        to_bearer(&mut headers);
        headers.get_all(AUTHORIZATION).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_password_is_the_token_whoever_says_it() {
        let basic = |scheme: &str, pair: &str| format!("{scheme} {}", BASE64_STANDARD.encode(pair));
        for (pair, token) in [("ann:a.b.c", "a.b.c"), (":a.b.c", "a.b.c"), ("<token>:a:b", "a:b"), ("ann:", "")] {
            assert_eq!(shown(&[&basic("Basic", pair)]), [format!("Bearer {token}")], "{pair}");
        }
        assert_eq!(shown(&[&basic("basic", "ann:x")]), ["Bearer x"]);
        let stays = ["Bearer x", "Basic", "Basic ", "Basic !", &basic("Basic", "ann"), &basic("Basic", "a:b\u{1}"), ""];
        for other in stays {
            assert_eq!(shown(&[other]), [other], "{other}");
        }
        let two = [basic("Basic", "a:b"), "Bearer x".to_owned()];
        assert_eq!(shown(&[&two[0], &two[1]]), two, "both stay, and are refused");
        assert_eq!(shown(&[]), Vec::<String>::new());
    }
}
