//! `kapelle dev`: the whole cluster in one process, on loopback, keeping its state in a directory.
//!
//! The parts are those of a real cluster and talk as they do there: the agent reaches the API server over gRPC with a node's
//! certificate, the controllers through the one door. Only the second machine is missing.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use api::{
    Cidr, Kind, conditions,
    core_v1::Node,
    kinds::core::service::kubernetes_address,
    well_known::{NOT_READY_TAINT, UNREACHABLE_TAINT},
};
use apiserver::{Aggregator, Setup};
use clap::Args;
use control::PodRange;
use futures::StreamExt as _;
use images::Alone;
use registry::{Membership, Options, QUOTA_BYTES, Registry};
use rpc::{Client, Security, connections::ConnectionLimits, identity::Subject};
use tokio::net::TcpListener;

use crate::{
    bridge::{self, Heard},
    clock::now,
    demo, desk, logging, neighbours,
    open::open,
    pki, process,
    process::announce,
    ranges,
    worker::takes_pods,
};

/// The name of the only node.
const NODE: &str = "dev";

/// The part of the Pod range that a node gets.
const NODE_PREFIX: u8 = 18;

/// The taints of a node that was not heard of.
const LOST: [&str; 2] = [UNREACHABLE_TAINT, NOT_READY_TAINT];

/// Options of `kapelle dev`.
#[derive(Args, Debug)]
pub(crate) struct Dev {
    /// Where all state is kept; a later start on the same directory carries on [default: ~/.kapelle]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the API is served; a loopback address, as those of Pods and Services are
    #[arg(long, default_value = "127.0.0.1:6443")]
    listen: SocketAddr,
    /// Apply a demo: three Pods that answer HTTP behind one address
    #[arg(long)]
    demo: bool,
    /// The addresses of Pods; within 127.0.0.0/8, so that nothing needs root
    #[arg(long, default_value = "127.64.0.0/10", value_name = "CIDR", value_parser = loopback)]
    pod_cidr: Cidr,
    /// The addresses of Services; within 127.0.0.0/8, so that nothing needs root
    #[arg(long, default_value = "127.128.0.0/12", value_name = "CIDR", value_parser = loopback)]
    service_cidr: Cidr,
}

/// Reads a range of addresses that needs no root.
fn loopback(text: &str) -> Result<Cidr> {
    let range: Cidr = text.parse()?;
    if !range.base().is_loopback() || !(8..=28).contains(&range.prefix()) {
        bail!("choose a range of /8 to /28 within 127.0.0.0/8; only these need no root");
    }
    Ok(range)
}

impl Dev {
    pub(crate) fn run(self) -> Result<()> {
        logging::start();
        if !self.listen.ip().is_loopback() {
            bail!(
                "--listen {}: `kapelle dev` is for this machine only; give a loopback address, or use `kapelle master`",
                self.listen
            );
        }
        process::run(self.serve())
    }

    async fn serve(self) -> Result<()> {
        ranges::check(self.pod_cidr, self.service_cidr)?;
        let dir = process::data_dir(&self.data_dir.clone().unwrap_or_else(cli::default_data_dir))?;
        let stop = process::stop_on_signal()?;
        let connections = ConnectionLimits::for_files(process::raise_file_limit());
        let mut progress = cli::Progress::start(&format!("opening {}", dir.display()));
        let options = Options { service_cidr: self.service_cidr, quota_bytes: QUOTA_BYTES, now };
        let (registry, images) = open(&dir, options, Membership::default(), Arc::new(Alone)).await?;
        let _claim = neighbours::claim(&[self.pod_cidr, self.service_cidr])?;
        registry.bootstrap().await?;
        let listener = TcpListener::bind(self.listen).await;
        let listener = listener
            .with_context(|| format!("cannot listen on {}; choose another address with --listen", self.listen))?;
        let listen = listener.local_addr()?;
        let authority = Arc::new(pki::authority(&dir)?);
        let hosts = pki::hosts(listen.ip(), self.service_cidr, &[]);
        let member = Subject::Master { member: registry.group().borrow().member.0 };
        let identity = pki::identity(&authority, member, hosts.clone())?;
        registry.introduce(identity.clone());
        registry.sign_by(&authority)?;
        let (own, token) = (identity.clone(), desk::token(&dir)?);
        let (registered, bearers) = (registry.clone(), desk::bearers(&token));
        let aggregator = Aggregator::new(&registry, authority.clone());
        let backends = aggregator.answers();
        let entrance = None;
        let setup = Setup { registry: registered, aggregator, images, identity, bearers, hosts, entrance, connections };
        let server = tokio::spawn(apiserver::serve(listener, setup, stop.clone()));
        let served = cli::Served { masters: vec![format!("https://{listen}")], local: None };
        let admin = desk::administrator(&authority)?;
        let config = cli::kubeconfig_with(&served, cli::User { identity: &admin, token: Some(&token) });
        process::write_whole(&dir.join("kubeconfig"), &config)?;
        progress.say("starting the controllers and the node");
        let config = control::Config {
            pods: self.pods()?,
            authority: authority.certificate_pem().to_owned(),
            kubernetes: kubernetes_address(self.service_cidr),
        };
        bridge::start(registry.clone(), config, Heard { own: listen, backends }, authority.clone())?;
        let uid = registry.ensure_node(NODE, Ipv4Addr::LOCALHOST).await?;
        let node = pki::identity(&authority, Subject::Node { name: NODE.to_owned(), uid }, Vec::new())?;
        let node = self.node(&dir, listen, Security::Tls(node), connections)?;
        let mut agent = tokio::spawn(agent::driver::run(node, stop.clone()));
        tokio::select! {
            ready = node_ready(&registry, self.pod_cidr) => ready?,
            // An agent that ends before the node is ready has failed.
            ended = &mut agent => return ended?.map_err(Into::into),
            () = stop.cancelled() => return Ok(()),
        }
        progress.done("");
        announce!("ready: Kapelle {} serves https://{listen}", crate::version::VERSION);
        tokio::select! {
            () = stop.cancelled() => {}
            told = self.tell(&dir, listen, Security::Tls(own)) => {
                told?;
                stop.cancelled().await;
            }
        }
        let ended = async { tokio::join!(agent, server) };
        if tokio::time::timeout(process::STOP_WITHIN, ended).await.is_err() {
            tracing::warn!("some parts did not stop in time");
        }
        registry.shutdown().await;
        Ok(())
    }

