//! Directories in which guests write. Everything below one is reached from its descriptor and never leaves it, whatever links
//! guests made there; and what guests left is removed however they nested it.

use std::{
    ffi::{CStr, CString, OsString},
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags, fchmod, mkdirat, openat, openat2, renameat, unlinkat},
    io::Errno,
};

/// Links are followed, but only to what is below the directory too.
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

/// How often a path is resolved again that a guest changed meanwhile; the kernel asks for that.
const ATTEMPTS: usize = 64;

/// What directories are made with, less the process's mask.
const DIR_MODE: Mode = Mode::from_raw_mode(0o777);

/// What files are made with, until they are written.
const OWN_MODE: Mode = Mode::from_raw_mode(0o600);

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::RDONLY).union(OFlags::CLOEXEC);

/// A directory that guests may write into.
#[derive(Debug)]
pub(crate) struct Root(OwnedFd);

impl Root {
    /// Opens a directory at a path that no guest can have changed.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(openat(rustix::fs::CWD, path, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?))
    }

    /// The directory at a path below; what is missing of it is made.
    pub(crate) fn directory(&self, path: &Path) -> io::Result<OwnedFd> {
        let mut done = PathBuf::from(".");
        let mut dir = self.at(&done, DIRECTORY, Mode::empty())?;
        for step in path.components() {
            match step {
                Component::CurDir => continue,
                Component::Normal(name) => done.push(name),
                // It would be refused by the kernel as well.
                Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(leaves()),
            }
            dir = match self.at(&done, DIRECTORY, Mode::empty()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    make(&dir, step.as_ref())?;
                    self.at(&done, DIRECTORY, Mode::empty())?
                }
                opened => opened?,
            };
        }
        Ok(dir)
    }

    /// Writes a file below, with a mode; what is missing of the way to it is made.
    pub(crate) fn write(&self, path: &Path, bytes: &[u8], mode: Mode) -> io::Result<()> {
        let dir = self.directory(path.parent().unwrap_or(Path::new("")))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let file = match self.at(path, flags, OWN_MODE) {
            // It was written before, with a mode that forbids its owner to write.
            Err(error) if error.raw_os_error() == Some(Errno::ACCESS.raw_os_error()) => {
                unlinkat(&dir, path.file_name().unwrap_or_default(), AtFlags::empty())?;
                self.at(path, flags, OWN_MODE)?
            }
            opened => opened?,
        };
        let mut file = std::fs::File::from(file);
        io::Write::write_all(&mut file, bytes)?;
        Ok(fchmod(&file, mode)?)
    }

    /// Puts a file in the place of one below, at once: who reads it finds the one or the other. Only where no guest may write.
    pub(crate) fn replace(&self, path: &Path, bytes: &[u8], mode: Mode) -> io::Result<()> {
        let name = path.file_name().unwrap_or_default();
        // No file of a volume is called so: names with two dots before them are nobody's.
        let mut new = OsString::from("..new-");
        new.push(name);
        self.write(&path.with_file_name(&new), bytes, mode)?;
        let dir = self.directory(path.parent().unwrap_or(Path::new("")))?;
        Ok(renameat(&dir, &new, &dir, name)?)
    }

    fn at(&self, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        for _ in 0..ATTEMPTS {
            match openat2(&self.0, path, flags, mode, RESOLVE) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::XDEV) => return Err(leaves()),
                opened => return Ok(opened?),
            }
        }
        Err(Errno::AGAIN.into())
    }
}

fn leaves() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "it leads out of the volume")
}

fn make(dir: &OwnedFd, name: &Path) -> io::Result<()> {
    match mkdirat(dir, name, DIR_MODE) {
        Err(Errno::EXIST) => Ok(()),
        made => Ok(made?),
    }
}

/// Removes a directory with everything in it, and follows no link. Directories within directories are lifted to the top first,
/// so that neither the stack nor the number of open files grows with how deep a guest nested them.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let top = match Root::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?.0,
    };
    let mut lifted = 0;
    loop {
        let names = names(&top)?;
        if names.is_empty() {
            return std::fs::remove_dir(path);
        }
        for name in names {
            if !remove_flat(&top, &name)? {
                lift(&top, &name, &mut lifted)?;
            }
        }
    }
}

