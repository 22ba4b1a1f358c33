//! The decoders of `store`: a command of the log, and the state in a snapshot.

use api::{Key, Kind, Object, Revision, core_v1, kinds::Resource as _};
use bytes::Bytes;
use consensus::Machine as _;
use store::{Expect, Machine, Op, State, Txn};

use super::{Scale, Verdict};
use crate::Prng;

fn key(chance: &mut Prng) -> Key {
    let kind = chance.pick(Kind::ALL).copied().unwrap_or(Kind::Pod);
    Key::namespaced(kind, ["", "default", "kube-system"][chance.between(0, 2) as usize], name(chance))
}

fn name(chance: &mut Prng) -> String {
    format!("object-{}", chance.between(0, 9))
}

fn put(chance: &mut Prng) -> Op {
    let name = name(chance);
    let value = "value ".repeat(chance.between(0, 9) as usize);
    let mut map = core_v1::ConfigMap { data: [("key".to_owned(), value)].into(), ..Default::default() };
    map.metadata_mut().name.clone_from(&name);
    map.metadata_mut().namespace = "default".to_owned();
    let key = Key::namespaced(Kind::ConfigMap, "default", name.as_str());
    Op::Put { key, bytes: Object::from(map).encode_bytes(), expect: Expect::Any }
}

fn commands_of(chance: &mut Prng) -> Vec<Txn> {
    let (some, revision) = (key(chance), Revision(chance.between(0, 20)));
    let claim = Op::Claim { name: "10.0.0.1".into(), owner: some.clone() };
    let delete = |expect| Op::Delete { key: some.clone(), expect };
    vec![
        Txn { ops: vec![put(chance), put(chance), claim] },
        Txn { ops: vec![delete(Expect::Any), Op::Release { name: "10.0.0.1".into() }] },
        Txn { ops: vec![delete(Expect::Absent), delete(Expect::Revision(revision))] },
        Txn { ops: vec![Op::Advance { by: chance.between(0, 1 << 40) }] },
        Txn { ops: (0..chance.between(2, 12)).map(|_| put(chance)).collect() },
    ]
}

pub(super) fn commands(chance: &mut Prng) -> Vec<Vec<u8>> {
    // Many of the smallest operations: what they cost in memory is more than their bytes.
    let crowd = Txn { ops: vec![Op::Release { name: String::new() }; 1000] };
    commands_of(chance).iter().chain([&crowd]).map(|txn| txn.encode().into()).collect()
}

/// What was read means the same when it is encoded again, and a state carries it out or refuses it.
pub(super) fn read_command(input: &Bytes, scale: &mut Scale) -> Result<Verdict, String> {
    let Ok(txn) = scale.weigh(|| Txn::decode(input.clone())) else { return Ok(Verdict::Refused) };
    let again = Txn::decode(txn.encode()).map_err(|error| format!("{txn:?} is not read again: {error}"))?;
    if again != txn {
        return Err(format!("{txn:?} was read, but encoded and read again it is {again:?}"));
    }
    let mut state = State::default();
    for _ in 0..2 {
        _ = state.apply(&txn);
    }
    Ok(Verdict::Accepted)
}

pub(super) fn samples(chance: &mut Prng) -> Vec<Vec<u8>> {
    let (mut machine, _) = store::new();
    let mut samples = vec![bytes(&machine)];
    for (index, txn) in (1..).zip((0..4).flat_map(|_| commands_of(chance))) {
        _ = machine.apply(index, txn.encode());
        samples.push(bytes(&machine));
    }
    samples
}

fn bytes(machine: &Machine) -> Vec<u8> {
    let mut bytes = Vec::new();
    machine.snapshot()(&mut bytes).expect("memory takes everything");
    bytes
}

/// A state that was read is written and read again as the same.
pub(super) fn read(input: &Bytes, scale: &mut Scale) -> Result<Verdict, String> {
    let (mut machine, _) = store::new();
    if scale.weigh(|| machine.restore(&mut &input[..])).is_err() {
        return Ok(Verdict::Refused);
    }
    let (mut again, _) = store::new();
    let written = bytes(&machine);
    again.restore(&mut &written[..]).map_err(|error| format!("a state is not read again: {error}"))?;
    if bytes(&again) == written { Ok(Verdict::Accepted) } else { Err("a state read again is another one".into()) }
}
