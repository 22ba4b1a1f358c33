//! The client half of the `kapelle` command: manifests in, tables out.
//!
//! Options mean what kubectl users expect. Everything goes to a master over gRPC; nothing here knows how a cluster works.
#![warn(clippy::print_stdout, clippy::print_stderr)] // They panic when nobody reads; `terminal` does not.

mod applyset;
pub mod connect;
mod manifests;
mod names;
mod output;
mod progress;
mod session;
pub mod terminal;
pub mod verbs;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};

pub use connect::{Served, User, kubeconfig_with};
pub use kapelle_client::default_data_dir;
pub use progress::Progress;
pub use session::{push, server_version};
pub use terminal::OutputError;

/// Which cluster and namespace a verb is about.
#[derive(Args, Clone, Debug)]
pub struct Connection {
    /// The kubeconfig that says where the cluster is [default: what $KAPELLE_SERVER names, $KUBECONFIG, ~/.kapelle/kubeconfig]
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig to use [default: its current-context]
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Masters to use instead of the kubeconfig's, tried in turn: https://HOST:PORT,…
    #[arg(long, global = true, value_name = "URL", value_delimiter = ',')]
    pub server: Vec<String>,
    /// The namespace [default: that of the kubeconfig's context]
    #[arg(long, short, global = true)]
    pub namespace: Option<String>,
}

/// What a client can ask for.
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Store a WebAssembly module in the cluster's own registry
    Push(verbs::push::Push),
    /// Run an image as a Deployment, with a Service if it has a port
    Run(verbs::run::Run),
    /// Create or update what manifests describe
    Apply(verbs::apply::Apply),
    /// Show objects
    Get(verbs::get::Get),
    /// Show one object with its surroundings and events
    Describe(verbs::describe::Describe),
    /// Delete objects
    Delete(verbs::delete::Delete),
    /// Show what a container wrote
    Logs(verbs::logs::Logs),
    /// Lead ports of this machine to ports of a Pod
    PortForward(verbs::port_forward::PortForward),
    /// Change the number of replicas
    Scale(verbs::scale::Scale),
    /// Follow or steer a rollout
    #[command(subcommand)]
    Rollout(verbs::rollout::Rollout),
    /// Let masters and workers join
    #[command(subcommand)]
    Token(verbs::token::Token),
    /// Give people and machines tokens, and take them back
    #[command(subcommand)]
    User(verbs::user::User),
    /// Print a kubeconfig for a user, with a new token
    Kubeconfig(verbs::kubeconfig::Kubeconfig),
    /// Say whether somebody may do something, and by which role or what would allow it
    WhyNot(verbs::why_not::WhyNot),
}

/// Carries out a verb. What people read goes to standard output, progress and warnings to standard error.
///
/// # Errors
/// If the cluster cannot be found or reached, or refuses.
pub async fn run(connection: &Connection, verb: Verb) -> Result<()> {
    let session = session::Session::open(connection)?;
    match verb {
        Verb::Push(push) => push.run(&session).await,
        Verb::Run(run) => run.run(&session).await,
        Verb::Apply(apply) => apply.run(&session).await,
        Verb::Get(get) => get.run(&session).await,
        Verb::Describe(describe) => describe.run(&session).await,
        Verb::Delete(delete) => delete.run(&session).await,
        Verb::Logs(logs) => logs.run(&session).await,
        Verb::PortForward(forward) => forward.run(&session).await,
        Verb::Scale(scale) => scale.run(&session).await,
        Verb::Rollout(rollout) => rollout.run(&session).await,
        Verb::Token(token) => token.run(&session).await,
        Verb::User(user) => user.run(&session).await,
        Verb::Kubeconfig(kubeconfig) => kubeconfig.run(&session).await,
        Verb::WhyNot(why_not) => why_not.run(&session).await,
    }
}
