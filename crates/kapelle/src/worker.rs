//! `kapelle worker`: a node that runs Pods.
//!
//! ```text
//! DIR/identity/     the node's certificate and key, and the cluster's authority
//! DIR/cluster.json  the masters and the range of the Services
//! DIR/node/         volumes, logs, images, and what the node last knew of the cluster
//! ```

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use api::{Cidr, core_v1::Node};
use clap::Args;
use rpc::{
    Client, Security,
    connections::ConnectionLimits,
    identity::{Identity, KeyPair, Shared, Subject, Token},
    services::{JoinRequest, Role},
};
use serde::{Deserialize, Serialize};

use crate::{
    group::{self, urls},
    logging,
    pki::RENEW_EVERY,
    process::{self, announce},
    ranges,
    ticket::Ticket,
};

/// The file with the [`Settings`].
const SETTINGS: &str = "cluster.json";

/// How long masters may take to say that they do not know this node, before it starts as what it was.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long masters may take to answer before a worker that has been here before is ready without them.
const ALONE_AFTER: Duration = Duration::from_secs(5);

/// Options of `kapelle worker`.
#[derive(Args, Debug)]
pub(crate) struct Worker {
    /// Where all state is kept
    #[arg(long, value_name = "DIR", default_value = "/var/lib/kapelle/worker")]
    data_dir: PathBuf,
    /// The node's name
    #[arg(long, value_name = "NAME")]
    node_name: String,
    /// Masters of the cluster, tried in turn
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', required = true)]
    join: Vec<String>,
    #[command(flatten)]
    ticket: Ticket,
    /// The address under which masters and other nodes reach this one [default: that of the way to the masters]
    #[arg(long, value_name = "ADDRESS")]
    address: Option<Ipv4Addr>,
    /// Where programs of this host reach whichever master answers, such as `kubectl --context kapelle-local`
    #[arg(long, default_value = group::LOCAL, value_name = "ADDRESS:PORT")]
    api_listen: SocketAddr,
}

/// What a worker remembers of its cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Settings {
    masters: Vec<String>,
    service_cidr: String,
    /// Empty if it joined before workers were told.
    #[serde(default)]
    pod_cidr: String,
}

impl Settings {
    /// Refuses a host that the cluster's ranges would cut off.
    async fn check_host(&self) -> Result<()> {
        let mut of_cluster = vec![("Services", self.service_cidr.parse()?)];
        of_cluster.extend(self.pods()?.map(|pods| ("Pods", pods)));
        ranges::check_host(&of_cluster).await
    }

    /// The range of the Pods, if it was told.
    fn pods(&self) -> Result<Option<Cidr>> {
        Ok(if self.pod_cidr.is_empty() { None } else { Some(self.pod_cidr.parse()?) })
    }

    fn store(&self, dir: &Path) -> Result<()> {
        process::write_whole(&dir.join(SETTINGS), &serde_json::to_string_pretty(self)?)
    }
}

impl Worker {
    pub(crate) fn run(self) -> Result<()> {
        logging::start();
        process::run(self.serve())
    }

    async fn serve(self) -> Result<()> {
        let dir = process::data_dir(&self.data_dir)?;
        let stop = process::stop_on_signal()?;
        let files = process::raise_file_limit();
        let host = self.host()?;
        let mut progress = cli::Progress::start(&format!("joining as {}", self.node_name));
        let (identity, settings) = self.identity(&dir, host).await?;
        settings.check_host().await?;
        let masters = self.masters(&settings);
        let shared = Shared::new(identity)?;
        let security = Security::Tls(shared.clone());
        let client = Client::connect_with(&masters, security.clone())?;
        tokio::spawn(renew(client.clone(), shared, dir.join("identity")));
        let config = agent::driver::Config {
            name: self.node_name.clone(),
            host,
            dir: dir.join("node"),
            pods: settings.pods()?,
            services: settings.service_cidr.parse()?,
            masters: client.clone(),
            security,
            file_images: false,
            allow_external: true,
            connections: ConnectionLimits::for_files(files),
        };
        tokio::spawn(group::pass_on(self.api_listen, client.clone()));
        let mut agent = tokio::spawn(agent::driver::run(config, stop.clone()));
        progress.say("waiting for the masters to take the node in");
        let node_dir = dir.join("node");
        let how = tokio::select! {
            known = known(&client, &self.node_name) => known.map(|()| "")?,
            () = alone(&node_dir) => "; no master answers, so it goes on with what it last knew",
            ended = &mut agent => return Ok(ended??),
        };
        progress.done("");
        announce!("ready: node {} at {host}{how}", self.node_name);
        tokio::spawn(group::learn(client.clone(), urls(&self.join), move |masters| {
            let known = Settings { masters, ..settings.clone() };
            let kept = known.store(&dir);
            async move { kept.unwrap_or_else(|error| tracing::warn!(%error, "cannot remember the masters")) }
        }));
        tokio::select! {
            ended = &mut agent => return Ok(ended??),
            () = stop.cancelled() => {}
        }
        if let Ok(ended) = tokio::time::timeout(process::STOP_WITHIN, agent).await {
            ended??;
        }
        Ok(())
    }

