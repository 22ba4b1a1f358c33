//! TLS towards programs of others: whom to believe.

use std::{sync::Arc, time::Duration};

use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WantsClientCert, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    server::ParsedCertificate,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::provider;

/// How to call whoever answers: its certificate may be signed by anybody, for any name, and have expired.
///
/// # Errors
/// If the protocol's versions and ciphers do not fit together.
pub fn believing_anybody() -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Error> {
    configured(Believes::Anybody)
}

/// How to call whoever some authorities have signed for, or whose certificate is itself among theirs. The latter is what small
/// programs make that sign for themselves, and Go's TLS believes it, whether it says to be an authority or not.
///
/// # Errors
/// If one of the certificates is none, or there is none.
pub fn believing(
    certificates: Vec<CertificateDer<'static>>,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Error> {
    let mut roots = RootCertStore::empty();
    certificates.iter().try_for_each(|certificate| roots.add(certificate.clone()))?;
    let signed = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
    let signed = signed.map_err(|error| Error::General(error.to_string()))?;
    configured(Believes::Bundle { signed, certificates })
}

fn configured(believes: Believes) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Error> {
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let verifier = Verifier { believes, provider: provider() };
    Ok(config.dangerous().with_custom_certificate_verifier(Arc::new(verifier)))
}

/// Whose certificates are believed.
#[derive(Debug)]
enum Believes {
    Anybody,
    Bundle { signed: Arc<WebPkiServerVerifier>, certificates: Vec<CertificateDer<'static>> },
}

/// Takes certificates whose key their owners have.
#[derive(Debug)]
struct Verifier {
    believes: Believes,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.believes {
            Believes::Anybody => {}
            Believes::Bundle { certificates, .. } if certificates.iter().any(|known| known == shown) => {
                check_itself(shown, name, now)?;
            }
            Believes::Bundle { signed, .. } => return signed.verify_server_cert(shown, chain, name, ocsp, now),
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether a certificate that is believed as it is holds now, for a name, and for servers.
fn check_itself(shown: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> Result<(), Error> {
    verify_server_name(&ParsedCertificate::try_from(shown)?, name)?;
    let malformed = |_| Error::InvalidCertificate(CertificateError::BadEncoding);
    let (_, certificate) = X509Certificate::from_der(shown).map_err(malformed)?;
    let seconds = Duration::from_secs(now.as_secs());
    let at = |time: x509_parser::time::ASN1Time| Duration::from_secs(time.timestamp().try_into().unwrap_or_default());
    let validity = certificate.validity();
    if seconds < at(validity.not_before) {
        return Err(Error::InvalidCertificate(CertificateError::NotValidYet));
    }
    if seconds > at(validity.not_after) {
        return Err(Error::InvalidCertificate(CertificateError::Expired));
    }
    let usage =
        certificate.extended_key_usage().map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    match usage {
        Some(usage) if !usage.value.any && !usage.value.server_auth => {
            Err(Error::InvalidCertificate(CertificateError::InvalidPurpose))
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::time::SystemTime;

    use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair};

    use super::*;

    /// A certificate that signs for itself, and says to be an authority.
    fn own(purpose: ExtendedKeyUsagePurpose) -> CertificateDer<'static> {
        let mut wanted = CertificateParams::new(["hook.default.svc".to_owned()]).unwrap();
        wanted.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        wanted.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        wanted.self_signed(&key).unwrap().der().clone()
    }

    fn verified(bundle: &CertificateDer<'static>, shown: &CertificateDer<'_>, name: &str, now: UnixTime) -> bool {
        let roots = RootCertStore { roots: vec![webpki_root(bundle)] };
        let signed = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build().unwrap();
        let believes = Believes::Bundle { signed, certificates: vec![bundle.clone()] };
        let name = ServerName::try_from(name.to_owned()).unwrap();
        Verifier { believes, provider: provider() }.verify_server_cert(shown, &[], &name, &[], now).is_ok()
    }

    fn webpki_root(certificate: &CertificateDer<'static>) -> rustls_pki_types::TrustAnchor<'static> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        roots.roots.remove(0)
    }

    #[test]
    fn a_certificate_of_the_bundle_is_believed_itself_for_its_name_its_time_and_as_a_servers() {
        let bundle = own(ExtendedKeyUsagePurpose::ServerAuth);
        let now = UnixTime::since_unix_epoch(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap());
        assert!(verified(&bundle, &bundle, "hook.default.svc", now));
        assert!(!verified(&bundle, &bundle, "other.default.svc", now), "another name");
        let never = UnixTime::since_unix_epoch(Duration::from_secs(1));
        assert!(!verified(&bundle, &bundle, "hook.default.svc", never), "before its time");
        let clients = own(ExtendedKeyUsagePurpose::ClientAuth);
        assert!(!verified(&clients, &clients, "hook.default.svc", now), "for clients alone");
        let another = own(ExtendedKeyUsagePurpose::ServerAuth);
        assert!(!verified(&bundle, &another, "hook.default.svc", now), "somebody else's");
    }

    #[test]
    fn a_bundle_has_certificates() {
        assert!(believing(Vec::new()).is_err());
        assert!(believing(vec![CertificateDer::from(vec![0; 3])]).is_err());
    }
}
