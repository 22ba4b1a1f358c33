//! Requests on their way to a Pod behind a socket, which can be sent again as long as their beginning is remembered.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request, request::Parts};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::body::{Body, BoxError};

/// How much of a body is remembered, in bytes, so that the request can go to another Pod. A longer one goes to whoever has
/// begun to take it.
pub(crate) const REMEMBERED_BYTES_MAX: usize = 64 << 10;

/// A request that may have to be sent more than once.
pub(crate) struct Replay {
    parts: Parts,
    source: Source,
}

/// A body, before anybody reads it and afterwards.
enum Source {
    Empty,
    Untouched(Body),
    Shared(Arc<Mutex<Tape>>),
}

/// What has been read of a body.
pub(crate) struct Tape {
    body: Body,
    frames: Vec<Piece>,
    /// How much is remembered, in bytes.
    bytes: usize,
    /// How much of it was data.
    data_bytes: u64,
    /// Whether the frames are all that was read.
    is_whole: bool,
    /// Only the latest reader may go on.
    readers: u32,
}

/// A frame that is remembered.
#[derive(Clone)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Piece {
    fn of(frame: &Frame<Bytes>) -> Option<Self> {
        let trailers = || frame.trailers_ref().cloned().map(Self::Trailers);
        frame.data_ref().cloned().map(Self::Data).or_else(trailers)
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            Self::Trailers(fields) => fields.iter().map(|(name, value)| name.as_str().len() + value.len()).sum(),
        }
    }

    fn frame(self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data),
            Self::Trailers(fields) => Frame::trailers(fields),
        }
    }
}

impl Replay {
    pub(crate) fn new(request: Request<Body>) -> Self {
        let (parts, body) = request.into_parts();
        let source = if body.is_end_stream() { Source::Empty } else { Source::Untouched(body) };
        Self { parts, source }
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Whether a Pod that may or may not have got the request can be followed by another: asking twice is the same as once.
    pub(crate) fn is_safe_twice(&self) -> bool {
        self.parts.method.is_idempotent() && matches!(self.source, Source::Empty)
    }

    /// Whether everything that was read of the body is still known.
    pub(crate) fn is_whole(&self) -> bool {
        match &self.source {
            Source::Empty | Source::Untouched(_) => true,
            Source::Shared(tape) => lock(tape).is_whole,
        }
    }

    /// The request as it came; `None` if some of its body is gone.
    pub(crate) fn into_request(self) -> Option<Request<Body>> {
        let body = match self.source {
            Source::Empty => Upload::Empty.boxed(),
            Source::Untouched(body) => body,
            Source::Shared(tape) => Upload::again(&tape)?.boxed(),
        };
        Some(Request::from_parts(self.parts, body))
    }

    /// The body for one more sending; `None` if some of it is gone.
    pub(crate) fn upload(&mut self) -> Option<Upload> {
        let source = std::mem::replace(&mut self.source, Source::Empty);
        let tape = match source {
            Source::Empty => return Some(Upload::Empty),
            Source::Untouched(body) => {
                let (frames, bytes, data_bytes) = (Vec::new(), 0, 0);
                Arc::new(Mutex::new(Tape { body, frames, bytes, data_bytes, is_whole: true, readers: 0 }))
            }
            Source::Shared(tape) => tape,
        };
        self.source = Source::Shared(tape.clone());
        Upload::again(&tape)
    }
}

fn lock(tape: &Mutex<Tape>) -> std::sync::MutexGuard<'_, Tape> {
    tape.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The body of a request on its way.
pub(crate) enum Upload {
    Empty,
    Tape { tape: Arc<Mutex<Tape>>, reader: u32, at: usize },
}

impl Upload {
    fn again(tape: &Arc<Mutex<Tape>>) -> Option<Self> {
        let mut held = lock(tape);
        held.readers += 1;
        held.is_whole.then(|| Self::Tape { tape: tape.clone(), reader: held.readers, at: 0 })
    }

    fn boxed(self) -> Body {
        http_body_util::BodyExt::boxed_unsync(self)
    }
}

impl Tape {
    fn poll(&mut self, at: &mut usize, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(known) = self.frames.get(*at).filter(|_| self.is_whole) {
            *at += 1;
            return Poll::Ready(Some(Ok(known.clone().frame())));
        }
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            self.remember(Piece::of(frame));
            *at += 1;
        }
        frame
    }

    fn remember(&mut self, piece: Option<Piece>) {
        let fits = |piece: &Piece| self.is_whole && self.bytes + piece.bytes() <= REMEMBERED_BYTES_MAX;
        let Some(piece) = piece.filter(fits) else {
            self.is_whole = false;
            self.frames = Vec::new();
            return;
        };
        self.bytes += piece.bytes();
        if let Piece::Data(data) = &piece {
            self.data_bytes += data.len() as u64;
        }
        self.frames.push(piece);
    }

    /// What is known of the length. What was read before and comes again is not in the hint of the rest, and behind a body of
    /// a known length trailers cannot follow.
    fn size_hint(&self) -> SizeHint {
        let may_end = !matches!(self.frames.last(), Some(Piece::Trailers(_)));
        match self.body.size_hint().exact().filter(|_| self.is_whole && may_end) {
            Some(rest) => SizeHint::with_exact(rest + self.data_bytes),
            None => SizeHint::default(),
        }
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Tape { tape, reader, at } => {
                let mut tape = lock(tape);
                if tape.readers == *reader {
                    tape.poll(at, cx)
                } else {
                    Poll::Ready(Some(Err("the request is sent to another Pod".into())))
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Tape { tape, at, .. } => {
                let tape = lock(tape);
                *at >= tape.frames.len() && tape.body.is_end_stream()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Tape { tape, .. } => lock(tape).size_hint(),
        }
    }
}
