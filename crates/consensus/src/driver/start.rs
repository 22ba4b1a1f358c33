//! From a directory to running threads: lock, recover or found, restore, start.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    thread::JoinHandle,
};

use tokio::sync::watch;

use super::{
    BUDGET, Consensus, Shared,
    inbox::{Budget, Inbox},
    log::LogThread,
    raft::RaftThread,
};
use crate::{
    ClusterId, Config, HardState, Machine, Mark, MemberId, Members, OpenError, Status,
    brain::{Brain, FOUNDING_INDEX, Setup},
    snapshot::{self, SnapshotReader},
    wal::{self, Identity, LogImage, Record, Sizes, Wal},
};

/// The term of the founding; the first election has the next one.
const FOUNDING_TERM: u64 = 1;

/// The log thread's queue is bounded by what the brain leaves uncommitted; it has no callers of its own.
const NO_CALLERS: Budget = Budget { items: 0, bytes: 0 };

/// Opens a data directory and starts the member: restores the newest snapshot, replays the log and, when the group has one
/// voter, leads at once. Returns before the replay has ended: [`Consensus::read_barrier`] waits for it.
///
/// Reads files and syncs directories, so it blocks: for milliseconds with a small log, for about a second a gigabyte.
///
/// # Errors
/// See [`OpenError`].
pub fn open<M: Machine>(config: Config, mut machine: M) -> Result<Consensus<M::Output>, OpenError> {
    config.check()?;
    let dirs = Dirs::make(&config.dir)?;
    let lock = dirs.lock()?;
    let (wal, identity, mut image) = recover_or_found(&dirs, &config)?;
    let (mark, snapshot_bytes) = restore(&dirs, identity, &image, &mut machine)?;
    image.detach(mark.index);
    image.hard.commit = image.hard.commit.max(mark.index);
    let hard = image.hard;
    let setup = Setup {
        member: identity.member,
        nonce: random(&dirs.top)?,
        mark,
        hard,
        entries: image.entries.into(),
        snapshot_bytes,
        snapshot_after_bytes: config.snapshot_after_bytes,
        log_tail_bytes: config.log_tail_bytes,
    };
    let parts = Parts { machine, wal, hard, identity, lock };
    start(&dirs, &config, Brain::new(setup), parts)
}

struct Dirs {
    top: PathBuf,
    log: PathBuf,
    snapshots: PathBuf,
}

impl Dirs {
    fn make(top: &Path) -> Result<Self, OpenError> {
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
    fn lock(&self) -> Result<File, OpenError> {
        let path = self.top.join("lock");
        let file = File::create(&path).map_err(io("create", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked { dir: self.top.clone() }),
            Err(TryLockError::Error(source)) => Err(OpenError::Io { what: "lock", path, source }),
        }
    }
}

fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> OpenError {
    let path = path.to_path_buf();
    move |source| OpenError::Io { what, path, source }
}

fn random(dir: &Path) -> Result<u64, OpenError> {
    let mut bytes = [0; 8];
    let refused = |error: getrandom::Error| std::io::Error::other(error.to_string());
    getrandom::fill(&mut bytes).map_err(refused).map_err(io("draw random numbers for", dir))?;
    // Zero is nobody's id.
    Ok(u64::from_le_bytes(bytes).max(1))
}

fn recover_or_found(dirs: &Dirs, config: &Config) -> Result<(Wal, Identity, LogImage), OpenError> {
    let sizes = Sizes { first: config.segment_bytes_first, max: config.segment_bytes_max };
    let found = wal::recover(&dirs.log, sizes)?;
    let is_new = match &found {
        None => true,
        Some((_, _, image)) => image.mark.is_none(),
    };
    if !is_new {
        return found.ok_or_else(|| unreachable_log(dirs));
    }
    let snapshots = snapshot::list(&dirs.snapshots).map_err(io("list", &dirs.snapshots))?;
    let is_bare = found.as_ref().is_none_or(|(_, _, image)| *image == LogImage::default());
    if !snapshots.is_empty() || !is_bare {
        return Err(unreachable_log(dirs));
    }
    let (mut wal, identity) = match found {
        // The founding was cut short after the first file.
        Some((wal, identity, _)) => (wal, identity),
        None => {
            let cluster = u128::from(random(&dirs.top)?) << 64 | u128::from(random(&dirs.top)?);
            let (member, incarnation) = (MemberId(random(&dirs.top)?), random(&dirs.top)?);
            let identity = Identity { cluster: ClusterId(cluster), member, incarnation };
            (Wal::found(&dirs.log, sizes, identity)?, identity)
        }
    };
    let image = founding(identity);
    let mark = image.mark.clone().map(Record::Mark);
    wal.append(mark.into_iter().chain([Record::HardState(image.hard)])).map_err(io("begin the log in", &dirs.log))?;
    tracing::info!(cluster = %identity.cluster, member = %identity.member, "founded a new group");
    Ok((wal, identity, image))
}

fn unreachable_log(dirs: &Dirs) -> OpenError {
    OpenError::Corrupt { path: dirs.log.clone(), detail: "the beginning of the log is missing".into() }
}

/// A new group: the empty machine and one member.
fn founding(identity: Identity) -> LogImage {
    let members = Members { voters: vec![identity.member], ..Members::default() };
    let mark = Mark { index: FOUNDING_INDEX, term: FOUNDING_TERM, members };
    let hard = HardState { term: FOUNDING_TERM, vote: 0, commit: FOUNDING_INDEX };
    LogImage { hard, mark: Some(mark), entries: [].into() }
}

/// Restores the newest snapshot that is whole and from which the log goes on. The log is kept from the snapshot before the
/// newest, so one damaged file costs nothing but a longer replay.
fn restore<M: Machine>(
    dirs: &Dirs,
    identity: Identity,
    image: &LogImage,
    machine: &mut M,
) -> Result<(Mark, u64), OpenError> {
    let mut damaged = Vec::new();
    let mut refused = None;
    // Whether the machine holds a state whose source turned out to be damaged.
    let mut is_spoilt = false;
    for path in snapshot::list(&dirs.snapshots).map_err(io("list", &dirs.snapshots))? {
        let corrupt = |error: std::io::Error| OpenError::Corrupt { path: path.clone(), detail: error.to_string() };
        let attempt = SnapshotReader::open(&path).and_then(|mut reader| {
            if !goes_on(identity, image, &reader) {
                return Ok(None);
            }
            machine.restore(&mut reader).map_err(corrupt)?;
            is_spoilt = true;
            reader.finish().map_err(corrupt)?;
            let bytes = std::fs::metadata(&path).map_err(io("read", &path))?.len();
            Ok(Some((reader.mark, bytes)))
        });
        match attempt {
            Ok(Some(restored)) => {
                set_aside(&damaged)?;
                return Ok(restored);
            }
            Ok(None) => tracing::warn!(path = %path.display(), "skipped a snapshot that the log does not continue"),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "skipped a damaged snapshot");
                refused.get_or_insert(error);
                damaged.push(path);
            }
        }
    }
    if !is_spoilt && from_founding(image) {
        set_aside(&damaged)?;
        return Ok((founding(identity).mark.unwrap_or_default(), 0));
    }
    let missing = || OpenError::Corrupt { path: dirs.snapshots.clone(), detail: "the snapshots are missing".into() };
    Err(refused.unwrap_or_else(missing))
}

