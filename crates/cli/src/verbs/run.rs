//! `kapelle run NAME --image=IMAGE`: the shortest way from an image to an answer.

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::rollout;
use crate::{outln, output, session::Session};

/// Options of `run`.
#[derive(Args, Debug)]
pub struct Run {
    /// What the Deployment, and the Service, are called
    name: String,
    /// The image: `NAME:TAG` of the cluster's registry, `file:///…` with `kapelle dev`, or any OCI reference
    #[arg(long)]
    image: String,
    /// The port on which the container answers; makes a Service with the same port
    #[arg(long)]
    port: Option<u16>,
    /// How many Pods
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(0..))]
    replicas: i32,
    /// Environment variables, `NAME=VALUE`
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Arguments for the container
    #[arg(last = true)]
    args: Vec<String>,
}

impl Run {
    pub(crate) async fn run(self, session: &Session) -> Result<()> {
        let mut manifests = vec![self.deployment()?];
        manifests.extend(self.port.map(|port| self.service(port)));
        for manifest in &manifests {
            let object = session.create(manifest).await?;
            outln!("{} created", output::short_name(&object))?;
        }
        rollout::wait(session, &self.name).await
    }

    fn deployment(&self) -> Result<Value> {
        let labels = json!({"app": self.name});
        let mut container = json!({"name": self.name, "image": self.image});
        if let Some(port) = self.port {
            container["ports"] = json!([{"containerPort": port}]);
        }
        if !self.env.is_empty() {
            container["env"] = self.env.iter().map(|pair| variable(pair)).collect::<Result<_>>()?;
        }
        if !self.args.is_empty() {
            container["args"] = json!(self.args);
        }
        Ok(json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": self.name, "labels": labels},
            "spec": {
                "replicas": self.replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        }))
    }

    fn service(&self, port: u16) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": self.name, "labels": {"app": self.name}},
            "spec": {"selector": {"app": self.name}, "ports": [{"port": port, "targetPort": port}]},
        })
    }
}

fn variable(pair: &str) -> Result<Value> {
    match pair.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok(json!({"name": name, "value": value})),
        _ => bail!("--env {pair:?} is not NAME=VALUE"),
    }
}
