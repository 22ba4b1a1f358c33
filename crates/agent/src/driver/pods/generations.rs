//! The files of a volume that change together, as Kubernetes lays them out: they lie in a directory of their own, to which the link
//! `..data` leads, and each is reached by a link through that one. Where the link leads is changed at once, so that whoever opens
//! files by their paths finds all of them as they were before, or as they are afterwards.
//!
//! ```text
//! VOLUME/..7/sub/key              a file
//! VOLUME/..data -> ..7            the directory that counts
//! VOLUME/sub/key -> ../..data/sub/key
//! ```
//!
//! Nobody but the node writes into such a volume, one at a time. Files that are no links are others' to write.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use rustix::fs::Mode;

use super::beneath::{self, Root};

/// The link that leads to the directory that counts. No file of a volume is called so: names with two dots before them are nobody's.
const DATA: &str = "..data";

/// The link while it is made.
const NEW_DATA: &str = "..data_tmp";

/// A file, by its path within the volume.
#[derive(Clone, Copy, Debug)]
pub(crate) struct File<'a> {
    pub(crate) path: &'a str,
    pub(crate) bytes: &'a [u8],
    pub(crate) mode: Mode,
}

/// Shows these files in a volume, all at once, and no longer those that were shown before.
pub(crate) fn show(volume: &Path, files: &[File<'_>]) -> io::Result<()> {
    let before = generations(volume)?;
    let next = before.iter().max().map_or(1, |(number, _)| number.saturating_add(1));
    let name = format!("..{next}");
    let made = volume.join(&name);
    if let Err(error) = fill(&made, files).and_then(|()| lead_to(volume, &name)) {
        // Of a full disk nothing is left over; what was shown before still is.
        let _ = beneath::remove(&made);
        return Err(error);
    }
    let wanted = files.iter().map(|file| file.path).collect();
    tidy(volume, "", &wanted)?;
    wanted.iter().try_for_each(|path| link(volume, path))?;
    // Whoever has a file of them open keeps it.
    before.iter().try_for_each(|(_, old)| beneath::remove(old))
}

/// The directories of what was shown before, also by a process that died while it made one.
fn generations(volume: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(volume)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("..")?.parse().ok());
        found.extend(number.map(|number| (number, entry.path())));
    }
    Ok(found)
}

