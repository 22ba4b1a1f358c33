//! A new group out of what is left of an old one, while no member runs: from a backup, or from one member's own directory.
//! The new group has a new identity and one new member, so that nobody of the old group, should one come back, is taken for
//! one of the new.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use super::directory::{
    Dirs, alone, begin_log, from_origin, goes_on, io as failed, new_identity, sizes, unreachable_log,
};
use crate::{
    ClusterId, Config, Entry, EntryKind, HardState, InvalidConfig, Mark, MemberId, OpenError,
    codec::CONTACT_BYTES_MAX,
    snapshot::{self, SnapshotReader},
    wal::{self, Identity, LogImage, sync_dir},
};

/// The new files while they are written.
const UNFINISHED: &str = "renewed.tmp";

/// The new files when they are durable; from then on they count, wherever they are.
const FINISHED: &str = "renewed";

/// The old files while the new ones take their place.
const REPLACED: &str = "replaced";

/// The directories that are replaced. The log goes last: without it a directory is not taken for a member's.
const PARTS: [&str; 2] = ["snapshots", "log"];

/// The group that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The new group.
    pub cluster: ClusterId,
    /// Its only member.
    pub member: MemberId,
    /// The last index that it holds.
    pub index: u64,
    /// The term of that entry.
    pub term: u64,
}

/// Makes a new group of one from a backup. Every byte of the backup is checked first against its checksums.
///
/// # Errors
/// [`OpenError::NotEmpty`] if there is something in the directory, [`OpenError::Corrupt`] if the backup is damaged.
pub fn restore(backup: &Path, dir: &Path) -> Result<Restored, OpenError> {
    must_be_empty(dir)?;
    let mut reader = SnapshotReader::open(backup)?;
    finish(&mut reader, backup)?;
    let dirs = Dirs::make(dir)?;
    let _lock = dirs.lock()?;
    let identity = new_identity(dir)?;
    let mark = Mark { members: alone(identity.member, ""), ..reader.mark };
    copy_snapshot(backup, &dirs.snapshots, identity, &mark)?;
    let hard = HardState { term: mark.term, vote: 0, commit: mark.index };
    let image = LogImage { hard, mark: Some(mark.clone()), ..LogImage::default() };
    begin_log(&dirs, sizes(&Config::new(dir)), identity, &image)?;
    Ok(Restored { cluster: identity.cluster, member: identity.member, index: mark.index, term: mark.term })
}

/// Makes a new group of one from everything that a member's directory holds, also what was never agreed: nobody is left to
/// say. What the lost majority had acknowledged and this member never heard of is lost. The old files are kept until the
/// new ones are durable; when a crash comes between, opening the directory completes the change.
///
/// # Errors
/// What makes the directory unreadable to [`open`](crate::open) makes it unreadable here. [`OpenError::Nothing`] if the
/// member never received anything.
pub fn force_new(dir: &Path, contact: &str) -> Result<Restored, OpenError> {
    if contact.len() > CONTACT_BYTES_MAX {
        return Err(InvalidConfig::ContactTooLong.into());
    }
    let log = dir.join("log");
    if !log.is_dir() {
        let source = io::Error::new(ErrorKind::NotFound, "it holds no member's log");
        return Err(OpenError::Io { what: "read", path: dir.into(), source });
    }
    let dirs = Dirs::make(dir)?;
    let _lock = dirs.lock()?;
    complete(&dirs)?;
    let (old, image) = match wal::recover(&dirs.log, sizes(&Config::new(dir)))? {
        Some((_, old, image)) => (old, image),
        None => return Err(unreachable_log(&dirs)),
    };
    let (base, path) = newest(&dirs, old, &image)?;
    let identity = new_identity(dir)?;
    let restored = write_anew(&dirs, identity, contact, &base, path.as_deref(), image)?;
    complete(&dirs)?;
    Ok(restored)
}

/// Lets finished new files take the place of the old ones. Does nothing if there are none; may be repeated at any point.
pub(super) fn complete(dirs: &Dirs) -> Result<(), OpenError> {
    let (unfinished, finished, replaced) =
        (dirs.top.join(UNFINISHED), dirs.top.join(FINISHED), dirs.top.join(REPLACED));
    remove(&unfinished)?;
    if finished.is_dir() {
        std::fs::create_dir_all(&replaced).map_err(failed("create", &replaced))?;
        for part in PARTS {
            replace(&dirs.top.join(part), &finished.join(part), &replaced.join(part))?;
        }
        for dir in [&replaced, &finished, &dirs.top] {
            sync_dir(dir).map_err(failed("sync", dir))?;
        }
        remove(&finished)?;
    }
    remove(&replaced)
}

