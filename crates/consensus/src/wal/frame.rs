//! The byte format of segments: the header block, and frames.
//!
//! ```text
//! segment  magic:8 version:4 number:8 epoch:8 cluster:16 member:8 incarnation:8 sequence:8 chain:4 checksum:4, zeros to 4 KiB
//! frame    magic:4 length:4 epoch:8 sequence:8 chain:4 checksum:4, `length` bytes of records, zeros to a multiple of 4 KiB
//! ```
//! Numbers are little-endian; checksums are CRC-32C over everything before them and, for a frame, the records.

use std::{io, ops::Range};

use bytes::{Buf, BufMut};

use super::Record;
use crate::{ClusterId, MemberId, codec::length_field};

/// Frames and headers begin at multiples of this, in bytes: the largest logical block of common disks.
pub(crate) const BLOCK: usize = 4096;

/// The length of a frame's header, in bytes.
pub(crate) const FRAME_HEADER: usize = 32;

/// The version of everything in a segment.
pub(crate) const WAL_VERSION: u32 = 2;

const SEGMENT_MAGIC: &[u8; 8] = b"KPL-WAL\0";
const SEGMENT_HEADER: usize = 76;
const FRAME_MAGIC: u32 = 0x4D46_504B;

/// Whose log it is. Stamped into each segment, so that files of another member or group are never mixed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Identity {
    pub(crate) cluster: ClusterId,
    pub(crate) member: MemberId,
    /// Drawn when the directory was founded: tells two directories apart that claim to be the same member.
    pub(crate) incarnation: u64,
}

/// Where a frame stands in the chain: its number, and the checksum of the frame before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Position {
    pub(crate) sequence: u64,
    pub(crate) chain: u32,
}

/// The first block of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) number: u64,
    pub(crate) epoch: u64,
    pub(crate) identity: Identity,
    /// Where its first frame stands.
    pub(crate) first: Position,
}

/// Why a block is no segment header.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadHeader {
    Damaged,
    Version(u32),
}

impl SegmentHeader {
    /// A header for a new use of a segment.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub(crate) fn new(number: u64, identity: Identity, first: Position) -> io::Result<Self> {
        let mut epoch = [0; 8];
        getrandom::fill(&mut epoch).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self { number, epoch: u64::from_le_bytes(epoch), identity, first })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(BLOCK);
        out.put_slice(SEGMENT_MAGIC);
        out.put_u32_le(WAL_VERSION);
        out.put_u64_le(self.number);
        out.put_u64_le(self.epoch);
        out.put_u128_le(self.identity.cluster.0);
        out.put_u64_le(self.identity.member.0);
        out.put_u64_le(self.identity.incarnation);
        out.put_u64_le(self.first.sequence);
        out.put_u32_le(self.first.chain);
        out.put_u32_le(crc32c::crc32c(&out));
        out.resize(BLOCK, 0);
        out
    }

    pub(crate) fn decode(block: &[u8]) -> Result<Self, BadHeader> {
        let mut from = block.get(..SEGMENT_HEADER).ok_or(BadHeader::Damaged)?;
        let checksum = crc32c::crc32c(&from[..SEGMENT_HEADER - 4]);
        if from[..8] != SEGMENT_MAGIC[..] {
            return Err(BadHeader::Damaged);
        }
        from.advance(8);
        let version = from.get_u32_le();
        if version != WAL_VERSION {
            return Err(BadHeader::Version(version));
        }
        let (number, epoch) = (from.get_u64_le(), from.get_u64_le());
        let identity = Identity {
            cluster: ClusterId(from.get_u128_le()),
            member: MemberId(from.get_u64_le()),
            incarnation: from.get_u64_le(),
        };
        let first = Position { sequence: from.get_u64_le(), chain: from.get_u32_le() };
        let header = Self { number, epoch, identity, first };
        if from.get_u32_le() == checksum { Ok(header) } else { Err(BadHeader::Damaged) }
    }
}

/// A frame that was found whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) position: Position,
    pub(crate) checksum: u32,
    /// Where its records are, counted from the frame's start.
    pub(crate) payload: Range<usize>,
}

