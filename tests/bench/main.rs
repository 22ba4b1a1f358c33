//! What README promises, measured: `cargo bench -p kapelle`. Side by side, A B A B in one run, and ratios.
//!
//! `wasmtime serve` takes part if `WASMTIME` names its binary (version 48). Nothing here passes or fails: it prints.

mod bare;
mod cluster;
mod load;
mod serving;
mod starting;

use std::env;

/// The argument under which this program starts itself again as the bare server.
const BARE: &str = "--bare-server";

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut arguments = env::args().skip(1);
    if arguments.next().as_deref() == Some(BARE) {
        let listen = arguments.next().unwrap_or_default().parse()?;
        return runtime.block_on(bare::serve(listen));
    }
    runtime.block_on(async {
        println!("{}", machine());
        starting::idle().await?;
        starting::apply_to_ready().await?;
        starting::a_thousand_pods().await?;
        serving::requests().await
    })
}

/// The machine, since no number means anything without it.
fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("?", |(_, name)| name);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("machine: {cpus} × {model}, Linux {}", kernel.trim())
}

/// The middle value.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
