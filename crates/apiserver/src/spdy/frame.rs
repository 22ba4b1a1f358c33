//! Frames, to and from bytes. Data is handed on as it comes, so that no frame is too long to be held.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::Fault;

/// The version in each control frame; 3.1 differs from 3 in its windows only.
const VERSION: u16 = 3;

/// The bytes before each frame's content.
pub(crate) const HEADER_BYTES: usize = 8;

/// The longest control frame, in bytes. Clients send a few short headers.
pub(crate) const CONTROL_BYTES_MAX: usize = 16 << 10;

/// The bit that tells control frames from data.
const CONTROL: u32 = 1 << 31;

/// The flag of a side that has nothing more to say on a stream.
const FIN: u8 = 1;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const SETTINGS: u16 = 4;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const WINDOW_UPDATE: u16 = 9;

/// The setting with the first window of each stream.
const INITIAL_WINDOW: u32 = 7;

/// Why a stream ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Status {
    /// It is none, or no longer.
    InvalidStream = 2,
    /// It was opened for nothing that there is.
    RefusedStream = 3,
    /// This side cannot go on.
    Cancel = 5,
}

/// What a frame says. Blocks of headers are still compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A stream begins.
    SynStream { stream: u32, fin: bool, headers: Bytes },
    /// The other side has accepted a stream.
    SynReply { stream: u32, fin: bool, headers: Bytes },
    /// A stream ends at once.
    RstStream { stream: u32, status: u32 },
    /// How the other side wants things; only its first window is of interest.
    Settings { initial_window: Option<u32> },
    /// Is anybody there?
    Ping(u32),
    /// No more streams are accepted.
    GoAway { last_stream: u32, status: u32 },
    /// More headers of a stream.
    Headers { stream: u32, fin: bool, headers: Bytes },
    /// So many bytes more may be sent, on a stream or, for stream 0, in all.
    WindowUpdate { stream: u32, delta: u32 },
    /// Bytes of a stream, perhaps not all of a frame.
    Data { stream: u32, fin: bool, data: Bytes },
}

/// Takes frames off the front of what has come.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The data frame that is under way: its stream, whether it is the last, and how much of it is still to come.
    data: Option<(u32, bool, usize)>,
    /// How much of a frame that nobody knows is still to come.
    skip: usize,
}

