//! Where other members are reached, as far as this one knows: what they said when they called, what the group agreed on, and
//! what others heard from them.
//!
//! Two who moved at once know each other's old places only, and neither can call the other. Whoever is still called by both has
//! heard from each where it is, and passes that on. What is passed on is only what was heard at first hand, in this life: so
//! rumours die, and who is introduced calls, and is from then on known at first hand. It counts least: a place is tried when
//! nobody answers at those that are known better. Nothing tells which of two places is newer, and nothing needs to: whoever is
//! called proves who it is, so a wrong place costs an attempt.

use std::collections::BTreeMap;

use crate::{MemberId, Members};

/// Most callers that are remembered beside the members: somebody who joins calls, and must be answered, before this member
/// hears that it was added.
const STRANGERS_MAX: usize = 16;

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Contacts {
    members: Members,
    /// Where each caller said that it is reached. Who calls was proven, and knows best; one that moved can say so to the group
    /// only when it is answered at its new place.
    said: BTreeMap<MemberId, String>,
    /// What each caller passed on of others, the last time.
    told: BTreeMap<MemberId, BTreeMap<MemberId, String>>,
}

impl Contacts {
    /// Where the group says that a member is reached.
    pub(super) fn agreed(&self, member: MemberId) -> Option<&String> {
        self.members.contacts.get(&member)
    }

    /// The group agreed. What it agreed anew is newer than what somebody said before.
    pub(super) fn agree(&mut self, members: &Members) {
        let before = std::mem::replace(&mut self.members, members.clone());
        let now = &self.members.contacts;
        self.said.retain(|caller, said| {
            let (then, now) = (before.contacts.get(caller), now.get(caller));
            then.is_none() || now == then || now == Some(&*said)
        });
        self.told.retain(|caller, _| self.members.contains(*caller) || !before.contains(*caller));
    }

    /// A caller says where it is; false if that is no news.
    pub(super) fn say(&mut self, caller: MemberId, contact: String) -> bool {
        if contact.is_empty() || self.said.get(&caller) == Some(&contact) {
            return false;
        }
        make_room(&mut self.said, &self.members, caller);
        self.said.insert(caller, contact);
        true
    }

    /// A caller passes on what it heard; false if that is no news.
    pub(super) fn tell(&mut self, caller: MemberId, contacts: BTreeMap<MemberId, String>) -> bool {
        if self.told.get(&caller) == Some(&contacts) {
            return false;
        }
        make_room(&mut self.told, &self.members, caller);
        self.told.insert(caller, contacts);
        true
    }

    /// What is passed on.
    pub(super) fn heard(&self) -> BTreeMap<MemberId, String> {
        let members = self.said.iter().filter(|(caller, _)| self.members.contains(**caller));
        members.map(|(caller, contact)| (*caller, contact.clone())).collect()
    }

    /// Whom to call, and where each may be reached, the likeliest first. Nobody is called of whom only others speak.
    pub(super) fn places(&self, own: MemberId) -> BTreeMap<MemberId, Vec<String>> {
        let mut places: BTreeMap<MemberId, Vec<String>> = BTreeMap::new();
        let known = self.said.iter().chain(&self.members.contacts);
        let told = self.told.values().flatten().filter(|(member, _)| self.members.contains(**member));
        for (member, contact) in known.chain(told).filter(|(member, contact)| **member != own && !contact.is_empty()) {
            let places = places.entry(*member).or_default();
            if !places.contains(contact) {
                places.push(contact.clone());
            }
        }
        places
    }
}

/// Makes room for something of a caller: members are few, others must not be many.
fn make_room<T>(of: &mut BTreeMap<MemberId, T>, members: &Members, caller: MemberId) {
    let mut strangers = of.keys().copied().filter(|known| !members.contains(*known));
    if members.contains(caller) || of.contains_key(&caller) {
        return;
    }
    if let (Some(first), true) = (strangers.next(), strangers.count() + 1 >= STRANGERS_MAX) {
        of.remove(&first);
    }
}

/// The places of one peer, and the one that is tried.
#[derive(Debug, Default)]
pub(super) struct Places {
    list: Vec<String>,
    at: usize,
}

impl Places {
    pub(super) fn new(list: Vec<String>) -> Self {
        Self { list, at: 0 }
    }

    /// Where to call.
    pub(super) fn current(&self) -> &str {
        self.list.get(self.at).map_or("", String::as_str)
    }

    /// Other places are known; true if the peer is to be called elsewhere at once, because the likeliest has changed. What
    /// others pass on ends no connection.
    pub(super) fn renew(&mut self, mut list: Vec<String>) -> bool {
        let before = self.current().to_owned();
        let is_likeliest_as_before = self.list.first() == list.first();
        let again = list.iter().position(|place| *place == before);
        self.at = match again {
            Some(at) if is_likeliest_as_before => at,
            // Nobody speaks of it any more, but it may be where the peer is.
            None if is_likeliest_as_before => {
                list.push(before.clone());
                list.len() - 1
            }
            Some(_) | None => 0,
        };
        self.list = list;
        self.current() != before
    }

