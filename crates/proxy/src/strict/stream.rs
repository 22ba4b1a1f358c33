//! A connection of a client: its requests are inspected on the way in, and trailers are added to its answers on the way out.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Sleep,
};

use super::{Inspector, Refusal};
use crate::trailers::{Marked, Marks};

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
    marks: Arc<Marks>,
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

    /// The trailers of answers on this connection.
    pub(crate) fn marks(&self) -> &Arc<Marks> {
        &self.marks
    }

    fn refuse(&self, refused: (u64, Refusal)) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused);
        self.is_refused.store(true, Ordering::Release);
    }
}

/// The connection, as the parser sees it.
pub(crate) struct Guard {
    stream: Marked,
    notes: Arc<Notes>,
    inspector: Inspector,
    /// What the parser may read before anything else.
    input: BytesMut,
    lingering: Option<(Pin<Box<Sleep>>, usize)>,
}

impl Guard {
    /// `first` was read before.
    pub(crate) fn new(stream: TcpStream, first: &[u8]) -> Self {
        let notes = Arc::<Notes>::default();
        let mut guard = Self {
            stream: Marked::new(stream, notes.marks.clone()),
            notes,
            inspector: Inspector::default(),
            input: BytesMut::new(),
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
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
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
