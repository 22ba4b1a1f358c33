//! Bearer tokens: what a client that cannot show a certificate shows with each request instead.

use std::{fmt, hint::black_box, path::Path, str::FromStr};

use sha2::{Digest as _, Sha256};

use super::{
    IdentityError,
    files::{read, write},
};

/// Begins every token, so that people and programs that look for secrets recognise one.
const PREFIX: &str = "kapelle_admin_";

/// The random bytes of a token: as many as its hash has.
const SECRET_BYTES: usize = 32;

/// The file of the token within the directory of the authority.
const FILE: &str = "admin.token";

/// An administrator's token: `kapelle_admin_` and 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Bearer(String);

/// What a server keeps of a token. The secret has 256 random bits, so nothing slower than SHA-256 is needed.
#[derive(Clone, Copy)]
pub struct BearerHash([u8; 32]);

impl Bearer {
    /// A new token.
    ///
    /// # Errors
    /// If there is no randomness.
    pub fn generate() -> Result<Self, IdentityError> {
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret).map_err(|error| IdentityError::malformed("source of randomness", error))?;
        let digits: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self(format!("{PREFIX}{digits}")))
    }

    /// Reads what [`Bearer::store`] wrote; `None` if there is nothing.
    ///
    /// # Errors
    /// If the file cannot be read, or holds something else.
    pub fn load(dir: &Path) -> Result<Option<Self>, IdentityError> {
        let path = dir.join(FILE);
        let Some(text) = read(&path)? else { return Ok(None) };
        let other = |why| format!("{} {why}; delete the file, and a start makes a new token", path.display());
        text.trim().parse().map(Some).map_err(|why| IdentityError::malformed("token", other(why)))
    }

    /// Writes `admin.token`, for its owner only.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn store(&self, dir: &Path) -> Result<(), IdentityError> {
        write(&dir.join(FILE), &self.0)
    }

    /// The token itself, as it is shown.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// What a server keeps of it.
    #[must_use]
    pub fn hash(&self) -> BearerHash {
        BearerHash::of(&self.0)
    }
}

impl FromStr for Bearer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let secret = text.strip_prefix(PREFIX).ok_or("does not begin with kapelle_admin_")?;
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if secret.len() != 2 * SECRET_BYTES || !secret.bytes().all(is_digit) {
            return Err("does not end with 64 hexadecimal digits");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Bearer {
    /// Without the secret: tokens must not get into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}…")
    }
}

impl BearerHash {
    /// The hash of a token.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Whether this is the hash of a token. Takes as long for a token that is nearly right as for any other.
    #[must_use]
    pub fn is_of(&self, token: &str) -> bool {
        let other = Self::of(token);
        let differences = self.0.iter().zip(other.0).fold(0, |seen, (one, other)| black_box(seen | (one ^ other)));
        differences == 0
    }
}

impl fmt::Debug for BearerHash {
    /// Nothing of it: what is not written anywhere cannot be compared with anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerHash")
    }
}
