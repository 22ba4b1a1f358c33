//! What a certificate says about its owner.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use api::{
    users::{MASTERS as ADMINS, NODE_PREFIX, NODES, service_account},
    x509::{POD_IDENTITY, PodIdentity},
};
use rcgen::{DistinguishedName, DnType, DnValue, string::PrintableString};
use rustls_pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use x509_parser::{
    der_parser::{Oid, oid},
    oid_registry::{OID_X509_COMMON_NAME, OID_X509_EXT_SUBJECT_ALT_NAME, OID_X509_SERIALNUMBER},
    prelude::{FromDer as _, X509Certificate, X509Name},
};

use super::IdentityError;

/// X.520's `serialNumber`, which tells apart who has the same name: the uid of a node's object.
const SERIAL_NUMBER: [u64; 4] = [2, 5, 4, 5];

/// Begins the user name of a master.
const MASTER_PREFIX: &str = "system:kapelle:master:";

/// The group of masters.
const MASTERS: &str = "system:kapelle:masters";

/// Begins the names of users and groups that are the cluster's own, and nobody else's.
const RESERVED: &str = "system:kapelle";

/// The attribute of a name in which Kubernetes looks for a user's uid: 1.3.6.1.4.1.57683.2.
const UID: Oid<'static> = oid!(1.3.6.1.4.1.57683.2);

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
    /// Another user, who has what roles give: `CN=NAME` and an `O` for each group.
    User {
        /// The user's name.
        name: String,
        /// Tells apart who had the same name at different times; mostly empty.
        uid: String,
        /// The user's groups, in their order.
        groups: Vec<String>,
    },
    /// A Pod, as its ServiceAccount: no name, and an extension that says which Pod. It counts as long as the Pod is there.
    Pod {
        /// Which one.
        pod: Box<PodIdentity>,
        /// SHA-256 of the certificate, in hexadecimal.
        fingerprint: String,
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
        let name = parsed.subject();
        let mut pods =
            parsed.extensions().iter().filter(|extension| extension.oid.as_bytes() == POD_IDENTITY).peekable();
        if pods.peek().is_some() {
            let is_only = name.iter_attributes().next().is_none() && !has_names(&parsed);
            let pod = pods.next().and_then(|extension| PodIdentity::read(extension.value)).filter(|_| is_only);
            let pod = pod.filter(|_| pods.next().is_none()).map(Box::new);
            let pod =
                pod.ok_or_else(|| IdentityError::malformed("certificate", "it does not say which Pod it is of"))?;
            let fingerprint = Sha256::digest(certificate).iter().map(|byte| format!("{byte:02x}")).collect();
            return Ok(Self::Pod { pod, fingerprint });
        }
        Self::parse(name)
            .ok_or_else(|| IdentityError::malformed("certificate", format!("nobody of the cluster is {name}")))
    }

    /// When a certificate ends, and with it what it says. `None` if it is malformed.
    #[must_use]
    pub fn end_of(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let seconds = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or_default();
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }

    /// Whether a name of a user or group is the cluster's own. No request for a certificate gets it.
    #[must_use]
    pub fn is_reserved(name: &str) -> bool {
        name.strip_prefix(RESERVED).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    }

    /// What stands twice and may stand once, or in letters that nobody reads, names nobody.
    fn parse(name: &X509Name<'_>) -> Option<Self> {
        let common = only(name, &OID_X509_COMMON_NAME).filter(|name| !name.is_empty())?;
        let groups: Vec<&str> = name.iter_organization().map(|group| group.as_str().ok()).collect::<Option<_>>()?;
        match groups[..] {
            [MASTERS] => {
                let id = common.strip_prefix(MASTER_PREFIX).filter(|id| id.len() == 16)?;
                return u64::from_str_radix(id, 16).ok().map(|member| Self::Master { member });
            }
            [NODES] if let Some(node) = common.strip_prefix(NODE_PREFIX) => {
                let uid = only(name, &OID_X509_SERIALNUMBER)?.to_owned();
                return Some(Self::Node { name: node.to_owned(), uid });
            }
            _ => {}
        }
        // Nobody is of the group of nodes beside a node: what that may do goes by more than roles.
        if Self::is_reserved(common) || groups.iter().any(|group| Self::is_reserved(group) || *group == NODES) {
            return None;
        }
        if groups.contains(&ADMINS) {
            return Some(Self::Admin { name: common.to_owned() });
        }
        let groups = groups.into_iter().map(str::to_owned).collect();
        Some(Self::User { name: common.to_owned(), uid: only(name, &UID)?.to_owned(), groups })
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
            Self::User { .. } => {
                Err(IdentityError::malformed("subject", format!("{self} asks with a CertificateSigningRequest")))
            }
            Self::Pod { .. } => {
                Err(IdentityError::malformed("subject", format!("{self} asks with a PodCertificateRequest")))
            }
        }
    }
}

impl fmt::Display for Subject {
    /// The user name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Master { member } => write!(f, "{MASTER_PREFIX}{member:016x}"),
            Self::Node { name, .. } => write!(f, "{NODE_PREFIX}{name}"),
            Self::Admin { name } | Self::User { name, .. } => f.write_str(name),
            Self::Pod { pod, .. } => f.write_str(&service_account(&pod.namespace, &pod.service_account_name)),
        }
    }
}

/// Whether a certificate has other names for its owner.
fn has_names(certificate: &X509Certificate<'_>) -> bool {
    certificate.extensions().iter().any(|extension| extension.oid == OID_X509_EXT_SUBJECT_ALT_NAME)
}

/// What stands in a name once, or nothing; `None` if it stands there twice, or in letters that nobody reads.
fn only<'a>(name: &'a X509Name<'_>, identifier: &Oid<'_>) -> Option<&'a str> {
    let mut found = name.iter_attributes().filter(|attribute| attribute.attr_type() == identifier);
    match (found.next(), found.next()) {
        (None, _) => Some(""),
        (Some(attribute), None) => attribute.as_str().ok(),
        (Some(_), Some(_)) => None,
    }
}

/// A name of a common name and perhaps an organisation, which Kubernetes reads as user and group.
pub(super) fn name(common: &str, organisation: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(organisation) = organisation {
        name.push(DnType::OrganizationName, organisation);
    }
    name.push(DnType::CommonName, common);
    name
}
