//! `kapelle master`: one of the masters that agree on the cluster's state and serve it.
//!
//! ```text
//! DIR/log/          what the masters agreed on
//! DIR/images/       the registry's images
//! DIR/pki/          the cluster's authority, key included
//! DIR/cluster.json  the cluster, and this master's id if it joined
//! DIR/kubeconfig    for administrators
//! ```

use std::{
    convert::Infallible,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use api::{Cidr, kinds::core::service::kubernetes_address};
use apiserver::{Aggregator, Bearers, Entrance, LEAF_LIFE, Setup};
use clap::Args;
use control::PodRange;
use registry::{Begin, Masters, Membership, Options, QUOTA_BYTES, Registry};
use rpc::{
    Client, Security,
    connections::ConnectionLimits,
    identity::{Authority, KeyPair, Shared, Subject, Token},
    services::{JoinRequest, Role},
};
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, time::timeout};

use crate::{
    bridge::{self, Heard},
    clock::now,
    desk::Desk,
    group::{self, urls},
    logging,
    open::{Others, open},
    pki,
    process::{self, announce},
    ranges,
    ticket::Ticket,
};

/// The part of the Pod range that a node gets unless something else is asked for: Kubernetes' /24.
const NODE_PREFIX: u8 = 24;

/// How long to wait before the group is asked again.
const RETRY: Duration = Duration::from_millis(250);

/// How long another master may take to hear where this one is.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a master ends that does not belong to its group any more.
const REMOVED: &str = "this master was removed from its group; to come back it must join anew, with an empty directory";

/// Options of `kapelle master`.
#[derive(Args, Debug)]
pub(crate) struct Master {
    /// Where all state is kept
    #[arg(long, value_name = "DIR", default_value = "/var/lib/kapelle/master")]
    pub(crate) data_dir: PathBuf,
    /// Where the API is served, and where other masters and workers reach this one
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Masters of the cluster to join, tried in turn; without it an empty directory founds a cluster. A master that joined
    /// before needs it only if all of them have moved to other addresses
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    join: Vec<String>,
    #[command(flatten)]
    ticket: Ticket,
    /// Stay without a vote after joining
    #[arg(long, requires = "join")]
    learner: bool,
    /// The addresses of Pods, chosen at the founding
    #[arg(long, default_value = "10.244.0.0/16", value_name = "CIDR", conflicts_with = "join")]
    pod_cidr: Cidr,
    /// The addresses of Services, chosen at the founding
    #[arg(long, default_value = "10.96.0.0/12", value_name = "CIDR", conflicts_with = "join")]
    service_cidr: Cidr,
    /// The part of the Pods' addresses that each node gets, as a prefix length: a node takes as many Pods as it has addresses
    /// in it, at most 10,000; chosen at the founding [default: 24, or a quarter of a smaller range]
    #[arg(long, value_name = "BITS", conflicts_with = "join")]
    node_cidr_mask_size: Option<u8>,
    /// Further names or addresses under which clients reach this master, for its certificate
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// How many bytes all objects may take
    #[arg(long, default_value_t = QUOTA_BYTES, value_name = "BYTES")]
    quota_bytes: usize,
}

/// What a master remembers of its cluster beside the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Settings {
    pub(crate) pod_cidr: String,
    pub(crate) service_cidr: String,
    /// The prefix length of each node's part of the Pods' range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) node_prefix: Option<u8>,
    /// The cluster and the id that a joining master was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) joined: Option<Joined>,
}

/// Who a joining master is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Joined {
    cluster: String,
    member: String,
}

