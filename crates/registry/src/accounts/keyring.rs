//! The keys of a cluster's tokens: one that signs, and those from before it, by which tokens that still live are known.

use std::time::Duration;

use api::Timestamp;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

use super::jose::{NoKey, PublicKey, SigningKey};

/// For how long a key signs. It is short beside the life of a cluster, and long beside that of nearly all tokens.
pub(crate) const SIGNS_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// The longest life of a token: a year, as in Kubernetes.
pub(crate) const LIFE_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// For how long a key is known after another one has taken its place: masters that have not heard of it yet go on signing
/// for a moment.
const KNOWN_FOR: Duration = Duration::from_secs(LIFE_MAX.as_secs() + 24 * 3600);

/// The most keys that are known: a year of them, and room.
pub(crate) const KEYS_MAX: usize = 16;

const _: () = assert!(KNOWN_FOR.as_secs() / SIGNS_FOR.as_secs() + 2 < KEYS_MAX as u64, "none is forgotten too early");

/// The keys.
#[derive(Debug)]
pub(crate) struct Keyring {
    signing: SigningKey,
    since: Timestamp,
    retired: Vec<Retired>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Retired {
    key: PublicKey,
    until: Timestamp,
}

/// The keys as they are kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    signing: String,
    since: i64,
    retired: Vec<KeptRetired>,
}

#[derive(Serialize, Deserialize)]
struct KeptRetired {
    point: String,
    until: i64,
}

/// Keys that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// They are not written as they are here.
    #[error("the keys are not what masters write: {0}")]
    Json(#[from] serde_json::Error),
    /// They are not in base64.
    #[error("the keys are not what masters write: {0}")]
    Base64(#[from] base64::DecodeError),
    /// One of them is none.
    #[error(transparent)]
    Key(#[from] NoKey),
}

impl Keyring {
    /// The keys of a cluster that had none.
    pub(crate) fn found(now: Timestamp) -> Result<Self, NoKey> {
        Ok(Self { signing: SigningKey::generate()?, since: now, retired: Vec::new() })
    }

    /// Whether it is time for another key.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        now.since(self.since) >= SIGNS_FOR
    }

    /// The same with a new key that signs. The old one's private half is forgotten.
    pub(crate) fn rotated(&self, now: Timestamp) -> Result<Self, NoKey> {
        let last = Retired { key: self.signing.public().clone(), until: now.after(KNOWN_FOR) };
        let retired = std::iter::once(last).chain(self.retired.iter().cloned());
        let retired = retired.filter(|old| now < old.until).take(KEYS_MAX - 1).collect();
        Ok(Self { signing: SigningKey::generate()?, since: now, retired })
    }

    /// The key that signs.
    pub(crate) fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// A key by its name.
    pub(crate) fn key(&self, kid: &str) -> Option<&PublicKey> {
        self.public().find(|key| key.kid() == kid)
    }

    /// All by which tokens are known, the newest first.
    pub(crate) fn public(&self) -> impl Iterator<Item = &PublicKey> {
        std::iter::once(self.signing.public()).chain(self.retired.iter().map(|old| &old.key))
    }

    /// The keys as they are kept.
    pub(crate) fn write(&self) -> Result<Vec<u8>, Unreadable> {
        let retired =
            |old: &Retired| KeptRetired { point: BASE64_STANDARD.encode(old.key.point()), until: old.until.0 };
        let kept = Kept {
            signing: BASE64_STANDARD.encode(self.signing.pkcs8()),
            since: self.since.0,
            retired: self.retired.iter().map(retired).collect(),
        };
        Ok(serde_json::to_vec(&kept)?)
    }

    /// Reads what [`Keyring::write`] wrote.
    pub(crate) fn read(kept: &[u8]) -> Result<Self, Unreadable> {
        let kept: Kept = serde_json::from_slice(kept)?;
        let retired = |old: KeptRetired| {
            let key = PublicKey::from_point(&BASE64_STANDARD.decode(old.point)?)?;
            Ok::<_, Unreadable>(Retired { key, until: Timestamp(old.until) })
        };
        Ok(Self {
            signing: SigningKey::from_pkcs8(&BASE64_STANDARD.decode(kept.signing)?)?,
            since: Timestamp(kept.since),
            retired: kept.retired.into_iter().map(retired).collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_key_is_known_as_long_as_a_token_of_it_may_live() {
        let begin = Timestamp(0);
        let first = Keyring::found(begin).unwrap();
        let kid = first.signing().public().kid().to_owned();
        assert!(!first.is_due(begin) && first.is_due(begin.after(SIGNS_FOR)));
        let (mut ring, mut now, mut most) = (first, begin, 0);
        while ring.key(&kid).is_some() {
            now = now.after(SIGNS_FOR);
            ring = Keyring::read(&ring.rotated(now).unwrap().write().unwrap()).unwrap();
            assert!(!ring.is_due(now));
            most = most.max(ring.public().count());
        }
        assert!(now.since(begin) >= LIFE_MAX + SIGNS_FOR, "{now}");
        assert!((13..KEYS_MAX).contains(&most), "{most} at a time");
        let written = String::from_utf8(ring.write().unwrap()).unwrap();
        assert_eq!(written.matches("signing").count(), 1, "no private key of before is kept");
    }

    #[test]
    fn what_is_no_keyring_is_refused() {
        for text in
            ["", "{}", r#"{"signing":"AA==","since":0,"retired":[]}"#, r#"{"signing":"!","since":0,"retired":[]}"#]
        {
            assert!(Keyring::read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
