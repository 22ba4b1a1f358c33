//! Requests for certificates: PKCS#10.

use std::net::IpAddr;

use x509_parser::{
    certification_request::X509CertificationRequest,
    cri_attributes::ParsedCriAttribute,
    extensions::{GeneralName, ParsedExtension},
    oid_registry::{
        OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519,
        OID_X509_COMMON_NAME, OID_X509_ORGANIZATION_NAME,
    },
    prelude::{FromDer as _, X509Name},
    public_key::PublicKey as Parsed,
    x509::SubjectPublicKeyInfo,
};

use super::{der, pem};

/// The longest request, in bytes of PEM: one with the largest key that is taken and a thousand names is half as long.
pub const REQUEST_BYTES_MAX: usize = 64 << 10;

/// The label of a request in PEM.
const LABEL: &str = "CERTIFICATE REQUEST";

/// What somebody asks for, and has proven to have the key for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whose the certificate is to be.
    pub subject: Subject,
    /// Other names of the owner.
    pub names: AlternativeNames,
    /// Of what sort the key is.
    pub key: PublicKey,
    /// The key itself: `SubjectPublicKeyInfo` in DER.
    pub key_der: Vec<u8>,
}

/// Whose a certificate is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The user's name; empty if there is none.
    pub common_name: String,
    /// The user's groups, in their order.
    pub organizations: Vec<String>,
    /// What else is said, by object identifiers.
    pub others: Vec<String>,
    /// Whether something stands there more than once that may stand there once, or in letters that nobody reads.
    pub is_doubtful: bool,
    /// All of it in DER.
    pub der: Vec<u8>,
}

/// Other names of an owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlternativeNames {
    /// Of hosts.
    pub dns: Vec<String>,
    /// Addresses of hosts.
    pub ips: Vec<IpAddr>,
    /// Addresses of mail.
    pub emails: Vec<String>,
    /// Identifiers.
    pub uris: Vec<String>,
    /// How many others there are, which nobody here knows.
    pub unknown: usize,
}

/// Of what sort a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// RSA, of so many bits.
    Rsa(usize),
    /// ECDSA on the curve P-256 or P-384.
    Ecdsa,
    /// Ed25519.
    Ed25519,
    /// ECDSA on another curve.
    OtherCurve,
    /// Another one.
    Other,
}

impl Request {
    /// Reads a request in PEM, and checks that it is signed with its own key.
    ///
    /// # Errors
    /// Why it is none, in Kubernetes' words where it has some.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        if text.len() > REQUEST_BYTES_MAX {
            return Err(format!("must be no longer than {REQUEST_BYTES_MAX} bytes"));
        }
        let block = pem::blocks(text).next().filter(|block| block.label == LABEL);
        let block = block.ok_or_else(|| format!("PEM block type must be {LABEL}"))?;
        let parsed = parsed(&block.bytes)?;
        parsed.verify_signature().map_err(|error| format!("the signature is not that of the key: {error}"))?;
        Self::of(&parsed)
    }

    /// Reads the request for a Pod's certificate, which is in DER, and checks that it is signed with its own key.
    ///
    /// # Errors
    /// Why it is none, in Kubernetes' words.
    pub fn of_pod(bytes: &[u8]) -> Result<Self, String> {
        let malformed = |_| "must be a valid PKCS#10 CSR".to_owned();
        let parsed = parsed(bytes).map_err(malformed)?;
        let request = Self::of(&parsed).map_err(malformed)?;
        match request.key {
            PublicKey::Rsa(3072 | 4096) | PublicKey::Ecdsa | PublicKey::Ed25519 => {}
            PublicKey::Rsa(bits) => {
                return Err(format!("\"{bits}-bit modulus\": RSA keys must have modulus size 3072 or 4096"));
            }
            PublicKey::OtherCurve => {
                let why =
                    "elliptic public keys must use curve P256 or P384: nobody here can check signatures of others";
                return Err(why.to_owned());
            }
            PublicKey::Other => {
                return Err("unknown public key type; supported types are Ed25519, ECDSA, and RSA".to_owned());
            }
        }
        parsed.verify_signature().map_err(|_| "invalid signature".to_owned())?;
        Ok(request)
    }

    /// Reads a request in DER without looking at its signature: only for whoever feeds damaged ones to the code that ships.
    ///
    /// # Errors
    /// As [`Request::read`].
    pub fn unproven(bytes: &[u8]) -> Result<Self, String> {
        Self::of(&parsed(bytes)?)
    }

    fn of(parsed: &X509CertificationRequest<'_>) -> Result<Self, String> {
        let info = &parsed.certification_request_info;
        Ok(Self {
            subject: Subject::of(&info.subject),
            names: AlternativeNames::of(parsed).map_err(malformed)?,
            key: PublicKey::of(&info.subject_pki),
            key_der: info.subject_pki.raw.to_vec(),
        })
    }
}

