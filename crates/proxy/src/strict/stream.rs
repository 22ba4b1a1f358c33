//! A connection of a client: its requests are inspected on the way in, and trailers are added on the way out.

use std::{
    collections::VecDeque,
    hash::{BuildHasher as _, RandomState},
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use http::HeaderMap;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Sleep,
};

use super::{Inspector, Refusal};

/// How long a connection that was closed here is still read, so that its client gets the last answer before it learns that
/// nobody wants to hear more.
const LINGER: Duration = Duration::from_secs(1);

/// How much is read and thrown away meanwhile, in bytes.
const LINGER_BYTES_MAX: usize = 1 << 20;

/// What the connection and whoever answers its requests tell each other.
#[derive(Default)]
pub(crate) struct Notes {
    /// The request that stands in for a refused one, counted from 1, and why it was refused.
    refused: Mutex<Option<(u64, Refusal)>>,
    is_refused: AtomicBool,
    answered: AtomicU64,
    /// Whether the connection is a tunnel now.
    is_tunnel: AtomicBool,
    /// Those whose marks have not passed: more than one if answers to several requests are written at once.
    trailers: Mutex<VecDeque<Trailers>>,
    has_trailers: AtomicBool,
}

/// Trailers that take the place of a mark in what is written.
struct Trailers {
    mark: Vec<u8>,
    fields: Vec<u8>,
}

impl Notes {
    /// Counts a request that is to be answered; if it must be refused, says why.
    pub(crate) fn next_request(&self) -> Option<Refusal> {
        let number = self.answered.fetch_add(1, Ordering::Relaxed) + 1;
        if !self.is_refused.load(Ordering::Acquire) {
            return None;
        }
        let refused = *self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.filter(|(refused, _)| *refused == number).map(|(_, refusal)| refusal)
    }

    /// From now on the connection carries something else.
    pub(crate) fn open_tunnel(&self) {
        self.is_tunnel.store(true, Ordering::Release);
    }

    /// Takes the trailers of an answer in chunks. The last chunk of its body must be what is returned: nobody can guess it,
    /// and it is replaced by the trailers when it passes.
    pub(crate) fn end_with(&self, trailers: &HeaderMap) -> Bytes {
        let random = || RandomState::new().hash_one(0);
        let word = format!("{:016x}{:016x}", random(), random());
        let mark = format!("{:x}\r\n{word}\r\n0\r\n\r\n", word.len()).into_bytes();
        let mut fields = b"0\r\n".to_vec();
        for (name, value) in trailers.iter().filter(|(name, _)| may_trail(name)) {
            fields.extend_from_slice(name.as_str().as_bytes());
            fields.extend_from_slice(b": ");
            fields.extend_from_slice(value.as_bytes());
            fields.extend_from_slice(b"\r\n");
        }
        fields.extend_from_slice(b"\r\n");
        self.trailers.lock().unwrap_or_else(PoisonError::into_inner).push_back(Trailers { mark, fields });
        self.has_trailers.store(true, Ordering::Release);
        word.into()
    }

    fn refuse(&self, refused: (u64, Refusal)) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused);
        self.is_refused.store(true, Ordering::Release);
    }

    /// Replaces the marks that have come by their trailers.
    fn replace_marks(&self, written: &mut Vec<u8>) {
        let mut waiting = self.trailers.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(Trailers { mark, fields }) = waiting.front() {
            let Some(at) = written.windows(mark.len()).position(|window| window == mark) else { return };
            written.splice(at..at + mark.len(), fields.iter().copied());
            waiting.pop_front();
        }
        self.has_trailers.store(false, Ordering::Release);
    }
}

/// Fields by which messages are framed, routed or understood must be known before the body.
fn may_trail(name: &http::HeaderName) -> bool {
    use http::header;
    ![
        header::AUTHORIZATION,
        header::CONNECTION,
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::HOST,
        header::SET_COOKIE,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ]
    .contains(name)
}

