//! What a certificate says about its owner.

use std::fmt;

use rcgen::{DistinguishedName, DnType, DnValue, string::PrintableString};
use rustls_pki_types::CertificateDer;
use x509_parser::{
    oid_registry::OID_X509_SERIALNUMBER,
    prelude::{FromDer as _, X509Certificate},
};

use super::IdentityError;

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

/// A name of a common name and perhaps an organisation, which Kubernetes reads as user and group.
pub(super) fn name(common: &str, organisation: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(organisation) = organisation {
        name.push(DnType::OrganizationName, organisation);
    }
    name.push(DnType::CommonName, common);
    name
}
