//! The state beside a running instance: what it may touch and what it holds.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime::{Engine, ResourceLimiter, Store};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::container::Shared;
use crate::log::LogStream;
use crate::net::{self, Listening, LookUps};
use crate::outgoing::Hooks;
use crate::spec::{Access, Network, Spec, Stdin, Stream};
use crate::stdin::UntilStop;

/// Entries of all tables of an instance together; a large program has some ten thousand functions in its table.
const MAX_TABLE_ELEMENTS: usize = 200_000;

/// Core instances in one store; a JavaScript component has 8.
const MAX_INSTANCES: usize = 64;

/// Tables and memories in one store.
const MAX_TABLES: usize = 64;
const MAX_MEMORIES: usize = 16;

/// Resources of the host (files, sockets, streams, requests) that one instance may hold.
const MAX_RESOURCES: usize = 4_096;

/// Handles that an instance may hold in its own tables, also for resources of its own.
const MAX_HANDLES: usize = 10_000;

/// Bytes that one call may hand to the host; what the host copies lies outside the memory limit.
const MAX_CALL_BYTES: usize = 16 << 20;

/// Random bytes that one call may ask for: more would hold the thread for longer than a slice.
const MAX_RANDOM_BYTES: u64 = 1 << 20;

/// State of a component.
pub(crate) struct Guest {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    table: ResourceTable,
    network: Network,
    listening: Listening,
    look_ups: LookUps,
    holdings: Holdings,
}

/// State of a core module.
pub(crate) struct CoreGuest {
    pub(crate) wasi: WasiP1Ctx,
    holdings: Holdings,
}

impl Guest {
    /// A store for one instance of a component.
    pub(crate) fn store(engine: &Engine, spec: &Spec, shared: &Arc<Shared>, files: Files) -> io::Result<Store<Self>> {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        let guest = Self {
            wasi: context(spec, shared, files)?.build(),
            http: WasiHttpCtx::new(),
            hooks: Hooks { send: Arc::clone(&spec.network.send) },
            table,
            network: spec.network.clone(),
            listening: Listening::new(),
            look_ups: LookUps::new(),
            holdings: Holdings::new(Arc::clone(shared)),
        };
        let mut store = Store::new(engine, guest);
        store.set_max_component_handles(MAX_HANDLES);
        store.set_hostcall_fuel(MAX_CALL_BYTES);
        store.limiter(|guest| &mut guest.holdings);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|guest| Ok(guest.data().holdings.shared.meter.on_tick()));
        Ok(store)
    }

    /// What the sockets need.
    pub(crate) fn sockets_parts(&mut self) -> net::Parts<'_> {
        net::Parts {
            wasi: &mut self.wasi,
            table: &mut self.table,
            network: &self.network,
            listening: &mut self.listening,
            look_ups: &mut self.look_ups,
        }
    }

    /// What the instance can reach.
    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// Tells that the instance listens on an address, until the instance goes.
    pub(crate) fn listens(&mut self, address: SocketAddr) {
        self.listening.insert(address, (self.network.listen)(address));
    }

    /// Whether the instance was refused memory.
    pub(crate) fn was_refused_memory(&self) -> bool {
        self.holdings.refused
    }
}

impl CoreGuest {
    /// A store for one instance of a core module.
    pub(crate) fn store(engine: &Engine, spec: &Spec, shared: &Arc<Shared>) -> io::Result<Store<Self>> {
        let wasi = context(spec, shared, Files::OwnThreads)?.build_p1();
        let mut store = Store::new(engine, Self { wasi, holdings: Holdings::new(Arc::clone(shared)) });
        store.limiter(|guest| &mut guest.holdings);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|guest| Ok(guest.data().holdings.shared.meter.on_tick()));
        Ok(store)
    }

    /// Whether the instance was refused memory.
    pub(crate) fn was_refused_memory(&self) -> bool {
        self.holdings.refused
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.hooks }
    }
}

/// On which threads files are read and written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Files {
    /// On the thread that runs the guest: right for the short accesses of a request.
    SameThread,
    /// On threads that may block: right for commands, which share few threads.
    OwnThreads,
}

/// Everything that a guest is allowed, from its spec. Fails if a mounted directory cannot be opened.
fn context(spec: &Spec, shared: &Arc<Shared>, files: Files) -> io::Result<WasiCtxBuilder> {
    let mut builder = WasiCtx::builder();
    builder.args(&spec.args).envs(&spec.env);
    builder.stdout(LogStream::new(Arc::clone(&shared.log), Stream::Stdout));
    builder.stderr(LogStream::new(Arc::clone(&shared.log), Stream::Stderr));
    match spec.stdin {
        Stdin::Empty => {}
        Stdin::OpenUntilStop => {
            builder.stdin(UntilStop::new(Arc::clone(shared)));
        }
    }
    builder.max_random_size(MAX_RANDOM_BYTES);
    builder.allow_blocking_current_thread(files == Files::SameThread);
    for mount in &spec.mounts {
        let perms = match mount.access {
            Access::ReadOnly => FsPerms::ReadOnly,
            Access::ReadWrite => FsPerms::ReadWrite,
        };
        builder.preopened_dir(mount.host.path(), &mount.guest, perms).map_err(io::Error::other)?;
    }
    net::allow(&mut builder, &spec.network);
    Ok(builder)
}

/// What one instance holds of its container's allowance; given back when it goes.
struct Holdings {
    shared: Arc<Shared>,
    memory_bytes: u64,
    table_elements: usize,
    refused: bool,
}

impl Holdings {
    fn new(shared: Arc<Shared>) -> Self {
        Self { shared, memory_bytes: 0, table_elements: 0, refused: false }
    }
}

impl Drop for Holdings {
    fn drop(&mut self) {
        self.shared.memory.give_back(self.memory_bytes);
    }
}

impl ResourceLimiter for Holdings {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current) as u64;
        let granted = self.shared.memory.take(more);
        if granted {
            self.memory_bytes += more;
        } else {
            self.refused = true;
        }
        Ok(granted)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let elements = self.table_elements + desired.saturating_sub(current);
        if elements > MAX_TABLE_ELEMENTS {
            return Ok(false);
        }
        self.table_elements = elements;
        Ok(true)
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}
