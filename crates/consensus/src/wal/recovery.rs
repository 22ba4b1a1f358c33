//! Reads a log after a crash: everything up to the first frame that is not whole, or a refusal.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{
    Closed, FRAME_BYTES, Framer, Identity, LogImage, Record, Sizes, Wal,
    frame::{BLOCK, BadHeader, Frame, Position, SegmentHeader, WAL_VERSION},
    segment::{self, Segment},
};
use crate::OpenError;

/// Opens a log that exists; `None` if the directory holds none.
///
/// # Errors
/// [`OpenError::Corrupt`] when bytes are lost that were durable once.
pub(crate) fn recover(dir: &Path, sizes: Sizes) -> Result<Option<(Wal, Identity, LogImage)>, OpenError> {
    let paths = tidy(dir).map_err(|source| OpenError::Io { what: "read the log in", path: dir.into(), source })?;
    let Some(last) = paths.last() else { return Ok(None) };
    let segments = paths.iter().map(|path| {
        let bytes = std::fs::read(path).map_err(|source| OpenError::Io { what: "read", path: path.clone(), source })?;
        Ok((path.clone(), Bytes::from(bytes)))
    });
    Reader::read_all(segments)?.finish(dir, sizes, last)
}

/// The segments in order; what never became one, or is none any more, is removed.
fn tidy(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for file in std::fs::read_dir(dir)? {
        let path = file?.path();
        if segment::number(&path).is_some() {
            paths.push(path);
        } else if path.extension().is_some_and(|extension| extension == "tmp") {
            std::fs::remove_file(&path)?;
        }
    }
    paths.sort();
    Ok(paths)
}

/// What a log of these segments says, without going on with it.
#[cfg(test)]
pub(super) fn inspect(segments: Vec<(PathBuf, Bytes)>) -> Result<LogImage, OpenError> {
    Ok(Reader::read_all(segments.into_iter().map(Ok))?.image)
}

/// Reads segments in order.
#[derive(Default)]
pub(crate) struct Reader {
    pub(crate) image: LogImage,
    /// Of the segment read last.
    pub(crate) header: Option<SegmentHeader>,
    /// Where the next frame goes in the chain and in the segment read last.
    pub(crate) next: Position,
    pub(crate) offset: usize,
    /// The highest index of any entry in the segment read last.
    pub(crate) last_index: u64,
    pub(crate) closed: VecDeque<Closed>,
}

impl Reader {
    pub(crate) fn read_all(
        segments: impl Iterator<Item = Result<(PathBuf, Bytes), OpenError>>,
    ) -> Result<Self, OpenError> {
        let mut reader = Self::default();
        let mut segments = segments.peekable();
        while let Some(segment) = segments.next() {
            let (path, bytes) = segment?;
            let is_last = segments.peek().is_none();
            reader.read(&path, &bytes, is_last)?;
            if is_last && reader.image.hard.commit > reader.image.last() {
                let (commit, end) = (reader.image.hard.commit, reader.image.last());
                let detail = format!("entries up to {commit} were agreed, but the log ends at {end}");
                return Err(OpenError::Corrupt { path, detail });
            }
        }
        Ok(reader)
    }

    fn read(&mut self, path: &Path, bytes: &Bytes, is_last: bool) -> Result<(), OpenError> {
        let corrupt = |detail| OpenError::Corrupt { path: path.into(), detail };
        let header = SegmentHeader::decode(bytes).map_err(|bad| match bad {
            BadHeader::Damaged => corrupt("its header is not readable".into()),
            BadHeader::Version(found) => OpenError::Version { path: path.into(), found, known: WAL_VERSION },
        })?;
        self.connect(path, &header).map_err(corrupt)?;
        self.header = Some(header);
        self.last_index = 0;
        self.offset = BLOCK;
        while let Some(frame) = bytes.get(self.offset..).and_then(|rest| Frame::parse(rest, header.epoch)) {
            if frame.position != self.next {
                return Err(corrupt(format!(
                    "frame {} stands where {} should",
                    frame.position.sequence, self.next.sequence
                )));
            }
            let payload = bytes.slice(self.offset + frame.payload.start..self.offset + frame.payload.end);
            self.take(payload).map_err(corrupt)?;
            let Some(sequence) = self.next.sequence.checked_add(1) else {
                return Err(corrupt(format!("no frame follows frame {}", self.next.sequence)));
            };
            self.next = Position { sequence, chain: frame.checksum };
            self.offset += frame.bytes();
        }
        if is_last {
            return self.nothing_follows(bytes, header.epoch).map_err(corrupt);
        }
        self.closed.push_back(Closed { path: path.into(), bytes: bytes.len() as u64, last_index: self.last_index });
        Ok(())
    }

    /// A segment goes on where the one before it ended.
    fn connect(&mut self, path: &Path, header: &SegmentHeader) -> Result<(), String> {
        if segment::number(path) != Some(header.number) {
            return Err(format!("it calls itself segment {}", header.number));
        }
        let Some(before) = &self.header else {
            self.next = header.first;
            return Ok(());
        };
        if before.identity != header.identity {
            return Err("it belongs to another member or group".into());
        }
        let number = before.number.saturating_add(1);
        if header.number != number {
            return Err(format!("segment {number} is missing before it"));
        }
        if header.first != self.next {
            return Err(format!(
                "it begins with frame {}, but segment {} before it ends early, before frame {}",
                header.first.sequence, before.number, self.next.sequence
            ));
        }
        Ok(())
    }

    fn take(&mut self, payload: Bytes) -> Result<(), String> {
        let place = self.next.sequence;
        let records = Record::decode_all(payload).map_err(|error| format!("frame {place}: {error}"))?;
        for record in records {
            if let Record::Entry(entry) = &record {
                self.last_index = self.last_index.max(entry.index);
            }
            self.image.take(record).map_err(|detail| format!("frame {place}: {detail}"))?;
        }
        Ok(())
    }

    /// Each frame was durable before the next one was begun: a whole frame after a broken one is no torn write.
    fn nothing_follows(&self, bytes: &Bytes, epoch: u64) -> Result<(), String> {
        let mut later = (self.offset..bytes.len()).step_by(BLOCK).skip(1);
        match later.find_map(|at| Frame::parse(&bytes[at..], epoch).map(|frame| (at, frame))) {
            None => Ok(()),
            Some((at, frame)) => Err(format!(
                "frame {} at byte {} is not readable, but frame {} at byte {at} is",
                self.next.sequence, self.offset, frame.position.sequence
            )),
        }
    }

    fn finish(mut self, dir: &Path, sizes: Sizes, last: &Path) -> Result<Option<(Wal, Identity, LogImage)>, OpenError> {
        let Some(header) = self.header else { return Ok(None) };
        let current = Segment::resume(last, &header, self.offset as u64).map_err(|source| OpenError::Io {
            what: "write",
            path: last.into(),
            source,
        })?;
        let wal = Wal {
            dir: dir.into(),
            sizes,
            identity: header.identity,
            closed: std::mem::take(&mut self.closed),
            current,
            framer: Framer::new(FRAME_BYTES, &self.image, self.next, self.last_index),
            spares: Vec::new(),
            preparing: None,
            is_closed: Default::default(),
        };
        Ok(Some((wal, header.identity, self.image)))
    }
}
