//! An image: what it was made from, what it does, and its code, shared by all containers that run it.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use wasmtime::component::{Component, InstancePre};
use wasmtime::{Engine, Module};
use wasmtime_wasi::p2::bindings as p2;
use wasmtime_wasi_http::handler::ProxyPre;

use crate::digest::Digest;
use crate::engine::{Engines, Half};
use crate::errors::ImageError;
use crate::guest::{CoreGuest, Guest};
use crate::imports;
use crate::load::on_a_large_stack;
use crate::meta::{Meta, ProgramKind, Shape};

/// Where the bytes of an image are. They are not touched if the image was compiled before.
#[derive(Clone, Debug)]
pub enum Source {
    /// In memory.
    Bytes(Bytes),
    /// In a file.
    Path(PathBuf),
}

/// A compiled image, ready to start; shared by all its containers. Its code is unloaded with the last reference.
pub struct Image {
    digest: Digest,
    meta: Meta,
    program: Program,
    overflow: Overflow,
    engines: Arc<Engines>,
}

/// Code that is linked against everything it imports.
pub(crate) enum Program {
    Core(InstancePre1),
    RunP2(p2::CommandPre<Guest>),
    RunP3(InstancePre<Guest>),
    Http(ProxyPre<Guest>),
}

type InstancePre1 = wasmtime::InstancePre<CoreGuest>;

/// The same code on the engine without a pool; loaded when the pool first runs out.
struct Overflow {
    code: PathBuf,
    pre: OnceLock<Result<ProxyPre<Guest>, String>>,
}

impl Image {
    /// The digest of the bytes it was made from.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Command or HTTP handler.
    pub fn shape(&self) -> Shape {
        self.meta.program.shape()
    }

    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    /// The engine on which `program` lives.
    pub(crate) fn engine(&self) -> &Engine {
        match &self.program {
            Program::Core(pre) => pre.module().engine(),
            Program::RunP2(pre) => pre.engine(),
            Program::RunP3(pre) => pre.engine(),
            Program::Http(pre) => proxy_engine(pre),
        }
    }

    /// The HTTP handler on the engine without a pool, and that engine.
    pub(crate) fn overflow(&self) -> Result<&ProxyPre<Guest>, String> {
        let made = self.overflow.pre.get_or_init(|| {
            let half = &self.engines.pair(self.meta.level)?.on_demand;
            on_a_large_stack(|| {
                let component = load_component(&half.engine, &self.overflow.code)?;
                http_pre(self.meta.program, half, &component).map_err(|error| error.to_string())
            })?
        });
        made.as_ref().map_err(Clone::clone)
    }

    /// Loads what lies in the cache.
    pub(crate) fn load(digest: Digest, meta: Meta, code: PathBuf, engines: Arc<Engines>) -> Result<Self, ImageError> {
        let program = load_program(meta, &code, &engines)?;
        Ok(Self { digest, meta, program, overflow: Overflow { code, pre: OnceLock::new() }, engines })
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Image").field("digest", &self.digest).field("shape", &self.shape()).finish_non_exhaustive()
    }
}

/// The engine of a handler.
pub(crate) fn proxy_engine(pre: &ProxyPre<Guest>) -> &Engine {
    match pre {
        ProxyPre::P2(pre) => pre.engine(),
        ProxyPre::P3(pre) => pre.engine(),
    }
}

fn load_program(meta: Meta, code: &std::path::Path, engines: &Engines) -> Result<Program, ImageError> {
    let pair = engines.pair(meta.level).map_err(ImageError::Internal)?;
    match meta.program {
        ProgramKind::Core => {
            // SAFETY: only this program writes into the cache's directory (mode 0700), and the file's sum was just checked.
            let module = unsafe { Module::deserialize_file(&pair.on_demand.engine, code) };
            link_core(engines.core_linker().map_err(ImageError::Internal)?, &module.map_err(internal)?)
        }
        ProgramKind::RunP2 | ProgramKind::RunP3 => {
            let component = load_component(&pair.on_demand.engine, code).map_err(ImageError::Internal)?;
            link_component(meta.program, &pair.on_demand, &component)
        }
        ProgramKind::HttpP2 | ProgramKind::HttpP3 => {
            let component = load_component(&pair.pooled.engine, code).map_err(ImageError::Internal)?;
            link_component(meta.program, &pair.pooled, &component)
        }
    }
}

fn load_component(engine: &Engine, code: &std::path::Path) -> Result<Component, String> {
    // SAFETY: only this program writes into the cache's directory (mode 0700), and the file's sum was checked when it was found or made.
    unsafe { Component::deserialize_file(engine, code) }.map_err(|error| format!("{error:#}"))
}

/// Links a core module; an import that nobody offers is named.
pub(crate) fn link_core(linker: &wasmtime::Linker<CoreGuest>, module: &Module) -> Result<Program, ImageError> {
    match linker.instantiate_pre(module) {
        Ok(pre) => Ok(Program::Core(pre)),
        Err(error) => Err(match error.downcast_ref::<wasmtime::UnknownImportError>() {
            Some(unknown) => ImageError::UnknownImport {
                import: format!("{} of {}", unknown.name(), unknown.module()),
                closest: imports::closest_core(unknown.module()),
            },
            None => ImageError::Invalid(format!("{error:#}")),
        }),
    }
}

/// Links a component; an import that nobody offers is named.
pub(crate) fn link_component(kind: ProgramKind, half: &Half, component: &Component) -> Result<Program, ImageError> {
    match kind {
        ProgramKind::Core => Err(ImageError::Internal("a module was recorded as a component".into())),
        ProgramKind::RunP2 => {
            let pre = instance_pre(half, component)?;
            Ok(Program::RunP2(p2::CommandPre::new(pre).map_err(|error| ImageError::Invalid(format!("{error:#}")))?))
        }
        ProgramKind::RunP3 => Ok(Program::RunP3(instance_pre(half, component)?)),
        ProgramKind::HttpP2 | ProgramKind::HttpP3 => Ok(Program::Http(http_pre(kind, half, component)?)),
    }
}

fn http_pre(kind: ProgramKind, half: &Half, component: &Component) -> Result<ProxyPre<Guest>, ImageError> {
    let pre = instance_pre(half, component)?;
    let invalid = |error: wasmtime::Error| ImageError::Invalid(format!("{error:#}"));
    if kind == ProgramKind::HttpP3 {
        let service = wasmtime_wasi_http::p3::bindings::ServicePre::new(pre);
        return Ok(ProxyPre::P3(service.map_err(invalid)?));
    }
    let proxy = wasmtime_wasi_http::p2::bindings::ProxyPre::new(pre);
    Ok(ProxyPre::P2(proxy.map_err(invalid)?))
}

fn instance_pre(half: &Half, component: &Component) -> Result<InstancePre<Guest>, ImageError> {
    let linker = half.linker().map_err(ImageError::Internal)?;
    linker.instantiate_pre(component).map_err(|error| {
        let ty = component.component_type();
        let unknown = ty.imports(&half.engine).map(|(name, _)| name).find(|name| !imports::is_offered(name));
        match unknown {
            Some(import) => ImageError::UnknownImport { import: import.to_string(), closest: imports::closest(import) },
            None => ImageError::Invalid(format!("{error:#}")),
        }
    })
}

fn internal(error: wasmtime::Error) -> ImageError {
    ImageError::Internal(format!("{error:#}"))
}
