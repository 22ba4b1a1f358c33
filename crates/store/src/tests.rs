//! Stories about the state, its history and its snapshots.
#![expect(clippy::unwrap_used, reason = "tests")]

mod custom;

use std::sync::Arc;

use api::{ChangeType, Key, Kind, Object, Revision, core_v1, kinds::Resource as _, well_known::ROOT_CA_CONFIG_MAP};
use consensus::Machine as _;
use proptest::prelude::*;

use crate::{EVENTS_MAX, Event, Expect, Expired, Machine, Op, Refusal, State, Txn, View, new};

fn key(name: &str) -> Key {
    Key::namespaced(Kind::ConfigMap, "default", name)
}

fn put(name: &str, value: &str, expect: Expect) -> Op {
    let mut map = core_v1::ConfigMap { data: [("v".to_owned(), value.to_owned())].into(), ..Default::default() };
    map.metadata_mut().name = name.to_owned();
    map.metadata_mut().namespace = "default".to_owned();
    Op::Put { key: key(name), bytes: Object::from(map).encode_bytes(), expect }
}

fn one(op: Op) -> Txn {
    Txn { ops: vec![op] }
}

fn feed(machine: &mut Machine, txn: &Txn) {
    machine.apply(0, txn.encode()).unwrap();
    machine.show();
}

fn told(events: &[std::sync::Arc<Event>]) -> Vec<String> {
    events.iter().map(|event| format!("{:?} {} @{}", event.change, event.record.key.name, event.revision())).collect()
}

#[test]
fn a_transaction_happens_whole_or_not_at_all() {
    let mut state = State::default();
    state.apply(&one(put("a", "1", Expect::Absent))).unwrap();
    let before = state.view();

    let both = Txn { ops: vec![put("b", "1", Expect::Absent), put("a", "2", Expect::Absent)] };

    assert_eq!(state.apply(&both).unwrap_err(), Refusal::Exists(key("a")));
    assert_eq!(state.view().revision(), before.revision());
    assert!(state.view().get(&key("b")).is_none());
}

#[test]
fn expectations_name_what_they_found() {
    let mut state = State::default();
    state.apply(&one(put("a", "1", Expect::Any))).unwrap();
    state.apply(&one(put("a", "2", Expect::Revision(Revision(1))))).unwrap();

    let changed = Refusal::Changed { key: key("a"), current: Revision(2) };
    assert_eq!(state.apply(&one(put("a", "3", Expect::Revision(Revision(1))))).unwrap_err(), changed);
    let missing = Refusal::Missing(key("b"));
    assert_eq!(state.apply(&one(put("b", "3", Expect::Revision(Revision(1))))).unwrap_err(), missing);
    assert_eq!(state.apply(&one(Op::Delete { key: key("b"), expect: Expect::Any })).unwrap_err(), missing);
}

#[test]
fn a_claimed_name_has_one_owner_until_it_is_released() {
    let mut state = State::default();
    let claim = |owner| one(Op::Claim { name: "ip/10.0.0.1".into(), owner: key(owner) });
    state.apply(&claim("a")).unwrap();
    state.apply(&claim("a")).unwrap();

    let refusal = Refusal::Claimed { name: "ip/10.0.0.1".into(), owner: key("a") };
    assert_eq!(state.apply(&claim("b")).unwrap_err(), refusal);

    state.apply(&one(Op::Release { name: "ip/10.0.0.1".into() })).unwrap();
    state.apply(&claim("b")).unwrap();
    assert_eq!(state.view().claim("ip/10.0.0.1"), Some(&key("b")));
}

/// Masters compare digests to find out that one of them computed something else.
#[test]
fn a_digest_tells_histories_apart_and_survives_a_snapshot() {
    let digest = |txns: &[Txn]| {
        let (mut machine, _) = new();
        txns.iter().for_each(|txn| feed(&mut machine, txn));
        machine.digest()
    };
    let claim = |owner| one(Op::Claim { name: "ip/10.0.0.1".into(), owner: key(owner) });
    let (a, b) = (one(put("a", "1", Expect::Any)), one(put("b", "1", Expect::Any)));
    let all = [a.clone(), b.clone(), claim("a")];
    let others = [
        vec![],
        vec![a.clone(), b.clone()],
        vec![b.clone(), a.clone(), claim("a")],
        vec![a.clone(), b.clone(), claim("b")],
        vec![one(put("a", "2", Expect::Any)), b, claim("a")],
        [&all[..], &[one(Op::Delete { key: key("a"), expect: Expect::Any })]].concat(),
    ];
    assert_eq!(digest(&all), digest(&all));
    others.iter().for_each(|other| assert_ne!(digest(&all), digest(other), "{other:?}"));

    let (mut machine, _) = new();
    all.iter().for_each(|txn| feed(&mut machine, txn));
    let mut bytes = Vec::new();
    machine.snapshot()(&mut bytes).unwrap();
    let (mut restored, _) = new();
    restored.restore(&mut bytes.as_slice()).unwrap();
    assert_eq!(restored.digest(), machine.digest());
    [&mut machine, &mut restored].into_iter().for_each(|machine| feed(machine, &a));
    assert_eq!(restored.digest(), machine.digest());
}

