//! Changes of the members and hand-overs, as the raft thread deals with them: its own callers' and those of others.

use super::{
    peers::{Frame, Wish, WishOutcome},
    raft::{Asker, RaftThread},
};
use crate::{ChangeError, Machine, MemberId, brain::Event};

impl<M: Machine> RaftThread<M> {
    /// Does what is wished if this member leads; else asks the leader, but never for somebody else.
    pub(super) fn asked(&mut self, wish: Wish, asker: Asker) -> Result<(), String> {
        let hint = self.brain.leader();
        if !self.brain.is_leader() {
            match (asker, self.other_leader()) {
                (Asker::Own(answer), Some((leader, peers))) => {
                    let id = self.forwards.number();
                    let frame = Frame::Ask { id, wish };
                    let is_sent = peers.send_one(leader, &frame);
                    let Frame::Ask { wish, .. } = frame else { return Ok(()) };
                    if is_sent {
                        self.forwards.asked(id, self.brain.term(), answer, &wish);
                    } else {
                        let _ = answer.send(Err(ChangeError::NoLeader { hint }));
                    }
                }
                (asker, _) => self.answer(asker, Err(ChangeError::NoLeader { hint })),
            }
            return Ok(());
        }
        match wish {
            Wish::Change(change) => {
                self.asker = Some(asker);
                self.handle(Event::Change(change))?;
                // Not refused at once, so it stands at the end of the log.
                if let Some(asker) = self.asker.take() {
                    self.changing.insert(self.brain.last_place(), asker);
                }
                Ok(())
            }
            Wish::Lead(to) => self.lead(to, asker),
        }
    }

    fn lead(&mut self, to: MemberId, asker: Asker) -> Result<(), String> {
        if let Err(refusal) = self.brain.may_lead(to) {
            self.answer(asker, Err(refusal));
            return Ok(());
        }
        let members = self.brain.members().clone();
        self.answer(asker, Ok(members));
        if to == self.member { Ok(()) } else { self.handle(Event::TransferLeader(to)) }
    }

    /// A change is applied: whoever waits for it, or for what might have stood in its place, gets the answer.
    pub(super) fn changed(&mut self, index: u64, term: u64) {
        let later = self.changing.split_off(&(index + 1, 0));
        for (place, asker) in std::mem::replace(&mut self.changing, later) {
            let members = self.brain.members().clone();
            self.answer(asker, if place == (index, term) { Ok(members) } else { Err(ChangeError::Unknown) });
        }
    }

    pub(super) fn answer(&self, asker: Asker, outcome: WishOutcome) {
        match asker {
            Asker::Own(answer) => drop(answer.send(outcome)),
            Asker::Peer { from, id } => self.reply(from, &Frame::Answer { id, outcome }),
        }
    }
}
