//! Many masters that have seen more or less of the state, and write at once: whatever the log makes of it, no quota is oversold.
#![expect(clippy::unwrap_used, reason = "tests")]

use api::{core_v1, kinds::Resource as _, meta_v1};
use store::State;

use super::*;
use crate::decide::{self, Rules, Stamp};

/// Chance, as a number that is folded again and again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.rotate_left(7).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (self.0 >> 29);
        self.0.wrapping_add(0x51_7C) % sides
    }
}

fn named<T: api::kinds::Resource>(mut object: T, name: &str) -> T {
    object.metadata_mut().name = name.to_owned();
    object.metadata_mut().namespace = "default".to_owned();
    object
}

fn quota(name: &str, pods: u64) -> core_v1::ResourceQuota {
    let hard = [("count/configmaps".to_owned(), meta_v1::Quantity { string: pods.to_string() })].into();
    let spec = Some(core_v1::ResourceQuotaSpec { hard, ..Default::default() });
    named(core_v1::ResourceQuota { spec, ..Default::default() }, name)
}

/// A transaction on its way to the log, and the object that it creates.
struct Flight {
    txn: store::Txn,
    creates: bool,
}

struct Game {
    state: State,
    /// What each master has seen last.
    seen: Vec<View>,
    flights: Vec<Flight>,
    dice: Dice,
    turn: u64,
}

impl Game {
    fn new(seed: u64) -> Self {
        let mut state = State::default();
        let namespace = core_v1::Namespace {
            metadata: Some(meta_v1::ObjectMeta { name: "default".to_owned(), ..Default::default() }),
            ..Default::default()
        };
        let object = Object::from(namespace);
        let op = Op::Put { key: object.key(), bytes: object.encode_bytes(), expect: Expect::Any };
        state.apply(&store::Txn { ops: vec![op] }).unwrap();
        let seen = vec![state.view(); 3];
        Self { state, seen, flights: Vec::new(), dice: Dice(seed | 1), turn: 0 }
    }

    /// Decides a write as a master that may know little of what happened.
    fn decide(&mut self, write: &Write, master: usize) {
        let view = self.seen[master].clone();
        self.turn += 1;
        let stamp = Stamp { now: Timestamp(0), uid: format!("u{}", self.turn), random: self.turn * 31, attempt: 0 };
        let rules = Rules { service_cidr: "127.128.0.0/12".parse().unwrap() };
        let write = recounted(&view, Cow::Borrowed(write), Timestamp(0));
        let Ok(mut decision) = decide::decide(&view, &write, write.key().kind.into(), &stamp, &rules) else { return };
        if decision.fate == Fate::Unchanged {
            return;
        }
        let creates = decision.fate == Fate::Created && decision.object.kind() == Kind::ConfigMap;
        if is_recount(&write) {
            decision.txn.ops.extend(still(&view, &write.key()));
        }
        if let Some(bill) = Bill::of(&view, &write, &decision) {
            let Ok(ops) = bill.charge(&view, Timestamp(0)) else { return };
            decision.txn.ops.extend(ops);
        }
        self.flights.push(Flight { txn: decision.txn, creates });
    }

    fn act(&mut self) {
        let master = usize::try_from(self.dice.below(3)).unwrap();
        let name = format!("m{}", self.dice.below(12));
        match self.dice.below(12) {
            0..=4 => self.decide(&Write::Create(named(core_v1::ConfigMap::default(), &name).into()), master),
            5 => {
                let key = Key::namespaced(Kind::ConfigMap, "default", name);
                self.decide(&Write::Delete(key, api::DeleteOptions::default()), master);
            }
            6 => {
                let most = self.dice.below(6);
                let name = format!("q{}", self.dice.below(2));
                self.decide(&Write::Create(quota(&name, most).into()), master);
            }
            7 => {
                let name = format!("q{}", self.dice.below(2));
                self.decide(&Write::Update(quota(&name, 0).into(), Subresource::Status), master);
            }
            8 => self.seen[master] = self.state.view(),
            _ => self.land(),
        }
    }

    /// The log takes any of what is on its way.
    fn land(&mut self) {
        let count = self.flights.len() as u64;
        if count == 0 {
            return;
        }
        let index = usize::try_from(self.dice.below(count)).unwrap();
        let Flight { txn, creates } = self.flights.swap_remove(index);
        let counted_before = self.counted();
        if self.state.apply(&txn).is_ok() {
            self.check(creates, &counted_before);
        }
    }

    /// The quotas that somebody has counted: their most, and what they say to be used.
    fn counted(&self) -> Vec<(String, i128, i128)> {
        let view = self.state.view();
        let quotas = view.list(Kind::ResourceQuota, None, None).map(|record| record.object());
        let read = |list: &std::collections::BTreeMap<String, meta_v1::Quantity>| {
            Some(api::quantity::Quantity::try_from(list.get("count/configmaps")?).unwrap().whole())
        };
        quotas
            .filter_map(|object| {
                let quota = object.get::<ResourceQuota>().unwrap();
                let status = quota.status.as_ref()?;
                Some((quota.name().to_owned(), read(&status.hard)?, read(&status.used)?))
            })
            .collect()
    }

    fn check(&self, creates: bool, counted_before: &[(String, i128, i128)]) {
        let present = self.state.view().count(Kind::ConfigMap) as i128;
        for (name, hard, used) in self.counted() {
            assert!(used >= present, "{name} says {used}, and there are {present}");
            // What came before a quota was counted may be more than it allows; nothing is added to that.
            let was_counted = counted_before.iter().any(|(other, ..)| *other == name);
            assert!(!(creates && was_counted) || present <= hard, "{present} of {hard}");
        }
    }
}

#[test]
fn whatever_masters_have_seen_no_quota_is_oversold() {
    let (mut created, mut refused) = (0, 0);
    for seed in 1..400 {
        let mut game = Game::new(seed * 0x51_7C_C1);
        for _ in 0..150 {
            let before = game.state.view().count(Kind::ConfigMap);
            let flying = game.flights.len();
            game.act();
            created += usize::from(game.state.view().count(Kind::ConfigMap) > before);
            refused += usize::from(game.flights.len() < flying && game.state.view().count(Kind::ConfigMap) == before);
        }
    }
    assert!(created > 1_000 && refused > 1_000, "{created} created, {refused} refused");
}

#[test]
fn a_master_that_has_not_heard_of_a_quota_is_told_by_the_log() {
    let mut game = Game::new(1);
    game.decide(&Write::Create(quota("q0", 0).into()), 0);
    game.land();
    game.seen[0] = game.state.view();
    game.decide(&Write::Update(quota("q0", 0).into(), Subresource::Status), 0);
    game.land();
    assert_eq!(game.counted(), [("q0".to_owned(), 0, 0)]);
    game.decide(&Write::Create(named(core_v1::ConfigMap::default(), "late").into()), 1);
    game.land();
    assert_eq!(game.state.view().count(Kind::ConfigMap), 0);
}

#[test]
fn what_was_created_while_somebody_counted_is_counted() {
    let mut game = Game::new(1);
    game.decide(&Write::Create(quota("q0", 1).into()), 0);
    game.land();
    game.seen.fill(game.state.view());
    game.decide(&Write::Create(named(core_v1::ConfigMap::default(), "early").into()), 1);
    game.decide(&Write::Update(quota("q0", 1).into(), Subresource::Status), 0);
    // The count was decided before, and reaches the log after.
    let count = game.flights.pop().unwrap();
    game.land();
    assert!(game.state.apply(&count.txn).is_err());
}
