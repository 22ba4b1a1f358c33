//! `kapelle kubeconfig NAME`: all that a user needs to reach the cluster.

use std::{
    fs::OpenOptions,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::Args;

use super::{token::duration, user};
use crate::{
    connect::{Served, kubeconfig_by_token},
    errln, out,
    session::Session,
};

/// Options of `kubeconfig`.
#[derive(Args, Debug)]
pub struct Kubeconfig {
    /// The user, as `kapelle user create` made it
    name: String,
    /// When its token ends, such as 8h or 30d [default: with the user]
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    lasting: Option<Duration>,
    /// Write it to a new file, which only its owner may read, instead of printing it
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Kubeconfig {
    pub(crate) async fn run(self, session: &Session) -> Result<()> {
        let Self { name, lasting, output } = self;
        let token = user::token(session, &name, lasting).await?;
        let served = Served { masters: session.client().masters(), local: None };
        let text = kubeconfig_by_token(&served, session.authority(), (&name, &token), session.namespace());
        match output {
            None => out!("{text}")?,
            Some(file) => {
                write(&file, &text).with_context(|| format!("--output {}", file.display()))?;
                errln!("kubectl --kubeconfig {} auth whoami", file.display());
            }
        }
        Ok(())
    }
}

/// What is there already may be somebody else's key to a cluster.
fn write(file: &Path, text: &str) -> Result<()> {
    let made = OpenOptions::new().write(true).create_new(true).open(file);
    made.context("name a file that does not exist yet")?.write_all(text.as_bytes())?;
    Ok(())
}