#[test]
fn a_record_tells_its_revision_as_resource_version() {
    let mut state = State::default();
    state.apply(&one(put("a", "1", Expect::Any))).unwrap();
    state.apply(&one(put("a", "2", Expect::Any))).unwrap();

    let view = state.view();
    let record = view.get(&key("a")).unwrap();
    assert_eq!((record.created, record.revision), (Revision(1), Revision(2)));
    assert_eq!(record.object().revision(), Some(Revision(2)));
}

#[test]
fn lists_are_ordered_and_can_be_resumed_after_any_key() {
    let mut state = State::default();
    for name in ["c", "a", "b"] {
        state.apply(&one(put(name, "1", Expect::Any))).unwrap();
    }
    let view = state.view();
    let names = |namespace, after: Option<&Key>| -> Vec<String> {
        view.list(Kind::ConfigMap, namespace, after).map(|record| record.key.name.to_string()).collect()
    };
    assert_eq!(names(Some("default"), None), ["a", "b", "c"]);
    assert_eq!(names(None, Some(&key("a"))), ["b", "c"]);
    assert!(names(Some("other"), None).is_empty());
    assert!(view.list(Kind::Pod, None, None).next().is_none());
}

#[tokio::test]
async fn a_watch_sees_every_change_once_and_in_order() {
    let (mut machine, store) = new();
    feed(&mut machine, &one(put("a", "1", Expect::Any)));
    let mut watch = store.watch(&[Kind::ConfigMap, Kind::Secret], Revision(0)).unwrap();
    feed(&mut machine, &one(put("a", "2", Expect::Any)));
    feed(&mut machine, &one(Op::Delete { key: key("a"), expect: Expect::Any }));

    assert_eq!(told(&watch.next().await.unwrap()), ["Added a @1", "Modified a @2", "Deleted a @3"]);
    assert!(watch.ready().unwrap().is_empty());

    feed(&mut machine, &one(put("a", "3", Expect::Any)));
    assert_eq!(told(&watch.next().await.unwrap()), ["Added a @4"]);
}

#[tokio::test]
async fn a_deletion_carries_the_last_state_under_its_own_revision() {
    let (mut machine, store) = new();
    feed(&mut machine, &one(put("a", "last words", Expect::Any)));
    feed(&mut machine, &one(Op::Delete { key: key("a"), expect: Expect::Any }));

    let events = store.watch(&[Kind::ConfigMap], Revision(1)).unwrap().next().await.unwrap();

    assert_eq!(events[0].change, ChangeType::Deleted);
    let object = events[0].record.object();
    assert_eq!(object.revision(), Some(Revision(2)));
    assert_eq!(object.get::<core_v1::ConfigMap>().unwrap().data["v"], "last words");
}

#[test]
fn a_watcher_that_the_ring_has_passed_is_told_to_list_again() {
    let (mut machine, store) = new();
    let mut slow = store.watch(&[Kind::ConfigMap], Revision(0)).unwrap();
    for _ in 0..=EVENTS_MAX {
        feed(&mut machine, &one(put("a", "1", Expect::Any)));
    }
    assert_eq!(slow.ready().unwrap_err().floor, Revision(1));
    assert!(store.watch(&[Kind::ConfigMap], Revision(0)).is_err());
    assert!(store.watch(&[Kind::ConfigMap], Revision(1)).is_ok());
}

#[test]
fn a_watcher_far_behind_two_kinds_catches_up_in_batches_without_gaps() {
    let (mut machine, store) = new();
    let mut watch = store.watch(&[Kind::ConfigMap, Kind::Secret], Revision(0)).unwrap();
    let secret = Key::namespaced(Kind::Secret, "default", "s");
    for n in 0..5000 {
        let bytes = Object::empty(Kind::Secret).encode_bytes();
        let rare = Op::Put { key: secret.clone(), bytes, expect: Expect::Any };
        feed(&mut machine, &one(if n % 7 == 0 { rare } else { put("a", "1", Expect::Any) }));
    }
    let mut seen = Vec::new();
    while let Some(batch) = Some(watch.ready().unwrap()).filter(|batch| !batch.is_empty()) {
        seen.extend(batch.iter().map(|event| event.revision().0));
    }
    assert_eq!(seen, (1..=5000).collect::<Vec<_>>());
}

