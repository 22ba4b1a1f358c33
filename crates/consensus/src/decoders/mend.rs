//! Checksums made right again in damaged bytes. Works on whatever it is given and leaves alone what it cannot find.

use std::ops::Range;

use super::SEGMENT_BYTES;
use crate::wal::{BLOCK, Position};

/// Where a segment's header has its epoch, its first frame's place, and its checksum; see `wal::frame`.
const EPOCH: Range<usize> = 20..28;
const FIRST: usize = 60;
const HEADER_CHECKSUM: usize = 72;

/// Where a frame has its place and its checksum, and where its records begin.
const PLACE: usize = 16;
const FRAME_CHECKSUM: usize = 28;
const PAYLOAD: usize = 32;

/// Where a snapshot's header has the length of its mark, and the mark.
const MARK_LENGTH: usize = 28;
const MARK: usize = 32;

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|four| u32::from_le_bytes(*four))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|eight| u64::from_le_bytes(*eight))
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at.saturating_add(value.len())) {
        place.copy_from_slice(value);
    }
}

fn put_place(bytes: &mut [u8], at: usize, place: Position) {
    put(bytes, at, &place.sequence.to_le_bytes());
    put(bytes, at + 8, &place.chain.to_le_bytes());
}

/// The chain of a log: the first segment's header says where it begins, and all else is made to follow from that.
pub(super) fn log(bytes: &mut [u8]) {
    let mut next = None;
    for segment in bytes.chunks_mut(SEGMENT_BYTES) {
        let first = Position {
            sequence: u64_at(segment, FIRST).unwrap_or_default(),
            chain: u32_at(segment, FIRST + 8).unwrap_or_default(),
        };
        let mut place = next.unwrap_or(first);
        put_place(segment, FIRST, place);
        if let Some(header) = segment.get(..HEADER_CHECKSUM) {
            let checksum = crc32c::crc32c(header);
            put(segment, HEADER_CHECKSUM, &checksum.to_le_bytes());
        }
        let mut at = BLOCK;
        while let Some(length) = frame(segment, at, &mut place) {
            at += length;
        }
        next = Some(place);
    }
}

/// Mends the frame at a place, if there may be one, and tells how long it is.
fn frame(segment: &mut [u8], at: usize, place: &mut Position) -> Option<usize> {
    let length = u32_at(segment, at + 4)? as usize;
    let epoch = segment.get(EPOCH)?.to_vec();
    let end = (at + PAYLOAD).checked_add(length).filter(|end| length > 0 && *end <= segment.len())?;
    put(segment, at + 8, &epoch);
    put_place(segment, at + PLACE, *place);
    let checksum = crc32c::crc32c(&segment[at..at + FRAME_CHECKSUM]);
    let checksum = crc32c::crc32c_append(checksum, &segment[at + PAYLOAD..end]);
    put(segment, at + FRAME_CHECKSUM, &checksum.to_le_bytes());
    *place = Position { sequence: place.sequence.wrapping_add(1), chain: checksum };
    Some((PAYLOAD + length).next_multiple_of(BLOCK))
}

/// The chain of a snapshot's blocks, from its header on.
pub(super) fn snapshot(bytes: &mut [u8]) {
    let Some(length) = u32_at(bytes, MARK_LENGTH) else { return };
    let Some(mut at) = MARK.checked_add(length as usize).filter(|end| *end <= bytes.len()) else { return };
    let mut chain = crc32c::crc32c(&bytes[..at]);
    put(bytes, at, &chain.to_le_bytes());
    at += 4;
    while let Some(length) = u32_at(bytes, at) {
        let length = if length == 0 { 8 } else { length as usize };
        let Some(block) = bytes.get(at + 8..).and_then(|rest| rest.get(..length)) else { return };
        chain = crc32c::crc32c_append(chain, block);
        put(bytes, at + 4, &chain.to_le_bytes());
        at += 8 + length;
    }
}
