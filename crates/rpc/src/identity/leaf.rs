//! One process's own certificate.

use std::{
    fmt,
    path::Path,
    time::{Duration, SystemTime},
};

use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{
    IdentityError, KeyPair, Subject,
    files::{certificate_from_pem, read, write},
    provider,
};

/// One process's certificate with its key, and the authority's certificate.
#[derive(Clone)]
pub struct Identity {
    chain: String,
    key: String,
    authority: String,
    subject: Subject,
    valid: (SystemTime, SystemTime),
}

impl fmt::Debug for Identity {
    /// Without the key: it must not get into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("subject", &self.subject).finish_non_exhaustive()
    }
}

impl Identity {
    /// An identity from a chain that the authority issued (see [`super::Authority::issue`]), the key that the request was
    /// made with, and the authority's certificate, all PEM.
    ///
    /// # Errors
    /// If one of them is malformed.
    pub fn new(chain: &str, key: &KeyPair, authority: &str) -> Result<Self, IdentityError> {
        Self::from_pem(chain, &key.to_pem(), authority)
    }

    fn from_pem(chain: &str, key: &str, authority: &str) -> Result<Self, IdentityError> {
        let leaf = certificate_from_pem(chain)?;
        let (_, parsed) =
            X509Certificate::from_der(&leaf).map_err(|error| IdentityError::malformed("certificate", error))?;
        let time = |seconds: i64| SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let valid = (time(parsed.validity().not_before.timestamp()), time(parsed.validity().not_after.timestamp()));
        let subject = Subject::of(&leaf)?;
        certificate_from_pem(authority)?;
        Ok(Self { chain: chain.to_owned(), key: key.to_owned(), authority: authority.to_owned(), subject, valid })
    }

    /// Reads what [`Identity::store`] wrote; `None` if there is nothing.
    ///
    /// # Errors
    /// If the files cannot be read or are malformed.
    pub fn load(dir: &Path) -> Result<Option<Self>, IdentityError> {
        let file = |name: &str| read(&dir.join(name));
        let (Some(chain), Some(key), Some(authority)) = (file("tls.crt")?, file("tls.key")?, file("ca.crt")?) else {
            return Ok(None);
        };
        Self::from_pem(&chain, &key, &authority).map(Some)
    }

    /// Writes `tls.crt`, `tls.key` and `ca.crt`, for their owner only.
    ///
    /// # Errors
    /// If the files cannot be written.
    pub fn store(&self, dir: &Path) -> Result<(), IdentityError> {
        write(&dir.join("ca.crt"), &self.authority)?;
        write(&dir.join("tls.key"), &self.key)?;
        write(&dir.join("tls.crt"), &self.chain)
    }

    /// Who it is.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The authority's certificate, PEM.
    #[must_use]
    pub fn authority_pem(&self) -> &str {
        &self.authority
    }

    /// The certificate and the authority's, PEM.
    #[must_use]
    pub fn chain_pem(&self) -> &str {
        &self.chain
    }

    /// The key, PEM.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key
    }

    /// When it ends.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.valid.1
    }

    /// Whether it is time for a new one: less than a third of its life is left.
    #[must_use]
    pub fn is_due(&self, now: SystemTime) -> bool {
        let (from, to) = self.valid;
        let life = to.duration_since(from).unwrap_or_default();
        to.duration_since(now).unwrap_or_default() < life / 3
    }

    pub(super) fn certified(&self) -> Result<CertifiedKey, IdentityError> {
        certified(&self.chain, &self.key)
    }

    pub(super) fn authority_der(&self) -> Result<CertificateDer<'static>, IdentityError> {
        certificate_from_pem(&self.authority)
    }
}

/// What TLS shows: a chain of certificates with the key of the first, both PEM.
pub(super) fn certified(chain: &str, key: &str) -> Result<CertifiedKey, IdentityError> {
    let chain: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
    let chain = chain.map_err(|error| IdentityError::malformed("certificate", error))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes());
    let key = key.map_err(|error| IdentityError::malformed("key", error))?;
    Ok(CertifiedKey::from_der(chain, key, &provider())?)
}
