//! Wasmtime's engines and linkers, set up once for all images.
//!
//! There are four engines in two pairs. The *lean* pair runs WASI p1 and p2 without support for the component model's
//! concurrency, which costs every call a sixth; the *p3* pair has it and is made when the first p3 image comes. In each
//! pair one engine takes instances from a pool (requests: many short lives, no system call each) and one allocates on demand
//! (commands: long lives, any number; also requests when the pool is empty). The two of a pair generate the same code, so one
//! compiled file serves both.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, OnceLock};

use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

use crate::cpu::Ticker;
use crate::errors::OpenError;
use crate::grants::MAX_MEMORY_BYTES;
use crate::guest::{CoreGuest, Guest};
use crate::meta::Level;
use crate::sockets;

/// Core instances, memories and tables that a component may need: three, one and two for those of Rust and C, more for JavaScript.
const CORE_INSTANCES_EACH: u32 = 6;
const MEMORIES_EACH: u32 = 2;
const TABLES_EACH: u32 = 4;

/// Elements of one pooled table; larger ones go to the engine without a pool.
const POOLED_TABLE_ELEMENTS: usize = 20_000;

/// Memory of a pooled instance that is cleared in place after use instead of being given back to the system,
/// which would cost system calls. Only pages that were written count.
const KEEP_MEMORY_BYTES: usize = 2 << 20;
const KEEP_TABLE_BYTES: usize = 64 << 10;
const KEEP_STACK_BYTES: usize = 64 << 10;

/// Free slots that stay tied to the image they last ran. More would be faster with many images, and cost memory.
const WARM_SLOTS: u32 = 100;

/// Frames of a trap that are recorded.
const BACKTRACE_FRAMES: std::num::NonZeroUsize = std::num::NonZeroUsize::new(16).expect("16 is not zero");

/// All engines.
pub(crate) struct Engines {
    lean: Pair,
    p3: OnceLock<Result<Pair, String>>,
    core: OnceLock<Result<wasmtime::Linker<CoreGuest>, String>>,
    ticker: Arc<Ticker>,
    pool_slots: u32,
}

/// A pool and an engine without one.
pub(crate) struct Pair {
    pub(crate) pooled: Half,
    pub(crate) on_demand: Half,
}

/// An engine and what components find on it.
pub(crate) struct Half {
    pub(crate) engine: Engine,
    linker: OnceLock<Result<Linker<Guest>, String>>,
    level: Level,
}

impl Engines {
    pub(crate) fn new(pool_slots: u32, ticker: Arc<Ticker>) -> Result<Self, OpenError> {
        let lean = Pair::new(Level::Lean, pool_slots, &ticker).map_err(OpenError::Engine)?;
        Ok(Self { lean, p3: OnceLock::new(), core: OnceLock::new(), ticker, pool_slots })
    }

    /// The engines for images of `level`.
    pub(crate) fn pair(&self, level: Level) -> Result<&Pair, String> {
        match level {
            Level::Lean => Ok(&self.lean),
            Level::P3 => {
                let made = self.p3.get_or_init(|| Pair::new(Level::P3, self.pool_slots, &self.ticker));
                made.as_ref().map_err(Clone::clone)
            }
        }
    }

    /// What core modules find.
    pub(crate) fn core_linker(&self) -> Result<&wasmtime::Linker<CoreGuest>, String> {
        let made = self.core.get_or_init(|| core_linker(&self.lean.on_demand.engine));
        made.as_ref().map_err(Clone::clone)
    }

    /// Names everything that decides whether a compiled file fits: version, settings, processor. The p3 pair differs from the
    /// lean one in a way that follows from the version, so the lean one's hash stands for both.
    pub(crate) fn compatibility(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.lean.on_demand.engine.precompile_compatibility_hash().hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}

impl Pair {
    fn new(level: Level, pool_slots: u32, ticker: &Ticker) -> Result<Self, String> {
        let mut pooled = base_config(level);
        pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(pool_slots)));
        let pair = Self { pooled: Half::new(&pooled, level)?, on_demand: Half::on_demand(level)? };
        ticker.add(pair.pooled.engine.clone());
        ticker.add(pair.on_demand.engine.clone());
        Ok(pair)
    }
}

impl Half {
    /// The engine without a pool; also the one that compiles.
    pub(crate) fn on_demand(level: Level) -> Result<Self, String> {
        let mut config = base_config(level);
        config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
        Self::new(&config, level)
    }

    fn new(config: &Config, level: Level) -> Result<Self, String> {
        let engine = Engine::new(config).map_err(|error| format!("{error:#}"))?;
        Ok(Self { engine, linker: OnceLock::new(), level })
    }

    /// What components find on this engine; made when it is first asked for.
    pub(crate) fn linker(&self) -> Result<&Linker<Guest>, String> {
        let made = self.linker.get_or_init(|| fill_linker(&self.engine, self.level).map_err(|error| error.to_string()));
        made.as_ref().map_err(Clone::clone)
    }
}

/// What core modules find on an engine.
pub(crate) fn core_linker(engine: &Engine) -> Result<wasmtime::Linker<CoreGuest>, String> {
    let mut linker = wasmtime::Linker::new(engine);
    wasmtime_wasi::p1::add_to_linker_async(&mut linker, |guest: &mut CoreGuest| &mut guest.wasi)
        .map_err(|error| error.to_string())?;
    Ok(linker)
}

fn fill_linker(engine: &Engine, level: Level) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    match level {
        Level::Lean => {}
        Level::P3 => {
            wasmtime_wasi::p3::add_to_linker(&mut linker)?;
            wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
        }
    }
    sockets::add_to_linker(&mut linker, level)?;
    Ok(linker)
}

/// Settings that generated code depends on; the same for both engines of a pair.
fn base_config(level: Level) -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.memory_init_cow(true);
    // Debug information is the guest's, and reading it would be this process's work.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config.wasm_backtrace_max_frames(Some(BACKTRACE_FRAMES));
    config.concurrency_support(level == Level::P3);
    config
}

fn pool(slots: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots * CORE_INSTANCES_EACH)
        .total_memories(slots * MEMORIES_EACH)
        .total_tables(slots * TABLES_EACH)
        .total_stacks(slots)
        .table_elements(POOLED_TABLE_ELEMENTS)
        .max_memory_size(MAX_MEMORY_BYTES as usize)
        .max_unused_warm_slots(WARM_SLOTS)
        .decommit_batch_size(1)
        .linear_memory_keep_resident(KEEP_MEMORY_BYTES)
        .table_keep_resident(KEEP_TABLE_BYTES)
        .async_stack_keep_resident(KEEP_STACK_BYTES)
        .pagemap_scan(Enabled::Auto);
    pool
}
