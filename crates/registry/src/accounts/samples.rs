//! Tokens of a key that is nobody's, and whether a text is one: for `decoders`.

use std::sync::LazyLock;

use api::Timestamp;

use super::{claims::Claims, jose, keyring::Keyring};

/// Another one in each process.
static KEYRING: LazyLock<Option<Keyring>> = LazyLock::new(|| Keyring::found(Timestamp(0)).ok());

/// A token with these claims, whatever they are.
pub(crate) fn token(claims: &[u8]) -> Option<String> {
    KEYRING.as_ref()?.signing().sign_json(claims).ok()
}

/// Whether a text is a token that the key has signed, with claims that can be read.
pub(crate) fn is_understood(token: &str) -> bool {
    let verified = KEYRING.as_ref().map(|keyring| jose::verify(token, |kid| keyring.key(kid)));
    verified.is_some_and(|claims| claims.is_ok_and(|claims| Claims::read(&claims, token).is_ok()))
}
