//! `kapelle apply -f …`: make the cluster as the manifests say, on the server's side.

use std::{collections::BTreeSet, path::PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use api::{ApplyOutcome, DeleteOptions, Error, Key, Object, Reason};
use clap::{ArgAction, Args};
use rpc::Query;
use serde_json::Value;

use crate::{
    applyset::{self, Parent, Scope},
    errln, manifests, outln, output,
    session::{FIELD_MANAGER, How, Session},
};

/// What to do about fields that others own, told once behind all conflicts.
const REMEDY: &str = "\
Others own these fields. For each of them, one of these helps:
  take it over: apply again with --force-conflicts
  leave it to its owner: remove it from the manifest
  share it: give it in the manifest the value that it has now";

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
    #[arg(long, value_name = "none|server", default_value = "none")]
    dry_run: String,
    /// As in kubectl; everything is applied on the server's side anyway
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    server_side: bool,
    /// Take over fields that others own
    #[arg(long)]
    force_conflicts: bool,
    /// Under which name the fields of the manifests are owned
    #[arg(long, value_name = "NAME", default_value = FIELD_MANAGER)]
    field_manager: String,
    /// Delete what was applied in the set before and is not in the manifests any more; needs --applyset
    #[arg(long, requires = "applyset")]
    prune: bool,
    /// The Secret or ConfigMap that keeps the set of what is applied: NAME, secret/NAME or configmap/NAME; needs --prune
    #[arg(long, value_name = "[KIND/]NAME", requires = "prune")]
    applyset: Option<String>,
}

impl Apply {
    pub(crate) async fn run(self, session: &Session) -> Result<()> {
        ensure!(self.server_side, "--server-side=false: there is no other way to apply here; kubectl has one");
        let dry_run = match self.dry_run.as_str() {
            "none" => false,
            "server" => true,
            other => bail!("--dry-run={other} is not known; use --dry-run=server"),
        };
        let manifests = manifests::read(&self.files, self.recursive)?;
        let application =
            Application { session, how: How { manager: &self.field_manager, dry_run, force: self.force_conflicts } };
        match self.applyset.as_deref().filter(|_| self.prune) {
            None => application.all(&manifests).await.map(drop),
            Some(parent) => application.set(&Parent::parse(parent, session.namespace())?, manifests).await,
        }
    }
}

/// Where and how manifests are applied.
struct Application<'a> {
    session: &'a Session,
    how: How<'a>,
}

impl Application<'_> {
    /// Applies each manifest, however the others fare. Answers what was applied if nothing went wrong.
    async fn all(&self, manifests: &[Value]) -> Result<Vec<Object>> {
        let (mut applied, mut failed, mut conflict) = (Vec::new(), Vec::new(), false);
        for manifest in manifests {
            match self.one(manifest).await {
                Ok(object) => applied.push(object),
                Err(error) => {
                    errln!("error: {}: {error:#}", about(manifest));
                    conflict |= error.downcast_ref().is_some_and(Error::is_owned_by_others);
                    failed.push(about(manifest));
                }
            }
        }
        if conflict {
            errln!("{REMEDY}");
        }
        ensure!(failed.is_empty(), "not applied: {}", failed.join(", "));
        Ok(applied)
    }

    async fn one(&self, manifest: &Value) -> Result<Object> {
        let applied = self.session.apply(manifest, self.how).await?;
        for warning in &applied.warnings {
            errln!("Warning: {warning}");
        }
        let did = match applied.outcome {
            ApplyOutcome::Created => "created",
            ApplyOutcome::Configured => "configured",
            ApplyOutcome::Unchanged => "unchanged",
        };
        self.say(&applied.object, did)?;
        Ok(applied.object)
    }

    fn say(&self, object: &Object, did: &str) -> Result<()> {
        let dry = if self.how.dry_run { " (server dry run)" } else { "" };
        outln!("{} {did}{dry}", output::short_name(object))?;
        Ok(())
    }

    /// Applies a set, and deletes those of its members that are not in it any more. At every moment the parent tells all places in
    /// which there may be members, so that nothing is forgotten when this ends half-way.
    async fn set(&self, parent: &Parent, mut manifests: Vec<Value>) -> Result<()> {
        let there = self.session.find(&parent.key()).await?;
        let before = match there {
            Some(object) => applyset::scope(self.session, parent, &object).await?,
            None => Scope::default(),
        };
        let mut members = Vec::with_capacity(manifests.len());
        for manifest in &mut manifests {
            let member = applyset::member(self.session, manifest).await;
            let member = member.and_then(|key| parent.mark(manifest).map(|()| key));
            members.push(member.with_context(|| about(manifest))?);
        }
        self.others(parent, &members).await?;
        let now = Scope::of(&members);
        self.keep(parent, &before.union(&now)).await?;
        let applied = self.all(&manifests).await.context("nothing was pruned")?;
        self.prune(parent, &before, &applied).await?;
        self.keep(parent, &now).await
    }

    /// Refuses to take members from another set.
    async fn others(&self, parent: &Parent, members: &[Key]) -> Result<()> {
        for member in members {
            let object = self.session.find(member).await?;
            let metadata = object.as_ref().and_then(Object::metadata);
            let set = metadata.and_then(|metadata| metadata.labels.get(applyset::PART_OF));
            if !self.how.force && set.is_some_and(|set| *set != parent.id()) {
                bail!(
                    "{member} is a member of another set: its label {} is not {:?}; \
                     remove it from that set, or take it over with --force-conflicts",
                    applyset::PART_OF,
                    parent.id()
                );
            }
        }
        Ok(())
    }

    /// Lets the parent tell where its members are.
    async fn keep(&self, parent: &Parent, scope: &Scope) -> Result<()> {
        let how = How { manager: applyset::FIELD_MANAGER, ..self.how };
        let kept = self.session.apply(&parent.manifest(scope), how).await;
        kept.map(drop).with_context(|| format!("the parent of the set, {parent}, cannot be written"))
    }

    async fn prune(&self, parent: &Parent, scope: &Scope, applied: &[Object]) -> Result<()> {
        let kept: BTreeSet<&str> = applied.iter().map(uid).collect();
        for (kind, namespace) in scope.places() {
            let labels = format!("{}={}", applyset::PART_OF, parent.id());
            let query = Query { kind, namespace, labels, fields: String::new() };
            let (members, _) = self.session.list(&query).await?;
            for member in members.iter().filter(|member| !kept.contains(uid(member))) {
                self.delete(member).await?;
            }
        }
        Ok(())
    }

    /// Deletes exactly what was seen; a namesake is another object.
    async fn delete(&self, member: &Object) -> Result<()> {
        let uid = Some(uid(member).to_owned());
        let options = DeleteOptions { uid, dry_run: self.how.dry_run, ..DeleteOptions::default() };
        match self.session.delete(&member.key(), &options).await {
            Ok(_) => self.say(member, "pruned"),
            Err(error) if matches!(error.reason, Reason::NotFound | Reason::Conflict) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn uid(object: &Object) -> &str {
    object.metadata().map_or("", |metadata| &metadata.uid)
}

fn about(manifest: &Value) -> String {
    let text = |path: &str| manifest.pointer(path).and_then(Value::as_str).unwrap_or("?").to_owned();
    format!("{} {}", text("/kind"), text("/metadata/name"))
}
