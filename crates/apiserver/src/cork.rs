//! Holds back what a connection writes until its task has nothing more to say, so that all of it costs one write to the socket.
//!
//! HTTP/2 hands over frame by frame and flushes after each. With a hundred watches on a connection one change would be a hundred
//! records of TLS and as many calls of the kernel, which cost more than all else.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most bytes that are held back: four full records of TLS.
const HELD_BYTES_MAX: usize = 64 << 10;

/// What is as long as this is not held back if nothing is: it fills records of its own.
const LONG_BYTES: usize = 16 << 10;

/// How a client of HTTP/2 begins.
const PREFACE: &[u8] = b"PRI";

/// A stream for a connection. What is written to it goes out while [`Cork::drive`] drives the connection.
pub(crate) struct Corked<S>(Arc<Mutex<Held<S>>>);

/// The other hand on a [`Corked`] stream.
pub(crate) struct Cork<S>(Arc<Mutex<Held<S>>>);

struct Held<S> {
    stream: S,
    bytes: BytesMut,
    /// Whether something was written that the stream was not flushed after.
    is_dirty: bool,
    /// Whether several tasks write to the connection; `None` until its client has said something.
    is_shared: Option<bool>,
    /// Whether those tasks had their turn.
    has_waited: bool,
    failed: Option<io::ErrorKind>,
    /// Whether the connection that was driven has ended: whoever has the stream now flushes it.
    is_released: bool,
}

/// Corks a stream.
pub(crate) fn cork<S>(stream: S) -> (Corked<S>, Cork<S>) {
    let bytes = BytesMut::new();
    let held =
        Held { stream, bytes, is_dirty: false, is_shared: None, has_waited: false, failed: None, is_released: false };
    let held = Arc::new(Mutex::new(held));
    (Corked(held.clone()), Cork(held))
}

