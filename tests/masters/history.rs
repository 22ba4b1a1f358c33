//! Linearizability: what clients saw while masters were killed, paused and cut off must be explainable by one order of all
//! operations in which each takes effect between its call and its answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use api::{Key, Kind, Object, PatchKind, Reason, Subresource, core_v1::ConfigMap};
use porcupine_rs::{CheckResult, Model, Operation};
use rpc::Client;

use crate::{
    lab::Lab,
    patience::{PATIENCE, wait_until},
};

/// So many registers: few, so that clients meet.
const REGISTERS: u64 = 3;

/// So many clients.
const CLIENTS: u32 = 5;

/// How long a client rests between operations, so that the history stays checkable.
const REST: Duration = Duration::from_millis(15);

/// So many answers must come after each disturbance before the next one: what nobody asked for would show nothing.
const ANSWERS_EACH: usize = 30;

/// Registers that hold the last value written.
#[derive(Clone, Debug)]
struct Registers;

/// One operation on one register, with what came of it.
#[derive(Clone, Debug)]
struct Done {
    register: u64,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// It held this.
    Read(String),
    /// It holds this now; also if nobody answered, for then it may have happened at any time after the call, or never.
    Write(String),
    /// It held `from` and holds `to` now.
    Swap { from: String, to: String },
    /// It did not hold this.
    NoSwap(String),
    /// Nobody answered.
    MaybeSwap { from: String, to: String },
}

impl Model for Registers {
    type State = String;
    type Op = Done;
    type Metadata = ();

    fn partition_operations(history: &[Operation<Self>]) -> Vec<Vec<Operation<Self>>> {
        let of = |register| history.iter().filter(|done| done.op.register == register).cloned().collect();
        (0..REGISTERS).map(of).collect()
    }

    fn init() -> String {
        "0".to_owned()
    }

    fn step(state: &String, done: &Done) -> (bool, String) {
        match &done.what {
            What::Read(value) => (state == value, state.clone()),
            What::Write(value) => (true, value.clone()),
            What::Swap { from, to } => (state == from, to.clone()),
            What::NoSwap(from) => (state != from, state.clone()),
            What::MaybeSwap { from, to } => (true, if state == from { to.clone() } else { state.clone() }),
        }
    }
}

#[test]
fn histories_under_faults_are_linearizable() {
    let Some(mut lab) = Lab::new(&["m1", "m2", "m3", "c1"]) else { return };
    lab.three_masters();
    for register in 0..REGISTERS {
        let map = format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: r{register}}}, data: {{v: '0'}}}}");
        lab.apply("m1", &format!("r{register}.yaml"), &map).ok();
    }
    let told = Arc::new(Told::default());
    let begin = Instant::now();
    let clients: Vec<_> = (0..CLIENTS).map(|number| client(&lab, number, begin, told.clone())).collect();
    disturb(&mut lab, &told);
    told.stop.store(true, Ordering::Relaxed);
    let history: Vec<Operation<Registers>> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();

    let answered = history.iter().filter(|done| done.return_time < i64::MAX).count();
    println!("{} operations, {answered} of them answered", history.len());
    let verdict = porcupine_rs::check_operations_timeout::<Registers>(&history, PATIENCE);
    assert_eq!(verdict, CheckResult::Ok, "not linearizable: {history:#?}");
}

#[test]
fn the_checker_sees_a_stale_read() {
    let done = |call_time, return_time, what| Operation::<Registers> {
        client_id: None,
        call_time,
        return_time,
        op: Done { register: 0, what },
        metadata: None,
    };
    let fresh = [done(0, 1, What::Write("1".to_owned())), done(2, 3, What::Read("1".to_owned()))];
    let stale = [done(0, 1, What::Write("1".to_owned())), done(2, 3, What::Read("0".to_owned()))];
    assert!(porcupine_rs::check_operations::<Registers>(&fresh));
    assert!(!porcupine_rs::check_operations::<Registers>(&stale));
}

/// What clients are told, and tell.
#[derive(Default)]
struct Told {
    stop: AtomicBool,
    answered: AtomicUsize,
}

