//! `kapelle scale --replicas=N KIND/NAME`.

use anyhow::{Result, bail};
use api::Subresource;
use clap::Args;
use serde_json::json;

use crate::{names, outln, output, session::Session};

/// Options of `scale`.
#[derive(Args, Debug)]
pub struct Scale {
    /// `KIND/NAME` or `KIND NAME` of a Deployment or ReplicaSet
    #[arg(required = true)]
    what: Vec<String>,
    /// How many Pods there shall be
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..))]
    replicas: i32,
}

impl Scale {
    pub(crate) async fn run(self, session: &Session) -> Result<()> {
        let (kind, name) = names::one(&self.what)?;
        if !kind.has(Subresource::Scale) {
            bail!("a {kind} cannot be scaled; name a Deployment or a ReplicaSet");
        }
        let patch = json!({"spec": {"replicas": self.replicas}});
        let object = session.merge(kind, &name, &patch, Subresource::Scale).await?;
        outln!("{} scaled", output::short_name(&object))?;
        Ok(())
    }
}
