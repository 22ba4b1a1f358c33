//! The cluster's authority in `DIR/pki`, and the certificates that a process gives itself because it holds the key.

use std::{net::IpAddr, path::Path, sync::Arc, time::Duration};

use anyhow::Result;
use api::{Cidr, kinds::core::service::kubernetes_address};
use apiserver::LEAF_LIFE;
use rpc::identity::{Authority, Csr, Identity, KeyPair, Shared, Subject};

/// How often a certificate is looked at.
pub(crate) const RENEW_EVERY: Duration = Duration::from_secs(3600);

const _: () = assert!(RENEW_EVERY.as_secs() * 2 < LEAF_LIFE.as_secs() / 3, "a certificate is due in its last third");

/// The authority in `DIR/pki`, made if there is none.
pub(crate) fn authority(dir: &Path) -> Result<Authority> {
    let pki = dir.join("pki");
    if let Some(authority) = Authority::load(&pki)? {
        return Ok(authority);
    }
    let authority = Authority::found("cluster")?;
    authority.store(&pki)?;
    Ok(authority)
}

/// A certificate of the authority for a new key.
pub(crate) fn issue(authority: &Authority, subject: &Subject, hosts: &[String], life: Duration) -> Result<Identity> {
    let key = KeyPair::generate()?;
    let chain = authority.issue(&Csr::from_der(&key.request()?)?, subject, hosts, life)?;
    Ok(Identity::new(&chain, &key, authority.certificate_pem())?)
}

/// Names and addresses for the certificate, those of the Service `kubernetes` too: `kubectl` insists on them.
pub(crate) fn hosts(listen: IpAddr, services: Cidr, more: &[String]) -> Vec<String> {
    let mut hosts = vec![
        listen.to_string(),
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        kubernetes_address(services).to_string(),
    ];
    let names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"];
    hosts.extend(names.map(ToOwned::to_owned));
    hosts.extend(more.iter().cloned());
    hosts.sort();
    hosts.dedup();
    hosts
}

/// An identity from the authority itself, renewed as long as the process runs.
pub(crate) fn identity(authority: &Arc<Authority>, subject: Subject, hosts: Vec<String>) -> Result<Arc<Shared>> {
    let identity = Shared::new(issue(authority, &subject, &hosts, LEAF_LIFE)?)?;
    tokio::spawn(renew(authority.clone(), subject, hosts, identity.clone()));
    Ok(identity)
}

/// Whoever has the authority's key gives itself new certificates.
async fn renew(authority: Arc<Authority>, subject: Subject, hosts: Vec<String>, identity: Arc<Shared>) {
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        if !identity.with(|identity| identity.is_due(std::time::SystemTime::now())) {
            continue;
        }
        let renewed = issue(&authority, &subject, &hosts, LEAF_LIFE).and_then(|new| Ok(identity.replace(new)?));
        match renewed {
            Ok(()) => tracing::info!("the certificate was renewed"),
            Err(error) => tracing::error!(%error, "the certificate cannot be renewed"),
        }
    }
}
