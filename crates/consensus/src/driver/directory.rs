//! A member's directory: its parts, its lock, and how a log in it begins and goes on. What opens it is `start.rs`, what makes
//! a new group of it `renew.rs`.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
};

use crate::{
    ClusterId, Config, HardState, Mark, MemberId, Members, OpenError,
    snapshot::SnapshotReader,
    wal::{self, Identity, LogImage, Record, Sizes, Wal},
};

/// The parts of a member's directory.
pub(super) struct Dirs {
    pub(super) top: PathBuf,
    pub(super) log: PathBuf,
    pub(super) snapshots: PathBuf,
}

impl Dirs {
    pub(super) fn make(top: &Path) -> Result<Self, OpenError> {
        let dirs = Self { top: top.into(), log: top.join("log"), snapshots: top.join("snapshots") };
        for dir in [&dirs.log, &dirs.snapshots] {
            std::fs::create_dir_all(dir).map_err(io("create", dir))?;
        }
        // The directory itself is a name in its parent.
        let parent = top.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        for dir in [top, parent] {
            wal::sync_dir(dir).map_err(io("sync", dir))?;
        }
        Ok(dirs)
    }

    /// The system lets go of the lock when the process ends, however it ends.
    pub(super) fn lock(&self) -> Result<File, OpenError> {
        let path = self.top.join("lock");
        let file = File::create(&path).map_err(io("create", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked { dir: self.top.clone() }),
            Err(TryLockError::Error(source)) => Err(OpenError::Io { what: "lock", path, source }),
        }
    }
}

/// What failed, and where.
pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> OpenError {
    let path = path.to_path_buf();
    move |source| OpenError::Io { what, path, source }
}

/// A number that nobody guesses and nobody else draws.
pub(super) fn random(dir: &Path) -> Result<u64, OpenError> {
    let mut bytes = [0; 8];
    let refused = |error: getrandom::Error| std::io::Error::other(error.to_string());
    getrandom::fill(&mut bytes).map_err(refused).map_err(io("draw random numbers for", dir))?;
    // Zero is nobody's id.
    Ok(u64::from_le_bytes(bytes).max(1))
}

/// How long the segments of the log are.
pub(super) fn sizes(config: &Config) -> Sizes {
    Sizes { first: config.segment_bytes_first, max: config.segment_bytes_max }
}

/// A group and a member that never were before.
pub(super) fn new_identity(dir: &Path) -> Result<Identity, OpenError> {
    let cluster = ClusterId(u128::from(random(dir)?) << 64 | u128::from(random(dir)?));
    Ok(Identity { cluster, member: MemberId(random(dir)?), incarnation: random(dir)? })
}

/// A new log that says what an image says.
pub(super) fn begin_log(dirs: &Dirs, sizes: Sizes, identity: Identity, image: &LogImage) -> Result<Wal, OpenError> {
    let mut wal = Wal::found(&dirs.log, sizes, identity)?;
    let mark = image.mark.clone().map(Record::Mark);
    let entries = image.entries.iter().cloned().map(Record::Entry);
    let hard = HardState { commit: image.mark.as_ref().map_or(0, |mark| mark.index), ..image.hard };
    let records = mark.into_iter().chain([Record::HardState(hard)]).chain(entries);
    // A log may be cut after any frame: the commit index comes when everything that it speaks of is there.
    wal.append(records).map_err(io("begin the log in", &dirs.log))?;
    if hard != image.hard {
        wal.append([Record::HardState(image.hard)]).map_err(io("begin the log in", &dirs.log))?;
    }
    Ok(wal)
}

/// A log from whose beginning something is missing.
pub(super) fn unreachable_log(dirs: &Dirs) -> OpenError {
    OpenError::Corrupt { path: dirs.log.clone(), detail: "the beginning of the log is missing".into() }
}

/// One member that decides alone.
pub(super) fn alone(member: MemberId, contact: &str) -> Members {
    let contacts = [(member, contact.to_owned())].into();
    Members { voters: vec![member], contacts, ..Members::default() }
}

/// Whether the log continues a snapshot of the same group.
pub(super) fn goes_on(identity: Identity, image: &LogImage, reader: &SnapshotReader) -> bool {
    reader.cluster == identity.cluster && image.continues(reader.mark.index)
}

/// Where the member began, if the log still holds everything since, so that no snapshot is needed.
pub(crate) fn from_origin(image: &LogImage) -> Option<&Mark> {
    let mark = image.mark.as_ref().map_or(0, |mark| mark.index);
    let origin = image.origin.as_ref()?;
    let is_whole = image.entries.front().map_or(mark == origin.index, |first| first.index == origin.index + 1);
    is_whole.then_some(origin)
}
