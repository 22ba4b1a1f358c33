//! `kapelle cluster`: the group of masters, also while none of them runs.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use registry::{Options, QUOTA_BYTES, offline};

use crate::{clock::now, master::Settings, process};

/// What can be done with the group.
#[derive(Subcommand, Debug)]
pub(crate) enum Cluster {
    #[command(flatten)]
    Online(cli::verbs::cluster::Cluster),
    /// Make a new cluster of one master out of a backup, while it does not run
    Restore {
        /// What `cluster backup` wrote
        file: PathBuf,
        /// An empty directory for the new master
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
    },
    /// Make a new cluster of one master out of what this one has, when the majority is lost for ever
    #[command(name = "force-new-cluster")]
    ForceNew {
        /// The directory of a master that does not run
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
    },
}

impl Cluster {
    pub(crate) fn run(self, connection: &cli::Connection) -> Result<()> {
        match self {
            Self::Online(online) => process::run(online.run(connection)),
            Self::Restore { file, data_dir } => process::run(async move {
                std::fs::create_dir_all(&data_dir)?;
                // The range is only used by writes, and none is made here.
                let options = Options { service_cidr: "10.96.0.0/12".parse()?, quota_bytes: QUOTA_BYTES, now };
                let restored = offline::restore(&file, &data_dir, options).await;
                let restored = restored.with_context(|| format!("cannot restore {}", file.display()))?;
                cli::outln!("restored as the cluster {} with the master {}", restored.cluster, restored.member)?;
                cli::outln!("start it: kapelle master --data-dir {} --listen ADDRESS:PORT", data_dir.display())?;
                Ok(())
            }),
            Self::ForceNew { data_dir } => {
                let made = offline::force_new(&data_dir, "").with_context(|| format!("in {}", data_dir.display()))?;
                if let Some(settings) = Settings::load(&data_dir)? {
                    Settings { joined: None, ..settings }.store(&data_dir)?;
                }
                cli::outln!("now the cluster {} with the master {} alone", made.cluster, made.member)?;
                cli::outln!("start it: kapelle master --data-dir {} --listen ADDRESS:PORT", data_dir.display())?;
                cli::outln!("the other masters of the old cluster must join anew, with empty directories")?;
                Ok(())
            }
        }
    }
}