/// Moves the old files away and the new ones into their place. What was moved before a crash is not moved again: a new
/// part that is gone has arrived.
fn replace(now: &Path, new: &Path, old: &Path) -> Result<(), OpenError> {
    if !new.is_dir() {
        return Ok(());
    }
    if now.is_dir() {
        // After a crash in between, whatever stands here was made by opening the directory, and is empty.
        remove_if_there_is(old, now)?;
    }
    std::fs::rename(new, now).map_err(failed("rename", new))
}

fn remove_if_there_is(old: &Path, now: &Path) -> Result<(), OpenError> {
    if old.is_dir() { remove(now) } else { std::fs::rename(now, old).map_err(failed("rename", now)) }
}

fn remove(path: &Path) -> Result<(), OpenError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

fn must_be_empty(dir: &Path) -> Result<(), OpenError> {
    match std::fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("read", dir)(error)),
        Ok(mut files) => match files.next() {
            None => Ok(()),
            Some(_) => Err(OpenError::NotEmpty { dir: dir.into() }),
        },
    }
}

fn finish(reader: &mut SnapshotReader, path: &Path) -> Result<(), OpenError> {
    let corrupt = |error: io::Error| OpenError::Corrupt { path: path.into(), detail: error.to_string() };
    reader.finish().map_err(corrupt)
}

/// Where the log can be read on from: the newest whole snapshot, or the beginning.
fn newest(dirs: &Dirs, identity: Identity, image: &LogImage) -> Result<(Mark, Option<PathBuf>), OpenError> {
    let mut refused = None;
    for path in snapshot::list(&dirs.snapshots).map_err(failed("list", &dirs.snapshots))? {
        let whole = SnapshotReader::open(&path).and_then(|mut reader| finish(&mut reader, &path).map(|()| reader));
        match whole {
            Ok(reader) if goes_on(identity, image, &reader) => return Ok((reader.mark, Some(path))),
            Ok(_) => {}
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    match from_origin(image) {
        Some(origin) if origin.index > 0 => Ok((origin.clone(), None)),
        Some(_) => Err(OpenError::Nothing { dir: dirs.top.clone() }),
        None => Err(refused.unwrap_or_else(|| OpenError::Corrupt {
            path: dirs.snapshots.clone(),
            detail: "the snapshots are missing".into(),
        })),
    }
}

/// Writes the new group's files aside and makes them count.
fn write_anew(
    dirs: &Dirs,
    identity: Identity,
    contact: &str,
    base: &Mark,
    path: Option<&Path>,
    image: LogImage,
) -> Result<Restored, OpenError> {
    let unfinished = dirs.top.join(UNFINISHED);
    let new = Dirs::make(&unfinished)?;
    let mark = Mark { members: alone(identity.member, contact), ..*base };
    if let Some(path) = path {
        copy_snapshot(path, &new.snapshots, identity, &mark)?;
    }
    let entries = image.entries.into_iter().filter(|entry| entry.index > mark.index).map(without_change);
    let entries: std::collections::VecDeque<Entry> = entries.collect();
    let (index, term) = entries.back().map_or((mark.index, mark.term), |last| (last.index, last.term));
    let hard = HardState { term: image.hard.term.max(term), vote: 0, commit: index };
    let image = LogImage { hard, origin: None, mark: Some(mark), entries };
    drop(begin_log(&new, sizes(&Config::new(&dirs.top)), identity, &image)?);
    for dir in [&new.log, &new.snapshots, &unfinished] {
        sync_dir(dir).map_err(failed("sync", dir))?;
    }
    std::fs::rename(&unfinished, dirs.top.join(FINISHED)).map_err(failed("rename", &unfinished))?;
    sync_dir(&dirs.top).map_err(failed("sync", &dirs.top))?;
    Ok(Restored { cluster: identity.cluster, member: identity.member, index, term })
}

/// Changes of the old group's members mean nothing in the new one; their places stay, so that no index changes its command.
fn without_change(entry: Entry) -> Entry {
    match entry.kind {
        EntryKind::Command => entry,
        EntryKind::Change => {
            Entry { kind: EntryKind::Command, data: Default::default(), context: Default::default(), ..entry }
        }
    }
}

/// A snapshot's content under another identity.
fn copy_snapshot(from: &Path, to: &Path, identity: Identity, mark: &Mark) -> Result<(), OpenError> {
    let mut reader = SnapshotReader::open(from)?;
    let written = snapshot::write(to, identity.cluster, mark, |out| io::copy(&mut reader, out).map(|_| ()));
    written.map(|_| ()).map_err(failed("copy the snapshot into", to))
}
