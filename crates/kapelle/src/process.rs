//! What every long-running command does: stop on a signal, keep its certificate fresh, write files whole.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use rpc::connections::ConnectionLimits;
use rustix::{
    fs::Mode,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long everything gets to stop after a signal.
pub(crate) const STOP_WITHIN: Duration = Duration::from_secs(4);

const _: () = assert!(
    agent::driver::FLUSH_WITHIN.as_millis() < STOP_WITHIN.as_millis(),
    "a worker that stops must have told the masters what it has to tell"
);

/// How long threads that are still busy get at the very end.
const LINGER: Duration = Duration::from_millis(300);

/// What users are promised.
const STOPS_WITHIN_PROMISE: Duration = Duration::from_secs(5);
const _: () = assert!(STOP_WITHIN.as_millis() + LINGER.as_millis() < STOPS_WITHIN_PROMISE.as_millis());

/// Says a line on standard output. A process that serves goes on although nobody reads it.
macro_rules! announce {
    ($($text:tt)*) => {
        if let Err(error) = ::cli::outln!($($text)*) {
            tracing::debug!(%error, "nobody reads standard output");
        }
    };
}
pub(crate) use announce;

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

/// The fewest files that a process should be able to open; with fewer it says what to change.
const FILES_WANTED: u64 = 4096;

/// Lets the process open as many files as it may, and says how many that are: connections, Pods and the log need them.
pub(crate) fn raise_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let files = files.unwrap_or(u64::MAX);
    let connections = ConnectionLimits::for_files(files).sum();
    tracing::info!("this process may open {files} files, so it takes {connections} connections");
    if files < FILES_WANTED {
        tracing::warn!("{files} files are few: raise the limit (`LimitNOFILE=` of its service, or `ulimit -Hn`)");
    }
    files
}

/// From now on what this process makes is for its owner only: logs, Secrets, keys, backups and what guests write.
pub(crate) fn keep_files_private() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// What a data directory of ours has in it.
const OURS: [&str; 5] = ["cluster.json", "log", "node", "pki", "identity"];

/// Makes a data directory for its owner only; answers where it is, whatever the working directory. One that is there already
/// is closed to others if it is empty or holds what an earlier version left open; anybody else's stays as it is.
pub(crate) fn data_dir(dir: &Path) -> Result<PathBuf> {
    let made = fs::create_dir_all(dir).and_then(|()| dir.canonicalize()).and_then(|dir| {
        let is_ours = OURS.iter().any(|name| dir.join(name).exists()) || fs::read_dir(&dir)?.next().is_none();
        if is_ours && fs::metadata(&dir)?.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
        }
        Ok(dir)
    });
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn mode(dir: &Path) -> u32 {
        fs::metadata(dir).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn data_directories_are_closed_to_others_and_foreign_ones_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let open = |name: &str| {
            let dir = parent.path().join(name);
            fs::create_dir(&dir).unwrap();
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
            dir
        };
        let (empty, older, foreign) = (open("empty"), open("older"), open("foreign"));
        fs::create_dir(older.join("log")).unwrap();
        fs::create_dir(foreign.join("photos")).unwrap();
        for dir in [&empty, &older, &foreign] {
            data_dir(dir).unwrap();
        }
        assert_eq!([mode(&empty), mode(&older), mode(&foreign)], [0o700, 0o700, 0o755]);
    }
}
