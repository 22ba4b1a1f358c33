//! JSON Web Tokens, as far as masters make them: in the compact form, signed with ES256, and with nothing in the header by which
//! a reader could be led astray.
//!
//! The algorithm follows from the key and the key from `kid`; a header that says anything else, or more, is refused. Nothing of
//! the claims is looked at before the signature fits.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The longest token that is looked at, in bytes: the longest names of all that it can speak of, with audiences of some KiB.
pub(crate) const TOKEN_BYTES_MAX: usize = 16 << 10;

/// The only algorithm: ECDSA on P-256 with SHA-256.
const ALGORITHM: &str = "ES256";

/// How long a point of P-256 is that is not compressed, in bytes, and what it begins with.
const POINT_BYTES: usize = 65;
const UNCOMPRESSED: u8 = 4;

/// Why something is no token of this cluster. None of it repeats what was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadToken {
    /// It has too many bytes.
    #[error("it is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    /// It is not three parts in base64url.
    #[error("it is not HEADER.CLAIMS.SIGNATURE, each in base64url without padding")]
    NotCompact,
    /// Its header is not that of our tokens.
    #[error("its header is not {{\"alg\":\"ES256\",\"kid\":\"…\"}}, perhaps with \"typ\":\"JWT\"")]
    Header,
    /// No key has its `kid`.
    #[error("none of this cluster's keys has signed it")]
    UnknownKey,
    /// The key of its `kid` has not signed it.
    #[error("its signature does not fit")]
    Signature,
    /// Its claims are not those of our tokens.
    #[error("its claims are not those of a ServiceAccount's or a User's token")]
    Claims,
    /// Somebody else says to have made it.
    #[error("another cluster made it")]
    Issuer,
}

/// A header as masters write it. Fields that are not named here, such as `jwk` and `jku`, and fields that stand twice make it
/// unreadable.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    kid: String,
    #[serde(default, skip_serializing)]
    typ: Option<String>,
}

/// No key can be made or read.
#[derive(Debug, thiserror::Error)]
#[error("no usable key: {0}")]
pub(crate) struct NoKey(&'static str);

/// A key that signs tokens.
pub(crate) struct SigningKey {
    pkcs8: Vec<u8>,
    pair: EcdsaKeyPair,
    public: PublicKey,
}

/// A key by which tokens are known, and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey {
    point: [u8; POINT_BYTES],
    kid: String,
}

impl fmt::Debug for SigningKey {
    /// Without the key: it must not get into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.public.kid).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// A new key.
    pub(crate) fn generate() -> Result<Self, NoKey> {
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        Self::from_pkcs8(made.map_err(|_| NoKey("there is no randomness"))?.as_ref())
    }

    /// Reads a key.
    pub(crate) fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, NoKey> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &SystemRandom::new());
        let pair = pair.map_err(|_| NoKey("it is not one of P-256 in PKCS#8"))?;
        let public = PublicKey::from_point(pair.public_key().as_ref())?;
        Ok(Self { pkcs8: pkcs8.to_vec(), pair, public })
    }

    /// The key itself.
    pub(crate) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// By which its tokens are known.
    pub(crate) fn public(&self) -> &PublicKey {
        &self.public
    }

    /// A token with these claims.
    pub(crate) fn sign(&self, claims: &impl Serialize) -> Result<String, NoKey> {
        self.sign_json(&serde_json::to_vec(claims).map_err(|_| NoKey("the claims cannot be written"))?)
    }

    /// A token with claims that are written already.
    pub(crate) fn sign_json(&self, claims: &[u8]) -> Result<String, NoKey> {
        let header = Header { alg: ALGORITHM.to_owned(), kid: self.public.kid.clone(), typ: None };
        let header = serde_json::to_vec(&header).map_err(|_| NoKey("the header cannot be written"))?;
        let [header, claims] = [&header, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
        let mut token = format!("{header}.{claims}");
        let signature = self.pair.sign(&SystemRandom::new(), token.as_bytes());
        let signature = signature.map_err(|_| NoKey("there is no randomness"))?;
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

impl PublicKey {
    /// Reads a point that is not compressed.
    pub(crate) fn from_point(point: &[u8]) -> Result<Self, NoKey> {
        let wrong = NoKey("it is not a point of P-256");
        let point: [u8; POINT_BYTES] = point.try_into().map_err(|_| NoKey("it is not a point of P-256"))?;
        if point[0] != UNCOMPRESSED {
            return Err(wrong);
        }
        let [x, y] = coordinates(&point);
        // RFC 7638: what the key is, its members in the order of their names.
        let thumbprint = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let kid = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, thumbprint.as_bytes()));
        Ok(Self { point, kid })
    }

    /// Its name, which follows from what it is.
    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    /// The point.
    pub(crate) fn point(&self) -> &[u8] {
        &self.point
    }

    /// As verifiers elsewhere read it, a JSON Web Key.
    pub(crate) fn jwk(&self) -> Value {
        let [x, y] = coordinates(&self.point);
        json!({ "use": "sig", "kty": "EC", "kid": self.kid, "crv": "P-256", "alg": ALGORITHM, "x": x, "y": y })
    }
}

