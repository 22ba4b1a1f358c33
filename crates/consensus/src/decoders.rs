//! Everything that this crate reads from a wire or a disk, under one roof: for whoever feeds it damaged bytes.
//!
//! [`Format::decode`] runs the code that ships and nothing beside it. [`Format::samples`] are valid bytes to begin from, and
//! [`Format::mend`] makes the checksums right again, so that damage gets past them to what lies behind.

mod mend;
mod samples;

use std::{
    io::{self, Read},
    path::Path,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use crate::{
    Change, ClusterId, Entry, HardState, Mark,
    driver::{Frame, Hello, piece},
    message::Message,
    snapshot::{self, SnapshotReader},
    wal::Record,
    wal_image::{Sizes, recover},
};

/// The group that all samples belong to.
const CLUSTER: ClusterId = ClusterId(7);

/// The segments of a [`Format::Log`] are so long and stand one behind the other. In bytes.
pub const SEGMENT_BYTES: usize = 16 << 10;

/// How the samples of a [`Format::Log`] were written.
pub const SIZES: Sizes =
    Sizes { segment_bytes: SEGMENT_BYTES, frame_bytes: 3000, snapshot_after_bytes: u64::MAX, log_tail_bytes: 0 };

/// A kind of bytes that come from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The first thing on a connection between members.
    Hello,
    /// What follows on it, with its length in front.
    Frame,
    /// A message of the group's protocol.
    Message,
    /// A change of the members, as the log keeps it.
    Change,
    /// The records in one frame of the log.
    Records,
    /// The segments of a log after a crash.
    Log,
    /// A snapshot's file.
    Snapshot,
    /// A snapshot in pieces on a connection: the offer, then chunks until it is whole.
    Transfer,
}

/// What some bytes meant.
#[derive(Debug, PartialEq)]
pub struct Value(Meaning);

#[derive(Debug, PartialEq)]
enum Meaning {
    Hello(Hello),
    Frame(Frame),
    Message(Message),
    Change(Change),
    Records(Vec<Record>),
    Log(HardState, Mark, Vec<Entry>),
    Snapshot(ClusterId, Mark, Vec<u8>),
}

impl Format {
    /// Reads bytes as a member does; `None` if it refuses them.
    #[must_use]
    pub fn decode(self, bytes: &Bytes) -> Option<Value> {
        Some(Value(match self {
            Self::Hello => Meaning::Hello(at_once(Hello::read(&mut &bytes[..])).ok()?),
            Self::Frame => Meaning::Frame(frame(&mut &bytes[..]).ok()?),
            Self::Message => Meaning::Message(Message::decode(bytes.clone(), CLUSTER).ok()?),
            Self::Change => Meaning::Change(Change::decode(bytes.clone()).ok()?),
            Self::Records => Meaning::Records(Record::decode_all(bytes.clone()).ok()?),
            Self::Log => log(bytes)?,
            Self::Snapshot => snapshot(bytes).ok()?,
            Self::Transfer => transfer(&mut &bytes[..]).ok()?,
        }))
    }

    /// Makes checksums and what follows from them right. Nothing to do for bytes on a connection: TLS guards them.
    pub fn mend(self, bytes: &mut [u8]) {
        match self {
            Self::Hello | Self::Frame | Self::Message | Self::Change | Self::Records | Self::Transfer => {}
            Self::Log => mend::log(bytes),
            Self::Snapshot => mend::snapshot(bytes),
        }
    }

    /// Valid bytes of every shape that the format has, with values from `chance`.
    #[must_use]
    pub fn samples(self, chance: &mut dyn FnMut() -> u64) -> Vec<Bytes> {
        samples::of(self, &mut samples::Draw(chance))
    }
}

impl Value {
    /// The value as bytes of the same format; `None` where a member never writes it in one piece.
    #[must_use]
    pub fn encode(&self) -> Option<Bytes> {
        Some(match &self.0 {
            Meaning::Hello(hello) => hello.encode().into(),
            Meaning::Frame(frame) => frame.encode(CLUSTER),
            Meaning::Message(message) => message.encode(CLUSTER),
            Meaning::Change(change) => change.encode().into(),
            Meaning::Records(records) => {
                let mut out = Vec::new();
                records.iter().for_each(|record| record.encode(&mut out));
                out.into()
            }
            Meaning::Snapshot(cluster, mark, bytes) => snapshot::in_memory(*cluster, mark, bytes).ok()?.into(),
            Meaning::Log(..) => return None,
        })
    }
}

/// A future that has all it waits for.
fn at_once<T>(future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

fn frame(from: &mut &[u8]) -> io::Result<Frame> {
    let read = at_once(Frame::read(from, CLUSTER))?;
    read.map(|(frame, _)| frame).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn log(bytes: &Bytes) -> Option<Meaning> {
    let starts = (0..bytes.len()).step_by(SEGMENT_BYTES);
    let segments = starts.map(|at| bytes.slice(at..bytes.len().min(at + SEGMENT_BYTES)));
    let setup = recover((1..).zip(segments).collect(), &samples::snapshots(), SIZES, 0).ok()?.setup;
    Some(Meaning::Log(setup.hard, setup.mark, setup.entries))
}

fn snapshot(bytes: &[u8]) -> io::Result<Meaning> {
    let mut reader = SnapshotReader::begin(bytes, Path::new("memory")).map_err(io::Error::other)?;
    let mut content = Vec::new();
    reader.read_to_end(&mut content)?;
    Ok(Meaning::Snapshot(reader.cluster, reader.mark.clone(), content))
}

fn transfer(from: &mut &[u8]) -> io::Result<Meaning> {
    let Frame::Offer { length, .. } = frame(from)? else { return Err(io::ErrorKind::InvalidData.into()) };
    let mut whole: Vec<u8> = Vec::new();
    while (whole.len() as u64) < length {
        whole.extend_from_slice(&piece(frame(from)?, whole.len() as u64, length)?);
    }
    snapshot(&whole)
}