impl Settings {
    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join("cluster.json")
    }

    pub(crate) fn load(dir: &Path) -> Result<Option<Self>> {
        let path = Self::path(dir);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(serde_json::from_str(&text).with_context(|| format!("in {}", path.display()))?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    pub(crate) fn store(&self, dir: &Path) -> Result<()> {
        process::write_whole(&Self::path(dir), &serde_json::to_string_pretty(self)?)
    }

    fn node_prefix(&self) -> Result<u8> {
        Ok(self.node_prefix.unwrap_or(node_prefix(self.pod_cidr.parse()?)))
    }

    fn begin(&self) -> Result<Begin> {
        let Some(joined) = &self.joined else { return Ok(Begin::Found) };
        let broken = "cluster.json does not say who this master is";
        Ok(Begin::Join {
            cluster: registry::cluster_id(&joined.cluster).context(broken)?,
            member: registry::member_id(&joined.member).context(broken)?,
        })
    }
}

impl Master {
    pub(crate) fn run(self) -> Result<()> {
        logging::start();
        if self.listen.ip().is_unspecified() {
            bail!(
                "--listen {}: give the address under which others reach this master, such as 10.0.0.1:6443",
                self.listen
            );
        }
        process::run(self.serve())
    }

    async fn serve(self) -> Result<()> {
        let dir = process::data_dir(&self.data_dir)?;
        let stop = process::stop_on_signal()?;
        let connections = ConnectionLimits::for_files(process::raise_file_limit());
        let listener = TcpListener::bind(self.listen).await;
        let listener = listener.with_context(|| format!("cannot listen on {}", self.listen))?;
        let listen = listener.local_addr()?;
        let contact = listen.to_string();
        let mut progress = cli::Progress::start(&format!("opening {}", dir.display()));
        let settings = self.settings(&dir).await?;
        ranges::check(settings.pod_cidr.parse()?, settings.service_cidr.parse()?)?;
        let authority = Authority::load(&dir.join("pki"))?.context("the cluster's authority is not in DIR/pki")?;
        let authority = Arc::new(authority);

        let masters = Masters::default();
        let options = Options { service_cidr: settings.service_cidr.parse()?, quota_bytes: self.quota_bytes, now };
        let membership =
            Membership { begin: settings.begin()?, contact: contact.clone(), dial: Some(Arc::new(masters.clone())) };
        let (registry, images) = open(&dir, options, membership, Arc::new(Others(masters.clone()))).await?;
        let subject = Subject::Master { member: registry.group().borrow().member.0 };
        let hosts = pki::hosts(self.listen.ip(), options.service_cidr, &self.host);
        let identity = pki::identity(&authority, subject, hosts.clone())?;
        masters.introduce(identity.clone(), registry.group());
        registry.introduce(identity.clone());
        registry.sign_by(&authority)?;
        let entrance = Entrance {
            authority: authority.clone(),
            masters: masters.clone(),
            pod_cidr: settings.pod_cidr.parse()?,
            node_prefix: settings.node_prefix()?,
            service_cidr: options.service_cidr,
            leaf_life: LEAF_LIFE,
        };
        let aggregator = Aggregator::new(&registry, authority.clone());
        let backends = aggregator.answers();
        let setup = Setup {
            registry: registry.clone(),
            aggregator,
            images,
            identity: identity.clone(),
            bearers: Bearers::default(),
            hosts: hosts.clone(),
            entrance: Some(entrance.clone()),
            connections,
        };
        let server = tokio::spawn(apiserver::serve(listener, setup, stop.clone()));
        let hearing = registry.clone();
        tokio::spawn(async move { hearing.hear_masters().await });
        let pods = PodRange::new(entrance.pod_cidr.base(), entrance.pod_cidr.prefix(), entrance.node_prefix)?;
        let published = authority.certificate_pem().to_owned();
        let kubernetes = kubernetes_address(options.service_cidr);
        let config = control::Config { pods, authority: published, kubernetes };
        bridge::start(registry.clone(), config, Heard { own: listen, backends }, authority.clone())?;

        progress.say("waiting for the group of masters");
        tokio::select! {
            ready = self.take_part(&registry, &settings, &identity, &contact) => ready?,
            () = group::removed(&registry, &masters) => bail!(REMOVED),
            () = stop.cancelled() => return end(&registry, server).await,
        }
        Desk::new(&dir, &authority, listen)?.open(&registry, masters.clone(), identity)?;
        progress.done("");
        self.tell(&dir, &contact, &registry, &settings);
        let outcome = self.watch_over(&registry, &masters, &stop).await;
        // Whoever was removed still answers what it was asked.
        stop.cancel();
        end(&registry, server).await?;
        outcome
    }

    /// Waits for a signal, or for the group to remove this master.
    async fn watch_over(
        &self,
        registry: &Registry,
        masters: &Masters,
        stop: &tokio_util::sync::CancellationToken,
    ) -> Result<()> {
        let mut group = registry.group();
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            _ = group.wait_for(registry::is_over) => bail!(REMOVED),
            () = group::removed(registry, masters) => bail!(REMOVED),
        }
    }

    /// What the directory says, or what founding or joining gives.
    async fn settings(&self, dir: &Path) -> Result<Settings> {
        if let Some(settings) = Settings::load(dir)? {
            if self.ticket.is_given() {
                tracing::info!("this master belongs to a cluster already; the token is not needed any more");
            }
            return Ok(settings);
        }
        let settings = match (self.ticket.read()?, self.join.is_empty()) {
            (Some(token), false) => self.enter(dir, &token).await?,
            (None, true) => self.found(dir)?,
            (Some(_), true) => bail!("a token is of no use without --join HOST:PORT of a master"),
            (None, false) => bail!(
                "this master has not joined yet: give --token-file with what `kapelle token create --role master` prints"
            ),
        };
        settings.store(dir)?;
        Ok(settings)
    }

    fn found(&self, dir: &Path) -> Result<Settings> {
        ranges::check(self.pod_cidr, self.service_cidr)?;
        let node_prefix = self.node_cidr_mask_size.unwrap_or_else(|| node_prefix(self.pod_cidr));
        ranges::check_part(self.pod_cidr, node_prefix)?;
        pki::authority(dir)?;
        Ok(Settings {
            pod_cidr: self.pod_cidr.to_string(),
            service_cidr: self.service_cidr.to_string(),
            node_prefix: Some(node_prefix),
            joined: None,
        })
    }

    async fn enter(&self, dir: &Path, token: &Token) -> Result<Settings> {
        if dir.join("log").exists() {
            bail!(
                "{} holds the log of another master; give an empty directory to join, or start without --join",
                dir.display()
            );
        }
        let key = KeyPair::generate()?;
        let request = JoinRequest {
            role: Role::Master.into(),
            certificate_request: key.request()?.into(),
            ..JoinRequest::default()
        };
        let joined = rpc::join(&urls(&self.join), token, request).await.context("cannot join")?;
        Authority::from_pem(&joined.authority, &joined.authority_key)?.store(&dir.join("pki"))?;
        Ok(Settings {
            pod_cidr: joined.pod_cidr,
            service_cidr: joined.service_cidr,
            // A master of an earlier version does not say.
            node_prefix: u8::try_from(joined.node_prefix).ok().filter(|prefix| *prefix != 0),
            joined: Some(Joined { cluster: joined.cluster_id, member: format!("{:016x}", joined.member_id) }),
        })
    }

    /// Until this master is known to the group where it is reached, knows what the group knows, and has its vote.
    async fn take_part(
        &self,
        registry: &Registry,
        settings: &Settings,
        identity: &Arc<Shared>,
        contact: &str,
    ) -> Result<()> {
        let member = registry.group().borrow().member;
        let is_new = settings.joined.is_some() && !registry.group().borrow().members.contains(member);
        if is_new {
            let client = Client::connect_with(&urls(&self.join), Security::Tls(identity.clone()))?;
            retried("being admitted", || client.admit(contact)).await?;
            if !self.learner {
                retried("catching up", || client.promote(member.0)).await?;
            }
        }
        tokio::select! {
            begun = registry.bootstrap() => begun?,
            never = self.introduce_anew(identity, contact), if !self.join.is_empty() => match never? {},
        }
        retried("telling the others the address", || registry.reached_at(contact)).await?;
        Ok(())
    }

    /// Tells the masters that were named where this one is, again and again: it was started elsewhere than before, and so
    /// perhaps were they, so that nobody finds anybody where the group says.
    async fn introduce_anew(&self, identity: &Arc<Shared>, contact: &str) -> Result<Infallible> {
        let calls =
            urls(&self.join).into_iter().map(|url| Client::connect_with(&[url], Security::Tls(identity.clone())));
        let clients = calls.collect::<Result<Vec<_>, _>>()?;
        loop {
            for client in &clients {
                if let Ok(Err(error)) = timeout(ANSWER_TIMEOUT, client.admit(contact)).await {
                    tracing::debug!(%error, "another master does not know yet where this one is");
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    fn tell(&self, dir: &Path, contact: &str, registry: &Registry, settings: &Settings) {
        let config = dir.join("kubeconfig");
        let config = config.display();
        let member = registry.group().borrow().member;
        announce!("ready: master {member} serves https://{contact}");
        announce!("  kubeconfig  {config}");
        if settings.joined.is_some() {
            return;
        }
        announce!("\nTo let another master join:");
        announce!("  kapelle token create --role master --kubeconfig {config}");
        announce!("  kapelle master --data-dir DIR --listen ADDRESS:PORT --join {contact} --token TOKEN");
        announce!("To let a worker join:");
        announce!("  kapelle token create --role worker --kubeconfig {config}");
        announce!("  kapelle worker --data-dir DIR --node-name NAME --join {contact} --token TOKEN");
    }
}

/// Each node gets a /24, or a quarter of a smaller range.
fn node_prefix(pods: Cidr) -> u8 {
    NODE_PREFIX.max(pods.prefix().saturating_add(2)).min(ranges::NODE_PREFIX_MAX)
}

/// Asks again while the group is busy, has no leader, or this master has not caught up.
async fn retried<F: Future<Output = Result<(), api::Error>>>(what: &str, mut ask: impl FnMut() -> F) -> Result<()> {
    loop {
        match ask().await {
            Ok(()) => return Ok(()),
            Err(error) if error.reason.retryable() || error.reason == api::Reason::Conflict => {
                tracing::debug!(%error, "{what}");
                tokio::time::sleep(RETRY).await;
            }
            Err(error) => return Err(error).context(what.to_owned()),
        }
    }
}

/// Lets another master lead and requests end, then closes the log.
async fn end(registry: &Registry, server: tokio::task::JoinHandle<std::io::Result<()>>) -> Result<()> {
    registry.close_watches();
    registry.hand_over().await;
    if tokio::time::timeout(process::STOP_WITHIN, server).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    registry.shutdown().await;
    Ok(())
}
