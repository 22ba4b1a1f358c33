//! Opens what a master keeps in its directory: the log in `DIR/log`, and images in `DIR/images`.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use api::Error;
use apiserver::Webhooks;
use images::{Images, Peers};
use registry::{Masters, Membership, Options, Registry};
use rpc::Client;

/// The other masters, as the images reach them.
pub(crate) struct Others(pub(crate) Masters);

impl Peers for Others {
    fn clients(&self) -> Vec<Client> {
        self.0.clients()
    }

    fn own_url(&self) -> String {
        self.0.own_url()
    }

    fn client(&self, url: &str) -> Result<Client, Error> {
        self.0.client(url)
    }
}

/// Opens the state and the images in a directory, and recovers them. Before the first request [`Registry::bootstrap`] should
/// have come to its end.
///
/// # Errors
/// If another process uses the directory, or a file is damaged.
pub(crate) async fn open(
    dir: &Path,
    options: Options,
    membership: Membership,
    peers: Arc<dyn Peers>,
) -> Result<(Registry, Images)> {
    let within = || format!("in {}", dir.display());
    // The log goes first: it is locked, so that no other process's images are touched.
    let registry = registry::open(dir, options, membership).with_context(within)?;
    registry.call_webhooks_by(Arc::new(Webhooks::default()));
    let images = Images::open(&dir.join("images"), peers).await;
    let images = images.context("the image store cannot be opened").with_context(within)?;
    Ok((registry, images))
}
