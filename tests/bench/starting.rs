//! How soon, and at what price: an idle cluster, three Pods, a thousand Pods.

use std::{path::Path, time::Instant};

use anyhow::Result;

use crate::{
    cluster::{Cluster, DEPLOYMENTS, deployment},
    figures::median,
};

/// How often each figure is taken.
const ROUNDS: usize = 20;

/// The sample that answers HTTP.
pub(crate) fn sample() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wasm-samples/prebuilt/hello-http.wasm")
}

/// Start-up time and idle memory of `kapelle dev`.
pub(crate) async fn idle() -> Result<()> {
    let (mut starts, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let cluster = Cluster::start().await?;
        starts.push(cluster.started_in.as_secs_f64() * 1e3);
        memory.push(cluster.resident_kib() as f64 / 1024.0);
    }
    println!("idle: ready after {:.0} ms, {:.1} MiB resident (medians of 5)", median(starts), median(memory));
    Ok(())
}

/// From the POST of a Deployment to three ready Pods; the first time with an image that no node has compiled.
pub(crate) async fn apply_to_ready() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.push(&sample(), "hello-http:v1")?;
    let mut times = Vec::new();
    for round in 0..=ROUNDS {
        let name = format!("r{round}");
        // A program is connected before it has something to say.
        let (posting, watching) = (cluster.connect().await?, cluster.connect().await?);
        let start = Instant::now();
        Cluster::call_on(posting, "POST", DEPLOYMENTS, Some(&deployment(&name, "hello-http:v1", 3))).await?;
        Cluster::until_ready(watching, &name, 3).await?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        cluster.call("DELETE", &format!("{DEPLOYMENTS}/{name}"), None).await?;
    }
    let cold = times.remove(0);
    let worst = times.iter().copied().fold(0.0, f64::max);
    println!("apply → 3 ready: cold {cold:.0} ms; warm p50 {:.1} ms, max {worst:.1} ms of {ROUNDS}", median(times));
    Ok(())
}

/// A thousand Pods of one Deployment: time, and memory for each beyond the first.
pub(crate) async fn a_thousand_pods() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.push(&sample(), "hello-http:v1")?;
    cluster.call("POST", DEPLOYMENTS, Some(&deployment("one", "hello-http:v1", 1))).await?;
    Cluster::until_ready(cluster.connect().await?, "one", 1).await?;
    let (posting, watching) = (cluster.connect().await?, cluster.connect().await?);
    let before = cluster.resident_kib();
    let start = Instant::now();
    Cluster::call_on(posting, "POST", DEPLOYMENTS, Some(&deployment("many", "hello-http:v1", 1000))).await?;
    Cluster::until_ready(watching, "many", 1000).await?;
    let took = start.elapsed().as_secs_f64();
    let each = (cluster.resident_kib().saturating_sub(before)) as f64 / 1000.0;
    println!("1,000 Pods: ready after {took:.2} s, {each:.0} KiB each ({} MiB in all)", cluster.resident_kib() / 1024);
    Ok(())
}
