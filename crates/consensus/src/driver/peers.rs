//! Connections to the other members: one for each member and lane, so that a vote or a heartbeat never waits behind a
//! megabyte of entries, and each in one direction, so that nobody has to agree on who calls.
//!
//! Nothing here waits for a peer: what does not fit into a queue is dropped and told to the brain, which sends it again.
//! What comes in is taken from a connection only as fast as the raft thread works it off.

mod contacts;
mod frame;
mod gate;
mod incoming;
mod outbox;
mod outgoing;
mod transfer;

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    runtime::Handle,
    sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast, watch},
};

pub(super) use frame::WishOutcome;
pub(crate) use frame::{Frame, Hello, Wish};
pub(super) use gate::{Gate, Pass};
pub(crate) use transfer::piece;

use super::News;
use crate::{
    ClusterId, Dial, MemberId, Members, Stream,
    codec::{CONTACT_BYTES_MAX, length_field},
    message::{Lane, Message},
};
use contacts::{Contacts, Places};
use outbox::Outbox;

/// Most bytes of votes, heartbeats and answers queued for a peer; they are some hundred bytes each.
const CONTROL_BYTES_MAX: usize = 1 << 20;

/// Most bytes of entries, forwarded commands and notes queued for a peer. A message is about 1 MiB, and a follower
/// that is further behind is served no faster by more.
const APPEND_BYTES_MAX: usize = 32 << 20;

/// Most bytes of urgent messages queued for the Raft thread, from all peers.
const CONTROL_BACKLOG_BYTES: usize = 16 << 20;

/// Most bytes of entries and commands queued for the Raft thread, from all peers.
const APPEND_BACKLOG_BYTES: usize = 32 << 20;

/// Most connections of others that are served at once: three for each of the peers that a group may sensibly have.
const INCOMING_MAX: usize = 256;

/// The longest note, in bytes: a heartbeat of a node is a few kilobytes.
const NOTE_BYTES_MAX: usize = 1 << 20;

/// After the end, what waits for others still has so long to leave.
const FAREWELL: Duration = Duration::from_secs(1);

/// Another member, and what waits for it.
struct Peer {
    member: MemberId,
    places: RwLock<Places>,
    /// It is to be called elsewhere.
    moved: [Notify; 2],
    control: Outbox<Bytes>,
    append: Outbox<Bytes>,
    snapshot: Outbox<Message>,
}

impl Peer {
    fn new(member: MemberId, places: Vec<String>) -> Self {
        Self {
            member,
            places: RwLock::new(Places::new(places)),
            moved: [Notify::new(), Notify::new()],
            control: Outbox::new(CONTROL_BYTES_MAX),
            append: Outbox::new(APPEND_BYTES_MAX),
            // One announcement: until it is answered there is no other.
            snapshot: Outbox::new(0),
        }
    }

    /// Where something waits that is not a snapshot.
    fn outbox(&self, lane: Lane) -> &Outbox<Bytes> {
        match lane {
            Lane::Append => &self.append,
            Lane::Control | Lane::Snapshot => &self.control,
        }
    }

    /// Where to call it.
    fn contact(&self) -> String {
        self.places.read().unwrap_or_else(PoisonError::into_inner).current().to_owned()
    }

    fn set_places(&self, places: Vec<String>) {
        if self.change_places(|known| known.renew(places)) {
            self.moved.iter().for_each(Notify::notify_one);
        }
    }

    /// It was not reached at a place.
    fn give_up(&self, place: &str) {
        self.change_places(|known| known.give_up(place));
    }

