//! Compiled images on disk.
//!
//! `DIR/<compatibility>/<sha256 of the image>.cwasm` is machine code; `….meta` beside it says what it is and gives its SHA-256.
//! `….failed` says why an image cannot be compiled, so that it is not tried again.
//! Machine code is only loaded if that sum fits: a file that was torn by a power cut, or is half written, is compiled again.
//! The sum is no protection against somebody who may write here (they could as well replace this program); the directory's
//! mode is: 0700, and a directory that somebody else owns is refused.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use crate::digest::Digest;
use crate::errors::ImageError;
use crate::meta::Meta;
use crate::report::Report;

/// The first line of a meta file; a new format gets a new number.
const META_HEADER: &str = "kapelle-image 1";

/// The most that compiled images may take on disk, five hundred large ones; those that were not used for longest go first.
const MAX_CACHE_BYTES: u64 = 8 << 30;

/// The first line of the text of a failure: what one version refuses another may take.
const FAILURE_HEADER: &str = concat!("kapelle-failure 1 ", env!("CARGO_PKG_VERSION"), "\n");

/// How many failures are remembered; those that were met first go first.
const FAILURES_MAX: usize = 1_000;

/// The longest text of a failure, in bytes.
const FAILURE_BYTES_MAX: u64 = 64 << 10;

/// A file that is being written; it goes with this unless it was adopted.
pub(crate) struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // It has another name by now if it was adopted.
        let _ = fs::remove_file(&self.0);
    }
}

/// The directory for one compatibility hash.
pub(crate) struct Cache {
    dir: PathBuf,
    max_bytes: u64,
    max_failures: usize,
}

impl Cache {
    /// Opens it, and removes what other versions of this program have left beside it.
    pub(crate) fn open(root: &Path, compatibility: &str) -> io::Result<Self> {
        make_private(root)?;
        let dir = root.join(compatibility);
        make_private(&dir)?;
        for entry in fs::read_dir(root)?.flatten() {
            if entry.path() != dir && is_compatibility(&entry.file_name().to_string_lossy()) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let cache = Self { dir, max_bytes: MAX_CACHE_BYTES, max_failures: FAILURES_MAX };
        for (path, _) in cache.files()?.into_iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "tmp"))
        {
            let _ = fs::remove_file(path);
        }
        Ok(cache)
    }

    pub(crate) fn code_path(&self, digest: Digest) -> PathBuf {
        self.dir.join(format!("{}.cwasm", digest.hex()))
    }

    fn meta_path(&self, digest: Digest) -> PathBuf {
        self.dir.join(format!("{}.meta", digest.hex()))
    }

    /// What lies there for `digest`, if it is whole.
    pub(crate) fn find(&self, digest: Digest) -> Option<Meta> {
        let text = fs::read_to_string(self.meta_path(digest)).ok()?;
        let (meta, sum) = parse(&text)?;
        let whole = file_sum(&self.code_path(digest)).is_ok_and(|actual| actual == sum);
        if !whole {
            tracing::warn!(%digest, "a compiled image is damaged and is compiled again");
            return None;
        }
        // When it was used last decides what goes when the cache is full.
        let _ = File::options()
            .append(true)
            .open(self.code_path(digest))
            .and_then(|file| file.set_modified(SystemTime::now()));
        Some(meta)
    }

    /// A new file for the machine code of an image, and that file, open.
    pub(crate) fn scratch(&self, digest: Digest) -> io::Result<(Scratch, File)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("{}.{}-{number}.tmp", digest.hex(), std::process::id()));
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok((Scratch(path), file))
    }

    /// Takes in what was written; the meta file comes last, so that code without it does not count.
    pub(crate) fn adopt(&self, digest: Digest, meta: Meta, scratch: Scratch) -> io::Result<()> {
        self.make_space()?;
        let sum = file_sum(&scratch.0)?;
        fs::rename(&scratch.0, self.code_path(digest))?;
        self.replace(&self.meta_path(digest), render(meta, &sum).as_bytes())
    }

    fn failure_path(&self, digest: Digest) -> PathBuf {
        self.dir.join(format!("{}.failed", digest.hex()))
    }

    /// Why an image cannot be compiled, if that is known.
    pub(crate) fn failure(&self, digest: Digest) -> Option<ImageError> {
        let mut text = Vec::new();
        File::open(self.failure_path(digest)).ok()?.take(FAILURE_BYTES_MAX).read_to_end(&mut text).ok()?;
        match Report::decode(text.strip_prefix(FAILURE_HEADER.as_bytes())?)? {
            Report::Refused(error) => Some(error),
            Report::Compiled(_) | Report::Failed(_) => None,
        }
    }

    /// Remembers why an image cannot be compiled. If that cannot be written, it is found out again.
    pub(crate) fn remember(&self, digest: Digest, error: &ImageError) {
        let text = [FAILURE_HEADER.as_bytes(), &Report::Refused(error.clone()).encode()].concat();
        let remembered = self.forget_oldest_failures().and_then(|()| self.replace(&self.failure_path(digest), &text));
        if let Err(error) = remembered {
            tracing::warn!(%digest, %error, "why an image cannot be compiled is not remembered");
        }
    }

    fn forget_oldest_failures(&self) -> io::Result<()> {
        let mut failures = self.files()?;
        failures.retain(|(path, _)| path.extension().is_some_and(|end| end == "failed"));
        failures.sort_by_key(|(_, meta)| meta.modified().ok());
        let surplus = (failures.len() + 1).saturating_sub(self.max_failures);
        failures.iter().take(surplus).try_for_each(|(path, _)| fs::remove_file(path))
    }

    /// Removes what was not used for longest until all fits, what is being written included. Code that is in use stays mapped.
    fn make_space(&self) -> io::Result<()> {
        let mut files = self.files()?;
        files.sort_by_key(|(_, meta)| meta.modified().ok());
        let mut total: u64 = files.iter().map(|(_, meta)| meta.len()).sum();
        for (path, meta) in files.iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "cwasm")) {
            if total <= self.max_bytes {
                break;
            }
            fs::remove_file(path)?;
            let _ = fs::remove_file(path.with_extension("meta"));
            total -= meta.len();
        }
        Ok(())
    }

    fn files(&self) -> io::Result<Vec<(PathBuf, fs::Metadata)>> {
        let entries = fs::read_dir(&self.dir)?.flatten();
        Ok(entries.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?))).collect())
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let scratch = path.with_extension(format!("{}.tmp", std::process::id()));
        let mut file = File::create(&scratch)?;
        file.write_all(bytes)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        fs::rename(&scratch, path)
    }
}

