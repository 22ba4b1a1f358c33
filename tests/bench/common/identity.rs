//! Certificates for servers and clients, all by one authority, and the TLS of clients that show them.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;
use rpc::identity::{Authority, Csr, Identity, KeyPair, Subject};
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

/// How long a certificate is valid: longer than any run.
const VALID: Duration = Duration::from_secs(86_400);

/// Somebody of an authority.
pub(crate) fn issue(authority: &Authority, subject: &Subject, hosts: &[String]) -> Result<Identity> {
    let key = KeyPair::generate()?;
    let request = Csr::from_der(&key.request()?)?;
    let chain = authority.issue(&request, subject, hosts, VALID)?;
    Ok(Identity::new(&chain, &key, authority.certificate_pem())?)
}

/// Mutual TLS as Kapelle's, but for the version: older servers have only TLS 1.2. They are called by their addresses.
pub(crate) fn tls(identity: &Identity, alpn: &[u8]) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(identity.authority_pem().as_bytes())?)?;
    let chain = CertificateDer::pem_slice_iter(identity.chain_pem().as_bytes()).collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem().as_bytes())?;
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(config)
}

/// The files by which a server is told who it is and whom it believes.
pub(crate) struct Files {
    pub(crate) key: PathBuf,
    pub(crate) chain: PathBuf,
    pub(crate) authority: PathBuf,
}

impl Files {
    pub(crate) fn write(dir: &Path, identity: &Identity) -> Result<Self> {
        let file = |name: &str, text: &str| -> Result<PathBuf> {
            let path = dir.join(name);
            fs::write(&path, text)?;
            Ok(path)
        };
        Ok(Self {
            key: file("key.pem", identity.key_pem())?,
            chain: file("chain.pem", identity.chain_pem())?,
            authority: file("authority.pem", identity.authority_pem())?,
        })
    }
}
