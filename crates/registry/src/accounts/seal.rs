//! A seal that only masters can make and open: with a key that follows from that of the cluster's authority, which nobody else
//! has.
//!
//! What is sealed may stand where others read it, in the state and in backups.

use std::fmt;

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
};
use rpc::identity::Authority;
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};

/// Tells apart for what keys are derived and what is sealed.
const PURPOSE: &[u8] = b"kapelle: keys of ServiceAccounts' tokens, 1";

/// The seal of a cluster. Few things are ever sealed, so that nonces may be random.
pub(crate) struct Seal(LessSafeKey);

/// Something that cannot be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadSeal {
    /// The authority's key cannot be read.
    #[error("the authority's key cannot be read")]
    Authority,
    /// There is no randomness.
    #[error("there is no randomness")]
    Randomness,
    /// It was sealed by another cluster, or has changed since.
    #[error("it was not sealed by this cluster's authority, or has been changed")]
    Broken,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

impl Seal {
    /// The seal of the cluster that has an authority.
    pub(crate) fn of(authority: &Authority) -> Result<Self, BadSeal> {
        // What the key is, however its file is written.
        let key = PrivateKeyDer::from_pem_slice(authority.key_pem().as_bytes()).map_err(|_| BadSeal::Authority)?;
        let secret = Salt::new(HKDF_SHA256, &[]).extract(key.secret_der());
        let derived = secret.expand(&[PURPOSE], &AES_256_GCM).map_err(|_| BadSeal::Authority)?;
        Ok(Self(LessSafeKey::new(UnboundKey::from(derived))))
    }

    /// Seals something.
    pub(crate) fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, BadSeal> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| BadSeal::Randomness)?;
        let mut sealed = plain.to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(PURPOSE), &mut sealed)
            .map_err(|_| BadSeal::Broken)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Opens what was sealed.
    pub(crate) fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, BadSeal> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(BadSeal::Broken)?;
        let (nonce, mut opened) = (Nonce::assume_unique_for_key(*nonce), sealed.to_vec());
        let plain = self.0.open_in_place(nonce, Aad::from(PURPOSE), &mut opened).map_err(|_| BadSeal::Broken)?;
        Ok(plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn only_the_same_authority_opens_it_and_only_unchanged() {
        let authority = Authority::found("a").unwrap();
        let again = Authority::from_pem(authority.certificate_pem(), &format!("\n{}\n", authority.key_pem())).unwrap();
        let sealed = Seal::of(&authority).unwrap().seal(b"secret").unwrap();
        assert_eq!(Seal::of(&again).unwrap().open(&sealed), Ok(b"secret".to_vec()), "another master's copy");
        assert_eq!(Seal::of(&Authority::found("a").unwrap()).unwrap().open(&sealed), Err(BadSeal::Broken));
        assert_ne!(Seal::of(&authority).unwrap().seal(b"secret").unwrap(), sealed);
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert_eq!(Seal::of(&authority).unwrap().open(&changed), Err(BadSeal::Broken), "{place}");
            assert_eq!(Seal::of(&authority).unwrap().open(&sealed[..place]), Err(BadSeal::Broken), "{place}");
        }
        assert!(!sealed.windows(6).any(|bytes| bytes == b"secret"));
    }
}