    fn change_places<T>(&self, change: impl FnOnce(&mut Places) -> T) -> T {
        change(&mut self.places.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn close(&self) {
        self.control.close();
        self.append.close();
        self.snapshot.close();
    }
}

/// Who is known.
#[derive(Default)]
struct Known {
    peers: BTreeMap<MemberId, Arc<Peer>>,
    contacts: Contacts,
    is_closed: bool,
}

/// What [`Peers`] is given.
pub(super) struct Setup {
    pub(super) cluster: ClusterId,
    pub(super) member: MemberId,
    pub(super) contact: String,
    pub(super) dial: Arc<dyn Dial>,
    pub(super) runtime: Handle,
    pub(super) snapshots: PathBuf,
    pub(super) notes: broadcast::Sender<(MemberId, Bytes)>,
    /// Reaches the raft thread.
    pub(super) tell: Box<dyn Fn(News) + Send + Sync>,
    pub(super) gate: Arc<Gate>,
}

/// All connections of a member. Nothing here blocks, except closing.
pub(super) struct Peers {
    cluster: ClusterId,
    member: MemberId,
    /// Where this member is reached, as it was told at its start; empty if nobody told it.
    contact: String,
    dial: Arc<dyn Dial>,
    runtime: Handle,
    snapshots: PathBuf,
    notes: broadcast::Sender<(MemberId, Bytes)>,
    tell: Box<dyn Fn(News) + Send + Sync>,
    gate: Arc<Gate>,
    known: RwLock<Known>,
    /// What is passed on of where members are reached.
    heard: watch::Sender<BTreeMap<MemberId, String>>,
    control_backlog: Arc<Semaphore>,
    append_backlog: Arc<Semaphore>,
    incoming: AtomicUsize,
    /// A snapshot is being received: one at a time.
    receiving: tokio::sync::Mutex<()>,
    /// Nothing comes in any more, and nothing goes out any more.
    ends: (watch::Sender<bool>, watch::Sender<bool>),
}

impl Peers {
    /// Whether a message is from whoever sent it, and for this member.
    ///
    /// # Errors
    /// If it is not: the connection is to be closed.
    fn check(&self, from: MemberId, message: &Message) -> io::Result<()> {
        if message.from() != from || message.to() != self.member {
            let (claimed, to) = (message.from(), message.to());
            let reason = format!("it sent a message from {claimed} to {to}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        Ok(())
    }

    pub(super) fn new(setup: Setup) -> Self {
        let Setup { cluster, member, contact, dial, runtime, snapshots, notes, tell, gate } = setup;
        Self {
            cluster,
            member,
            contact,
            dial,
            runtime,
            snapshots,
            notes,
            tell,
            gate,
            known: RwLock::default(),
            heard: watch::Sender::default(),
            control_backlog: Arc::new(Semaphore::new(CONTROL_BACKLOG_BYTES)),
            append_backlog: Arc::new(Semaphore::new(APPEND_BACKLOG_BYTES)),
            incoming: AtomicUsize::new(0),
            receiving: tokio::sync::Mutex::new(()),
            ends: (watch::channel(false).0, watch::channel(false).0),
        }
    }

    /// Sends messages, each on its lane. What finds no room is told to the brain.
    pub(super) fn send(&self, messages: Vec<Message>) {
        for message in messages {
            let to = message.to();
            let Some(peer) = self.peer(to) else {
                tracing::debug!(%to, "no way to another member");
                self.undelivered(&message);
                continue;
            };
            if message.lane() == Lane::Snapshot {
                if !peer.snapshot.push(message.clone(), 1) {
                    self.undelivered(&message);
                }
            } else if !self.push(&peer, &Frame::Message(message)) {
                (self.tell)(News::Unreachable(to));
            }
        }
    }

    fn undelivered(&self, message: &Message) {
        match message.lane() {
            Lane::Snapshot => (self.tell)(News::SnapshotSent { to: message.to(), delivered: false }),
            Lane::Control | Lane::Append => {}
        }
    }

    /// Sends something to one member over a connection that stands; false if there is none or its queue is full, so that
    /// it surely did not leave.
    pub(super) fn send_one(&self, to: MemberId, frame: &Frame) -> bool {
        let Some(peer) = self.peer(to) else { return false };
        peer.outbox(frame.lane()).is_connected() && self.push(&peer, frame)
    }

    /// Sends an answer to one member, over the next connection if there is none now.
    pub(super) fn reply(&self, to: MemberId, frame: &Frame) {
        if self.peer(to).is_none_or(|peer| !self.push(&peer, frame)) {
            tracing::debug!(%to, "an answer found no way");
        }
    }

    /// Sends something to all members that can be reached.
    pub(super) fn send_all(&self, frame: &Frame) {
        let peers: Vec<Arc<Peer>> = self.read().peers.values().cloned().collect();
        for peer in peers {
            self.push(&peer, frame);
        }
    }

    /// A note to all; too long ones go nowhere.
    pub(super) fn note(&self, note: Bytes) {
        if note.len() > NOTE_BYTES_MAX {
            return tracing::warn!(bytes = note.len(), "a note for the other masters is too long and was dropped");
        }
        self.send_all(&Frame::Note(note));
    }

    fn push(&self, peer: &Peer, frame: &Frame) -> bool {
        let bytes = frame.encode(self.cluster);
        let length = bytes.len();
        peer.outbox(frame.lane()).push(bytes, length)
    }

    /// Whether there is a connection to a member.
    pub(super) fn is_reachable(&self, member: MemberId) -> bool {
        self.peer(member).is_some_and(|peer| peer.control.is_connected() && peer.append.is_connected())
    }

    /// Calls those who belong to the group, and nobody else any more.
    pub(super) fn set_members(self: &Arc<Self>, members: &Members) {
        self.learn(|contacts| {
            contacts.agree(members);
            true
        });
    }

    /// Somebody called who may be new, or may have moved.
    pub(super) fn found_at(self: &Arc<Self>, caller: MemberId, contact: String) {
        self.learn(|contacts| contacts.say(caller, contact));
    }

    /// A caller passes on where others are, as it heard from them.
    fn told(self: &Arc<Self>, caller: MemberId, heard: BTreeMap<MemberId, String>) {
        self.learn(|contacts| contacts.tell(caller, heard));
    }

    /// Learns something of where members are, if it is news, and calls them there.
    fn learn(self: &Arc<Self>, what: impl FnOnce(&mut Contacts) -> bool) {
        let mut known = self.write();
        if !what(&mut known.contacts) {
            return;
        }
        let heard = known.contacts.heard();
        self.heard.send_if_modified(|before| {
            let is_news = *before != heard;
            *before = heard;
            is_news
        });
        self.adjust(&mut known);
    }

    fn adjust(self: &Arc<Self>, known: &mut Known) {
        if known.is_closed {
            return;
        }
        let places = known.contacts.places(self.member);
        known.peers.retain(|member, peer| {
            let is_kept = places.contains_key(member);
            if !is_kept {
                peer.close();
            }
            is_kept
        });
        for (member, places) in places {
            if let Some(peer) = known.peers.get(&member) {
                peer.set_places(places);
            } else {
                let peer = Arc::new(Peer::new(member, places));
                self.call(&peer);
                known.peers.insert(member, peer);
            }
        }
    }

    /// Starts the connections to a peer.
    fn call(self: &Arc<Self>, peer: &Arc<Peer>) {
        for lane in [Lane::Control, Lane::Append] {
            self.spawn(&self.ends.1, outgoing::run(self.clone(), peer.clone(), lane));
        }
        self.spawn(&self.ends.1, transfer::send_all(self.clone(), peer.clone()));
    }

    /// Serves a connection whose peer was proven to be `from`.
    pub(super) fn accept(self: &Arc<Self>, from: MemberId, stream: Box<dyn Stream>) {
        if self.incoming.fetch_add(1, Ordering::Relaxed) >= INCOMING_MAX {
            self.incoming.fetch_sub(1, Ordering::Relaxed);
            return tracing::warn!(%from, "too many connections of masters; one was closed");
        }
        let (peers, slot) = (self.clone(), Incoming(self.clone()));
        self.spawn(&self.ends.0, async move {
            let _slot = slot;
            incoming::serve(peers, from, stream).await;
        });
    }

    fn spawn(&self, end: &watch::Sender<bool>, work: impl Future<Output = ()> + Send + 'static) {
        let mut end = end.subscribe();
        self.runtime.spawn(async move {
            tokio::select! {
                _ = end.wait_for(|is_over| *is_over) => {}
                () = work => {}
            }
        });
    }

    /// Ends all connections: nothing comes in any more, what waits for others leaves within a moment. Waits until no file
    /// of the directory is written any more.
    pub(super) fn close(&self) {
        let mut known = self.write();
        known.is_closed = true;
        known.peers.values().for_each(|peer| peer.close());
        known.peers.clear();
        drop(known);
        self.ends.0.send_replace(true);
        let ends = self.ends.1.clone();
        self.runtime.spawn(async move {
            tokio::time::sleep(FAREWELL).await;
            ends.send_replace(true);
        });
        self.gate.close();
    }

    /// Room for something from a peer, in bytes; waits until the raft thread has worked off what was before.
    async fn room(&self, lane: Lane, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let backlog = match lane {
            Lane::Control => &self.control_backlog,
            Lane::Append | Lane::Snapshot => &self.append_backlog,
        };
        backlog.clone().acquire_many_owned(length_field(bytes)).await.ok()
    }

    /// Where others reach this member, as far as it knows.
    fn own_contact(&self) -> String {
        if !self.contact.is_empty() {
            return self.contact.clone();
        }
        let contact = self.read().contacts.agreed(self.member).cloned().unwrap_or_default();
        if contact.len() > CONTACT_BYTES_MAX { String::new() } else { contact }
    }

    fn peer(&self, member: MemberId) -> Option<Arc<Peer>> {
        self.read().peers.get(&member).cloned()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the connections that are served.
struct Incoming(Arc<Peers>);

impl Drop for Incoming {
    fn drop(&mut self) {
        self.0.incoming.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
pub(in crate::driver) mod tests {
    //! What tests of whole members need to know of the wire.

    use super::*;

    /// A hello for the lane of urgent messages.
    pub(in crate::driver) fn hello(cluster: ClusterId, from: MemberId, to: MemberId) -> Vec<u8> {
        frame::Hello { cluster, from, to, lane: Lane::Control, contact: String::new() }.encode()
    }
}
