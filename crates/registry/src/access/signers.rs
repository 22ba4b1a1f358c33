//! Who may say what about certificates: approve requests, sign them, and vouch for authorities, each for a signer; and what no
//! request may ask for, whoever approves it. In Kubernetes these are the admission plugins `CertificateApproval`,
//! `CertificateSigning`, `ClusterTrustBundleAttest` and `CertificateSubjectRestriction`.

use api::{
    Error, Key, Kind, Object, Reason, Subresource, Write,
    certificates_v1::{CertificateSigningRequest, ClusterTrustBundle, PodCertificateRequest},
    error::Cause,
    kinds::certificates::certificate_signing_request::CLIENT_SIGNER,
    users::MASTERS,
    x509,
};
use rpc::identity::Subject;

use super::{
    Caller, ResourceAttributes, User,
    rbac::{Grant, Roles},
};

const GROUP: &str = "certificates.k8s.io";

/// The resource of which there are no objects: rules name signers with it.
const SIGNERS: &str = "signers";

/// A decision about a certificate, or about who signs them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Certifying<'a> {
    /// What was asked for.
    pub(crate) write: &'a Write,
    /// The object as it would be stored.
    pub(crate) new: &'a Object,
    /// As it is, if it is there.
    pub(crate) old: Option<&'a Object>,
}

impl Certifying<'_> {
    /// Whether objects of a kind are about certificates.
    pub(crate) fn is_of(kind: Kind) -> bool {
        matches!(kind, Kind::CertificateSigningRequest | Kind::ClusterTrustBundle | Kind::PodCertificateRequest)
    }

    /// Refuses a request for what nobody gets by one, and one in the name of somebody else.
    ///
    /// # Errors
    /// If it is one.
    pub(crate) fn check(&self, caller: &Caller) -> Result<(), Error> {
        let (Write::Create(_), Some(request)) = (self.write, self.new.get::<CertificateSigningRequest>()) else {
            return Ok(());
        };
        let key = self.new.key();
        let spec = request.spec.clone().unwrap_or_default();
        let asks = caller.described();
        if (&spec.username, &spec.uid, &spec.groups) != (&asks.name, &asks.uid, &asks.groups) {
            return Err(forbidden(&key, "spec: who asks is the master's to say, and no webhook's"));
        }
        if spec.signer_name != CLIENT_SIGNER {
            return Ok(());
        }
        let failed = |why: String| forbidden(&key, &format!("failed to parse CSR: {why}"));
        let subject = x509::Request::read(&spec.request).map_err(failed)?.subject;
        let reserved = |group: &&String| *group == MASTERS || Subject::is_reserved(group);
        if let Some(group) = subject.organizations.iter().find(reserved) {
            return Err(forbidden(&key, &format!("use of {CLIENT_SIGNER} signer with {group} group is not allowed")));
        }
        if Subject::is_reserved(&subject.common_name) {
            let name = &subject.common_name;
            return Err(forbidden(&key, &format!("use of {CLIENT_SIGNER} signer with the name {name} is not allowed")));
        }
        Ok(())
    }

    /// The right that it takes beside that to the object: a verb, and for which signer.
    fn right(&self) -> Option<(&'static str, String)> {
        if let Some(bundle) = self.new.get::<ClusterTrustBundle>() {
            let signer = bundle.spec.as_ref().map(|spec| spec.signer_name.clone()).unwrap_or_default();
            let is_upkeep = Grant { new: self.new, old: self.old }.is_upkeep();
            return Some(("attest", signer)).filter(|(_, signer)| !signer.is_empty() && !is_upkeep);
        }
        if let (Some(new), Some(old)) = (self.new.get::<PodCertificateRequest>(), self.old) {
            let old = old.get::<PodCertificateRequest>()?;
            let signer = old.spec.as_ref().map(|spec| spec.signer_name.clone()).unwrap_or_default();
            return Some(("sign", signer)).filter(|_| old.status != new.status);
        }
        let (new, old) = (self.new.get::<CertificateSigningRequest>()?, self.old?.get::<CertificateSigningRequest>()?);
        let signer = old.spec.as_ref().map(|spec| spec.signer_name.clone()).unwrap_or_default();
        match self.write {
            Write::Update(_, Subresource::Approval) => Some(("approve", signer)),
            Write::Update(_, Subresource::Status) if old.status != new.status => Some(("sign", signer)),
            Write::Create(_) | Write::Update(..) | Write::Delete(..) => None,
        }
    }
}

impl User {
    /// Allows somebody to say something about certificates, or says which right is missing. All other objects pass.
    pub(crate) fn may_certify(&self, certifying: Certifying<'_>, roles: &Roles) -> Result<(), Error> {
        let Some((verb, signer)) = certifying.right() else { return Ok(()) };
        let has = |name: &str| {
            let asked = ResourceAttributes { verb, group: GROUP, resource: SIGNERS, name, ..Default::default() };
            roles.decide(self, &asked.into()).is_some()
        };
        let domain = signer.split('/').next().unwrap_or_default();
        if has(&signer) || has(&format!("{domain}/*")) {
            return Ok(());
        }
        let key = certifying.new.key();
        let remedy = format!(
            "a role allows it that has the verb {verb} on {SIGNERS}.{GROUP} named {signer:?} or \"{domain}/*\""
        );
        if key.kind == Kind::PodCertificateRequest {
            let name = &self.name;
            let message =
                format!("Forbidden: User {name:?} is not permitted to {verb:?} for signer {signer:?}; {remedy}");
            let (reason, field) = ("FieldValueForbidden", "spec.signerName".to_owned());
            return Err(Error::invalid(&key, vec![Cause { reason, field, message }]));
        }
        let what = if verb == "attest" { "for" } else { "requests with" };
        let why = format!("user not permitted to {verb} {what} signerName {signer:?}");
        Err(forbidden(&key, &format!("{why}; {remedy}")))
    }
}

fn forbidden(key: &Key, why: &str) -> Error {
    let message = format!("{} {:?} is forbidden: {why}", key.kind.resource_name(), key.name);
    Error::new(Reason::Forbidden, message).about(key)
}