impl Decoder {
    /// The next frame, or as much as there is of one with data; `None` if more bytes are needed.
    pub(crate) fn next(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, Fault> {
        loop {
            if self.skip > 0 {
                let count = self.skip.min(bytes.len());
                bytes.advance(count);
                self.skip -= count;
                if self.skip > 0 {
                    return Ok(None);
                }
            }
            if let Some(data) = self.data.take() {
                return Ok(self.data(data, bytes));
            }
            let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
            let mut head = &head[..];
            let (first, second) = (head.get_u32(), head.get_u32());
            let (flags, length) = ((second >> 24) as u8, (second & 0xff_ffff) as usize);
            if first & CONTROL == 0 {
                bytes.advance(HEADER_BYTES);
                self.data = Some((first, flags & FIN != 0, length));
                continue;
            }
            let (version, kind) = ((first >> 16 & 0x7fff) as u16, first as u16);
            if version != VERSION {
                return Err(Fault::Version(version));
            }
            if length > CONTROL_BYTES_MAX {
                return Err(Fault::TooLong(length));
            }
            if !matches!(kind, SYN_STREAM..=SETTINGS | PING..=WINDOW_UPDATE) {
                bytes.advance(HEADER_BYTES);
                self.skip = length;
                continue;
            }
            if bytes.len() < HEADER_BYTES + length {
                return Ok(None);
            }
            bytes.advance(HEADER_BYTES);
            return control(kind, flags, bytes.split_to(length).freeze()).ok_or(Fault::Length(kind)).map(Some);
        }
    }

    /// What there is of a data frame. An empty one is told too, for its flag.
    fn data(&mut self, (stream, fin, left): (u32, bool, usize), bytes: &mut BytesMut) -> Option<Frame> {
        let data = bytes.split_to(left.min(bytes.len())).freeze();
        let left = left - data.len();
        if left > 0 {
            self.data = Some((stream, fin, left));
            return (!data.is_empty()).then_some(Frame::Data { stream, fin: false, data });
        }
        Some(Frame::Data { stream, fin, data })
    }
}

/// A control frame; `None` if its length does not fit.
fn control(kind: u16, flags: u8, mut content: Bytes) -> Option<Frame> {
    let fin = flags & FIN != 0;
    let stream = if kind == SETTINGS { 0 } else { content.try_get_u32().ok()? & !CONTROL };
    let frame = match kind {
        SYN_STREAM => {
            // The stream that this one belongs to, a priority and a slot: nothing here needs them.
            content.try_get_u32().ok()?;
            content.try_get_u16().ok()?;
            return Some(Frame::SynStream { stream, fin, headers: content });
        }
        SYN_REPLY => return Some(Frame::SynReply { stream, fin, headers: content }),
        HEADERS => return Some(Frame::Headers { stream, fin, headers: content }),
        RST_STREAM => Frame::RstStream { stream, status: content.try_get_u32().ok()? },
        SETTINGS => return settings(content),
        PING => Frame::Ping(stream),
        GOAWAY => Frame::GoAway { last_stream: stream, status: content.try_get_u32().ok()? },
        WINDOW_UPDATE => Frame::WindowUpdate { stream, delta: content.try_get_u32().ok()? & !CONTROL },
        _ => return None,
    };
    content.is_empty().then_some(frame)
}

fn settings(mut content: Bytes) -> Option<Frame> {
    let count = content.try_get_u32().ok()? as usize;
    if content.len() != count.checked_mul(8)? {
        return None;
    }
    let mut initial_window = None;
    while let (Ok(id), Ok(value)) = (content.try_get_u32(), content.try_get_u32()) {
        if id & 0xff_ffff == INITIAL_WINDOW {
            initial_window = Some(value & !CONTROL);
        }
    }
    Some(Frame::Settings { initial_window })
}

impl Frame {
    /// Writes the frame behind what was written before. Its blocks of headers are compressed already, and its data is shorter
    /// than 16 MiB.
    pub(crate) fn encode(&self, into: &mut BytesMut) {
        match self {
            Self::SynStream { stream, fin, headers } => {
                begin(SYN_STREAM, *fin, 10 + headers.len(), into);
                into.put_u32(*stream);
                into.put_bytes(0, 6);
                into.put_slice(headers);
            }
            Self::SynReply { stream, fin, headers } => with_headers(SYN_REPLY, *fin, *stream, headers, into),
            Self::Headers { stream, fin, headers } => with_headers(HEADERS, *fin, *stream, headers, into),
            Self::RstStream { stream, status } => two(RST_STREAM, *stream, *status, into),
            Self::GoAway { last_stream, status } => two(GOAWAY, *last_stream, *status, into),
            Self::WindowUpdate { stream, delta } => two(WINDOW_UPDATE, *stream, *delta, into),
            Self::Ping(id) => {
                begin(PING, false, 4, into);
                into.put_u32(*id);
            }
            Self::Settings { initial_window } => {
                let count = u32::from(initial_window.is_some());
                begin(SETTINGS, false, 4 + 8 * count as usize, into);
                into.put_u32(count);
                if let Some(window) = initial_window {
                    into.put_u32(INITIAL_WINDOW);
                    into.put_u32(*window);
                }
            }
            Self::Data { stream, fin, data } => {
                into.put_u32(*stream);
                into.put_u32(flagged(*fin, data.len()));
                into.put_slice(data);
            }
        }
    }
}

fn flagged(fin: bool, length: usize) -> u32 {
    (if fin { u32::from(FIN) << 24 } else { 0 }) | (length as u32 & 0xff_ffff)
}

fn begin(kind: u16, fin: bool, length: usize, into: &mut BytesMut) {
    into.put_u32(CONTROL | u32::from(VERSION) << 16 | u32::from(kind));
    into.put_u32(flagged(fin, length));
}

fn with_headers(kind: u16, fin: bool, stream: u32, headers: &[u8], into: &mut BytesMut) {
    begin(kind, fin, 4 + headers.len(), into);
    into.put_u32(stream);
    into.put_slice(headers);
}

fn two(kind: u16, first: u32, second: u32, into: &mut BytesMut) {
    begin(kind, false, 8, into);
    into.put_u32(first);
    into.put_u32(second);
}
