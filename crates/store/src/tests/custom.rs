//! Objects of kinds that users define: in the log, in snapshots, and in the history that all such kinds share.

use api::{
    meta_v1::ObjectMeta,
    object::{CustomKind, KindName},
};

use super::*;

fn kind(name: &str) -> Kind {
    Kind::Custom(CustomKind::of(&KindName {
        group: "store.test".to_owned(),
        plural: format!("{}s", name.to_lowercase()),
        kind: name.to_owned(),
        namespaced: true,
    }))
}

fn custom(of: Kind, name: &str) -> Op {
    let mut object = Object::empty(of);
    *object.metadata_mut() =
        ObjectMeta { name: name.to_owned(), namespace: "default".to_owned(), ..Default::default() };
    object.custom_mut().unwrap().content = format!("{{\"spec\":\"{name}\"}}").into();
    Op::Put { key: object.key(), bytes: object.encode_bytes(), expect: Expect::Any }
}

fn delete(of: Kind, name: &str) -> Op {
    Op::Delete { key: Key::namespaced(of, "default", name), expect: Expect::Any }
}

fn names(state: &State, of: Kind) -> Vec<String> {
    state.view().list(of, None, None).map(|record| record.key.name.to_string()).collect()
}

#[test]
fn they_are_kept_and_listed_by_their_kind() {
    let (widget, gadget) = (kind("Widget"), kind("Gadget"));
    let mut state = State::default();
    let empty = state.view().objects(widget);
    assert!(!empty.are_those_of(&state.view(), widget), "nothing is there to compare");
    for op in [custom(widget, "b"), custom(gadget, "x"), custom(widget, "a")] {
        state.apply(&one(op)).unwrap();
    }
    assert_eq!((names(&state, widget), names(&state, gadget)), (vec!["a".into(), "b".into()], vec!["x".into()]));
    assert_eq!(state.view().kinds().skip(Kind::ALL.len()).collect::<Vec<_>>(), [gadget, widget], "ordered by name");
    let record = state.view().get(&Key::namespaced(widget, "default", "a")).unwrap().object();
    assert_eq!((record.kind(), record.custom().unwrap().members()["spec"].as_str()), (widget, Some("a")));
    let (before, gadgets) = (state.view().objects(widget), state.view().objects(gadget));
    state.apply(&one(delete(widget, "a"))).unwrap();
    assert!(!before.are_those_of(&state.view(), widget) && gadgets.are_those_of(&state.view(), gadget));
    state.apply(&one(delete(widget, "b"))).unwrap();
    assert_eq!(state.view().kinds().last(), Some(gadget), "a kind without objects takes no room");
    assert_eq!((state.view().count(widget), state.view().bytes_of(widget) > 0), (0, true));
    state.apply(&one(delete(gadget, "x"))).unwrap();
    assert_eq!(state.view().bytes_of(widget), 0);
}

#[test]
fn they_come_back_from_the_log_and_from_a_snapshot() {
    let txn = Txn { ops: vec![custom(kind("Widget"), "a"), delete(kind("Widget"), "a"), custom(kind("Gadget"), "b")] };
    assert_eq!(Txn::decode(txn.encode()).unwrap(), txn);
    let (mut machine, store) = new();
    txn.ops.into_iter().for_each(|op| feed(&mut machine, &one(op)));
    let mut bytes = Vec::new();
    machine.snapshot()(&mut bytes).unwrap();
    let (mut other, again) = new();
    other.restore(&mut bytes.as_slice()).unwrap();
    let records = |view: &crate::View| {
        let all = view.kinds().flat_map(|kind| view.list(kind, None, None).cloned().collect::<Vec<_>>());
        all.map(|record| (record.key.clone(), record.bytes.clone(), record.revision)).collect::<Vec<_>>()
    };
    assert_eq!(records(&again.view()), records(&store.view()));
    assert_eq!((records(&again.view()).len(), other.digest()), (1, machine.digest()));
}

#[test]
fn who_watches_one_kind_is_told_of_no_other_and_who_watches_all_of_every_one() {
    let (mut machine, store) = new();
    let mut widgets = store.watch(&[kind("Widget")], Revision(0)).unwrap();
    let mut all = store.watch_all(Revision(0)).unwrap();
    let ops = vec![custom(kind("Widget"), "a"), put("map", "1", Expect::Any), custom(kind("Gadget"), "b")];
    feed(&mut machine, &Txn { ops });
    assert_eq!(told(&widgets.ready().unwrap()), ["Added a @1"]);
    assert_eq!(told(&all.ready().unwrap()), ["Added a @1", "Added map @2", "Added b @3"]);
    assert_eq!(widgets.cursor(), Revision(3));
}

#[test]
fn a_busy_kind_does_not_take_the_history_of_a_quiet_one() {
    let (mut machine, store) = new();
    feed(&mut machine, &one(custom(kind("Quiet"), "a")));
    let before = store.view().revision();
    for _ in 0..=EVENTS_MAX / 1024 {
        feed(&mut machine, &Txn { ops: (0..1024).map(|_| custom(kind("Busy"), "b")).collect() });
    }
    assert!(store.watch(&[kind("Quiet")], before).is_ok(), "it has changed before");
    assert!(store.watch(&[kind("Quiet")], Revision(0)).is_err(), "that change is forgotten");
    assert!(store.watch(&[kind("Busy")], before).is_err());
    assert!(store.watch_all(before).is_err());
}
