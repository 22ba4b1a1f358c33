//! Identities in TLS: who shows which certificate, and whose is believed.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
    client::{
        ResolvesClientCert, danger::HandshakeSignatureValid, danger::ServerCertVerified, danger::ServerCertVerifier,
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    server::{ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{Identity, IdentityError, Pin, Subject, provider};

/// An identity that may be replaced while it is in use: new connections show the newest certificate.
#[derive(Debug)]
pub struct Shared {
    current: ArcSwap<Current>,
    roots: Arc<RootCertStore>,
    clients: Arc<dyn ClientCertVerifier>,
}

#[derive(Debug)]
struct Current {
    identity: Identity,
    certified: Arc<CertifiedKey>,
}

impl Current {
    fn new(identity: Identity) -> Result<Self, IdentityError> {
        let certified = Arc::new(identity.certified()?);
        Ok(Self { identity, certified })
    }
}

impl Shared {
    /// An identity for use in connections.
    ///
    /// # Errors
    /// If its key does not fit its certificate.
    pub fn new(identity: Identity) -> Result<Arc<Self>, IdentityError> {
        let mut roots = RootCertStore::empty();
        roots.add(identity.authority_der()?)?;
        let roots = Arc::new(roots);
        let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider())
            .allow_unauthenticated()
            .build()
            .map_err(|error| IdentityError::malformed("authority", error))?;
        Ok(Arc::new(Self { current: ArcSwap::from_pointee(Current::new(identity)?), roots, clients }))
    }

    /// Shows another certificate from now on. Open connections stay as they are.
    ///
    /// # Errors
    /// If its key does not fit its certificate; the old one is then kept.
    pub fn replace(&self, identity: Identity) -> Result<(), IdentityError> {
        self.current.store(Arc::new(Current::new(identity)?));
        Ok(())
    }

    /// Looks at the identity as it is now.
    pub fn with<T>(&self, look: impl FnOnce(&Identity) -> T) -> T {
        look(&self.current.load().identity)
    }

    /// How to serve. Whoever comes without a certificate is served as nobody; one that the authority did not sign, or that
    /// has ended, is refused.
    ///
    /// # Errors
    /// If the provider of cryptography lacks a protocol version, which only a broken build can cause.
    pub fn server(self: &Arc<Self>, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, IdentityError> {
        let config = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        let config = config.with_client_cert_verifier(self.clients.clone());
        let mut config = config.with_cert_resolver(Arc::new(Shows(self.clone())));
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// How to call a master: whichever it is, under whatever name it is reached.
    #[must_use]
    pub fn client(self: &Arc<Self>) -> Arc<ClientConfig> {
        self.calling(Expected::Master)
    }

    /// How to call one certain process.
    #[must_use]
    pub fn client_of(self: &Arc<Self>, subject: Subject) -> Arc<ClientConfig> {
        self.calling(Expected::Only(subject))
    }

    fn calling(self: &Arc<Self>, expected: Expected) -> Arc<ClientConfig> {
        let trust = Trust::Authority { roots: self.roots.clone(), clients: self.clients.clone() };
        let believes = Believes { trust, expected, provider: provider() };
        Arc::new(configured(believes).with_client_cert_resolver(Arc::new(Shows(self.clone()))))
    }
}

/// How somebody without a certificate calls a master that is known by nothing but the pin of its authority: the master's
/// chain must end in a certificate of that key. Nothing is sent before that is known.
#[must_use]
pub fn pinned_client(pin: Pin) -> Arc<ClientConfig> {
    let believes = Believes { trust: Trust::Pin(pin), expected: Expected::Master, provider: provider() };
    Arc::new(configured(believes).with_no_client_auth())
}

fn configured(believes: Believes) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let provider = believes.provider.clone();
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap_or_else(|error| unreachable!("the provider speaks TLS 1.3: {error}"))
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(believes))
}

/// Shows the newest certificate, as server and as client.
#[derive(Debug)]
struct Shows(Arc<Shared>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current.load().certified.clone())
    }
}

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current.load().certified.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Which authority is believed.
#[derive(Debug)]
enum Trust {
    Authority { roots: Arc<RootCertStore>, clients: Arc<dyn ClientCertVerifier> },
    Pin(Pin),
}

/// Who is expected to answer.
#[derive(Clone, Debug)]
enum Expected {
    Master,
    Only(Subject),
}

/// Believes a certificate that the authority signed and that says the expected subject. The name under which a server was
/// reached is not looked at: addresses change, and a certificate of this cluster proves more than a name.
#[derive(Debug)]
struct Believes {
    trust: Trust,
    expected: Expected,
    provider: Arc<CryptoProvider>,
}

impl Believes {
    fn roots(&self, intermediates: &[CertificateDer<'_>]) -> Result<Arc<RootCertStore>, Error> {
        match &self.trust {
            Trust::Authority { roots, .. } => Ok(roots.clone()),
            Trust::Pin(pin) => {
                let pinned = intermediates.iter().find(|certificate| Pin::of(certificate).is_ok_and(|of| of == *pin));
                let pinned = pinned.ok_or_else(|| {
                    Error::General(
                        "the master belongs to another cluster than the token or kubeconfig: its authority has another key"
                            .to_owned(),
                    )
                })?;
                let mut roots = RootCertStore::empty();
                roots.add(pinned.clone().into_owned())?;
                Ok(Arc::new(roots))
            }
        }
    }
}

impl Believes {
    /// A master must have a certificate for servers. Nodes have none, so that none of them can pass for a master to
    /// programs that look at names: what a node shows as a server is what it shows as a client.
    fn verify_chain(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        if let (Trust::Authority { clients, .. }, Expected::Only(Subject::Node { .. })) = (&self.trust, &self.expected)
        {
            return clients.verify_client_cert(end_entity, intermediates, now).map(drop);
        }
        let roots = self.roots(intermediates)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        let parsed = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots, intermediates, now, algorithms)
    }
}

impl ServerCertVerifier for Believes {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify_chain(end_entity, intermediates, now)?;
        let subject = Subject::of(end_entity).map_err(|_| CertificateError::ApplicationVerificationFailure)?;
        let is_expected = match &self.expected {
            Expected::Master => matches!(subject, Subject::Master { .. }),
            Expected::Only(only) => subject == *only,
        };
        if is_expected {
            return Ok(ServerCertVerified::assertion());
        }
        let expected = match &self.expected {
            Expected::Master => "a master".to_owned(),
            Expected::Only(only) => only.to_string(),
        };
        Err(Error::General(format!("{subject} answers where {expected} was expected")))
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

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        None
    }
}
