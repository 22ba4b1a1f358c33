//! Pods that wait: for an address, and for an image.

use std::{net::Ipv4Addr, sync::Arc};

use api::{
    Change, ChangeType, Object, Revision, Timestamp, conditions,
    core_v1::{Container, Pod, PodCondition, PodSpec},
    kinds::Resource as _,
};

use super::{Brain, Effect, Ended, Event, Failure, Run, Shape};

const NOW: Timestamp = Timestamp(1_000_000);

/// A Pod whose containers are not started again.
fn pod(name: &str) -> Pod {
    let containers = vec![Container { name: "c".to_owned(), image: "hello:v1".to_owned(), ..Container::default() }];
    let spec = PodSpec { containers, restart_policy: "Never".to_owned(), ..PodSpec::default() };
    let mut pod = Pod { spec: Some(spec), ..Pod::default() };
    let meta = pod.metadata_mut();
    (meta.name, meta.namespace, meta.uid) = (name.to_owned(), "default".to_owned(), name.to_owned());
    pod
}

fn seen(change: ChangeType, pod: Pod) -> Event {
    Event::Pods(vec![Change { change, object: Arc::new(Object::from(pod)), revision: Revision(1) }])
}

fn node(range: &str) -> Brain {
    let mut brain = Brain::new(Ipv4Addr::LOCALHOST);
    brain.handle(Event::Range(range.to_owned()), NOW);
    brain
}

/// The runs that are to be prepared.
fn prepared(effects: &[Effect]) -> Vec<Run> {
    let run = |effect: &Effect| if let Effect::Prepare(run, _) = effect { Some(run.clone()) } else { None };
    effects.iter().filter_map(run).collect()
}

fn told(effects: &[Effect]) -> Vec<String> {
    let note = |effect: &Effect| match effect {
        Effect::Tell(pod, note) => Some(format!("{} {}: {}", pod.name(), note.reason, note.message)),
        _ => None,
    };
    effects.iter().filter_map(note).collect()
}

/// Why the Pod has no address, as its status says.
fn no_address(effects: &[Effect]) -> Option<String> {
    effects.iter().find_map(|effect| {
        let Effect::Report(pod) = effect else { return None };
        let conditions = &pod.status.as_ref()?.conditions;
        let network: &PodCondition = conditions::get(conditions, "PodReadyToStartContainers")?;
        (network.status == "False").then(|| network.message.clone())
    })
}

#[test]
fn a_pod_without_an_address_says_so_and_gets_the_next_that_is_free() {
    // Two addresses are left for Pods.
    let mut brain = node("10.1.0.0/30");
    let first = prepared(&brain.handle(seen(ChangeType::Added, pod("a")), NOW)).remove(0);
    brain.handle(seen(ChangeType::Added, pod("b")), NOW);
    let effects = brain.handle(seen(ChangeType::Added, pod("c")), NOW);
    assert_eq!(prepared(&effects), []);
    let why = "no address is left for this Pod: all 2 of the node's range 10.1.0.0/30 are in use";
    assert_eq!(told(&effects), [format!("c FailedCreatePodSandBox: {why}")]);
    assert_eq!(no_address(&effects).as_deref(), Some(why));
    assert_eq!(told(&brain.handle(seen(ChangeType::Modified, pod("c")), NOW)), [""; 0], "it is told once");

    // A Pod that is over needs no address, although it stays.
    brain.handle(Event::Prepared(first.clone(), "sha256:1".to_owned()), NOW);
    brain.handle(Event::Started(first.clone(), Shape::Handler), NOW);
    let over = Ended { code: 0, reason: "Completed".to_owned(), message: String::new() };
    let effects = brain.handle(Event::Ended(first, over), NOW);
    assert_eq!(prepared(&effects).iter().map(|run| &*run.pod).collect::<Vec<_>>(), ["c"]);

    // One that is gone gives its address back, once.
    brain.handle(seen(ChangeType::Added, pod("d")), NOW);
    let mut effects = brain.handle(seen(ChangeType::Deleted, pod("a")), NOW);
    effects.extend(brain.handle(Event::Cleaned("a".into()), NOW));
    assert_eq!(prepared(&effects), [], "it had given it back before");
    let mut effects = brain.handle(seen(ChangeType::Deleted, pod("b")), NOW);
    effects.extend(brain.handle(Event::Cleaned("b".into()), NOW));
    assert_eq!(prepared(&effects).iter().map(|run| &*run.pod).collect::<Vec<_>>(), ["d"]);
}

fn missing() -> Failure {
    Failure { reason: "ErrImagePull", message: "it is not there".to_owned() }
}

#[test]
fn an_image_that_comes_ends_the_back_off_and_other_faults_keep_kubernetes_pauses() {
    let mut brain = node("10.1.0.0/24");
    let mut run = prepared(&brain.handle(seen(ChangeType::Added, pod("a")), NOW)).remove(0);
    let mut now = NOW;
    // Ten seconds, doubling.
    for pause in [10_000, 20_000, 40_000] {
        brain.handle(Event::NotPrepared(run, missing()), now);
        now = Timestamp(now.0 + pause - 1);
        assert_eq!(prepared(&brain.handle(Event::Woken, now)), [], "a pause of {pause} ms");
        now = Timestamp(now.0 + 1);
        run = prepared(&brain.handle(Event::Woken, now)).remove(0);
    }
    brain.handle(Event::NotPrepared(run.clone(), missing()), now);
    let again = prepared(&brain.handle(Event::Again(run.clone()), now));
    assert_eq!(again.iter().map(|run| run.number).collect::<Vec<_>>(), [run.number + 1], "it came");
    assert_eq!(prepared(&brain.handle(Event::Again(run), now)), [], "an older run waits no more");

    // It came while it was asked for.
    brain.handle(Event::Again(again[0].clone()), now);
    let effects = brain.handle(Event::NotPrepared(again[0].clone(), missing()), now);
    assert_eq!(prepared(&effects).len() + prepared(&brain.handle(Event::Woken, now)).len(), 1);
}
