//! Output of guests: bounded in speed, in pieces, towards the caller's sink.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};

use crate::grants::{LogSink, Stream};

/// What one container may write, on average. A chatty service writes a hundredth of that.
pub const LOG_BYTES_PER_SECOND: u64 = 1 << 20;

/// What one container may write at once after a silence.
pub const LOG_BURST_BYTES: u64 = 1 << 20;

/// The largest piece that reaches a sink.
pub const LOG_PIECE_BYTES: usize = 64 << 10;

/// A guest that had to wait may then write at least this much, so that a flood is not cut into tiny pieces.
const WRITE_BYTES_MIN: u64 = 4 << 10;

const _: () = {
    assert!(WRITE_BYTES_MIN <= LOG_BURST_BYTES, "a guest would wait for more than it can ever write");
    assert!(LOG_PIECE_BYTES as u64 <= LOG_BURST_BYTES, "no piece would be full");
};

/// The log of one container, shared by all its instances and streams.
pub(crate) struct Log {
    sink: LogSink,
    bucket: Mutex<Bucket>,
}

struct Bucket {
    /// Bytes that may be written now.
    bytes: u64,
    at: Instant,
}

impl Log {
    pub(crate) fn new(sink: LogSink) -> Self {
        Self { sink, bucket: Mutex::new(Bucket { bytes: LOG_BURST_BYTES, at: Instant::now() }) }
    }

    /// What the sandbox has to say about the guest; not counted against it.
    pub(crate) fn say(&self, line: &str) {
        (self.sink)(Stream::Stderr, format!("{line}\n").as_bytes());
    }

    /// Bytes that may be written now.
    fn allowance(&self) -> u64 {
        self.with_bucket(|bucket| bucket.bytes)
    }

    /// How long until a waiting guest may write on.
    fn wait(&self) -> Option<Duration> {
        let missing = WRITE_BYTES_MIN.saturating_sub(self.allowance());
        (missing > 0).then(|| Duration::from_nanos(missing * 1_000_000_000 / LOG_BYTES_PER_SECOND))
    }

    fn write(&self, stream: Stream, bytes: &[u8]) {
        self.with_bucket(|bucket| bucket.bytes = bucket.bytes.saturating_sub(bytes.len() as u64));
        for piece in bytes.chunks(LOG_PIECE_BYTES) {
            (self.sink)(stream, piece);
        }
    }

    fn with_bucket<R>(&self, act: impl FnOnce(&mut Bucket) -> R) -> R {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let nanos = now.saturating_duration_since(bucket.at).as_nanos();
        let gained = u64::try_from(nanos * u128::from(LOG_BYTES_PER_SECOND) / 1_000_000_000).unwrap_or(LOG_BURST_BYTES);
        if gained > 0 {
            bucket.bytes = bucket.bytes.saturating_add(gained).min(LOG_BURST_BYTES);
            bucket.at = now;
        }
        act(&mut bucket)
    }
}

/// Standard output or standard error of a guest.
pub(crate) struct LogStream {
    log: Arc<Log>,
    stream: Stream,
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl LogStream {
    pub(crate) fn new(log: Arc<Log>, stream: Stream) -> Self {
        Self { log, stream, pause: None }
    }

    fn another(&self) -> Self {
        Self::new(Arc::clone(&self.log), self.stream)
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(pause) = &mut self.pause {
                std::task::ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match self.log.wait() {
                Some(rest) => self.pause = Some(Box::pin(tokio::time::sleep(rest))),
                None => return Poll::Ready(()),
            }
        }
    }
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.another())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.another())
    }
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.log.write(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(usize::try_from(self.log.allowance()).unwrap_or(LOG_PIECE_BYTES).min(LOG_PIECE_BYTES))
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll_room(cx)).await;
    }
}

impl AsyncWrite for LogStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll_room(cx));
        let piece = &bytes[..bytes.len().min(LOG_PIECE_BYTES)];
        self.log.write(self.stream, piece);
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
