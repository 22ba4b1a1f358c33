//! Snapshot files: the machine's bytes in checked blocks, written aside and then named, so that a file with a snapshot's
//! name was whole when it was made.
//!
//! ```text
//! header  magic:8 version:4 cluster:16 length:4 mark:length checksum:4
//! block   length:4 checksum:4 bytes           length 1 to 256 KiB
//! footer  0:4 checksum:4 total:8
//! ```
//! Numbers are little-endian. A block's checksum is CRC-32C over its bytes, begun from the checksum before it, so blocks
//! cannot change places; the footer's is the last of that chain, with the total appended.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

use bytes::{Buf, BufMut, Bytes};

use crate::{
    ClusterId, Mark, OpenError,
    codec::{Source, length_field, put_mark},
    wal::{patiently, sync_dir},
};

/// The version of the format around the machine's bytes.
const SNAPSHOT_VERSION: u32 = 2;

const MAGIC: &[u8; 8] = b"KPL-SNAP";

/// The most bytes of a block: what is lost in memory to check before it is used.
const BLOCK_BYTES_MAX: usize = 256 << 10;

/// The longest mark, in bytes: four lists of as many members as there may be, and their contacts.
const MARK_BYTES_MAX: u32 = 64 << 10;

/// The file is synced every so many bytes, so that a commit never waits behind a heap of unwritten pages.
const SYNC_EVERY_BYTES: u64 = 4 << 20;

/// Snapshots that are kept: the newest, and one in case the newest is damaged.
const KEPT: usize = 2;

/// Writes a snapshot and returns its size when it survives a crash.
///
/// # Errors
/// What the disk or the machine said. There is no snapshot then, but perhaps an unnamed file.
pub(crate) fn write(
    dir: &Path,
    cluster: ClusterId,
    mark: &Mark,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<u64> {
    let unnamed = dir.join(format!("{:016x}.tmp", mark.index));
    let mut blocks = Blocks::begin(patiently(|| File::create(&unnamed))?, File::sync_data, cluster, mark)?;
    fill(&mut blocks)?;
    let (file, total) = blocks.end()?;
    file.sync_all()?;
    std::fs::rename(&unnamed, dir.join(name(mark.index)))?;
    sync_dir(dir)?;
    Ok(total)
}

/// The bytes that [`write`] makes a file of.
///
/// # Errors
/// Never, in fact.
pub(crate) fn in_memory(cluster: ClusterId, mark: &Mark, content: &[u8]) -> io::Result<Vec<u8>> {
    let mut blocks = Blocks::begin(Vec::new(), |_| Ok(()), cluster, mark)?;
    blocks.write_all(content)?;
    Ok(blocks.end()?.0)
}

fn name(index: u64) -> String {
    format!("{index:016x}.snap")
}

/// All snapshots of a directory, newest first; files that never got a name are removed.
///
/// # Errors
/// What the disk said.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for file in std::fs::read_dir(dir)? {
        let path = file?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("snap") => paths.push(path),
            Some("tmp") => std::fs::remove_file(&path)?,
            _ => {}
        }
    }
    paths.sort_unstable_by(|a, b| b.cmp(a));
    Ok(paths)
}

/// Removes all but the newest snapshots.
///
/// # Errors
/// What the disk said.
pub(crate) fn prune(dir: &Path) -> io::Result<()> {
    let mut paths: Vec<PathBuf> =
        patiently(|| std::fs::read_dir(dir))?.map(|file| Ok(file?.path())).collect::<io::Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "snap"));
    paths.sort_unstable_by(|a, b| b.cmp(a));
    paths.iter().skip(KEPT).try_for_each(std::fs::remove_file)
}

/// The path of a snapshot.
pub(crate) fn path(dir: &Path, index: u64) -> PathBuf {
    dir.join(name(index))
}