/// Damaged snapshots keep their content for whoever wants to look, but not their name: they must not push out good ones.
fn set_aside(damaged: &[PathBuf]) -> Result<(), OpenError> {
    damaged.iter().try_for_each(|path| {
        std::fs::rename(path, path.with_extension("damaged")).map_err(io("rename the damaged", path))
    })
}

/// Whether the log continues a snapshot. A snapshot beyond the log's end came from a leader, and the crash came before the
/// log knew of it.
fn goes_on(identity: Identity, image: &LogImage, reader: &SnapshotReader) -> bool {
    let index = reader.mark.index;
    let log_mark = image.mark.as_ref().map_or(0, |mark| mark.index);
    let is_joined = image.entries.front().map_or(log_mark <= index, |first| first.index <= index + 1);
    reader.cluster == identity.cluster && index <= image.last() && is_joined
}

/// Whether the log still holds everything since the founding, so that no snapshot is needed.
fn from_founding(image: &LogImage) -> bool {
    let mark = image.mark.as_ref().map_or(0, |mark| mark.index);
    image.entries.front().map_or(mark == FOUNDING_INDEX, |first| first.index == FOUNDING_INDEX + 1)
}

/// What the threads are given.
struct Parts<M> {
    machine: M,
    wal: Wal,
    hard: HardState,
    identity: Identity,
    lock: File,
}

type MachineBrain<M> = Brain<super::Answer<<M as Machine>::Output>, super::ReadAnswer>;

fn start<M: Machine>(
    dirs: &Dirs,
    config: &Config,
    brain: MachineBrain<M>,
    parts: Parts<M>,
) -> Result<Consensus<M::Output>, OpenError> {
    let Parts { machine, wal, hard, identity, lock } = parts;
    let (inbox, tasks) = (Arc::new(Inbox::new(BUDGET)), Arc::new(Inbox::new(NO_CALLERS)));
    let (sender, status) = watch::channel(Status { cluster: identity.cluster, ..brain.status() });
    let (snapshots, policy) = (dirs.snapshots.clone(), config.on_failure);
    let log = LogThread { wal, hard, snapshots: snapshots.clone(), tasks: tasks.clone(), raft: inbox.clone() };
    let raft = RaftThread {
        brain,
        machine,
        inbox: inbox.clone(),
        log: tasks.clone(),
        status: sender,
        cluster: identity.cluster,
        snapshots,
        policy,
        is_removed: false,
        writer: None,
        is_ending: Arc::new(AtomicBool::new(false)),
    };
    let log_thread = spawn("log", &dirs.top, move || log.run(policy))?;
    spawn("raft", &dirs.top, move || raft.run(log_thread, lock)).inspect_err(|_| tasks.close())?;
    Ok(Consensus { shared: Arc::new(Shared { inbox, status }) })
}

fn spawn(name: &str, dir: &Path, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, OpenError> {
    std::thread::Builder::new().name(name.into()).spawn(work).map_err(io("start threads for", dir))
}
