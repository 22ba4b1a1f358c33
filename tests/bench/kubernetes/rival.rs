//! Who is measured: one Kapelle master, or one kube-apiserver with one etcd, on loopback and on one disk.

use std::{
    ffi::OsString,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use hyper::Method;
use rpc::identity::{Authority, Identity, Subject};
use tokio_rustls::rustls::ClientConfig;

use crate::{
    client::{Ask, Client},
    identity::{Files, issue, tls},
    members::{self, LOOK_EVERY, Members, PATIENCE, flags, ports},
    objects,
    server::Server,
};

/// Running servers that are one API. Dropping them kills them and removes what they stored.
pub(crate) struct Rival {
    pub(crate) name: &'static str,
    servers: Vec<Server>,
    at: SocketAddr,
    tls: Arc<ClientConfig>,
    _dir: tempfile::TempDir,
}

impl Rival {
    /// Everything is stored below the build's directory, since temporary directories are often in memory.
    pub(crate) async fn kapelle() -> Result<Self> {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let Members { servers, urls } = members::kapelle(Path::new(members::KAPELLE), dir.path(), 1)?;
        let at = urls[0].trim_start_matches("https://").parse()?;
        let administrator = members::administrator(dir.path())?;
        Self::ready("kapelle", servers, at, &administrator, dir).await
    }

    pub(crate) async fn upstream(program: &Path, etcd: &Path) -> Result<Self> {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let authority = Authority::found("kubernetes")?;
        let own = issue(&authority, &Subject::Master { member: 1 }, &["127.0.0.1".to_owned()])?;
        let files = Files::write(dir.path(), &own)?;
        let Members { mut servers, urls } = members::etcd(dir.path(), etcd, 1, &files)?;
        let at = SocketAddr::from(([127, 0, 0, 1], ports(1)?[0]));
        let arguments = kube_apiserver(at, &urls[0], &files, dir.path());
        let mut server = Server::new(program.to_owned(), arguments, dir.path().join("kube-apiserver.log"));
        server.start().with_context(|| program.display().to_string())?;
        servers.push(server);
        let administrator = issue(&authority, &Subject::Admin { name: "measurement".to_owned() }, &[])?;
        Self::ready("kube-apiserver", servers, at, &administrator, dir).await
    }

    /// Waits until the API says that it is ready, and makes what the scenes write into.
    async fn ready(
        name: &'static str,
        servers: Vec<Server>,
        at: SocketAddr,
        administrator: &Identity,
        dir: tempfile::TempDir,
    ) -> Result<Self> {
        let tls = Arc::new(tls(administrator, b"http/1.1")?);
        let mut rival = Self { name, servers, at, tls, _dir: dir };
        let until = Instant::now() + PATIENCE;
        while let Err(error) = rival.is_ready().await {
            rival.servers.iter_mut().try_for_each(Server::lives)?;
            if Instant::now() > until {
                return Err(error.context(format!("{name} does not get ready")));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let mut client = rival.client().await?;
        for namespace in objects::NAMESPACES {
            client.send(Ask::new(Method::POST, objects::NAMESPACES_PATH).json(objects::namespace(namespace))).await?;
        }
        Ok(rival)
    }

    async fn is_ready(&self) -> Result<()> {
        self.client().await?.send(Ask::new(Method::GET, "/readyz")).await.map(drop)
    }

    /// A connection of its own, as an administrator.
    pub(crate) async fn client(&self) -> Result<Client> {
        Client::connect(self.at, self.tls.clone()).await
    }

    /// So many connections.
    pub(crate) async fn clients(&self, count: usize) -> Result<Vec<Client>> {
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            clients.push(self.client().await?);
        }
        Ok(clients)
    }

    /// Processor time of all its processes.
    pub(crate) fn cpu(&self) -> Duration {
        self.servers.iter().map(Server::cpu).sum()
    }

    /// Resident memory of all its processes, in MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        self.servers.iter().map(|server| server.memory_mib("VmRSS")).sum()
    }

    /// The most memory that was resident since [`Self::forget_peak`], in MiB.
    pub(crate) fn peak_mib(&self) -> f64 {
        self.servers.iter().map(|server| server.memory_mib("VmHWM")).sum()
    }

    /// From now on peaks are measured anew: that is what the kernel does with a 5.
    pub(crate) fn forget_peak(&self) -> Result<()> {
        for path in self.servers.iter().filter_map(|server| server.proc("clear_refs")) {
            std::fs::write(&path, "5").with_context(|| path.display().to_string())?;
        }
        Ok(())
    }
}

/// kube-apiserver as it is by default. It trusts the same authority as its etcd, and signs ServiceAccounts' tokens, which
/// nobody asks for here, with its own key. There are no endpoints of its own to keep, as it runs alone.
fn kube_apiserver(at: SocketAddr, etcd: &str, files: &Files, dir: &Path) -> Vec<OsString> {
    let (ip, port, certificates) = (at.ip().to_string(), at.port().to_string(), dir.join("certificates"));
    flags(&[
        ("--bind-address", &ip),
        ("--advertise-address", &ip),
        ("--secure-port", &port),
        ("--cert-dir", &certificates),
        ("--tls-cert-file", &files.chain),
        ("--tls-private-key-file", &files.key),
        ("--client-ca-file", &files.authority),
        ("--etcd-servers", &etcd),
        ("--etcd-cafile", &files.authority),
        ("--etcd-certfile", &files.chain),
        ("--etcd-keyfile", &files.key),
        ("--authorization-mode", &"RBAC"),
        ("--endpoint-reconciler-type", &"none"),
        ("--service-cluster-ip-range", &"10.0.0.0/24"),
        ("--service-account-issuer", &"https://kubernetes.default.svc"),
        ("--service-account-key-file", &files.chain),
        ("--service-account-signing-key-file", &files.key),
    ])
}