fn render(meta: Meta, sum: &str) -> String {
    let (level, program) = meta.words();
    format!("{META_HEADER}\n{level}\n{program}\n{sum}\n")
}

fn parse(text: &str) -> Option<(Meta, String)> {
    let mut lines = text.lines();
    if lines.next()? != META_HEADER {
        return None;
    }
    let meta = Meta::from_words(lines.next()?, lines.next()?)?;
    Some((meta, lines.next()?.to_string()))
}

/// Makes `dir` and sees to it that only this user can write there.
fn make_private(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let owner = fs::metadata(dir)?.uid();
    if owner != rustix::process::geteuid().as_raw() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it belongs to another user; code from it would be run",
        ));
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
}

fn is_compatibility(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn file_sum(path: &Path) -> io::Result<String> {
    Ok(Digest::of_file(&mut File::open(path)?)?.hex())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::{Cache, Digest, ImageError, Meta};
    use crate::meta::{Level, ProgramKind};

    const META: Meta = Meta { level: Level::Lean, program: ProgramKind::Core };

    fn store(cache: &Cache, digest: Digest, code: &[u8]) {
        let (scratch, mut file) = cache.scratch(digest).expect("room");
        file.write_all(code).expect("room");
        cache.adopt(digest, META, scratch).expect("room is made");
    }

    #[test]
    fn a_full_cache_drops_what_was_not_used_for_longest() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut cache = Cache::open(dir.path(), "0123456789abcdef").expect("an empty cache");
        cache.max_bytes = 2_500;
        let [old, used, new] = [b"old", b"use", b"new"].map(|name| Digest::of(name));
        store(&cache, old, &[1; 1_000]);
        store(&cache, used, &[2; 1_000]);
        let yesterday = std::time::SystemTime::now() - std::time::Duration::from_secs(86_400);
        for digest in [old, used] {
            let file = std::fs::File::options().append(true).open(cache.code_path(digest)).expect("stored");
            file.set_modified(yesterday).expect("own file");
        }
        assert_eq!(cache.find(used), Some(META), "and thereby it counts as used");
        store(&cache, new, &[3; 1_000]);
        assert_eq!([old, used, new].map(|digest| cache.find(digest).is_some()), [false, true, true]);
    }

    #[test]
    fn failures_are_remembered_for_one_version_and_only_so_many() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut cache = Cache::open(dir.path(), "0123456789abcdef").expect("an empty cache");
        cache.max_failures = 2;
        let [first, second, third] = [b"1", b"2", b"3"].map(|name| Digest::of(name));
        for (age, digest) in [(3, first), (2, second), (1, third)] {
            assert!(cache.failure(digest).is_none());
            cache.remember(digest, &ImageError::Invalid("it is broken".to_owned()));
            assert!(matches!(cache.failure(digest), Some(ImageError::Invalid(why)) if why == "it is broken"));
            let file = std::fs::File::options().append(true).open(cache.failure_path(digest)).expect("written");
            let then = std::time::SystemTime::now() - std::time::Duration::from_secs(60 * age);
            file.set_modified(then).expect("own file");
        }
        assert!(cache.failure(first).is_none() && cache.failure(second).is_some(), "the oldest is forgotten");
        let text = std::fs::read_to_string(cache.failure_path(third)).expect("written");
        let other = text.replace(concat!("1 ", env!("CARGO_PKG_VERSION")), "1 0.0.0");
        std::fs::write(cache.failure_path(third), other).expect("own file");
        assert!(cache.failure(third).is_none(), "another version finds out for itself");
    }
}
