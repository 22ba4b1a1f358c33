//! From bytes to machine code: out of the cache, or compiled on a thread of low priority.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;

use bytes::Bytes;
use tokio::sync::oneshot;
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use crate::cache::{Cache, Meta, ProgramKind};
use crate::engine::{Engines, Level};
use crate::image::{self, Digest, Image, Source};
use crate::sniff::{self, Form, MAX_IMAGE_BYTES};
use crate::{ImageError, OpenError};

/// Compiling may use whatever the guests and the node leave over.
const COMPILE_NICE: i32 = 15;

/// Every name of a p3 interface has it, and the sections that carry names are not compressed.
const P3_MARK: &[u8] = b"@0.3.";

/// How many exports an error message names.
const EXPORTS_NAMED: usize = 5;

/// One image to make, and where to send it.
struct Job {
    digest: Digest,
    source: Source,
    done: oneshot::Sender<Result<Image, ImageError>>,
}

/// Two threads: one loads what is in the cache, which takes a millisecond, and hands the rest to the other, which compiles.
/// So nobody whose image is ready waits for somebody else's compiler. Wasmtime compiles the functions of an image
/// in parallel, on threads that inherit the compiling one's priority.
pub(crate) struct Compiler {
    jobs: mpsc::Sender<Job>,
}

/// What both threads need.
struct Workshop {
    engines: Arc<Engines>,
    cache: Cache,
}

impl Compiler {
    pub(crate) fn start(engines: Arc<Engines>, cache: Cache) -> Result<Self, OpenError> {
        let workshop = Arc::new(Workshop { engines, cache });
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (misses, missed) = mpsc::channel::<Job>();
        let loader = Arc::clone(&workshop);
        let thread = |name: &str| std::thread::Builder::new().name(name.into());
        let load = move || inbox.into_iter().for_each(|job| loader.load_or_pass(job, &misses));
        thread("sandbox-load").spawn(load).map_err(OpenError::Thread)?;
        let compile = move || {
            crate::sandbox::be_nice(COMPILE_NICE);
            missed.into_iter().for_each(|job| workshop.compile(job));
        };
        thread("sandbox-compile").spawn(compile).map_err(OpenError::Thread)?;
        Ok(Self { jobs })
    }

    /// Makes an image ready, from the cache or from its bytes.
    pub(crate) async fn make(&self, digest: Digest, source: Source) -> Result<Image, ImageError> {
        let (done, result) = oneshot::channel();
        let gone = || ImageError::Internal("the compiler's thread has ended".into());
        self.jobs.send(Job { digest, source, done }).map_err(|_| gone())?;
        result.await.map_err(|_| gone())?
    }
}

impl Workshop {
    fn load_or_pass(&self, job: Job, misses: &mpsc::Sender<Job>) {
        match self.load(job.digest) {
            // Nobody waits any more if the receiver is gone.
            Some(image) => drop(job.done.send(Ok(image))),
            // The compiling thread ends after this one, whose sender keeps it alive.
            None => drop(misses.send(job)),
        }
    }

    fn load(&self, digest: Digest) -> Option<Image> {
        let meta = self.cache.find(digest)?;
        let image = Image::load(digest, meta, self.cache.code_path(digest), Arc::clone(&self.engines));
        image
            .inspect_err(
                |error| tracing::warn!(%digest, %error, "a compiled image does not load and is compiled again"),
            )
            .ok()
    }

    fn compile(&self, job: Job) {
        let image = self.make(job.digest, &job.source);
        // Nobody waits any more if the receiver is gone; the result is in the cache all the same.
        drop(job.done.send(image));
    }

    fn make(&self, digest: Digest, source: &Source) -> Result<Image, ImageError> {
        let bytes = read(source)?;
        let actual = Digest::of(&bytes);
        if actual != digest {
            return Err(ImageError::WrongDigest { expected: digest.to_string(), actual: actual.to_string() });
        }
        let (meta, code) = compile(&self.engines, &bytes)?;
        self.cache.store(digest, meta, &code).map_err(|error| ImageError::Internal(error.to_string()))?;
        Image::load(digest, meta, self.cache.code_path(digest), Arc::clone(&self.engines))
    }
}

