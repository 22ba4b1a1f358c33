//! The API beside kube-apiserver with etcd, in turn in one run:
//! `KUBE_APISERVER=/path/to/kube-apiserver ETCD=/path/to/etcd cargo bench -p kapelle --bench kubernetes`.
//!
//! One loader asks both in the words of Kubernetes: JSON over TLS, HTTP/1.1, connections that are kept. `tests/conformance/run
//! build` builds both programs from their Go modules; without them only Kapelle is measured. Arguments choose scenes by name.
//! `KAPELLE_BENCH_ROUNDS` and `KAPELLE_BENCH_SECONDS` say how often and how long, `KAPELLE_BENCH_OBJECTS` how many objects
//! are listed. Nothing here passes or fails: it prints.

mod client;
#[path = "../common/environment.rs"]
mod environment;
#[path = "../common/figures.rs"]
mod figures;
#[path = "../common/identity.rs"]
mod identity;
#[path = "../common/load.rs"]
mod load;
#[path = "../common/members.rs"]
mod members;
mod objects;
mod rival;
mod scenes;
#[path = "../common/server.rs"]
mod server;
mod settings;
#[path = "../common/table.rs"]
mod table;

use objects::Sort;
use rival::Rival;
use scenes::watch::Way;
use settings::Settings;

/// A scene's name, and what it measures.
const SCENES: [(&str, &str); 6] = [
    ("writes", "one object a request: create, get, patches, server-side apply"),
    ("list", "one long list: JSON, table, protobuf"),
    ("watch", "what a change costs with many watchers"),
    ("websocket", "the same over WebSocket, with twice as many"),
    ("custom", "kinds that users define: objects with 20 rules, and many definitions"),
    ("webhook", "writes about which a webhook is asked"),
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
    runtime.block_on(async {
        let rivals = settings.rivals().await?;
        for (name, what) in SCENES {
            if chosen.is_empty() || chosen.iter().any(|wanted| wanted == name) {
                println!("\n{name}: {what} (load average {})", environment::load_average());
                play(name, &rivals, &settings).await?;
            }
        }
        Ok(())
    })
}

async fn play(name: &str, rivals: &[Rival], settings: &Settings) -> anyhow::Result<()> {
    match name {
        "writes" => scenes::writes::play(rivals, settings).await,
        "list" => scenes::list::play(Sort::ConfigMap, rivals, settings).await,
        "watch" => scenes::watch::play(Way::Lines, Sort::ConfigMap, settings.watchers, rivals, settings).await,
        "custom" => scenes::custom::play(rivals, settings).await,
        "webhook" => scenes::webhook::play(rivals, settings).await,
        _ => scenes::watch::play(Way::Messages, Sort::ConfigMap, 2 * settings.watchers, rivals, settings).await,
    }
}
