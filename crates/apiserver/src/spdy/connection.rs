//! Streams over one connection. What comes is handed to the stream that it is for, what streams say goes out in turn.
//!
//! A stream that is not read holds the whole connection back once its queue is full, so that nobody's memory grows: so does
//! upstream's own library. That library neither keeps to windows nor tells of them, so a client's windows count from when it
//! first tells of one; what it may send is told to it in any case.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::{Notify, mpsc},
    time::timeout,
};

use super::{
    Fault,
    frame::{Decoder, Frame, Status},
    headers::{Deflater, Headers, Inflater},
};

/// The most streams of a connection that are open at a time. A forwarded connection has two.
pub(crate) const STREAMS_MAX: usize = 256;

/// How much is read at a time, in bytes, and so the most that one message of a stream's queue holds.
const READ_BYTES: usize = 8 << 10;

/// How many messages wait for a stream that is not read.
const STREAM_QUEUE_MAX: usize = 8;

/// How many frames wait to be written.
const FRAMES_MAX: usize = 64;

/// The longest data frame that is written, in bytes.
pub(crate) const DATA_BYTES_MAX: usize = 16 << 10;

/// The window that each stream, and the connection, has at first, in bytes.
const STREAM_WINDOW_BYTES: i64 = 64 << 10;

/// How much is read before the client is told that it may send as much again, in bytes.
const WINDOW_UPDATE_BYTES: u32 = 16 << 10;

/// After how long a silent client is asked whether it is there. Who does not answer for as long again is gone.
const PING_AFTER: Duration = Duration::from_secs(30);

/// The id of this side's pings, which are even.
const OWN_PING: u32 = 2;

/// How long the client may take to read a batch of frames.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the last words may take.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// A stream that the client has opened.
pub(crate) struct Stream {
    pub(crate) id: u32,
    pub(crate) headers: Headers,
    reader: Reader,
    writer: Writer,
}

/// What the client says on a stream.
pub(crate) struct Reader {
    id: u32,
    queue: mpsc::Receiver<Bytes>,
    out: mpsc::Sender<Frame>,
    /// What was read and not told to the client.
    untold: u32,
}

/// What is said to the client on a stream. Dropped before it has ended, it is reset.
pub(crate) struct Writer {
    id: u32,
    out: mpsc::Sender<Frame>,
    own: Arc<Window>,
    shared: Arc<Window>,
    is_over: bool,
}

/// The client is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

impl Stream {
    pub(crate) fn split(self) -> (Reader, Writer) {
        (self.reader, self.writer)
    }
}

impl Reader {
    /// The next bytes; `None` when the client has said everything or is gone.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        let bytes = self.queue.recv().await?;
        self.untold += bytes.len() as u32;
        if self.untold >= WINDOW_UPDATE_BYTES {
            let delta = std::mem::take(&mut self.untold);
            for stream in [self.id, 0] {
                // A client that is gone need not know.
                let _ = self.out.send(Frame::WindowUpdate { stream, delta }).await;
            }
        }
        Some(bytes)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.queue.close();
        while let Ok(unread) = self.queue.try_recv() {
            self.untold += unread.len() as u32;
        }
        if self.untold > 0 {
            // Where the queue is full the connection is about to break anyhow.
            let _ = self.out.try_send(Frame::WindowUpdate { stream: 0, delta: self.untold });
        }
    }
}

impl Writer {
    /// Says something, as soon as the client has room for it.
    pub(crate) async fn write(&mut self, mut data: Bytes) -> Result<(), Gone> {
        while !data.is_empty() {
            let piece = data.split_to(data.len().min(DATA_BYTES_MAX));
            for window in [&self.own, &self.shared] {
                window.take(piece.len()).await;
            }
            let frame = Frame::Data { stream: self.id, fin: false, data: piece };
            self.out.send(frame).await.map_err(|_| Gone)?;
        }
        Ok(())
    }

    /// Ends this side of the stream.
    pub(crate) async fn finish(mut self) {
        self.is_over = true;
        // Who is gone needs no end.
        let _ = self.out.send(Frame::Data { stream: self.id, fin: true, data: Bytes::new() }).await;
    }

    /// Ends the stream at once.
    pub(crate) async fn reset(mut self) {
        self.is_over = true;
        // Who is gone needs no end.
        let _ = self.out.send(Frame::RstStream { stream: self.id, status: Status::Cancel as u32 }).await;
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.is_over {
            // Where the queue is full the connection is about to break anyhow.
            let _ = self.out.try_send(Frame::RstStream { stream: self.id, status: Status::Cancel as u32 });
        }
    }
}

