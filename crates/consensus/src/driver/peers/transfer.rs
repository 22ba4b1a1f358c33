//! Brings a snapshot file to a member that the log no longer reaches, on a connection of its own. The receiver keeps what
//! it got when a connection breaks, and goes on from there.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncWriteExt, BufReader},
    time::timeout,
};

use super::{
    Gate, Peer, Peers,
    frame::Frame,
    outgoing::{connect, in_time},
};
use crate::{
    ClusterId, Mark, MemberId, OpenError, Stream,
    codec::piece_len,
    driver::News,
    message::{Lane, Message},
    snapshot::{self, SnapshotReader},
    wal::sync_dir,
};

/// A snapshot travels in pieces of so many bytes.
const CHUNK_BYTES: usize = 256 << 10;

/// The receiver syncs every so many bytes, so that a commit never waits behind a heap of unwritten pages.
const SYNC_EVERY_BYTES: u64 = 4 << 20;

/// The receiver checks and syncs the whole file before it answers; a gigabyte takes some seconds.
const CHECK_TIME_MAX: Duration = Duration::from_secs(300);

/// After a failure the brain is told only so much later: it would try again at once.
const PAUSE: Duration = Duration::from_millis(300);

/// Sends every snapshot that is announced to a peer, and tells each time how it ended.
pub(super) async fn send_all(peers: Arc<Peers>, peer: Arc<Peer>) {
    while let Some(messages) = peer.snapshot.next().await {
        for message in messages {
            let index = message.mark().index;
            let outcome = send(&peers, &peer, message).await;
            if let Err(error) = &outcome {
                tracing::warn!(to = %peer.member, index, %error, "a snapshot did not arrive");
                tokio::time::sleep(PAUSE).await;
            }
            (peers.tell)(News::SnapshotSent { to: peer.member, delivered: outcome.is_ok() });
        }
    }
}

async fn send(peers: &Peers, peer: &Peer, message: Message) -> io::Result<()> {
    let (path, mark) = (snapshot::path(&peers.snapshots, message.mark().index), message.mark());
    let (file, length) = blocking(move || open(&path, &mark)).await?;
    let stream = connect(peers, peer, Lane::Snapshot, &peer.contact()).await?;
    let mut stream = BufReader::new(stream);
    write(peers, &mut stream, &Frame::Offer { length, message }).await?;
    let Frame::Have { offset } = read(peers, &mut stream, CHECK_TIME_MAX).await? else { return Err(unexpected()) };
    let mut file = Some(file);
    let mut sent = offset.min(length);
    while sent < length {
        let Some(mut open) = file.take() else { return Err(unexpected()) };
        let (open, chunk) = blocking(move || {
            let mut chunk = vec![0; piece_len(length - sent, CHUNK_BYTES)];
            open.seek(SeekFrom::Start(sent))?;
            open.read_exact(&mut chunk)?;
            Ok((open, chunk))
        })
        .await?;
        file = Some(open);
        sent += chunk.len() as u64;
        write(peers, &mut stream, &Frame::Chunk(chunk.into())).await?;
    }
    match read(peers, &mut stream, CHECK_TIME_MAX).await? {
        Frame::Done { delivered: true } => Ok(()),
        Frame::Done { delivered: false } => Err(io::Error::other("the receiver found it damaged")),
        _ => Err(unexpected()),
    }
}

