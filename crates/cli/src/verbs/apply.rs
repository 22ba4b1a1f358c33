//! `kapelle apply -f …`: make the cluster as the manifests say.

use std::path::PathBuf;

use anyhow::{Result, bail};
use api::ApplyOutcome;
use clap::Args;
use serde_json::Value;

use crate::{errln, manifests, outln, output, session::Session};

/// Options of `apply`.
#[derive(Args, Debug)]
pub struct Apply {
    /// Files, folders or `-` for standard input; YAML (several documents) or JSON
    #[arg(short = 'f', long = "filename", required = true, value_name = "FILE|DIR|-")]
    files: Vec<PathBuf>,
    /// Read folders with all their subfolders
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Do everything but store the result: `server`
    #[arg(long, value_name = "server")]
    dry_run: Option<String>,
}

impl Apply {
    pub(crate) async fn run(self, session: &Session) -> Result<()> {
        let dry_run = match self.dry_run.as_deref() {
            None | Some("none") => false,
            Some("server") => true,
            Some(other) => bail!("--dry-run={other} is not known; use --dry-run=server"),
        };
        let mut failed = Vec::new();
        for manifest in manifests::read(&self.files, self.recursive)? {
            if let Err(error) = one(session, &manifest, dry_run).await {
                errln!("error: {}: {error:#}", about(&manifest));
                failed.push(about(&manifest));
            }
        }
        if failed.is_empty() { Ok(()) } else { bail!("not applied: {}", failed.join(", ")) }
    }
}

async fn one(session: &Session, manifest: &Value, dry_run: bool) -> Result<()> {
    let applied = session.apply(manifest, dry_run).await?;
    for warning in &applied.warnings {
        errln!("Warning: {warning}");
    }
    let did = match applied.outcome {
        ApplyOutcome::Created => "created",
        ApplyOutcome::Configured => "configured",
        ApplyOutcome::Unchanged => "unchanged",
    };
    let dry = if dry_run { " (server dry run)" } else { "" };
    outln!("{} {did}{dry}", output::short_name(&applied.object))?;
    Ok(())
}

fn about(manifest: &Value) -> String {
    let text = |path: &str| manifest.pointer(path).and_then(Value::as_str).unwrap_or("?").to_owned();
    format!("{} {}", text("/kind"), text("/metadata/name"))
}
