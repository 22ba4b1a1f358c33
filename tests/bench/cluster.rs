//! A `kapelle dev` process to measure, and the little REST that it takes.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream, rustls::pki_types::ServerName};

/// The binary under measurement, built with optimisations.
pub(crate) const KAPELLE: &str = env!("CARGO_BIN_EXE_kapelle");

/// Where the API is served during measurements.
pub(crate) const LISTEN: &str = "127.0.0.1:26443";

/// How long anything may take before the run is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection to it.
pub(crate) type Line = TlsStream<TcpStream>;

/// A running cluster; dropping it kills the process and removes its directory.
pub(crate) struct Cluster {
    child: Child,
    dir: tempfile::TempDir,
    /// From the start of the process to its line `ready`.
    pub(crate) started_in: Duration,
}

impl Cluster {
    pub(crate) async fn start() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let start = Instant::now();
        let mut child = Command::new(KAPELLE)
            .args(["dev", "--listen", LISTEN, "--data-dir"])
            .arg(dir.path())
            .env_remove("RUST_BACKTRACE")
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = tokio::process::ChildStdout::from_std(child.stdout.take().context("piped")?)?;
        let mut lines = BufReader::new(stdout).lines();
        while let Some(line) = lines.next_line().await? {
            if line.starts_with("ready") {
                let started_in = start.elapsed();
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Ok(Self { child, dir, started_in });
            }
        }
        bail!("kapelle ended before it was ready")
    }

    /// Resident memory of the process, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    /// Stores a module as `name`.
    pub(crate) fn push(&self, module: &Path, name: &str) -> Result<()> {
        let mut command = Command::new(KAPELLE);
        command.arg("push").arg(module).arg(name).arg("--kubeconfig").arg(self.kubeconfig());
        let output = command.output()?;
        if !output.status.success() {
            bail!("push failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// One request on a connection of its own; answers the body.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        Self::call_on(self.connect().await?, method, path, body).await
    }

    /// One request; answers the body.
    pub(crate) async fn call_on(mut stream: Line, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: {LISTEN}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("not HTTP")?;
        if !head.contains(" 200 ") && !head.contains(" 201 ") {
            bail!("{method} {path}: {body}");
        }
        Ok(serde_json::from_str(body)?)
    }

    /// Watches one Deployment until so many replicas are ready.
    pub(crate) async fn until_ready(mut stream: Line, name: &str, replicas: i64) -> Result<()> {
        let path = format!(
            "/apis/apps/v1/namespaces/default/deployments?watch=true&resourceVersion=0&fieldSelector=metadata.name%3D{name}"
        );
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {LISTEN}\r\n\r\n").as_bytes()).await?;
        let mut lines = BufReader::new(stream).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await? {
                let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
                if event.pointer("/object/status/readyReplicas").and_then(Value::as_i64) == Some(replicas) {
                    return Ok(());
                }
            }
            bail!("the watch ended")
        };
        tokio::time::timeout(PATIENCE, ready)
            .await
            .with_context(|| format!("{name} did not get {replicas} ready replicas"))?
    }

    /// A connection as the kubeconfig's administrator.
    pub(crate) async fn connect(&self) -> Result<Line> {
        let config = kapelle_client::Config::from_kubeconfig(&self.kubeconfig(), None)?;
        let rpc::Security::Tls(identity) = config.security()? else {
            bail!("the kubeconfig has no identity");
        };
        let tcp = TcpStream::connect(LISTEN).await?;
        let name = ServerName::from(tcp.peer_addr()?.ip());
        Ok(TlsConnector::from(identity.client()).connect(name, tcp).await?)
    }

    fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A Deployment of the sample, as small as it can be.
pub(crate) fn deployment(name: &str, image: &str, replicas: i64) -> Value {
    let labels = serde_json::json!({"app": name});
    serde_json::json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "main", "image": image, "ports": [{"containerPort": 8080}]}]},
            },
        },
    })
}

/// Where Deployments are created.
pub(crate) const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