    /// The peer was not reached at a place: the next is tried.
    pub(super) fn give_up(&mut self, place: &str) {
        if self.current() == place {
            self.at = (self.at + 1) % self.list.len().max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: MemberId = MemberId(1);
    const PEER: MemberId = MemberId(2);
    const THIRD: MemberId = MemberId(3);

    fn members(contacts: &[(MemberId, &str)]) -> Members {
        let voters = contacts.iter().map(|(member, _)| *member).collect();
        Members { voters, contacts: pairs(contacts), ..Members::default() }
    }

    fn pairs(contacts: &[(MemberId, &str)]) -> BTreeMap<MemberId, String> {
        contacts.iter().map(|(member, contact)| (*member, (*contact).to_owned())).collect()
    }

    fn group() -> Contacts {
        let mut contacts = Contacts::default();
        contacts.agree(&members(&[(OWN, "own"), (PEER, "peer"), (THIRD, "third")]));
        contacts
    }

    fn of_peer(contacts: &Contacts) -> Vec<String> {
        contacts.places(OWN).remove(&PEER).unwrap_or_default()
    }

    #[test]
    fn what_a_member_says_counts_more_than_what_is_agreed_and_hearsay_least() {
        let mut contacts = group();
        assert!(contacts.tell(THIRD, pairs(&[(PEER, "hearsay"), (OWN, "own?"), (MemberId(9), "stranger")])));
        assert_eq!(contacts.places(OWN).into_keys().collect::<Vec<_>>(), [PEER, THIRD], "of whom only others speak");
        assert_eq!(of_peer(&contacts), ["peer", "hearsay"]);
        assert!(contacts.say(PEER, "moved".into()) && !contacts.say(PEER, "moved".into()));
        assert_eq!(of_peer(&contacts), ["moved", "peer", "hearsay"]);
        // What was told before does not count any more.
        assert!(contacts.tell(THIRD, pairs(&[(PEER, "moved")])) && !contacts.tell(THIRD, pairs(&[(PEER, "moved")])));
        assert_eq!(of_peer(&contacts), ["moved", "peer"]);
    }

    #[test]
    fn what_is_agreed_anew_counts_more_than_what_was_said_before() {
        let mut contacts = group();
        contacts.say(PEER, "moved".into());
        contacts.agree(&members(&[(OWN, "own"), (PEER, "elsewhere"), (THIRD, "third")]));
        assert_eq!((of_peer(&contacts), contacts.heard()), (vec!["elsewhere".into()], pairs(&[])));
        contacts.say(PEER, "again".into());
        contacts.agree(&members(&[(OWN, "own"), (PEER, "again"), (THIRD, "third")]));
        assert_eq!(contacts.heard(), pairs(&[(PEER, "again")]), "who lags behind the group needs to hear it");
    }

    #[test]
    fn only_what_members_said_themselves_is_passed_on() {
        let mut contacts = group();
        contacts.tell(THIRD, pairs(&[(PEER, "hearsay")]));
        contacts.say(MemberId(9), "joins".into());
        assert_eq!(contacts.heard(), pairs(&[]));
        assert_eq!(contacts.places(OWN)[&MemberId(9)], ["joins"], "who joins is answered");
        contacts.say(THIRD, "third".into());
        assert_eq!(contacts.heard(), pairs(&[(THIRD, "third")]));
        contacts.agree(&members(&[(OWN, "own"), (PEER, "peer")]));
        assert_eq!((contacts.heard(), of_peer(&contacts)), (pairs(&[]), vec!["peer".into()]), "who left says nothing");
    }

    #[test]
    fn strangers_are_few_and_displace_no_member() {
        let mut contacts = group();
        contacts.say(PEER, "moved".into());
        contacts.tell(THIRD, pairs(&[(PEER, "hearsay")]));
        for stranger in 100..200 {
            contacts.say(MemberId(stranger), "s".into());
            contacts.tell(MemberId(stranger), pairs(&[(PEER, "lie")]));
        }
        assert_eq!((contacts.said.len(), contacts.told.len()), (1 + STRANGERS_MAX, 1 + STRANGERS_MAX));
        assert_eq!(of_peer(&contacts), ["moved", "peer", "hearsay", "lie"]);
    }

    #[test]
    fn places_are_tried_in_turn() {
        let list = |places: &[&str]| places.iter().map(|place| (*place).to_owned()).collect::<Vec<_>>();
        let mut places = Places::new(list(&["a", "b"]));
        places.give_up("a");
        places.give_up("a");
        assert_eq!(places.current(), "b", "two lanes give up one place");
        assert!(!places.renew(list(&["a", "c", "b"])));
        assert_eq!(places.current(), "b");
        // Hearsay that was taken back does not end what may stand.
        assert!(!places.renew(list(&["a"])));
        assert_eq!(places.current(), "b");
        places.give_up("b");
        assert_eq!(places.current(), "a");
        assert!(!places.renew(list(&["a", "d"])), "hearsay ends nothing");
        assert!(places.renew(list(&["e", "a"])));
        assert_eq!(places.current(), "e");
        places.give_up("e");
        assert!(!places.renew(list(&["a"])), "the peer says that it is where it was called already");
        assert_eq!(places.current(), "a");
    }
}