/// How much may be sent.
struct Window {
    left: Mutex<i64>,
    changed: Notify,
    counts: Arc<AtomicBool>,
}

impl Window {
    fn new(left: i64, counts: Arc<AtomicBool>) -> Arc<Self> {
        Arc::new(Self { left: Mutex::new(left), changed: Notify::new(), counts })
    }

    /// Takes so many bytes as soon as any are left: one frame may be a little more than there is room for.
    async fn take(&self, count: usize) {
        loop {
            let changed = self.changed.notified();
            {
                let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
                if *left > 0 || !self.counts.load(Ordering::Relaxed) {
                    *left = left.saturating_sub(count as i64);
                    return;
                }
            }
            changed.await;
        }
    }

    fn give(&self, count: u32) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        *left = left.saturating_add(count.into());
        self.changed.notify_waiters();
    }
}

/// What the connection knows of a stream.
struct Known {
    /// Where what comes is put; `None` when the client has said everything.
    queue: Option<mpsc::Sender<Bytes>>,
    window: Arc<Window>,
}

/// One connection, seen from its reader.
struct Connection {
    streams: HashMap<u32, Known>,
    last: u32,
    inflater: Inflater,
    deflater: Deflater,
    out: mpsc::Sender<Frame>,
    window: Arc<Window>,
    /// Whether the client's windows count.
    counts: Arc<AtomicBool>,
    initial_window: i64,
}

/// Speaks SPDY until the client is gone or breaks the protocol. Each stream is handed to `opened`, which may refuse it.
pub(crate) async fn serve(stream: impl AsyncRead + AsyncWrite + Send, opened: impl FnMut(Stream) -> bool + Send) {
    let (mut from, to) = tokio::io::split(stream);
    let (out, frames) = mpsc::channel(FRAMES_MAX);
    let counts = Arc::<AtomicBool>::default();
    let mut connection = Connection {
        streams: HashMap::new(),
        last: 0,
        inflater: Inflater::default(),
        deflater: Deflater::default(),
        out: out.clone(),
        window: Window::new(STREAM_WINDOW_BYTES, counts.clone()),
        counts,
        initial_window: STREAM_WINDOW_BYTES,
    };
    let mut to = Sink(to);
    let ended = tokio::select! {
        ended = connection.read(&mut from, opened) => ended,
        error = to.write_all(frames) => Err(End::Io(error)),
    };
    match ended {
        Ok(()) => to.farewell(connection.last, GOAWAY_OK).await,
        Err(End::Fault(fault)) => {
            tracing::debug!(%fault, "a SPDY connection is ended");
            to.farewell(connection.last, GOAWAY_PROTOCOL_ERROR).await;
        }
        Err(End::Io(error)) => tracing::debug!(%error, "a SPDY connection broke"),
    }
}

/// The words of a farewell: all was well, or the client broke the protocol.
const GOAWAY_OK: u32 = 0;
const GOAWAY_PROTOCOL_ERROR: u32 = 1;

enum End {
    Fault(Fault),
    Io(io::Error),
}

impl From<Fault> for End {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Connection {
    async fn read(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        mut opened: impl FnMut(Stream) -> bool,
    ) -> Result<(), End> {
        let (mut decoder, mut bytes, mut is_asked) = (Decoder::default(), BytesMut::new(), false);
        loop {
            while let Some(frame) = decoder.next(&mut bytes)? {
                self.hear(frame, &mut opened).await?;
            }
            bytes.reserve(READ_BYTES);
            let mut piece = (&mut *from).take(READ_BYTES as u64);
            match timeout(PING_AFTER, piece.read_buf(&mut bytes)).await {
                Ok(Ok(0)) => return Ok(()),
                Ok(read) => is_asked = read? == 0,
                Err(_) if is_asked => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not answer").into());
                }
                Err(_) => {
                    is_asked = true;
                    self.say(Frame::Ping(OWN_PING)).await;
                }
            }
        }
    }

    async fn hear(&mut self, frame: Frame, opened: &mut impl FnMut(Stream) -> bool) -> Result<(), End> {
        match frame {
            Frame::SynStream { stream, fin, headers } => self.open(stream, fin, &headers, opened).await?,
            Frame::Data { stream, fin, data } => self.data(stream, fin, data).await,
            Frame::RstStream { stream, .. } => drop(self.streams.remove(&stream)),
            Frame::SynReply { headers, .. } => drop(self.inflater.read(&headers)?),
            Frame::Headers { stream, fin, headers } => {
                self.inflater.read(&headers)?;
                self.end_if(fin, stream);
            }
            Frame::Settings { initial_window: None } | Frame::GoAway { .. } => {}
            Frame::Settings { initial_window: Some(window) } => {
                self.counts.store(true, Ordering::Relaxed);
                self.initial_window = window.into();
            }
            Frame::WindowUpdate { stream, delta } => {
                self.counts.store(true, Ordering::Relaxed);
                let of_stream = self.streams.get(&stream).map(|known| &known.window);
                if let Some(window) = if stream == 0 { Some(&self.window) } else { of_stream } {
                    window.give(delta);
                }
            }
            // Even ids are answers to ours.
            Frame::Ping(id) if id % 2 == 1 => self.say(Frame::Ping(id)).await,
            Frame::Ping(_) => {}
        }
        Ok(())
    }

