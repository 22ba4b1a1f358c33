//! `kapelle rollout …`: follow a rollout, look back, go back, start anew.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use api::{
    Kind, Object, Subresource,
    apps_v1::{Deployment, ReplicaSet},
    core_v1, json,
    kinds::Resource as _,
    well_known::REVISION_ANNOTATION,
};
use clap::{Args, Subcommand};
use kapelle_client::{ListParams, wait_for};
use prost::Message as _;
use serde_json::{Value, json};

use super::logs;
use crate::{
    Progress, names, out, outln, output,
    session::{Session, now},
};

/// The annotation that says why a revision was made, as in Kubernetes.
const CAUSE: &str = "kubernetes.io/change-cause";

/// The annotation whose change starts a rollout anew, as in Kubernetes.
const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";

/// The label that tells the Pods of different templates apart; never part of a template that users wrote.
const HASH: &str = "pod-template-hash";

/// What can be done with a rollout.
#[derive(Subcommand, Debug)]
pub enum Rollout {
    /// Wait until the rollout is complete
    Status(Status),
    /// List the revisions
    History(History),
    /// Go back to an earlier revision
    Undo(Undo),
    /// Replace every Pod
    Restart(Target),
}

/// Which Deployment.
#[derive(Args, Debug)]
pub struct Target {
    /// `deployment/NAME` or `deployment NAME`
    #[arg(required = true)]
    what: Vec<String>,
}

/// Options of `rollout status`.
#[derive(Args, Debug)]
pub struct Status {
    #[command(flatten)]
    target: Target,
    /// Give up after so many seconds (`90s`, `5m` or plain seconds); 0 never
    #[arg(long, default_value = "0", value_parser = seconds)]
    timeout: Duration,
    /// Only say where it is
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    watch: bool,
}

/// Options of `rollout history`.
#[derive(Args, Debug)]
pub struct History {
    #[command(flatten)]
    target: Target,
    /// Show the template of this revision
    #[arg(long)]
    revision: Option<i64>,
}

/// Options of `rollout undo`.
#[derive(Args, Debug)]
pub struct Undo {
    #[command(flatten)]
    target: Target,
    /// The revision to go back to [default: the one before]
    #[arg(long, default_value_t = 0)]
    to_revision: i64,
}

impl Rollout {
    pub(crate) async fn run(self, session: &Session) -> Result<()> {
        match self {
            Self::Status(status) => status.run(session).await,
            Self::History(history) => history.run(session).await,
            Self::Undo(undo) => undo.run(session).await,
            Self::Restart(target) => restart(session, &target.name()?).await,
        }
    }
}

impl Target {
    fn name(&self) -> Result<String> {
        match names::one(&self.what)? {
            (Kind::Deployment, name) => Ok(name),
            (kind, _) => bail!("a {kind} has no rollout; only a Deployment has"),
        }
    }
}

impl Status {
    async fn run(self, session: &Session) -> Result<()> {
        let name = self.target.name()?;
        if !self.watch {
            outln!("{}", progress_of(&deployment(session, &name).await?)?.text())?;
            return Ok(());
        }
        if self.timeout.is_zero() {
            return wait(session, &name).await;
        }
        let limit = format!("deployment {name:?} was not rolled out within {} s", self.timeout.as_secs());
        tokio::time::timeout(self.timeout, wait(session, &name)).await.context(limit)?
    }
}

/// Waits until a rollout is complete, and says how it goes.
pub(crate) async fn wait(session: &Session, name: &str) -> Result<()> {
    let mut progress = Progress::start("Waiting for the rollout");
    let mut outcome = Ok(String::new());
    let is_over = |deployment: Option<&Deployment>| {
        let deployment = deployment.with_context(|| format!("deployments.apps {name:?} not found"));
        match deployment.and_then(progress_of) {
            Ok(Phase::Waiting(text)) => {
                progress.say(&text);
                false
            }
            Ok(Phase::Complete(text)) => {
                outcome = Ok(text);
                true
            }
            Err(error) => {
                outcome = Err(error);
                true
            }
        }
    };
    wait_for(&session.api(), name, is_over).await?;
    let text = outcome?;
    progress.done("");
    outln!("{text}")?;
    Ok(())
}

enum Phase {
    Waiting(String),
    Complete(String),
}

impl Phase {
    fn text(&self) -> &str {
        match self {
            Self::Waiting(text) | Self::Complete(text) => text,
        }
    }
}

/// The same steps, in the same words, as `kubectl rollout status`.
fn progress_of(deployment: &Deployment) -> Result<Phase> {
    let name = deployment.name();
    let status = deployment.status.clone().unwrap_or_default();
    let generation = deployment.metadata().map_or(0, |meta| meta.generation);
    if generation > status.observed_generation {
        return Ok(Phase::Waiting("Waiting for deployment spec update to be observed...".to_owned()));
    }
    if status.conditions.iter().any(|condition| condition.reason == "ProgressDeadlineExceeded") {
        bail!("deployment {name:?} exceeded its progress deadline");
    }
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let (updated, available) = (status.updated_replicas, status.available_replicas);
    let waiting =
        |what: String| Ok(Phase::Waiting(format!("Waiting for deployment {name:?} rollout to finish: {what}...")));
    if updated < wanted {
        return waiting(format!("{updated} out of {wanted} new replicas have been updated"));
    }
    if status.replicas > updated {
        return waiting(format!("{} old replicas are pending termination", status.replicas - updated));
    }
    if available < updated {
        return waiting(format!("{available} of {updated} updated replicas are available"));
    }
    Ok(Phase::Complete(format!("deployment {name:?} successfully rolled out")))
}

