//! The driver passes on what the brain wants and wakes it when it asked to be woken.

use std::sync::atomic::{AtomicI64, Ordering};

use api::{Kind, Timestamp, Write, event::EventType};
use tokio::sync::mpsc;

use super::{Errand, run};
use crate::{
    Brain, Config, Event,
    testing::{Told, added, node, pod},
};

#[tokio::test]
async fn writes_come_out_and_the_driver_ends_with_its_inputs() {
    let (events, inputs) = mpsc::channel(8);
    let (writes, mut out) = mpsc::channel(8);
    let driver = tokio::spawn(run(Brain::new(Config::default()), inputs, writes, || Timestamp(5_000_000)));
    let seen = vec![added(node("n1").object(), 1), added(pod("a").object(), 2)];
    events.send(vec![Event::Observed(seen), Event::Synced]).await.expect("the driver listens");
    let batch = out.recv().await.expect("the driver writes");
    let binds =
        |errand: &Errand| matches!(errand, Errand::Write(Write::Update(object, _)) if object.kind() == Kind::Pod);
    let bound = batch.iter().any(|(_, errand)| binds(errand));
    assert!(bound, "the Pod is bound: {batch:?}");
    drop(events);
    driver.await.expect("the driver ends well");
}

#[tokio::test]
async fn the_brain_is_woken_when_its_time_has_come() {
    static NOW: AtomicI64 = AtomicI64::new(0);
    const HOUR: i64 = 3_600_000;
    let (events, inputs) = mpsc::channel(8);
    let (writes, mut out) = mpsc::channel(8);
    let clock = || Timestamp(NOW.load(Ordering::Relaxed));
    let about = api::event::reference(&pod("a").object());
    let old = api::event::new(about, EventType::Normal, "Said", "long ago", "test", Timestamp(0));
    NOW.store(HOUR - 5, Ordering::Relaxed);
    let driver = tokio::spawn(run(Brain::new(Config::default()), inputs, writes, clock));
    events.send(vec![Event::Observed(vec![added(old.into(), 1)]), Event::Synced]).await.expect("it listens");
    assert!(out.try_recv().is_err(), "an hour has not passed");
    NOW.store(HOUR, Ordering::Relaxed);
    let batch = out.recv().await.expect("the driver writes");
    assert!(matches!(&*batch, [(_, Errand::Write(Write::Delete(key, _)))] if key.kind == Kind::Event), "{batch:?}");
    drop(events);
    driver.await.expect("the driver ends well");
}
