//! Trailers, which the library behind this writes only if the head of the message has named them, and nobody names them: whoever
//! gives the body hands them to the connection, which writes them itself.

use std::{
    collections::VecDeque,
    hash::{BuildHasher as _, RandomState},
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, header};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Trailers on their way, of one connection.
#[derive(Default)]
pub(crate) struct Marks {
    /// Those whose marks have not passed: more than one if several messages are written at once.
    waiting: Mutex<VecDeque<Trailers>>,
    are_there: AtomicBool,
}

/// Trailers that replace a mark in what is written.
struct Trailers {
    mark: Vec<u8>,
    fields: Vec<u8>,
}

impl Marks {
    /// Takes the trailers of a message in chunks. The last chunk of its body must be what is returned: nobody can guess it,
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
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(Trailers { mark, fields });
        self.are_there.store(true, Ordering::Release);
        word.into()
    }

    /// Replaces the marks that have come by their trailers.
    fn replace(&self, written: &mut Vec<u8>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(Trailers { mark, fields }) = waiting.front() {
            let Some(at) = written.windows(mark.len()).position(|window| window == mark) else { return };
            written.splice(at..at + mark.len(), fields.iter().copied());
            waiting.pop_front();
        }
        self.are_there.store(false, Ordering::Release);
    }
}

/// Fields by which messages are framed, routed or understood must be known before the body.
fn may_trail(name: &HeaderName) -> bool {
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

/// A connection that puts trailers where their marks stand in what is written.
pub(crate) struct Marked {
    stream: TcpStream,
    marks: Arc<Marks>,
    /// What is held back while trailers are waited for, or after they were put in.
    output: Vec<u8>,
    written: usize,
}

impl Marked {
    pub(crate) fn new(stream: TcpStream, marks: Arc<Marks>) -> Self {
        Self { stream, marks, output: Vec::new(), written: 0 }
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
        self.marks.are_there.load(Ordering::Acquire)
    }

    /// Holds back what is written until the mark has come.
    fn hold(&mut self, slices: &[IoSlice<'_>]) -> usize {
        slices.iter().for_each(|slice| self.output.extend_from_slice(slice));
        self.marks.replace(&mut self.output);
        slices.iter().map(|slice| slice.len()).sum()
    }
}

impl AsyncRead for Marked {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Marked {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_marked() {
            return Poll::Ready(Ok(self.hold(&[IoSlice::new(bytes)])));
        }
        ready!(self.poll_output(cx))?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
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
        ready!(self.poll_output(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
