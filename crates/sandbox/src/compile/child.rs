//! The compiler's own process: all that looks into the bytes of an image happens here, under limits, and ends with this process.
//!
//! It is this program again, started with [`WORD`]. Standard input is the image, standard output the file for its code, standard
//! error the [`Report`]. It takes its limits upon itself before it reads a byte; where a system can confine it further, [`confine`] is where
//! to ask for it.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use rustix::thread::set_no_new_privs;
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use super::CompileLimits;
use crate::cpu::be_nice;
use crate::engine::{self, Half};
use crate::errors::ImageError;
use crate::image;
use crate::meta::{Level, Meta, ProgramKind};
use crate::report::Report;
use crate::sniff::{self, Form, MAX_IMAGE_BYTES};

/// The first argument of a process that is to compile; users do not type it.
pub(crate) const WORD: &str = "compile-one-image";

/// Stands before the report: whatever else writes to standard error writes no zero byte.
pub(super) const MARK: &[u8] = b"\0report\0";

/// What is said of an image on which the compiler fails in a way that it should not.
pub(super) const BROKE_DOWN: &str = "the compiler breaks down on it";

/// Compiling may use whatever the guests and the node leave over.
const COMPILE_NICE: i32 = 15;

/// When memory is short, this process goes first.
const OOM_SCORE: &[u8] = b"1000";

/// The largest file of machine code, in bytes: it is about five times the image.
const CODE_BYTES_MAX: u64 = 2 << 30;

/// How long after its limit a process that does not end is ended, in seconds of CPU time.
const CPU_SECONDS_LEFT: u64 = 5;

/// Every name of a p3 interface has it, and the sections that carry names are not compressed.
const P3_MARK: &[u8] = b"@0.3.";

/// How many exports an error message names.
const EXPORTS_NAMED: usize = 5;

/// Compiles and says how this process ends, if that is what it was started for. Call it first of all: nothing that `main`
/// sets up is needed here, and the image's Pod waits.
pub fn compile_if_asked() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    if args.next()? != WORD {
        return None;
    }
    let args = args.map(|word| word.into_string().unwrap_or_default());
    // What it would say about a panic is in the report.
    std::panic::set_hook(Box::new(|_| {}));
    let report = match CompileLimits::from_words(args) {
        Some(limits) => compile_under(limits),
        None => Report::Failed("the compiler was started with other words than it knows".to_owned()),
    };
    let told = io::stderr().write_all(&[MARK, &report.encode()].concat());
    Some(if told.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The first descriptor after the three that this process is given.
const FIRST_OTHER_FILE: libc::c_uint = 3;

fn compile_under(limits: CompileLimits) -> Report {
    if let Err(error) = confine(limits) {
        return Report::Failed(format!("the compiler cannot be confined: {error}"));
    }
    let stack = usize::try_from(limits.stack_bytes).unwrap_or(usize::MAX);
    let thread = std::thread::Builder::new().stack_size(stack).spawn(compile_image);
    match thread.map(std::thread::JoinHandle::join) {
        Ok(Ok(report)) => report,
        Ok(Err(_)) => Report::Refused(ImageError::Invalid(BROKE_DOWN.to_owned())),
        Err(error) => Report::Failed(error.to_string()),
    }
}

/// Takes away what compiling does not need.
fn confine(limits: CompileLimits) -> io::Result<()> {
    // What the parent inherited itself and does not know of goes no further. A kernel that cannot do this at once leaves it.
    // SAFETY: this process has opened nothing yet, so nobody loses a descriptor that is in use.
    unsafe { libc::close_range(FIRST_OTHER_FILE, libc::c_uint::MAX, 0) };
    set_parent_process_death_signal(Some(Signal::KILL))?;
    set_no_new_privs(true)?;
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    be_nice(COMPILE_NICE);
    let most = |resource, most| setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    most(Resource::As, limits.memory_bytes)?;
    // The first limit says by its signal that it was met, the second does not.
    let (current, maximum) = (Some(limits.cpu_seconds), Some(limits.cpu_seconds + CPU_SECONDS_LEFT));
    setrlimit(Resource::Cpu, Rlimit { current, maximum })?;
    most(Resource::Fsize, CODE_BYTES_MAX)?;
    most(Resource::Core, 0)?;
    Ok(())
}

fn compile_image() -> Report {
    let compiled = read().and_then(|bytes| compile(&bytes)).and_then(|(meta, code)| {
        let out = io::stdout().as_fd().try_clone_to_owned();
        let written = out.and_then(|out| File::from(out).write_all(&code));
        written.map(|()| meta).map_err(|error| ImageError::Internal(error.to_string()))
    });
    match compiled {
        Ok(meta) => Report::Compiled(meta),
        Err(ImageError::Internal(why)) => Report::Failed(why),
        Err(error) => Report::Refused(error),
    }
}

fn read() -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    let taken = io::stdin().lock().take(MAX_IMAGE_BYTES + 1).read_to_end(&mut bytes);
    taken.map(|_| bytes).map_err(|error| ImageError::Internal(error.to_string()))
}

/// Machine code for `bytes`, linked once to see that nothing is missing.
fn compile(bytes: &[u8]) -> Result<(Meta, Vec<u8>), ImageError> {
    match sniff::form(bytes)? {
        Form::Module => compile_module(bytes),
        Form::Component => compile_component(bytes),
    }
}

fn compile_module(bytes: &[u8]) -> Result<(Meta, Vec<u8>), ImageError> {
    let half = Half::on_demand(Level::Lean).map_err(ImageError::Internal)?;
    let code = half.engine.precompile_module(bytes).map_err(invalid)?;
    // SAFETY: these bytes came out of the compiler one line above.
    let module = unsafe { Module::deserialize(&half.engine, &code) }.map_err(invalid)?;
    image::link_core(&engine::core_linker(&half.engine).map_err(ImageError::Internal)?, &module)?;
    if module.get_export("_start").is_none() {
        return Err(no_entry(module.exports().map(|export| export.name().to_string())));
    }
    Ok((Meta { level: Level::Lean, program: ProgramKind::Core }, code))
}

fn compile_component(bytes: &[u8]) -> Result<(Meta, Vec<u8>), ImageError> {
    let level = if contains(bytes, P3_MARK) { Level::P3 } else { Level::Lean };
    let half = Half::on_demand(level).map_err(ImageError::Internal)?;
    let code = half.engine.precompile_component(bytes).map_err(invalid)?;
    // SAFETY: these bytes came out of the compiler one line above.
    let component = unsafe { Component::deserialize(&half.engine, &code) }.map_err(invalid)?;
    let program = entry(&half.engine, &component)?;
    image::link_component(program, &half, &component)?;
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
