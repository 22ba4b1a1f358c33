//! Tokens: what a newcomer is given to know the cluster by, and to be let in with.

use std::{fmt, str::FromStr};

use rustls_pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{IdentityError, files::certificate_from_pem};

/// Begins every token, with the version of its form.
const PREFIX: &str = "kapelle1";

/// The length of a token's public half, in characters: as kubeadm's.
const ID_CHARS: usize = 6;

/// The length of a token's secret half, in characters of five bits each: 160 bits.
const SECRET_CHARS: usize = 32;

/// The characters of ids and secrets: no two look alike.
const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";

/// What an authority is known by: SHA-256 of its public key (the certificate's `SubjectPublicKeyInfo`), as kubeadm's
/// `--discovery-token-ca-cert-hash`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pin([u8; 32]);

/// A token: `kapelle1.PIN.ID.SECRET`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The authority of the cluster.
    pub pin: Pin,
    /// The public half, under which masters find it.
    pub id: String,
    /// The secret half. Masters keep only its hash.
    pub secret: String,
}

/// A text that is no token. Says what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a token: {0}; copy it whole from `kapelle token create`")]
pub struct BadToken(&'static str);

impl Pin {
    /// The pin of an authority's certificate.
    ///
    /// # Errors
    /// If the certificate is malformed.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let (_, parsed) =
            X509Certificate::from_der(certificate).map_err(|error| IdentityError::malformed("certificate", error))?;
        Ok(Self(Sha256::digest(parsed.public_key().raw).into()))
    }

    /// The same of a certificate in PEM.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn of_pem(certificate: &str) -> Result<Self, IdentityError> {
        Self::of(&certificate_from_pem(certificate)?)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Pin {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        let wrong = BadToken("its second part is not 64 hexadecimal digits");
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong);
        }
        let mut pin = [0; 32];
        for (byte, at) in pin.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong.clone())?;
        }
        Ok(Self(pin))
    }
}

impl Token {
    /// A new token for the cluster of an authority.
    ///
    /// # Errors
    /// If there is no randomness.
    pub fn generate(pin: Pin) -> Result<Self, IdentityError> {
        Ok(Self { pin, id: random(ID_CHARS)?, secret: random(SECRET_CHARS)? })
    }

    /// What masters keep of the secret.
    #[must_use]
    pub fn secret_hash(&self) -> String {
        secret_hash(&self.secret)
    }
}

/// SHA-256 of a token's secret half, in hexadecimal. The secret has 160 random bits, so nothing slower is needed.
#[must_use]
pub fn secret_hash(secret: &str) -> String {
    Sha256::digest(secret).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn random(chars: usize) -> Result<String, IdentityError> {
    let mut bytes = vec![0; chars];
    getrandom::fill(&mut bytes).map_err(|error| IdentityError::malformed("source of randomness", error))?;
    Ok(bytes.into_iter().map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()])).collect())
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}.{}.{}.{}", self.pin, self.id, self.secret)
    }
}

impl fmt::Debug for Token {
    /// Without the secret: tokens must not get into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}.{}.{}.…", self.pin, self.id)
    }
}

impl FromStr for Token {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        let parts: Vec<&str> = text.trim().split('.').collect();
        let [prefix, pin, id, secret] = parts.as_slice() else {
            return Err(BadToken("it does not have four parts with dots between them"));
        };
        if *prefix != PREFIX {
            return Err(BadToken("it does not begin with kapelle1"));
        }
        let pin = pin.parse()?;
        let fits = |text: &str, chars: usize| text.len() == chars && text.bytes().all(|byte| ALPHABET.contains(&byte));
        if !fits(id, ID_CHARS) {
            return Err(BadToken("its third part is not 6 letters and digits"));
        }
        if !fits(secret, SECRET_CHARS) {
            return Err(BadToken("its last part is not 32 letters and digits; perhaps its end is missing"));
        }
        Ok(Self { pin, id: (*id).to_owned(), secret: (*secret).to_owned() })
    }
}