/// Collects bytes into checked blocks.
struct Blocks<W: Write> {
    file: BufWriter<W>,
    /// Makes what was written survive a crash.
    sync: fn(&W) -> io::Result<()>,
    block: Vec<u8>,
    chain: u32,
    /// The machine's bytes so far.
    total: u64,
    written: u64,
    unsynced: u64,
}

impl<W: Write> Blocks<W> {
    fn begin(file: W, sync: fn(&W) -> io::Result<()>, cluster: ClusterId, mark: &Mark) -> io::Result<Self> {
        let mut encoded = Vec::new();
        put_mark(&mut encoded, mark);
        let mut header = Vec::new();
        header.put_slice(MAGIC);
        header.put_u32_le(SNAPSHOT_VERSION);
        header.put_u128_le(cluster.0);
        header.put_u32_le(length_field(encoded.len()));
        header.put_slice(&encoded);
        let chain = crc32c::crc32c(&header);
        header.put_u32_le(chain);
        let mut file = BufWriter::with_capacity(BLOCK_BYTES_MAX, file);
        file.write_all(&header)?;
        let block = Vec::with_capacity(BLOCK_BYTES_MAX);
        Ok(Self { file, sync, block, chain, total: 0, written: header.len() as u64, unsynced: 0 })
    }

    fn flush_block(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        self.chain = crc32c::crc32c_append(self.chain, &self.block);
        self.file.write_all(&length_field(self.block.len()).to_le_bytes())?;
        self.file.write_all(&self.chain.to_le_bytes())?;
        self.file.write_all(&self.block)?;
        self.total += self.block.len() as u64;
        self.written += 8 + self.block.len() as u64;
        self.unsynced += self.block.len() as u64;
        self.block.clear();
        if self.unsynced >= SYNC_EVERY_BYTES {
            self.unsynced = 0;
            self.file.flush()?;
            (self.sync)(self.file.get_ref())?;
        }
        Ok(())
    }

    fn end(mut self) -> io::Result<(W, u64)> {
        self.flush_block()?;
        let total = self.total.to_le_bytes();
        let chain = crc32c::crc32c_append(self.chain, &total);
        self.file.write_all(&0u32.to_le_bytes())?;
        self.file.write_all(&chain.to_le_bytes())?;
        self.file.write_all(&total)?;
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok((file, self.written + 16))
    }
}

impl<W: Write> Write for Blocks<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = BLOCK_BYTES_MAX - self.block.len();
        let taken = room.min(bytes.len());
        self.block.extend_from_slice(&bytes[..taken]);
        if self.block.len() == BLOCK_BYTES_MAX {
            self.flush_block()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A snapshot being read: gives only bytes whose checksum was right.
pub(crate) struct SnapshotReader<R = File> {
    file: BufReader<R>,
    chain: u32,
    block: Bytes,
    total: u64,
    is_at_end: bool,
    /// The place in the log.
    pub(crate) mark: Mark,
    pub(crate) cluster: ClusterId,
}

impl SnapshotReader {
    /// Opens a snapshot's file, see [`SnapshotReader::begin`].
    ///
    /// # Errors
    /// [`OpenError`], naming the file.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let file = File::open(path).map_err(|source| OpenError::Io { what: "open", path: path.into(), source })?;
        Self::begin(file, path)
    }
}

impl<R: Read> SnapshotReader<R> {
    /// Reads the header; the path is for errors.
    ///
    /// # Errors
    /// [`OpenError`], naming the file.
    pub(crate) fn begin(file: R, path: &Path) -> Result<Self, OpenError> {
        let mut file = BufReader::with_capacity(BLOCK_BYTES_MAX, file);
        let corrupt = |_| OpenError::Corrupt { path: path.into(), detail: "its header is not readable".into() };
        let mut header = vec![0; 32];
        file.read_exact(&mut header).map_err(corrupt)?;
        let mut fixed = &header[8..];
        let (version, cluster, length) = (fixed.get_u32_le(), ClusterId(fixed.get_u128_le()), fixed.get_u32_le());
        if header[..8] != MAGIC[..] || length > MARK_BYTES_MAX {
            return Err(corrupt(ErrorKind::InvalidData.into()));
        }
        if version != SNAPSHOT_VERSION {
            return Err(OpenError::Version { path: path.into(), found: version, known: SNAPSHOT_VERSION });
        }
        let mut mark = vec![0; length as usize];
        file.read_exact(&mut mark).map_err(corrupt)?;
        header.extend_from_slice(&mark);
        let chain = read_u32(&mut file).map_err(corrupt)?;
        let mark = Source(mark.into()).mark().map_err(|error| corrupt(io::Error::other(error)))?;
        if crc32c::crc32c(&header) != chain {
            return Err(corrupt(ErrorKind::InvalidData.into()));
        }
        Ok(Self { file, chain, block: Bytes::new(), total: 0, is_at_end: false, mark, cluster })
    }