    /// The address from which packets to the masters leave.
    fn host(&self) -> Result<Ipv4Addr> {
        if let Some(address) = self.address {
            return Ok(address);
        }
        let way = || -> std::io::Result<SocketAddr> {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            // Nothing is sent: connecting only chooses the way.
            socket.connect(self.join.first().map_or("", String::as_str))?;
            socket.local_addr()
        };
        match way().with_context(|| format!("there is no way to the master {:?}", self.join))?.ip() {
            IpAddr::V4(address) => Ok(address),
            IpAddr::V6(address) => bail!("the way to the masters is {address}; give an IPv4 address with --address"),
        }
    }

    /// Those named now first, then those known from before.
    fn masters(&self, settings: &Settings) -> Vec<String> {
        let mut masters = urls(&self.join);
        for known in &settings.masters {
            if !masters.contains(known) {
                masters.push(known.clone());
            }
        }
        masters
    }

    /// The identity in the directory, or the one that the token gives.
    async fn identity(&self, dir: &Path, host: Ipv4Addr) -> Result<(Identity, Settings)> {
        if let Some((identity, known)) = self.kept(dir)? {
            if !self.ticket.is_given() || !self.is_forgotten(&identity, &known).await {
                return Ok((identity, known));
            }
            tracing::warn!("the masters do not know this node any more; it joins anew");
        }
        let Some(token) = self.ticket.read()? else {
            bail!(
                "this worker has not joined yet: give --token-file with what `kapelle token create --role worker` prints"
            );
        };
        self.join(dir, host, &token).await
    }

    /// Whether the masters refuse an identity for good. While none answers it is good enough.
    async fn is_forgotten(&self, identity: &Identity, known: &Settings) -> bool {
        let asked = async {
            let security = Security::Tls(Shared::new(identity.clone()).ok()?);
            let client = Client::connect_with(&self.masters(known), security).ok()?;
            client.get(&api::Key::cluster(api::Kind::Node, self.node_name.as_str())).await.err()
        };
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, asked).await;
        answer.ok().flatten().is_some_and(|error| rpc::status::revoked_by(&error).is_some())
    }

    /// What an earlier start has left in the directory.
    fn kept(&self, dir: &Path) -> Result<Option<(Identity, Settings)>> {
        let settings = dir.join(SETTINGS);
        if let Some(identity) = Identity::load(&dir.join("identity"))?
            && let Ok(text) = fs::read_to_string(&settings)
        {
            let is_own = matches!(identity.subject(), Subject::Node { name, .. } if *name == self.node_name);
            if !is_own {
                let (dir, owner) = (dir.display(), identity.subject());
                bail!("{dir} belongs to {owner}, not to the node {}; give another --data-dir", self.node_name);
            }
            let settings = serde_json::from_str(&text).with_context(|| format!("in {}", settings.display()))?;
            return Ok(Some((identity, settings)));
        }
        Ok(None)
    }

    async fn join(&self, dir: &Path, host: Ipv4Addr, token: &Token) -> Result<(Identity, Settings)> {
        let key = KeyPair::generate()?;
        let request = JoinRequest {
            role: Role::Worker.into(),
            node_name: self.node_name.clone(),
            certificate_request: key.request()?.into(),
            address: host.to_string(),
            ..JoinRequest::default()
        };
        let joined = rpc::join(&urls(&self.join), token, request).await.context("cannot join")?;
        let identity = Identity::new(&joined.certificate_chain, &key, &joined.authority)?;
        identity.store(&dir.join("identity"))?;
        let known = Settings { masters: joined.masters, service_cidr: joined.service_cidr, pod_cidr: joined.pod_cidr };
        known.store(dir)?;
        Ok((identity, known))
    }
}

/// Whether Pods can be placed on a node: it has a range of addresses, and says how many Pods that is.
pub(crate) fn takes_pods(node: &Node) -> bool {
    let allocatable = node.status.as_ref().and_then(|status| status.allocatable.get("pods"));
    let has_range = node.spec.as_ref().is_some_and(|spec| !spec.pod_cidr.is_empty());
    has_range && allocatable.is_some_and(|pods| pods.string != "0")
}

/// Waits until the cluster has given the node its addresses.
async fn known(client: &Client, name: &str) -> Result<()> {
    let key = api::Key::cluster(api::Kind::Node, name);
    loop {
        if let Ok(api::Object::Node(node)) = client.get(&key).await
            && takes_pods(&node)
        {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Ends when masters had time enough to answer, if the node knows enough to go on without them.
async fn alone(dir: &Path) {
    if agent::driver::remembers(dir) {
        tokio::time::sleep(ALONE_AFTER).await;
    } else {
        std::future::pending().await
    }
}

/// Asks for a new certificate long before the old one ends.
async fn renew(client: Client, identity: Arc<Shared>, dir: PathBuf) {
    loop {
        if identity.with(|identity| identity.is_due(std::time::SystemTime::now())) {
            match renewed(&client, &identity, &dir).await {
                Ok(()) => tracing::info!("the certificate was renewed"),
                Err(error) => tracing::error!(error = format!("{error:#}"), "the certificate cannot be renewed"),
            }
        }
        tokio::time::sleep(RENEW_EVERY).await;
    }
}

async fn renewed(client: &Client, identity: &Shared, dir: &Path) -> Result<()> {
    let key = KeyPair::generate()?;
    let chain = client.renew(key.request()?).await?;
    let authority = identity.with(|identity| identity.authority_pem().to_owned());
    let new = Identity::new(&chain, &key, &authority)?;
    new.store(dir)?;
    Ok(identity.replace(new)?)
}