fn lock<S>(held: &Mutex<Held<S>>) -> MutexGuard<'_, Held<S>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: AsyncRead + AsyncWrite + Unpin> Cork<S> {
    /// Drives the connection that has the stream, and sends what it has written each time it waits.
    pub(crate) async fn drive<F: Future>(&self, mut connection: Pin<&mut F>) -> F::Output {
        poll_fn(|cx| {
            let ended = connection.as_mut().poll(cx);
            let mut held = lock(&self.0);
            if ended.is_pending() {
                held.settle(cx);
            } else {
                held.is_released = true;
                // What HTTP says of a request that makes no sense is its last word, and is not waited for.
                let _ = held.send(cx);
            }
            ended
        })
        .await
    }

    /// Sends what the connection left behind that has ended, for whoever goes on with its stream.
    pub(crate) async fn settled(&self) -> io::Result<()> {
        poll_fn(|cx| lock(&self.0).send(cx)).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Held<S> {
    fn settle(&mut self, cx: &mut Context<'_>) {
        if !self.is_dirty {
            return;
        }
        if self.is_shared == Some(true) && !std::mem::replace(&mut self.has_waited, true) {
            // Others that are about to write to the connection go first.
            return cx.waker().wake_by_ref();
        }
        self.has_waited = false;
        if let Poll::Ready(Err(error)) = self.send(cx) {
            // The connection hears of it as soon as it reads or writes.
            self.failed = Some(error.kind());
            cx.waker().wake_by_ref();
        }
    }

    /// Sends all that is held back.
    fn send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.bytes.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.bytes))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.bytes.advance(count),
            }
        }
        // A connection that is idle holds no memory for this.
        self.bytes = BytesMut::new();
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.is_dirty = false;
        Poll::Ready(Ok(()))
    }

    fn sound(&self) -> io::Result<()> {
        self.failed.map_or(Ok(()), |kind| Err(kind.into()))
    }

    /// Makes room, and says whether what is to be written shall go past.
    fn prepare(&mut self, cx: &mut Context<'_>, length: usize) -> Poll<io::Result<bool>> {
        self.sound()?;
        if self.bytes.len() >= HELD_BYTES_MAX {
            ready!(self.send(cx))?;
        }
        self.is_dirty = true;
        Poll::Ready(Ok(self.bytes.is_empty() && length >= LONG_BYTES))
    }

    fn hold(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(HELD_BYTES_MAX - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..count]);
        count
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Corked<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut held = lock(&self.0);
        held.sound()?;
        let before = into.filled().len();
        ready!(Pin::new(&mut held.stream).poll_read(cx, into))?;
        let read = &into.filled()[before..];
        held.is_shared.get_or_insert_with(|| read.starts_with(PREFACE));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Corked<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut held = lock(&self.0);
        if ready!(held.prepare(cx, bytes.len()))? {
            return Pin::new(&mut held.stream).poll_write(cx, bytes);
        }
        Poll::Ready(Ok(held.hold(bytes)))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut held = lock(&self.0);
        let length = slices.iter().map(|slice| slice.len()).sum();
        if ready!(held.prepare(cx, length))? {
            return Pin::new(&mut held.stream).poll_write_vectored(cx, slices);
        }
        Poll::Ready(Ok(slices.iter().map(|slice| held.hold(slice)).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What was written goes out when the connection waits; where nothing drives one any more, now.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut held = lock(&self.0);
        held.sound()?;
        if held.is_released { held.send(cx) } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut held = lock(&self.0);
        held.sound()?;
        ready!(held.send(cx))?;
        Pin::new(&mut held.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::{
        pin::pin,
        sync::atomic::{AtomicUsize, Ordering},
        task::{Wake, Waker},
    };

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// A socket that notes each write. It takes so many bytes.
    struct Socket {
        input: &'static [u8],
        room: usize,
        written: Arc<Mutex<Vec<Vec<u8>>>>,
    }

    impl AsyncRead for Socket {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            if self.input.is_empty() { Poll::Pending } else { Pin::new(&mut self.input).poll_read(cx, into) }
        }
    }

    impl AsyncWrite for Socket {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let count = bytes.len().min(self.room);
            if count == 0 {
                return Poll::Pending;
            }
            self.room -= count;
            self.written.lock().unwrap().push(bytes[..count].to_vec());
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.written.lock().unwrap().push(b"end".to_vec());
            Poll::Ready(Ok(()))
        }
    }

    fn socket(input: &'static [u8], room: usize) -> (Socket, Arc<Mutex<Vec<Vec<u8>>>>) {
        let written = Arc::default();
        (Socket { input, room, written: Arc::clone(&written) }, written)
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A connection that reads something and answers in small pieces.
    async fn answers(mut stream: Corked<Socket>) {
        let mut head = [0; 4];
        stream.read_exact(&mut head).await.unwrap();
        for piece in ["one ", "two ", "three"] {
            stream.write_all(piece.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
        }
        std::future::pending::<()>().await;
    }

    fn polled(input: &'static [u8], times: usize) -> (usize, Vec<Vec<u8>>) {
        let (socket, written) = socket(input, usize::MAX);
        let (stream, cork) = cork(socket);
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let connection = pin!(answers(stream));
        let mut driven = pin!(cork.drive(connection));
        for _ in 0..times {
            assert!(driven.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        let written = written.lock().unwrap().clone();
        (wakes.0.load(Ordering::Relaxed), written)
    }

    #[test]
    fn what_is_written_in_one_go_is_one_write() {
        assert_eq!(polled(b"GET ", 1), (0, vec![b"one two three".to_vec()]));
    }

    #[test]
    fn where_tasks_share_a_connection_each_has_its_turn_before_anything_is_sent() {
        assert_eq!(polled(b"PRI ", 1), (1, vec![]));
        assert_eq!(polled(b"PRI ", 2), (1, vec![b"one two three".to_vec()]));
    }

    #[test]
    fn what_is_held_is_bounded_and_nothing_is_lost() {
        let (socket, written) = socket(b"", HELD_BYTES_MAX);
        let (mut stream, _cork) = cork(socket);
        let mut cx = Context::from_waker(Waker::noop());
        let (piece, mut taken) = ([7; 1000], 0);
        while let Poll::Ready(count) = Pin::new(&mut stream).poll_write(&mut cx, &piece) {
            taken += count.unwrap();
            assert!(taken <= 2 * HELD_BYTES_MAX, "as much as the socket took, and as much as may wait");
        }
        assert_eq!(taken, 2 * HELD_BYTES_MAX);
        assert_eq!(written.lock().unwrap().concat().len(), HELD_BYTES_MAX);
    }

    #[test]
    fn long_writes_go_past_and_the_end_comes_last() {
        let (socket, written) = socket(b"", usize::MAX);
        let (mut stream, _cork) = cork(socket);
        let mut cx = Context::from_waker(Waker::noop());
        for bytes in [&[1; LONG_BYTES][..], &[2; 10], &[3; LONG_BYTES]] {
            assert!(Pin::new(&mut stream).poll_write(&mut cx, bytes).is_ready());
        }
        assert!(Pin::new(&mut stream).poll_shutdown(&mut cx).is_ready());
        let lengths: Vec<usize> = written.lock().unwrap().iter().map(Vec::len).collect();
        assert_eq!(lengths, [LONG_BYTES, 10 + LONG_BYTES, "end".len()]);
    }

    #[test]
    fn a_connection_hears_that_it_is_broken() {
        let (near, far) = tokio::io::duplex(8);
        drop(far);
        let (mut stream, cork) = cork(near);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(Pin::new(&mut stream).poll_write(&mut cx, b"somebody?"), Poll::Ready(Ok(9))));
        lock(&cork.0).settle(&mut cx);
        let Poll::Ready(Err(error)) = Pin::new(&mut stream).poll_write(&mut cx, b"?") else { panic!("it is broken") };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn who_goes_on_with_the_stream_flushes_it() {
        let (socket, written) = socket(b"", usize::MAX);
        let (mut stream, cork) = cork(socket);
        cork.drive(pin!(stream.write_all(b"HTTP ends. "))).await.unwrap();
        cork.settled().await.unwrap();
        stream.write_all(b"more ").await.unwrap();
        assert_eq!(written.lock().unwrap().concat(), b"HTTP ends. ", "it is held until it is flushed");
        stream.write_all(b"follows").await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(written.lock().unwrap().concat(), b"HTTP ends. more follows");
    }

    #[test]
    fn last_words_are_sent_also_where_nobody_waits_for_them() {
        let (socket, written) = socket(b"", usize::MAX);
        let (mut stream, cork) = cork(socket);
        let connection = pin!(async move { stream.write_all(b"no").await.unwrap() });
        let driven = pin!(cork.drive(connection));
        assert!(driven.poll(&mut Context::from_waker(Waker::noop())).is_ready());
        assert_eq!(written.lock().unwrap().concat(), b"no");
    }
}
