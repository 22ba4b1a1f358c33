//! How masters call backends of the API: programs of others, that serve a part of it.
//!
//! A backend proves itself to the authorities that its users name. It is told who asks in headers, and believes them because of
//! the certificate that masters show: one of the cluster's authority under a name that stands for nobody, so that masters
//! themselves refuse it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use api::well_known::FRONT_PROXY;
use rustls::{ClientConfig, SignatureScheme, client::ResolvesClientCert, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::{
    Authority, Csr, IdentityError, KeyPair,
    foreign::{believing, believing_anybody},
    leaf::certified,
};

/// How long a certificate is valid. Another one is shown from the middle of it on.
const LIFE: Duration = Duration::from_secs(24 * 3600);

/// What is spoken with backends.
const PROTOCOL: &[u8] = b"http/1.1";

/// Who is believed to be a backend.
#[derive(Clone, Copy, Debug)]
pub enum Believed<'a> {
    /// Whose certificate one of these authorities has signed, or is among them, PEM.
    SignedBy(&'a [u8]),
    /// Whoever answers.
    Anybody,
}

/// What masters show to backends.
#[derive(Debug)]
pub struct FrontProxy {
    authority: Arc<Authority>,
    shown: Mutex<Option<Shown>>,
}

#[derive(Clone, Debug)]
struct Shown {
    certified: Arc<CertifiedKey>,
    until: SystemTime,
}

impl FrontProxy {
    /// The front proxy of a master that holds the authority's key.
    #[must_use]
    pub fn new(authority: Arc<Authority>) -> Arc<Self> {
        Arc::new(Self { authority, shown: Mutex::default() })
    }

    /// How to call a backend.
    ///
    /// # Errors
    /// If the authorities are malformed, or none is named.
    pub fn calling(self: &Arc<Self>, believed: Believed<'_>) -> Result<Arc<ClientConfig>, IdentityError> {
        let config = match believed {
            Believed::SignedBy(bundle) => believing(certificates(bundle)?)?,
            Believed::Anybody => believing_anybody()?,
        };
        let mut config = config.with_client_cert_resolver(Arc::new(Shows(self.clone())));
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Arc::new(config))
    }

    fn shown(&self, now: SystemTime) -> Result<Arc<CertifiedKey>, IdentityError> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shown) = shown.as_ref().filter(|shown| now < shown.until) {
            return Ok(shown.certified.clone());
        }
        let key = KeyPair::generate()?;
        let request = Csr::from_der(&key.request()?)?;
        let chain = self.authority.issue_foreign(&request, FRONT_PROXY, now + LIFE)?;
        let certified = Arc::new(certified(&chain, &key.to_pem())?);
        *shown = Some(Shown { certified: certified.clone(), until: now + LIFE / 2 });
        Ok(certified)
    }
}

fn certificates(bundle: &[u8]) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let malformed = |why: String| IdentityError::malformed("bundle of authorities", why);
    let found = CertificateDer::pem_slice_iter(bundle).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| malformed(error.to_string()))?;
    if found.is_empty() { Err(malformed("there is no certificate in it".to_owned())) } else { Ok(found) }
}

#[derive(Debug)]
struct Shows(Arc<FrontProxy>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let shown = self.0.shown(SystemTime::now());
        shown.inspect_err(|error| tracing::error!(%error, "backends are shown no certificate")).ok()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::identity::Subject;

    fn proxy() -> Arc<FrontProxy> {
        FrontProxy::new(Arc::new(Authority::found("test").unwrap()))
    }

    #[test]
    fn what_is_shown_names_nobody_and_is_made_anew_in_the_middle_of_its_life() {
        let (proxy, now) = (proxy(), SystemTime::now());
        let first = proxy.shown(now).unwrap();
        assert!(Subject::of(&first.cert[0]).is_err(), "no master takes it for somebody");
        assert!(Arc::ptr_eq(&first, &proxy.shown(now + LIFE / 3).unwrap()));
        assert!(!Arc::ptr_eq(&first, &proxy.shown(now + LIFE / 2).unwrap()));
    }

    #[test]
    fn authorities_are_certificates() {
        let proxy = proxy();
        let calling = |bundle: &[u8]| proxy.calling(Believed::SignedBy(bundle)).map(drop).map_err(|e| e.to_string());
        assert!(calling(proxy.authority.certificate_pem().as_bytes()).is_ok());
        assert!(calling(b"").unwrap_err().contains("no certificate"));
        assert!(calling(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").is_err());
        assert!(calling(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_err());
    }
}
