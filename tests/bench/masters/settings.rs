//! What the environment asks for.

use std::{env, path::PathBuf, time::Duration};

use anyhow::Result;

use crate::{
    environment::{is_small, number},
    group::{Brand, Group},
};

/// How often, how long, and beside whom.
pub(crate) struct Settings {
    /// An earlier build of Kapelle.
    pub(crate) before: Option<PathBuf>,
    pub(crate) etcds: Vec<PathBuf>,
    pub(crate) rounds: usize,
    /// One measurement takes so long.
    pub(crate) each: Duration,
    /// So many objects are stored where it takes many.
    pub(crate) objects: u64,
    /// So often a leader is killed.
    pub(crate) kills: usize,
}

impl Settings {
    pub(crate) fn from_environment() -> Result<Self> {
        let etcds: Vec<PathBuf> = env::var_os("ETCD").map(|list| env::split_paths(&list).collect()).unwrap_or_default();
        let is_small = is_small();
        let (objects, kills, seconds) = if is_small { (5_000, 3, 0.5) } else { (100_000, 20, 1.0) };
        Ok(Self {
            before: env::var_os("BEFORE").filter(|path| !path.is_empty()).map(PathBuf::from),
            etcds: etcds.into_iter().filter(|path| !path.as_os_str().is_empty()).collect(),
            rounds: number("KAPELLE_BENCH_ROUNDS", if is_small { 1 } else { 3 })?,
            each: Duration::from_secs_f64(number("KAPELLE_BENCH_SECONDS", seconds)?),
            objects: number("KAPELLE_BENCH_OBJECTS", objects)?,
            kills,
        })
    }

    pub(crate) fn told(&self) -> String {
        let rounds = format!("{} rounds of {} s in turn; medians", self.rounds, self.each.as_secs_f64());
        let before = if self.before.is_some() { "beside an earlier build; " } else { "" };
        if self.etcds.is_empty() {
            return format!("etcd: left out; set ETCD to its binary\n{before}{rounds}");
        }
        let names: Vec<String> = self.brands().iter().skip(1).map(Brand::name).collect();
        format!("beside {}, everybody with mutual TLS; {rounds}", names.join(" and "))
    }

    /// Kapelle first, then its earlier build, then every etcd.
    fn brands(&self) -> Vec<Brand> {
        let etcds = self.etcds.iter().cloned().map(Brand::Etcd);
        self.builds().into_iter().chain(etcds).collect()
    }

    /// Kapelle, and its earlier build.
    pub(crate) fn builds(&self) -> Vec<Brand> {
        [Brand::Kapelle].into_iter().chain(self.before.clone().map(Brand::Earlier)).collect()
    }

    /// A running group of everybody.
    pub(crate) async fn groups(&self, members: usize) -> Result<Vec<Group>> {
        let mut groups = Vec::new();
        for brand in self.brands() {
            groups.push(Group::start(brand, members).await?);
        }
        Ok(groups)
    }

    /// Running groups of every etcd.
    pub(crate) async fn rivals(&self, members: usize) -> Result<Vec<Group>> {
        let mut groups = Vec::new();
        for brand in self.etcds.iter().cloned().map(Brand::Etcd) {
            groups.push(Group::start(brand, members).await?);
        }
        Ok(groups)
    }
}