/// Opens the file of a snapshot, if it is still the one that was announced.
fn open(path: &Path, mark: &Mark) -> io::Result<(File, u64)> {
    let reader = SnapshotReader::open(path).map_err(io::Error::other)?;
    if (reader.mark.index, reader.mark.term) != (mark.index, mark.term) {
        return Err(io::Error::other("the file is another snapshot"));
    }
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

/// Takes one snapshot, makes it durable and tells the raft thread.
pub(super) async fn receive(peers: &Peers, from: MemberId, stream: &mut BufReader<Box<dyn Stream>>) -> io::Result<()> {
    let Ok(_alone) = peers.receiving.try_lock() else { return Err(io::Error::other("another snapshot is on its way")) };
    let Frame::Offer { length, message } = read(peers, stream, CHECK_TIME_MAX).await? else {
        return Err(unexpected());
    };
    peers.check(from, &message)?;
    if message.lane() != Lane::Snapshot {
        return Err(unexpected());
    }
    let part = Part::open(peers, from, message.mark(), length).await?;
    fill(peers, stream, part.clone()).await?;
    let cluster = peers.cluster;
    if let Err(error) = part.work(move |part| part.finish(cluster)).await {
        write(peers, stream, &Frame::Done { delivered: false }).await?;
        return Err(error);
    }
    (peers.tell)(News::Peer { message, room: None });
    write(peers, stream, &Frame::Done { delivered: true }).await
}

async fn fill(peers: &Peers, stream: &mut BufReader<Box<dyn Stream>>, part: Part) -> io::Result<()> {
    let length = part.length;
    let mut have = part.clone().work(|part| part.have()).await?;
    write(peers, stream, &Frame::Have { offset: have }).await?;
    while have < length {
        let chunk = piece(read(peers, stream, super::outgoing::WRITE_TIME_MAX).await?, have, length)?;
        let at = have;
        have += chunk.len() as u64;
        part.clone().work(move |part| part.append(at, &chunk)).await?;
    }
    Ok(())
}

/// The bytes that come next when some of a snapshot are here.
///
/// # Errors
/// If it is no chunk, an empty one, or more than was announced.
pub(crate) fn piece(frame: Frame, have: u64, length: u64) -> io::Result<Bytes> {
    match frame {
        Frame::Chunk(chunk) if !chunk.is_empty() && chunk.len() as u64 <= length - have => Ok(chunk),
        _ => Err(unexpected()),
    }
}

/// A snapshot that is not complete. Its name says who sends it: another member's file may differ in its bytes.
#[derive(Clone, Debug)]
struct Part {
    dir: PathBuf,
    path: PathBuf,
    mark: Mark,
    length: u64,
    gate: Arc<Gate>,
}

impl Part {
    async fn open(peers: &Peers, from: MemberId, mark: Mark, length: u64) -> io::Result<Self> {
        let (dir, gate) = (peers.snapshots.clone(), peers.gate.clone());
        let path = dir.join(format!("{:016x}-{:x}-{from}-{length:x}.part", mark.index, mark.term));
        let part = Self { dir, path, mark, length, gate };
        part.clone().work(|part| part.remove_others()).await?;
        Ok(part)
    }

    /// Runs something that waits for the disk, unless the member ends.
    async fn work<T: Send + 'static>(
        self,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let pass = self.gate.enter().ok_or_else(|| io::Error::other("this master is shutting down"))?;
        blocking(move || {
            let _pass = pass;
            work(&self)
        })
        .await
    }

    /// Only one unfinished snapshot is kept.
    fn remove_others(&self) -> io::Result<()> {
        for file in std::fs::read_dir(&self.dir)? {
            let path = file?.path();
            if path.extension().is_some_and(|extension| extension == "part") && path != self.path {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn have(&self) -> io::Result<u64> {
        match std::fs::metadata(&self.path) {
            Ok(found) => Ok(found.len().min(self.length)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    fn append(&self, at: u64, chunk: &Bytes) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        file.write_all(chunk)?;
        let end = at + chunk.len() as u64;
        if at / SYNC_EVERY_BYTES == end / SYNC_EVERY_BYTES { Ok(()) } else { file.sync_data() }
    }

    /// Checks every byte, and gives the file its name when it is durable. A damaged file is removed, so that the next
    /// attempt begins anew.
    fn finish(&self, cluster: ClusterId) -> io::Result<()> {
        if let Err(error) = self.check(cluster) {
            std::fs::remove_file(&self.path)?;
            return Err(io::Error::other(error));
        }
        File::open(&self.path)?.sync_all()?;
        std::fs::rename(&self.path, snapshot::path(&self.dir, self.mark.index))?;
        sync_dir(&self.dir)
    }

    fn check(&self, cluster: ClusterId) -> Result<(), OpenError> {
        let corrupt = |detail: String| OpenError::Corrupt { path: self.path.clone(), detail };
        let mut reader = SnapshotReader::open(&self.path)?;
        reader.finish().map_err(|error| corrupt(error.to_string()))?;
        if reader.cluster != cluster || (reader.mark.index, reader.mark.term) != (self.mark.index, self.mark.term) {
            return Err(corrupt("it is another snapshot than the one announced".into()));
        }
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

async fn write(peers: &Peers, stream: &mut BufReader<Box<dyn Stream>>, frame: &Frame) -> io::Result<()> {
    in_time(stream.write_all(&frame.encode(peers.cluster))).await?;
    in_time(stream.flush()).await
}

async fn read(peers: &Peers, stream: &mut BufReader<Box<dyn Stream>>, time_max: Duration) -> io::Result<Frame> {
    let frame = timeout(time_max, Frame::read(stream, peers.cluster)).await;
    let frame = frame.map_err(|_| io::Error::from(ErrorKind::TimedOut))??;
    frame.map(|(frame, _)| frame).ok_or_else(|| ErrorKind::UnexpectedEof.into())
}

fn unexpected() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "it sent something else than was due")
}
