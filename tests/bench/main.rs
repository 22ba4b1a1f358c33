//! What README promises, measured: `cargo bench -p kapelle --bench road`. Side by side, A B A B in one run, and ratios.
//!
//! `wasmtime serve` takes part if `WASMTIME` names its binary (version 48). Nothing here passes or fails: it prints.

mod bare;
mod cluster;
#[path = "common/figures.rs"]
mod figures;
mod load;
mod serving;
mod starting;

use std::env;

use figures::machine;

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
