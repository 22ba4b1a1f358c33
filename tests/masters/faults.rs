//! Links that carry one direction only, a leader that is paused, and a disk that is full: the others go on, and nothing
//! acknowledged is lost.

use std::{
    fs::File,
    io::{ErrorKind, Write as _},
    path::Path,
    thread,
    time::Duration,
};

use crate::{
    lab::{Lab, sample},
    patience::wait_until,
    writers::Writers,
};

const MASTERS: [&str; 3] = ["m1", "m2", "m3"];

/// So many writes must be acknowledged before it counts as going on: more than can be on their way.
const MORE: u64 = 20;

/// A large object, in bytes; what was applied is kept beside it as an annotation, which may not be longer than 256 KiB.
const LARGE_BYTES: usize = 250_000;

/// So long before it wakes up a paused master is asked.
const ASKED_AHEAD: Duration = Duration::from_millis(300);

/// So many reads wait for a paused master.
const READS: usize = 50;

/// What the master in question still can do.
#[derive(Clone, Copy, Debug)]
enum Odd {
    /// Send, but not receive.
    Deaf,
    /// Receive, but not send.
    Mute,
    /// Everything but hear the leader.
    DeafToLeader,
}

#[test]
fn a_leader_whose_links_carry_one_direction_makes_way() {
    let Some(mut lab) = three_and_a_client() else { return };
    let writers = Writers::start(&lab, "c1", &MASTERS, 3);
    for odd in [Odd::Deaf, Odd::Mute] {
        let leader = leader(&lab);
        breaks_and_mends(&mut lab, &writers, leader, odd);
    }
    let written = writers.stop();
    println!("one-way links at leaders: {}", written.story());
    MASTERS.iter().for_each(|master| written.is_all_on(&lab, master));
}

#[test]
fn a_follower_whose_links_carry_one_direction_disturbs_nobody() {
    let Some(mut lab) = three_and_a_client() else { return };
    let writers = Writers::start(&lab, "c1", &MASTERS, 3);
    for odd in [Odd::Deaf, Odd::Mute, Odd::DeafToLeader] {
        let leader = leader(&lab);
        let follower = *MASTERS.iter().find(|master| **master != leader).unwrap();
        // That this costs no election is a story of `testkit`: a slow machine may bring one about by itself.
        breaks_and_mends(&mut lab, &writers, follower, odd);
    }
    let written = writers.stop();
    println!("one-way links at followers: {}", written.story());
    MASTERS.iter().for_each(|master| written.is_all_on(&lab, master));
}

fn three_and_a_client() -> Option<Lab> {
    let mut lab = Lab::new(&["m1", "m2", "m3", "c1"])?;
    lab.three_masters();
    Some(lab)
}

fn leader(lab: &Lab) -> &'static str {
    wait_until("a leader", || MASTERS.iter().find_map(|master| lab.leader(master).ok()).ok_or(String::new()))
}

/// Without the odd master writes go on; it answers nothing old; when the links are whole again, it catches up.
fn breaks_and_mends(lab: &mut Lab, writers: &Writers, master: &'static str, odd: Odd) {
    let others = MASTERS.into_iter().filter(|other| *other != master);
    let lost: Vec<(&str, &str)> = match odd {
        Odd::Deaf => others.clone().map(|other| (other, master)).collect(),
        Odd::Mute => others.clone().map(|other| (master, other)).collect(),
        Odd::DeafToLeader => vec![(leader(lab), master)],
    };
    lost.iter().for_each(|(from, to)| lab.lose(from, to, true));
    writers.go_on(MORE, || format!("{master} is {odd:?}"));
    let path = written_without(lab, master, &format!("{odd:?}").to_lowercase());
    let ask = |wanted: &str| match lab.asked(master, &path) {
        status if status == wanted => Ok(()),
        status => {
            assert_ne!(status, "404", "{master} is {odd:?} and answers from an old state");
            Err(format!("{master} is {odd:?} and answers {status}"))
        }
    };
    wait_until("the odd master to refuse", || ask("503"));
    writers.go_on(MORE, || format!("{master} is {odd:?}"));
    lost.iter().for_each(|(from, to)| lab.lose(from, to, false));
    wait_until("the odd master to catch up", || ask("200"));
    writers.go_on(MORE, || format!("{master} was {odd:?}"));
}

/// Creates something through the other masters; answers where it is to be read.
fn written_without(lab: &Lab, master: &str, word: &str) -> String {
    let name = format!("{master}-{word}");
    let manifest = format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}, data: {{a: b}}}}");
    let mut others = MASTERS.into_iter().filter(|other| *other != master).cycle();
    wait_until("a write by the majority", || {
        lab.apply(others.next().unwrap(), &format!("{name}.yaml"), &manifest).printed()
    });
    format!("/api/v1/namespaces/default/configmaps/{name}")
}

