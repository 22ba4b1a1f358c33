//! The command lines of those who keep state, as members of one group on loopback.

use std::{
    ffi::{OsStr, OsString},
    net::TcpListener,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rpc::identity::{Authority, Identity, Subject};

use crate::{
    identity::{Files, issue},
    server::Server,
};

/// The binary under measurement, built with optimisations.
pub(crate) const KAPELLE: &str = env!("CARGO_BIN_EXE_kapelle");

/// How long anything may take before the run is given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// How often a condition is looked at.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What everybody may store: more than any scene does.
const QUOTA_BYTES: u64 = 8 << 30;

/// Servers that have been started, and where each is called.
pub(crate) struct Members {
    pub(crate) servers: Vec<Server>,
    pub(crate) urls: Vec<String>,
}

/// Ports that were free a moment ago, and differ.
pub(crate) fn ports(count: usize) -> Result<Vec<u16>> {
    let taken: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    Ok(taken.iter().map(|listener| listener.local_addr().map(|at| at.port())).collect::<Result<_, _>>()?)
}

/// Flags and their values as arguments.
pub(crate) fn flags(pairs: &[(&str, &dyn AsRef<OsStr>)]) -> Vec<OsString> {
    pairs.iter().flat_map(|(flag, value)| [OsString::from(flag), OsStr::to_owned(value.as_ref())]).collect()
}

/// Kapelle's masters: the first founds, the others join with tokens. Each is ready.
pub(crate) fn kapelle(program: &Path, dir: &Path, count: usize) -> Result<Members> {
    let contacts: Vec<String> = ports(count)?.into_iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let mut servers = Vec::new();
    for (index, contact) in contacts.iter().enumerate() {
        let (data, quota) = (dir.join(format!("m{index}")), QUOTA_BYTES.to_string());
        let mut arguments = vec!["master".into()];
        arguments.extend(flags(&[("--listen", contact), ("--quota-bytes", &quota), ("--data-dir", &data)]));
        if index > 0 {
            arguments.extend(flags(&[("--join", &contacts[0]), ("--token", &token(program, dir)?)]));
        }
        let mut server = Server::new(program.into(), arguments, dir.join(format!("m{index}.log")));
        server.start()?;
        let until = Instant::now() + PATIENCE;
        while !server.has_said("ready") {
            server.lives()?;
            ensure!(Instant::now() < until, "master {index} is not ready");
            std::thread::sleep(LOOK_EVERY);
        }
        servers.push(server);
    }
    Ok(Members { servers, urls: contacts.iter().map(|contact| format!("https://{contact}")).collect() })
}

fn token(program: &Path, dir: &Path) -> Result<String> {
    let mut create = Command::new(program);
    create.args(["token", "create", "--role", "master", "--kubeconfig"]).arg(dir.join("m0/kubeconfig"));
    Ok(String::from_utf8(create.output()?.stdout)?.trim().to_owned())
}

/// An administrator of the masters that were started there.
pub(crate) fn administrator(dir: &Path) -> Result<Identity> {
    let authority = Authority::load(&dir.join("m0/pki"))?.context("a master has its authority's key")?;
    issue(&authority, &Subject::Admin { name: "measurement".to_owned() }, &[])
}

/// Members of etcd that know each other from the start, with mutual TLS everywhere, as masters have it.
pub(crate) fn etcd(dir: &Path, program: &Path, count: usize, files: &Files) -> Result<Members> {
    let url = |port: &u16| format!("https://127.0.0.1:{port}");
    let ports = ports(2 * count)?;
    let (clients, peers) = ports.split_at(count);
    let cluster: Vec<String> =
        peers.iter().enumerate().map(|(index, port)| format!("m{index}={}", url(port))).collect();
    let (cluster, quota) = (cluster.join(","), QUOTA_BYTES.to_string());
    let mut servers = Vec::new();
    for index in 0..count {
        let (name, data) = (format!("m{index}"), dir.join(format!("m{index}")));
        let (client, peer) = (url(&clients[index]), url(&peers[index]));
        let mut arguments = flags(&[
            ("--name", &name),
            ("--data-dir", &data),
            ("--quota-backend-bytes", &quota),
            ("--initial-cluster", &cluster),
            ("--listen-client-urls", &client),
            ("--advertise-client-urls", &client),
            ("--listen-peer-urls", &peer),
            ("--initial-advertise-peer-urls", &peer),
            ("--cert-file", &files.chain),
            ("--key-file", &files.key),
            ("--trusted-ca-file", &files.authority),
            ("--peer-cert-file", &files.chain),
            ("--peer-key-file", &files.key),
            ("--peer-trusted-ca-file", &files.authority),
        ]);
        arguments.extend(["--client-cert-auth".into(), "--peer-client-cert-auth".into()]);
        let mut server = Server::new(program.to_owned(), arguments, dir.join(format!("m{index}.log")));
        server.start().with_context(|| program.display().to_string())?;
        servers.push(server);
    }
    Ok(Members { servers, urls: clients.iter().map(url).collect() })
}
