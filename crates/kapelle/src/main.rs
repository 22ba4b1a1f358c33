//! The `kapelle` command: builds the parts and joins them. Nothing here decides anything about an object.
#![warn(clippy::print_stdout, clippy::print_stderr)] // They panic when nobody reads; `cli::terminal` does not.

mod bridge;
mod clock;
mod cluster;
mod demo;
mod desk;
mod dev;
mod group;
mod logging;
mod master;
mod memory;
mod neighbours;
mod open;
mod pki;
mod process;
mod ranges;
mod ticket;
mod version;
mod worker;

use std::process::ExitCode;

use api::Reason;
use clap::{CommandFactory as _, Parser, Subcommand};
use cli::{OutputError, errln, terminal};

/// Kapelle runs WebAssembly Pods on your own machines, the way Kubernetes runs containers
#[derive(Parser, Debug)]
#[command(name = "kapelle", version = version::VERSION, max_term_width = 100)]
struct Kapelle {
    #[command(flatten)]
    connection: cli::Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run a whole cluster in this process, on loopback, without root
    Dev(dev::Dev),
    /// Run a master: one of those that agree on the cluster's state and serve it
    Master(master::Master),
    /// Run a worker: a node that runs Pods
    Worker(worker::Worker),
    /// Look after the group of masters
    #[command(subcommand)]
    Cluster(cluster::Cluster),
    /// What this command and the cluster are
    Version,
    /// Print a completion script for a shell
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    #[command(flatten)]
    Client(cli::Verb),
}

fn main() -> ExitCode {
    if let Some(ended) = sandbox::compile_if_asked() {
        return ended;
    }
    memory::give_back_at_once();
    process::keep_files_private();
    let Kapelle { connection, command } = match Kapelle::try_parse() {
        Ok(parsed) => parsed,
        Err(usage) => return ended(usage.print().map_err(|error| OutputError::from(error).into()), usage.exit_code()),
    };
    ended(run(&connection, command), 0)
}

/// The exit code of the command, once all its output has been taken. An error is told, unless it is only that the reader has
/// seen enough: `kapelle get pods | head -1` is no failure.
fn ended(result: anyhow::Result<()>, code: i32) -> ExitCode {
    match result.and_then(|()| Ok(terminal::flush()?)) {
        Err(error) if !error.downcast_ref().is_some_and(OutputError::is_closed) => {
            errln!("{}", told(&error));
            ExitCode::FAILURE
        }
        Ok(()) | Err(_) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
    }
}

fn run(connection: &cli::Connection, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Dev(dev) => dev.run(),
        Command::Master(master) => master.run(),
        Command::Worker(worker) => worker.run(),
        Command::Cluster(cluster) => cluster.run(connection),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Kapelle::command(), "kapelle", &mut script);
            Ok(terminal::write_bytes(&script)?)
        }
        Command::Version => client_runtime()?.block_on(version::print(connection)),
        Command::Client(verb) => client_runtime()?.block_on(cli::run(connection, verb)),
    }
}

/// A client does one thing at a time.
fn client_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// An error as `kubectl` tells it: what the server says of an object begins with its reason, which scripts look for.
fn told(error: &anyhow::Error) -> String {
    let answer = error.chain().find_map(|cause| cause.downcast_ref::<api::Error>());
    match answer.map(|answer| answer.reason) {
        Some(
            reason @ (Reason::NotFound
            | Reason::AlreadyExists
            | Reason::Conflict
            | Reason::Forbidden
            | Reason::Unauthorized
            | Reason::RequestEntityTooLarge),
        ) => format!("Error from server ({reason:?}): {error:#}"),
        _ => format!("error: {error:#}"),
    }
}