    async fn open(
        &mut self,
        id: u32,
        fin: bool,
        headers: &[u8],
        opened: &mut impl FnMut(Stream) -> bool,
    ) -> Result<(), Fault> {
        let headers = self.inflater.read(headers)?;
        if id.is_multiple_of(2) || id <= self.last {
            return Err(Fault::Stream(id));
        }
        self.last = id;
        // A stream is over when the client has said everything and nobody speaks on it any more.
        self.streams.retain(|_, known| known.queue.is_some() || Arc::strong_count(&known.window) > 1);
        if self.streams.len() >= STREAMS_MAX {
            return Err(Fault::TooMany);
        }
        let (queue, waiting) = mpsc::channel(STREAM_QUEUE_MAX);
        let window = Window::new(self.initial_window, self.counts.clone());
        let reader = Reader { id, queue: waiting, out: self.out.clone(), untold: 0 };
        let writer =
            Writer { id, out: self.out.clone(), own: window.clone(), shared: self.window.clone(), is_over: false };
        let reply = Frame::SynReply { stream: id, fin: false, headers: self.deflater.write(&[]) };
        self.say(reply).await;
        self.streams.insert(id, Known { queue: (!fin).then_some(queue), window });
        if !opened(Stream { id, headers, reader, writer }) {
            self.streams.remove(&id);
            self.say(Frame::RstStream { stream: id, status: Status::RefusedStream as u32 }).await;
        }
        Ok(())
    }

    /// Hands bytes to the stream that they are for. What comes for a stream that nobody reads any more is passed over, as its
    /// sender may not know yet.
    async fn data(&mut self, stream: u32, fin: bool, data: Bytes) {
        if stream > self.last || stream.is_multiple_of(2) {
            return self.say(Frame::RstStream { stream, status: Status::InvalidStream as u32 }).await;
        }
        let length = data.len() as u32;
        let is_read = match self.streams.get(&stream).and_then(|known| known.queue.as_ref()) {
            Some(queue) if length > 0 => queue.send(data).await.is_ok(),
            Some(_) | None => false,
        };
        if !is_read && length > 0 {
            // What nobody reads takes no room from the others.
            self.say(Frame::WindowUpdate { stream: 0, delta: length }).await;
        }
        self.end_if(fin, stream);
    }

    fn end_if(&mut self, fin: bool, stream: u32) {
        if let Some(known) = self.streams.get_mut(&stream).filter(|_| fin) {
            known.queue = None;
        }
    }

    /// Says something about the connection. When nobody writes any more, it ends by itself.
    async fn say(&self, frame: Frame) {
        let _ = self.out.send(frame).await;
    }
}

/// Where frames are written.
struct Sink<W>(W);

impl<W: AsyncWrite + Unpin> Sink<W> {
    /// Writes frames as they come, those that wait in one go; returns why that ends.
    async fn write_all(&mut self, mut frames: mpsc::Receiver<Frame>) -> io::Error {
        let mut bytes = BytesMut::new();
        loop {
            let Some(first) = frames.recv().await else { return io::ErrorKind::BrokenPipe.into() };
            first.encode(&mut bytes);
            while let Ok(next) = frames.try_recv() {
                next.encode(&mut bytes);
                if bytes.len() >= DATA_BYTES_MAX {
                    break;
                }
            }
            match timeout(WRITE_TIMEOUT, self.write(&mut bytes)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error,
                Err(_) => return io::Error::new(io::ErrorKind::TimedOut, "the client does not read"),
            }
        }
    }

    async fn write(&mut self, bytes: &mut BytesMut) -> io::Result<()> {
        self.0.write_all_buf(bytes).await?;
        self.0.flush().await
    }

    async fn farewell(&mut self, last_stream: u32, status: u32) {
        let mut bytes = BytesMut::new();
        Frame::GoAway { last_stream, status }.encode(&mut bytes);
        let said = async {
            self.write(&mut bytes).await?;
            self.0.shutdown().await
        };
        // Who does not hear it is not waited for.
        let _ = timeout(FAREWELL_TIMEOUT, said).await;
    }
}