#[test]
fn a_paused_leader_is_replaced_and_wakes_up_to_the_truth() {
    let Some(lab) = three_and_a_client() else { return };
    let writers = Writers::start(&lab, "c1", &MASTERS, 3);
    let paused = leader(&lab);
    let (reader, ask) = reader(&lab, paused);
    lab.signal(paused, "STOP");
    let path = written_without(&lab, paused, "paused");
    writers.go_on(MORE, || format!("{paused} is paused"));

    ask.send(()).unwrap();
    thread::park_timeout(ASKED_AHEAD);
    lab.signal(paused, "CONT");
    let stale = reader.join().unwrap();
    assert_eq!(stale, 0, "so often {paused} answered as if it still led");
    wait_until("the old leader to catch up", || match lab.asked(paused, &path).as_str() {
        "200" => Ok(()),
        status => Err(status.to_owned()),
    });
    writers.go_on(MORE, || format!("{paused} was paused"));
    let written = writers.stop();
    println!("a paused leader: {}", written.story());
    MASTERS.iter().for_each(|master| written.is_all_on(&lab, master));
}

/// A client that is connected to a master, and when it is told reads what was written while the master was paused: the
/// requests are there when it wakes up, before it has heard of anybody else. Answers how many were answered that there is
/// no such thing.
fn reader(lab: &Lab, master: &'static str) -> (thread::JoinHandle<usize>, tokio::sync::oneshot::Sender<()>) {
    let (ask, asked) = tokio::sync::oneshot::channel();
    let (connected, is_connected) = std::sync::mpsc::channel();
    let key = |name: String| api::Key::namespaced(api::Kind::ConfigMap, "default", name);
    let thread = lab.client("c1", &[master], move |client| async move {
        assert_eq!(client.get(&key("none".to_owned())).await.unwrap_err().reason, api::Reason::NotFound);
        connected.send(()).unwrap();
        asked.await.unwrap();
        let key = key(format!("{master}-paused"));
        let answers = futures::future::join_all((0..READS).map(|_| client.get(&key))).await;
        let stale = |answer: &Result<_, api::Error>| answer.as_ref().is_err_and(|e| e.reason == api::Reason::NotFound);
        answers.iter().filter(|answer| stale(answer)).count()
    });
    is_connected.recv().unwrap();
    (thread, ask)
}

#[test]
fn a_full_disk_ends_one_master_and_is_told() {
    let Some(mut lab) = Lab::new(&MASTERS) else { return };
    if !lab.disk("m2", 48) {
        return eprintln!("skipped: a small disk needs mkfs.ext4 and loop devices");
    }
    lab.three_masters();
    lab.kapelle("m1", &format!("cluster transfer-leader {}", lab.id("m1", "m2"))).ok();
    let writers = Writers::start(&lab, "m1", &MASTERS, 3);
    let ballast = lab.dir("m2").join("ballast");
    fill(&ballast);
    let push = format!("push {} hello-http:v1", sample("hello-http").display());
    let refusal = lab.kapelle("m2", &push).err();
    assert!(refusal.contains("No space left"), "an image is refused: {refusal}");
    assert!(!lab.has_ended("m2"), "an image is not the log: {}", lab.complaints("m2"));

    // The log has room for a while: it was made ahead.
    let large = "x".repeat(LARGE_BYTES);
    for count in 0..40 {
        if lab.has_ended("m2") {
            break;
        }
        let manifest =
            format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: l{count}}}, data: {{a: {large}}}}}");
        wait_until("a large write", || lab.apply("m1", "large.yaml", &manifest).printed());
    }
    tells_of_its_full_disk(&mut lab);
    writers.go_on(MORE, || "without the master whose disk is full".to_owned());

    fill(&ballast);
    lab.master("m2", None);
    tells_of_its_full_disk(&mut lab);

    std::fs::remove_file(&ballast).unwrap();
    lab.master("m2", None);
    lab.ready("m2");
    writers.go_on(MORE, || lab.complaints("m2"));
    let written = writers.stop();
    println!("a full disk: {}", written.story());
    MASTERS.iter().for_each(|master| written.is_all_on(&lab, master));
}

/// The process has ended, and its last line names the directory and the cause.
fn tells_of_its_full_disk(lab: &mut Lab) {
    assert!(!lab.ended("m2"), "a failure is told by the status, too");
    let (complaints, dir) = (lab.complaints("m2"), lab.dir("m2"));
    let last = complaints.lines().last().unwrap_or_default();
    assert!(last.contains(dir.to_str().unwrap()) && last.contains("No space left"), "{complaints}");
}

/// Leaves no room on a filesystem.
fn fill(ballast: &Path) {
    let mut file = File::create(ballast).unwrap();
    for piece in [1 << 20, 4096] {
        let bytes = vec![1; piece];
        let refusal = (0..1 << 16).find_map(|_| file.write_all(&bytes).and_then(|()| file.sync_data()).err());
        assert_eq!(refusal.unwrap().kind(), ErrorKind::StorageFull);
    }
}