#[test]
fn a_snapshot_gives_the_same_state_and_ends_older_watches() {
    let (mut machine, store) = new();
    feed(&mut machine, &Txn { ops: vec![put("a", "1", Expect::Any), put("b", "2", Expect::Any)] });
    feed(&mut machine, &one(Op::Claim { name: "ip/10.0.0.1".into(), owner: key("a") }));
    let mut bytes = Vec::new();
    machine.snapshot()(&mut bytes).unwrap();

    let (mut other, copy) = new();
    other.restore(&mut bytes.as_slice()).unwrap();

    assert_eq!(copy.view().revision(), store.view().revision());
    assert_eq!(copy.view().bytes(), store.view().bytes());
    assert_eq!(copy.view().claim("ip/10.0.0.1"), Some(&key("a")));
    assert_eq!(copy.view().get(&key("b")).unwrap().bytes, store.view().get(&key("b")).unwrap().bytes);
    assert!(copy.watch(&[Kind::ConfigMap], Revision(1)).is_err());
    assert!(copy.watch(&[Kind::ConfigMap], Revision(2)).is_ok());
}

proptest! {
    #[test]
    fn a_transaction_survives_the_log(names in proptest::collection::vec("[a-z]{1,8}", 0..8), revision in any::<u64>()) {
        let ops = names.iter().enumerate().map(|(n, name)| match n % 4 {
            0 => put(name, "x", Expect::Revision(Revision(revision))),
            1 => Op::Delete { key: key(name), expect: Expect::Any },
            2 => Op::Claim { name: name.clone(), owner: key(name) },
            _ => Op::Release { name: name.clone() },
        });
        let txn = Txn { ops: ops.collect() };
        prop_assert_eq!(Txn::decode(txn.encode()).unwrap(), txn);
    }

    #[test]
    fn garbage_is_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Txn::decode(bytes.clone().into());
        let _ = new().0.restore(&mut bytes.as_slice());
    }
}

#[test]
fn history_says_the_same_after_it_has_cooled() {
    let (mut machine, store) = new();
    let mut warm = store.watch(&[Kind::ConfigMap], Revision(0)).unwrap();
    let mut heard = Vec::new();
    for n in 0..300_u32 {
        let name = format!("name-{}", n % 7);
        feed(&mut machine, &one(put(&name, &n.to_string(), Expect::Any)));
        if n % 50 == 49 {
            feed(&mut machine, &one(Op::Delete { key: key(&name), expect: Expect::Any }));
        }
        heard.extend(warm.ready().unwrap());
    }
    let cold = store.watch(&[Kind::ConfigMap], Revision(0)).unwrap().ready().unwrap();
    let all = |events: &[std::sync::Arc<Event>]| -> Vec<_> {
        let seen =
            |event: &Event| (event.change, event.record.object(), event.before.as_ref().map(|before| before.object()));
        events.iter().map(|event| seen(event)).collect()
    };
    assert_eq!(all(&cold), all(&heard));
}

/// A decoded Pod takes several times the memory of its bytes, and there may be very many.
#[test]
fn a_pod_stays_decoded_while_it_is_news_or_somebody_holds_it() {
    let (mut machine, store) = new();
    let key = |n: u32| Key::namespaced(Kind::Pod, "default", format!("pod-{n}"));
    for n in 0..100 {
        let mut pod = core_v1::Pod::default();
        (pod.metadata_mut().name, pod.metadata_mut().namespace) = (format!("pod-{n}"), "default".to_owned());
        let bytes = Object::from(pod).encode_bytes();
        feed(&mut machine, &one(Op::Put { key: key(n), bytes, expect: Expect::Absent }));
        drop(store.view().get(&key(n)).unwrap().object());
    }
    let is_kept = |n: u32| {
        let record = store.view().get(&key(n)).unwrap().clone();
        let first = Arc::downgrade(&record.object());
        first.upgrade().is_some()
    };
    assert_eq!((is_kept(0), is_kept(99)), (false, true));
    let held = store.view().get(&key(0)).unwrap().object();
    assert!(Arc::ptr_eq(&held, &store.view().get(&key(0)).unwrap().object()));
    assert_eq!(held.key(), key(0));
}

#[test]
fn the_records_of_an_object_share_its_name() {
    let mut state = State::default();
    let mut put = || state.apply(&one(put("a", "1", Expect::Any))).unwrap().records[0].clone().unwrap();
    let (first, second) = (put(), put());
    assert!(Arc::ptr_eq(&first.key.name, &second.key.name));
}

