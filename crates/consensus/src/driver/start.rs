//! From a directory to running threads: lock, recover or found, restore, start.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    thread::JoinHandle,
};

use tokio::{
    runtime::Handle,
    sync::{broadcast, watch},
};

use super::{
    BUDGET, Consensus, NOTES_MAX, RaftInbox, Shared, backup,
    digests::Digests,
    directory::{Dirs, alone, begin_log, from_origin, goes_on, io, new_identity, random, sizes, unreachable_log},
    forward::Forwards,
    inbox::{Budget, Inbox},
    log::LogThread,
    peers::{self, Gate, Peers},
    raft::{RaftThread, Ticket},
    renew,
};
use crate::{
    Begin, Config, HardState, InvalidConfig, Machine, Mark, MemberId, Members, OpenError, Status,
    brain::{Brain, FOUNDING_INDEX, Setup},
    snapshot::{self, SnapshotReader},
    wal::{self, Identity, LogImage, Wal},
};

/// The term of the founding; the first election has the next one.
pub(super) const FOUNDING_TERM: u64 = 1;

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
    if config.dial.is_some() && Handle::try_current().is_err() {
        return Err(InvalidConfig::NoRuntime.into());
    }
    let dirs = Dirs::make(&config.dir)?;
    let lock = dirs.lock()?;
    renew::complete(&dirs)?;
    remove_backups(&dirs)?;
    let (wal, identity, mut image) = recover_or_found(&dirs, &config)?;
    let (mark, snapshot_bytes) = restore(&dirs, identity, &image, &mut machine)?;
    let applied = mark.index;
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
    let first_forward = random(&dirs.top)?;
    let parts = Parts { machine, wal, hard, identity, lock, applied, first_forward };
    start(&dirs, &config, Brain::new(setup), parts)
}

/// Backups that were in use when the member ended.
fn remove_backups(dirs: &Dirs) -> Result<(), OpenError> {
    let path = dirs.top.join(backup::DIR);
    match std::fs::remove_dir_all(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("remove", &path)(error)),
        _ => Ok(()),
    }
}

fn recover_or_found(dirs: &Dirs, config: &Config) -> Result<(Wal, Identity, LogImage), OpenError> {
    let sizes = sizes(config);
    let found = wal::recover(&dirs.log, sizes)?;
    let is_new = match &found {
        None => true,
        Some((_, _, image)) => image.mark.is_none(),
    };
    if !is_new {
        let (wal, identity, image) = found.ok_or_else(|| unreachable_log(dirs))?;
        is_expected(dirs, identity, &config.begin)?;
        return Ok((wal, identity, image));
    }
    let snapshots = snapshot::list(&dirs.snapshots).map_err(io("list", &dirs.snapshots))?;
    let is_bare = found.as_ref().is_none_or(|(_, _, image)| *image == LogImage::default());
    if !snapshots.is_empty() || !is_bare {
        return Err(unreachable_log(dirs));
    }
    if found.is_some() {
        // The beginning was cut short after the first file; nothing was promised, perhaps to another group.
        drop(found);
        std::fs::remove_dir_all(&dirs.log).map_err(io("remove", &dirs.log))?;
        std::fs::create_dir(&dirs.log).map_err(io("create", &dirs.log))?;
    }
    let (identity, image) = match &config.begin {
        Begin::Found => {
            let identity = new_identity(&dirs.top)?;
            tracing::info!(cluster = %identity.cluster, member = %identity.member, "founds a new group");
            (identity, founding(identity, &config.contact))
        }
        Begin::Join { cluster, member } => {
            tracing::info!(%cluster, %member, "joins a group");
            let incarnation = random(&dirs.top)?;
            (Identity { cluster: *cluster, member: *member, incarnation }, joining())
        }
    };
    let wal = begin_log(dirs, sizes, identity, &image)?;
    Ok((wal, identity, image))
}

/// Whoever joins must not meet another member's directory.
fn is_expected(dirs: &Dirs, found: Identity, begin: &Begin) -> Result<(), OpenError> {
    match begin {
        Begin::Found => Ok(()),
        Begin::Join { cluster, member } if (*cluster, *member) == (found.cluster, found.member) => Ok(()),
        Begin::Join { cluster, member } => Err(OpenError::OtherMember {
            dir: dirs.top.clone(),
            found_cluster: found.cluster,
            found_member: found.member,
            cluster: *cluster,
            member: *member,
        }),
    }
}