    /// Reads what the machine left over, so that a damaged end is found too.
    ///
    /// # Errors
    /// When the rest is damaged or the file has no end.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        io::copy(self, &mut io::sink()).map(|_| ())
    }

    fn next_block(&mut self) -> io::Result<()> {
        let length = read_u32(&mut self.file)? as usize;
        let chain = read_u32(&mut self.file)?;
        if length > BLOCK_BYTES_MAX {
            return Err(damaged("a block is too long"));
        }
        let mut block = vec![0; if length == 0 { 8 } else { length }];
        self.file.read_exact(&mut block)?;
        if crc32c::crc32c_append(self.chain, &block) != chain {
            return Err(damaged("a block's checksum is wrong"));
        }
        if length == 0 {
            self.is_at_end = true;
            let total = Buf::get_u64_le(&mut block.as_slice());
            return if total == self.total { Ok(()) } else { Err(damaged("blocks are missing")) };
        }
        self.chain = chain;
        self.total += length as u64;
        self.block = block.into();
        Ok(())
    }
}

fn read_u32(from: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn damaged(detail: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, detail)
}

impl<R: Read> Read for SnapshotReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.block.is_empty() && !self.is_at_end {
            self.next_block()?;
        }
        let taken = into.len().min(self.block.len());
        self.block.copy_to_slice(&mut into[..taken]);
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn mark(index: u64) -> Mark {
        Mark { index, term: 3, ..Mark::default() }
    }

    fn read(path: &Path) -> Option<Vec<u8>> {
        let mut reader = SnapshotReader::open(path).ok()?;
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    #[test]
    fn a_snapshot_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        for length in [0, 1, BLOCK_BYTES_MAX - 1, BLOCK_BYTES_MAX, 3 * BLOCK_BYTES_MAX + 7] {
            let bytes: Vec<u8> = (0..length).map(|at| (at * 31 % 251) as u8).collect();
            let size = write(dir.path(), ClusterId(5), &mark(9), |to| to.write_all(&bytes)).unwrap();
            assert_eq!(std::fs::metadata(path(dir.path(), 9)).unwrap().len(), size);
            assert_eq!(read(&path(dir.path(), 9)), Some(bytes));
        }
    }

    #[test]
    fn no_flipped_bit_and_no_lost_end_goes_unnoticed() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), ClusterId(5), &mark(9), |to| to.write_all(b"all the world")).unwrap();
        let path = path(dir.path(), 9);
        let whole = std::fs::read(&path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &flipped).unwrap();
            assert_eq!(read(&path), None, "bit {bit} flipped");
        }
        for end in 0..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            assert_eq!(read(&path), None, "cut at {end}");
        }
    }

    #[test]
    fn a_snapshot_that_fails_gets_no_name_and_two_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        for index in [1, 2, 3] {
            write(dir.path(), ClusterId(5), &mark(index), |_| Ok(())).unwrap();
        }
        write(dir.path(), ClusterId(5), &mark(4), |_| Err(damaged("no"))).unwrap_err();
        prune(dir.path()).unwrap();
        assert_eq!(list(dir.path()).unwrap(), [path(dir.path(), 3), path(dir.path(), 2)]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
