//! The cluster's authority, and what it signs.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use api::x509::{Template, der, pem};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyUsagePurpose,
};
use rustls_pki_types::CertificateSigningRequestDer;

use super::{
    IdentityError, Pin, Subject, certify,
    files::{certificate_from_pem, read, write},
    subject::name,
};

/// How long the authority is valid. Changing it means that everybody joins anew, so it is long, as kubeadm's is.
const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Clocks may differ by so much: a certificate is valid from a little before it was made.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// A private key. It never leaves the process that made it, but for that process's own directory.
#[derive(Debug)]
pub struct KeyPair(rcgen::KeyPair);

/// A request for a certificate, whose signature was checked.
#[derive(Debug)]
pub struct Csr(CertificateSigningRequestParams);

/// The cluster's authority: a certificate and its key.
#[derive(Debug)]
pub struct Authority {
    certificate: String,
    key: String,
    pin: Pin,
}

/// The sorts of keys that can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySort {
    /// ECDSA on P-256.
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// Ed25519.
    Ed25519,
}

impl KeySort {
    /// The sort that Kubernetes calls so.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "ECDSAP256" => Some(Self::EcdsaP256),
            "ECDSAP384" => Some(Self::EcdsaP384),
            "ED25519" => Some(Self::Ed25519),
            _ => None,
        }
    }

    fn algorithm(self) -> &'static rcgen::SignatureAlgorithm {
        match self {
            Self::EcdsaP256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Self::EcdsaP384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Self::Ed25519 => &rcgen::PKCS_ED25519,
        }
    }
}

impl KeyPair {
    /// A new key: ECDSA on P-256, which everything understands.
    ///
    /// # Errors
    /// If there is no randomness.
    pub fn generate() -> Result<Self, IdentityError> {
        Self::generate_as(KeySort::EcdsaP256)
    }

    /// A new key of a sort.
    ///
    /// # Errors
    /// If there is no randomness.
    pub fn generate_as(sort: KeySort) -> Result<Self, IdentityError> {
        Ok(Self(rcgen::KeyPair::generate_for(sort.algorithm())?))
    }

    /// Reads a key.
    ///
    /// # Errors
    /// If the text is not a PKCS#8 key in PEM.
    pub fn from_pem(text: &str) -> Result<Self, IdentityError> {
        Ok(Self(rcgen::KeyPair::from_pem(text).map_err(|error| IdentityError::malformed("key", error))?))
    }

    /// The key in PEM: PKCS#8 in its first version, which everything reads.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let der = self.0.serialize_der();
        first_version(&der).map_or_else(|| self.0.serialize_pem(), |plain| pem::encode("PRIVATE KEY", &plain))
    }

    /// A request for a certificate for this key, DER. What the certificate says is the authority's decision.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub fn request(&self) -> Result<Vec<u8>, IdentityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        Ok(params.serialize_request(&self.0)?.der().to_vec())
    }
}

impl Csr {
    /// Reads a request and checks that its sender has the key.
    ///
    /// # Errors
    /// If the bytes are not a PKCS#10 request in DER, or its signature does not fit.
    pub fn from_der(bytes: &[u8]) -> Result<Self, IdentityError> {
        let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(bytes.to_vec()));
        Ok(Self(request.map_err(|error| IdentityError::malformed("certificate request", error))?))
    }
}

impl Authority {
    /// A new authority for a cluster.
    ///
    /// # Errors
    /// If there is no randomness.
    pub fn found(cluster: &str) -> Result<Self, IdentityError> {
        let key = KeyPair::generate()?;
        let mut params = valid_until(CertificateParams::default(), SystemTime::now() + AUTHORITY_LIFE);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name = name(&format!("kapelle-{cluster}"), None);
        Self::from_pem(&params.self_signed(&key.0)?.pem(), &key.to_pem())
    }

