//! `kapelle cluster`: the group of masters, as far as a running master answers.

use std::{io::Write as _, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use futures::StreamExt as _;
use rpc::services::{ClusterStatus, Member, Part};
use serde_json::{Value, json};

use crate::{Connection, Progress, errln, outln, session::Session, terminal::OutputError};

/// What can be asked of the group.
#[derive(Subcommand, Debug)]
pub enum Cluster {
    /// List the masters
    Members(Shown),
    /// Show how the group and this master are
    Status(Shown),
    /// Give a master that has caught up a vote
    Promote(Which),
    /// Remove a master for ever
    Remove(Which),
    /// Let another master lead
    TransferLeader(Which),
    /// Write a consistent copy of the state into a file
    Backup {
        /// The file; must not exist
        file: PathBuf,
    },
}

/// How to show it.
#[derive(Args, Debug)]
pub struct Shown {
    /// How to print
    #[arg(short, long, default_value = "table")]
    output: Form,
}

/// Which member.
#[derive(Args, Debug)]
pub struct Which {
    /// The id of a member, as `cluster members` shows it
    #[arg(value_parser = id)]
    id: u64,
}

/// A form in words.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Table,
    Json,
}

fn id(text: &str) -> Result<u64> {
    match u64::from_str_radix(text, 16) {
        Ok(id) if text.len() == 16 => Ok(id),
        _ => bail!("an id has 16 hexadecimal digits; see `kapelle cluster members`"),
    }
}

impl Cluster {
    /// Carries it out.
    ///
    /// # Errors
    /// If the cluster cannot be found or reached, or refuses.
    pub async fn run(self, connection: &Connection) -> Result<()> {
        let session = Session::open(connection)?;
        self.ask(&session).await.map_err(alone)
    }

    async fn ask(self, session: &Session) -> Result<()> {
        let client = session.client();
        match self {
            Self::Members(shown) => members(&client.cluster_status().await?, shown.output)?,
            Self::Status(shown) => status(&client.cluster_status().await?, shown.output)?,
            Self::Promote(Which { id }) => {
                client.promote(id).await?;
                outln!("{id:016x} has a vote")?;
            }
            Self::Remove(Which { id }) => {
                client.remove_member(id).await?;
                outln!("{id:016x} was removed")?;
            }
            Self::TransferLeader(Which { id }) => {
                client.transfer_leader(id).await?;
                outln!("{id:016x} leads")?;
            }
            Self::Backup { file } => backup(session, file).await?,
        }
        Ok(())
    }
}

/// Says what it means that a cluster does not offer what belongs to a group of masters.
pub(super) fn alone(error: anyhow::Error) -> anyhow::Error {
    let reason = error.downcast_ref::<api::Error>().map(|error| error.reason);
    if reason != Some(api::Reason::MethodNotAllowed) {
        return error;
    }
    error.context("`kapelle dev` is a cluster in one process, without masters to look after and without anybody who joins; `kapelle master` begins one with both")
}

fn part(member: &Member) -> &'static str {
    match member.part() {
        Part::Voter => "voter",
        Part::Learner => "learner",
        Part::Unspecified => "unknown",
    }
}

fn members(status: &ClusterStatus, form: Form) -> Result<(), OutputError> {
    if form == Form::Json {
        return outln!("{:#}", Value::Array(status.members.iter().map(member_json).collect()));
    }
    outln!("{:<18}{:<24}{:<9}{:<8}{:<10}MATCHED", "ID", "ADDRESS", "ROLE", "LEADER", "REACHABLE")?;
    for member in &status.members {
        let yes = |is: bool| if is { "yes" } else { "no" };
        let matched = if member.matched_index == 0 { "-".to_owned() } else { member.matched_index.to_string() };
        outln!(
            "{:<18}{:<24}{:<9}{:<8}{:<10}{matched}",
            format!("{:016x}", member.id),
            member.contact,
            part(member),
            yes(member.leader),
            yes(member.reachable)
        )?;
    }
    warn(status);
    Ok(())
}

fn warn(status: &ClusterStatus) {
    for warning in &status.warnings {
        errln!("Warning: {warning}");
    }
}

fn member_json(member: &Member) -> Value {
    json!({
        "id": format!("{:016x}", member.id),
        "address": member.contact,
        "role": part(member),
        "leader": member.leader,
        "reachable": member.reachable,
        "matchedIndex": member.matched_index,
    })
}

fn status(status: &ClusterStatus, form: Form) -> Result<(), OutputError> {
    let ClusterStatus { term, committed, applied, log_first, log_last, snapshot, revision, objects, bytes, .. } =
        status;
    if form == Form::Json {
        let value = json!({
            "cluster": status.cluster_id,
            "member": format!("{:016x}", status.member),
            "leader": (status.leader != 0).then(|| format!("{:016x}", status.leader)),
            "members": status.members.iter().map(member_json).collect::<Vec<_>>(),
            "term": term,
            "committed": committed,
            "applied": applied,
            "log": { "first": log_first, "last": log_last, "snapshot": snapshot },
            "revision": revision,
            "objects": objects,
            "bytes": bytes,
            "quotaBytes": status.quota_bytes,
            "warnings": status.warnings,
        });
        return outln!("{value:#}");
    }
    let leader = if status.leader == 0 { "nobody".to_owned() } else { format!("{:016x}", status.leader) };
    outln!("Cluster:   {}", status.cluster_id)?;
    outln!("Asked:     {:016x}", status.member)?;
    outln!("Leader:    {leader} in term {term}")?;
    outln!("Log:       {log_first} to {log_last}, agreed {committed}, applied {applied}, snapshot {snapshot}")?;
    outln!("State:     revision {revision}, {objects} objects, {bytes} of {} bytes\n", status.quota_bytes)?;
    members(status, Form::Table)
}

/// Written beside its place and moved there: a file with that name is whole.
async fn backup(session: &Session, file: PathBuf) -> Result<()> {
    if file.exists() {
        bail!("{} exists; choose another name", file.display());
    }
    let mut chunks = Box::pin(session.client().backup().await?);
    let mut progress = Progress::start("copying the state");
    let beside = file.with_extension("unfinished");
    let write =
        |error: std::io::Error| anyhow::Error::from(error).context(format!("cannot write {}", beside.display()));
    let mut copy = std::fs::File::create(&beside).map_err(write)?;
    let mut bytes = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        bytes += chunk.len();
        copy.write_all(&chunk).map_err(write)?;
        progress.say(&format!("copying the state: {} KiB", bytes >> 10));
    }
    copy.sync_all().map_err(write)?;
    std::fs::rename(&beside, &file).with_context(|| format!("cannot name {}", file.display()))?;
    progress.done("");
    outln!("{} holds the state, {bytes} bytes", file.display())?;
    Ok(())
}
