//! Requests per second through a Service's address, against `wasmtime serve` and a bare server.

use std::{
    env,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::{
    BARE,
    cluster::{Cluster, DEPLOYMENTS, deployment},
    figures::median,
    load::{self, Load, Outcome},
    starting,
};

const CONNECTIONS: usize = 64;
const ROUNDS: usize = 3;
const EACH: Duration = Duration::from_secs(4);
const WARM_UP: Duration = Duration::from_secs(1);

/// What `wasmtime serve` needs to keep its instances' memory warm between requests.
const TUNED: [&str; 4] = [
    "-Opooling-allocator=y",
    "-Opooling-memory-keep-resident=2097152",
    "-Opooling-table-keep-resident=65536",
    "-Opooling-async-stack-keep-resident=65536",
];

struct Rival {
    name: &'static str,
    target: SocketAddr,
    process: Option<Child>,
    outcomes: Vec<Outcome>,
}

impl Drop for Rival {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Measures everybody in turn, round after round, and prints medians and ratios.
pub(crate) async fn requests() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.push(&starting::sample(), "hello-http:v1")?;
    let mut rivals = vec![kapelle(&cluster).await?, bare()?];
    match env::var_os("WASMTIME") {
        Some(wasmtime) => {
            rivals.push(wasmtime_serve(Path::new(&wasmtime), "wasmtime serve, defaults", 28081, &[])?);
            rivals.push(wasmtime_serve(Path::new(&wasmtime), "wasmtime serve, tuned", 28082, &TUNED)?);
        }
        None => println!("wasmtime serve: left out; set WASMTIME to the binary of version 48"),
    }
    for rival in &rivals {
        reachable(rival).await?;
    }
    for round in 0..=ROUNDS {
        for rival in &mut rivals {
            let duration = if round == 0 { WARM_UP } else { EACH };
            let outcome = load::run(Load { target: rival.target, connections: CONNECTIONS, duration }).await;
            if round > 0 {
                rival.outcomes.push(outcome);
            }
        }
    }
    report(&rivals);
    Ok(())
}

fn report(rivals: &[Rival]) {
    let of = |rival: &Rival, figure: fn(&Outcome) -> f64| median(rival.outcomes.iter().map(figure).collect());
    let ours = of(&rivals[0], |outcome| outcome.per_second);
    println!("{CONNECTIONS} kept-alive connections, {ROUNDS} rounds of {} s in turn; medians:", EACH.as_secs());
    for rival in rivals {
        let rate = of(rival, |outcome| outcome.per_second);
        let p50 = of(rival, |outcome| outcome.p50.as_secs_f64() * 1e3);
        let p99 = of(rival, |outcome| outcome.p99.as_secs_f64() * 1e3);
        let failed: u64 = rival.outcomes.iter().map(|outcome| outcome.failed).sum();
        let ratio = ours / rate;
        println!(
            "  {:26} {rate:8.0} req/s  p50 {p50:6.2} ms  p99 {p99:6.2} ms  failed {failed}  kapelle is {ratio:.2} ×",
            rival.name
        );
    }
}

async fn kapelle(cluster: &Cluster) -> Result<Rival> {
    cluster.call("POST", DEPLOYMENTS, Some(&deployment("hello", "hello-http:v1", 3))).await?;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "hello"},
        "spec": {"selector": {"app": "hello"}, "ports": [{"port": 8080}]},
    });
    let service = cluster.call("POST", "/api/v1/namespaces/default/services", Some(&service)).await?;
    let address = service.pointer("/spec/clusterIP").and_then(Value::as_str).context("no clusterIP")?;
    Cluster::until_ready(cluster.connect().await?, "hello", 3).await?;
    Ok(Rival {
        name: "kapelle, Service of 3 Pods",
        target: format!("{address}:8080").parse()?,
        process: None,
        outcomes: Vec::new(),
    })
}

fn bare() -> Result<Rival> {
    let target: SocketAddr = "127.0.0.1:28080".parse()?;
    let process = Command::new(env::current_exe()?).arg(BARE).arg(target.to_string()).spawn()?;
    Ok(Rival { name: "bare hyper", target, process: Some(process), outcomes: Vec::new() })
}

fn wasmtime_serve(wasmtime: &Path, name: &'static str, port: u16, flags: &[&str]) -> Result<Rival> {
    let target = SocketAddr::from(([127, 0, 0, 1], port));
    let process = Command::new(wasmtime)
        .arg("serve")
        .args(["-Scli", "--addr", &target.to_string()])
        .args(flags)
        .arg(starting::sample())
        .env_remove("RUST_BACKTRACE")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(Rival { name, target, process: Some(process), outcomes: Vec::new() })
}

async fn reachable(rival: &Rival) -> Result<()> {
    for _ in 0..200 {
        if TcpStream::connect(rival.target).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("{} does not answer on {}", rival.name, rival.target)
}