    /// An authority from its certificate and key, both PEM.
    ///
    /// # Errors
    /// If either is malformed.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, IdentityError> {
        let pin = Pin::of_pem(certificate)?;
        KeyPair::from_pem(key)?;
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), pin })
    }

    /// Reads what [`Authority::store`] wrote; `None` if there is nothing.
    ///
    /// # Errors
    /// If the files cannot be read or are malformed.
    pub fn load(dir: &Path) -> Result<Option<Self>, IdentityError> {
        let (Some(certificate), Some(key)) = (read(&dir.join("ca.crt"))?, read(&dir.join("ca.key"))?) else {
            return Ok(None);
        };
        Self::from_pem(&certificate, &key).map(Some)
    }

    /// Writes `ca.crt` and `ca.key`, the key for its owner only.
    ///
    /// # Errors
    /// If the files cannot be written.
    pub fn store(&self, dir: &Path) -> Result<(), IdentityError> {
        write(&dir.join("ca.key"), &self.key)?;
        write(&dir.join("ca.crt"), &self.certificate)
    }

    /// The certificate in PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate
    }

    /// The key in PEM.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key
    }

    /// What a newcomer knows the authority by.
    #[must_use]
    pub fn pin(&self) -> Pin {
        self.pin
    }

    /// A certificate for whoever made a request. `hosts` are names and addresses under which it is reached: only masters
    /// have any, since whoever believes this authority and looks at names, such as `kubectl`, must find nobody else
    /// behind one. Answers the chain: the certificate and the authority's, PEM.
    ///
    /// # Errors
    /// If a host cannot be in a certificate, or in this one.
    pub fn issue(
        &self,
        request: &Csr,
        subject: &Subject,
        hosts: &[String],
        valid: Duration,
    ) -> Result<String, IdentityError> {
        self.issue_until(request, subject, hosts, SystemTime::now() + valid)
    }

    pub(super) fn issue_until(
        &self,
        request: &Csr,
        subject: &Subject,
        hosts: &[String],
        end: SystemTime,
    ) -> Result<String, IdentityError> {
        let usages = usages(subject);
        if !hosts.is_empty() && !usages.contains(&ExtendedKeyUsagePurpose::ServerAuth) {
            return Err(IdentityError::malformed("certificate request", format!("{subject} is reached under no name")));
        }
        self.sign(request, CertificateParams::new(hosts.to_vec())?, subject.distinguished_name()?, usages, end)
    }

    /// A certificate for a client that is none of ours: masters refuse it, since it names nobody.
    pub(super) fn issue_foreign(
        &self,
        request: &Csr,
        common_name: &str,
        end: SystemTime,
    ) -> Result<String, IdentityError> {
        let usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(request, CertificateParams::default(), name(common_name, None), usages, end)
    }

    /// A certificate that was asked for through the API and decided on, PEM. It ends with the authority at the latest.
    ///
    /// # Errors
    /// If the authority has ended, or there is no randomness.
    pub fn certify(&self, template: &Template) -> Result<String, IdentityError> {
        let authority = certificate_from_pem(&self.certificate)?;
        certify::certificate(template, &authority, &rcgen::KeyPair::from_pem(&self.key)?)
    }

    fn sign(
        &self,
        request: &Csr,
        params: CertificateParams,
        name: DistinguishedName,
        usages: Vec<ExtendedKeyUsagePurpose>,
        end: SystemTime,
    ) -> Result<String, IdentityError> {
        let mut params = valid_until(params, end);
        params.distinguished_name = name;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages;
        params.use_authority_key_identifier_extension = true;
        let key = rcgen::KeyPair::from_pem(&self.key)?;
        let issuer = Issuer::from_ca_cert_pem(&self.certificate, key)?;
        let certificate = params.signed_by(&request.0.public_key, &issuer)?;
        Ok(format!("{}{}", certificate.pem(), self.certificate))
    }
}

/// Only masters serve those who ask for a server's certificate. What nodes serve is for masters, who ask for the node.
fn usages(subject: &Subject) -> Vec<ExtendedKeyUsagePurpose> {
    match subject {
        Subject::Master { .. } => vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth],
        Subject::Node { .. } | Subject::Admin { .. } | Subject::User { .. } | Subject::Pod { .. } => {
            vec![ExtendedKeyUsagePurpose::ClientAuth]
        }
    }
}

/// A key without what a later version puts behind it: the public key, which old readers stumble over.
fn first_version(key: &[u8]) -> Option<Vec<u8>> {
    let (body, _) = der::take(der::SEQUENCE, key)?;
    let (_, rest) = der::take(der::INTEGER, body)?;
    let (algorithm, rest) = der::take(der::SEQUENCE, rest)?;
    let (secret, _) = der::take(der::OCTET_STRING, rest)?;
    let parts =
        [der::value(der::INTEGER, &[0]), der::value(der::SEQUENCE, algorithm), der::value(der::OCTET_STRING, secret)];
    Some(der::group(der::SEQUENCE, &parts))
}

fn valid_until(mut params: CertificateParams, end: SystemTime) -> CertificateParams {
    params.not_before = (SystemTime::now() - CLOCK_SKEW).into();
    params.not_after = end.into();
    params
}