/// Removes a file, a link or an empty directory; returns whether it did.
fn remove_flat(dir: &OwnedFd, name: &CStr) -> io::Result<bool> {
    match unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(true),
        // What the standard calls for directories, and what Linux says.
        Err(Errno::PERM | Errno::ISDIR) => {}
        Err(error) => return Err(error.into()),
    }
    match unlinkat(dir, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Empties a directory: what is in it is removed, or comes to the top to be emptied in its turn.
fn lift(top: &OwnedFd, name: &CStr, lifted: &mut u64) -> io::Result<()> {
    let dir = openat(top, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
    for child in names(&dir)? {
        while !remove_flat(&dir, &child)? {
            *lifted += 1;
            match renameat(&dir, &child, top, format!(".lifted-{lifted}")) {
                Ok(()) => break,
                // The guest chose the same name.
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

fn names(dir: impl AsFd) -> io::Result<Vec<CString>> {
    let names = Dir::read_from(dir)?.map(|entry| entry.map(|entry| entry.file_name().to_owned()));
    let names = names.filter(|name| !matches!(name.as_deref().map(CStr::to_bytes), Ok(b"." | b"..")));
    Ok(names.take(NAMES_MAX).collect::<Result<_, _>>()?)
}

/// How many names of a directory are looked at before they are removed.
const NAMES_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::{
        fs,
        os::unix::fs::{PermissionsExt as _, symlink},
        path::Path,
    };

    use rustix::fs::{Mode, OFlags, mkdirat, openat};

    use super::{DIRECTORY, Root, remove};

    #[test]
    fn links_lead_anywhere_below_and_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let (volume, outside) = (dir.path().join("volume"), dir.path().join("outside"));
        fs::create_dir_all(volume.join("real")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "secret").unwrap();
        symlink("real", volume.join("inside")).unwrap();
        symlink("../outside", volume.join("up")).unwrap();
        symlink(&outside, volume.join("absolute")).unwrap();
        symlink("/proc/self/root", volume.join("magic")).unwrap();
        symlink("nowhere", volume.join("dangling")).unwrap();
        symlink("../outside/secret", volume.join("file")).unwrap();
        symlink("../outside/new", volume.join("new")).unwrap();
        let root = Root::open(&volume).unwrap();

        root.directory(Path::new("inside/made/anew")).unwrap();
        assert!(volume.join("real/made/anew").is_dir());
        let (path, mode) = (volume.join("real/made/file"), Mode::from_raw_mode(0o440));
        for text in ["text", "more"] {
            root.write(Path::new("inside/made/file"), text.as_bytes(), mode).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o440);
        }
        for path in
            ["up", "up/made", "absolute", "absolute/made", "magic", "magic/etc", "dangling", "..", "a/../..", "/etc"]
        {
            assert!(root.directory(Path::new(path)).is_err(), "{path}");
        }
        for path in ["up/file", "absolute/file", "file", "new", "../outside/x"] {
            assert!(root.write(Path::new(path), b"overwritten", Mode::RUSR).is_err(), "{path}");
        }
        let names: Vec<_> = fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["secret"]);
        assert_eq!(fs::read(outside.join("secret")).unwrap(), b"secret");
    }

    #[test]
    fn what_was_opened_stays_what_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let opened = root.directory(Path::new("data")).unwrap();
        fs::rename(dir.path().join("data"), dir.path().join("moved")).unwrap();
        symlink("/etc", dir.path().join("data")).unwrap();
        assert!(openat(&opened, "passwd", OFlags::RDONLY, Mode::empty()).is_err(), "it is not /etc");
    }

    #[test]
    fn removing_follows_no_link_and_bears_any_depth() {
        /// Deeper than any stack or table of files would bear.
        const DEPTH: usize = 50_000;
        // In memory, where there is such a directory: a disk takes a millisecond for each.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let (volume, outside) = (dir.path().join("volume"), dir.path().join("outside"));
        fs::create_dir(&volume).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "").unwrap();
        symlink(&outside, volume.join("link")).unwrap();
        fs::create_dir_all(volume.join(".lifted-1/full")).unwrap();
        let mut deep = openat(rustix::fs::CWD, &volume, DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..DEPTH {
            mkdirat(&deep, "d", super::DIR_MODE).unwrap();
            deep = openat(&deep, "d", DIRECTORY, Mode::empty()).unwrap();
        }
        symlink(&outside, volume.join("d/link")).unwrap();
        remove(&volume).unwrap();
        assert!(!volume.exists() && outside.join("kept").exists());
        remove(&volume).unwrap();
    }
}