fn fill(made: &Path, files: &[File<'_>]) -> io::Result<()> {
    fs::create_dir(made)?;
    let root = Root::open(made)?;
    files.iter().try_for_each(|file| root.write(Path::new(file.path), file.bytes, file.mode))
}

fn lead_to(volume: &Path, name: &str) -> io::Result<()> {
    place(Path::new(name), &volume.join(NEW_DATA), &volume.join(DATA))
}

/// Puts a link in the place of what is there, at once.
fn place(target: &Path, new: &Path, at: &Path) -> io::Result<()> {
    match fs::remove_file(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    symlink(target, new)?;
    fs::rename(new, at)
}

/// Makes a path of the volume lead to the file that is shown there.
fn link(volume: &Path, path: &str) -> io::Result<()> {
    let (at, depth) = (volume.join(path), Path::new(path).components().count().saturating_sub(1));
    let target = Path::new(&"../".repeat(depth)).join(DATA).join(path);
    if fs::read_link(&at).is_ok_and(|known| known == target) {
        return Ok(());
    }
    let parent = at.parent().unwrap_or(volume);
    fs::create_dir_all(parent)?;
    place(&target, &parent.join("..link_tmp"), &at)
}

/// Removes links to files that are no longer shown, and the directories in which nothing else is. Says whether nothing is left.
fn tidy(volume: &Path, below: &str, wanted: &BTreeSet<&str>) -> io::Result<bool> {
    // The directory is closed before the next one is opened: a path may be long.
    let entries: Vec<_> = fs::read_dir(volume.join(below))?.collect::<io::Result<_>>()?;
    let mut is_empty = true;
    for entry in entries {
        let (kind, name) = (entry.file_type()?, entry.file_name());
        let Some(name) = name.to_str().filter(|name| !(below.is_empty() && name.starts_with(".."))) else { continue };
        let path = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
        let is_gone = if kind.is_symlink() && !wanted.contains(path.as_str()) {
            fs::remove_file(entry.path()).map(|()| true)?
        } else if kind.is_dir() && tidy(volume, &path, wanted)? {
            fs::remove_dir(entry.path()).map(|()| true)?
        } else {
            false
        };
        is_empty &= is_gone;
    }
    Ok(is_empty)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::{
        io::Read as _,
        os::unix::fs::PermissionsExt as _,
        sync::atomic::{AtomicBool, Ordering},
    };

    use super::*;

    fn files<'a>(files: &[(&'a str, &'a str)]) -> Vec<File<'a>> {
        let file = |(path, text): &(&'a str, &'a str)| File { path, bytes: text.as_bytes(), mode: Mode::from(0o444) };
        files.iter().map(file).collect()
    }

    /// What the paths of a volume that are no links lead to.
    fn shown(volume: &Path) -> Vec<(String, String)> {
        fn look(volume: &Path, below: &Path, found: &mut Vec<(String, String)>) {
            for entry in fs::read_dir(volume.join(below)).unwrap() {
                let path = below.join(entry.unwrap().file_name());
                if path.to_str().unwrap().starts_with("..") {
                    continue;
                }
                match fs::read_to_string(volume.join(&path)) {
                    Ok(text) => found.push((path.to_str().unwrap().to_owned(), text)),
                    Err(_) => look(volume, &path, found),
                }
            }
        }
        let mut found = Vec::new();
        look(volume, Path::new(""), &mut found);
        found.sort();
        found
    }

    #[test]
    fn what_is_shown_follows_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path();
        fs::write(volume.join("token"), "live").unwrap();
        fs::create_dir(volume.join("sub")).unwrap();
        fs::write(volume.join("sub/live"), "live").unwrap();
        // A process died while it made these.
        fs::create_dir_all(volume.join("..9/half")).unwrap();
        symlink("..9", volume.join(NEW_DATA)).unwrap();
        for (now, expected) in [
            (&[("a", "1"), ("sub/b", "1"), ("sub/deep/c", "1")][..], "a sub/b sub/deep/c sub/live token"),
            (&[("a", "2"), ("sub/b", "2")], "a sub/b sub/live token"),
            (&[("a/b", "3"), ("sub/b", "3")], "a/b sub/b sub/live token"),
            (&[("a", "4")], "a sub/live token"),
            (&[], "sub/live token"),
            (&[("a", "5")], "a sub/live token"),
        ] {
            show(volume, &files(now)).unwrap();
            let found = shown(volume);
            assert_eq!(found.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>().join(" "), expected);
            for (path, text) in now {
                assert!(found.contains(&((*path).to_owned(), (*text).to_owned())), "{path}: {found:?}");
                assert_eq!(fs::metadata(volume.join(path)).unwrap().permissions().mode() & 0o777, 0o444);
            }
            let hidden = fs::read_dir(volume).unwrap().map(|entry| entry.unwrap().file_name());
            assert_eq!(
                hidden.filter(|name| name.to_str().unwrap().starts_with("..")).count(),
                2,
                "..data and its goal"
            );
        }
        assert!(!volume.join("sub/deep").exists());
    }

    #[test]
    fn all_files_change_at_once_and_an_open_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (volume, is_over) = (dir.path(), AtomicBool::new(false));
        show(volume, &files(&[("a", "0"), ("b", "0")])).unwrap();
        let mut open = fs::File::open(volume.join("a")).unwrap();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut changes = 0;
                let mut before = String::new();
                while !is_over.load(Ordering::Relaxed) {
                    // One directory is looked at, as by a guest that reads both in one turn of its own.
                    let data = fs::read_link(volume.join(DATA)).unwrap();
                    let read = |name: &str| fs::read_to_string(volume.join(&data).join(name));
                    let (Ok(a), Ok(b)) = (read("a"), read("b")) else { continue };
                    assert_eq!(a, b);
                    changes += usize::from(a != before);
                    before = a;
                }
                changes
            });
            for round in 1..300 {
                let text = round.to_string();
                show(volume, &files(&[("a", &text), ("b", &text)])).unwrap();
            }
            is_over.store(true, Ordering::Relaxed);
            assert!(reader.join().unwrap() > 1);
        });
        let mut text = String::new();
        open.read_to_string(&mut text).unwrap();
        assert_eq!(text, "0", "what was open is what it was");
    }

    #[test]
    fn what_cannot_be_written_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        show(dir.path(), &files(&[("a", "1")])).unwrap();
        assert!(show(dir.path(), &files(&[("a", "2"), ("a/b", "2")])).is_err(), "a file is no directory");
        assert_eq!(shown(dir.path()), [("a".to_owned(), "1".to_owned())]);
        assert!(show(dir.path(), &files(&[("../out", "2")])).is_err());
        assert!(!dir.path().join("out").exists() && fs::read_dir(dir.path()).unwrap().count() == 3);
    }
}