    /// Says what can be done now, and starts the demo if it is wanted.
    async fn tell(&self, dir: &Path, listen: SocketAddr, security: Security) -> Result<()> {
        let config = dir.join("kubeconfig");
        let config = config.display();
        announce!("  kubeconfig  {config}");
        if self.demo {
            let url = demo::start(client(listen, security)?).await?;
            announce!("  url         {url}");
            announce!("\nTry:");
            announce!("  curl {url}");
            announce!("  kubectl --kubeconfig {config} get pods -o wide");
            announce!("  kubectl --kubeconfig {config} scale deployment/hello --replicas=5");
        } else {
            announce!("\nTry:");
            announce!("  kapelle push MODULE.wasm hello:v1 && kapelle run hello --image=hello:v1 --port=8080");
            announce!("  kubectl --kubeconfig {config} get all");
        }
        Ok(())
    }

    /// Each node gets a /18, or a quarter of a smaller range.
    fn pods(&self) -> Result<PodRange> {
        let Self { pod_cidr, .. } = self;
        let part = pod_cidr.prefix().saturating_add(2).max(NODE_PREFIX);
        Ok(PodRange::new(pod_cidr.base(), pod_cidr.prefix(), part.min(30))?)
    }

    fn node(
        &self,
        dir: &Path,
        listen: SocketAddr,
        security: Security,
        connections: ConnectionLimits,
    ) -> Result<agent::driver::Config> {
        Ok(agent::driver::Config {
            name: NODE.to_owned(),
            host: Ipv4Addr::LOCALHOST,
            dir: dir.join("node"),
            pods: Some(self.pod_cidr),
            services: self.service_cidr,
            masters: client(listen, security.clone())?,
            security,
            file_images: true,
            allow_external: true,
            connections,
        })
    }
}

fn client(listen: SocketAddr, security: Security) -> Result<Client> {
    Ok(Client::connect_with(&[format!("https://{listen}")], security)?)
}

/// Waits until Pods can be placed on the node: it is ready and has a range of addresses.
async fn node_ready(registry: &Registry, pods: Cidr) -> Result<()> {
    let mut feed = Box::pin(registry.feed(&[Kind::Node]));
    while let Some(changes) = feed.next().await {
        for change in changes {
            let object = change.object.decoded();
            let Some(node) = object.get::<Node>() else { continue };
            check_range(node, pods)?;
            // What an earlier run left; a disk that is nearly full keeps nobody from looking around.
            let was_lost =
                node.spec.iter().flat_map(|spec| &spec.taints).any(|taint| LOST.contains(&taint.key.as_str()));
            let is_open = takes_pods(node) && !was_lost;
            let ready =
                node.status.as_ref().is_some_and(|status| conditions::is_true(&status.conditions, conditions::READY));
            if is_open && ready {
                return Ok(());
            }
        }
    }
    bail!("the cluster stopped before its node was ready")
}

/// Refuses another range of Pods than the one that the node got its part of.
fn check_range(node: &Node, pods: Cidr) -> Result<()> {
    let range = node.spec.as_ref().and_then(|spec| spec.pod_cidr.parse().ok());
    match range {
        Some(range) if !pods.covers(range) => bail!(
            "the cluster in this directory has its Pods in {range}, which is no part of --pod-cidr {pods}; give the range \
             that it was begun with, or another --data-dir"
        ),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_range_of_the_pods_stays_as_it_was_at_first() {
        let with = |range: &str| {
            let mut node = Node::default();
            range.clone_into(&mut node.spec.get_or_insert_default().pod_cidr);
            check_range(&node, "127.64.0.0/10".parse().unwrap())
        };
        assert!(with("").is_ok() && with("127.64.0.0/18").is_ok());
        assert!(with("127.32.0.0/18").unwrap_err().to_string().contains("--data-dir"));
    }

    #[test]
    fn ranges_must_be_loopback_and_aligned() {
        assert_eq!(loopback("127.64.0.0/10").unwrap().to_string(), "127.64.0.0/10");
        let error = |text: &str| loopback(text).unwrap_err().to_string();
        assert!(error("10.0.0.0/8").contains("within 127.0.0.0/8"));
        assert!(error("127.64.1.0/10").contains("not the first address"));
        assert!(error("127.64.0.0").contains("is not ADDRESS/PREFIX"));
    }
}
