//! Certificates and requests for them, as far as anybody here decides by what they say.
//!
//! [`pem`] takes text apart, [`Request`] is what somebody asks for, [`Template`] what is to be signed, and [`der`] writes the few
//! things that have to be spelled anew. All of it is pure; who holds the authority's key signs (`rpc`).

pub mod der;
mod leaf;
pub mod pem;
mod pod_identity;
mod request;
#[cfg(test)]
mod tests;

pub use leaf::Leaf;
pub use pod_identity::{POD_IDENTITY, PodIdentity};
pub use request::{AlternativeNames, PublicKey, REQUEST_BYTES_MAX, Request, Subject};

use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::{
    Timestamp,
    certificates_v1::{CertificateSigningRequest, PodCertificateRequest},
};

/// The label of a certificate in PEM.
pub const CERTIFICATE: &str = "CERTIFICATE";

/// What a certificate may be used for, of all that X.509 knows what the cluster itself signs for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Usage {
    /// To sign what proves that one has the key.
    DigitalSignature,
    /// To have keys sent to one.
    KeyEncipherment,
    /// To prove who one is to a server.
    ClientAuth,
    /// To prove who one is to clients.
    ServerAuth,
}

/// A certificate that is to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Whose it is: a name in DER.
    pub subject: Vec<u8>,
    /// The key: `SubjectPublicKeyInfo` in DER.
    pub key: Vec<u8>,
    /// Which Pod the owner is, if it is one.
    pub pod: Option<PodIdentity>,
    /// Other names of the owner.
    pub names: AlternativeNames,
    /// What for.
    pub usages: Vec<Usage>,
    /// From when on it is valid.
    pub from: Timestamp,
    /// Until when; an authority that ends earlier gives less.
    pub until: Timestamp,
}

/// A certificate that was asked for and is to be issued.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// The request as it was when that was decided; another state of it is not answered.
    pub request: Asked,
    /// What to sign.
    pub certificate: Template,
}

/// What was asked for, and by which sort of request.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// By somebody, and approved.
    Signing(CertificateSigningRequest),
    /// For a Pod.
    Pod(PodCertificateRequest),
}

/// What is wrong with a text that is to hold certificates and nothing else; `None` if nothing is. Kubernetes' words.
#[must_use]
pub fn fault_of_certificates(text: &[u8]) -> Option<String> {
    let mut any = false;
    for block in pem::blocks(text) {
        any = true;
        if block.label != CERTIFICATE {
            return Some(format!("only CERTIFICATE PEM blocks are allowed, found {:?}", block.label));
        }
        if block.has_headers {
            return Some("no PEM block headers are permitted".to_owned());
        }
        if let Err(why) = certificate(&block.bytes) {
            return Some(why);
        }
    }
    (!any).then(|| "must contain at least one CERTIFICATE PEM block".to_owned())
}

/// What is wrong with a text that is to hold authorities and nothing else. Kubernetes' words.
#[must_use]
pub fn faults_of_authorities(text: &[u8]) -> Vec<String> {
    let (mut faults, mut known) = (Vec::new(), Vec::<Vec<u8>>::new());
    let mut doubled = Vec::new();
    for (index, block) in pem::blocks(text).enumerate() {
        match fault_of_authority(&block) {
            Some(fault) => faults.push(format!("entry {index} {fault}")),
            None => match known.iter().position(|other| *other == block.bytes) {
                Some(first) => doubled.push(format!("duplicate trust anchor (indices [{first} {index}])")),
                None => known.push(block.bytes),
            },
        }
    }
    if !faults.is_empty() {
        return faults;
    }
    if known.is_empty() {
        doubled.push("at least one trust anchor must be provided".to_owned());
    }
    doubled
}

fn fault_of_authority(block: &pem::Block) -> Option<String> {
    if block.label != CERTIFICATE {
        return Some(format!("has bad block type: {}", block.label));
    }
    if block.has_headers {
        return Some("has PEM block headers".to_owned());
    }
    match X509Certificate::from_der(&block.bytes) {
        Ok(([], parsed)) if parsed.is_ca() => None,
        Ok(([], _)) => Some("does not have the CA bit set".to_owned()),
        Ok(_) | Err(_) => Some("does not parse as X.509".to_owned()),
    }
}

/// When the first certificate of a text ends; `None` if there is none.
#[must_use]
pub fn end_of(text: &[u8]) -> Option<Timestamp> {
    let first = pem::blocks(text).next().filter(|block| block.label == CERTIFICATE)?;
    let (_, parsed) = X509Certificate::from_der(&first.bytes).ok()?;
    Some(Timestamp(parsed.validity().not_after.timestamp().saturating_mul(1000)))
}

fn certificate(bytes: &[u8]) -> Result<(), String> {
    match X509Certificate::from_der(bytes) {
        Ok(([], _)) => Ok(()),
        Ok(_) => Err("x509: trailing data behind the certificate".to_owned()),
        Err(error) => Err(format!("x509: malformed certificate: {error}")),
    }
}
