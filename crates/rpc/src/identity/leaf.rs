//! One process's own certificate, and what a certificate says about its owner.

use std::{
    fmt,
    path::Path,
    time::{Duration, SystemTime},
};

use rcgen::{DistinguishedName, DnType, DnValue, string::PrintableString};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use x509_parser::{
    oid_registry::OID_X509_SERIALNUMBER,
    prelude::{FromDer as _, X509Certificate},
};

use super::{
    IdentityError, KeyPair,
    authority::{certificate_from_pem, name, read, write},
    provider,
};

/// Begins the user name of a node, in Kubernetes too.
const NODE_PREFIX: &str = "system:node:";

/// X.520's `serialNumber`, which tells apart who has the same name: the uid of a node's object.
const SERIAL_NUMBER: [u64; 4] = [2, 5, 4, 5];

/// The group of nodes, in Kubernetes too.
const NODES: &str = "system:nodes";

/// The group of administrators, in Kubernetes too.
const ADMINS: &str = "system:masters";

/// Begins the user name of a master.
const MASTER_PREFIX: &str = "system:kapelle:master:";

/// The group of masters.
const MASTERS: &str = "system:kapelle:masters";

/// Who the owner of a certificate is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A master: `CN=system:kapelle:master:ID, O=system:kapelle:masters`, the id in 16 hexadecimal digits.
    Master {
        /// Its id in the group.
        member: u64,
    },
    /// A worker: `CN=system:node:NAME, O=system:nodes, serialNumber=UID`.
    Node {
        /// The node's name.
        name: String,
        /// The uid of its Node object: another node under the same name is somebody else. Empty in certificates from
        /// before there were uids, which nobody believes.
        uid: String,
    },
    /// An administrator: `CN=NAME, O=system:masters`.
    Admin {
        /// The user's name.
        name: String,
    },
}

impl Subject {
    /// Who a certificate says its owner is. Whether that is true is for whoever verified the certificate's signature.
    ///
    /// # Errors
    /// If the certificate is malformed or its subject is none of ours.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let (_, parsed) =
            X509Certificate::from_der(certificate).map_err(|error| IdentityError::malformed("certificate", error))?;
        let subject = parsed.subject();
        let text = |attribute: Option<&x509_parser::x509::AttributeTypeAndValue<'_>>| {
            attribute.and_then(|attribute| attribute.as_str().ok()).unwrap_or_default().to_owned()
        };
        let (common, group) = (text(subject.iter_common_name().next()), text(subject.iter_organization().next()));
        let serial = text(subject.iter_by_oid(&OID_X509_SERIALNUMBER).next());
        Self::parse(&common, &group, serial).ok_or_else(|| {
            IdentityError::malformed("certificate", format!("nobody of the cluster is CN={common}, O={group}"))
        })
    }

    fn parse(common: &str, group: &str, uid: String) -> Option<Self> {
        match group {
            NODES => common.strip_prefix(NODE_PREFIX).map(|name| Self::Node { name: name.to_owned(), uid }),
            MASTERS => {
                let id = common.strip_prefix(MASTER_PREFIX).filter(|id| id.len() == 16)?;
                u64::from_str_radix(id, 16).ok().map(|member| Self::Master { member })
            }
            ADMINS => Some(Self::Admin { name: common.to_owned() }),
            _ => None,
        }
    }

    pub(super) fn distinguished_name(&self) -> Result<DistinguishedName, IdentityError> {
        match self {
            Self::Master { .. } => Ok(name(&self.to_string(), Some(MASTERS))),
            Self::Node { uid, .. } => {
                let mut named = name(&self.to_string(), Some(NODES));
                let uid = PrintableString::try_from(uid.as_str())?;
                named.push(DnType::CustomDnType(SERIAL_NUMBER.to_vec()), DnValue::PrintableString(uid));
                Ok(named)
            }
            Self::Admin { .. } => Ok(name(&self.to_string(), Some(ADMINS))),
        }
    }
}

impl fmt::Display for Subject {
    /// The user name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Master { member } => write!(f, "{MASTER_PREFIX}{member:016x}"),
            Self::Node { name, .. } => write!(f, "{NODE_PREFIX}{name}"),
            Self::Admin { name } => f.write_str(name),
        }
    }
}

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
        let chain: Result<Vec<CertificateDer<'static>>, _> =
            CertificateDer::pem_slice_iter(self.chain.as_bytes()).collect();
        let chain = chain.map_err(|error| IdentityError::malformed("certificate", error))?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes());
        let key = key.map_err(|error| IdentityError::malformed("key", error))?;
        Ok(CertifiedKey::from_der(chain, key, &provider())?)
    }

    pub(super) fn authority_der(&self) -> Result<CertificateDer<'static>, IdentityError> {
        certificate_from_pem(&self.authority)
    }
}
