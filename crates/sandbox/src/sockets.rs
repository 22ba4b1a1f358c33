//! Wasmtime's socket functions, replaced by ours where a guest names an address: see `net` for what addresses mean.

mod p2;
mod p3;

use wasmtime::Result;
use wasmtime::component::Linker;

use crate::guest::Guest;
use crate::meta::Level;

/// Replaces Wasmtime's functions by ours.
pub(crate) fn add_to_linker(linker: &mut Linker<Guest>, level: Level) -> Result<()> {
    linker.allow_shadowing(true);
    p2::add_to_linker(linker)?;
    match level {
        Level::Lean => {}
        Level::P3 => p3::add_to_linker(linker)?,
    }
    linker.allow_shadowing(false);
    Ok(())
}
