//! `kapelle delete …`: delete objects and wait until they are gone.

use std::path::PathBuf;

use anyhow::{Result, bail};
use api::{ChangeType, DeleteOptions, Key, Kind, Object, Propagation, Reason};
use clap::Args;
use futures::StreamExt as _;
use rpc::Query;
use serde_json::Value;

use crate::{Progress, errln, manifests, names::Named, outln, output, session::Session};

/// Options of `delete`.
#[derive(Args, Debug)]
pub struct Delete {
    /// `KIND NAME…`, `KIND/NAME…`, or `KIND` with -l or --all
    what: Vec<String>,
    /// Delete what these manifests describe
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR|-", conflicts_with = "what")]
    files: Vec<PathBuf>,
    /// Read folders with all their subfolders
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Delete objects with these labels
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// Delete all objects of the kind in the namespace
    #[arg(long)]
    all: bool,
    /// Seconds that Pods get to stop; 0 with --force
    #[arg(long, value_name = "SECONDS")]
    grace_period: Option<i64>,
    /// Do not wait for a graceful stop
    #[arg(long)]
    force: bool,
    /// What becomes of owned objects: background, foreground or orphan
    #[arg(long, default_value = "background")]
    cascade: String,
    /// It is no error if an object does not exist
    #[arg(long)]
    ignore_not_found: bool,
    /// Return at once instead of when everything is gone
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    wait: bool,
}

impl Delete {
    pub(crate) async fn run(self, session: &Session) -> Result<()> {
        let options = self.options()?;
        let targets = self.targets(session).await?;
        if targets.is_empty() {
            errln!("No resources found.");
            return Ok(());
        }
        let (mut waiting, mut failed) = (Vec::new(), Vec::new());
        for target in targets {
            match session.delete(&target.key(), &options).await {
                Ok(left) => {
                    let forced = if self.force { " force" } else { "" };
                    outln!("{} \"{}\"{forced} deleted", output::singular(target.kind), target.name)?;
                    waiting.extend(left.map(|object| (target, object)));
                }
                Err(error) if error.reason == Reason::NotFound && self.ignore_not_found => {}
                Err(error) => failed.push(error),
            }
        }
        if self.wait {
            wait(session, waiting).await?;
        }
        // The caller tells the last one.
        let last = failed.pop();
        failed.iter().for_each(|error| errln!("Error from server ({:?}): {error}", error.reason));
        last.map_or(Ok(()), |error| Err(error.into()))
    }

    fn options(&self) -> Result<DeleteOptions> {
        let propagation = match self.cascade.as_str() {
            "background" | "true" => Propagation::Background,
            "foreground" => Propagation::Foreground,
            "orphan" | "false" => Propagation::Orphan,
            other => bail!("--cascade={other} is not known; one of background, foreground, orphan"),
        };
        let grace_period_s = match (self.grace_period, self.force) {
            (Some(0), false) => bail!("--grace-period=0 needs --force: the Pod gets no chance to stop"),
            (None | Some(0), true) => Some(0),
            (grace, _) => grace,
        };
        Ok(DeleteOptions { grace_period_s, propagation, ..DeleteOptions::default() })
    }

    async fn targets(&self, session: &Session) -> Result<Vec<Target>> {
        if !self.files.is_empty() {
            let mut targets = Vec::new();
            for manifest in manifests::read(&self.files, self.recursive)? {
                targets.push(of_manifest(session, &manifest).await?);
            }
            return Ok(targets);
        }
        match session.named(&self.what).await? {
            Named::Objects(_) if self.all || self.selector.is_some() => {
                bail!("names cannot be combined with -l or --all")
            }
            Named::Objects(objects) => {
                Ok(objects.into_iter().map(|(kind, name)| Target::here(session, kind, name)).collect())
            }
            Named::Kinds(_) if !self.all && self.selector.is_none() => {
                bail!("name what to delete, or say -l SELECTOR or --all")
            }
            Named::Kinds(kinds) => self.matching(session, &kinds).await,
        }
    }

    async fn matching(&self, session: &Session, kinds: &[Kind]) -> Result<Vec<Target>> {
        let mut targets = Vec::new();
        for kind in kinds {
            let labels = self.selector.clone().unwrap_or_default();
            let query = Query { kind: *kind, namespace: session.namespace_for(*kind), labels, fields: String::new() };
            let (objects, _) = session.list(&query).await?;
            targets.extend(objects.iter().map(|object| Target::here(session, *kind, object.key().name.to_string())));
        }
        Ok(targets)
    }
}

#[derive(Debug)]
struct Target {
    kind: Kind,
    namespace: String,
    name: String,
}

impl Target {
    fn key(&self) -> Key {
        Key::namespaced(self.kind, self.namespace.as_str(), self.name.as_str())
    }

    fn here(session: &Session, kind: Kind, name: String) -> Self {
        Self { kind, namespace: session.namespace_for(kind), name }
    }
}

async fn of_manifest(session: &Session, manifest: &Value) -> Result<Target> {
    let text = |path: &str| manifest.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let kind = session.kind(text("/apiVersion"), text("/kind")).await?;
    let mut target = Target::here(session, kind, text("/metadata/name").to_owned());
    if kind.info().namespaced && !text("/metadata/namespace").is_empty() {
        text("/metadata/namespace").clone_into(&mut target.namespace);
    }
    Ok(target)
}

/// Waits until each object is gone, or another took its name.
async fn wait(session: &Session, objects: Vec<(Target, Object)>) -> Result<()> {
    if objects.is_empty() {
        return Ok(());
    }
    let mut progress = Progress::start("waiting until everything is gone");
    for (Target { kind, namespace, name }, object) in objects {
        progress.say(&format!("waiting until {} {name} is gone", output::singular(kind)));
        let uid = object.metadata().map(|meta| meta.uid.clone()).unwrap_or_default();
        let query = Query { kind, namespace, labels: String::new(), fields: format!("metadata.name={name}") };
        let (found, revision) = session.list(&query).await?;
        let same = |object: &Object| object.metadata().is_some_and(|meta| meta.uid == uid);
        if !found.iter().any(same) {
            continue;
        }
        let mut changes = session.watch(&query, revision);
        'gone: while let Some(batch) = changes.next().await {
            for change in batch? {
                if change.change == ChangeType::Deleted || !same(&change.object) {
                    break 'gone;
                }
            }
        }
    }
    progress.done("");
    Ok(())
}
