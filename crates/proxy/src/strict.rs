//! What of HTTP/1.1 is let in: one reading of every message, or none.
//!
//! The parser behind this is lenient where others are not, and answers most mistakes by hanging up. A head is therefore
//! looked at before that parser sees it; in place of one that is refused it gets a harmless request, which is answered with
//! the refusal, in its turn. To find the next head, the bodies between are measured as well.

mod chunks;
mod head;
mod stream;

pub(crate) use head::{HEAD_BYTES_MAX, Refusal};
pub(crate) use stream::Guard;

use bytes::{Buf as _, BytesMut};

use chunks::Chunks;
use head::{Framing, Head};

/// What stands in for a head that is refused.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// Measures a stream of requests.
#[derive(Debug, Default)]
pub(crate) struct Inspector {
    stage: Stage,
    /// The beginning of a head whose rest has not come.
    held: BytesMut,
    /// How much of it was searched for its end.
    searched: usize,
    heads: u64,
    refused: Option<(u64, Refusal)>,
    /// Whether the latest request may make the connection a tunnel.
    may_tunnel: bool,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Head,
    Length(u64),
    Chunks(Chunks),
    /// What comes is not HTTP any more.
    Tunnel,
    /// Nothing more is let in.
    Closed,
}

impl Inspector {
    /// Whether the parser may see all of what came just as it is, the usual case. If not, nothing is counted so far.
    pub(crate) fn passes(&mut self, fresh: &[u8]) -> bool {
        match &mut self.stage {
            Stage::Tunnel => true,
            Stage::Length(left) if fresh.len() as u64 <= *left => {
                *left -= fresh.len() as u64;
                if *left == 0 {
                    self.stage = Stage::Head;
                }
                true
            }
            Stage::Head if self.held.is_empty() && end(fresh, 0) == Some(fresh.len()) => match Head::read(fresh) {
                Ok(head) => {
                    self.let_in(head);
                    true
                }
                Err(_) => false,
            },
            _ => false,
        }
    }

    /// Takes what came, and gives what the parser may see.
    pub(crate) fn take(&mut self, fresh: &[u8], out: &mut BytesMut) {
        let mut rest = fresh;
        while !rest.is_empty() {
            rest = match &mut self.stage {
                Stage::Closed => return,
                Stage::Tunnel => return out.extend_from_slice(rest),
                Stage::Head => self.head(rest, out),
                Stage::Length(left) => {
                    let piece = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= piece as u64;
                    if *left == 0 {
                        self.stage = Stage::Head;
                    }
                    pass(rest, piece, out)
                }
                Stage::Chunks(chunks) => {
                    let (piece, over) = chunks.take(rest);
                    match over {
                        None => {}
                        Some(Ok(())) => self.stage = Stage::Head,
                        // The parser has the request already and stops at the same mistake, or for want of the rest.
                        Some(Err(())) => self.stage = Stage::Closed,
                    }
                    pass(rest, piece, out)
                }
            };
        }
    }

    /// Which head was refused, counted from 1, and why.
    pub(crate) fn refused(&self) -> Option<(u64, Refusal)> {
        self.refused
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::Closed)
    }

    pub(crate) fn may_tunnel(&self) -> bool {
        self.may_tunnel
    }

    /// From now on everything passes.
    pub(crate) fn open_tunnel(&mut self, out: &mut BytesMut) {
        self.stage = Stage::Tunnel;
        out.extend_from_slice(&std::mem::take(&mut self.held));
    }

    fn head<'a>(&mut self, rest: &'a [u8], out: &mut BytesMut) -> &'a [u8] {
        // A whole head in one piece is looked at where it is.
        if self.held.is_empty() {
            let blank = blank_lines(rest);
            if blank > 0 {
                return &rest[blank..];
            }
            if let Some(end) = end(rest, 0) {
                return if self.admit(&rest[..end]) { pass(rest, end, out) } else { self.stand_in(out) };
            }
        }
        let before = self.held.len();
        self.held.extend_from_slice(rest);
        // Only its first half can have been held.
        let blank = blank_lines(&self.held);
        self.held.advance(blank);
        match end(&self.held, self.searched) {
            Some(end) => {
                let head = self.held.split_to(end);
                self.held.clear();
                self.searched = 0;
                if !self.admit(&head) {
                    return self.stand_in(out);
                }
                out.extend_from_slice(&head);
                &rest[blank + end - before..]
            }
            None => {
                self.searched = self.held.len().saturating_sub(3);
                let Some(refusal) = self.hopeless() else { return &[] };
                self.refused = Some((self.heads + 1, refusal));
                self.stand_in(out)
            }
        }
    }

    /// Whether a head is refused although its end has not come.
    fn hopeless(&self) -> Option<Refusal> {
        let is_long = self.held.len() > HEAD_BYTES_MAX;
        head::first_line(&self.held).err().or(is_long.then_some(Refusal::HeadTooLarge))
    }

    fn admit(&mut self, bytes: &[u8]) -> bool {
        match Head::read(bytes) {
            Ok(head) => {
                self.let_in(head);
                true
            }
            Err(refusal) => {
                self.refused = Some((self.heads + 1, refusal));
                false
            }
        }
    }

    fn let_in(&mut self, head: Head) {
        self.heads += 1;
        self.may_tunnel = head.may_tunnel;
        self.stage = match head.framing {
            Framing::Length(0) => Stage::Head,
            Framing::Length(length) => Stage::Length(length),
            Framing::Chunked => Stage::Chunks(Chunks::default()),
        };
    }

    fn stand_in<'a>(&mut self, out: &mut BytesMut) -> &'a [u8] {
        self.stage = Stage::Closed;
        self.held = BytesMut::new();
        out.extend_from_slice(STAND_IN);
        &[]
    }
}

fn pass<'a>(rest: &'a [u8], piece: usize, out: &mut BytesMut) -> &'a [u8] {
    out.extend_from_slice(&rest[..piece]);
    &rest[piece..]
}

/// How many bytes of empty lines stand before a head; servers are asked to overlook them.
fn blank_lines(bytes: &[u8]) -> usize {
    bytes.chunks(2).take_while(|pair| *pair == b"\r\n").count() * 2
}

/// Where a head ends, empty line included. A line feed alone does not end a line, but is found and refused.
fn end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(next) = bytes[at..].iter().position(|byte| *byte == b'\n') {
        at += next + 1;
        match bytes[at..] {
            [b'\r', b'\n', ..] => return Some(at + 2),
            [b'\n', ..] => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;