fn coordinates(point: &[u8; POINT_BYTES]) -> [String; 2] {
    let (x, y) = point[1..].split_at(POINT_BYTES / 2);
    [x, y].map(|coordinate| BASE64_URL_SAFE_NO_PAD.encode(coordinate))
}

/// The claims of a token that one of the keys has signed, as JSON.
pub(crate) fn verify<'k>(token: &str, key: impl FnOnce(&str) -> Option<&'k PublicKey>) -> Result<Vec<u8>, BadToken> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(BadToken::TooLong);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(BadToken::NotCompact)?;
    let (header, claims) = signed.split_once('.').ok_or(BadToken::NotCompact)?;
    let [header, claims, signature] = [header, claims, signature].map(|part| BASE64_URL_SAFE_NO_PAD.decode(part));
    let (Ok(header), Ok(claims), Ok(signature)) = (header, claims, signature) else {
        return Err(BadToken::NotCompact);
    };
    let header: Header = serde_json::from_slice(&header).map_err(|_| BadToken::Header)?;
    if header.alg != ALGORITHM || header.typ.is_some_and(|of| of != "JWT") {
        return Err(BadToken::Header);
    }
    let key = key(&header.kid).ok_or(BadToken::UnknownKey)?;
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.point());
    key.verify(signed.as_bytes(), &signature).map_err(|_| BadToken::Signature)?;
    Ok(claims)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use ring::hmac;

    use super::*;

    fn encoded(part: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(part)
    }

    fn read(token: &str, keys: &[&PublicKey]) -> Result<String, BadToken> {
        let key = |kid: &str| keys.iter().copied().find(|key| key.kid() == kid);
        verify(token, key).map(|claims| String::from_utf8(claims).unwrap())
    }

    /// A token with this header, and a signature of a key that fits.
    fn signed_with(key: &SigningKey, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", encoded(header), encoded(claims));
        let signature = key.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    #[test]
    fn what_a_key_signs_it_knows_again_and_no_other_does() {
        let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let token = key.sign(&json!({ "sub": "a" })).unwrap();
        assert_eq!(read(&token, &[other.public(), key.public()]), Ok(r#"{"sub":"a"}"#.to_owned()));
        assert_eq!(read(&token, &[other.public()]), Err(BadToken::UnknownKey));
        let again = SigningKey::from_pkcs8(key.pkcs8()).unwrap();
        assert_eq!(again.public(), key.public());
        assert!(!format!("{key:?}").contains(&format!("{:?}", key.pkcs8())));
        let mut disguised = other.public().clone();
        disguised.kid = key.public().kid.clone();
        assert_eq!(read(&token, &[&disguised]), Err(BadToken::Signature));
    }

    #[test]
    fn no_header_but_our_own_is_followed() {
        let key = SigningKey::generate().unwrap();
        let kid = key.public().kid().to_owned();
        let read_with = |header: &str| read(&signed_with(&key, header, "{}"), &[key.public()]);
        for good in
            [format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#), format!(r#"{{"typ":"JWT","alg":"ES256","kid":"{kid}"}}"#)]
        {
            assert_eq!(read_with(&good), Ok("{}".to_owned()), "{good}");
        }
        for bad in [
            format!(r#"{{"alg":"none","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"None","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"RS256","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"es256","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"ES256","alg":"none","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"ES256","kid":"{kid}","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"ES256","kid":"{kid}","jku":"https://evil.example/keys"}}"#),
            format!(r#"{{"alg":"ES256","kid":"{kid}","jwk":{}}}"#, key.public().jwk()),
            format!(r#"{{"alg":"ES256","kid":"{kid}","x5c":[]}}"#),
            format!(r#"{{"alg":"ES256","kid":"{kid}","crit":["exp"]}}"#),
            format!(r#"{{"alg":"ES256","kid":"{kid}","typ":"at+jwt"}}"#),
            format!(r#"{{"alg":"ES256","kid":["{kid}"]}}"#),
            r#"{"alg":"ES256"}"#.to_owned(),
            "{}".to_owned(),
            "[]".to_owned(),
            String::new(),
        ] {
            assert_eq!(read_with(&bad), Err(BadToken::Header), "{bad}");
        }
        for kid in ["", "../../../dev/null", "' OR '1'='1", "0", "https://evil.example/key"] {
            let header = json!({ "alg": "ES256", "kid": kid }).to_string();
            assert_eq!(read_with(&header), Err(BadToken::UnknownKey), "{kid}");
        }
    }

    /// A reader that lets the header choose the algorithm takes the public key, which everybody has, for a secret.
    #[test]
    fn a_public_key_is_no_secret() {
        let key = SigningKey::generate().unwrap();
        let kid = key.public().kid();
        for alg in ["HS256", "ES256"] {
            let signed = format!("{}.{}", encoded(&format!(r#"{{"alg":"{alg}","kid":"{kid}"}}"#)), encoded("{}"));
            for secret in [key.public().point().to_vec(), key.public().jwk().to_string().into_bytes()] {
                let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed.as_bytes());
                assert!(read(&format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag)), &[key.public()]).is_err());
            }
            for signature in ["", "AA", &"A".repeat(86)] {
                assert!(read(&format!("{signed}.{signature}"), &[key.public()]).is_err());
            }
        }
    }

    #[test]
    fn nothing_of_it_can_be_cut_off_added_or_changed() {
        let key = SigningKey::generate().unwrap();
        let token = key.sign(&json!({ "sub": "a" })).unwrap();
        for end in 0..token.len() {
            assert!(read(&token[..end], &[key.public()]).is_err(), "{end}");
        }
        for place in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[place] = if bytes[place] == b'B' { b'C' } else { b'B' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(read(&changed, &[key.public()]).is_err(), "{place}");
        }
        for added in ["=", ".", "A", " ", "\n"] {
            assert!(read(&format!("{token}{added}"), &[key.public()]).is_err(), "{added:?}");
            assert!(read(&format!("{added}{token}"), &[key.public()]).is_err(), "{added:?}");
        }
        assert_eq!(read(&"A".repeat(TOKEN_BYTES_MAX + 1), &[]), Err(BadToken::TooLong));
        assert_eq!(read(&"A".repeat(TOKEN_BYTES_MAX), &[]), Err(BadToken::NotCompact));
    }

    #[test]
    fn a_key_has_the_name_that_verifiers_compute() {
        let key = SigningKey::generate().unwrap();
        let jwk = key.public().jwk();
        let text = |name: &str| jwk[name].as_str().unwrap().to_owned();
        let thumbprint = format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, text("x"), text("y"));
        assert_eq!(text("kid"), BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, thumbprint.as_bytes())));
        let point: Vec<u8> =
            ["x", "y"].iter().flat_map(|of| BASE64_URL_SAFE_NO_PAD.decode(text(of)).unwrap()).collect();
        assert_eq!(&key.public().point()[1..], point);
        assert!(PublicKey::from_point(&[4; 64]).is_err() && PublicKey::from_point(&[2; 65]).is_err());
    }
}
