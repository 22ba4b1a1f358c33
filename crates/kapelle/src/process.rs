//! What every long-running command does: stop on a signal, keep its certificate fresh, write files whole.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long everything gets to stop after a signal.
pub(crate) const STOP_WITHIN: Duration = Duration::from_secs(4);

/// How long threads that are still busy get at the very end.
const LINGER: Duration = Duration::from_millis(300);

/// Runs a future on all cores until it ends.
pub(crate) fn run(work: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("kapelle").build()?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(LINGER);
    result
}

/// Cancelled by SIGINT and SIGTERM.
pub(crate) fn stop_on_signal() -> Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        token.cancel();
    });
    Ok(stop)
}

/// Makes a data directory; answers where it is, whatever the working directory.
pub(crate) fn data_dir(dir: &Path) -> Result<PathBuf> {
    let made = fs::create_dir_all(dir).and_then(|()| dir.canonicalize());
    made.with_context(|| format!("cannot use the data directory {}", dir.display()))
}

/// Writes a file for its owner only, beside its place, and moves it there, so that nobody reads half of it.
pub(crate) fn write_whole(path: &Path, text: &str) -> Result<()> {
    let beside = path.with_extension("unfinished");
    let written = || -> std::io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}
