//! A group of servers, Kapelle's masters or etcd's members, on loopback and on one disk.

use std::{
    ffi::OsString,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rpc::{
    Security,
    identity::{Authority, Csr, Identity, KeyPair, Shared, Subject},
};

use crate::{door::Door, etcd, server::Server};

/// The binary under measurement, built with optimisations.
const KAPELLE: &str = env!("CARGO_BIN_EXE_kapelle");

/// How long anything may take before the run is given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What everybody may store: more than any scene does.
const QUOTA_BYTES: u64 = 8 << 30;

/// Who is measured.
#[derive(Clone, Debug)]
pub(crate) enum Brand {
    Kapelle,
    /// The binary.
    Etcd(PathBuf),
}

impl Brand {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Kapelle => "kapelle".to_owned(),
            Self::Etcd(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        }
    }
}

/// Which members clients call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The one that leads.
    Leader,
    /// Each connection another one.
    Spread,
    /// All of them, in turn until one answers.
    Any,
}

/// Running servers. Dropping the group kills them and removes what they stored.
pub(crate) struct Group {
    pub(crate) brand: Brand,
    pub(crate) members: Vec<Server>,
    urls: Vec<String>,
    identity: Arc<Shared>,
    _dir: tempfile::TempDir,
}

impl Group {
    /// Starts so many members and waits until they answer. Everything is stored below the build's directory, since
    /// temporary directories are often in memory.
    pub(crate) async fn start(brand: Brand, members: usize) -> Result<Self> {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let mut group = match &brand {
            Brand::Kapelle => kapelle(dir, members)?,
            Brand::Etcd(program) => etcd(dir, program, members)?,
        };
        for door in group.doors(members, Reach::Spread).await? {
            group.until_answered(&door).await?;
        }
        Ok(group)
    }

    pub(crate) fn name(&self) -> String {
        self.brand.name()
    }