#[test]
fn a_step_forward_ends_what_was_watched_before() {
    let (mut machine, store) = new();
    feed(&mut machine, &one(put("a", "1", Expect::Any)));
    let mut watch = store.watch(&[Kind::ConfigMap], Revision(0)).unwrap();
    feed(&mut machine, &one(Op::Advance { by: 1000 }));
    assert_eq!(store.view().revision(), Revision(1001));
    assert_eq!(watch.ready().unwrap_err().floor, Revision(1001));
    assert!(store.watch(&[Kind::ConfigMap], Revision(1000)).is_err());
    let mut fresh = store.watch(&[Kind::ConfigMap], Revision(1001)).unwrap();
    feed(&mut machine, &one(put("a", "2", Expect::Revision(Revision(1)))));
    assert_eq!(told(&fresh.ready().unwrap()), ["Modified a @1002"]);
}

#[test]
fn an_outline_says_who_a_bulk_object_is_and_no_more() {
    let mut state = State::default();
    let mut map = core_v1::ConfigMap { data: [("v".to_owned(), "1".to_owned())].into(), ..Default::default() };
    let metadata = map.metadata_mut();
    metadata.name = "a".to_owned();
    metadata.namespace = "default".to_owned();
    metadata.uid = "u".to_owned();
    metadata.finalizers = vec!["example.com/wait".to_owned()];
    metadata.owner_references = vec![Default::default()];
    let mut expected = map.clone();
    expected.data.clear();
    expected.metadata_mut().resource_version = "1".to_owned();
    map.metadata_mut().annotations.insert("long".to_owned(), "text".to_owned());
    let bytes = Object::from(map).encode_bytes();
    let applied = state.apply(&one(Op::Put { key: key("a"), bytes, expect: Expect::Absent })).unwrap();

    let record = applied.records[0].as_ref().unwrap();

    assert_eq!(*record.outline(), Object::from(expected));
    assert_eq!(record.object().get::<core_v1::ConfigMap>().unwrap().data["v"], "1");
    assert_eq!(applied.events[0].observation().object.decoded(), record.outline());
}

#[test]
fn the_one_config_map_that_a_controller_compares_is_outlined_whole() {
    let mut state = State::default();
    let applied = state.apply(&one(put(ROOT_CA_CONFIG_MAP, "1", Expect::Absent))).unwrap();
    let record = applied.records[0].as_ref().unwrap();
    assert_eq!(record.outline(), record.object());
}

#[test]
fn what_is_applied_is_seen_when_it_is_shown() {
    let (mut machine, store) = new();
    let mut watch = store.watch(&[Kind::ConfigMap], Revision(0)).unwrap();
    for value in ["1", "2"] {
        machine.apply(0, one(put("a", value, Expect::Any)).encode()).unwrap();
    }
    assert_eq!((store.view().revision(), watch.ready().unwrap().len()), (Revision(0), 0));

    machine.show();

    assert_eq!(store.view().revision(), Revision(2));
    assert_eq!(told(&watch.ready().unwrap()), ["Added a @1", "Modified a @2"]);
}

#[test]
fn an_earlier_state_is_rebuilt_as_far_as_history_reaches() {
    let (mut machine, store) = new();
    let mut states = vec![store.view()];
    for n in 0..200_u32 {
        let name = format!("name-{}", n * n % 7);
        let op = match n % 5 {
            3 if store.view().get(&key(&name)).is_some() => Op::Delete { key: key(&name), expect: Expect::Any },
            _ => put(&name, &n.to_string(), Expect::Any),
        };
        feed(&mut machine, &one(op));
        states.push(store.view());
    }
    for state in &states {
        let rebuilt = store.view_at(Kind::ConfigMap, state.revision()).unwrap();
        assert_eq!(rebuilt.revision(), state.revision());
        assert_eq!(listed(&rebuilt), listed(state));
        assert_eq!(rebuilt.bytes_of(Kind::ConfigMap), state.bytes_of(Kind::ConfigMap));
    }
    feed(&mut machine, &one(Op::Advance { by: 1000 }));
    let now = store.view().revision();
    assert_eq!(
        store.view_at(Kind::ConfigMap, Revision(200)).unwrap_err(),
        Expired { asked: Revision(200), floor: now }
    );
    assert_eq!(listed(&store.view_at(Kind::ConfigMap, now).unwrap()), listed(&store.view()));
}

/// The ConfigMaps of a state: what they are called, their revisions and since when they exist.
fn listed(view: &View) -> Vec<(String, Revision, Revision)> {
    let records = view.list(Kind::ConfigMap, None, None);
    records.map(|record| (record.key.to_string(), record.revision, record.created)).collect()
}
