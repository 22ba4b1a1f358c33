//! `kapelle push FILE.wasm NAME[:TAG]`: store a module in the cluster's own registry.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::{Progress, outln, session::Session};

/// The first bytes of every WebAssembly module and component.
const MAGIC: &[u8] = b"\0asm";

/// Options of `push`.
#[derive(Args, Debug)]
pub struct Push {
    /// The module or component
    file: PathBuf,
    /// `NAME[:TAG]` under which Pods use it as `image`
    name: String,
}

impl Push {
    pub(crate) async fn run(self, session: &Session) -> Result<()> {
        let shown = self.file.display();
        let bytes = fs::read(&self.file).with_context(|| format!("cannot read {shown}"))?;
        if !bytes.starts_with(MAGIC) {
            bail!(
                "{shown} is not WebAssembly: it does not begin with \\0asm; build it for wasm32-wasip1 or wasm32-wasip2"
            );
        }
        let progress = Progress::start(&format!("pushing {} KiB", bytes.len().div_ceil(1024)));
        let pushed = crate::session::push(session.client(), &self.name, bytes).await;
        progress.done("");
        let digest = pushed?;
        outln!("{} pushed\ndigest: {digest}", self.name)?;
        Ok(())
    }
}
