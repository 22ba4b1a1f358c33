//! Certificates that were decided on: signed, and stored with their requests.

use api::{Error, Subresource, Write, WriteOutcome, x509::Order};
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
}
