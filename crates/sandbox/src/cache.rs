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

use sha2::Digest as _;

use crate::engine::Level;
use crate::image::{Digest, Shape};

/// The first line of a meta file; a new format gets a new number.
const META_HEADER: &str = "kapelle-image 1";

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
        Ok(Self { dir })
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
        }
        whole.then_some(meta)
    }

    /// Stores machine code; the meta file comes last, so that code without it does not count.
    pub(crate) fn store(&self, digest: Digest, meta: Meta, code: &[u8]) -> io::Result<()> {
        let sum = hex(&sha2::Sha256::digest(code));
        self.replace(&self.code_path(digest), code)?;
        self.replace(&self.meta_path(digest), render(meta, &sum).as_bytes())
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
