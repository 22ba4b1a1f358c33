//! Compiled images on disk.
//!
//! `DIR/<compatibility>/<sha256 of the image>.cwasm` is machine code; `….meta` beside it says what it is and gives its SHA-256.
//! Machine code is only loaded if that sum fits: a file that was torn by a power cut, or is half written, is compiled again.
//! The sum is no protection against somebody who may write here (they could as well replace this program); the directory's
//! mode is: 0700, and a directory that somebody else owns is refused.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::Digest as _;

use crate::engine::Level;
use crate::image::{Digest, Shape};

/// The first line of a meta file; a new format gets a new number.
const META_HEADER: &str = "kapelle-image 1";

/// The most that compiled images may take on disk, five hundred large ones; those that were not used for longest go first.
const MAX_CACHE_BYTES: u64 = 8 << 30;

/// How much of a file is summed up at a time.
const READ_BYTES: usize = 256 << 10;

/// What a compiled file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) level: Level,
    pub(crate) program: ProgramKind,
}

/// What runs: decides engine and entry point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProgramKind {
    /// A core module with `_start`.
    Core,
    /// A component with `wasi:cli/run` of p2.
    RunP2,
    /// A component with `wasi:cli/run` of p3.
    RunP3,
    /// A component with `wasi:http/incoming-handler`.
    HttpP2,
    /// A component with `wasi:http/handler`.
    HttpP3,
}

impl ProgramKind {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Core, "core"),
        (Self::RunP2, "run-p2"),
        (Self::RunP3, "run-p3"),
        (Self::HttpP2, "http-p2"),
        (Self::HttpP3, "http-p3"),
    ];

    pub(crate) fn shape(self) -> Shape {
        match self {
            Self::Core | Self::RunP2 | Self::RunP3 => Shape::Command,
            Self::HttpP2 | Self::HttpP3 => Shape::Http,
        }
    }
}

/// The directory for one compatibility hash.
pub(crate) struct Cache {
    dir: PathBuf,
    max_bytes: u64,
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
        let cache = Self { dir, max_bytes: MAX_CACHE_BYTES };
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

    /// Stores machine code; the meta file comes last, so that code without it does not count.
    pub(crate) fn store(&self, digest: Digest, meta: Meta, code: &[u8]) -> io::Result<()> {
        self.make_room(code.len() as u64)?;
        let sum = hex(&sha2::Sha256::digest(code));
        self.replace(&self.code_path(digest), code)?;
        self.replace(&self.meta_path(digest), render(meta, &sum).as_bytes())
    }

    /// Removes what was not used for longest until `bytes` more fit. Code that is in use stays mapped.
    fn make_room(&self, bytes: u64) -> io::Result<()> {
        let mut files = self.files()?;
        files.sort_by_key(|(_, meta)| meta.modified().ok());
        let mut total: u64 = files.iter().map(|(_, meta)| meta.len()).sum();
        for (path, meta) in files.iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "cwasm")) {
            if total + bytes <= self.max_bytes {
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
    let level = match meta.level {
        Level::Lean => "lean",
        Level::P3 => "p3",
    };
    let program = ProgramKind::ALL.iter().find(|(kind, _)| *kind == meta.program).map_or("", |(_, name)| name);
    format!("{META_HEADER}\n{level}\n{program}\n{sum}\n")
}

fn parse(text: &str) -> Option<(Meta, String)> {
    let mut lines = text.lines();
    if lines.next()? != META_HEADER {
        return None;
    }
    let level = match lines.next()? {
        "lean" => Level::Lean,
        "p3" => Level::P3,
        _ => return None,
    };
    let name = lines.next()?;
    let program = ProgramKind::ALL.iter().find(|(_, known)| *known == name)?.0;
    Some((Meta { level, program }, lines.next()?.to_string()))
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
    let mut file = File::open(path)?;
    let mut sum = sha2::Sha256::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&sum.finalize())),
            n => sum.update(&buffer[..n]),
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{Cache, Meta, ProgramKind};
    use crate::engine::Level;
    use crate::image::Digest;

    #[test]
    fn a_full_cache_drops_what_was_not_used_for_longest() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut cache = Cache::open(dir.path(), "0123456789abcdef").expect("an empty cache");
        cache.max_bytes = 2_500;
        let meta = Meta { level: Level::Lean, program: ProgramKind::Core };
        let [old, used, new] = [b"old", b"use", b"new"].map(|name| Digest::of(name));
        cache.store(old, meta, &[1; 1_000]).expect("room");
        cache.store(used, meta, &[2; 1_000]).expect("room");
        let yesterday = std::time::SystemTime::now() - std::time::Duration::from_secs(86_400);
        for digest in [old, used] {
            let file = std::fs::File::options().append(true).open(cache.code_path(digest)).expect("stored");
            file.set_modified(yesterday).expect("own file");
        }
        assert_eq!(cache.find(used), Some(meta), "and thereby it counts as used");
        cache.store(new, meta, &[3; 1_000]).expect("room is made");
        assert_eq!([old, used, new].map(|digest| cache.find(digest).is_some()), [false, true, true]);
    }
}
