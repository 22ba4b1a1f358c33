//! Who is who: the cluster's authority, certificates, the tokens by which a newcomer knows the cluster, and those that an
//! administrator may show instead of a certificate.
//!
//! A cluster has one authority, made at its founding. Masters hold its key and issue certificates; everybody else holds a
//! certificate of its own and the authority's. A certificate says what its owner *is* ([`Subject`]), in the words that
//! Kubernetes uses for users and groups. Host names are in certificates for programs that insist on them, such as
//! `kubectl`; among ourselves a process is known by its subject, so that addresses may change.

mod authority;
mod bearer;
mod certify;
mod files;
mod foreign;
mod front_proxy;
mod leaf;
mod subject;
#[cfg(test)]
mod tests;
mod tls;
mod token;

pub use authority::{Authority, Csr, KeyPair, KeySort};
pub use bearer::{Bearer, BearerHash};
pub use foreign::{believing, believing_anybody};
pub use front_proxy::{Believed, FrontProxy};
pub use leaf::Identity;
pub use subject::Subject;
pub use tls::{Shared, pinned_client};
pub use token::{BadToken, Pin, Token, secret_hash};

use std::path::PathBuf;

/// Why an identity cannot be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read or written.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A key or certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// Bytes that are not what they should be.
    #[error("not a usable {what}: {why}")]
    Malformed {
        /// A certificate, a key, a request.
        what: &'static str,
        /// Why not.
        why: String,
    },
    /// TLS does not take the keys.
    #[error("TLS refuses the identity: {0}")]
    Tls(#[from] rustls::Error),
}

impl IdentityError {
    fn malformed(what: &'static str, why: impl std::fmt::Display) -> Self {
        Self::Malformed { what, why: why.to_string() }
    }
}

/// Makes the provider of cryptography that is used here that of the whole process, for libraries that ask for one.
pub fn install_provider() {
    // Somebody may have done it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The provider of all cryptography here.
fn provider() -> std::sync::Arc<rustls::crypto::CryptoProvider> {
    std::sync::Arc::new(rustls::crypto::ring::default_provider())
}
