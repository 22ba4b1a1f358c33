//! One file of the log: made ahead, begun with a header, written block by block past the page cache where that is possible.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use super::{
    descriptors::patiently,
    frame::{BLOCK, SegmentHeader},
};
use crate::codec::piece_len;

/// Zeros are written in pieces of this many bytes.
const ZEROS_BYTES: usize = 1 << 20;

/// The segment that is being written.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) epoch: u64,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    /// Where the next frame goes.
    pub(crate) offset: u64,
    file: File,
}

impl Segment {
    /// Turns a prepared file into a segment. It gets its name only when its header is durable, so a segment without a
    /// readable header is always damage.
    pub(crate) fn begin(dir: &Path, prepared: &Path, header: &SegmentHeader) -> io::Result<Self> {
        let file = open_direct(prepared, &header.encode())?;
        file.sync_data()?;
        let path = dir.join(name(header.number));
        std::fs::rename(prepared, &path)?;
        sync_dir(dir)?;
        let bytes = file.metadata()?.len();
        Ok(Self { number: header.number, epoch: header.epoch, path, bytes, offset: BLOCK as u64, file })
    }

    /// Goes on after the last readable frame. What was read may only have been in memory, so it is made durable first.
    pub(crate) fn resume(path: &Path, header: &SegmentHeader, offset: u64) -> io::Result<Self> {
        let file = open_direct(path, &header.encode())?;
        file.sync_data()?;
        let bytes = file.metadata()?.len();
        Ok(Self { number: header.number, epoch: header.epoch, path: path.into(), bytes, offset, file })
    }

    /// Writes a frame and returns when it survives a crash.
    pub(crate) fn write_durably(&mut self, frame: &[u8]) -> io::Result<()> {
        self.file.write_all_at(frame, self.offset)?;
        self.file.sync_data()?;
        self.offset += frame.len() as u64;
        Ok(())
    }
}

/// The name of a segment; sorts by number.
pub(crate) fn name(number: u64) -> String {
    format!("{number:016x}.wal")
}

/// The number in a segment's name.
pub(crate) fn number(path: &Path) -> Option<u64> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".wal")?;
    u64::from_str_radix(stem, 16).ok()
}

/// Opens for writing without the page cache, or with it where the filesystem has no other way, and writes the header: only
/// a write shows whether it works. Any other error is one, and is not tried again.
fn open_direct(path: &Path, header: &[u8]) -> io::Result<File> {
    let mut aligned = vec![0; 2 * BLOCK];
    let start = aligned.as_ptr().align_offset(BLOCK);
    aligned[start..][..BLOCK].copy_from_slice(header);
    let direct = patiently(|| OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(path));
    match direct.and_then(|file| file.write_all_at(&aligned[start..][..BLOCK], 0).map(|()| file)) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            let file = patiently(|| OpenOptions::new().write(true).open(path))?;
            file.write_all_at(header, 0)?;
            Ok(file)
        }
        outcome => outcome,
    }
}

/// A file of the given length that has its blocks, but not written ones: quick to make.
pub(crate) fn allocate(path: &Path, bytes: u64) -> io::Result<()> {
    let file = patiently(|| File::create(path))?;
    match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => file.set_len(bytes),
        Err(error) => Err(error.into()),
    }
}

/// A file of the given length whose blocks are written and durable. Without a sync now and then the zeros would reach the
/// disk in one heap, in front of somebody's commit.
///
/// # Errors
/// What the disk said, or [`io::ErrorKind::Interrupted`] when nobody wants the file any more.
pub(crate) fn fill(path: &Path, bytes: u64, is_unwanted: &AtomicBool) -> io::Result<PathBuf> {
    let mut file = patiently(|| File::create(path))?;
    let zeros = vec![0; ZEROS_BYTES];
    let mut left = bytes;
    while left > 0 {
        if is_unwanted.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let piece = piece_len(left, ZEROS_BYTES);
        file.write_all(&zeros[..piece])?;
        file.sync_data()?;
        left -= piece as u64;
    }
    file.sync_all()?;
    Ok(path.into())
}

/// Makes names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    patiently(|| File::open(dir))?.sync_all()
}
