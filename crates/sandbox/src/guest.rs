//! The state beside a running instance: what it may touch and what it holds.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime::{Engine, ResourceLimiter, Store};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::books::Books;
use crate::grants::{Access, Mount, Network, Stdin, Stream};
use crate::log::LogStream;
use crate::net::{self, Listening, LookUps};
use crate::outgoing::Hooks;
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

/// What of its container's grants an instance gets to see.
#[derive(Clone, Copy)]
pub(crate) struct Allowed<'a> {
    pub(crate) args: &'a [String],
    pub(crate) env: &'a [(String, String)],
    pub(crate) mounts: &'a [Mount],
    pub(crate) stdin: Stdin,
    pub(crate) network: &'a Network,
}

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
    pub(crate) fn store(
        engine: &Engine,
        allowed: Allowed<'_>,
        books: &Arc<Books>,
        files: Files,
    ) -> io::Result<Store<Self>> {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        let guest = Self {
            wasi: context(allowed, books, files)?.build(),
            http: WasiHttpCtx::new(),
            hooks: Hooks { send: Arc::clone(&allowed.network.send) },
            table,
            network: allowed.network.clone(),
            listening: Listening::new(),
            look_ups: LookUps::new(),
            holdings: Holdings::new(Arc::clone(books)),
        };
        let mut store = Store::new(engine, guest);
        store.set_max_component_handles(MAX_HANDLES);
        store.set_hostcall_fuel(MAX_CALL_BYTES);
        store.limiter(|guest| &mut guest.holdings);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|guest| Ok(guest.data().holdings.books.meter.on_tick()));
        Ok(store)
    }

    /// What the sockets need.
    pub(crate) fn sockets_state(&mut self) -> net::State<'_> {
        net::State {
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
    pub(crate) fn store(engine: &Engine, allowed: Allowed<'_>, books: &Arc<Books>) -> io::Result<Store<Self>> {
        let wasi = context(allowed, books, Files::OwnThreads)?.build_p1();
        let mut store = Store::new(engine, Self { wasi, holdings: Holdings::new(Arc::clone(books)) });
        store.limiter(|guest| &mut guest.holdings);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|guest| Ok(guest.data().holdings.books.meter.on_tick()));
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

/// Sets up everything that a guest is allowed. Fails if a mounted directory cannot be opened.
fn context(allowed: Allowed<'_>, books: &Arc<Books>, files: Files) -> io::Result<WasiCtxBuilder> {
    let mut builder = WasiCtx::builder();
    builder.args(allowed.args).envs(allowed.env);
    builder.stdout(LogStream::new(Arc::clone(&books.log), Stream::Stdout));
    builder.stderr(LogStream::new(Arc::clone(&books.log), Stream::Stderr));
    match allowed.stdin {
        Stdin::Empty => {}
        Stdin::OpenUntilStop => {
            builder.stdin(UntilStop::new(Arc::clone(books)));
        }
    }
    builder.max_random_size(MAX_RANDOM_BYTES);
    builder.allow_blocking_current_thread(files == Files::SameThread);
    for mount in allowed.mounts {
        let perms = match mount.access {
            Access::ReadOnly => FsPerms::ReadOnly,
            Access::ReadWrite => FsPerms::ReadWrite,
        };
        builder.preopened_dir(mount.host.path(), &mount.guest, perms).map_err(io::Error::other)?;
    }
    net::allow(&mut builder, allowed.network);
    Ok(builder)
}

/// What one instance holds of its container's allowance; given back when it goes.
struct Holdings {
    books: Arc<Books>,
    memory_bytes: u64,
    table_elements: usize,
    refused: bool,
}

impl Holdings {
    fn new(books: Arc<Books>) -> Self {
        Self { books, memory_bytes: 0, table_elements: 0, refused: false }
    }
}

impl Drop for Holdings {
    fn drop(&mut self) {
        self.books.memory.give_back(self.memory_bytes);
    }
}

impl ResourceLimiter for Holdings {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current) as u64;
        let granted = self.books.memory.take(more);
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
