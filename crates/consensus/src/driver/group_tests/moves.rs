//! Members that come back elsewhere.

use tokio::{io::AsyncWriteExt as _, time::timeout};

use super::{
    super::peers::{Frame, tests::hello},
    Group, PATIENCE, RETRY, Seat, call, usual,
};
use crate::{Change, MemberId, Status, machine::tests::Notes};

impl Group {
    /// Some seats come back elsewhere, all at once.
    async fn move_all(&mut self, seats: &[usize]) {
        for at in seats {
            self.stop(*at).await;
        }
        for at in seats {
            self.moves(*at);
        }
    }

    /// One of some seats leads, as another sees it; if another does, it hands over to the first of them.
    async fn led_by_one_of(&self, seats: &[usize], seen_by: usize) {
        let (first, seen_by) = (self.seats[seats[0]].member, &self.seats[seen_by]);
        let attempts = async {
            loop {
                let status = seen_by.until("somebody leads", |status| status.leader.is_some()).await;
                if seats.iter().any(|at| Some(self.seats[*at].member) == status.leader) {
                    return;
                }
                if seen_by.consensus.transfer_leader(first).await.is_err() {
                    let _ = timeout(RETRY, seen_by.consensus.status().changed()).await;
                }
            }
        };
        timeout(PATIENCE, attempts).await.unwrap();
    }
}

/// Two of three come back elsewhere, so that only the third could be reached where the group says: they tell it when they
/// call, it answers there, and what is agreed follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_elsewhere_is_answered_there() {
    let mut group = Group::new(3, usual).await;
    group.seats[0].insist(Notes::line(0)).await;
    for at in [0, 1] {
        group.stop(at).await;
    }
    for at in [0, 1] {
        group.moves(at);
    }
    for at in [0, 1] {
        let Seat { member, contact, .. } = group.seats[at].clone();
        group.seats[at].insist(Notes::line(1 + at)).await;
        group.seats[at].change(Change::Contact { member, contact }).await;
    }
    let elsewhere = |status: &Status| {
        let contact = |at: usize| status.members.contacts.get(&group.seats[at].member).cloned();
        (0..2).all(|at| contact(at) == Some(format!("moved-{at}")))
    };
    for seat in &group.seats {
        seat.until("it knows who moved", elsewhere).await;
    }
    group.all_agree(&[0, 1, 2]).await;
}

/// Two of three come back elsewhere and one of them leads: the other is not where the group says, and looks for the leader where
/// that was. The third has heard from both, and tells each of the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_moved_hear_of_each_other_from_the_third() {
    let mut group = Group::new(3, usual).await;
    group.move_all(&[0, 1]).await;
    group.led_by_one_of(&[0, 1], 2).await;
    for at in [0, 1] {
        group.seats[at].insist(Notes::line(at)).await;
    }
    group.all_agree(&[0, 1, 2]).await;
}

/// All come back elsewhere, and each is told of one other only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_of_acquaintances_is_enough_when_all_moved() {
    let mut group = Group::new(5, usual).await;
    group.move_all(&[0, 1, 2, 3, 4]).await;
    for pair in group.seats.windows(2) {
        pair[0].consensus.found_at(pair[1].member, &pair[1].contact);
    }
    for at in 0..5 {
        group.seats[at].insist(Notes::line(at)).await;
    }
    group.all_agree(&[0, 1, 2, 3, 4]).await;
}

/// Whoever passes on nonsense costs others attempts: nobody is lost by it, and nobody is taken for somebody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lies_about_places_lead_nobody_astray() {
    let mut group = Group::new(3, usual).await;
    let [first, second, third] = [0, 1, 2].map(|at| group.seats[at].member);
    let lies = [(first, "seat-2"), (second, "nowhere"), (third, "seat-1"), (MemberId(7), "seat-2")];
    let lies = lies.map(|(member, contact)| (member, contact.to_owned()));
    let cluster = group.seats[0].status().cluster;
    let mut liar = call(&group.seats[0], third);
    liar.write_all(&hello(cluster, third, first)).await.unwrap();
    liar.write_all(&Frame::Contacts(lies.into()).encode(cluster)).await.unwrap();
    for at in [1, 2] {
        group.stop(at).await;
        group.restart(at);
    }
    for at in 0..3 {
        group.seats[at].insist(Notes::line(at)).await;
    }
    group.all_agree(&[0, 1, 2]).await;
}
