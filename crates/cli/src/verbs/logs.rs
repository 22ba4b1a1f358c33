//! `kapelle logs …`: what a container wrote.

use anyhow::{Context as _, Result, bail};
use api::{Kind, Object, selector::Labels};
use clap::Args;
use futures::StreamExt as _;

use crate::{
    errln, names,
    session::{LogOptions, Session},
    terminal,
};
use rpc::Query;

/// Options of `logs`.
#[derive(Args, Debug)]
pub struct Logs {
    /// `POD`, or `KIND/NAME` of a Deployment, ReplicaSet or Service (its first Pod)
    what: String,
    /// The container, if the Pod has several
    container_name: Option<String>,
    /// The container, if the Pod has several
    #[arg(short, long)]
    container: Option<String>,
    /// Keep showing what is written
    #[arg(short, long)]
    follow: bool,
    /// The log of the container's previous run
    #[arg(short, long)]
    previous: bool,
    /// Only the last so many lines
    #[arg(long, value_name = "LINES", allow_hyphen_values = true)]
    tail: Option<i64>,
    /// Put the time before each line
    #[arg(long)]
    timestamps: bool,
}

impl Logs {
    pub(crate) async fn run(self, session: &Session) -> Result<()> {
        let pod = self.pod(session).await?;
        let options = LogOptions {
            pod,
            container: self.container.or(self.container_name).unwrap_or_default(),
            follow: self.follow,
            previous: self.previous,
            // kubectl's -1 means all lines.
            tail_lines: self.tail.filter(|lines| *lines >= 0),
            timestamps: self.timestamps,
        };
        let mut chunks = session.logs(options).await?;
        while let Some(chunk) = chunks.next().await {
            terminal::write_bytes(&chunk?)?;
        }
        Ok(())
    }

    async fn pod(&self, session: &Session) -> Result<String> {
        if !self.what.contains('/') {
            return Ok(self.what.clone());
        }
        let (kind, name) = names::one(std::slice::from_ref(&self.what))?;
        if kind == Kind::Pod {
            return Ok(name);
        }
        let labels = selector(&session.get(kind, &name).await?)?;
        let query = Query { kind: Kind::Pod, namespace: session.namespace().to_owned(), labels, fields: String::new() };
        let (pods, _) = session.list(&query).await?;
        let first = pods.first().with_context(|| format!("{} has no Pod", self.what))?;
        if pods.len() > 1 {
            errln!("Found {} Pods, using pod/{}", pods.len(), first.key().name);
        }
        Ok(first.key().name.to_string())
    }
}

/// The selector of an object that stands for Pods, as text.
pub(crate) fn selector(object: &Object) -> Result<String> {
    let of = |selector: Option<&api::meta_v1::LabelSelector>| -> Result<String> {
        let selector = selector.context("it has no selector")?;
        Ok(Labels::from_selector(selector)?.to_string())
    };
    match object {
        Object::Deployment(deployment) => of(deployment.spec.as_ref().and_then(|spec| spec.selector.as_ref())),
        Object::ReplicaSet(set) => of(set.spec.as_ref().and_then(|spec| spec.selector.as_ref())),
        Object::Service(service) => match &service.spec {
            Some(spec) if !spec.selector.is_empty() => {
                Ok(spec.selector.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(","))
            }
            _ => bail!("{} stands for no Pods", object.key()),
        },
        other => bail!("{} stands for no Pods", other.key()),
    }
}
