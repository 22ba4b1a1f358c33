//! What an administrator finds on a master's host: a kubeconfig with all masters in it, and a local way to whichever of them
//! answers. Both follow the group.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Result;
use apiserver::Bearers;
use registry::{Masters, Registry};
use rpc::{
    Client, Security,
    identity::{Authority, Bearer, Identity, Shared, Subject},
};

use crate::{group, pki, process};

/// How long an administrator's certificate is valid; a master that starts writes a new one.
const ADMIN_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);

/// The name of the administrator in the kubeconfig.
const ADMIN: &str = "kapelle-admin";

/// A new certificate for an administrator.
///
/// # Errors
/// If it cannot be made.
pub(crate) fn administrator(authority: &Authority) -> Result<Identity> {
    pki::issue(authority, &subject(), &[], ADMIN_LIFE)
}

/// The administrator's token in `DIR/pki`, made if there is none.
///
/// # Errors
/// If it cannot be read or made.
pub(crate) fn token(dir: &Path) -> Result<Bearer> {
    let pki = dir.join("pki");
    if let Some(token) = Bearer::load(&pki)? {
        return Ok(token);
    }
    let token = Bearer::generate()?;
    token.store(&pki)?;
    Ok(token)
}

/// What a server is told of the administrator's token.
pub(crate) fn bearers(token: &Bearer) -> Bearers {
    Bearers::one(token.hash(), subject())
}

fn subject() -> Subject {
    Subject::Admin { name: ADMIN.to_owned() }
}

/// The kubeconfig and the local way of a master.
pub(crate) struct Desk {
    path: PathBuf,
    admin: Identity,
    own: String,
    local: SocketAddr,
}

impl Desk {
    /// Nothing is written yet.
    ///
    /// # Errors
    /// If the administrator's certificate cannot be made.
    pub(crate) fn new(dir: &Path, authority: &Authority, contact: SocketAddr) -> Result<Self> {
        let admin = administrator(authority)?;
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, contact.port()));
        Ok(Self { path: dir.join("kubeconfig"), admin, own: format!("https://{contact}"), local })
    }

    /// Writes the kubeconfig, and from now on writes it again whenever the group is reached elsewhere.
    ///
    /// # Errors
    /// If it cannot be written now; later only the log says so.
    pub(crate) fn open(self, registry: &Registry, masters: Masters, identity: Arc<Shared>) -> Result<()> {
        let urls = self.urls(&masters);
        self.write(&urls)?;
        let client = Client::connect_with(&urls, Security::Tls(identity))?;
        tokio::spawn(group::pass_on(self.local, client.clone()));
        tokio::spawn(self.follow(registry.clone(), masters, client, urls));
        Ok(())
    }

    async fn follow(self, registry: Registry, masters: Masters, client: Client, mut written: Vec<String>) {
        let mut group = registry.group();
        while group.changed().await.is_ok() {
            let urls = self.urls(&masters);
            if urls == written {
                continue;
            }
            if let Err(error) = self.write(&urls) {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the kubeconfig does not name the masters as they are now"
                );
            }
            if let Err(error) = client.learn(&urls) {
                tracing::warn!(%error, "the masters' own addresses are of no use");
            }
            written = urls;
        }
    }

    /// All masters, this one first.
    fn urls(&self, masters: &Masters) -> Vec<String> {
        let mut urls = masters.urls();
        urls.retain(|url| *url != self.own);
        urls.sort();
        urls.insert(0, self.own.clone());
        urls
    }

    fn write(&self, urls: &[String]) -> Result<()> {
        let served = cli::Served { masters: urls.to_vec(), local: Some(format!("https://{}", self.local)) };
        let admin = cli::User { identity: &self.admin, token: None };
        process::write_whole(&self.path, &cli::kubeconfig_with(&served, admin))
    }
}
