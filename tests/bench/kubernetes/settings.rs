//! What the environment asks for.

use std::{env, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    environment::{is_small, number},
    rival::Rival,
};

/// How often, how long, how much, and beside whom.
pub(crate) struct Settings {
    /// `kube-apiserver` and its `etcd`.
    programs: Option<(PathBuf, PathBuf)>,
    pub(crate) rounds: usize,
    /// One measurement takes so long.
    pub(crate) each: Duration,
    /// A list has so many objects.
    pub(crate) objects: usize,
    /// So many lists are one measurement.
    pub(crate) lists: usize,
    /// So many watch.
    pub(crate) watchers: usize,
    /// So many kinds are defined.
    pub(crate) definitions: usize,
}

impl Settings {
    pub(crate) fn from_environment() -> Result<Self> {
        let is_small = is_small();
        let (objects, lists, watchers, seconds) = if is_small { (1_000, 3, 50, 0.5) } else { (10_000, 10, 500, 2.0) };
        let definitions = if is_small { 50 } else { 1_000 };
        Ok(Self {
            programs: programs()?,
            rounds: number("KAPELLE_BENCH_ROUNDS", if is_small { 1 } else { 3 })?,
            each: Duration::from_secs_f64(number("KAPELLE_BENCH_SECONDS", seconds)?),
            objects: number("KAPELLE_BENCH_OBJECTS", objects)?,
            lists,
            watchers,
            definitions,
        })
    }

    pub(crate) fn told(&self) -> String {
        let rounds = format!("{} rounds of {} s in turn; medians", self.rounds, self.each.as_secs_f64());
        match &self.programs {
            Some(_) => format!("one master beside one kube-apiserver with one etcd (CPU and memory of both); {rounds}"),
            None => {
                format!("kube-apiserver: left out; set KUBE_APISERVER and ETCD to their binaries\none master; {rounds}")
            }
        }
    }

    /// Running servers: Kapelle first.
    pub(crate) async fn rivals(&self) -> Result<Vec<Rival>> {
        let mut rivals = vec![Rival::kapelle().await?];
        if let Some((apiserver, etcd)) = &self.programs {
            rivals.push(Rival::upstream(apiserver, etcd).await?);
        }
        Ok(rivals)
    }
}

/// The environment's binaries. `ETCD` may name several, as it does for the benchmark of masters; the first serves here.
fn programs() -> Result<Option<(PathBuf, PathBuf)>> {
    let Some(apiserver) = env::var_os("KUBE_APISERVER").filter(|path| !path.is_empty()) else { return Ok(None) };
    let etcd = env::var_os("ETCD").and_then(|list| env::split_paths(&list).next());
    let etcd = etcd.filter(|path| !path.as_os_str().is_empty()).context("KUBE_APISERVER needs ETCD beside it")?;
    Ok(Some((apiserver.into(), etcd)))
}