    /// Asks until a linearizable read is answered.
    pub(crate) async fn until_answered(&mut self, door: &Door) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while let Err(error) = door.get(0).await {
            self.members.iter_mut().try_for_each(Server::lives)?;
            if Instant::now() > until {
                return Err(error.context(format!("{} does not answer", self.name())));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// So many connections.
    pub(crate) async fn doors(&self, count: usize, reach: Reach) -> Result<Vec<Door>> {
        let leader = match reach {
            Reach::Leader => self.leader().await?,
            Reach::Spread | Reach::Any => 0,
        };
        let urls = |number: usize| match reach {
            Reach::Leader => vec![self.urls[leader].clone()],
            Reach::Spread => vec![self.urls[number % self.urls.len()].clone()],
            Reach::Any => self.urls.clone(),
        };
        (0..count).map(|number| self.door(&urls(number))).collect()
    }

    fn door(&self, urls: &[String]) -> Result<Door> {
        Ok(match &self.brand {
            Brand::Kapelle => Door::Kapelle(rpc::Client::connect_with(urls, Security::Tls(self.identity.clone()))?),
            Brand::Etcd(_) => Door::Etcd(etcd::Client::connect(urls, &self.identity)?),
        })
    }

    /// Which member leads.
    pub(crate) async fn leader(&self) -> Result<usize> {
        let until = Instant::now() + PATIENCE;
        loop {
            for (index, url) in self.urls.iter().enumerate() {
                let door = self.door(std::slice::from_ref(url))?;
                if matches!(tokio::time::timeout(Duration::from_secs(1), door.leads()).await, Ok(Ok(true))) {
                    return Ok(index);
                }
            }
            if Instant::now() > until {
                bail!("{}: nobody leads", self.name());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Processor time of all members.
    pub(crate) fn cpu(&self) -> Duration {
        self.members.iter().map(Server::cpu).sum()
    }
}

/// Ports that were free a moment ago, and differ.
fn ports(count: usize) -> Result<Vec<u16>> {
    let taken: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    Ok(taken.iter().map(|listener| listener.local_addr().map(|at| at.port())).collect::<Result<_, _>>()?)
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// The first founds; the others join with tokens.
fn kapelle(dir: tempfile::TempDir, count: usize) -> Result<Group> {
    let contacts: Vec<String> = ports(count)?.into_iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let config = dir.path().join("m0/kubeconfig");
    let mut members = Vec::new();
    for (index, contact) in contacts.iter().enumerate() {
        let mut arguments = words(&["master", "--listen", contact, "--quota-bytes", &QUOTA_BYTES.to_string()]);
        arguments.extend(["--data-dir".into(), dir.path().join(format!("m{index}")).into_os_string()]);
        if index > 0 {
            let mut create = Command::new(KAPELLE);
            create.args(["token", "create", "--role", "master", "--kubeconfig"]).arg(&config);
            let token = String::from_utf8(create.output()?.stdout)?;
            arguments.extend(words(&["--join", &contacts[0], "--token", token.trim()]));
        }
        let mut server = Server::new(KAPELLE.into(), arguments, dir.path().join(format!("m{index}.log")));
        server.start()?;
        let until = Instant::now() + PATIENCE;
        while !server.has_said("ready") {
            server.lives()?;
            anyhow::ensure!(Instant::now() < until, "master {index} is not ready");
            std::thread::sleep(LOOK_EVERY);
        }
        members.push(server);
    }
    let authority = Authority::load(&dir.path().join("m0/pki"))?.context("a master has its authority's key")?;
    let identity = issue(&authority, &Subject::Admin { name: "measurement".to_owned() }, &[])?;
    let urls = contacts.iter().map(|contact| format!("https://{contact}")).collect();
    Ok(Group { brand: Brand::Kapelle, members, urls, identity: Shared::new(identity)?, _dir: dir })
}

fn issue(authority: &Authority, subject: &Subject, hosts: &[String]) -> Result<Identity> {
    let key = KeyPair::generate()?;
    let request = Csr::from_der(&key.request()?)?;
    let chain = authority.issue(&request, subject, hosts, Duration::from_secs(86_400))?;
    Ok(Identity::new(&chain, &key, authority.certificate_pem())?)
}

/// Members that know each other from the start, with the same kind of certificates that masters have.
fn etcd(dir: tempfile::TempDir, program: &Path, count: usize) -> Result<Group> {
    let identity = issue(&Authority::found("etcd")?, &Subject::Master { member: 1 }, &["127.0.0.1".to_owned()])?;
    let file = |name: &str, text: &str| -> Result<String> {
        let path = dir.path().join(name);
        fs::write(&path, text)?;
        Ok(path.display().to_string())
    };
    let key = file("key.pem", identity.key_pem())?;
    let chain = file("chain.pem", identity.chain_pem())?;
    let authority = file("authority.pem", identity.authority_pem())?;
    let url = |port: &u16| format!("https://127.0.0.1:{port}");
    let ports = ports(2 * count)?;
    let (clients, peers) = ports.split_at(count);
    let cluster: Vec<String> =
        peers.iter().enumerate().map(|(index, port)| format!("m{index}={}", url(port))).collect();
    let cluster = cluster.join(",");
    let mut members = Vec::new();
    for index in 0..count {
        let data = dir.path().join(format!("m{index}")).display().to_string();
        let (client, peer) = (url(&clients[index]), url(&peers[index]));
        let (name, quota) = (format!("m{index}"), QUOTA_BYTES.to_string());
        let arguments = [
            ("--name", &name),
            ("--data-dir", &data),
            ("--quota-backend-bytes", &quota),
            ("--initial-cluster", &cluster),
            ("--listen-client-urls", &client),
            ("--advertise-client-urls", &client),
            ("--listen-peer-urls", &peer),
            ("--initial-advertise-peer-urls", &peer),
            ("--cert-file", &chain),
            ("--key-file", &key),
            ("--trusted-ca-file", &authority),
            ("--peer-cert-file", &chain),
            ("--peer-key-file", &key),
            ("--peer-trusted-ca-file", &authority),
        ];
        let mut arguments: Vec<OsString> = arguments.iter().flat_map(|(flag, value)| words(&[flag, value])).collect();
        arguments.extend(words(&["--client-cert-auth", "--peer-client-cert-auth"]));
        let mut server = Server::new(program.to_owned(), arguments, dir.path().join(format!("m{index}.log")));
        server.start().with_context(|| program.display().to_string())?;
        members.push(server);
    }
    let urls = clients.iter().map(url).collect();
    Ok(Group { brand: Brand::Etcd(program.to_owned()), members, urls, identity: Shared::new(identity)?, _dir: dir })
}
