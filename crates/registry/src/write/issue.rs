//! Certificates that were decided on: signed, and stored with their requests. And requests for them that are approved by
//! themselves.

use api::{
    Error, Reason, Subresource, Write, WriteOutcome,
    kinds::{Resource as _, certificates::certificate_signing_request::Approval},
    x509::Order,
};
use rpc::identity::Authority;

use crate::{Registry, write::WriteOptions};

impl Registry {
    /// Signs a certificate and stores it with its request, if that is still as it was when this was decided.
    ///
    /// # Errors
    /// If the authority has ended, or as [`Registry::submit`].
    pub async fn issue(&self, authority: &Authority, order: &Order) -> WriteOutcome {
        let signed = authority.certify(&order.certificate).map_err(Error::internal)?;
        let write = Write::Update(order.request.issued(signed, self.now()), Subresource::Status);
        self.submit(write, WriteOptions::default()).await.map(|written| written.object.object())
    }

    /// Approves a request for a certificate if it is still as it was when this was decided, and whoever sent it may have what it
    /// asks for.
    ///
    /// # Errors
    /// [`Reason::Forbidden`] if it may not, or as [`Registry::submit`].
    pub async fn approve(&self, approval: &Approval) -> WriteOutcome {
        let roles = self.inner.rights.of(&self.state());
        let Some(ground) = roles.ground(approval) else {
            let words: Vec<&str> = approval.grounds.iter().map(|ground| ground.subresource).collect();
            let message = format!("recognized csr as {words:?} but subject access review was not approved");
            return Err(Error::new(Reason::Forbidden, message).about(&approval.request.key()));
        };
        let write = Write::Update(approval.on(ground, self.now()).into(), Subresource::Approval);
        self.submit(write, WriteOptions::default()).await.map(|written| written.object.object())
    }
}
