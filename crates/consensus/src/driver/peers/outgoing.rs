//! Calls a member and writes what waits for it, again and again.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use super::{
    Peer, Peers,
    frame::{Frame, Hello},
};
use crate::{Stream, driver::News, message::Lane};

/// After a failure a member is called again after so long, and twice as long after each further one.
const BACK_OFF_MIN: Duration = Duration::from_millis(50);

/// But never later than this: a member that comes back is missed by nobody for long.
const BACK_OFF_MAX: Duration = Duration::from_secs(1);

/// A call that is not answered for so long has failed.
const DIAL_TIME_MAX: Duration = Duration::from_secs(3);

/// A peer that takes nothing for so long is gone.
pub(super) const WRITE_TIME_MAX: Duration = Duration::from_secs(10);

/// A member that cannot be reached for so long is worth a warning; one that only starts later than this one is not.
const SILENCE: Duration = Duration::from_secs(5);

/// Short frames are written together, up to so many bytes.
const WRITE_BYTES: usize = 64 << 10;

/// Keeps one lane to a peer connected until the peer leaves the group.
pub(super) async fn run(peers: Arc<Peers>, peer: Arc<Peer>, lane: Lane) {
    let outbox = peer.outbox(lane);
    let mut back_off = BACK_OFF_MIN;
    let mut complaint = Complaint { since: Instant::now(), is_made: false };
    loop {
        let (begun, contact) = (Instant::now(), peer.contact());
        let outcome = once(&peers, &peer, lane, &contact).await;
        let was_connected = outbox.is_connected();
        outbox.set_connected(false);
        match outcome {
            Ok(End::Left) => return,
            Ok(End::Moved) => continue,
            Err(error) => complaint.about(&peer, lane, &contact, &error, was_connected),
        }
        outbox.clear();
        (peers.tell)(if was_connected { News::Lost(peer.member) } else { News::Unreachable(peer.member) });
        if outbox.is_closed() {
            return;
        }
        if was_connected && begun.elapsed() > BACK_OFF_MAX {
            back_off = BACK_OFF_MIN;
        } else {
            peer.give_up(&contact);
        }
        let _ = timeout(back_off, peer.moved[place(lane)].notified()).await;
        back_off = (back_off * 2).min(BACK_OFF_MAX);
    }
}

/// What the log says of a peer that is not reached: one line for each loss.
struct Complaint {
    since: Instant,
    is_made: bool,
}

impl Complaint {
    fn about(&mut self, peer: &Peer, lane: Lane, contact: &str, error: &io::Error, was_connected: bool) {
        if was_connected {
            *self = Self { since: Instant::now(), is_made: false };
        }
        // Both lanes go to the same process.
        let is_worth_it = lane == Lane::Control && (was_connected || self.since.elapsed() > SILENCE);
        if is_worth_it && !self.is_made {
            self.is_made = true;
            tracing::warn!(to = %peer.member, contact, %error, "no connection to another master");
        } else {
            tracing::debug!(to = %peer.member, ?lane, %error, "no connection to another master");
        }
    }
}

fn place(lane: Lane) -> usize {
    usize::from(lane == Lane::Append)
}

/// Why a connection is given up that is not broken.
enum End {
    /// The peer is not to be called any more.
    Left,
    /// The peer is to be called elsewhere.
    Moved,
}

/// One connection, to its end.
async fn once(peers: &Peers, peer: &Peer, lane: Lane, contact: &str) -> io::Result<End> {
    let outbox = peer.outbox(lane);
    let stream = connect(peers, peer, lane, contact).await?;
    let (mut read, mut write) = tokio::io::split(stream);
    outbox.set_connected(true);
    tracing::debug!(to = %peer.member, ?lane, "connected");
    // Whoever is called anew has perhaps heard nothing of it in this life.
    let mut heard = peers.heard.subscribe();
    heard.mark_changed();
    let mut nothing = [0];
    loop {
        tokio::select! {
            biased;
            Ok(()) = heard.changed(), if lane == Lane::Control => {
                let contacts = heard.borrow_and_update().clone();
                let frame = Frame::Contacts(contacts).encode(peers.cluster);
                in_time(write_all(&mut write, [frame].into())).await?;
            }
            // What waits leaves before a connection is given up for another contact.
            frames = outbox.next() => match frames {
                Some(frames) => in_time(write_all(&mut write, frames)).await?,
                None => return in_time(write.shutdown()).await.map(|()| End::Left),
            },
            // The other side says nothing on this connection but its end.
            ended = read.read(&mut nothing) => {
                return Err(ended.err().unwrap_or_else(|| io::Error::new(ErrorKind::ConnectionAborted, "it was closed")));
            }
            () = peer.moved[place(lane)].notified() => return Ok(End::Moved),
        }
    }
}

/// Calls a peer somewhere and says hello.
///
/// # Errors
/// What the dialler or the connection said.
pub(super) async fn connect(peers: &Peers, peer: &Peer, lane: Lane, contact: &str) -> io::Result<Box<dyn Stream>> {
    let calling = peers.dial.dial(peer.member, contact);
    let mut stream = timeout(DIAL_TIME_MAX, calling).await.map_err(|_| io::Error::from(ErrorKind::TimedOut))??;
    let contact = peers.own_contact();
    let hello = Hello { cluster: peers.cluster, from: peers.member, to: peer.member, lane, contact };
    in_time(stream.write_all(&hello.encode())).await?;
    in_time(stream.flush()).await?;
    Ok(stream)
}

/// # Errors
/// What the connection said, or that it is stuck.
pub(super) async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(WRITE_TIME_MAX, work)
        .await
        .unwrap_or_else(|_| Err(io::Error::new(ErrorKind::TimedOut, "the peer is stuck")))
}

async fn write_all(to: &mut (impl AsyncWrite + Unpin), frames: VecDeque<Bytes>) -> io::Result<()> {
    let mut short = Vec::new();
    for frame in frames {
        if short.len() + frame.len() <= WRITE_BYTES {
            short.extend_from_slice(&frame);
            continue;
        }
        to.write_all(&short).await?;
        short.clear();
        to.write_all(&frame).await?;
    }
    to.write_all(&short).await?;
    to.flush().await
}