/// A new group: the empty machine and one member.
fn founding(identity: Identity, contact: &str) -> LogImage {
    let mark = Mark { index: FOUNDING_INDEX, term: FOUNDING_TERM, members: alone(identity.member, contact) };
    let hard = HardState { term: FOUNDING_TERM, vote: 0, commit: FOUNDING_INDEX };
    LogImage { hard, origin: Some(mark.clone()), mark: Some(mark), entries: [].into() }
}

/// A member that joins: it knows of nothing and nobody until its leader comes.
fn joining() -> LogImage {
    LogImage { mark: Some(Mark::default()), origin: Some(Mark::default()), ..LogImage::default() }
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
    if let Some(origin) = from_origin(image).filter(|_| !is_spoilt) {
        set_aside(&damaged)?;
        return Ok((origin.clone(), 0));
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

/// What the threads are given.
struct Parts<M> {
    machine: M,
    wal: Wal,
    hard: HardState,
    identity: Identity,
    lock: File,
    applied: u64,
    first_forward: u64,
}

type MachineBrain<M> = Brain<Ticket<<M as Machine>::Output>, super::ReadAnswer>;

fn start<M: Machine>(
    dirs: &Dirs,
    config: &Config,
    brain: MachineBrain<M>,
    parts: Parts<M>,
) -> Result<Consensus<M::Output>, OpenError> {
    let Parts { machine, wal, hard, identity, lock, applied, first_forward } = parts;
    let (inbox, tasks) = (Arc::new(Inbox::new(BUDGET)), Arc::new(Inbox::new(NO_CALLERS)));
    let (sender, status) = watch::channel(Status { cluster: identity.cluster, ..brain.status() });
    let (snapshots, policy, gate) = (dirs.snapshots.clone(), config.on_failure, Arc::<Gate>::default());
    let notes = broadcast::Sender::new(NOTES_MAX);
    let peers = connect(dirs, config, identity, &inbox, &notes, &gate)?;
    let log = LogThread {
        wal,
        hard,
        snapshots: snapshots.clone(),
        tasks: tasks.clone(),
        raft: inbox.clone(),
        peers: peers.clone(),
    };
    let raft = RaftThread {
        led: (brain.leader(), brain.term()),
        brain,
        machine,
        inbox: inbox.clone(),
        log: tasks.clone(),
        status: sender,
        peers: peers.clone(),
        cluster: identity.cluster,
        member: identity.member,
        snapshots,
        backups: dirs.top.join(backup::DIR),
        policy,
        is_removed: false,
        writer: None,
        is_ending: Arc::new(AtomicBool::new(false)),
        gate,
        forwards: Forwards::new(first_forward),
        digests: Digests::new(applied),
        known: Members::default(),
        changing: Default::default(),
        asker: None,
        backup_count: Arc::new(()),
        backups_made: 0,
    };
    let log_thread = spawn("log", &dirs.top, move || log.run(policy))?;
    spawn("raft", &dirs.top, move || raft.run(log_thread, lock)).inspect_err(|_| tasks.close())?;
    Ok(Consensus { shared: Arc::new(Shared { inbox, status, peers, notes }) })
}

type Notes = broadcast::Sender<(MemberId, bytes::Bytes)>;

fn connect<O: Send + 'static>(
    dirs: &Dirs,
    config: &Config,
    identity: Identity,
    inbox: &Arc<RaftInbox<O>>,
    notes: &Notes,
    gate: &Arc<Gate>,
) -> Result<Option<Arc<Peers>>, OpenError> {
    let Some(dial) = config.dial.clone() else { return Ok(None) };
    let runtime = Handle::try_current().map_err(|_| InvalidConfig::NoRuntime)?;
    let Identity { cluster, member, .. } = identity;
    let inbox = inbox.clone();
    let tell = Box::new(move |news| inbox.tell(news));
    let (snapshots, notes, gate, contact) =
        (dirs.snapshots.clone(), notes.clone(), gate.clone(), config.contact.clone());
    let setup = peers::Setup { cluster, member, contact, dial, runtime, snapshots, notes, tell, gate };
    Ok(Some(Arc::new(Peers::new(setup))))
}

fn spawn(name: &str, dir: &Path, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, OpenError> {
    std::thread::Builder::new().name(name.into()).spawn(work).map_err(io("start threads for", dir))
}
