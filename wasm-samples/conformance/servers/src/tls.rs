//! TLS inside the guest: what comes over the socket is encrypted until it is here.

use std::sync::Arc;

use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::rand_core::OsRng;
use p256::pkcs8::EncodePrivateKey as _;
use rcgen::{CertificateParams, PublicKeyData, SignatureAlgorithm};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::flags::Flags;
use crate::give_up;

/// What a server needs that got `--tls-cert-file` and `--tls-private-key-file`.
pub fn from_flags(flags: &Flags) -> Option<TlsAcceptor> {
    let certificate = flags.text("tls-cert-file")?;
    let key = flags.text("tls-private-key-file").unwrap_or_else(|| give_up("--tls-private-key-file is missing"));
    Some(from_files(certificate, key))
}

/// What a server needs whose certificate, with those that it was signed by, and key are these files.
pub fn from_files(certificate: &str, key: &str) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(certificate).and_then(|found| found.collect::<Result<Vec<_>, _>>());
    let chain = chain.unwrap_or_else(|error| give_up(format!("{certificate}: {error}")));
    let key = PrivateKeyDer::from_pem_file(key).unwrap_or_else(|error| give_up(format!("{key}: {error}")));
    acceptor(chain, key)
}

/// What a client needs that believes the authorities of a file alone.
pub fn connector(authorities: &str) -> Result<TlsConnector, Box<dyn std::error::Error>> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(authorities)? {
        roots.add(authority?)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls_rustcrypto::provider()));
    let config = config.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth();
    Ok(Arc::new(config).into())
}

pub fn acceptor(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> TlsAcceptor {
    let config = ServerConfig::builder_with_provider(Arc::new(rustls_rustcrypto::provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key));
    let mut config = config.unwrap_or_else(|error| give_up(format!("the certificate cannot be used: {error}")));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config).into()
}

/// What a server needs that was given no certificate: one that it signs itself, with a key that nobody else has.
pub fn own() -> TlsAcceptor {
    let key = Own::new();
    let chain = key.certificate().unwrap_or_else(|error| give_up(format!("a certificate cannot be made: {error}")));
    let key = key.0.to_pkcs8_der().unwrap_or_else(|error| give_up(format!("a key cannot be written: {error}")));
    acceptor(vec![chain], PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

/// A key, and its public half as certificates have it.
struct Own(SigningKey, Vec<u8>);

impl Own {
    fn new() -> Self {
        let key = SigningKey::random(&mut OsRng);
        let public = key.verifying_key().to_encoded_point(false).as_bytes().to_vec();
        Self(key, public)
    }

    fn certificate(&self) -> Result<CertificateDer<'static>, rcgen::Error> {
        let mut wanted = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        wanted.serial_number = Some(1.into());
        Ok(wanted.self_signed(self)?.into())
    }
}

impl PublicKeyData for Own {
    fn der_bytes(&self) -> &[u8] {
        &self.1
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for Own {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: Signature = self.0.sign(message);
        Ok(signature.to_der().as_bytes().to_vec())
    }
}