impl Told {
    /// Waits for more answers.
    fn answers(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        wait_until("more answers", || match self.answered.load(Ordering::Relaxed) {
            now if now >= before + ANSWERS_EACH => Ok(()),
            now => Err(format!("{now} answers, {before} before")),
        });
    }
}

/// Kills, pauses and cuts off the leader and others, and lets things come back.
fn disturb(lab: &mut Lab, told: &Told) {
    for round in 0..4 {
        told.answers();
        let others = ["m1", "m2", "m3"];
        let leader =
            wait_until("a leader", || others.iter().find_map(|master| lab.leader(master).ok()).ok_or(String::new()));
        lab.kill(leader);
        thread::park_timeout(Duration::from_millis(500 * round));
        lab.master(leader, None);
        lab.ready(leader);
        told.answers();
        let leader =
            wait_until("a leader", || others.iter().find_map(|master| lab.leader(master).ok()).ok_or(String::new()));
        lab.signal(leader, "STOP");
        thread::park_timeout(Duration::from_millis(2500));
        lab.signal(leader, "CONT");
        told.answers();
        let other = others[usize::try_from(round).unwrap() % 3];
        lab.cut(other, true);
        thread::park_timeout(Duration::from_millis(2500));
        lab.cut(other, false);
    }
}

/// Operates on the registers through all masters, beginning with one of its own, until told to stop.
fn client(lab: &Lab, number: u32, begin: Instant, told: Arc<Told>) -> thread::JoinHandle<Vec<Operation<Registers>>> {
    let mut masters = ["m1", "m2", "m3"];
    masters.rotate_left(number as usize % 3);
    lab.client("c1", &masters, move |client| async move { Hand { client, number, begin }.work(&told).await })
}

struct Hand {
    client: Client,
    number: u32,
    begin: Instant,
}

impl Hand {
    async fn work(&self, told: &Told) -> Vec<Operation<Registers>> {
        let mut history = Vec::new();
        let mut seen: Option<(u64, ConfigMap)> = None;
        for count in 0_u64.. {
            if told.stop.load(Ordering::Relaxed) {
                break;
            }
            let register = (count + u64::from(self.number)) % REGISTERS;
            let key = Key::namespaced(Kind::ConfigMap, "default", format!("r{register}"));
            let value = format!("{}-{count}", self.number);
            let call_time = self.now();
            let done = match (count % 4, seen.take()) {
                (0, _) => Some((register, self.write(&key, value).await)),
                (1, Some((register, map))) => Some((register, self.swap(map, value).await)),
                _ => self.read(&key).await.map(|map| {
                    let value = map.data["v"].clone();
                    seen = Some((register, map));
                    (register, (What::Read(value), true))
                }),
            };
            let is_answered = done.as_ref().is_some_and(|(_, (_, is_answered))| *is_answered);
            told.answered.fetch_add(usize::from(is_answered), Ordering::Relaxed);
            history.extend(done.map(|(register, (what, answered))| Operation {
                client_id: Some(self.number),
                call_time,
                return_time: if answered { self.now() } else { i64::MAX },
                op: Done { register, what },
                metadata: None,
            }));
            tokio::time::sleep(REST).await;
        }
        history
    }

    fn now(&self) -> i64 {
        i64::try_from(self.begin.elapsed().as_nanos()).unwrap()
    }

    /// A read without an answer says nothing.
    async fn read(&self, key: &Key) -> Option<ConfigMap> {
        match self.client.get(key).await {
            Ok(Object::ConfigMap(map)) => Some(*map),
            _ => None,
        }
    }

    async fn write(&self, key: &Key, value: String) -> (What, bool) {
        let patch = format!("{{\"data\":{{\"v\":\"{value}\"}}}}");
        let written = self.client.patch(key, PatchKind::Merge, patch, Subresource::None).await;
        (What::Write(value), written.is_ok())
    }

    /// Succeeds only if nothing has changed since the read.
    async fn swap(&self, mut map: ConfigMap, to: String) -> (What, bool) {
        let from = map.data.insert("v".to_owned(), to.clone()).unwrap();
        match self.client.update(map.into(), Subresource::None).await {
            Ok(_) => (What::Swap { from, to }, true),
            Err(error) if error.reason == Reason::Conflict => (What::NoSwap(from), true),
            Err(_) => (What::MaybeSwap { from, to }, false),
        }
    }
}
