//! Masters beside etcd on the same disk, in turn in one run: `ETCD=/path/to/etcd cargo bench -p kapelle --bench masters`.
//!
//! `ETCD` may name several binaries, separated by `:`; without it only Kapelle is measured. `BEFORE` names an earlier
//! build of Kapelle, which then takes its turns as well. Arguments choose scenes by name.
//! `KAPELLE_BENCH_ROUNDS` and `KAPELLE_BENCH_SECONDS` say how often and how long, `KAPELLE_BENCH_OBJECTS` how many objects
//! are stored where it takes many. Nothing here passes or fails: it prints.

mod door;
#[path = "../common/environment.rs"]
mod environment;
mod etcd;
#[path = "../common/figures.rs"]
mod figures;
mod fill;
mod group;
#[path = "../common/identity.rs"]
mod identity;
#[path = "../common/load.rs"]
mod load;
#[path = "../common/members.rs"]
mod members;
mod scenes;
#[path = "../common/server.rs"]
mod server;
mod settings;
#[path = "../common/table.rs"]
mod table;

use settings::Settings;

/// A scene's name, and what it measures.
const SCENES: [(&str, &str); 9] = [
    ("puts", "durable writes of 1 KiB"),
    ("in-process", "durable writes without the API, beside etcd's puts"),
    ("gets", "linearizable reads"),
    ("list", "paging through everything"),
    ("watch", "what a change costs with many watchers"),
    ("restart", "memory, and the time from a start after kill -9 to the first answer"),
    ("rights", "a decision among 10,000 bindings, requests of who has rights by roles, and when a binding counts"),
    ("neighbours", "what users notice of another one who lists everything in a loop"),
    ("gap", "how long nobody can write when the leader is killed"),
];

fn main() -> anyhow::Result<()> {
    rpc::identity::install_provider();
    let settings = Settings::from_environment()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if let Some(unknown) = chosen.iter().find(|name| SCENES.iter().all(|(scene, _)| scene != name)) {
        let names = SCENES.map(|(scene, _)| scene).join(", ");
        anyhow::bail!("there is no scene {unknown}; there are {names}");
    }
    println!("{}", figures::machine());
    println!("{}", settings.told());
    for (name, what) in SCENES {
        if chosen.is_empty() || chosen.iter().any(|wanted| wanted == name) {
            println!("\n{name}: {what} (load average {})", environment::load_average());
            runtime.block_on(play(name, &settings))?;
        }
    }
    Ok(())
}

async fn play(name: &str, settings: &Settings) -> anyhow::Result<()> {
    match name {
        "puts" => scenes::puts::play(settings).await,
        "in-process" => scenes::in_process::play(settings).await,
        "gets" => scenes::gets::play(settings).await,
        "list" => scenes::list::play(settings).await,
        "watch" => scenes::watch::play(settings).await,
        "restart" => scenes::restart::play(settings).await,
        "rights" => scenes::rights::play(settings).await,
        "neighbours" => scenes::neighbours::play(settings).await,
        _ => scenes::gap::play(settings).await,
    }
}