fn parsed(bytes: &[u8]) -> Result<X509CertificationRequest<'_>, String> {
    match X509CertificationRequest::from_der(bytes) {
        Ok(([], parsed)) => Ok(parsed),
        Ok(_) => Err(malformed("trailing data")),
        Err(error) => Err(malformed(error)),
    }
}

fn malformed(why: impl std::fmt::Display) -> String {
    format!("malformed certificate request: {why}")
}

impl Subject {
    fn of(name: &X509Name<'_>) -> Self {
        let mut subject = Self { der: name.as_raw().to_vec(), ..Self::default() };
        for attribute in name.iter_attributes() {
            let identifier = attribute.attr_type();
            let text = attribute.as_str().unwrap_or_default();
            if *identifier == OID_X509_COMMON_NAME {
                subject.is_doubtful |= text.is_empty() || !subject.common_name.is_empty();
                text.clone_into(&mut subject.common_name);
            } else if *identifier == OID_X509_ORGANIZATION_NAME {
                subject.is_doubtful |= text.is_empty();
                subject.organizations.push(text.to_owned());
            } else {
                subject.others.push(identifier.to_id_string());
            }
        }
        subject
    }
}

impl AlternativeNames {
    fn of(request: &X509CertificationRequest<'_>) -> Result<Self, &'static str> {
        let (mut names, mut is_known) = (Self::default(), false);
        for attribute in request.certification_request_info.iter_attributes() {
            let ParsedCriAttribute::ExtensionRequest(asked) = attribute.parsed_attribute() else { continue };
            for extension in &asked.extensions {
                let extension = extension.parsed_extension();
                if matches!(extension, ParsedExtension::ParseError { .. }) {
                    return Err("an extension cannot be read");
                }
                let ParsedExtension::SubjectAlternativeName(found) = extension else { continue };
                // Of several, one reader would see the first and another the last.
                if std::mem::replace(&mut is_known, true) {
                    return Err("alternative names stand twice");
                }
                found.general_names.iter().for_each(|name| names.take(name));
            }
        }
        Ok(names)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "what others there are is not ours to name")]
    fn take(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(name) if name.is_ascii() => self.dns.push((*name).to_owned()),
            GeneralName::RFC822Name(name) if name.is_ascii() => self.emails.push((*name).to_owned()),
            GeneralName::URI(name) if name.is_ascii() => self.uris.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => match address(bytes) {
                Some(address) => self.ips.push(address),
                None => self.unknown += 1,
            },
            _ => self.unknown += 1,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The names that are known, as the extension of a certificate has them.
    #[must_use]
    pub fn der(&self) -> Vec<u8> {
        let text = |number: u8| move |name: &String| der::value(der::context(number), name.as_bytes());
        let address = |address: &IpAddr| match address {
            IpAddr::V4(v4) => der::value(der::context(7), &v4.octets()),
            IpAddr::V6(v6) => der::value(der::context(7), &v6.octets()),
        };
        let names = self.emails.iter().map(text(1)).chain(self.dns.iter().map(text(2)));
        let names = names.chain(self.uris.iter().map(text(6))).chain(self.ips.iter().map(address));
        der::group(der::SEQUENCE, &names.collect::<Vec<_>>())
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

impl PublicKey {
    fn of(key: &SubjectPublicKeyInfo<'_>) -> Self {
        let algorithm = &key.algorithm;
        if algorithm.algorithm == OID_PKCS1_RSAENCRYPTION {
            return match key.parsed() {
                Ok(Parsed::RSA(rsa)) => Self::Rsa(rsa.key_size()),
                Ok(_) | Err(_) => Self::Other,
            };
        }
        let curve = algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
        let is_curve = curve.is_some_and(|curve| curve == OID_EC_P256 || curve == OID_NIST_EC_P384);
        if algorithm.algorithm == OID_SIG_ED25519 {
            Self::Ed25519
        } else if algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
            if is_curve { Self::Ecdsa } else { Self::OtherCurve }
        } else {
            Self::Other
        }
    }
}