impl Frame {
    /// The whole frame that begins here and belongs to this use of the segment, if there is one.
    pub(crate) fn parse(bytes: &[u8], epoch: u64) -> Option<Self> {
        let mut from = bytes.get(..FRAME_HEADER)?;
        if from.get_u32_le() != FRAME_MAGIC {
            return None;
        }
        let length = from.get_u32_le() as usize;
        if from.get_u64_le() != epoch {
            return None;
        }
        let position = Position { sequence: from.get_u64_le(), chain: from.get_u32_le() };
        let checksum = from.get_u32_le();
        let payload = FRAME_HEADER..FRAME_HEADER.checked_add(length)?;
        let records = bytes.get(payload.clone())?;
        let found = crc32c::crc32c_append(crc32c::crc32c(&bytes[..FRAME_HEADER - 4]), records);
        (found == checksum).then_some(Self { position, checksum, payload })
    }

    /// How many bytes the frame takes in the segment.
    pub(crate) fn bytes(&self) -> usize {
        self.payload.end.next_multiple_of(BLOCK)
    }
}

/// A frame ready to be written.
pub(crate) struct Sealed<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) checksum: u32,
}

/// Collects the records of one frame in memory whose address suits O_DIRECT.
#[derive(Debug)]
pub(crate) struct FrameBuffer {
    bytes: Vec<u8>,
    /// Where the frame begins, so that its address is a multiple of the block.
    start: usize,
}

impl Default for FrameBuffer {
    fn default() -> Self {
        // Room for the largest frame, so that the bytes never move; pages that are never touched cost nothing.
        let room = super::FRAME_BYTES + crate::COMMAND_BYTES_MAX + (256 << 10);
        let mut buffer = Self { bytes: Vec::with_capacity(room), start: 0 };
        buffer.clear();
        buffer
    }
}

impl FrameBuffer {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.start = self.bytes.as_ptr().align_offset(BLOCK);
        self.bytes.resize(self.start + FRAME_HEADER, 0);
    }

    pub(crate) fn push(&mut self, record: &Record) {
        record.encode(&mut self.bytes);
    }

    /// Puts records before all others.
    pub(crate) fn prepend(&mut self, records: impl Iterator<Item = Record>) {
        let mut head = Vec::new();
        records.for_each(|record| record.encode(&mut head));
        let at = self.start + FRAME_HEADER;
        self.bytes.splice(at..at, head);
    }

    pub(crate) fn payload_bytes(&self) -> usize {
        self.bytes.len() - self.start - FRAME_HEADER
    }

    pub(crate) fn frame_bytes(&self) -> usize {
        (FRAME_HEADER + self.payload_bytes()).next_multiple_of(BLOCK)
    }

    /// Completes the frame: header, checksum, zeros up to the block.
    pub(crate) fn seal(&mut self, epoch: u64, position: Position) -> Sealed<'_> {
        let length = self.payload_bytes();
        let end = self.start + self.frame_bytes();
        let mut header = Vec::with_capacity(FRAME_HEADER);
        header.put_u32_le(FRAME_MAGIC);
        header.put_u32_le(length_field(length));
        header.put_u64_le(epoch);
        header.put_u64_le(position.sequence);
        header.put_u32_le(position.chain);
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&header), &self.bytes[self.start + FRAME_HEADER..]);
        header.put_u32_le(checksum);
        self.bytes[self.start..][..FRAME_HEADER].copy_from_slice(&header);
        self.bytes.resize(end, 0);
        self.align();
        let end = self.start + (FRAME_HEADER + length).next_multiple_of(BLOCK);
        Sealed { bytes: &self.bytes[self.start..end], checksum }
    }

    /// Mends the alignment in case the bytes have moved after all.
    fn align(&mut self) {
        if self.bytes.as_ptr().align_offset(BLOCK) == self.start % BLOCK {
            return;
        }
        let frame = self.bytes.split_off(self.start);
        let mut moved: Vec<u8> = Vec::with_capacity(frame.len() + BLOCK);
        self.start = moved.as_ptr().align_offset(BLOCK);
        moved.resize(self.start, 0);
        moved.extend_from_slice(&frame);
        self.bytes = moved;
    }
}