/// The connection, as the parser sees it.
pub(crate) struct Guard {
    stream: TcpStream,
    notes: Arc<Notes>,
    inspector: Inspector,
    /// What the parser may read before anything else.
    input: BytesMut,
    /// What was taken from it to be written while trailers are waited for, or after they were put in.
    output: Vec<u8>,
    written: usize,
    lingering: Option<(Pin<Box<Sleep>>, usize)>,
}

impl Guard {
    /// `first` was read before.
    pub(crate) fn new(stream: TcpStream, first: &[u8]) -> Self {
        let mut guard = Self {
            stream,
            notes: Arc::default(),
            inspector: Inspector::default(),
            input: BytesMut::new(),
            output: Vec::new(),
            written: 0,
            lingering: None,
        };
        guard.inspect(first);
        guard
    }

    pub(crate) fn notes(&self) -> Arc<Notes> {
        self.notes.clone()
    }

    /// Moves what the parser may see of `fresh` behind its input.
    fn inspect(&mut self, fresh: &[u8]) {
        self.inspector.take(fresh, &mut self.input);
        if let Some(refused) = self.inspector.refused() {
            self.notes.refuse(refused);
        }
    }

    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let fits = self.input.len().min(buf.remaining());
        buf.put_slice(&self.input[..fits]);
        self.input.advance(fits);
    }

    /// Writes what was held back.
    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.output.len() {
            let rest = &self.output[self.written..];
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                bytes => self.written += bytes,
            }
        }
        self.output = Vec::new();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// Whether what is written must be looked at.
    fn is_marked(&self) -> bool {
        self.notes.has_trailers.load(Ordering::Acquire)
    }

    /// Holds back what is written until the mark has come.
    fn hold(&mut self, slices: &[IoSlice<'_>]) -> usize {
        slices.iter().for_each(|slice| self.output.extend_from_slice(slice));
        self.notes.replace_marks(&mut self.output);
        slices.iter().map(|slice| slice.len()).sum()
    }
}

impl AsyncRead for Guard {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let guard = &mut *self;
        loop {
            if guard.inspector.may_tunnel() && guard.notes.is_tunnel.load(Ordering::Acquire) {
                guard.inspector.open_tunnel(&mut guard.input);
            }
            if !guard.input.is_empty() {
                guard.give(buf);
                return Poll::Ready(Ok(()));
            }
            if guard.inspector.is_closed() {
                return Poll::Ready(Ok(()));
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut guard.stream).poll_read(cx, buf))?;
            if buf.filled().len() == before {
                return Poll::Ready(Ok(()));
            }
            if guard.inspector.passes(&buf.filled()[before..]) {
                return Poll::Ready(Ok(()));
            }
            guard.inspect(&buf.filled()[before..]);
            buf.set_filled(before);
        }
    }
}

impl AsyncWrite for Guard {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_marked() {
            return Poll::Ready(Ok(self.hold(slices)));
        }
        ready!(self.poll_output(cx))?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What may hold a mark is not written before all of it has come; the end of the body comes at once behind it.
        if !self.is_marked() {
            ready!(self.poll_output(cx))?;
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(self.poll_output(cx))?;
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        let guard = &mut *self;
        let (until, bytes) = guard.lingering.get_or_insert_with(|| (Box::pin(tokio::time::sleep(LINGER)), 0));
        let mut space = [std::mem::MaybeUninit::uninit(); 4096];
        while *bytes < LINGER_BYTES_MAX && until.as_mut().poll(cx).is_pending() {
            let mut waste = ReadBuf::uninit(&mut space);
            let read = ready!(Pin::new(&mut guard.stream).poll_read(cx, &mut waste));
            match (read, waste.filled().len()) {
                (Err(_), _) | (Ok(()), 0) => break,
                (Ok(()), read) => *bytes += read,
            }
        }
        Poll::Ready(Ok(()))
    }
}
