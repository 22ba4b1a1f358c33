//! The net between the members: it loses, doubles, delays and reorders, and carries snapshots beside their announcements.

use bytes::Bytes;
use consensus::{
    MemberId,
    brain::Event,
    message::{Lane, Message},
};

use super::{
    Broken, Outcome, Rule,
    disk::SnapshotFile,
    weather::TICK,
    world::{Act, CLUSTER, World},
};

/// A message that takes very long takes up to this, in moments: several election timeouts.
const STRAGGLE_MAX: u64 = 120 * TICK;

/// A message on its way.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) from: MemberId,
    pub(super) from_boot: u64,
    pub(super) to: MemberId,
    pub(super) bytes: Bytes,
    pub(super) snapshot: Option<SnapshotFile>,
}

impl World {
    pub(super) fn send(&mut self, from: MemberId, messages: Vec<Message>) {
        let Some(from_boot) = self.process(from).map(|process| process.boot) else { return };
        for message in messages {
            let file = message.announces().and_then(|index| self.members[&from].disk.snapshots.get(&index).cloned());
            let to = message.to();
            let is_lost = self.chance.happens(self.weather.losses);
            let is_announced = message.lane() == Lane::Snapshot;
            if is_lost || (is_announced && file.is_none()) {
                self.lost(from, from_boot, to, is_announced);
                continue;
            }
            let copies = 1 + u64::from(self.chance.happens(self.weather.doubles));
            let bytes = message.encode(CLUSTER);
            for _ in 0..copies {
                let parcel = Parcel { from, from_boot, to, bytes: bytes.clone(), snapshot: file.clone() };
                let at = self.now + self.delay();
                self.agenda.add(at, Act::Deliver(parcel));
            }
        }
    }

    fn delay(&mut self) -> u64 {
        let max = if self.chance.happens(self.weather.stragglers) { STRAGGLE_MAX } else { self.weather.delay_max };
        self.chance.between(1, max)
    }

    /// Who sent a snapshot always hears how that went; of other messages, perhaps that there is no connection.
    fn lost(&mut self, from: MemberId, boot: u64, to: MemberId, is_snapshot: bool) {
        let at = self.now + self.delay();
        if is_snapshot {
            self.agenda.add(at, Act::Tell(from, boot, Event::SnapshotSent { to, delivered: false }));
        } else if self.chance.happens(300) {
            self.agenda.add(at, Act::Tell(from, boot, Event::Unreachable(to)));
        } else if self.chance.happens(30) {
            self.agenda.add(at, Act::Tell(from, boot, Event::Lost(to)));
        }
    }

    /// A process is gone: its connections break, but not everybody is told at once, or at all.
    pub(super) fn hang_up(&mut self, gone: MemberId) {
        let others: Vec<(MemberId, u64)> =
            self.members.iter().filter_map(|(id, member)| Some((*id, member.process.as_ref()?.boot))).collect();
        for (id, boot) in others {
            if self.chance.happens(700) {
                let at = self.now + self.delay();
                self.agenda.add(at, Act::Tell(id, boot, Event::Lost(gone)));
            }
        }
    }

    pub(super) fn deliver(&mut self, parcel: Parcel) -> Outcome {
        let Parcel { from, from_boot, to, ref bytes, ref snapshot } = parcel;
        let is_cut = self.cut.contains(&(from, to)) || self.process(to).is_none();
        if is_cut {
            self.lost(from, from_boot, to, snapshot.is_some());
            return Ok(());
        }
        let message = Message::decode(bytes.clone(), CLUSTER)
            .map_err(|error| Broken { rule: Rule::NoPanic, detail: format!("a message is not readable: {error}") })?;
        if let Some(file) = snapshot {
            if let Some(member) = self.members.get_mut(&to) {
                member.disk.snapshots.insert(file.mark.index, file.clone());
            }
            let at = self.now + self.delay();
            self.agenda.add(at, Act::Tell(from, from_boot, Event::SnapshotSent { to, delivered: true }));
        }
        if let Some(delivered) = &mut self.delivered {
            delivered.push(parcel);
        }
        // As the driver does: Raft would panic.
        if self.process(to).is_some_and(|process| process.brain.is_forgetful(&message)) {
            return Err(Broken { rule: Rule::OpensAgain, detail: format!("{to} has lost what it promised") });
        }
        self.handle(to, Event::Peer(message))
    }
}
