//! Serves the connections of others: whatever is not exactly as it should be ends the connection.

use std::{
    io::{self, ErrorKind},
    sync::Arc,
    time::Duration,
};

use tokio::{io::BufReader, time::timeout};

use super::{
    Peers,
    frame::{Frame, Hello},
    transfer,
};
use crate::{MemberId, Stream, driver::News, message::Lane};

/// Whoever calls says hello within this.
const HELLO_TIME_MAX: Duration = Duration::from_secs(5);

/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// Reads a connection to its end.
pub(super) async fn serve(peers: Arc<Peers>, from: MemberId, stream: Box<dyn Stream>) {
    let mut stream = BufReader::with_capacity(READ_BYTES, stream);
    let outcome = match greet(&peers, from, &mut stream).await {
        Ok(Lane::Snapshot) => transfer::receive(&peers, from, &mut stream).await,
        Ok(lane) => listen(&peers, from, lane, &mut stream).await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => {}
        Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
            tracing::debug!(%from, %error, "a connection of another master ended");
        }
        Err(error) => tracing::warn!(%from, %error, "closed the connection of another master"),
    }
}

/// Checks that the caller is who it was proven to be, of this group, and means this member.
async fn greet(peers: &Arc<Peers>, from: MemberId, stream: &mut BufReader<Box<dyn Stream>>) -> io::Result<Lane> {
    let hello = timeout(HELLO_TIME_MAX, Hello::read(stream)).await;
    let Hello { cluster, from: claimed, to, lane, contact } =
        hello.unwrap_or_else(|_| Err(io::Error::new(ErrorKind::TimedOut, "it said no hello")))?;
    let (own, group) = (peers.member, peers.cluster);
    if cluster != group {
        return Err(foreign(format!("it is of group {cluster}, this master of group {group}")));
    }
    if claimed != from {
        return Err(foreign(format!("it calls itself {claimed}")));
    }
    if to != own {
        return Err(foreign(format!("it looks for {to}, this master is {own}; its contact is outdated")));
    }
    peers.found_at(from, contact);
    Ok(lane)
}

fn foreign(reason: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, reason)
}

async fn listen(
    peers: &Arc<Peers>,
    from: MemberId,
    lane: Lane,
    stream: &mut BufReader<Box<dyn Stream>>,
) -> io::Result<()> {
    while let Some((frame, bytes)) = Frame::read(stream, peers.cluster).await? {
        if frame.lane() != lane {
            return Err(foreign("it sent something on the wrong connection".into()));
        }
        let Some(room) = peers.room(lane, bytes).await else { return Ok(()) };
        match frame {
            Frame::Message(message) => {
                peers.check(from, &message)?;
                (peers.tell)(News::Peer { message, room: Some(room) });
            }
            Frame::Forward { id, term, command } => (peers.tell)(News::Forwarded { from, id, term, command, room }),
            Frame::Refused { id, error } => (peers.tell)(News::Refused { id, error }),
            Frame::Ask { id, wish } => (peers.tell)(News::Asked { from, id, wish }),
            Frame::Answer { id, outcome } => (peers.tell)(News::Answered { id, outcome }),
            Frame::Contacts(heard) => peers.told(from, heard),
            Frame::Digest { index, digest } => (peers.tell)(News::Digest { from, index, digest }),
            // Nobody may listen.
            Frame::Note(note) => drop(peers.notes.send((from, note))),
            Frame::Offer { .. } | Frame::Have { .. } | Frame::Chunk(_) | Frame::Done { .. } => {}
        }
    }
    Ok(())
}