fn read(source: &Source) -> Result<Bytes, ImageError> {
    match source {
        Source::Bytes(bytes) => Ok(bytes.clone()),
        Source::Path(path) => read_file(path),
    }
}

fn read_file(path: &PathBuf) -> Result<Bytes, ImageError> {
    let failed = |error: std::io::Error| ImageError::Read { path: path.clone(), reason: error.to_string() };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > MAX_IMAGE_BYTES {
        return Err(ImageError::TooLarge { bytes: size, limit: MAX_IMAGE_BYTES });
    }
    std::fs::read(path).map(Bytes::from).map_err(failed)
}

/// Machine code for `bytes`, linked once to see that nothing is missing.
fn compile(engines: &Engines, bytes: &[u8]) -> Result<(Meta, Vec<u8>), ImageError> {
    match sniff::form(bytes)? {
        Form::Module => compile_module(engines, bytes),
        Form::Component => compile_component(engines, bytes),
    }
}

fn compile_module(engines: &Engines, bytes: &[u8]) -> Result<(Meta, Vec<u8>), ImageError> {
    let pair = engines.pair(Level::Lean).map_err(ImageError::Internal)?;
    let engine = &pair.on_demand.engine;
    let code = engine.precompile_module(bytes).map_err(invalid)?;
    // SAFETY: these bytes came out of the compiler one line above.
    let module = unsafe { Module::deserialize(engine, &code) }.map_err(invalid)?;
    image::link_core(engines, &module)?;
    if module.get_export("_start").is_none() {
        return Err(no_entry(module.exports().map(|export| export.name().to_string())));
    }
    Ok((Meta { level: Level::Lean, program: ProgramKind::Core }, code))
}

fn compile_component(engines: &Engines, bytes: &[u8]) -> Result<(Meta, Vec<u8>), ImageError> {
    let level = if contains(bytes, P3_MARK) { Level::P3 } else { Level::Lean };
    let half = &engines.pair(level).map_err(ImageError::Internal)?.on_demand;
    let code = half.engine.precompile_component(bytes).map_err(invalid)?;
    // SAFETY: these bytes came out of the compiler one line above.
    let component = unsafe { Component::deserialize(&half.engine, &code) }.map_err(invalid)?;
    let program = entry(&half.engine, &component)?;
    image::link_component(program, half, &component)?;
    Ok((Meta { level, program }, code))
}

/// The best entry point: handlers before commands, newer before older.
fn entry(engine: &Engine, component: &Component) -> Result<ProgramKind, ImageError> {
    const ENTRIES: [(&str, ProgramKind); 4] = [
        ("wasi:http/handler@0.3.", ProgramKind::HttpP3),
        ("wasi:http/incoming-handler@0.2.", ProgramKind::HttpP2),
        ("wasi:cli/run@0.3.", ProgramKind::RunP3),
        ("wasi:cli/run@0.2.", ProgramKind::RunP2),
    ];
    let ty = component.component_type();
    let exports: Vec<&str> = ty.exports(engine).map(|(name, _)| name).collect();
    let found = ENTRIES.iter().find(|(start, _)| exports.iter().any(|name| name.starts_with(start)));
    match found {
        Some((_, kind)) => Ok(*kind),
        None => Err(no_entry(exports.iter().map(ToString::to_string))),
    }
}

fn no_entry(exports: impl Iterator<Item = String>) -> ImageError {
    let names: Vec<String> = exports.take(EXPORTS_NAMED).collect();
    let exports =
        if names.is_empty() { "it exports nothing".into() } else { format!("it exports {}", names.join(", ")) };
    ImageError::NoEntry { exports }
}

fn contains(bytes: &[u8], mark: &[u8]) -> bool {
    bytes.windows(mark.len()).any(|window| window == mark)
}

fn invalid(error: wasmtime::Error) -> ImageError {
    ImageError::Invalid(format!("{error:#}"))
}