impl History {
    async fn run(self, session: &Session) -> Result<()> {
        let name = self.target.name()?;
        let sets = revisions(session, &deployment(session, &name).await?).await?;
        if let Some(wanted) = self.revision {
            let set = sets.iter().find(|set| revision(set) == wanted);
            let set = set.with_context(|| format!("unable to find the specified revision {wanted}"))?;
            outln!("deployment.apps/{name} with revision #{wanted}")?;
            out!("{}", api::yaml::to_string(&template(set)?))?;
            return Ok(());
        }
        outln!("deployment.apps/{name}")?;
        let mut lines = vec![vec!["REVISION".to_owned(), "CHANGE-CAUSE".to_owned()]];
        lines.extend(
            sets.iter()
                .map(|set| vec![revision(set).to_string(), annotation(set, CAUSE).unwrap_or("<none>").to_owned()]),
        );
        out!("{}", output::align(&lines))?;
        Ok(())
    }
}

impl Undo {
    async fn run(self, session: &Session) -> Result<()> {
        let name = self.target.name()?;
        let deployment = deployment(session, &name).await?;
        if deployment.spec.as_ref().is_some_and(|spec| spec.paused) {
            bail!("deployment {name:?} is paused; resume it before going back");
        }
        let sets = revisions(session, &deployment).await?;
        let wanted = match self.to_revision {
            0 => sets.iter().rev().nth(1).context("no rollout history found: there is no revision before this one")?,
            number => sets
                .iter()
                .find(|set| revision(set) == number)
                .with_context(|| format!("unable to find revision {number}"))?,
        };
        let current =
            deployment.spec.as_ref().and_then(|spec| spec.template.as_ref()).map(template_value).transpose()?;
        let template = template(wanted)?;
        if current.as_ref() == Some(&template) {
            outln!(
                "deployment.apps/{name} skipped rollback (current template already matches revision {})",
                revision(wanted)
            )?;
            return Ok(());
        }
        let patch = json!([{"op": "replace", "path": "/spec/template", "value": template}]);
        session.json_patch(Kind::Deployment, &name, &patch).await?;
        outln!("deployment.apps/{name} rolled back")?;
        Ok(())
    }
}

async fn restart(session: &Session, name: &str) -> Result<()> {
    let at = now().to_string();
    let patch = json!({"spec": {"template": {"metadata": {"annotations": {RESTARTED: at}}}}});
    session.merge(Kind::Deployment, name, &patch, Subresource::None).await?;
    outln!("deployment.apps/{name} restarted")?;
    Ok(())
}

async fn deployment(session: &Session, name: &str) -> Result<Deployment> {
    Ok(session.api().get(name).await?)
}

/// The ReplicaSets of a Deployment, oldest revision first.
async fn revisions(session: &Session, deployment: &Deployment) -> Result<Vec<ReplicaSet>> {
    let labels = logs::selector(&Object::from(deployment.clone()))?;
    let found = session.api::<ReplicaSet>().list(&ListParams::default().labels(&labels)).await?;
    let owned = |set: &ReplicaSet| {
        set.metadata().is_some_and(|meta| meta.owner_references.iter().any(|owner| owner.uid == deployment.uid()))
    };
    let mut sets: Vec<ReplicaSet> = found.items.into_iter().filter(owned).collect();
    sets.sort_by_key(revision);
    Ok(sets)
}

fn revision(set: &ReplicaSet) -> i64 {
    annotation(set, REVISION_ANNOTATION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn annotation<'a>(set: &'a ReplicaSet, name: &str) -> Option<&'a str> {
    set.metadata()?.annotations.get(name).map(String::as_str)
}

fn template(set: &ReplicaSet) -> Result<Value> {
    template_value(set.spec.as_ref().and_then(|spec| spec.template.as_ref()).context("the revision has no template")?)
}

/// The template as a manifest carries it: without the label that the controller added.
fn template_value(template: &core_v1::PodTemplateSpec) -> Result<Value> {
    let mut template = template.clone();
    if let Some(meta) = &mut template.metadata {
        meta.labels.remove(HASH);
    }
    Ok(json::encode_message("kapelle.core.v1.PodTemplateSpec", &template.encode_to_vec())?)
}

fn seconds(text: &str) -> Result<Duration> {
    let (number, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => bail!("{text:?} is not a duration such as 90s or 5m"),
    };
    let number: u64 = number.parse().with_context(|| format!("{text:?} is not a duration such as 90s or 5m"))?;
    Ok(Duration::from_secs(number.saturating_mul(factor)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::apps_v1::{Deployment, DeploymentSpec, DeploymentStatus};

    use super::{progress_of, seconds};

    #[test]
    fn a_rollout_is_told_step_by_step() {
        let told = |replicas: i32, updated: i32, available: i32| {
            let spec = DeploymentSpec { replicas: Some(3), ..Default::default() };
            let status = DeploymentStatus {
                replicas,
                updated_replicas: updated,
                available_replicas: available,
                ..Default::default()
            };
            progress_of(&Deployment { spec: Some(spec), status: Some(status), ..Default::default() })
                .unwrap()
                .text()
                .to_owned()
        };
        assert!(told(3, 1, 3).ends_with("1 out of 3 new replicas have been updated..."));
        assert!(told(4, 3, 3).ends_with("1 old replicas are pending termination..."));
        assert!(told(3, 3, 2).ends_with("2 of 3 updated replicas are available..."));
        assert!(told(3, 3, 3).ends_with("successfully rolled out"));
    }

    #[test]
    fn durations_are_read_as_kubectl_writes_them() {
        assert_eq!(seconds("90").unwrap().as_secs(), 90);
        assert_eq!(seconds("5m").unwrap().as_secs(), 300);
        assert!(seconds("soon").is_err());
    }
}
